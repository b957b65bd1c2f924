//! Segment of time with its open set at every instant: ids that are open throughout, and ids that open or close
//! meanwhile.
//!
//! Invariant: within a [`Part`] ids are sorted. Steady ids do not flip within the segment, and the intervals of a
//! transient id do not overlap. So a lookup copies the steady ids and inserts some transient ones, at equal cost
//! anywhere in the segment.
//! Deliberately absent: times (a segment counts the instants since it began).

use std::io::Read as _;

use roaring::RoaringBitmap;

use super::order::sort_by_number;

/// Maximum number of instants in a segment.
pub(super) const INSTANTS_MAX: usize = u16::MAX as usize;
/// More ids than this in a part are stored as a bitmap, like in [`RoaringBitmap`].
const SORTED_MAX: usize = 4_096;
/// Words and bytes of a bitmap.
const WORDS: usize = 1_024;
const WORDS_BYTES: usize = 8 * WORDS;
/// First number of the portable Roaring format without runs.
const COOKIE: u32 = 12_346;
/// Gaps of up to this many bytes are copied by one copy of constant length.
const COPIED: usize = 64;

/// Open ids at every instant of a segment.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    /// In the order of their keys.
    parts: Vec<Part>,
    /// Steady ids, part by part, in the portable format of Roaring bitmaps: lower halves in order, or a bitmap where
    /// there are more than [`SORTED_MAX`]; both little-endian.
    steady: Vec<u8>,
    /// Intervals of transient ids, part by part, by id and then by time.
    transients: Vec<Transient>,
}

/// The ids that share their upper half.
#[derive(Clone, Copy, Debug)]
struct Part {
    key: u16,
    /// Number of steady ids.
    steady: u32,
    /// Number of entries in `transients`.
    transients: u32,
}

/// A transient id is open from the instant `from` of the segment until the instant `until`.
#[derive(Clone, Copy, Debug, Default)]
struct Transient {
    /// Number of steady ids below `id`; valid only where these are sorted.
    below: u16,
    id: u16,
    from: u16,
    /// [`u16::MAX`] if the id is open at the segment's end.
    until: u16,
}

/// An item opens or closes within the segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flip {
    pub(super) item: u32,
    /// Instant of the segment from which it counts, below [`INSTANTS_MAX`].
    pub(super) from: u16,
    pub(super) opens: bool,
}

/// Builds consecutive segments; holds the open ids at the end of the last one.
#[derive(Debug, Default)]
pub(super) struct SegmentBuilder {
    /// In the order of their keys; none is empty.
    open: Vec<(u16, Ids)>,
    spare: Vec<Flip>,
    /// Buffer in which the next segment is built; its clone has no spare capacity.
    next: Segment,
}

/// Lower halves of open ids.
#[derive(Debug)]
enum Ids {
    /// At most [`SORTED_MAX`], rising.
    Sorted(Vec<u16>),
    /// A bitmap and the number of its ids, more than [`SORTED_MAX`].
    Dense(Box<[u64; WORDS]>, usize),
}

impl SegmentBuilder {
    /// Lower bound of the next segment's size, in bytes.
    pub(super) fn size(&self) -> usize {
        let ids = self.open.iter().map(|(_, ids)| match ids {
            Ids::Sorted(ids) => size_of_val(ids.as_slice()),
            Ids::Dense(words, _) => size_of_val(words.as_slice()),
        });
        size_of::<Segment>() + ids.map(|size| size_of::<Part>() + size).sum::<usize>()
    }

