//! Newline-delimited JSON, read and answered as it streams.
//!
//! Invariant: a line is at most [`LINE_BYTES_MAX`], a whole body at most `BATCH_BYTES_MAX`, and a bounded number of
//! lines is under way; results stand in the order of the lines. Results wait for a client that sends everything before
//! it reads anything, up to a bound, so that neither side waits for the other. Absent on purpose: what a line means.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::HttpResponse;
use actix_web::error::PayloadError;
use actix_web::http::header::ContentEncoding;
use actix_web::web::{Bytes, BytesMut};
use futures_util::stream::FuturesOrdered;
use futures_util::{Stream, StreamExt};
use tokio::sync::{Semaphore, mpsc};

use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body::{self, BATCH_BYTES_MAX};
use super::batch::Outcome;

/// The content type.
pub const MEDIA: &str = "application/x-ndjson";
/// The longest line.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
// Lines under way at once: enough to fill a few group commits.
const WINDOW: usize = 1_024;
// Results that wait to be read by the client, in bytes.
const RESULTS_BYTES_MAX: usize = BATCH_BYTES_MAX;
// Results are handed to the socket in pieces of about this size.
const PIECE_BYTES: usize = 16 * 1024;

/// Lines of a body.
pub struct Lines<S> {
    payload: S,
    buffer: BytesMut,
    // How much of the buffer was searched for a line's end.
    searched: usize,
    total: usize,
    skipping: bool,
    ended: bool,
}

impl<S> Lines<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    /// Lines of this body.
    #[must_use]
    pub fn new(payload: S) -> Lines<S> {
        Lines { payload, buffer: BytesMut::new(), searched: 0, total: 0, skipping: false, ended: false }
    }

    /// The next line that is not blank; a refusal for one that is too long. After a refusal of the whole body, `None`.
    /// May be dropped while it waits: nothing is lost.
    pub async fn next(&mut self) -> Option<Result<Bytes, Refusal>> {
        loop {
            if let Some(line) = self.take_line() {
                return Some(line);
            }
            if self.ended {
                return None;
            }
            match body::next_piece(&mut self.payload).await {
                Some(Ok(piece)) => {
                    self.total += piece.len();
                    if self.total > BATCH_BYTES_MAX {
                        return Some(Err(self.give_up(body::too_large(BATCH_BYTES_MAX))));
                    }
                    self.buffer.extend_from_slice(&piece);
                }
                Some(Err(refusal)) => return Some(Err(self.give_up(refusal))),
                None => self.ended = true,
            }
        }
    }

    fn give_up(&mut self, refusal: Refusal) -> Refusal {
        self.ended = true;
        self.buffer.clear();
        self.searched = 0;
        refusal
    }

    fn take_line(&mut self) -> Option<Result<Bytes, Refusal>> {
        loop {
            let end = self.buffer[self.searched..].iter().position(|&byte| byte == b'\n');
            let line = match end {
                Some(end) => {
                    let line = self.buffer.split_to(self.searched + end + 1).freeze();
                    self.searched = 0;
                    line
                }
                None if self.ended && !self.buffer.is_empty() => {
                    self.searched = 0;
                    self.buffer.split().freeze()
                }
                None => {
                    self.searched = self.buffer.len();
                    if self.buffer.len() <= LINE_BYTES_MAX {
                        return None;
                    }
                    // The rest of a line that is too long is thrown away as it comes.
                    self.buffer.clear();
                    self.searched = 0;
                    if std::mem::replace(&mut self.skipping, true) {
                        return None;
                    }
                    return Some(Err(long_line()));
                }
            };
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            let line = line.trim_ascii().len().checked_sub(1).map(|_| line.slice_ref(line.trim_ascii()));
            match line {
                Some(line) if line.len() > LINE_BYTES_MAX => return Some(Err(long_line())),
                Some(line) => return Some(Ok(line)),
                None => {}
            }
        }
    }
}

fn long_line() -> Refusal {
    Refusal::new(Code::TooLarge, format!("a line must have at most {LINE_BYTES_MAX} bytes"))
}

/// Acts on each line, several at once, and answers each by a line in the same order.
pub fn answer<S, F, W>(payload: S, act: F) -> HttpResponse
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
    F: FnMut(Bytes) -> W + 'static,
    W: Future<Output = Outcome> + 'static,
{
    let room = Arc::new(Semaphore::new(RESULTS_BYTES_MAX));
    let (sender, receiver) = mpsc::unbounded_channel();
    actix_web::rt::spawn(work(
        Lines::new(payload),
        act,
        Results { sender, room: Arc::clone(&room), piece: BytesMut::new() },
    ));
    HttpResponse::Ok()
        .content_type(MEDIA)
        // Compression would hold lines back.
        .insert_header(ContentEncoding::Identity)
        .streaming(Output { receiver, room })
}

