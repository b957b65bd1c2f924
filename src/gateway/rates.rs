//! Rate limits: token buckets per address, per subject and per acting user.
//!
//! Invariant: a refused request costs no more than reading it, and no learner receives it. Memory is bounded: a sweep
//! drops full buckets every second, and beyond [`TABLE_MAX`] buckets new keys share some. An address is that of the
//! connection; an IPv6 address counts by its /64. Deliberately absent: forwarded headers, which any client can write;
//! limits across several servers.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use serde::{Deserialize, Serialize};

use crate::domain::ids::UserId;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::grant::{Grant, Subject};

/// Largest number of buckets of one kind. Beyond it, new keys share [`SHARED`] buckets until a sweep makes room.
pub const TABLE_MAX: usize = 200_000;
/// The number of shared buckets beyond [`TABLE_MAX`].
pub const SHARED: u64 = 4_096;
/// Time between two sweeps of full buckets.
pub(crate) const SWEEP: Duration = Duration::from_secs(1);

/// A token bucket: a long-run rate and a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Tokens per second; 0 means no limit.
    pub per_second: u32,
    /// Tokens of a full bucket.
    pub burst: u32,
}

/// A bucket of the configuration with a rate and no burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be at least 1 (per_second = 0 turns it off)")]
pub struct EmptyBucketError(&'static str);

impl EmptyBucketError {
    /// The key of the configuration that must change, as in `rate.post.burst`.
    #[must_use]
    pub fn key(&self) -> String {
        format!("rate.{}.burst", self.0)
    }
}

/// The table `[rate]` of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateSettings {
    /// Requests of one address, and its frames before `hello`.
    pub address: Bucket,
    /// Requests with the tokens of one user.
    pub person: Bucket,
    /// Requests with one service token.
    pub service: Bucket,
    /// Messages of one user over all sockets, and the user's events over REST.
    pub message: Bucket,
    /// Posts of one user, and changes of their items' live state.
    pub post: Bucket,
    /// Open sockets of one address; 0 means no limit but `sockets_max`.
    pub sockets_per_address: usize,
    /// Open sockets of one user; 0 means no limit but `sockets_max`.
    pub sockets_per_person: usize,
}

impl Default for RateSettings {
    fn default() -> Self {
        RateSettings {
            address: Bucket { per_second: 5_000, burst: 20_000 },
            person: Bucket { per_second: 100, burst: 1_000 },
            service: Bucket { per_second: 5_000, burst: 20_000 },
            message: Bucket { per_second: 500, burst: 5_000 },
            post: Bucket { per_second: 1, burst: 120 },
            sockets_per_address: 1_000,
            sockets_per_person: 50,
        }
    }
}

impl RateSettings {
    /// Refuses a bucket that has a rate and no burst: it would admit no request at all.
    ///
    /// # Errors
    /// [`EmptyBucketError`] for the first such bucket.
    pub fn check(&self) -> Result<(), EmptyBucketError> {
        let buckets = [
            ("address", self.address),
            ("person", self.person),
            ("service", self.service),
            ("message", self.message),
            ("post", self.post),
        ];
        for (name, bucket) in buckets {
            if bucket.per_second > 0 && bucket.burst == 0 {
                return Err(EmptyBucketError(name));
            }
        }
        Ok(())
    }
}

/// The state of a bucket after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remaining {
    /// Tokens of the full bucket.
    pub limit: u32,
    /// Tokens that are left in the bucket.
    pub remaining: u32,
    /// Seconds until the bucket is full again.
    pub reset_s: u32,
    /// For an empty bucket, milliseconds until its next token.
    pub retry_after_ms: Option<u32>,
}

impl Remaining {
    /// Of two bucket states, the one with fewer tokens left.
    pub(super) fn tighter(self, other: Option<Remaining>) -> Remaining {
        let share = |left: &Remaining| u64::from(left.remaining) << 32 | u64::from(left.limit);
        match other {
            Some(other) if share(&other) < share(&self) => other,
            _ => self,
        }
    }

    pub(super) fn refusal(self) -> Option<Refusal> {
        let retry_after_ms = self.retry_after_ms?;
        let message = "too many requests: slow down, and send the request again after the pause";
        Some(Refusal { retry_after_ms: Some(retry_after_ms), ..Refusal::new(Code::RateLimited, message) })
    }

