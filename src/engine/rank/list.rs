//! Re-ranking of the list: caps, diversity, stability and exploration arrange the best candidates.
//!
//! Invariant: an arrangement is a choice without repetition, made place by place from the top. Each place depends only on the
//! places above, so a shorter list is the beginning of a longer one. No row is lost when rules cannot be met. Values keep the
//! unit of the score throughout (log-odds). Every probability is exact given the places above.
//! Deliberately absent: items, embeddings and people. Candidates are rows, and the caller passes similarities and topics.
//!
//! At each place:
//! 1. **Feasible** rows are those that break the fewest rules: none; else a cap of the whole list; else a cap in a row.
//!    So a row that breaks a cap gets a place only where all remaining rows break one as well.
//! 2. **Value**: the score, less a penalty for lack of diversity given the rows above.
//! 3. **Stability**: a feasible row passes a feasible row on screen only if its value is higher by more than the threshold.
//!    This protects a row from rows that stood below it on screen, or that were not on screen.
//! 4. The highest remaining value is chosen; with a temperature a softmax draws among the remaining rows.

use std::collections::BTreeMap;

use super::explore::log_sum_exp;

/// Keeps the divergence finite where a topic of the person has no item in the list yet (Steck 2018, section 3.1).
const SMOOTHING: f64 = 0.01;

/// One candidate for a place in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Row {
    /// The score before diversity, in log-odds.
    pub value: f64,
    /// The author that caps per author count; `None` is never capped.
    pub author: Option<u32>,
    /// The topic that caps per topic count; `None` is never capped.
    pub topic: Option<u32>,
    /// Position on the client's screen, from 0; `None` if it is not there.
    pub(crate) on_screen: Option<u32>,
    /// Standard exponential noise of this row; read only with a temperature.
    pub exponential: f64,
}

/// Rules of an arrangement. The default has none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rules {
    /// Largest number of rows of one author in a row; 0: no limit.
    pub author_run: u32,
    /// Largest number of rows of one topic in a row; 0: no limit.
    pub topic_run: u32,
    /// Largest number of rows of one author in the list; 0: no limit.
    pub author_max: u32,
    /// Largest number of rows of one topic in the list; 0: no limit.
    pub topic_max: u32,
    /// Log-odds that a row must be better by to pass one that is on screen; 0: off.
    pub stability: f64,
    /// Temperature of the softmax, in log-odds; 0: the highest value is chosen.
    pub temperature: f64,
}

impl Rules {
    /// Whether only caps and no other rule apply.
    #[must_use]
    pub(crate) fn only_caps(&self) -> bool {
        self.stability <= 0.0 && self.temperature <= 0.0
    }
}

/// The penalty on a score, given the rows above.
#[derive(Clone, Copy)]
pub(crate) enum Diversity<'a> {
    /// No penalty for any row.
    None,
    /// `weight * max similarity` to a row above: maximal marginal relevance with `weight = (1 - lambda)/lambda`.
    /// Source: Carbonell and Goldstein, SIGIR 1998, divided by lambda so that the score keeps its unit.
    Similarity {
        /// Penalty in log-odds per unit of similarity.
        weight: f64,
        /// Similarity of two rows, in [-1, 1], symmetric.
        similarity: &'a dyn Fn(usize, usize) -> f64,
    },
    /// `weight * KL(p || q)`: `p` the person's topic shares, `q` those of the list with the row in it, smoothed;
    /// `weight = lambda/(1 - lambda)`. Source: Steck, *Calibrated Recommendations*, RecSys 2018, equations 2 to 6,
    /// divided by `1 - lambda`.
    Calibration {
        /// Penalty in log-odds per nat of divergence.
        weight: f64,
        /// Topic and share; shares are above 0 and sum to 1. Sorted by topic.
        shares: &'a [(u32, f64)],
        /// The topics of a row; each has an equal part in it.
        topics: &'a dyn Fn(usize) -> &'a [u32],
    },
}

/// A row that has a place in the list.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placed {
    /// Index of the row among the candidates.
    pub row: usize,
    /// Probability of its choice for this place, given the rows above; 1 without a temperature.
    pub probability: f64,
    /// Value of the row when it was chosen.
    pub value: f64,
    /// Whether it breaks a cap, because all remaining rows did.
    pub(crate) relaxed: bool,
}

