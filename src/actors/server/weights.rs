//! Topic weights of a person over time, from the fold of their journal.
//!
//! Invariant: the journal is folded, and lines are computed, on blocking threads within the bounds for questions about
//! the past. An answer holds at most [`CHANGES_MAX`] changes of each topic.

use super::Server;
use crate::actors::errors::RequestError;
use crate::domain::ids::{Key, TopicId, UserId};
use crate::domain::time::Millis;
use crate::engine::learners::person::weight_history::{self, Changes, WeightHistory};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::recovery;

/// Largest number of changes of one topic in an answer; the newest remain.
pub const CHANGES_MAX: usize = 128;

/// The weight of one topic over time.
#[derive(Clone, Debug)]
pub struct TopicLine {
    /// Name of the topic.
    pub topic: Key,
    /// Changes of the weight by events, the last one before the start included.
    pub changes: Changes,
    /// Points `(time in milliseconds, weight)` with the decay between changes.
    pub points: Vec<(f64, f64)>,
}

/// The topics whose weights an answer contains, and its bounds in time.
#[derive(Clone, Copy, Debug)]
pub struct LineChoice {
    /// Only this topic.
    pub topic: Option<TopicId>,
    /// Start of the lines; the first change by default.
    pub from: Option<Millis>,
    /// End of the lines; entries after it are not read.
    pub to: Millis,
    /// Only topics behind this place.
    pub after: Option<LinePlace>,
    /// Largest number of topics; those with the highest weights come first.
    pub limit: usize,
}

/// The place of a topic among the topics of a user: its highest weight, then its number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinePlace {
    /// The highest weight of the topic within the lines, in [0, 1].
    pub peak: f64,
    /// Number of the topic, which orders topics of equal weight.
    pub topic: TopicId,
}

/// Weights of topics over time.
#[derive(Clone, Debug, Default)]
pub struct TopicLines {
    /// The lines, those with the highest weights first.
    pub lines: Vec<TopicLine>,
    /// Whether older changes of these topics, or further topics, are left out.
    pub truncated: bool,
    /// The last place, if further topics follow.
    pub next: Option<LinePlace>,
}

impl Server {
    /// Topic weights of a person over time.
    ///
    /// # Errors
    /// `rate_limited` while another question about the person's past is being answered; busy while too many are, or the
    /// store cannot answer; `unknown_user`.
    pub async fn weight_history(&self, user: UserId, choice: LineChoice) -> Result<TopicLines, RequestError> {
        let place = self.context.past.enter(Some(user))?;
        let (world, work) = (self.world(), self.context.past.work());
        self.settled().await?;
        let store = &*self.context.store;
        let empty = WeightHistory::new(CHANGES_MAX).only(choice.topic);
        let history = recovery::weight_history_apart(store, user, choice.to, world.clone(), work, empty).await?;
        // Read last, so that a person who was erased meanwhile is not shown.
        if self.context.people.get(user).is_none() {
            return Err(Refusal::field(Code::UnknownUser, "id", "no such person").into());
        }
        let lines = move || {
            let (end, decay) = (choice.to.0, world.settings().topic_decay());
            let mut left_out = history.left_out();
            let mut found: Vec<(TopicId, Changes)> = history.into_changes();
            if let Some(from) = choice.from {
                for (_, changes) in &mut found {
                    *changes = weight_history::since(changes, from.0).to_vec();
                }
            }
            let peak = |changes: &Changes| changes.iter().map(|change| change.1).fold(0.0, f64::max);
            let place = |(topic, changes): &(TopicId, Changes)| LinePlace { peak: peak(changes), topic: *topic };
            let order = |a: LinePlace, b: LinePlace| b.peak.total_cmp(&a.peak).then(a.topic.cmp(&b.topic));
            found.retain(|one| choice.after.is_none_or(|after| order(after, place(one)).is_lt()));
            found.sort_by(|one, other| order(place(one), place(other)));
            let has_more = found.len() > choice.limit;
            left_out |= has_more;
            found.truncate(choice.limit);
            let next = found.last().filter(|_| has_more).map(place);
            let lines = found.into_iter().filter_map(|(topic, changes)| {
                let mut points = weight_history::points(&changes, end, decay);
                points.retain(|point| choice.from.is_none_or(|from| point.0 >= from.0 as f64));
                Some(TopicLine { topic: world.topic(topic)?.clone(), changes, points })
            });
            TopicLines { lines: lines.collect(), truncated: left_out, next }
        };
        Ok(place.run(lines).await?)
    }
}
