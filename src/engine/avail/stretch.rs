//! The open set at any instant of a stretch of time: what is open throughout, and what comes or goes meanwhile.
//!
//! Invariant: within a [`Part`] ids are sorted; those that are steady flip nowhere in the stretch, and those that pass are
//! in no two windows at once. So the answer is a copy of the former with some of the latter put in between, and costs
//! the same anywhere in the stretch.
//! Absent on purpose: times (a stretch counts the instants since it began).

use std::io::{self, Read};
use std::ops::Range;

use roaring::RoaringBitmap;

use super::order::sort_by_number;

/// A stretch has at most so many instants.
pub(super) const INSTANTS_MAX: usize = u16::MAX as usize;
/// More ids than this in a part are kept as a bitmap, as [`RoaringBitmap`] does it.
const SORTED_MAX: usize = 4_096;
/// Words of a bitmap.
const WORDS: usize = 1_024;

/// Which ids are open from one instant on until some later one.
#[derive(Debug, Default)]
pub(super) struct Stretch {
    /// By key.
    parts: Vec<Part>,
    /// Steady ids of parts that have few of them, one part after the other.
    sorted: Vec<u16>,
    /// The same of parts that have many: [`WORDS`] words each.
    dense: Vec<u64>,
    /// One part after the other, by id and then by time.
    passing: Vec<Passing>,
}

/// The ids that share their upper half.
#[derive(Clone, Copy, Debug)]
struct Part {
    key: u16,
    /// So many are steady.
    steady: u32,
    /// So many entries in `passing`.
    passing: u32,
}

/// Open from the instant `from` of the stretch until the instant `until`.
#[derive(Clone, Copy, Debug)]
struct Passing {
    /// Steady ids below it; counts only where these are sorted.
    below: u16,
    id: u16,
    from: u16,
    /// [`u16::MAX`] when it is open at the end.
    until: u16,
}

/// A flip of the stretch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flip {
    pub(super) item: u32,
    /// Counts from this instant of the stretch on, below [`INSTANTS_MAX`].
    pub(super) from: u16,
    pub(super) opens: bool,
}

/// What is open where a stretch ends; from here the next one is built.
#[derive(Debug, Default)]
pub(super) struct Front {
    /// By key; none is empty.
    open: Vec<(u16, Ids)>,
    spare: Vec<Flip>,
}

/// Lower halves of ids.
#[derive(Debug)]
enum Ids {
    /// At most [`SORTED_MAX`], rising.
    Sorted(Vec<u16>),
    /// More, and how many.
    Dense(Box<[u64; WORDS]>, usize),
}

impl Front {
    /// What a stretch from here takes at least, in bytes.
    pub(super) fn size(&self) -> usize {
        let ids = self.open.iter().map(|(_, ids)| match ids {
            Ids::Sorted(ids) => size_of_val(ids.as_slice()),
            Ids::Dense(words, _) => size_of_val(words.as_slice()),
        });
        size_of::<Stretch>() + ids.map(|size| size_of::<Part>() + size).sum::<usize>()
    }

