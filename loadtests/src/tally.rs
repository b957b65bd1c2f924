//! Counters of a run, and the table at its end.
//!
//! Invariant: a broken promise is counted, keeps its first example, and makes the exit status 1. Percentiles omit no
//! value: latencies beyond the histogram's range count as its maximum.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use hdrhistogram::Histogram;
use serde_json::json;

/// A promise of the protocol that is checked on every message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    AcceptedOnce,
    AcceptedAll,
    SeqRises,
    FeedFollows,
    VersionRises,
    BaseIsDrawn,
    CauseIsOurs,
    NoItemTwice,
    Positions,
    NothingExpired,
    NothingHidden,
    NothingRefused,
    Understood,
    LineStays,
    CouldSend,
    OnlyConcerned,
    NobodyMissed,
}

impl Check {
    /// All promises, in the order of the report; the index is the discriminant.
    pub const ALL: [Check; 17] = [
        Check::AcceptedOnce,
        Check::AcceptedAll,
        Check::SeqRises,
        Check::FeedFollows,
        Check::VersionRises,
        Check::BaseIsDrawn,
        Check::CauseIsOurs,
        Check::NoItemTwice,
        Check::Positions,
        Check::NothingExpired,
        Check::NothingHidden,
        Check::NothingRefused,
        Check::Understood,
        Check::LineStays,
        Check::CouldSend,
        Check::OnlyConcerned,
        Check::NobodyMissed,
    ];

    /// The name of the promise in the JSON report.
    pub fn name(self) -> &'static str {
        match self {
            Check::AcceptedOnce => "accepted_once",
            Check::AcceptedAll => "accepted_all",
            Check::SeqRises => "seq_rises",
            Check::FeedFollows => "feed_follows",
            Check::VersionRises => "version_rises",
            Check::BaseIsDrawn => "base_is_drawn",
            Check::CauseIsOurs => "cause_is_ours",
            Check::NoItemTwice => "no_item_twice",
            Check::Positions => "positions",
            Check::NothingExpired => "nothing_expired",
            Check::NothingHidden => "nothing_hidden",
            Check::NothingRefused => "nothing_refused",
            Check::Understood => "understood",
            Check::LineStays => "line_stays",
            Check::CouldSend => "could_send",
            Check::OnlyConcerned => "only_concerned",
            Check::NobodyMissed => "nobody_missed",
        }
    }

    /// The promise as a sentence of the report.
    pub fn promise(self) -> &'static str {
        match self {
            Check::AcceptedOnce => "an interaction is accepted at most once",
            Check::AcceptedAll => "every interaction is accepted in the end",
            Check::SeqRises => "accepted numbers of a person rise",
            Check::FeedFollows => "whatever teaches is followed by a feed",
            Check::VersionRises => "feed versions of a session rise",
            Check::BaseIsDrawn => "a patch starts from the version drawn last",
            Check::CauseIsOurs => "a feed's cause is an event of its person",
            Check::NoItemTwice => "no item is twice in a feed",
            Check::Positions => "steps of a patch fit the list",
            Check::NothingExpired => "nothing is shown after its end",
            Check::NothingHidden => "nothing hidden comes back",
            Check::NothingRefused => "no interaction is answered by an error",
            Check::Understood => "every frame is a message of the protocol",
            Check::LineStays => "the line opens and stays open",
            Check::CouldSend => "every interaction could be sent",
            Check::OnlyConcerned => "a change of the world is pushed only where it changes a feed",
            Check::NobodyMissed => "and to every user whose feed it changes",
        }
    }
}

#[derive(Default)]
struct Broken {
    count: u64,
    example: Option<String>,
}

/// A histogram of latencies in microseconds.
pub struct Latency(Mutex<Histogram<u64>>);

impl Latency {
    /// An empty counter.
    pub fn new() -> anyhow::Result<Latency> {
        // 1 us to 10 minutes, three digits.
        let histogram = Histogram::new_with_bounds(1, 600_000_000, 3).context("histogram bounds")?;
        Ok(Latency(Mutex::new(histogram)))
    }

