//! Large answers in transit to slow readers.
//!
//! Invariant: large answers of all requests together stay within one budget, and each goes to its socket in small
//! pieces. A reader that takes no piece within [`PIECE_WITHIN`] loses its connection, so that no reader holds a share
//! of the budget for long. Deliberately absent: sockets, whose frames the user's actor bounds.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;

use super::budget::Permit;
use super::watcher::ConnectionHandle;

/// Time within which a reader must take the next piece of an answer: 1 KiB per second at least.
pub const PIECE_WITHIN: Duration = Duration::from_secs(30);
/// The largest piece for a socket at once; the socket takes the next one after it has written this one.
const PIECE_BYTES: usize = 32 * 1024;
/// The time since which a socket has taken no piece, in milliseconds since the start plus one. It is 0 while the socket
/// waits for the server.
#[derive(Debug, Default)]
struct Unread(AtomicU64);

/// The registry of all large answers in transit.
pub struct Answers {
    start: Instant,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next: u64,
    under_way: HashMap<u64, (Arc<Unread>, Arc<ConnectionHandle>)>,
}

impl Default for Answers {
    fn default() -> Self {
        Answers { start: Instant::now(), inner: Mutex::default() }
    }
}

impl Answers {
    fn now_ms(&self) -> u64 {
        self.start.elapsed().as_millis() as u64 + 1
    }

    /// Shuts down the connections of readers that took no piece within `patience`.
    fn scan(&self, patience: Duration) {
        let now = self.now_ms();
        for (unread, connection) in self.lock().under_way.values() {
            let since = unread.0.load(Ordering::Relaxed);
            if since > 0 && now.saturating_sub(since) >= patience.as_millis() as u64 {
                connection.cut();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code panics while it holds the lock, so a poisoned lock guards valid data.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Scans until the last owner drops the registry.
pub async fn watch(answers: Weak<Answers>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        let Some(answers) = answers.upgrade() else { return };
        answers.scan(PIECE_WITHIN);
    }
}

/// The entry of one answer in the registry, removed when dropped.
pub(super) struct Watched {
    answers: Arc<Answers>,
    number: u64,
    unread: Arc<Unread>,
}

impl Watched {
    pub(super) fn new(answers: Arc<Answers>, connection: Option<Arc<ConnectionHandle>>) -> Watched {
        let unread = Arc::<Unread>::default();
        let mut inner = answers.lock();
        inner.next += 1;
        let number = inner.next;
        if let Some(connection) = connection {
            inner.under_way.insert(number, (Arc::clone(&unread), connection));
        }
        drop(inner);
        Watched { answers, number, unread }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.answers.lock().under_way.remove(&self.number);
    }
}

/// A body that is written in small pieces.
pub(super) struct Metered<B> {
    body: Pin<Box<B>>,
    rest: Bytes,
    watched: Watched,
    // For a body that is complete in memory; a streamed body produces its bytes on demand.
    _permit: Option<Permit>,
}

impl<B> Metered<B> {
    /// Meters `body`; `permit` holds the bytes of a body that is complete in memory.
    pub(super) fn new(body: B, watched: Watched, permit: Option<Permit>) -> Metered<B> {
        Metered { body: Box::pin(body), rest: Bytes::new(), watched, _permit: permit }
    }
}

impl<B> MessageBody for Metered<B>
where
    B: MessageBody,
    B::Error: Into<Box<dyn std::error::Error>>,
{
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        while self.rest.is_empty() {
            match self.body.as_mut().poll_next(context) {
                Poll::Ready(Some(Ok(piece))) => self.rest = piece,
                other => {
                    self.watched.unread.0.store(0, Ordering::Relaxed);
                    return other;
                }
            }
        }
        let length = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(length);
        self.watched.unread.0.store(self.watched.answers.now_ms(), Ordering::Relaxed);
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use tokio::io::AsyncReadExt as _;

    use crate::gateway::watcher::HandleBudget;

    use super::*;

    fn metered(body: Bytes, answers: &Arc<Answers>, connection: Option<Arc<ConnectionHandle>>) -> Metered<Bytes> {
        let watched = Watched::new(Arc::clone(answers), connection);
        Metered::new(body, watched, None)
    }

    #[actix_web::test]
    async fn a_large_answer_goes_out_in_small_pieces() {
        let whole: Bytes = (0..200_000_u32).map(|n| n as u8).collect::<Vec<_>>().into();
        let answers = Arc::default();
        let mut body = Box::pin(metered(whole.clone(), &answers, None));
        assert_eq!(body.size(), BodySize::Sized(200_000));
        let mut largest = 0;
        while let Some(piece) = std::future::poll_fn(|context| body.as_mut().poll_next(context)).await {
            largest = largest.max(piece.unwrap().len());
        }
        assert_eq!(largest, PIECE_BYTES);
        assert_eq!(to_bytes(metered(whole.clone(), &answers, None)).await.unwrap(), whole);
    }

    #[actix_web::test]
    async fn a_reader_that_takes_nothing_is_cut_and_one_that_waits_for_us_is_not() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, _) = listener.accept().await.unwrap();
        let connection =
            Arc::new(ConnectionHandle::of(&ours, Duration::from_secs(1), &HandleBudget::new(1)).unwrap().unwrap());
        let answers = Arc::new(Answers::default());
        let mut body = Box::pin(metered(vec![0; 3 * PIECE_BYTES].into(), &answers, Some(connection)));
        answers.scan(Duration::ZERO);
        let mut byte = [0];
        let waited = tokio::time::timeout(Duration::from_millis(50), peer.read(&mut byte)).await;
        assert!(waited.is_err(), "nothing was handed to the socket yet");
        std::future::poll_fn(|context| body.as_mut().poll_next(context)).await;
        answers.scan(Duration::from_secs(60));
        assert!(tokio::time::timeout(Duration::from_millis(50), peer.read(&mut byte)).await.is_err(), "in time");
        answers.scan(Duration::ZERO);
        assert_eq!(peer.read(&mut byte).await.unwrap(), 0, "cut");
        drop(body);
        assert!(answers.lock().under_way.is_empty());
        drop(ours);
    }
}
