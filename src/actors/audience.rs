//! Who would want this now: an item's score for everybody who is active.
//!
//! Invariant: at most [`ASKED_MAX`] people are scored per question, each by their own actor, so nobody's push waits for
//! more than one score; whoever has not answered in time is left out, and the answer says how many that were.
//! Absent on purpose: people who are not active. Scoring them would load each of them from the store.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::domain::ids::{ItemId, UserId};
use crate::protocol::refusal::Refusal;

use super::server::Server;
use super::user::messages::Want;

/// People who are asked at once.
pub const ASKED_MAX: usize = 20_000;
/// How long is waited for answers.
const WITHIN: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Audience {
    /// Best first, equal scores by id: log-odds.
    pub people: Vec<(UserId, f32)>,
    /// Who is active.
    pub active: usize,
    /// Who of them was scored in time; those who hid the item are counted and not among the people.
    pub scored: usize,
}

impl Server {
    /// The `limit` active people to whom the `model` ranking gives this item the highest scores.
    ///
    /// # Errors
    /// Busy while another such question is being answered.
    pub async fn audience(&self, item: ItemId, limit: usize) -> Result<Audience, Refusal> {
        // One at a time: each costs as much as a go-live does.
        let _turn = self.inside.audience.try_lock().map_err(|_| Refusal::busy(1_000))?;
        let (answer, mut answers) = mpsc::unbounded_channel();
        let want = Want { item, world: self.world(), now: self.inside.clock.now(), answer };
        let (active, asked) = self.inside.directory.ask_all(&want, ASKED_MAX);
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
}
