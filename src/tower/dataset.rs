//! The feed as training reads it: each person's steps, and the moments whose outcome is to be foretold.
//!
//! Invariant: a moment sees the steps that were known strictly before it. A view that was liked is one step, positive, from
//! the time of the like; one that was not is one step, negative, from the time of the view. So no row of the future, and
//! no like that was still to come, reaches a feature.

use std::collections::HashMap;

use crate::domain::time::{DAY_MS, Millis};
use crate::engine::tower::Sign;
use crate::tables::{Action, FeedRows};
use crate::tower::history::sign_place;
use crate::tower::train::choice;

/// A like belongs to the last view of the same post within this span.
const LIKE_AFTER_MS: i64 = DAY_MS;

/// How often a post is drawn until one was there.
const TRIES: usize = 50;

/// Something that a person did, once it was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownStep {
    /// Place of the post.
    pub post: u32,
    /// Place of the sign: negative, neutral, positive.
    pub sign: u8,
    /// Since when it is known.
    pub at: Millis,
}

/// Which part of the log a moment belongs to, by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slice {
    /// The first.
    Train,
    /// The next, on which training decides when to stop.
    Validation,
    /// The last, looked at once.
    Test,
}

/// Somebody sees something: will they like it?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Place of the person.
    pub person: u32,
    /// Place of the post.
    pub post: u32,
    /// When.
    pub at: Millis,
    /// Did they?
    pub liked: bool,
    /// How many of [`FeedLog::steps`] stand before it; those of this person begin at [`FeedLog::first_step`].
    pub before: u32,
    /// Its part of the log.
    pub slice: Slice,
}

/// All of it, sorted by person, then time.
#[derive(Clone, Debug, Default)]
pub struct FeedLog {
    /// Steps.
    pub steps: Vec<KnownStep>,
    /// Moments.
    pub moments: Vec<Moment>,
    /// Where each person's steps begin, and where the last ones end, `(people + 1,)`.
    first: Vec<u32>,
    /// Are there moments of both kinds?
    pub both: bool,
}

/// How the log is parted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fractions {
    /// Share of the moments that stand last.
    pub test: f64,
    /// Share of the moments that stand before those.
    pub validation: f64,
}

impl FeedLog {
    /// Reads the feed of so many people.
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

    /// Where a person's steps begin.
    #[must_use]
    pub fn first_step(&self, person: u32) -> u32 {
        self.first[person as usize]
    }

    /// The places of the steps that a moment sees, at most the last `history`.
    #[must_use]
    pub fn window(&self, moment: &Moment, history: usize) -> std::ops::Range<usize> {
        let from = self.first_step(moment.person).max(moment.before.saturating_sub(history as u32));
        from as usize..moment.before as usize
    }

    fn push_person(&mut self, feed: &FeedRows, person: u32, rows: &[u32], targets: bool, views: bool) {
        // Likes find their views first: a view's step waits for its like.
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

    /// Where everything was liked: beside each moment of the later slices, one that was not, with a post that was there at
    /// the time, so that figures and calibration have something to compare with.
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

    /// Gives each moment its slice: equal times are never parted.
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

/// Rows of each person in the order of the feed: where each begins, `(people + 1,)`, and the rows.
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
