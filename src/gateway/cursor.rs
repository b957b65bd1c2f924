//! Cursors of lists: the place in a list behind which the next page begins.
//!
//! Invariant: a cursor is read only by the list, with the filters, that wrote it; a damaged or foreign one is refused. It
//! has fewer than [`TEXT_MAX`] bytes. Deliberately absent: state on the server, and secrecy, since a page shows more than
//! its cursor.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::query::Query;

/// Upper bound of the bytes of a cursor.
pub(crate) const TEXT_MAX: usize = 64;

/// The share of a score within which an entry counts as unmoved: scores drift with the clock, and with what others do.
const DRIFT: f32 = 0.05;

/// The list, with its filters, that a cursor belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CursorList(u64);

impl CursorList {
    /// A list by a name and all parameters that select or order its entries.
    pub(crate) fn new(name: &str, parameters: &[&str]) -> CursorList {
        let mut text = name.to_owned();
        for parameter in parameters {
            text.push('\0');
            text.push_str(parameter);
        }
        CursorList(xxh3_64(text.as_bytes()))
    }

    /// The list of a request: its name, the subject in its path, and these parameters of its query.
    pub(crate) fn of(name: &str, subject: &str, query: &Query, parameters: &[&str]) -> CursorList {
        // An absent parameter differs from an empty one.
        let stated: Vec<String> = parameters
            .iter()
            .map(|name| query.text(name).map_or_else(String::new, |text| format!("={text}")))
            .collect();
        let all: Vec<&str> = std::iter::once(subject).chain(stated.iter().map(String::as_str)).collect();
        CursorList::new(name, &all)
    }