    /// Records one latency.
    pub fn add(&self, took: Duration) {
        lock(&self.0).saturating_record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// The value of a percentile, in microseconds.
    pub fn p(&self, quantile: f64) -> u64 {
        lock(&self.0).value_at_quantile(quantile)
    }

    /// The count, and the percentiles in microseconds.
    pub fn json(&self) -> serde_json::Value {
        let histogram = lock(&self.0);
        let at = |quantile| histogram.value_at_quantile(quantile);
        json!({
            "count": histogram.len(),
            "p50_us": at(0.5),
            "p90_us": at(0.9),
            "p99_us": at(0.99),
            "p99.9_us": at(0.999),
            "max_us": histogram.max(),
            "mean_us": histogram.mean(),
        })
    }
}

/// A poisoned lock only means that another thread panicked; the counters stay valid.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All counters of a run, shared by all users.
pub struct Tally {
    /// From the start of the TCP connection to the `welcome`.
    pub connect: Latency,
    /// From the scheduled time to `accepted`.
    pub accepted: Latency,
    /// From the scheduled time to the first feed or patch that includes it.
    pub feed: Latency,
    /// From the scheduled time to the actual sending by the generator.
    pub lag: Latency,
    /// Sockets that received a first feed.
    pub open: AtomicU64,
    /// Interactions sent, without resends after `busy`.
    pub interactions: AtomicU64,
    /// Count of frames sent.
    pub frames_out: AtomicU64,
    /// Count of frames received.
    pub frames_in: AtomicU64,
    /// Bytes of payload received.
    pub bytes_in: AtomicU64,
    /// Count of `accepted` messages received.
    pub accepts: AtomicU64,
    /// Count of `feed` messages received.
    pub feeds: AtomicU64,
    /// Count of `patch` messages received.
    pub patches: AtomicU64,
    /// Count of `busy` messages received.
    pub busy: AtomicU64,
    /// Interactions for which the feed was empty.
    pub idle: AtomicU64,
    errors: Mutex<BTreeMap<&'static str, u64>>,
    broken: [Mutex<Broken>; Check::ALL.len()],
}

/// The configuration of the run, for the report.
pub struct Run {
    /// The URL of the server.
    pub url: String,
    /// The number of users.
    pub sockets: usize,
    /// The requested interactions per second.
    pub rate: f64,
    /// The duration of the load.
    pub load: Duration,
    /// The seed of the choices.
    pub seed: u64,
}

impl Tally {
    /// An empty counter.
    pub fn new() -> anyhow::Result<Tally> {
        Ok(Tally {
            connect: Latency::new()?,
            accepted: Latency::new()?,
            feed: Latency::new()?,
            lag: Latency::new()?,
            open: AtomicU64::new(0),
            interactions: AtomicU64::new(0),
            frames_out: AtomicU64::new(0),
            frames_in: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            accepts: AtomicU64::new(0),
            feeds: AtomicU64::new(0),
            patches: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            idle: AtomicU64::new(0),
            errors: Mutex::default(),
            broken: std::array::from_fn(|_| Mutex::default()),
        })
    }

    /// Records a broken promise.
    pub fn broke(&self, check: Check, example: impl FnOnce() -> String) {
        let mut broken = lock(&self.broken[check as usize]);
        broken.count += 1;
        broken.example.get_or_insert_with(example);
    }

    /// Records an `error` frame.
    pub fn error(&self, code: &'static str) {
        *lock(&self.errors).entry(code).or_default() += 1;
    }

    /// How often the server broke a promise.
    pub fn broken(&self, check: Check) -> u64 {
        lock(&self.broken[check as usize]).count
    }

    /// The first example of a broken promise.
    pub fn example(&self, check: Check) -> Option<String> {
        lock(&self.broken[check as usize]).example.clone()
    }

    /// The number of broken promises of all kinds.
    pub fn failures(&self) -> u64 {
        Check::ALL.iter().map(|&check| self.broken(check)).sum()
    }

    /// The progress line on a terminal, during the run.
    pub fn progress(&self, elapsed: Duration) -> String {
        format!(
            "{:4.0} s  open {}  sent {}  accepted {}  feed p50 {} p99 {}  busy {}  failed {}",
            elapsed.as_secs_f64(),
            self.open.load(Relaxed),
            self.interactions.load(Relaxed),
            self.accepts.load(Relaxed),
            time(self.feed.p(0.5)),
            time(self.feed.p(0.99)),
            self.busy.load(Relaxed),
            self.failures(),
        )
    }

