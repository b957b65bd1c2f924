//! Survival analysis of windows: expected remaining time of open items, learned from windows that have ended.
//!
//! Invariant: only windows that have ended are learned from, so an open window reveals nothing about its end. The
//! survival function never rises. An item without ended windows has the population's hazard.
//!
//! Formula: a piecewise constant hazard with gamma frailty. The time since the opening is cut at [`CUTS_MINUTES`]. In
//! piece `b` the population ends at rate `h_b` per minute: ends over time at risk, shrunk to the overall rate by
//! [`PIECE_PRIOR`] pseudo-ends (Friedman, *Annals of Statistics* 10, 1982). An item ends at `z h(t)` with `z ~
//! Gamma(nu, nu)`. Let `D` be its ends at cumulative hazards that sum to `H`, and `t` its age now. Then `z | data ~
//! Gamma(nu + D, nu + H + H(t))` (Vaupel, Manton & Stallard, *Demography* 16, 1979; Clayton, *Biometrika* 65, 1978).
//! With its mean plugged in, `S(u | t) = exp(-z (H(t + u) - H(t)))`; its integral is the expected remaining time.

use crate::domain::ids::ItemId;
use crate::domain::time::{MINUTE_MS, Millis};
use crate::domain::windows::Windows;
use crate::engine::numeric::kernels::exp_each_f64;

/// Beginnings of the pieces, in minutes; the last piece has no end.
pub(crate) const CUTS_MINUTES: [f64; PIECES] =
    [0.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 240.0, 360.0, 480.0, 720.0, 1_440.0, 4_320.0];

/// Number of pieces.
pub(crate) const PIECES: usize = 16;

/// Pseudo-ends of each piece, at the overall rate.
const PIECE_PRIOR: f64 = 2.0;

/// Prior of the overall rate: one end after 120 minutes.
const PRIOR_MINUTES: f64 = 120.0;

/// `nu`, the shrinkage of frailty: with this many ended windows, an item's own rate and the population's weigh equally.
pub(crate) const SHRINKAGE: f64 = 4.0;

/// Upper limit of the expected remaining time.
const REST_MAX_MINUTES: f64 = 30.0 * 24.0 * 60.0;

/// Number of ends, and minutes at risk per piece.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Lives {
    ends: f32,
    minutes: [f32; PIECES],
}

/// Sufficient statistics of window lengths, for the population and by item.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Survival {
    ends: [f64; PIECES],
    minutes: [f64; PIECES],
    /// By item id; `None` for items without ended windows.
    items: Vec<Option<Box<Lives>>>,
}

/// Hazard of the population: rate per minute in each piece, and the cumulative hazard at each piece's begin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hazard {
    rates: [f64; PIECES],
    /// Inverse of each rate, in minutes.
    means: [f64; PIECES],
    cumulative: [f64; PIECES],
}

impl Survival {
    /// Learns the length of an ended window.
    pub fn learn(&mut self, item: ItemId, lasted_ms: i64) {
        let minutes = (lasted_ms.max(1) as f64) / MINUTE_MS as f64;
        let index = item.0 as usize;
        if self.items.len() <= index {
            self.items.resize(index + 1, None);
        }
        let own = self.items[index].get_or_insert_with(Box::default);
        let end = piece(minutes);
        for b in 0..=end {
            let spent = spent(b, minutes);
            self.minutes[b] += spent;
            own.minutes[b] += spent as f32;
        }
        self.ends[end] += 1.0;
        own.ends += 1.0;
    }

    /// Learns all windows of an item that have ended at `now`.
    pub(crate) fn learn_all(&mut self, item: ItemId, windows: &Windows, now: Millis) {
        for window in windows.as_slice() {
            if let Some(stop) = window.stop.filter(|stop| *stop <= now) {
                self.learn(item, stop.since(window.start));
            }
        }
    }

    /// Number of windows learned from.
    #[must_use]
    pub fn windows(&self) -> f64 {
        self.ends.iter().sum()
    }

    /// Posterior mean of the population's hazard.
    #[must_use]
    pub(crate) fn hazard(&self) -> Hazard {
        let overall = (1.0 + self.windows()) / (PRIOR_MINUTES + self.minutes.iter().sum::<f64>());
        let rates: [f64; PIECES] =
            std::array::from_fn(|b| (self.ends[b] + PIECE_PRIOR) / (self.minutes[b] + PIECE_PRIOR / overall));
        let mut cumulative = [0.0; PIECES];
        for b in 1..PIECES {
            cumulative[b] = cumulative[b - 1] + rates[b - 1] * (CUTS_MINUTES[b] - CUTS_MINUTES[b - 1]);
        }
        Hazard { rates, means: rates.map(|rate| 1.0 / rate), cumulative }
    }