    /// Builds the segment of these flips, which are ordered by time, and moves to its end.
    pub(super) fn pass(&mut self, flips: &mut Vec<Flip>) -> Segment {
        sort_by_number(flips, &mut self.spare, |flip| u64::from(flip.item));
        self.next.parts.clear();
        self.next.steady.clear();
        self.next.transients.clear();
        let mut before = std::mem::take(&mut self.open).into_iter().peekable();
        let mut runs = flips.chunk_by(|a, b| a.item >> 16 == b.item >> 16).peekable();
        loop {
            let (open, flipped) = (before.peek().map(|part| part.0), runs.peek().map(|run| (run[0].item >> 16) as u16));
            let Some(key) = open.into_iter().chain(flipped).min() else { break };
            let ids = before.next_if(|part| part.0 == key).map_or(Ids::Sorted(Vec::new()), |part| part.1);
            let flips = runs.next_if(|_| flipped == Some(key)).unwrap_or_default();
            let after = self.next.push(key, ids, flips);
            if !after.is_empty() {
                self.open.push((key, after));
            }
        }
        self.next.clone()
    }
}

impl Ids {
    fn is_empty(&self) -> bool {
        matches!(self, Ids::Sorted(ids) if ids.is_empty())
    }

    fn from_sorted(ids: Vec<u16>) -> Ids {
        if ids.len() <= SORTED_MAX {
            return Ids::Sorted(ids);
        }
        let mut words = Box::new([0; WORDS]);
        put_all(&mut words, &ids);
        Ids::Dense(words, ids.len())
    }

    fn from_words(words: Box<[u64; WORDS]>, count: usize) -> Ids {
        if count <= SORTED_MAX { Ids::Sorted(ids_of(&words)) } else { Ids::Dense(words, count) }
    }
}

impl Segment {
    /// Adds the next part, from the ids that are open before it and their flips. Returns the ids that are open after
    /// it.
    fn push(&mut self, key: u16, open: Ids, flips: &[Flip]) -> Ids {
        let transients = self.transients.len();
        let (steady, after) = match open {
            Ids::Sorted(ids) => self.push_sorted(ids, flips),
            Ids::Dense(words, count) => self.push_dense(words, count, flips),
        };
        let transients = self.transients.len() - transients;
        if steady + transients > 0 {
            self.parts.push(Part { key, steady: steady as u32, transients: transients as u32 });
        }
        after
    }

    fn push_sorted(&mut self, open: Vec<u16>, flips: &[Flip]) -> (usize, Ids) {
        if flips.is_empty() {
            self.push_steady(&open);
            return (open.len(), Ids::Sorted(open));
        }
        let mut steady = Vec::with_capacity(open.len() + flips.len());
        let mut after = Vec::with_capacity(open.len() + flips.len());
        let mut rest = &open[..];
        for run in flips.chunk_by(|a, b| a.item == b.item) {
            let id = run[0].item as u16;
            let below = rest.iter().position(|open| *open >= id).unwrap_or(rest.len());
            steady.extend_from_slice(&rest[..below]);
            after.extend_from_slice(&rest[..below]);
            rest = &rest[below + usize::from(rest.get(below) == Some(&id))..];
            let (is_open, run) = at_begin(run);
            let below = steady.len();
            if run.is_empty() && is_open {
                steady.push(id);
            }
            if self.pass(id, below as u16, is_open, run) {
                after.push(id);
            }
        }
        steady.extend_from_slice(rest);
        after.extend_from_slice(rest);
        self.push_steady(&steady);
        (steady.len(), Ids::from_sorted(after))
    }

