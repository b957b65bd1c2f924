//! Questions to all active people: the audience of an item, and the people who resemble a person.
//!
//! Invariant: at most [`ASKED_MAX`] people are scored per question, each by their own actor, so no push waits for more
//! than one score. People without an answer in time are left out, and the result counts the scored ones. Deliberately
//! absent: inactive people. Scoring them would load each of them from the store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::domain::ids::{ItemId, UserId};

pub use crate::engine::user::Likeness;

use super::errors::{Busy, RequestError};
use super::server::Server;
use super::user::messages::{ToUser, Want, WantLikeness};
use crate::engine::user::LikenessQuestion;

/// The largest number of people who are scored per question.
pub const ASKED_MAX: usize = 20_000;
/// The time within which actors have to answer.
const WITHIN: Duration = Duration::from_secs(2);

/// The active people to whom an item scores highest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audience {
    /// People with their log-odds, best first, equal scores by id.
    pub people: Vec<(UserId, f32)>,
    /// The number of active people.
    pub active: usize,
    /// The number of people scored in time. People who hid the item are counted here and are not in `people`.
    pub scored: usize,
}

/// The active people who resemble a person most.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SimilarPeople {
    /// People with their score and their cosines, best first, equal scores by id.
    pub people: Vec<(UserId, f32, Likeness)>,
    /// The number of active people.
    pub active: usize,
    /// The number of people compared in time, without the person.
    pub compared: usize,
}

/// The measure of similarity of two people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AlikeBy {
    /// Items that both visited.
    Visits,
    /// Decayed topic weights.
    Topics,
    /// The mean of both cosines.
    #[default]
    Both,
}

impl AlikeBy {
    fn score(self, likeness: Likeness) -> f32 {
        match self {
            AlikeBy::Visits => likeness.visits,
            AlikeBy::Topics => likeness.topics,
            AlikeBy::Both => 0.5 * (likeness.visits + likeness.topics),
        }
    }
}

impl Server {
    /// The `limit` active people to whom the `model` ranking gives this item the highest scores.
    ///
    /// # Errors
    /// Busy while another question of this kind is being answered.
    pub async fn audience(&self, item: ItemId, limit: usize) -> Result<Audience, Busy> {
        // One question at a time: each costs as much as a change of availability.
        let _turn = self.context.audience.try_lock().map_err(|_| Busy::AudienceUnderWay)?;
        let (answer, mut answers) = mpsc::unbounded_channel();
        let want = Want { item, world: self.world(), now: self.context.clock.now(), answer };
        let (active, asked) = self.directory.ask_all(&want, ASKED_MAX);
        drop(want);
        let (mut people, mut scored, end) = (Vec::with_capacity(asked), 0, Instant::now() + WITHIN);
        while scored < asked
            && let Ok(Some((user, score))) = timeout_at(end, answers.recv()).await
        {
            scored += 1;
            people.extend(score.map(|score| (user, score)));
        }
        people.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        people.truncate(limit);
        Ok(Audience { people, active, scored })
    }

    /// The `limit` active people who resemble this person most, with a similarity above 0.
    ///
    /// # Errors
    /// Busy while another question of this kind is being answered, or when the person's actor does not answer in time.
    pub async fn similar_people(&self, user: UserId, by: AlikeBy, limit: usize) -> Result<SimilarPeople, RequestError> {
        let _turn = self.context.audience.try_lock().map_err(|_| Busy::AudienceUnderWay)?;
        let state = self.ask(user, ToUser::AskState).await?;
        let (world, now) = (self.world(), self.context.clock.now());
        let tastes = Arc::new(state.tastes(now, world.settings()));
        let (answer, mut answers) = mpsc::unbounded_channel();
        let want = WantLikeness { question: LikenessQuestion { tastes, now }, world, answer };
        let (active, asked) = self.directory.ask_all(&want, ASKED_MAX);
        drop(want);
        let (mut people, mut answered, end) = (Vec::new(), 0, Instant::now() + WITHIN);
        let mut compared = 0;
        while answered < asked
            && let Ok(Some((other, likeness))) = timeout_at(end, answers.recv()).await
        {
            answered += 1;
            if other == user {
                continue;
            }
            compared += 1;
            let score = by.score(likeness);
            if score > 0.0 {
                people.push((other, score, likeness));
            }
        }
        people.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        people.truncate(limit);
        Ok(SimilarPeople { people, active, compared })
    }
}