    /// Frailty `z`, the item's hazard relative to the population's, given that it has been open for `on` minutes.
    /// Positive; 1 is average.
    #[must_use]
    pub(crate) fn frailty(&self, item: ItemId, hazard: &Hazard, on: f64) -> f64 {
        let (mut ends, mut expected) = (0.0, 0.0);
        if let Some(Some(own)) = self.items.get(item.0 as usize) {
            ends = f64::from(own.ends);
            // Four accumulators, so that additions do not wait for one another.
            let mut sums = [0.0; 4];
            for (rates, minutes) in hazard.rates.chunks_exact(4).zip(own.minutes.chunks_exact(4)) {
                for lane in 0..4 {
                    sums[lane] += rates[lane] * f64::from(minutes[lane]);
                }
            }
            expected = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        }
        (SHRINKAGE + ends) / (SHRINKAGE + expected + hazard.until(on))
    }

    /// Expected remaining minutes of an item that has been open for `on` minutes.
    #[must_use]
    #[cfg(test)]
    pub fn rest(&self, item: ItemId, hazard: &Hazard, on: f64) -> f64 {
        hazard.rest(self.frailty(item, hazard, on), on)
    }
}

impl Hazard {
    /// Cumulative hazard `H(t)`, with `t` in minutes.
    #[must_use]
    pub fn until(&self, minutes: f64) -> f64 {
        let b = piece(minutes);
        self.cumulative[b] + self.rates[b] * (minutes - CUTS_MINUTES[b]).max(0.0)
    }

    /// Survival function `S(u | t)`: the probability to last `more` minutes after `on`, with frailty `z`.
    #[must_use]
    #[cfg(test)]
    pub fn survives(&self, z: f64, on: f64, more: f64) -> f64 {
        (-z * (self.until(on + more.max(0.0)) - self.until(on))).exp()
    }

    /// Expected remaining minutes: the integral of [`Hazard::survives`] over `more`. Exact, since it is exponential in
    /// each piece.
    #[must_use]
    #[cfg(test)]
    pub fn rest(&self, z: f64, on: f64) -> f64 {
        self.rests(&[Aged { on, z }; ABREAST])[0]
    }

    /// Expected remaining minutes of several items in parallel.
    fn rests(&self, items: &[Aged; ABREAST]) -> [f64; ABREAST] {
        // Log-probability to survive each piece, from its begin or from now.
        let mut lasts = [[0.0; ABREAST]; PIECES - 1];
        for (b, lasts) in lasts.iter_mut().enumerate() {
            let (begin, end) = (CUTS_MINUTES[b], CUTS_MINUTES[b + 1]);
            for (log, item) in lasts.iter_mut().zip(items) {
                let spent = end - if item.on > begin { item.on } else { begin };
                *log = -item.z * self.rates[b] * if spent > 0.0 { spent } else { 0.0 };
            }
        }
        exp_each_f64(lasts.as_flattened_mut());
        let (mut left, mut rests) = ([1.0; ABREAST], [0.0; ABREAST]);
        // Pieces before now are survived with probability 1 and add nothing.
        for (lasts, mean) in lasts.iter().zip(&self.means) {
            for ((left, rest), lasts) in left.iter_mut().zip(&mut rests).zip(lasts) {
                *rest += *left * (1.0 - lasts) * mean;
                *left *= lasts;
            }
        }
        for ((rest, left), item) in rests.iter_mut().zip(left).zip(items) {
            *rest = ((*rest + left * self.means[PIECES - 1]) / item.z).min(REST_MAX_MINUTES);
        }
        rests
    }
}

/// An open item: its age in minutes and its frailty.
#[derive(Clone, Copy, Debug)]
struct Aged {
    on: f64,
    z: f64,
}

/// Items whose remaining time is computed in parallel.
const ABREAST: usize = 8;

/// Expected end times of open items without a scheduled end, as published.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpectedEnds {
    made: Option<Millis>,
    /// By item id; [`Millis::MIN`] for items without an expected end.
    until: Vec<Millis>,
}

