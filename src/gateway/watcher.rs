//! Supervision of all sockets from outside of their sessions.
//!
//! Invariant: a peer that stays silent, or never acknowledges a feed, loses its socket within the configured time plus
//! two scans. This holds even while the peer reads nothing and its session is frozen, since actix-web-actors polls an
//! actor only while its socket is writable. A session whose token was revoked loses its socket by the scans, too. A
//! socket without a second handle ([`HandleBudget`]) ends only when the system gives its peer up. The numbers of
//! sessions in all, per address and per user stay within the configuration. Half of the permits are for sessions that
//! sent `hello`: when the other half is taken, the newest session evicts the oldest one without `hello`. Deliberately
//! absent: the content of messages.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Shutdown};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use actix::Recipient;
use socket2::{SockRef, Socket, TcpKeepalive};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::actors::session::ToSession;
use crate::domain::ids::UserId;
use crate::protocol::close::CloseReason;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::grant::TokenName;
use super::rates::{RateSettings, network};

/// The permits for second handles ([`ConnectionHandle`]); all clones count together.
#[derive(Clone)]
pub struct HandleBudget(Arc<Semaphore>);

impl HandleBudget {
    /// A budget of at most `most` handles at once.
    #[must_use]
    pub fn new(most: usize) -> HandleBudget {
        HandleBudget(Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))))
    }
}

/// A second handle: a duplicated descriptor of a connection's socket, to shut the connection down from outside of its
/// session.
pub struct ConnectionHandle {
    socket: Socket,
    // Returned to the budget with the handle.
    _permit: OwnedSemaphorePermit,
}

impl ConnectionHandle {
    /// Takes a second handle if the budget allows one, and enables keep-alive probes for vanished peers.
    ///
    /// # Errors
    /// An error of the system, as when it has no file left.
    pub fn of(
        stream: &actix_web::rt::net::TcpStream,
        dead_after: Duration,
        handles: &HandleBudget,
    ) -> std::io::Result<Option<ConnectionHandle>> {
        let socket = SockRef::from(stream);
        socket.set_tcp_nodelay(true)?;
        // Keep-alive times have whole seconds.
        let second = Duration::from_secs(1);
        let (idle, between) = ((dead_after / 2).max(second), (dead_after / 6).max(second));
        let probes = TcpKeepalive::new().with_time(idle).with_interval(between);
        socket.set_tcp_keepalive(&probes)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_user_timeout(Some(dead_after))?;
        let Ok(permit) = Arc::clone(&handles.0).try_acquire_owned() else { return Ok(None) };
        Ok(Some(ConnectionHandle { socket: socket.try_clone()?, _permit: permit }))
    }