async fn work<S, F, W>(mut lines: Lines<S>, mut act: F, mut results: Results)
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    F: FnMut(Bytes) -> W,
    W: Future<Output = Outcome>,
{
    // A future is first polled in the order of the lines, which is the order in which a person's events are taken.
    let mut under_way = FuturesOrdered::new();
    let mut more = true;
    loop {
        let outcome = tokio::select! {
            line = lines.next(), if more && under_way.len() < WINDOW => {
                match line {
                    Some(line) => under_way.push_back(one(line.map(&mut act))),
                    None => more = false,
                }
                continue;
            }
            Some(outcome) = under_way.next(), if !under_way.is_empty() => outcome,
            else => break,
        };
        if !results.put(&outcome, under_way.is_empty()).await {
            return;
        }
    }
    results.flush().await;
}

async fn one<W: Future<Output = Outcome>>(line: Result<W, Refusal>) -> Outcome {
    match line {
        Ok(acting) => acting.await,
        Err(refusal) => Outcome::refused(None, refusal),
    }
}

/// Results on their way to the client.
struct Results {
    sender: mpsc::UnboundedSender<Bytes>,
    room: Arc<Semaphore>,
    piece: BytesMut,
}

impl Results {
    /// False when nobody reads any more.
    async fn put(&mut self, outcome: &Outcome, idle: bool) -> bool {
        let line = serde_json::to_vec(outcome).unwrap_or_default();
        self.piece.extend_from_slice(&line);
        self.piece.extend_from_slice(b"\n");
        if idle || self.piece.len() >= PIECE_BYTES { self.flush().await } else { true }
    }

    async fn flush(&mut self) -> bool {
        let piece = self.piece.split().freeze();
        if piece.is_empty() {
            return true;
        }
        let Ok(length) = u32::try_from(piece.len()) else { return false };
        match self.room.acquire_many(length).await {
            Ok(permit) => permit.forget(),
            Err(_) => return false,
        }
        self.sender.send(piece).is_ok()
    }
}

/// The response's body.
struct Output {
    receiver: mpsc::UnboundedReceiver<Bytes>,
    room: Arc<Semaphore>,
}

impl Stream for Output {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context).map(|piece| {
            piece.map(|piece| {
                self.room.add_permits(piece.len());
                Ok(piece)
            })
        })
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        // The worker may wait for room that nobody will make.
        self.room.close();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use actix_web::body::to_bytes;
    use futures_util::stream;

    use crate::domain::ids::{Key, Seq};

    use super::*;

    async fn read(body: &str, piece: usize) -> Vec<Result<String, Code>> {
        let pieces: Vec<_> = body.as_bytes().chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut lines = Lines::new(stream::iter(pieces));
        let mut found = Vec::new();
        while let Some(line) = lines.next().await {
            found.push(line.map(|line| String::from_utf8_lossy(&line).into_owned()).map_err(|refusal| refusal.code));
        }
        found
    }

    #[actix_web::test]
    async fn lines_are_found_however_they_arrive() {
        let ok = |text: &str| Ok(text.to_owned());
        let long = format!("a\n{}\nb", "x".repeat(LINE_BYTES_MAX + 1));
        let longest = format!("{}\r\nb", "x".repeat(LINE_BYTES_MAX - 1));
        for (name, body, expected) in [
            ("two, the last without its end", "a\nb", vec![ok("a"), ok("b")]),
            ("blank ones", "\n a \r\n\n\nb\n", vec![ok("a"), ok("b")]),
            ("none", "", vec![]),
            ("one too long", &long, vec![ok("a"), Err(Code::TooLarge), ok("b")]),
            ("the longest", &longest, vec![ok(&"x".repeat(LINE_BYTES_MAX - 1)), ok("b")]),
        ] {
            for piece in [1, 1_000, 1_000_000] {
                assert_eq!(read(body, piece).await, expected, "{name}, {piece} at a time");
            }
        }
    }

    #[actix_web::test]
    async fn a_body_that_is_too_long_ends_with_a_refusal() {
        let mebibyte = Bytes::from(format!("{}\n", "x".repeat(1_023)).repeat(1_024));
        let pieces = stream::iter((0..33).map(move |_| Ok(mebibyte.clone())));
        let mut lines = Lines::new(pieces);
        let mut last = None;
        let mut count = 0;
        while let Some(line) = lines.next().await {
            last = Some(line.map_err(|refusal| refusal.code));
            count += 1;
        }
        assert_eq!((count, last), (32 * 1_024 + 1, Some(Err(Code::TooLarge))));
    }

    #[actix_web::test]
    async fn results_stand_in_the_order_of_the_lines() {
        let body: String = (0..5_000).map(|n| format!("{n}\n")).collect();
        let payload = stream::iter([Ok(Bytes::from(body))]);
        let mut started = 0;
        let response = answer(payload, move |line| {
            let id = Key::new(std::str::from_utf8(&line).unwrap()).unwrap();
            let order = started;
            started += 1;
            async move {
                // Later lines are done earlier.
                for _ in 0..(7 - order % 7) {
                    tokio::task::yield_now().await;
                }
                Outcome::Accepted { id, seq: Seq(order) }
            }
        });
        let text = to_bytes(response.into_body()).await.ok().unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        assert_eq!(text.lines().count(), 5_000);
        for (n, line) in text.lines().enumerate() {
            assert_eq!(line, format!(r#"{{"status":"accepted","id":"{n}","seq":{n}}}"#));
        }
    }
}