    pub(super) fn write(self, headers: &mut HeaderMap) {
        for (name, value) in [
            ("ratelimit-limit", self.limit),
            ("ratelimit-remaining", self.remaining),
            ("ratelimit-reset", self.reset_s),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

type Limiter = RateLimiter<u64, DashMapStateStore<u64>, DefaultClock, StateInformationMiddleware>;

/// Buckets of one kind, by the hash of their key.
struct BucketTable {
    limiter: Limiter,
    clock: DefaultClock,
    hasher: RandomState,
    limit: u32,
    per_second: u32,
    crowded: AtomicBool,
    /// Refusals since the start.
    refused: AtomicU64,
}

impl BucketTable {
    fn new(bucket: Bucket) -> Option<BucketTable> {
        let (per_second, burst) = (NonZeroU32::new(bucket.per_second)?, NonZeroU32::new(bucket.burst)?);
        let clock = DefaultClock::default();
        let quota = Quota::per_second(per_second).allow_burst(burst);
        let limiter = RateLimiter::dashmap_with_clock(quota, clock.clone()).with_middleware();
        let (limit, per_second) = (burst.get(), per_second.get());
        let (hasher, crowded, refused) = (RandomState::new(), AtomicBool::new(false), AtomicU64::new(0));
        Some(BucketTable { limiter, clock, hasher, limit, per_second, crowded, refused })
    }

    fn take(&self, whose: impl Hash) -> Remaining {
        let mut place = self.hasher.hash_one(whose);
        if self.crowded.load(Ordering::Relaxed) {
            place %= SHARED;
        }
        let (remaining, retry_after_ms) = match self.limiter.check_key(&place) {
            Ok(state) => (state.remaining_burst_capacity(), None),
            Err(until) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let wait = until.wait_time_from(self.clock.now()).as_millis();
                (0, Some(u32::try_from(wait).unwrap_or(u32::MAX).max(1)))
            }
        };
        let reset_s = (self.limit.saturating_sub(remaining)).div_ceil(self.per_second);
        Remaining { limit: self.limit, remaining, reset_s, retry_after_ms }
    }

    fn sweep(&self) {
        self.limiter.retain_recent();
        let held = self.limiter.len();
        if held < TABLE_MAX / 4 {
            self.limiter.shrink_to_fit();
        }
        self.crowded.store(held > TABLE_MAX, Ordering::Relaxed);
    }
}

/// All buckets of one server.
pub struct Rates {
    address: Option<BucketTable>,
    person: Option<BucketTable>,
    service: Option<BucketTable>,
    message: Option<BucketTable>,
    post: Option<BucketTable>,
}

impl Rates {
    /// Creates full buckets.
    #[must_use]
    pub fn new(settings: &RateSettings) -> Rates {
        Rates {
            address: BucketTable::new(settings.address),
            person: BucketTable::new(settings.person),
            service: BucketTable::new(settings.service),
            message: BucketTable::new(settings.message),
            post: BucketTable::new(settings.post),
        }
    }

    /// Takes a token for a request of this address, or a frame before `hello`.
    pub fn address(&self, address: IpAddr) -> Option<Remaining> {
        self.address.as_ref().map(|table| table.take(network(address)))
    }

    pub(super) fn subject(&self, grant: &Grant) -> Option<Remaining> {
        match (&grant.subject, &grant.token) {
            (Subject::Person(key), _) => self.person.as_ref().map(|table| table.take(key)),
            (Subject::Anyone, Some(token)) => self.service.as_ref().map(|table| table.take(token)),
            // Dev mode.
            (Subject::Anyone, None) => None,
        }
    }

    /// Takes a token for a message or an event of a user.
    ///
    /// # Errors
    /// `rate_limited`, with the pause.
    pub fn message(&self, user: UserId) -> Result<(), Refusal> {
        let left = self.message.as_ref().map(|table| table.take(user));
        left.and_then(Remaining::refusal).map_or(Ok(()), Err)
    }

    /// Takes a token for a post of a user, or a change of live state.
    ///
    /// # Errors
    /// `rate_limited`, with the pause.
    pub fn post(&self, user: UserId) -> Result<(), Refusal> {
        let left = self.post.as_ref().map(|table| table.take(user));
        left.and_then(Remaining::refusal).map_or(Ok(()), Err)
    }

    /// Charges a refused part of a batch to its sender's requests; in dev mode, to those of the address.
    ///
    /// # Errors
    /// `rate_limited`, with the pause.
    pub(super) fn fault(&self, grant: &Grant, address: Option<IpAddr>) -> Result<(), Refusal> {
        let left = match grant.token {
            Some(_) => self.subject(grant),
            None => address.and_then(|address| self.address(address)),
        };
        left.and_then(Remaining::refusal).map_or(Ok(()), Err)
    }

    /// Takes a token for a message of a socket before `hello`.
    ///
    /// # Errors
    /// `rate_limited`, with the pause.
    pub(crate) fn unidentified(&self, address: Option<IpAddr>) -> Result<(), Refusal> {
        let left = address.and_then(|address| self.address(address));
        left.and_then(Remaining::refusal).map_or(Ok(()), Err)
    }

    /// Refusals of each kind of bucket since the start, by the names in the configuration, without disabled ones.
    #[must_use]
    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        let tables = [
            ("address", &self.address),
            ("person", &self.person),
            ("service", &self.service),
            ("message", &self.message),
            ("post", &self.post),
        ];
        let of = |(name, table): (&'static str, &Option<BucketTable>)| {
            table.as_ref().map(|table| (name, table.refused.load(Ordering::Relaxed)))
        };
        tables.into_iter().filter_map(of).collect()
    }

    fn sweep(&self) {
        for table in [&self.address, &self.person, &self.service, &self.message, &self.post].into_iter().flatten() {
            table.sweep();
        }
    }
}

/// Sweeps full buckets until the last owner drops `rates`.
pub async fn sweep(rates: std::sync::Weak<Rates>) {
    let mut ticks = tokio::time::interval(SWEEP);
    loop {
        ticks.tick().await;
        let Some(rates) = rates.upgrade() else { return };
        rates.sweep();
    }
}

/// The part of an address that its owner cannot vary at will.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        four => four,
    }
}

