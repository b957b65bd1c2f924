//! Names and times of the feeds API: feeds, instants in microseconds, and ids of activities.
//!
//! Invariant: a [`FeedName`] has a group and an id of word characters. The id of an activity is a function of its time and its
//! identity alone, so equal activities have equal ids. Absent on purpose: the contents of activities, which are JSON.

use std::fmt;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use xxhash_rust::xxh3::xxh3_128;

use super::time::Millis;

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const NS_PER_US: i128 = 1_000;
/// Microseconds from the start of the Gregorian calendar, where the time of a UUID begins, to 1970.
const GREGORIAN_US: i64 = 12_219_292_800_000_000;
/// Bytes of a feed's name at most.
const NAME_BYTES_MAX: usize = 255;

/// An instant in microseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Micros(pub i64);

impl Micros {
    /// The millisecond in which the instant lies.
    #[must_use]
    pub fn millis(self) -> Millis {
        Millis(self.0.div_euclid(1_000))
    }

    /// Reads `2026-11-22T06:48:24.820100`, with zero to nine decimals, and no zone, `Z` or `+hh:mm`. A date alone is its midnight.
    #[must_use]
    pub fn parse(text: &str) -> Option<Micros> {
        let plain = text.strip_suffix(['Z', 'z']);
        let pieces = Pieces::parse(plain.unwrap_or(text)).ok()?;
        let offset = pieces.offset().map(|offset| offset.to_numeric_offset());
        if pieces.time_zone_annotation().is_some() || (plain.is_some() && offset.is_some()) {
            return None;
        }
        let civil = pieces.time().map_or_else(
            || pieces.date().to_datetime(jiff::civil::Time::midnight()),
            |time| pieces.date().to_datetime(time),
        );
        let offset = SignedDuration::from_secs(offset.map_or(0, |offset| offset.seconds()).into());
        let since = civil.duration_since(EPOCH) - offset;
        let at = Micros(i64::try_from(since.as_nanos().div_euclid(NS_PER_US)).ok()?);
        at.civil().filter(|civil| civil.year() >= 1).map(|_| at)
    }

    fn civil(self) -> Option<DateTime> {
        EPOCH.checked_add(SignedDuration::from_micros(self.0)).ok()
    }

    /// The date in UTC, as in `2026-11-22`.
    #[must_use]
    pub fn date(self) -> String {
        self.civil().map(|civil| civil.date().to_string()).unwrap_or_default()
    }

    /// The instant as the id of an activity holds it; `None` for a text that is no such id.
    #[must_use]
    pub fn of_id(id: &str) -> Option<Micros> {
        let digits: String = id.split('-').collect();
        let sizes: Vec<usize> = id.split('-').map(str::len).collect();
        if sizes != [8, 4, 4, 4, 12] || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let bits = u128::from_str_radix(&digits, 16).ok()?;
        let (low, middle, high) = (bits >> 96, (bits >> 80) & 0xffff, (bits >> 64) & 0x0fff);
        let ticks = (high << 48) | (middle << 32) | low;
        Some(Micros(i64::try_from(ticks / 10).ok()? - GREGORIAN_US))
    }
}

