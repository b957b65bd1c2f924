//! Training data from a feed: each user's history steps, and the views whose outcome the model predicts.
//!
//! Invariant: a view sees only steps known strictly before it. A liked view is one positive step from the time of the
//! like. A view without a like is one negative step from the time of the view. So no later row, and no like still to
//! come, reaches a feature.

use std::collections::HashMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::domain::time::{DAY_MS, Millis};
use crate::engine::two_tower::Sign;
use crate::tables::{Action, FeedRows};
use crate::tower::history::sign_place;

/// A like belongs to the last view of its post within this span.
const LIKE_AFTER_MS: i64 = DAY_MS;

/// Attempts at drawing a post that was available at the time of a view.
const TRIES: usize = 50;

/// One step of a user's history, from the time at which its outcome was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownStep {
    /// Index of the post.
    pub post: u32,
    /// Index of the sign: negative, neutral, positive.
    pub sign: u8,
    /// Time from which the step is known.
    pub at: Millis,
}

/// Part of the log, split by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slice {
    /// The earliest part, which gives the training examples.
    Train,
    /// The middle part, which decides when training stops.
    Validation,
    /// The latest part, evaluated once.
    Test,
}

/// One view of a post by a user, with its outcome as the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Index of the user.
    pub person: u32,
    /// Index of the post.
    pub post: u32,
    /// Time of the view.
    pub at: Millis,
    /// Label: true when a like followed.
    pub liked: bool,
    /// End of the view's history in [`FeedLog::steps`]; the user's steps begin at [`FeedLog::first_step`].
    pub before: u32,
    /// Part of the log that the view belongs to.
    pub slice: Slice,
}

/// Steps and views of all users, sorted by user, then time.
#[derive(Clone, Debug, Default)]
pub struct FeedLog {
    /// History steps of all users.
    pub steps: Vec<KnownStep>,
    /// Views of all users.
    pub moments: Vec<Moment>,
    /// Index of each user's first step, and the end of the last user's, `(people + 1,)`.
    first: Vec<u32>,
    /// True when both labels occur.
    pub both: bool,
}

/// Shares of the log that validation and test take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fractions {
    /// Share of the views that stand last.
    pub test: f64,
    /// Share of the views just before the test slice.
    pub validation: f64,
}

impl FeedLog {
    /// Builds the dataset of `people` users from a feed.
    #[must_use]
    pub fn new(feed: &FeedRows, people: usize, fractions: Fractions) -> FeedLog {
        let targets = feed.target.iter().any(|target| *target);
        let views = feed.action.contains(&Action::View);
        let mut log = FeedLog { first: vec![0], ..FeedLog::default() };
        let (starts, order) = by_person(feed, people);
        for person in 0..people {
            let rows = &order[starts[person] as usize..starts[person + 1] as usize];
            log.push_person(feed, person as u32, rows, targets, views);
        }
        log.both = log.moments.iter().any(|moment| moment.liked) && log.moments.iter().any(|moment| !moment.liked);
        log.part(fractions);
        log
    }

    /// Index of a user's first step.
    #[must_use]
    pub fn first_step(&self, person: u32) -> u32 {
        self.first[person as usize]
    }

    /// Range of the steps that a view sees, at most the last `history`.
    #[must_use]
    pub fn window(&self, moment: &Moment, history: usize) -> std::ops::Range<usize> {
        let from = self.first_step(moment.person).max(moment.before.saturating_sub(history as u32));
        from as usize..moment.before as usize
    }

