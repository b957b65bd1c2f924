//! Interface of an expert, and the items and blocks that experts read.
//!
//! Invariant: an expert's block form gives the bits of its row form. It sums its terms in the order of the features and
//! may leave out terms that are 0.

use crate::domain::ids::{ItemId, UserId};
use crate::domain::time::Millis;
use crate::domain::windows::Window;
use crate::engine::catalogue::block::{BLOCK, Block, Columns, NOBODY};
use crate::engine::evidence::feature_store::FeatureStore;
use crate::engine::evidence::item_evidence::{ItemEvidence, Slot};
use crate::engine::evidence::user_profile::UserProfile;
use crate::engine::learners::clock::Clock;

/// One number per item of a block.
pub(crate) type Lane = [f32; BLOCK];

/// One expert of the blend, with `N` features.
pub(crate) trait Expertise<'a, const N: usize>: Sized {
    /// Names of the features, in the order of the vector.
    const NAMES: [&'static str; N];

    /// Weights with which the expert ranks alone, in units of the features; at least one is not 0.
    const ALONE: [f32; N];

    /// The multiple of [`Expertise::ALONE`] with which the blend starts. The settings can replace it.
    const FIRST_AMOUNT: f32;

    /// Weights with which the blend starts, at the multiple that the settings give.
    fn first_weights(amount: f32) -> [f32; N] {
        Self::ALONE.map(|weight| weight * amount)
    }

    /// Prepares to describe single items for one person at one instant.
    fn of(context: Context<'a>) -> Self;

    /// Writes the features of one item into `out`, which holds zeros.
    fn row(&self, item: &ItemRow<'_>, out: &mut [f32; N]);

    /// Computes whatever [`Expertise::add_block`] needs once per ranking. `weights` are those of items that are new to the
    /// person.
    fn prepare(&mut self, _weights: &[f32; N]) {}

    /// Marks the items of a block that [`Expertise::add_block`] cannot score; their rows score them. `repeat` marks all items
    /// that the person visited.
    fn mark_apart(&self, _block: &BlockRows<'_>, _apart: &mut Apart) {}

    /// Adds the expert's share to the score of each item of a block that is new to the person and not marked apart. The terms
    /// are summed first, and their sum is added once.
    fn add_block(&self, block: &BlockRows<'_>, weights: &[f32; N], scores: &mut Lane);
}

/// The person, the feature store and the instant of one ranking.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The catalogue, and everything that is learned from all people.
    pub store: &'a FeatureStore,
    /// The state of the person.
    pub profile: &'a UserProfile<'a>,
    /// The instant of the ranking, in UTC.
    pub now: Millis,
    /// Hour of the day and of the week at `now`, as unit vectors in UTC.
    pub clock: Clock,
}

/// One item, as experts read it.
pub struct ItemRow<'r> {
    /// The item's id.
    pub id: ItemId,
    /// The block in which the item lies.
    pub block: &'r Block,
    /// The columns of that block.
    pub columns: &'r Columns,
    /// The item's place in the block.
    pub row: usize,
    /// Log-odds of the online model: exact, or rough in the scan of the catalogue.
    pub online: f32,
    /// The window that contains the instant; `None` for an item without windows.
    pub window: Option<&'r Window>,
    /// The evidence from the person's history and friends.
    pub slot: Slot,
    /// The evidence about all items.
    pub evidence: &'r ItemEvidence,
}

impl ItemRow<'_> {
    /// Rank of the item among the person's visits, from 0 for the last one; `None` if the item is new to them.
    #[inline]
    pub fn visit(&self) -> Option<usize> {
        self.slot.visit.checked_sub(1).map(usize::from)
    }
}

/// The items of one block, as experts read them.
pub(crate) struct BlockRows<'r> {
    /// The block's place in the catalogue.
    pub index: usize,
    /// The items and embeddings of the block.
    pub block: &'r Block,
    /// The columns of the block.
    pub columns: &'r Columns,
    /// Log-odds of the online model per item.
    pub online: &'r Lane,
    /// Milliseconds since each item was made.
    pub ages: &'r Lane,
    /// The evidence about all items.
    pub evidence: &'r ItemEvidence,
}