    /// Shuts the connection down in both directions; its own task then cleans up.
    pub fn cut(&self) {
        // An error means that the connection has ended already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// The last activity of a peer, and the oldest feed that it has not acknowledged. The session writes it, and the
/// watcher reads it.
#[derive(Debug)]
pub struct Liveness {
    start: Instant,
    heard_ms: AtomicU64,
    // Milliseconds plus one; 0 without an unacknowledged feed.
    owed_ms: AtomicU64,
    token: OnceLock<TokenName>,
}

impl Default for Liveness {
    fn default() -> Self {
        Liveness {
            start: Instant::now(),
            heard_ms: AtomicU64::new(0),
            owed_ms: AtomicU64::new(0),
            token: OnceLock::new(),
        }
    }
}

impl Liveness {
    /// Records that a frame of any kind arrived.
    pub(crate) fn record_frame(&self) {
        self.heard_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// Records that a feed was sent.
    pub(crate) fn record_feed(&self) {
        // Only the oldest unacknowledged feed counts.
        let _ = self.owed_ms.compare_exchange(0, self.age_ms() + 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Records that the peer acknowledged a feed.
    pub(crate) fn record_drawn(&self) {
        self.owed_ms.store(0, Ordering::Relaxed);
    }

    /// Sets the token that opened the session; the session ends when the token is revoked.
    pub(crate) fn set_token(&self, token: TokenName) {
        // A session accepts one `hello`.
        let _ = self.token.set(token);
    }

    fn age_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// The reason to close the session, if one exists.
    fn fault(&self, patience: Duration, takes: &dyn Fn(&TokenName) -> bool) -> Option<CloseReason> {
        if self.token.get().is_some_and(|token| !takes(token)) {
            return Some(CloseReason::Revoked);
        }
        let (now, patience) = (self.age_ms(), patience.as_millis() as u64);
        let heard = self.heard_ms.load(Ordering::Relaxed);
        let owed = self.owed_ms.load(Ordering::Relaxed);
        if now.saturating_sub(heard) >= patience {
            Some(CloseReason::Silent)
        } else if owed > 0 && now.saturating_sub(owed - 1) >= patience {
            Some(CloseReason::Slow)
        } else {
            None
        }
    }
}

struct Watched {
    liveness: Arc<Liveness>,
    connection: Option<Arc<ConnectionHandle>>,
    session: Recipient<ToSession>,
    // The session was notified; the next scan shuts the connection down.
    is_notified: bool,
}

/// The registry of all sockets of this server.
pub struct Registry {
    sessions_max: usize,
    // The most sessions without `hello`.
    unidentified_max: usize,
    // 0 means no limit.
    sessions_per_address: usize,
    sessions_per_person: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    permits: usize,
    // Addresses of permits only.
    addresses: HashMap<IpAddr, usize>,
    people: HashMap<UserId, usize>,
    // Sessions without `hello`, oldest first, without evicted ones.
    unidentified: BTreeSet<u64>,
    next: u64,
    watched: HashMap<u64, Watched>,
    warned: Option<Instant>,
}

/// A permit for one socket, returned when dropped.
pub struct SocketPermit {
    registry: Arc<Registry>,
    number: u64,
    address: Option<IpAddr>,
    person: Option<UserId>,
}

/// Time between two warnings that an address has reached its limit of sockets.
const WARN_EVERY: Duration = Duration::from_secs(60);

impl Registry {
    /// A registry with limits in all, and per address and user as in `rates`.
    #[must_use]
    pub fn new(sessions_max: usize, rates: &RateSettings) -> Arc<Registry> {
        Arc::new(Registry {
            sessions_max,
            unidentified_max: (sessions_max / 2).max(1),
            sessions_per_address: rates.sockets_per_address,
            sessions_per_person: rates.sockets_per_person,
            inner: Mutex::default(),
        })
    }

    /// Takes a permit for a socket.
    ///
    /// # Errors
    /// `busy` when all are taken, `rate_limited` when this address has too many.
    pub(crate) fn admit(self: &Arc<Registry>, address: Option<IpAddr>) -> Result<SocketPermit, Refusal> {
        let address = address.map(network);
        let mut inner = self.lock();
        if inner.permits >= self.sessions_max {
            let message = "all sockets are taken: connect again later";
            return Err(Refusal { retry_after_ms: Some(10_000), ..Refusal::new(Code::Busy, message) });
        }
        if let Some(address) = address {
            let held = inner.addresses.get(&address).copied().unwrap_or_default();
            if self.sessions_per_address > 0 && held >= self.sessions_per_address {
                if inner.warned.is_none_or(|warned| warned.elapsed() >= WARN_EVERY) {
                    inner.warned = Some(Instant::now());
                    tracing::warn!(
                        %address,
                        sockets = held,
                        "an address has reached rate.sockets_per_address: behind a proxy, set it to 0"
                    );
                }
                let message = "this address has reached its limit of sockets: close one first";
                return Err(Refusal { retry_after_ms: Some(10_000), ..Refusal::new(Code::RateLimited, message) });
            }
            inner.addresses.insert(address, held + 1);
        }
        if inner.unidentified.len() >= self.unidentified_max {
            inner.evict_oldest_unidentified();
        }
        inner.permits += 1;
        inner.next += 1;
        let number = inner.next;
        inner.unidentified.insert(number);
        Ok(SocketPermit { registry: Arc::clone(self), number, address, person: None })
    }

    /// The number of open sockets.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().permits
    }

    /// True without any open socket.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notifies all sessions to send `bye` and close.
    pub(crate) fn close_all(&self, reason: CloseReason) {
        for watched in self.lock().watched.values() {
            // A full mailbox belongs to a peer that does not read; its connection ends with the server.
            let _ = watched.session.try_send(ToSession::Close(reason));
        }
    }

    /// Closes sessions whose peer exceeds `patience`, or whose token fails `takes`. The first scan notifies a session,
    /// and the next one shuts its connection down.
    pub fn scan(&self, patience: Duration, takes: &dyn Fn(&TokenName) -> bool) {
        for watched in self.lock().watched.values_mut() {
            if watched.is_notified {
                watched.connection.iter().for_each(|connection| connection.cut());
            } else if let Some(reason) = watched.liveness.fault(patience, takes) {
                watched.is_notified = true;
                let _ = watched.session.try_send(ToSession::Close(reason));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code panics while it holds the lock, so a poisoned lock guards valid data.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Closes the oldest session without `hello`. Clients send `hello` at once, so this session is the least likely to
    /// send it.
    fn evict_oldest_unidentified(&mut self) {
        let Some(oldest) = self.unidentified.pop_first() else { return };
        if let Some(watched) = self.watched.get_mut(&oldest) {
            watched.is_notified = true;
            let _ = watched.session.try_send(ToSession::Close(CloseReason::Silent));
            watched.connection.iter().for_each(|connection| connection.cut());
        }
    }
}

/// Scans until the last owner drops the registry.
pub async fn watch(
    registry: std::sync::Weak<Registry>,
    patience: Duration,
    every: Duration,
    takes: impl Fn(&TokenName) -> bool,
) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        let Some(registry) = registry.upgrade() else { return };
        registry.scan(patience, &takes);
    }
}

impl SocketPermit {
    /// Adds the session to the watched ones.
    pub fn watch(
        &self,
        liveness: Arc<Liveness>,
        connection: Option<Arc<ConnectionHandle>>,
        session: Recipient<ToSession>,
    ) {
        self.registry.lock().watched.insert(self.number, Watched { liveness, connection, session, is_notified: false });
    }

    /// Counts the permit for the user of a `hello`.
    ///
    /// # Errors
    /// `rate_limited` when the user has reached the limit of sockets.
    pub(crate) fn assign_user(&mut self, user: UserId) -> Result<(), Refusal> {
        let mut inner = self.registry.lock();
        let most = self.registry.sessions_per_person;
        let held = inner.people.entry(user).or_default();
        if most > 0 && *held >= most {
            let message = "this person has reached the limit of sockets: close one first";
            return Err(Refusal { retry_after_ms: Some(10_000), ..Refusal::new(Code::RateLimited, message) });
        }
        *held += 1;
        inner.unidentified.remove(&self.number);
        drop(inner);
        self.person = Some(user);
        Ok(())
    }
}

fn release<K: std::hash::Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(held) = counts.get_mut(key) {
        *held -= 1;
        if *held == 0 {
            counts.remove(key);
        }
    }
}

/// Connections per address; a limit of 0 admits any number.
pub struct PerAddress {
    most: usize,
    held: Mutex<HashMap<IpAddr, usize>>,
}

/// A permit for one connection of an address, returned when dropped.
pub struct AddressPermit {
    of: Arc<PerAddress>,
    address: IpAddr,
}

impl PerAddress {
    /// A limit of `most` connections per address.
    #[must_use]
    pub fn new(most: usize) -> Arc<PerAddress> {
        Arc::new(PerAddress { most, held: Mutex::default() })
    }

    /// A permit for a connection, or `None` when its address is at its limit.
    #[must_use]
    pub(crate) fn admit(self: &Arc<PerAddress>, address: IpAddr) -> Option<AddressPermit> {
        let address = network(address);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get(&address).copied().unwrap_or_default();
        if self.most > 0 && count >= self.most {
            return None;
        }
        held.insert(address, count + 1);
        Some(AddressPermit { of: Arc::clone(self), address })
    }
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        release(&mut self.of.held.lock().unwrap_or_else(PoisonError::into_inner), &self.address);
    }
}

/// Closes a connection before the server reads from it.
pub fn reject(stream: &actix_web::rt::net::TcpStream) {
    let _ = SockRef::from(stream).shutdown(Shutdown::Both);
}

impl Drop for SocketPermit {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        inner.permits -= 1;
        inner.watched.remove(&self.number);
        inner.unidentified.remove(&self.number);
        if let Some(address) = self.address {
            release(&mut inner.addresses, &address);
        }
        if let Some(person) = self.person {
            release(&mut inner.people, &person);
        }
    }
}

#[cfg(test)]
mod tests {
    use actix::{Actor, Context, Handler};
    use tokio::io::AsyncReadExt;

    use super::*;

    #[derive(Default)]
    struct Frozen;
    impl Actor for Frozen {
        type Context = Context<Self>;
    }
    impl Handler<ToSession> for Frozen {
        type Result = ();
        fn handle(&mut self, _: ToSession, _: &mut Self::Context) {}
    }

    fn registry(sessions_max: usize, sockets_per_address: usize, sockets_per_person: usize) -> Arc<Registry> {
        Registry::new(
            sessions_max,
            &RateSettings { sockets_per_address, sockets_per_person, ..RateSettings::default() },
        )
    }

    #[test]
    fn sessions_without_hello_leave_half_of_the_permits_to_the_others() {
        let registry = registry(10, 0, 0);
        let mut permits: Vec<SocketPermit> = Vec::new();
        for user in 0..5 {
            let mut permit = registry.admit(None).unwrap();
            permit.assign_user(UserId(user)).unwrap();
            permits.push(permit);
        }
        let unidentified: Vec<SocketPermit> = (0..5).map(|_| registry.admit(None).unwrap()).collect();
        assert_eq!(registry.lock().unidentified.len(), 5);
        assert!(registry.admit(None).is_err(), "all permits are taken until the oldest stranger has gone");
        drop(unidentified);
        permits.clear();

        // Sessions without `hello` never hold more than half, whatever their number, and the newest is among them.
        let mut crowd = std::collections::VecDeque::new();
        for _ in 0..100 {
            crowd.push_back(registry.admit(None).unwrap());
            let newest = crowd.back().unwrap().number;
            assert!(registry.lock().unidentified.contains(&newest));
            // Evicted sessions drop their permits.
            crowd.retain(|permit| registry.lock().unidentified.contains(&permit.number));
            assert!(registry.len() <= 5);
        }
        let mut newest = crowd.pop_back().unwrap();
        newest.assign_user(UserId(1)).unwrap();
        for _ in 0..20 {
            drop(registry.admit(None).unwrap());
        }
        assert_eq!(newest.person, Some(UserId(1)), "a session that said hello stays");
    }

    #[test]
    fn one_person_does_not_take_all_permits() {
        let registry = registry(10, 0, 2);
        let mut permits: Vec<SocketPermit> = (0..3).map(|_| registry.admit(None).unwrap()).collect();
        permits[0].assign_user(UserId(1)).unwrap();
        permits[1].assign_user(UserId(1)).unwrap();
        assert_eq!(permits[2].assign_user(UserId(1)).unwrap_err().code, Code::RateLimited);
        permits[2].assign_user(UserId(2)).unwrap();
        permits.clear();
        assert!(registry.lock().people.is_empty() && registry.is_empty());
    }

    #[test]
    fn one_address_does_not_take_all_connections() {
        let [here, there] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        let limited = PerAddress::new(2);
        let (first, _second) = (limited.admit(here).unwrap(), limited.admit(here).unwrap());
        assert!(limited.admit(here).is_none() && limited.admit(there).is_some());
        drop(first);
        assert!(limited.admit(here).is_some());
        let unlimited = PerAddress::new(0);
        let all: Vec<AddressPermit> = (0..5_000).filter_map(|_| unlimited.admit(here)).collect();
        assert_eq!(all.len(), 5_000);
    }

    #[test]
    fn permits_are_counted_and_returned() {
        let registry = registry(2, 0, 0);
        let (first, _second) = (registry.admit(None).unwrap(), registry.admit(None).unwrap());
        assert_eq!(registry.admit(None).err().map(|refusal| refusal.code), Some(Code::Busy));
        drop(first);
        assert!(registry.admit(None).is_ok());
        assert_eq!(registry.len(), 1);
    }

    #[test]
    fn one_address_does_not_take_all_permits() {
        let registry = registry(10, 2, 0);
        let [here, there] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(|address| Some(IpAddr::from(address)));
        let (first, _second) = (registry.admit(here).unwrap(), registry.admit(here).unwrap());
        assert_eq!(registry.admit(here).err().map(|refusal| refusal.code), Some(Code::RateLimited));
        let others = registry.admit(there).unwrap();
        drop(first);
        let _third = registry.admit(here).unwrap();
        drop(others);
        assert_eq!((registry.len(), registry.lock().addresses.len()), (2, 1));
    }

    #[test]
    fn a_session_ends_with_its_token() {
        let liveness = Liveness::default();
        let long = Duration::from_secs(60);
        assert_eq!(liveness.fault(long, &|_| false), None, "nobody came in by a token");
        liveness.set_token(TokenName { kid: "k".into(), jti: None });
        assert_eq!(liveness.fault(long, &|token| token.kid == "k"), None);
        assert_eq!(liveness.fault(long, &|_| false), Some(CloseReason::Revoked));
    }

    #[test]
    fn silence_and_undrawn_feeds_run_out_of_patience() {
        let none = Duration::ZERO;
        let long = Duration::from_secs(60);
        let liveness = Liveness::default();
        assert_eq!(liveness.fault(long, &|_| true), None);
        assert_eq!(liveness.fault(none, &|_| true), Some(CloseReason::Silent));
        let patience = Duration::from_millis(40);
        liveness.record_feed();
        std::thread::sleep(patience * 2);
        liveness.record_feed();
        liveness.record_frame();
        assert_eq!(liveness.fault(patience, &|_| true), Some(CloseReason::Slow), "the oldest debt counts");
        liveness.record_drawn();
        assert_eq!(liveness.fault(patience, &|_| true), None);
    }

    #[actix_web::test]
    async fn a_peer_that_does_not_go_is_cut_at_the_next_scan() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        let registry = registry(1, 0, 0);
        let permit = registry.admit(None).unwrap();
        let handles = HandleBudget::new(1);
        let connection = Arc::new(ConnectionHandle::of(&ours, Duration::from_secs(1), &handles).unwrap().unwrap());
        assert!(
            ConnectionHandle::of(&ours, Duration::from_secs(1), &handles).unwrap().is_none(),
            "there was one handle"
        );
        permit.watch(Arc::default(), Some(connection), Frozen.start().recipient());
        registry.scan(Duration::from_secs(60), &|_| true);
        registry.scan(Duration::ZERO, &|_| true);
        let mut byte = [0];
        let waited = tokio::time::timeout(Duration::from_millis(50), peer.read(&mut byte)).await;
        assert!(waited.is_err(), "told first");
        registry.scan(Duration::from_secs(60), &|_| true);
        assert_eq!(peer.read(&mut byte).await.unwrap(), 0, "then cut, though our end is still open");
        drop(ours);
    }
}