impl ExpectedEnds {
    /// Expected end of an item; `None` if it is not open, always open, or has a scheduled end.
    #[must_use]
    pub fn of(&self, item: ItemId) -> Option<Millis> {
        self.until.get(item.0 as usize).copied().filter(|until| *until > Millis::MIN)
    }

    /// Whether the estimates are due for an update: a minute has passed, or the clock was set back.
    #[must_use]
    pub(crate) fn is_old(&self, now: Millis) -> bool {
        !self.until.is_empty() && self.made.is_some_and(|made| now < made || now.since(made) >= MINUTE_MS)
    }
}

impl Survival {
    /// Computes the expected ends of these open items at `now` into `expected`, which may hold those of an earlier
    /// time.
    pub fn expect<'a>(
        &self,
        expected: &mut ExpectedEnds,
        open: impl Iterator<Item = (ItemId, &'a Windows)>,
        now: Millis,
    ) {
        let hazard = self.hazard();
        let mut live: Vec<(ItemId, Aged)> = Vec::with_capacity(open.size_hint().0);
        for (item, windows) in open {
            let Some(window) = windows.at(now).filter(|window| window.stop.is_none()) else { continue };
            let on = now.since(window.start) as f64 / MINUTE_MS as f64;
            live.push((item, Aged { on, z: self.frailty(item, &hazard, on) }));
        }
        let until = &mut expected.until;
        until.fill(Millis::MIN);
        let mut last = 0;
        for items in live.chunks(ABREAST) {
            let mut aged = [Aged { on: 0.0, z: 1.0 }; ABREAST];
            for (aged, (_, of)) in aged.iter_mut().zip(items) {
                *aged = *of;
            }
            for ((item, _), rest) in items.iter().zip(hazard.rests(&aged)) {
                let index = item.0 as usize;
                if until.len() <= index {
                    until.resize(index + 1, Millis::MIN);
                }
                until[index] = now.plus((rest * MINUTE_MS as f64) as i64);
                last = last.max(index + 1);
            }
        }
        until.truncate(last);
        expected.made = Some(now);
    }
}

/// Index of the piece that an age falls into.
fn piece(minutes: f64) -> usize {
    CUTS_MINUTES.partition_point(|cut| *cut <= minutes).saturating_sub(1)
}