    /// The cursor of the place that these numbers describe.
    pub(crate) fn write<const N: usize>(self, place: [u64; N]) -> String {
        let mut bytes: Vec<u8> = place.iter().flat_map(|number| number.to_le_bytes()).collect();
        bytes.extend(xxh3_64_with_seed(&bytes, self.0).to_le_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place in the parameter `after`, if it is present.
    ///
    /// # Errors
    /// `bad_field` for a text that no page of this list gave as its `next`.
    pub(crate) fn read<const N: usize>(self, query: &Query) -> Result<Option<[u64; N]>, Refusal> {
        query.text("after").map(|text| self.parse(text).ok_or_else(refusal)).transpose()
    }

    fn parse<const N: usize>(self, text: &str) -> Option<[u64; N]> {
        let bytes = if text.len() < TEXT_MAX { URL_SAFE_NO_PAD.decode(text).ok()? } else { return None };
        let (place, check) = bytes.split_at_checked(N * 8)?;
        if xxh3_64_with_seed(place, self.0).to_le_bytes() != *check {
            return None;
        }
        let mut numbers = place.chunks_exact(8).map(|part| part.try_into().map_or(0, u64::from_le_bytes));
        Some(std::array::from_fn(|_| numbers.next().unwrap_or_default()))
    }
}

fn refusal() -> Refusal {
    let message = "is no cursor of this list: send the `next` of the page before, unchanged, with its other parameters";
    Refusal::field(Code::BadField, "after", message)
}

/// The field `next` of an answer, absent after the last page.
pub(crate) fn next_field(next: Option<String>) -> Map<String, Value> {
    next.map(|next| ("next".to_owned(), json!(next))).into_iter().collect()
}

/// Cuts a list to `limit` entries. Returns the cursor of the next page, by `cursor` of the last entry, if entries remain.
pub(crate) fn cut<T>(page: &mut Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Option<String> {
    let has_more = page.len() > limit;
    page.truncate(limit);
    page.last().filter(|_| has_more).map(cursor)
}

/// A place in a list by descending score, then by ascending id.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RankedPlace {
    score: f32,
    id: u32,
}

impl RankedPlace {
    /// The place of an entry.
    pub(crate) fn new(score: f32, id: u32) -> RankedPlace {
        RankedPlace { score, id }
    }

    /// The place in the parameter `after` of a list, if it is present.
    ///
    /// # Errors
    /// `bad_field` for a text that is no cursor of the list.
    pub(crate) fn read(list: CursorList, query: &Query) -> Result<Option<RankedPlace>, Refusal> {
        let place = list.read(query)?;
        Ok(place.map(|[score, id]| RankedPlace { score: f32::from_bits(score as u32), id: id as u32 }))
    }

    /// The cursor of this place.
    pub(crate) fn write(self, list: CursorList) -> String {
        list.write([self.score.to_bits().into(), self.id.into()])
    }

    /// Keeps the entries behind this place. An entry at the cursor that moved by no more than the drift of all scores marks
    /// the place itself; otherwise its earlier score does.
    pub(crate) fn keep_behind<T>(self, entries: &mut Vec<T>, place: impl Fn(&T) -> RankedPlace) {
        let now = entries.iter().map(&place).find(|entry| entry.id == self.id).map(|entry| entry.score);
        let unmoved = now.filter(|now| (now - self.score).abs() <= DRIFT * self.score.abs().max(f32::MIN_POSITIVE));
        let score = unmoved.unwrap_or(self.score);
        entries.retain(|entry| {
            let entry = place(entry);
            entry.score.total_cmp(&score).reverse().then(entry.id.cmp(&self.id)).is_gt()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    const LIST: fn() -> CursorList = || CursorList::new("popular", &["", "=sea"]);

    fn read<const N: usize>(list: CursorList, text: &str) -> Result<Option<[u64; N]>, Refusal> {
        let request = TestRequest::with_uri(&format!("/?after={text}")).to_http_request();
        list.read(&Query::read(&request, &["after"])?)
    }

    #[test]
    fn a_damaged_or_foreign_cursor_is_refused_by_its_field() {
        let whole = LIST().write([7, 8]);
        assert_eq!(read(LIST(), &whole), Ok(Some([7, 8])));
        let foreign = CursorList::new("popular", &["=sea", ""]).write([7, 8]);
        let long = "A".repeat(10_000);
        for text in ["", "x", "7", "%00", &whole[1..], &whole[..whole.len() - 1], &format!("{whole}A"), &foreign, &long]
        {
            let refusal = read::<2>(LIST(), text).err();
            let blamed = refusal.map(|refusal| (refusal.code, refusal.field));
            assert_eq!(blamed, Some((Code::BadField, Some("after".to_owned()))), "{text:.60}");
        }
        assert!(read::<3>(LIST(), &whole).is_err(), "a cursor of another length");
    }

    proptest! {
        #[test]
        fn a_cursor_is_short_and_gives_its_place_back_and_no_flipped_character_does(
            place: [u64; 4], at in 0_usize..53, by in 1_u8..64,
        ) {
            let whole = LIST().write(place);
            prop_assert!(whole.len() < TEXT_MAX);
            prop_assert_eq!(read(LIST(), &whole), Ok(Some(place)));
            const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let mut bytes = whole.into_bytes();
            let now = ALPHABET.iter().position(|c| *c == bytes[at]).map_or(0, |now| now as u8);
            bytes[at] = ALPHABET[usize::from((now + by) % 64)];
            let text = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert!(read::<4>(LIST(), &text).is_err());
        }

        #[test]
        fn pages_of_a_ranked_list_neither_repeat_nor_lose_the_entries_that_stay(
            scores in proptest::collection::vec(0_u8..8, 1..40),
            moves in proptest::collection::vec((0_usize..40, 0_u8..8), 0..10),
            limit in 1_usize..10,
        ) {
            let mut all: Vec<RankedPlace> =
                scores.iter().zip(0..).map(|(score, id)| RankedPlace::new(f32::from(*score), id)).collect();
            let (mut after, mut seen, mut moves, mut moved) = (None, Vec::new(), moves.into_iter(), Vec::new());
            for _ in 0..200 {
                let mut page = all.clone();
                page.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id)));
                if let Some(after) = after {
                    RankedPlace::keep_behind(after, &mut page, |entry| *entry);
                }
                page.truncate(limit);
                after = page.last().copied().or(after);
                if page.is_empty() {
                    break;
                }
                seen.extend(page.iter().map(|entry| entry.id));
                // Between two pages an entry gets another score.
                if let Some((index, score)) = moves.next() {
                    let index = index % all.len();
                    all[index].score = f32::from(score);
                    moved.push(index as u32);
                }
            }
            for id in (0..all.len() as u32).filter(|id| !moved.contains(id)) {
                prop_assert_eq!(seen.iter().filter(|found| **found == id).count(), 1, "entry {}", id);
            }
        }
    }
}