/// Arranges the first `limit` places. Rows come best score first; equal values keep that order.
///
/// `O(limit * rows)`, and with caps alone `O(limit * how far down the next feasible row is)`.
#[must_use]
pub(crate) fn arrange(rows: &[Row], rules: &Rules, diversity: Diversity<'_>, limit: usize) -> Vec<Placed> {
    let mut caps = Caps { rules, authors: Tally::default(), topics: Tally::default() };
    let mut values = Values::new(rows, diversity);
    let mut race: Vec<f64> = rows.iter().map(|row| row.exponential.max(f64::MIN_POSITIVE)).collect();
    let by_screen = screen_order(rows, rules);
    // In row order, so best first.
    let mut left: Vec<usize> = (0..rows.len()).collect();
    let mut placed = Vec::with_capacity(limit.min(rows.len()));
    let simple = rules.only_caps() && matches!(diversity, Diversity::None);
    let mut feasible: Vec<usize> = Vec::with_capacity(rows.len());
    while placed.len() < limit && !left.is_empty() {
        // With caps alone, the first feasible row is chosen.
        let first = if simple { left.iter().position(|row| caps.broken(rows, *row) == 0) } else { None };
        let (row, probability, tier) = match first {
            Some(at) => (left[at], 1.0, 0),
            None => {
                let tier = left.iter().map(|row| caps.broken(rows, *row)).min().unwrap_or(0);
                feasible.clear();
                feasible.extend(left.iter().copied().filter(|row| caps.broken(rows, *row) == tier));
                values.refresh(&feasible);
                hold(&mut feasible, &values.now, &by_screen, rows, rules.stability);
                let (row, probability) = choose(&feasible, &values.now, rules.temperature, &mut race);
                (row, probability, tier)
            }
        };
        placed.push(Placed { row, probability, value: values.now[row], relaxed: tier > 0 });
        left.retain(|one| *one != row);
        caps.place(rows, row);
        values.place(row, &left);
    }
    placed
}

/// Rows on screen, by their place there; empty when stability is off.
fn screen_order(rows: &[Row], rules: &Rules) -> Vec<usize> {
    if rules.stability <= 0.0 {
        return Vec::new();
    }
    let mut order: Vec<usize> = (0..rows.len()).filter(|row| rows[*row].on_screen.is_some()).collect();
    order.sort_by_key(|row| rows[*row].on_screen);
    order
}

/// Removes from `feasible` (sorted) all rows that would pass a row on screen without being better by more than `threshold`.
fn hold(feasible: &mut Vec<usize>, values: &[f64], by_screen: &[usize], rows: &[Row], threshold: f64) {
    if by_screen.is_empty() {
        return;
    }
    // The highest feasible value on screen so far, walking down the screen.
    let mut highest = f64::NEG_INFINITY;
    let mut held = Vec::new();
    for row in by_screen.iter().filter(|row| feasible.binary_search(row).is_ok()) {
        if values[*row] <= highest + threshold {
            held.push(*row);
        }
        highest = highest.max(values[*row]);
    }
    feasible.retain(|row| match rows[*row].on_screen {
        Some(_) => !held.contains(row),
        None => values[*row] > highest + threshold,
    });
}

/// Chooses one of `feasible`, and returns it with the probability of that choice.
///
/// With a temperature the rows race. Each row has an exponential amount of work and does `exp(value/T)` of it per unit of time.
/// A row pauses while it is not feasible. The first row to finish is chosen. The exponential distribution has no memory, so
/// the winner of each place has exactly the softmax probability, whatever happened above. Where all rows are always feasible and
/// their values stay, this is the Gumbel top-k order of `explore`.
fn choose(feasible: &[usize], values: &[f64], temperature: f64, race: &mut [f64]) -> (usize, f64) {
    let best = |better: &dyn Fn(usize, usize) -> bool| {
        feasible.iter().copied().reduce(|best, row| if better(row, best) { row } else { best }).unwrap_or(0)
    };
    if temperature <= 0.0 {
        return (best(&|row, best| values[row] > values[best]), 1.0);
    }
    let finish = |row: usize| race[row].ln() - values[row] / temperature;
    let winner = best(&|row, best| finish(row) < finish(best));
    let sum = log_sum_exp(feasible.iter().map(|row| values[*row] / temperature));
    let (work, value) = (race[winner], values[winner]);
    for row in feasible {
        let done = work * ((values[*row] - value) / temperature).exp();
        // No other row has finished, except by rounding.
        race[*row] = (race[*row] - done).max(f64::MIN_POSITIVE);
    }
    (winner, (value / temperature - sum).exp().min(1.0))
}

/// Counts of authors and topics above, and the runs at the end.
struct Caps<'a> {
    rules: &'a Rules,
    authors: Tally,
    topics: Tally,
}