    fn push_steady(&mut self, ids: &[u16]) {
        if ids.len() <= SORTED_MAX {
            let begin = self.steady.len();
            self.steady.resize(begin + 2 * ids.len(), 0);
            let (pairs, _) = self.steady[begin..].as_chunks_mut::<2>();
            for (pair, id) in pairs.iter_mut().zip(ids) {
                *pair = id.to_le_bytes();
            }
        } else {
            let mut words = [0; WORDS];
            put_all(&mut words, ids);
            self.steady.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
    }

    fn push_dense(&mut self, mut words: Box<[u64; WORDS]>, count: usize, flips: &[Flip]) -> (usize, Ids) {
        let runs = || flips.chunk_by(|a, b| a.item == b.item);
        let is_steady = |run: &[Flip]| matches!(at_begin(run), (true, []));
        let mut steady = count;
        for run in runs() {
            steady = steady + usize::from(is_steady(run)) - usize::from(!run[0].opens);
        }
        if steady <= SORTED_MAX {
            return self.push_sorted(ids_of(&words), flips);
        }
        for run in runs().filter(|run| is_steady(run) == run[0].opens) {
            flip(&mut words, run[0].item as u16);
        }
        self.steady.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        let mut after = steady;
        for run in runs().filter(|run| !is_steady(run)) {
            let (id, (is_open, run)) = (run[0].item as u16, at_begin(run));
            if self.pass(id, 0, is_open, run) {
                flip(&mut words, id);
                after += 1;
            }
        }
        (steady, Ids::from_words(words, after))
    }

    /// Records the intervals in which an id is open, from the rest of its flips in order. Returns whether it is open at
    /// the end.
    fn pass(&mut self, id: u16, below: u16, is_open: bool, flips: &[Flip]) -> bool {
        let mut open = is_open.then_some(0);
        for flip in flips {
            open = match open {
                None => Some(flip.from),
                Some(from) => {
                    self.transients.push(Transient { below, id, from, until: flip.from });
                    None
                }
            };
        }
        // An id without flips is steady.
        if let Some(from) = open.filter(|_| !flips.is_empty()) {
            self.transients.push(Transient { below, id, from, until: u16::MAX });
        }
        open.is_some()
    }

    /// The open set at an instant of the segment, counted from 0.
    ///
    /// It is serialised in the portable format, <https://github.com/RoaringBitmap/RoaringFormatSpec>, and parsed again:
    /// the only way to load sorted ids in bulk. Inserting them one by one takes ten times as long.
    pub(super) fn open_at(&self, instant: u16) -> RoaringBitmap {
        let (mut keys, mut offsets) = (Vec::new(), Vec::new());
        let mut ids = Vec::with_capacity(self.steady.len() + 2 * self.transients.len() + COPIED);
        let (mut steady, mut transients) = (&self.steady[..], &self.transients[..]);
        let mut chosen: Vec<Transient> = Vec::new();
        for part in &self.parts {
            let (own_steady, rest) = steady.split_at(size(part.steady as usize));
            let (own_passing, others) = transients.split_at(part.transients as usize);
            (steady, transients) = (rest, others);
            choose(own_passing, instant, &mut chosen);
            let count = part.steady as usize + chosen.len();
            if count > 0 {
                keys.extend(part.key.to_le_bytes());
                keys.extend(((count - 1) as u16).to_le_bytes());
                offsets.push(ids.len());
                if count <= SORTED_MAX {
                    write_sorted(own_steady, &chosen, &mut ids);
                } else {
                    write_bitmap(own_steady, part.steady as usize, &chosen, &mut ids);
                }
            }
        }
        let mut head = Vec::with_capacity(8 + 2 * keys.len());
        head.extend(COOKIE.to_le_bytes());
        head.extend((offsets.len() as u32).to_le_bytes());
        head.extend(&keys);
        let before = 8 + 2 * keys.len();
        head.extend(offsets.iter().flat_map(|offset| ((before + offset) as u32).to_le_bytes()));
        match RoaringBitmap::deserialize_unchecked_from(head.chain(&ids[..])) {
            Ok(open) => open,
            Err(error) => unreachable!("we read what we wrote: {error}"),
        }
    }
}

/// Bytes of this many ids of a part in the portable format.
fn size(ids: usize) -> usize {
    if ids <= SORTED_MAX { 2 * ids } else { WORDS_BYTES }
}

/// Selects the transient ids that are open at an instant. It is branchless, since the outcome is unpredictable.
fn choose(transients: &[Transient], instant: u16, chosen: &mut Vec<Transient>) {
    chosen.clear();
    chosen.resize(transients.len(), Transient::default());
    let mut count = 0;
    for transients in transients {
        chosen[count] = *transients;
        count += usize::from((transients.from <= instant) & (instant < transients.until));
    }
    chosen.truncate(count);
}

/// Writes sorted ids: the steady ids up to the next chosen one, that one, and so on.
fn write_sorted(steady: &[u8], chosen: &[Transient], ids: &mut Vec<u8>) {
    let mut done = 0;
    for transients in chosen {
        let below = 2 * usize::from(transients.below);
        match steady[done..].first_chunk::<COPIED>() {
            // Most gaps are short, so a copy of constant length is fastest; the surplus is truncated.
            Some(next) if below - done <= COPIED => {
                let end = ids.len() + below - done;
                ids.extend_from_slice(next);
                ids.truncate(end);
            }
            _ => ids.extend_from_slice(&steady[done..below]),
        }
        ids.extend_from_slice(&transients.id.to_le_bytes());
        done = below;
    }
    ids.extend_from_slice(&steady[done..]);
}

/// Writes a bitmap of `count` steady ids and the chosen ones.
fn write_bitmap(steady: &[u8], count: usize, chosen: &[Transient], ids: &mut Vec<u8>) {
    let begin = ids.len();
    let put = |ids: &mut Vec<u8>, id: u16| ids[begin + usize::from(id) / 8] |= 1 << (id % 8);
    if count > SORTED_MAX {
        ids.extend_from_slice(steady);
    } else {
        ids.resize(begin + WORDS_BYTES, 0);
        let (pairs, _) = steady.as_chunks::<2>();
        for id in pairs {
            put(ids, u16::from_le_bytes(*id));
        }
    }
    for transients in chosen {
        put(ids, transients.id);
    }
}

/// Whether an item with these flips is open at the segment's begin, and its remaining flips.
fn at_begin(flips: &[Flip]) -> (bool, &[Flip]) {
    match flips {
        [first, rest @ ..] if first.from == 0 => (first.opens, rest),
        [first, ..] => (!first.opens, flips),
        [] => (false, flips),
    }
}

fn flip(words: &mut [u64; WORDS], id: u16) {
    words[usize::from(id) / 64] ^= 1 << (id % 64);
}

fn put_all(words: &mut [u64; WORDS], ids: &[u16]) {
    for id in ids {
        words[usize::from(*id) / 64] |= 1 << (id % 64);
    }
}

fn ids_of(words: &[u64; WORDS]) -> Vec<u16> {
    let mut ids = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let mut left = *word;
        while left != 0 {
            ids.push((index * 64) as u16 + left.trailing_zeros() as u16);
            left &= left - 1;
        }
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The last possible instant of a segment is valid, and its open ids carry over to the next segment.
    #[test]
    fn the_last_instant_counts() {
        const LAST: u16 = (INSTANTS_MAX - 1) as u16;
        let mut builder = SegmentBuilder::default();
        let flip = |item, from, opens| Flip { item, from, opens };
        let segment = builder.pass(&mut vec![
            flip(7, 0, true),
            flip(70_000, 3, true),
            flip(8, LAST - 1, true),
            flip(7, LAST, false),
            flip(9, LAST, true),
        ]);
        for (instant, open) in [
            (0, &[7][..]),
            (2, &[7]),
            (3, &[7, 70_000]),
            (LAST - 2, &[7, 70_000]),
            (LAST - 1, &[7, 8, 70_000]),
            (LAST, &[8, 9, 70_000]),
        ] {
            assert_eq!(segment.open_at(instant), open.iter().copied().collect(), "{instant}");
        }
        let next = builder.pass(&mut vec![flip(8, 0, false), flip(70_000, 1, false)]);
        assert_eq!(next.open_at(0), [9, 70_000].into_iter().collect());
        assert_eq!(next.open_at(LAST), [9].into_iter().collect());
        assert_eq!(builder.pass(&mut vec![flip(9, 0, false)]).open_at(5), RoaringBitmap::new());
    }
}