/// Minutes of a window of this length that fall into a piece.
fn spent(b: usize, minutes: f64) -> f64 {
    let end = CUTS_MINUTES.get(b + 1).copied().unwrap_or(f64::INFINITY);
    (minutes.min(end) - CUTS_MINUTES[b]).max(0.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOBODY: ItemId = ItemId(u32::MAX);

    fn learned(lives: impl IntoIterator<Item = (u32, f64)>) -> Survival {
        let mut survival = Survival::default();
        for (item, minutes) in lives {
            survival.learn(ItemId(item), (minutes * MINUTE_MS as f64) as i64);
        }
        survival
    }

    /// Evenly spaced quantiles of a distribution, in place of a large sample.
    fn sample(n: usize, quantile: impl Fn(f64) -> f64) -> Vec<f64> {
        (0..n).map(|k| quantile((k as f64 + 0.5) / n as f64)).collect()
    }

    #[test]
    fn with_no_data_at_all_everything_lasts_two_hours_more() {
        let survival = Survival::default();
        let hazard = survival.hazard();
        for on in [0.0, 3.0, 600.0, 100_000.0] {
            assert!((hazard.rest(1.0, on) - PRIOR_MINUTES).abs() < 1e-6, "{on}");
        }
    }

    /// The exponential distribution is memoryless: the expected remaining time is the mean at any age.
    #[test]
    fn exponential_lives_have_no_memory() {
        let lives = sample(20_000, |q| -90.0 * (1.0 - q).ln());
        let survival = learned((0..).zip(lives));
        let hazard = survival.hazard();
        for on in [0.0, 7.0, 50.0, 200.0] {
            let rest = hazard.rest(1.0, on);
            assert!((rest / 90.0 - 1.0).abs() < 0.05, "after {on}: {rest}");
        }
        assert!((hazard.survives(1.0, 0.0, 90.0) - (-1.0_f64).exp()).abs() < 0.01);
    }

    /// A Weibull distribution with shape 2 has a rising hazard; the estimate matches its survival function at the cuts.
    #[test]
    fn a_rising_hazard_is_followed() {
        let lives = sample(20_000, |q| 120.0 * (-(1.0 - q).ln()).sqrt());
        let hazard = learned((0..).zip(lives)).hazard();
        for minutes in [10.0_f64, 30.0, 60.0, 120.0, 180.0, 240.0] {
            let truth = (-(minutes / 120.0).powi(2)).exp();
            let found = hazard.survives(1.0, 0.0, minutes);
            assert!((found - truth).abs() < 0.01, "{minutes}: {found} {truth}");
        }
        assert!(hazard.rest(1.0, 120.0) < hazard.rest(1.0, 10.0), "the longer on, the sooner over");
    }

    #[test]
    fn an_item_without_windows_is_like_everybody_and_one_with_many_like_itself() {
        let everybody = sample(4_000, |q| -60.0 * (1.0 - q).ln()).into_iter().map(|life| (0, life));
        let long = sample(400, |q| -300.0 * (1.0 - q).ln()).into_iter().map(|life| (1, life));
        let survival = learned(everybody.chain(long).chain([(2, 300.0)]));
        let hazard = survival.hazard();
        assert!((survival.frailty(NOBODY, &hazard, 0.0) - 1.0).abs() < 1e-12);
        let rest = |item| survival.rest(ItemId(item), &hazard, 0.0);
        assert!(rest(1) > 2.5 * rest(0), "{} {}", rest(1), rest(0));
        assert!(survival.rest(NOBODY, &hazard, 0.0) < rest(2) && rest(2) < rest(1), "one window is a hint, no proof");
    }

    #[test]
    fn only_what_is_over_is_learned_from() {
        use crate::domain::windows::Window;
        let window = |start, stop: Option<i64>| Window { start: Millis(start), stop: stop.map(Millis) };
        let windows =
            Windows::new(vec![window(0, Some(60_000)), window(100_000, Some(200_000)), window(300_000, None)]);
        let windows = windows.unwrap_or_default();
        for (now, learned) in [(59_999, 0.0), (60_000, 1.0), (199_999, 1.0), (1 << 40, 2.0)] {
            let mut survival = Survival::default();
            survival.learn_all(ItemId(0), &windows, Millis(now));
            assert_eq!(survival.windows(), learned, "{now}");
        }
    }

    #[test]
    fn an_end_is_expected_of_what_is_open_and_has_none() {
        use crate::domain::windows::Window;
        let windows = |stop: Option<i64>| {
            Windows::new(vec![Window { start: Millis(0), stop: stop.map(Millis) }]).unwrap_or_default()
        };
        let (ended, scheduled, open, always) =
            (windows(Some(1)), windows(Some(1 << 40)), windows(None), Windows::default());
        let survival = learned([(0, 30.0)]);
        let list = [(ItemId(0), &ended), (ItemId(1), &scheduled), (ItemId(2), &open), (ItemId(3), &always)];
        let now = Millis(10 * MINUTE_MS);
        let mut ends = ExpectedEnds::default();
        survival.expect(&mut ends, list.into_iter(), now);
        let rest = survival.rest(ItemId(2), &survival.hazard(), 10.0);
        assert_eq!([0, 1, 3, 9].map(|item| ends.of(ItemId(item))), [None; 4]);
        let found = ends.of(ItemId(2)).unwrap_or_default().since(now) as f64 / MINUTE_MS as f64;
        assert!((found - rest).abs() < 0.001, "{found} {rest}");
        assert!(!ends.is_old(now.plus(MINUTE_MS - 1)) && ends.is_old(now.plus(MINUTE_MS)));
    }

    proptest! {
        #[test]
        fn survival_falls_and_the_rest_is_its_integral(
            lives in prop::collection::vec((0_u32..5, 0.01_f64..5_000.0), 0..60),
            item in 0_u32..6, on in 0.0_f64..2_000.0,
        ) {
            let survival = learned(lives);
            let hazard = survival.hazard();
            let z = survival.frailty(ItemId(item), &hazard, on);
            prop_assert!(z > 0.0 && z.is_finite());
            let (mut before, mut sum, step) = (1.0, 0.0, 1.0);
            for k in 1..=40_000 {
                let now = hazard.survives(z, on, f64::from(k) * step);
                prop_assert!(now <= before + 1e-12);
                sum += 0.5 * (before + now) * step;
                before = now;
            }
            let rest = hazard.rest(z, on);
            // The tail beyond the sum is the last piece's exponential.
            prop_assert!(before > 1e-3 || (rest - sum).abs() < 0.5 + 0.01 * rest, "{rest} {sum}");
            prop_assert!(rest > 0.0 && rest.is_finite());
        }
    }
}