impl BlockRows<'_> {
    /// Number of items in the block, at most [`BLOCK`].
    #[inline]
    pub fn len(&self) -> usize {
        self.block.items().len()
    }
}

/// Marks on the items of a block that no block form can score.
pub struct Apart {
    /// One mark per item.
    pub marks: [bool; BLOCK],
    has_evidence_marks: bool,
}

impl Apart {
    /// Marks the places of the block beyond its last item.
    #[inline]
    pub fn beyond(block: &BlockRows<'_>) -> Apart {
        let mut marks = [false; BLOCK];
        marks[block.len()..].fill(true);
        Apart { marks, has_evidence_marks: false }
    }

    /// Marks the items for which there is evidence from the person's history or friends. Repeated calls cost nothing.
    #[inline]
    pub(crate) fn mark_evidence(&mut self, block: &BlockRows<'_>) {
        if !self.has_evidence_marks {
            block.evidence.mark_filled(block.index, &mut self.marks);
            self.has_evidence_marks = true;
        }
    }
}

/// A filter over author ids: it rules out nearly all authors whom the person does not know, by one look each.
#[derive(Default)]
pub(crate) struct AuthorFilter {
    /// Marks by id modulo [`RESTS`]; `None` when no author is known. An array, so that a look needs no check of bounds.
    marks: Option<Box<[bool; RESTS]>>,
}

/// Number of marks of an [`AuthorFilter`].
const RESTS: usize = 1_024;

impl AuthorFilter {
    /// Lets these authors pass.
    pub fn of(authors: impl Iterator<Item = UserId>) -> AuthorFilter {
        let mut marks: Option<Box<[bool; RESTS]>> = None;
        for author in authors {
            marks.get_or_insert_with(|| Box::new([false; RESTS]))[author.0 as usize % RESTS] = true;
        }
        AuthorFilter { marks }
    }

    /// Whether no author passes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.marks.is_none()
    }

    /// Rows whose author may be known, with the author's id.
    #[inline]
    pub fn candidates<'c>(&'c self, columns: &'c Columns) -> impl Iterator<Item = (usize, u32)> + 'c {
        const NO_MARKS: &[bool; RESTS] = &[false; RESTS];
        let (authors, marks): (&[u32], _) = match &self.marks {
            Some(marks) => (&columns.author, &**marks),
            None => (&[], NO_MARKS),
        };
        let authors = authors.iter().copied().enumerate();
        authors.filter(move |(_, author)| marks[*author as usize % RESTS] && *author != NOBODY)
    }
}

/// The value of a key in a list that is sorted by key; 0 for a key that is absent.
#[inline]
pub(crate) fn look_up<K: Ord + Copy>(sorted: &[(K, f32)], key: K) -> f32 {
    sorted.binary_search_by_key(&key, |(key, _)| *key).map_or(0.0, |index| sorted[index].1)
}

/// Adds one share to all items.
#[inline(always)]
pub(crate) fn add_constant(share: f32, scores: &mut Lane) {
    for score in scores {
        *score += share;
    }
}

/// Adds one share per item.
#[inline(always)]
pub(crate) fn add_shares(shares: &Lane, scores: &mut Lane) {
    for (score, share) in scores.iter_mut().zip(shares) {
        *score += share;
    }
}

/// Adds one weighted value per item.
#[inline(always)]
pub(crate) fn add_weighted(weight: f32, values: &Lane, scores: &mut Lane) {
    for (score, value) in scores.iter_mut().zip(values) {
        *score += weight * value;
    }
}

/// The place of a feature among the names of its expert; an unknown name does not compile.
pub const fn place<const N: usize>(names: &[&str; N], name: &str) -> usize {
    let mut place = 0;
    while place < N {
        if is_same(names[place], name) {
            return place;
        }
        place += 1;
    }
    panic!("no feature has this name")
}

/// Compares two names at compile time.
pub const fn is_same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    a.len() == b.len()
}