    /// The report as text.
    pub fn table(&self, run: &Run) -> String {
        let seconds = run.load.as_secs_f64().max(1e-9);
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = writeln!(
            out,
            "\n{}: {} sockets, {} interactions/s asked for, {seconds:.1} s, seed {}\n",
            run.url, run.sockets, run.rate, run.seed
        );
        let _ = writeln!(
            out,
            "{:<24}{:>9}{:>11}{:>11}{:>11}{:>11}{:>11}",
            "latency", "count", "p50", "p90", "p99", "p99.9", "max"
        );
        for (name, latency) in self.latencies() {
            let histogram = lock(&latency.0);
            let _ = write!(out, "{name:<24}{:>9}", histogram.len());
            for quantile in [0.5, 0.9, 0.99, 0.999] {
                let _ = write!(out, "{:>11}", time(histogram.value_at_quantile(quantile)));
            }
            let _ = writeln!(out, "{:>11}", time(histogram.max()));
        }
        let _ = writeln!(out);
        for (name, count) in self.counts() {
            let _ = writeln!(out, "{name:<24}{count:>9}   {:>10.1}/s", count as f64 / seconds);
        }
        for (code, count) in lock(&self.errors).iter() {
            let _ = writeln!(out, "error {code:<18}{count:>9}");
        }
        let _ = writeln!(out);
        out.push_str(&self.promises());
        let idle = self.idle.load(Relaxed);
        if idle > 0 {
            let _ = writeln!(out, "\n{idle} interactions found an empty feed and were not sent: import items first");
        }
        out
    }

    /// The lines of kept and broken promises.
    pub fn promises(&self) -> String {
        let mut out = String::new();
        for check in Check::ALL {
            let broken = lock(&self.broken[check as usize]);
            match &broken.example {
                None => {
                    let _ = writeln!(out, "  kept   {}", check.promise());
                }
                Some(example) => {
                    let _ = writeln!(out, "BROKEN   {} ({} times), first: {example}", check.promise(), broken.count);
                }
            }
        }
        out
    }

    /// The report as JSON.
    pub fn json(&self, run: &Run) -> serde_json::Value {
        let seconds = run.load.as_secs_f64().max(1e-9);
        let latency: serde_json::Map<_, _> =
            self.latencies().into_iter().map(|(name, latency)| (name.replace(' ', "_"), latency.json())).collect();
        let counts: serde_json::Map<_, _> =
            self.counts().into_iter().map(|(name, count)| (name.replace(' ', "_"), count.into())).collect();
        let checks: serde_json::Map<_, _> = Check::ALL
            .iter()
            .map(|&check| {
                let broken = lock(&self.broken[check as usize]);
                (check.name().to_owned(), json!({"broken": broken.count, "example": broken.example}))
            })
            .collect();
        json!({
            "url": run.url,
            "sockets": run.sockets,
            "rate": run.rate,
            "seconds": seconds,
            "seed": run.seed,
            "sent_per_second": self.interactions.load(Relaxed) as f64 / seconds,
            "received_per_second": self.frames_in.load(Relaxed) as f64 / seconds,
            "latency": latency,
            "counts": counts,
            "errors": *lock(&self.errors),
            "checks": checks,
            "ok": self.failures() == 0,
        })
    }

    fn latencies(&self) -> [(&'static str, &Latency); 4] {
        [
            ("connect", &self.connect),
            ("interaction to accepted", &self.accepted),
            ("interaction to feed", &self.feed),
            ("generator lag", &self.lag),
        ]
    }

    fn counts(&self) -> [(&'static str, u64); 10] {
        [
            ("interactions", self.interactions.load(Relaxed)),
            ("accepted", self.accepts.load(Relaxed)),
            ("feeds", self.feeds.load(Relaxed)),
            ("patches", self.patches.load(Relaxed)),
            ("busy", self.busy.load(Relaxed)),
            ("frames out", self.frames_out.load(Relaxed)),
            ("frames in", self.frames_in.load(Relaxed)),
            ("bytes in", self.bytes_in.load(Relaxed)),
            ("idle", self.idle.load(Relaxed)),
            ("sockets opened", lock(&self.connect.0).len()),
        ]
    }
}

/// Formats microseconds for readers.
fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.2} ms", us as f64 / 1e3),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_indexed_by_their_place() {
        for (index, check) in Check::ALL.into_iter().enumerate() {
            assert_eq!(check as usize, index, "{}", check.name());
        }
    }

    #[test]
    fn a_broken_promise_keeps_its_first_example() {
        let tally = Tally::new().unwrap();
        assert_eq!(tally.failures(), 0);
        tally.broke(Check::SeqRises, || "first".into());
        tally.broke(Check::SeqRises, || "second".into());
        assert_eq!((tally.broken(Check::SeqRises), tally.failures()), (2, 2));
        let run = Run { url: "ws://x".into(), sockets: 1, rate: 1.0, load: Duration::from_secs(1), seed: 0 };
        assert!(tally.table(&run).contains("accepted numbers of a person rise (2 times), first: first"));
        assert_eq!(tally.json(&run)["ok"], false);
    }
}
