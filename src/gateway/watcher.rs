//! Watches all sockets from outside of their sessions.
//!
//! Invariant: a peer that is silent, or is sent feeds and never draws one, loses its socket within the configured time
//! plus two scans, even when it reads nothing and its session is therefore frozen (actix-web-actors polls an actor
//! only while its socket can be written). No more sessions than configured. Absent on purpose: what sessions say.

use std::collections::HashMap;
use std::net::Shutdown;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix::Recipient;
use socket2::{SockRef, Socket, TcpKeepalive};

use crate::actors::session::ToSession;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

/// A second handle on a connection's socket, to end it from outside.
pub struct Line(Socket);

impl Line {
    /// Takes a second handle, and has the system notice peers that vanished.
    ///
    /// # Errors
    /// Those of the system, when it has no handle left.
    pub fn of(stream: &actix_web::rt::net::TcpStream, dead_after: Duration) -> std::io::Result<Line> {
        let socket = SockRef::from(stream);
        socket.set_tcp_nodelay(true)?;
        // The system counts whole seconds.
        let second = Duration::from_secs(1);
        let (idle, between) = ((dead_after / 2).max(second), (dead_after / 6).max(second));
        let probes = TcpKeepalive::new().with_time(idle).with_interval(between);
        socket.set_tcp_keepalive(&probes)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket.set_tcp_user_timeout(Some(dead_after))?;
        socket.try_clone().map(Line)
    }

    /// Ends the connection in both directions; its own task then sees the end and cleans up.
    fn cut(&self) {
        // It may be gone already, which is just as well.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// When a peer was last heard, and since when it owes a `drawn`; written by the session, read by the watcher.
#[derive(Debug)]
pub struct Vitals {
    start: Instant,
    heard_ms: AtomicU64,
    // Milliseconds plus one; 0 when nothing is owed.
    owed_ms: AtomicU64,
}

impl Default for Vitals {
    fn default() -> Self {
        Vitals { start: Instant::now(), heard_ms: AtomicU64::new(0), owed_ms: AtomicU64::new(0) }
    }
}

impl Vitals {
    /// Any frame came in.
    pub fn heard(&self) {
        self.heard_ms.store(self.age_ms(), Ordering::Relaxed);
    }

    /// A feed went out.
    pub fn fed(&self) {
        // The oldest debt counts.
        let _ = self.owed_ms.compare_exchange(0, self.age_ms() + 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A feed was drawn.
    pub fn drew(&self) {
        self.owed_ms.store(0, Ordering::Relaxed);
    }

    fn age_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64
    }

    /// Why to drop the peer, if there is a reason.
    fn fault(&self, patience: Duration) -> Option<&'static str> {
        let (now, patience) = (self.age_ms(), patience.as_millis() as u64);
        let heard = self.heard_ms.load(Ordering::Relaxed);
        let owed = self.owed_ms.load(Ordering::Relaxed);
        if now.saturating_sub(heard) >= patience {
            Some("silent")
        } else if owed > 0 && now.saturating_sub(owed - 1) >= patience {
            Some("slow")
        } else {
            None
        }
    }
}

struct Watched {
    vitals: Arc<Vitals>,
    line: Option<Arc<Line>>,
    session: Recipient<ToSession>,
    // It was told to go; the next scan cuts the line.
    told: bool,
}

/// All sockets of this server.
pub struct Registry {
    sessions_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    seats: usize,
    next: u64,
    watched: HashMap<u64, Watched>,
}

/// The right to one socket; given back when dropped.
pub struct Seat {
    registry: Arc<Registry>,
    number: u64,
}

impl Registry {
    /// Room for so many sessions.
    #[must_use]
    pub fn new(sessions_max: usize) -> Arc<Registry> {
        Arc::new(Registry { sessions_max, inner: Mutex::default() })
    }

    /// Takes a seat.
    ///
    /// # Errors
    /// `busy` when all are taken.
    pub fn admit(self: &Arc<Registry>) -> Result<Seat, Refusal> {
        let mut inner = self.lock();
        if inner.seats >= self.sessions_max {
            let message = "all sockets are taken: connect again later";
            return Err(Refusal { retry_after_ms: Some(10_000), ..Refusal::new(Code::Busy, message) });
        }
        inner.seats += 1;
        inner.next += 1;
        Ok(Seat { registry: Arc::clone(self), number: inner.next })
    }

    /// How many sockets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().seats
    }

    /// None at all?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tells all sessions to say `bye` and close.
    pub fn dismiss_all(&self, reason: &'static str) {
        for watched in self.lock().watched.values() {
            // A full mailbox belongs to a peer that does not read: it is cut with the server.
            let _ = watched.session.try_send(ToSession::Close(reason));
        }
    }

    /// Ends the sockets of peers that ran out of `patience`: first politely, at the next scan by force.
    pub fn scan(&self, patience: Duration) {
        for watched in self.lock().watched.values_mut() {
            if watched.told {
                watched.line.iter().for_each(|line| line.cut());
            } else if let Some(reason) = watched.vitals.fault(patience) {
                watched.told = true;
                let _ = watched.session.try_send(ToSession::Close(reason));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing within panics half-way, so a poisoned lock guards sound data.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Scans until the registry is gone.
pub async fn watch(registry: std::sync::Weak<Registry>, patience: Duration, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        let Some(registry) = registry.upgrade() else { return };
        registry.scan(patience);
    }
}

impl Seat {
    /// From now on this peer is watched.
    pub fn watch(&self, vitals: Arc<Vitals>, line: Option<Arc<Line>>, session: Recipient<ToSession>) {
        self.registry.lock().watched.insert(self.number, Watched { vitals, line, session, told: false });
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inner = self.registry.lock();
        inner.seats -= 1;
        inner.watched.remove(&self.number);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
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

    #[test]
    fn seats_are_counted_and_given_back() {
        let registry = Registry::new(2);
        let (first, _second) = (registry.admit().unwrap(), registry.admit().unwrap());
        assert_eq!(registry.admit().err().map(|refusal| refusal.code), Some(Code::Busy));
        drop(first);
        assert!(registry.admit().is_ok());
        assert_eq!(registry.len(), 1);
    }

    #[test]
    fn silence_and_undrawn_feeds_run_out_of_patience() {
        let none = Duration::ZERO;
        let long = Duration::from_secs(60);
        let vitals = Vitals::default();
        assert_eq!(vitals.fault(long), None);
        assert_eq!(vitals.fault(none), Some("silent"));
        let patience = Duration::from_millis(40);
        vitals.fed();
        std::thread::sleep(patience * 2);
        vitals.fed();
        vitals.heard();
        assert_eq!(vitals.fault(patience), Some("slow"), "the oldest debt counts");
        vitals.drew();
        assert_eq!(vitals.fault(patience), None);
    }

    #[actix_web::test]
    async fn a_peer_that_does_not_go_is_cut_at_the_next_scan() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        let registry = Registry::new(1);
        let seat = registry.admit().unwrap();
        let line = Arc::new(Line::of(&ours, Duration::from_secs(1)).unwrap());
        seat.watch(Arc::default(), Some(line), Frozen.start().recipient());
        registry.scan(Duration::from_secs(60));
        registry.scan(Duration::ZERO);
        let mut byte = [0];
        let waited = tokio::time::timeout(Duration::from_millis(50), peer.read(&mut byte)).await;
        assert!(waited.is_err(), "told first");
        registry.scan(Duration::from_secs(60));
        assert_eq!(peer.read(&mut byte).await.unwrap(), 0, "then cut, though our end is still open");
        drop(ours);
    }
}