/// Six decimals and no zone.
impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.civil() {
            Some(civil) => write!(f, "{civil:.6}"),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The id of an activity: a UUID of version 1 made of its time and a hash of its identity.
#[must_use]
pub fn activity_id(time: Micros, identity: &[&str]) -> String {
    let mut named = Vec::new();
    for part in identity {
        named.extend((part.len() as u64).to_le_bytes());
        named.extend(part.as_bytes());
    }
    named.extend(time.0.to_le_bytes());
    let hash = xxh3_128(&named);
    // A tick is a tenth of a microsecond; the hash chooses it.
    let ticks = (i128::from(time.0) + i128::from(GREGORIAN_US)) * 10 + (hash >> 120) as i128 % 10;
    let ticks = ticks as u128 & ((1 << 60) - 1);
    let (low, middle, high) = (ticks & 0xffff_ffff, (ticks >> 32) & 0xffff, ticks >> 48);
    let sequence = ((hash >> 64) & 0x3fff) | 0x8000;
    // The bit that marks a node that is no network address.
    let node = (hash & 0xffff_ffff_ffff) | 0x0100_0000_0000;
    format!("{low:08x}-{middle:04x}-1{high:03x}-{sequence:04x}-{node:012x}")
}

/// A UUID of version 4 from random bits.
#[must_use]
pub fn random_id(bits: u128) -> String {
    let bits = (bits & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
    let text = format!("{bits:032x}");
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

/// The name of a feed: its group and its id, as in `user:ada`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeedName {
    text: String,
    colon: usize,
}

/// Reason why a text names no feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be GROUP:ID of letters, digits, _ and -, 255 bytes at most")]
pub struct FeedNameError;

impl FeedName {
    /// Checks a group and an id.
    ///
    /// # Errors
    /// One of them is empty, too long, or has other characters than letters, digits, `_` and `-`.
    pub fn new(group: &str, id: &str) -> Result<FeedName, FeedNameError> {
        let is_word =
            |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
        if !is_word(group) || !is_word(id) || group.len() + id.len() >= NAME_BYTES_MAX {
            return Err(FeedNameError);
        }
        Ok(FeedName { text: format!("{group}:{id}"), colon: group.len() })
    }

    /// Reads `GROUP:ID`.
    ///
    /// # Errors
    /// As [`FeedName::new`].
    pub fn parse(text: &str) -> Result<FeedName, FeedNameError> {
        let (group, id) = text.split_once(':').ok_or(FeedNameError)?;
        FeedName::new(group, id)
    }

    /// The group, as in `user`.
    #[must_use]
    pub fn group(&self) -> &str {
        &self.text[..self.colon]
    }

    /// The id within the group, as in `ada`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.text[self.colon + 1..]
    }

    /// The whole name, as in `user:ada`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Group and id without the colon, as tokens write them.
    #[must_use]
    pub fn joined(&self) -> String {
        [self.group(), self.id()].concat()
    }
}

impl fmt::Display for FeedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_zone_and_written_with_six_decimals() {
        for (text, written) in [
            ("2026-11-22T06:48:24.820100", "2026-11-22T06:48:24.820100"),
            ("2026-11-22T06:48:24", "2026-11-22T06:48:24.000000"),
            ("2026-11-22T06:48:24.8Z", "2026-11-22T06:48:24.800000"),
            ("2026-11-22T06:48:24.123456789", "2026-11-22T06:48:24.123456"),
            ("2026-11-22T08:48:24+02:00", "2026-11-22T06:48:24.000000"),
            ("2026-11-22", "2026-11-22T00:00:00.000000"),
            ("1969-12-31T23:59:59.999999", "1969-12-31T23:59:59.999999"),
        ] {
            assert_eq!(Micros::parse(text).map(|at| at.to_string()).as_deref(), Some(written), "{text}");
        }
        for text in ["", "soon", "2026-13-01T00:00:00", "2026-11-22T06:48:24+02:00Z", "12"] {
            assert_eq!(Micros::parse(text), None, "{text}");
        }
    }

    #[test]
    fn feeds_have_a_group_and_an_id_of_word_characters() {
        let feed = FeedName::parse("user:ada-1_x").unwrap();
        assert_eq!((feed.group(), feed.id(), feed.joined().as_str()), ("user", "ada-1_x", "userada-1_x"));
        let long = format!("user:{}", "x".repeat(255));
        for text in ["user", "user:", ":ada", "user:a:b", "user:a b", "user:a/b", long.as_str()] {
            assert!(FeedName::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_id_of_an_activity_holds_its_time_and_depends_on_its_identity(
            us in -12_000_000_000_000_000_i64..80_000_000_000_000_000, one in "[a-z]{0,4}", other in "[a-z]{0,4}"
        ) {
            let id = activity_id(Micros(us), &[&one, &other]);
            prop_assert_eq!(Micros::of_id(&id), Some(Micros(us)));
            prop_assert_eq!(&id[14..15], "1");
            prop_assert_eq!(activity_id(Micros(us), &[&one, &other]), id.clone());
            prop_assert_ne!(activity_id(Micros(us), &[&format!("{one}{other}"), "", ""]), id);
        }

        #[test]
        fn a_time_reads_back_as_it_was_written(us in -62_135_596_800_000_000_i64..253_402_300_799_000_000) {
            prop_assert_eq!(Micros::parse(&Micros(us).to_string()), Some(Micros(us)));
        }

        #[test]
        fn random_ids_are_of_version_4(bits: u128) {
            let id = random_id(bits);
            prop_assert!(id.len() == 36 && &id[14..15] == "4" && "89ab".contains(&id[19..20]));
        }
    }
}