/// The address of the connection that carries a request.
#[must_use]
pub(crate) fn address_of(request: &HttpRequest) -> Option<IpAddr> {
    request.peer_addr().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Key;
    use crate::gateway::grant::TokenName;

    fn rates(per_second: u32, burst: u32) -> Rates {
        let bucket = Bucket { per_second, burst };
        let settings = RateSettings {
            address: bucket,
            person: bucket,
            service: bucket,
            message: bucket,
            post: bucket,
            sockets_per_address: 0,
            sockets_per_person: 0,
        };
        Rates::new(&settings)
    }

    fn service(jti: &str) -> Grant {
        let token = TokenName { kid: "k".into(), jti: Some(jti.into()) };
        Grant { subject: Subject::Anyone, signed: None, expires: None, token: Some(token) }
    }

    #[test]
    fn a_bucket_empties_says_so_and_fills_again() {
        let rates = rates(20, 2);
        let address: IpAddr = [192, 0, 2, 1].into();
        let first = rates.address(address).unwrap();
        assert_eq!(first, Remaining { limit: 2, remaining: 1, reset_s: 1, retry_after_ms: None });
        assert_eq!(rates.address(address).unwrap().remaining, 0);
        let refused = rates.address(address).unwrap().retry_after_ms.unwrap();
        assert!((1..=50).contains(&refused), "{refused}");
        assert!(rates.address([192, 0, 2, 2].into()).unwrap().retry_after_ms.is_none(), "another address");
        std::thread::sleep(Duration::from_millis(80));
        assert!(rates.address(address).unwrap().retry_after_ms.is_none());
    }

    #[test]
    fn everybody_has_a_bucket_of_their_own() {
        let rates = rates(1, 1);
        let person = |name| Grant {
            subject: Subject::Person(Key::new(name).unwrap()),
            signed: None,
            expires: None,
            token: service("t").token,
        };
        for (name, grant, good) in [
            ("ada", person("ada"), true),
            ("ada again", person("ada"), false),
            ("bob, same token id", person("bob"), true),
            ("a service", service("s1"), true),
            ("the same", service("s1"), false),
            ("another", service("s2"), true),
        ] {
            assert_eq!(rates.subject(&grant).unwrap().retry_after_ms.is_none(), good, "{name}");
        }
        assert_eq!(rates.subject(&Grant { token: None, ..service("") }), None, "dev mode");
        assert!(rates.message(UserId(1)).is_ok());
        assert_eq!(rates.message(UserId(1)).unwrap_err().code, Code::RateLimited);
        assert!(rates.message(UserId(2)).is_ok());
        assert!(rates.post(UserId(1)).is_ok());
        assert_eq!(rates.post(UserId(1)).unwrap_err().code, Code::RateLimited);
    }

    #[test]
    fn a_fault_costs_the_budget_of_whoever_sent_it() {
        let here = Some(IpAddr::from([192, 0, 2, 1]));
        let rates = rates(1, 1);
        let dev = Grant { token: None, ..service("") };
        assert!(rates.fault(&service("s1"), here).is_ok());
        assert!(rates.subject(&service("s1")).unwrap().retry_after_ms.is_some(), "its next request waits");
        assert!(rates.address([192, 0, 2, 1].into()).unwrap().retry_after_ms.is_none(), "the address has its own");
        assert!(rates.fault(&dev, here).is_err(), "in dev mode the address pays");
        assert!(rates.fault(&dev, None).is_ok(), "a test without a connection");
    }

    #[test]
    fn zero_turns_a_limit_off() {
        let rates = rates(0, 0);
        assert!(
            (0..10_000).all(|_| rates.address([192, 0, 2, 1].into()).is_none() && rates.message(UserId(1)).is_ok())
        );
    }

    #[test]
    fn idle_buckets_are_forgotten_and_a_crowd_shares() {
        let table = BucketTable::new(Bucket { per_second: 1, burst: 1 }).unwrap();
        for number in 0..TABLE_MAX as u64 + 10 {
            table.take(number);
        }
        table.sweep();
        assert!(table.crowded.load(Ordering::Relaxed));
        for number in 0..50_000_u64 {
            table.take(("newcomer", number));
        }
        assert!(table.limiter.len() as u64 <= TABLE_MAX as u64 + 10 + SHARED);
        std::thread::sleep(Duration::from_millis(2_100));
        table.sweep();
        assert_eq!(table.limiter.len(), 0);
        assert!(!table.crowded.load(Ordering::Relaxed));
    }

    #[test]
    fn an_address_is_what_its_owner_cannot_change_at_will() {
        for (given, expected) in
            [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::")]
        {
            assert_eq!(network(given.parse().unwrap()), expected.parse::<IpAddr>().unwrap(), "{given}");
        }
    }
}