    /// The stretch of these flips, which come by time; the front moves to its end.
    pub(super) fn pass(&mut self, mut flips: Vec<Flip>) -> Stretch {
        sort_by_number(&mut flips, &mut self.spare, |flip| u64::from(flip.item));
        let mut stretch = Stretch::default();
        let mut before = std::mem::take(&mut self.open).into_iter().peekable();
        let mut runs = flips.chunk_by(|a, b| a.item >> 16 == b.item >> 16).peekable();
        loop {
            let (open, flipped) = (before.peek().map(|part| part.0), runs.peek().map(|run| (run[0].item >> 16) as u16));
            let Some(key) = open.into_iter().chain(flipped).min() else { break };
            let ids = before.next_if(|part| part.0 == key).map_or(Ids::Sorted(Vec::new()), |part| part.1);
            let flips = runs.next_if(|_| flipped == Some(key)).unwrap_or_default();
            let after = stretch.push(key, ids, flips);
            if !after.is_empty() {
                self.open.push((key, after));
            }
        }
        // Stretches are kept: no room to grow.
        stretch.parts.shrink_to_fit();
        stretch.sorted.shrink_to_fit();
        stretch.passing.shrink_to_fit();
        stretch
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

impl Stretch {
    /// Adds the next part: these ids were open before, and these flips of them follow. Returns what is open after it.
    fn push(&mut self, key: u16, open: Ids, flips: &[Flip]) -> Ids {
        let passing = self.passing.len();
        let (steady, after) = match open {
            Ids::Sorted(ids) => self.push_sorted(ids, flips),
            Ids::Dense(words, count) => self.push_dense(words, count, flips),
        };
        let passing = self.passing.len() - passing;
        if steady + passing > 0 {
            self.parts.push(Part { key, steady: steady as u32, passing: passing as u32 });
        }
        after
    }

    fn push_sorted(&mut self, open: Vec<u16>, flips: &[Flip]) -> (usize, Ids) {
        if flips.is_empty() {
            self.sorted.extend_from_slice(&open);
            return (open.len(), Ids::Sorted(open));
        }
        let begin = self.sorted.len();
        let mut after = Vec::with_capacity(open.len() + flips.len());
        let mut rest = &open[..];
        for run in flips.chunk_by(|a, b| a.item == b.item) {
            let id = run[0].item as u16;
            let below = rest.iter().position(|open| *open >= id).unwrap_or(rest.len());
            self.sorted.extend_from_slice(&rest[..below]);
            after.extend_from_slice(&rest[..below]);
            rest = &rest[below + usize::from(rest.get(below) == Some(&id))..];
            let (is_open, run) = at_begin(run);
            let below = self.sorted.len() - begin;
            if run.is_empty() && is_open {
                self.sorted.push(id);
            }
            if self.pass(id, below as u16, is_open, run) {
                after.push(id);
            }
        }
        self.sorted.extend_from_slice(rest);
        after.extend_from_slice(rest);
        let steady = self.sorted.len() - begin;
        if steady > SORTED_MAX {
            let mut words = [0; WORDS];
            put_all(&mut words, &self.sorted[begin..]);
            self.sorted.truncate(begin);
            self.dense.extend_from_slice(&words);
        }
        (steady, Ids::from_sorted(after))
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
        self.dense.extend_from_slice(&*words);
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

    /// Notes when an id is open, from the rest of its flips in order; true when it is at the end.
    fn pass(&mut self, id: u16, below: u16, is_open: bool, flips: &[Flip]) -> bool {
        let mut open = is_open.then_some(0);
        for flip in flips {
            open = match open {
                None => Some(flip.from),
                Some(from) => {
                    self.passing.push(Passing { below, id, from, until: flip.from });
                    None
                }
            };
        }
        // Without flips it is steady.
        if let Some(from) = open.filter(|_| !flips.is_empty()) {
            self.passing.push(Passing { below, id, from, until: u16::MAX });
        }
        open.is_some()
    }

    /// The open set at an instant of the stretch, counted from 0.
    pub(super) fn open_at(&self, instant: u16) -> RoaringBitmap {
        let mut answer = Answer::new(self, instant);
        if answer.parts.is_empty() {
            return RoaringBitmap::new();
        }
        match RoaringBitmap::deserialize_unchecked_from(&mut answer) {
            Ok(open) => open,
            Err(error) => unreachable!("we write what is read: {error}"),
        }
    }
}

/// An open set in the portable format of Roaring bitmaps, <https://github.com/RoaringBitmap/RoaringFormatSpec>, made while it
/// is read. It is the one way to hand over sorted ids in bulk: to insert them one by one takes ten times as long.
struct Answer<'a> {
    stretch: &'a Stretch,
    /// The ids that pass and are open, one part after the other.
    chosen: Vec<Chosen>,
    /// Parts that have any, the next one last.
    parts: Vec<Full>,
    /// What can be read next, and how much of it was read.
    ready: Vec<u8>,
    read: usize,
    ids: Vec<u16>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Chosen {
    below: u16,
    id: u16,
}

/// A part that is not empty.
#[derive(Clone, Debug)]
struct Full {
    key: u16,
    steady: Steady,
    chosen: Range<usize>,
}

/// Where the steady ids are.
#[derive(Clone, Debug)]
enum Steady {
    Sorted(Range<usize>),
    Dense(Range<usize>, usize),
}

impl Full {
    fn len(&self) -> usize {
        self.chosen.len()
            + match &self.steady {
                Steady::Sorted(range) => range.len(),
                Steady::Dense(_, count) => *count,
            }
    }

    /// Bytes in the portable format.
    fn size(&self) -> usize {
        if self.len() <= SORTED_MAX { 2 * self.len() } else { 8 * WORDS }
    }
}

impl<'a> Answer<'a> {
    fn new(stretch: &'a Stretch, instant: u16) -> Answer<'a> {
        let mut chosen = vec![Chosen::default(); stretch.passing.len() + 1];
        let mut parts = Vec::with_capacity(stretch.parts.len());
        let (mut sorted, mut dense, mut count) = (0, 0, 0);
        let mut passing = &stretch.passing[..];
        for part in &stretch.parts {
            let steady = part.steady as usize;
            let steady = if steady <= SORTED_MAX {
                sorted += steady;
                Steady::Sorted(sorted - steady..sorted)
            } else {
                dense += WORDS;
                Steady::Dense(dense - WORDS..dense, steady)
            };
            let (own, rest) = passing.split_at(part.passing as usize);
            passing = rest;
            let begin = count;
            // Without a branch, since half of them are open and nobody can guess which.
            for passing in own {
                chosen[count] = Chosen { below: passing.below, id: passing.id };
                count += usize::from((passing.from <= instant) & (instant < passing.until));
            }
            let full = Full { key: part.key, steady, chosen: begin..count };
            if full.len() > 0 {
                parts.push(full);
            }
        }
        let ready = header(&parts);
        parts.reverse();
        Answer { stretch, chosen, parts, ready, read: 0, ids: Vec::new() }
    }

    /// Makes the next part ready.
    fn advance(&mut self) {
        self.ready.clear();
        self.read = 0;
        let Some(part) = self.parts.pop() else { return };
        let chosen = &self.chosen[part.chosen.clone()];
        if part.len() <= SORTED_MAX {
            // Then so are its steady ones.
            let Steady::Sorted(range) = part.steady else { return };
            let steady = &self.stretch.sorted[range];
            self.ids.clear();
            let mut done = 0;
            for Chosen { below, id } in chosen {
                let below = usize::from(*below);
                self.ids.extend_from_slice(&steady[done..below]);
                self.ids.push(*id);
                done = below;
            }
            self.ids.extend_from_slice(&steady[done..]);
            self.ready.extend(self.ids.iter().flat_map(|id| id.to_le_bytes()));
        } else {
            let mut words = [0; WORDS];
            match part.steady {
                Steady::Sorted(range) => put_all(&mut words, &self.stretch.sorted[range]),
                Steady::Dense(range, _) => words.copy_from_slice(&self.stretch.dense[range]),
            }
            for chosen in chosen {
                flip(&mut words, chosen.id);
            }
            self.ready.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
    }
}

impl Read for Answer<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.read == self.ready.len() {
            self.advance();
        }
        let ready = &self.ready[self.read..];
        let count = ready.len().min(out.len());
        out[..count].copy_from_slice(&ready[..count]);
        self.read += count;
        Ok(count)
    }
}

/// Of a bitmap with these parts.
fn header(parts: &[Full]) -> Vec<u8> {
    /// No part is made of runs.
    const COOKIE: u32 = 12_346;
    let mut bytes = Vec::with_capacity(8 + 8 * parts.len());
    bytes.extend(COOKIE.to_le_bytes());
    bytes.extend((parts.len() as u32).to_le_bytes());
    for part in parts {
        bytes.extend(part.key.to_le_bytes());
        bytes.extend(((part.len() - 1) as u16).to_le_bytes());
    }
    let mut offset = (8 + 8 * parts.len()) as u32;
    for part in parts {
        bytes.extend(offset.to_le_bytes());
        offset = offset.wrapping_add(part.size() as u32);
    }
    bytes
}

/// Is an item with these flips open where the stretch begins, and which of them are left then?
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