    fn push_person(&mut self, feed: &FeedRows, person: u32, rows: &[u32], targets: bool, views: bool) {
        // A view's step waits here for its like.
        let mut open: HashMap<u32, usize> = HashMap::new();
        let mut steps: Vec<KnownStep> = Vec::with_capacity(rows.len());
        let mut seen: Vec<(u32, Millis, usize)> = Vec::with_capacity(rows.len());
        for &row in rows {
            let row = row as usize;
            let (post, at) = (feed.post[row], feed.at[row]);
            match feed.action[row] {
                Action::View => {
                    let sign = if feed.target[row] { Sign::Positive } else { Sign::Negative };
                    open.insert(post, steps.len());
                    seen.push((post, at, steps.len()));
                    steps.push(KnownStep { post, sign: sign_place(sign) as u8, at });
                }
                Action::Like => {
                    let view = open.remove(&post).filter(|view| {
                        let step = &steps[*view];
                        at.since(step.at) <= LIKE_AFTER_MS
                            && (!targets || step.sign == sign_place(Sign::Positive) as u8)
                    });
                    let known = KnownStep { post, sign: sign_place(Sign::Positive) as u8, at };
                    match view {
                        Some(view) => steps[view] = known,
                        None => {
                            if !views {
                                seen.push((post, at, steps.len()));
                            }
                            steps.push(known);
                        }
                    }
                }
            }
        }
        let liked: Vec<bool> =
            seen.iter().map(|(_, _, step)| steps[*step].sign == sign_place(Sign::Positive) as u8).collect();
        steps.sort_by_key(|step| step.at);
        let offset = self.steps.len() as u32;
        self.moments.extend(seen.iter().zip(liked).map(|(&(post, at, _), liked)| {
            let before = offset + steps.partition_point(|step| step.at < at) as u32;
            Moment { person, post, at, liked, before, slice: Slice::Train }
        }));
        self.steps.append(&mut steps);
        self.first.push(self.steps.len() as u32);
    }

    /// Adds negatives to a log of likes alone: one per validation and test view, with a post that was available then.
    /// Quality figures and calibration need both labels.
    pub fn add_negatives(&mut self, posts: usize, seed: u64) {
        let mut span = vec![(Millis::MAX, Millis::MIN); posts];
        for moment in &self.moments {
            let (from, to) = &mut span[moment.post as usize];
            (*from, *to) = ((*from).min(moment.at), (*to).max(moment.at));
        }
        let mut choose = choice(seed);
        let mut all = Vec::with_capacity(self.moments.len());
        for moment in self.moments.drain(..) {
            all.push(moment);
            if moment.slice == Slice::Train {
                continue;
            }
            for _ in 0..TRIES {
                let post = choose(posts);
                if post != moment.post as usize && span[post].0 <= moment.at && moment.at <= span[post].1 {
                    all.push(Moment { post: post as u32, liked: false, ..moment });
                    break;
                }
            }
        }
        self.moments = all;
    }

    /// Assigns each view its slice; equal times stay in one slice.
    fn part(&mut self, fractions: Fractions) {
        let mut times: Vec<Millis> = self.moments.iter().map(|moment| moment.at).collect();
        times.sort_unstable();
        let edge = |share: f64| {
            let place = (times.len() as f64 * share).ceil() as usize;
            times.get(place).copied()
        };
        let (validation, test) = (edge(1.0 - fractions.test - fractions.validation), edge(1.0 - fractions.test));
        for moment in &mut self.moments {
            moment.slice = match (validation, test) {
                (_, Some(test)) if moment.at >= test => Slice::Test,
                (Some(validation), _) if moment.at >= validation => Slice::Validation,
                _ => Slice::Train,
            };
        }
    }
}

/// Groups rows by user, keeping the order of the feed: offsets `(people + 1,)`, then row indices.
fn by_person(feed: &FeedRows, people: usize) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![0_u32; people + 1];
    for person in &feed.person {
        starts[*person as usize + 1] += 1;
    }
    for person in 0..people {
        starts[person + 1] += starts[person];
    }
    let (mut next, mut order) = (starts.clone(), vec![0_u32; feed.person.len()]);
    for (row, person) in feed.person.iter().enumerate() {
        let place = &mut next[*person as usize];
        order[*place as usize] = row as u32;
        *place += 1;
    }
    (starts, order)
}

/// Draws post indices for [`FeedLog::add_negatives`], uniformly and by a seed.
fn choice(seed: u64) -> impl FnMut(usize) -> usize {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    chance.set_stream(u64::MAX);
    move |from| chance.random_range(0..from)
}