#[derive(Default)]
struct Tally {
    /// Empty when there is no cap over the whole list.
    counts: BTreeMap<u32, u32>,
    last: Option<u32>,
    run: u32,
}

impl Tally {
    fn breaks_run(&self, name: Option<u32>, run_max: u32) -> bool {
        run_max > 0 && name.is_some() && name == self.last && self.run >= run_max
    }

    fn breaks_count(&self, name: Option<u32>, max: u32) -> bool {
        max > 0 && name.is_some_and(|name| self.counts.get(&name).copied().unwrap_or(0) >= max)
    }

    fn place(&mut self, name: Option<u32>, counted: bool) {
        self.run = if name == self.last { self.run.saturating_add(1) } else { 1 };
        self.last = name;
        if let Some(name) = name.filter(|_| counted) {
            *self.counts.entry(name).or_insert(0) += 1;
        }
    }
}

impl Caps<'_> {
    /// The rule that a row would break. 0: none; 1: only a cap of the whole list; 2: a cap in a row.
    fn broken(&self, rows: &[Row], row: usize) -> u8 {
        let (author, topic) = (rows[row].author, rows[row].topic);
        if self.authors.breaks_run(author, self.rules.author_run) || self.topics.breaks_run(topic, self.rules.topic_run)
        {
            return 2;
        }
        let over = self.authors.breaks_count(author, self.rules.author_max)
            || self.topics.breaks_count(topic, self.rules.topic_max);
        u8::from(over)
    }

    fn place(&mut self, rows: &[Row], row: usize) {
        self.authors.place(rows[row].author, self.rules.author_max > 0);
        self.topics.place(rows[row].topic, self.rules.topic_max > 0);
    }
}

/// The value of each row, given the rows above.
struct Values<'a> {
    diversity: Diversity<'a>,
    scores: Vec<f64>,
    now: Vec<f64>,
    /// Calibration: the amount of each share's topic above, in items, parallel to the shares.
    amounts: Vec<f64>,
    placed: f64,
}

impl<'a> Values<'a> {
    fn new(rows: &[Row], diversity: Diversity<'a>) -> Self {
        let scores: Vec<f64> = rows.iter().map(|row| row.value).collect();
        let amounts = match diversity {
            Diversity::Calibration { shares, .. } => vec![0.0; shares.len()],
            Diversity::None | Diversity::Similarity { .. } => Vec::new(),
        };
        Values { diversity, now: scores.clone(), scores, amounts, placed: 0.0 }
    }

    /// Penalised value of a row. Similarities are updated as rows are placed; a divergence is computed on demand.
    fn refresh(&mut self, feasible: &[usize]) {
        let Diversity::Calibration { weight, shares, topics } = self.diversity else { return };
        let length = self.placed + 1.0;
        let smoothed = |amount: f64, share: f64| (1.0 - SMOOTHING) * amount / length + SMOOTHING * share;
        // KL(p || q) over all topics as if the new row had none of them; then only its own topics differ.
        let term = |k: usize, amount: f64| {
            let share: f64 = shares[k].1;
            share * (share / smoothed(amount, share)).ln()
        };
        let without: f64 = (0..shares.len()).map(|k| term(k, self.amounts[k])).sum();
        for row in feasible {
            let own = topics(*row);
            let part = 1.0 / own.len().max(1) as f64;
            let mut divergence = without;
            for (at, topic) in own.iter().enumerate() {
                // A topic that a row names twice counts twice, but changes one term.
                if own[..at].contains(topic) {
                    continue;
                }
                if let Ok(k) = shares.binary_search_by_key(topic, |(topic, _)| *topic) {
                    let times = own.iter().filter(|other| *other == topic).count() as f64;
                    divergence += term(k, self.amounts[k] + times * part) - term(k, self.amounts[k]);
                }
            }
            self.now[*row] = self.scores[*row] - weight * divergence;
        }
    }

    fn place(&mut self, row: usize, left: &[usize]) {
        self.placed += 1.0;
        match self.diversity {
            Diversity::None => {}
            Diversity::Similarity { weight, similarity } => {
                let first = self.placed == 1.0;
                for other in left {
                    let value = self.scores[*other] - weight * similarity(*other, row);
                    // The most similar row above has the largest penalty.
                    self.now[*other] = if first { value } else { self.now[*other].min(value) };
                }
            }
            Diversity::Calibration { shares, topics, .. } => {
                let own = topics(row);
                for topic in own {
                    if let Ok(k) = shares.binary_search_by_key(topic, |(topic, _)| *topic) {
                        self.amounts[k] += 1.0 / own.len() as f64;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
