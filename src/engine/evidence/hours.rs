//! Hour affinity: the nearness of a person's past interactions in the time of day and of the week. It also tells which of them
//! followed on the person's current place.
//!
//! Invariant: affinities depend on the person's history and the instant only. They are added in the order of the history, so the
//! sums of an item have equal bits for one item and for all. Deliberately absent: time zones; a zone only turns the circle.

use std::collections::VecDeque;

use crate::domain::ids::ItemId;
use crate::domain::time::{DAY_MS, HOUR_MS, Millis};
use crate::engine::learners::person::history::{Past, Sign};

/// Distance in the time of day at which a visit's affinity is 0. The kernel is a biweight, as wide as a normal one with a
/// standard deviation of an hour and a half.
const REACH_MS: i64 = 4 * HOUR_MS;

/// Half-life of a step from one place to the next, by the gap in between.
const STEP_HALF_MS: f32 = DAY_MS as f32;

/// Age at which a visit's recent affinity is one half of its affinity.
const HABIT_HALF_MS: f32 = 28.0 * DAY_MS as f32;

const WEEK_MS: i64 = 7 * DAY_MS;

/// The affinity of one past interaction for its item, or sums of such.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct HourAffinity {
    /// Nearness in the time of day, in [0, 1].
    pub hour: f32,
    /// Nearness in the time of day, discounted by age.
    pub(crate) lately: f32,
    /// Nearness in the time of the week, in [0, 1].
    pub weekday: f32,
    /// Whether it followed on the person's current place: 1 for at once, fading with the gaps then and now.
    pub next: f32,
}

impl HourAffinity {
    /// Adds the affinity of one more interaction.
    pub fn add(&mut self, other: HourAffinity) {
        self.hour += other.hour;
        self.lately += other.lately;
        self.weekday += other.weekday;
        self.next += other.next;
    }
}

/// Calls `put` with the affinity at `now` of each positive interaction of `history` (oldest first) with a wanted item. `here` is
/// the person's last place, and the instant of that visit.
pub(crate) fn hour_affinities(
    history: &VecDeque<Past>,
    here: Option<(ItemId, Millis)>,
    now: Millis,
    is_wanted: impl Fn(ItemId) -> bool,
    mut put: impl FnMut(ItemId, HourAffinity),
) {
    let still_here = here.map_or(0.0, |(_, at)| fade(now, at));
    let place = here.map(|(item, _)| item);
    // The instant of the interaction before, if that was at the current place.
    let mut left: Option<Millis> = None;
    let mut before: Option<&Past> = None;
    let (early, late) = history.as_slices();
    for past in early.iter().chain(late) {
        if past.sign != Sign::Positive {
            continue;
        }
        // A like of an item that was just opened is no visit of its own.
        if before.replace(past).is_some_and(|before| before.is_visit_of(past.item, past.kind, past.at)) {
            continue;
        }
        let at_place = place == Some(past.item);
        let came = left.take().filter(|_| !at_place);
        left = at_place.then_some(past.at);
        if !is_wanted(past.item) {
            continue;
        }
        let away = now.0 - past.at.0;
        let of_day = distance(away, DAY_MS);
        // Most interactions are at another hour, and follow on another place.
        if of_day < REACH_MS || came.is_some() {
            let hour = nearness(of_day);
            let weekday = if hour > 0.0 { nearness(distance(away, WEEK_MS)) } else { 0.0 };
            let lately = hour * faded(away);
            let next = came.map_or(0.0, |then| still_here * fade(past.at, then));
            put(past.item, HourAffinity { hour, lately, weekday, next });
        }
    }
}

/// Distance of two instants on a circle, in milliseconds.
fn distance(away: i64, period: i64) -> i64 {
    let away = away.rem_euclid(period);
    away.min(period - away)
}

/// The biweight kernel at this distance, in [0, 1].
fn nearness(distance: i64) -> f32 {
    let share = distance as f32 / REACH_MS as f32;
    let rest = (1.0 - share * share).max(0.0);
    rest * rest
}

/// Discount by age. It is hyperbolic, since each interaction needs hundreds of them and powers cost.
fn faded(away: i64) -> f32 {
    HABIT_HALF_MS / (HABIT_HALF_MS + away.max(0) as f32)
}

fn fade(now: Millis, then: Millis) -> f32 {
    (-(now.since(then) as f32) / STEP_HALF_MS).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::interactions::Kind;

    fn past(item: u32, hours: i64, sign: Sign) -> Past {
        Past { item: ItemId(item), kind: Kind::Click, sign, at: Millis(hours * HOUR_MS) }
    }

    fn sums(history: &[Past], here: Option<(u32, i64)>, now: i64) -> [HourAffinity; 4] {
        let mut sums = [HourAffinity::default(); 4];
        let here = here.map(|(item, hours)| (ItemId(item), Millis(hours * HOUR_MS)));
        hour_affinities(
            &history.iter().copied().collect(),
            here,
            Millis(now * HOUR_MS),
            |_| true,
            |item, affinity| {
                sums[item.0 as usize].add(affinity);
            },
        );
        sums
    }

    #[test]
    fn what_is_done_at_this_hour_counts_and_on_this_weekday_more() {
        // Item 1 at eight on seven mornings, item 2 at eight in the evening, item 3 at half past ten of one morning.
        let mut history: Vec<Past> = (0..7).map(|day| past(1, day * 24 + 8, Sign::Positive)).collect();
        history.extend((0..7).map(|day| past(2, day * 24 + 20, Sign::Positive)));
        history.push(past(3, 10, Sign::Positive));
        let [_, one, two, three] = sums(&history, None, 7 * 24 + 8);
        assert_eq!((one.hour, one.weekday), (7.0, 1.0), "the same hour a week ago is this weekday");
        assert_eq!((two.hour, two.weekday), (0.0, 0.0));
        assert!(three.hour > 0.5 && three.hour < 0.6 && three.weekday == three.hour, "two hours away: {three:?}");
    }

    #[test]
    fn midnight_is_no_border_and_rejections_are_no_habit() {
        let [_, one, two, _] = sums(&[past(1, 23, Sign::Positive), past(2, 23, Sign::Negative)], None, 25);
        assert!(one.hour > 0.5 && two == HourAffinity::default());
    }

    /// A click and the like of an opened item are one visit, for habits and for steps.
    #[test]
    fn a_like_of_what_was_opened_is_no_second_visit() {
        let once = [past(1, 8, Sign::Positive), past(2, 9, Sign::Positive)];
        let liked = once.map(|one| [one, Past { kind: Kind::Like, at: one.at.plus(60_000), ..one }]);
        assert_eq!(sums(liked.as_flattened(), Some((1, 33)), 33), sums(&once, Some((1, 33)), 33));
    }

    #[test]
    fn where_they_went_from_here_counts_and_fades() {
        let history = [0, 48, 96].map(|at| [past(1, at, Sign::Positive), past(2, at + 24, Sign::Positive)]);
        let history = history.as_flattened();
        let [_, _, at_once, _] = sums(history, Some((1, 200)), 200);
        assert!((at_once.next - 1.5).abs() < 1e-6, "each of three steps took a day: {at_once:?}");
        let [_, _, next_day, _] = sums(history, Some((1, 200)), 224);
        assert!((next_day.next - 0.75).abs() < 1e-6);
        assert_eq!(
            sums(history, Some((3, 200)), 200).map(|affinity| affinity.next),
            [0.0; 4],
            "from elsewhere nobody knows"
        );
    }
}
