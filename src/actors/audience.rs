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
        let (answer, answers) = mpsc::unbounded_channel();
        let want = Want { item, world: self.world(), now: self.context.clock.now(), answer };
        let (active, asked) = self.directory.ask_all(&want, ASKED_MAX);
        drop(want);
        let answered = gather(answers, asked).await;
        let scored = answered.len();
        let mut people: Vec<(UserId, f32)> =
            answered.into_iter().filter_map(|(user, score)| Some((user, score?))).collect();
        keep_best(&mut people, limit, |(user, score)| (*score, *user));
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
        let (answer, answers) = mpsc::unbounded_channel();
        let want = WantLikeness { question: LikenessQuestion { tastes, now }, world, answer };
        let (active, asked) = self.directory.ask_all(&want, ASKED_MAX);
        drop(want);
        let mut answered = gather(answers, asked).await;
        answered.retain(|(other, _)| *other != user);
        let compared = answered.len();
        let scored = answered.into_iter().map(|(other, likeness)| (other, by.score(likeness), likeness));
        let mut people: Vec<(UserId, f32, Likeness)> = scored.filter(|(_, score, _)| *score > 0.0).collect();
        keep_best(&mut people, limit, |(user, score, _)| (*score, *user));
        Ok(SimilarPeople { people, active, compared })
    }
}

/// The answers of `asked` actors that arrive in time.
async fn gather<T>(mut answers: mpsc::UnboundedReceiver<(UserId, T)>, asked: usize) -> Vec<(UserId, T)> {
    let (mut all, end) = (Vec::with_capacity(asked), Instant::now() + WITHIN);
    while all.len() < asked
        && let Ok(Some(one)) = timeout_at(end, answers.recv()).await
    {
        all.push(one);
    }
    all
}

/// Keeps the best `limit` people, best first, equal scores by id.
fn keep_best<T>(people: &mut Vec<T>, limit: usize, score: impl Fn(&T) -> (f32, UserId)) {
    people.sort_unstable_by(|a, b| {
        let ((a, a_user), (b, b_user)) = (score(a), score(b));
        b.total_cmp(&a).then(a_user.cmp(&b_user))
    });
    people.truncate(limit);
}
