//! Batches as streams: newline-delimited JSON, and JSON arrays.
//!
//! Invariant: a line has at most [`LINE_BYTES_MAX`], a body at most `BATCH_BYTES_MAX`. Parts in progress and unread
//! results take from budgets that all requests share; results stand in the order of the parts. A client may send
//! everything before it reads: results wait for it, up to its share of the budget. No batch occupies a worker beyond
//! its turn. Deliberately absent: the meaning of a part.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::error::PayloadError;
use actix_web::http::header::ContentEncoding;
use actix_web::web::{Bytes, BytesMut};
use futures_util::stream::FuturesOrdered;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body::{self, BATCH_BYTES_MAX, Body};
use super::super::budget::{Budgets, Holder, Permit};
use super::super::request::AuthedRequest;
use super::batch::{self, Outcome};

/// The content type of NDJSON.
pub(crate) const MEDIA: &str = "application/x-ndjson";
/// The longest line in bytes.
pub const LINE_BYTES_MAX: usize = 64 * 1024;
/// Time for the next line, without the time in which the server does not read.
pub(crate) const LINE_WITHIN: Duration = Duration::from_secs(30);
// Parts of one batch in progress at once: enough for a few group commits.
const WINDOW: usize = 1_024;
// Approximate bytes per piece of results.
const PIECE_BYTES: usize = 16 * 1024;
// The longest line and one piece of the socket.
const BUFFER_BYTES: usize = 2 * LINE_BYTES_MAX;

/// The lines of a body.
pub struct NdjsonLines<S> {
    payload: S,
    buffer: BytesMut,
    // Bytes of the buffer that contain no line end.
    searched: usize,
    total: usize,
    skipping: bool,
    ended: bool,
    // The instant by which the next line must arrive.
    due: Option<Instant>,
}

impl<S> NdjsonLines<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    /// Reads lines of this body.
    #[must_use]
    pub fn new(payload: S) -> NdjsonLines<S> {
        NdjsonLines {
            payload,
            buffer: BytesMut::new(),
            searched: 0,
            total: 0,
            skipping: false,
            ended: false,
            due: None,
        }
    }

    /// The next line that is not blank, or a refusal of a line that is too long. After a refusal of the whole body,
    /// `None`. Cancel-safe: dropping the future loses no line.
    pub async fn next(&mut self) -> Option<Result<Bytes, Refusal>> {
        loop {
            if let Some(line) = self.take_line() {
                self.due = None;
                return Some(line);
            }
            if self.ended {
                return None;
            }
            let due = *self.due.get_or_insert_with(|| Instant::now() + LINE_WITHIN);
            let Ok(piece) = tokio::time::timeout_at(due, self.payload.next()).await else {
                return Some(Err(self.give_up(body::too_slow())));
            };
            match piece {
                Some(Ok(piece)) => {
                    self.total += piece.len();
                    if self.total > BATCH_BYTES_MAX {
                        return Some(Err(self.give_up(body::too_large(BATCH_BYTES_MAX))));
                    }
                    self.buffer.extend_from_slice(&piece);
                }
                Some(Err(_)) => return Some(Err(self.give_up(body::ended_early()))),
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
                    // Discards the rest of a line that is too long.
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

/// Carries out each line, several at once, and answers each by a line in their order.
///
/// # Errors
/// `busy` while the budget has no room for the buffer of another body.
pub fn answer<S, F, W>(terms: &BudgetTerms, payload: S, act: F) -> Result<HttpResponse, Refusal>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
    F: FnMut(Bytes) -> W + 'static,
    W: Future<Output = Outcome> + 'static,
{
    let room = terms.budgets.bodies.try_take(terms.holder, BUFFER_BYTES).ok_or_else(|| Refusal::busy(2_000))?;
    let (results, output) = results(terms, ResultForm::Lines);
    actix_web::rt::spawn(work(terms.clone(), PartSource::Lines(NdjsonLines::new(payload), room), act, results));
    // Compression would delay lines.
    Ok(HttpResponse::Ok().content_type(MEDIA).insert_header(ContentEncoding::Identity).streaming(output))
}

/// Carries out each part of a JSON array, several at once, and answers `{"results": […]}` in their order. The answer
/// starts while later parts are in progress.
///
/// # Errors
/// `bad_json`, or `too_large` for too many parts.
pub(crate) async fn answer_list<F, W>(terms: &BudgetTerms, body: Body, act: F) -> Result<HttpResponse, Refusal>
where
    F: FnMut(Bytes) -> W + 'static,
    W: Future<Output = Outcome> + 'static,
{
    let parts = body::parse_aside(&body, batch::parts).await?;
    let (results, output) = results(terms, ResultForm::List);
    let source = PartSource::<futures_util::stream::Empty<_>>::Parts(parts.into_iter(), body.into_parts().1);
    actix_web::rt::spawn(work(terms.clone(), source, act, results));
    Ok(HttpResponse::Ok().content_type("application/json").streaming(output))
}

/// A source of parts, with the permit for their bytes.
enum PartSource<S> {
    Lines(NdjsonLines<S>, #[allow(dead_code, reason = "held until the parts are done")] Permit),
    Parts(std::vec::IntoIter<Bytes>, #[allow(dead_code, reason = "held until the parts are done")] Permit),
}

impl<S> PartSource<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    async fn next(&mut self) -> Option<Result<Bytes, Refusal>> {
        match self {
            PartSource::Lines(lines, _) => lines.next().await,
            PartSource::Parts(parts, _) => parts.next().map(Ok),
        }
    }

    /// Stops the clock of the next line, since the server does not wait for it.
    fn pause(&mut self) {
        if let PartSource::Lines(lines, _) = self {
            lines.due = None;
        }
    }
}

async fn work<S, F, W>(terms: BudgetTerms, mut source: PartSource<S>, mut act: F, mut results: ResultWriter)
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
    F: FnMut(Bytes) -> W,
    W: Future<Output = Outcome>,
{
    // Futures are first polled in the order of the parts, in which the server then accepts a user's events.
    let mut under_way = FuturesOrdered::new();
    let (mut more, mut place) = (true, None);
    let mut turn = WorkerTurn::new();
    loop {
        turn.end_if_long().await;
        if more && place.is_none() && under_way.len() < WINDOW {
            place = terms.budgets.parts.try_take(terms.holder, 1);
            if place.is_none() && under_way.is_empty() {
                place = Some(terms.budgets.parts.take(terms.holder, 1).await);
            }
        }
        if place.is_none() {
            source.pause();
        }
        let outcome = tokio::select! {
            part = source.next(), if more && place.is_some() => {
                match part {
                    Some(part) => under_way.push_back(one(part.map(&mut act), place.take())),
                    None => more = false,
                }
                continue;
            }
            Some(outcome) = under_way.next(), if !under_way.is_empty() => outcome,
            else => break,
        };
        if !results.send(&outcome, under_way.is_empty()).await {
            return;
        }
    }
    results.end().await;
}

async fn one<W: Future<Output = Outcome>>(part: Result<W, Refusal>, _place: Option<Permit>) -> Outcome {
    match part {
        Ok(acting) => acting.await,
        Err(refusal) => Outcome::refused(None, refusal),
    }
}

/// The time for which a task may occupy its worker before it yields.
pub struct WorkerTurn(Instant);

const TURN: Duration = Duration::from_micros(500);

impl WorkerTurn {
    /// Starts a turn.
    #[must_use]
    pub fn new() -> WorkerTurn {
        WorkerTurn(Instant::now())
    }

    /// Yields to other tasks after a long turn.
    pub(crate) async fn end_if_long(&mut self) {
        if self.0.elapsed() >= TURN {
            tokio::task::yield_now().await;
            self.0 = Instant::now();
        }
    }
}

impl Default for WorkerTurn {
    fn default() -> Self {
        WorkerTurn::new()
    }
}

/// The budgets of a streamed answer, and the holder that it counts for.
#[derive(Clone)]
pub struct BudgetTerms {
    /// Budgets of the server.
    pub budgets: Arc<Budgets>,
    /// The holder whose share the answer takes.
    pub holder: Holder,
}

impl From<&AuthedRequest> for BudgetTerms {
    fn from(request: &AuthedRequest) -> Self {
        BudgetTerms { budgets: Arc::clone(request.budgets()), holder: request.holder() }
    }
}

/// The form of results in an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ResultForm {
    Lines,
    List,
}

/// A writer of results. Results that the client has not read count in the budget of answers.
pub struct ResultWriter {
    sender: mpsc::UnboundedSender<(Bytes, Permit)>,
    terms: BudgetTerms,
    form: ResultForm,
    piece: BytesMut,
    begun: bool,
}

fn results(terms: &BudgetTerms, form: ResultForm) -> (ResultWriter, ResultStream) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (ResultWriter { sender, terms: terms.clone(), form, piece: BytesMut::new(), begun: false }, ResultStream(receiver))
}

/// Answers `{"results": […]}` with the results that `work` writes.
pub fn written<F, W>(terms: &BudgetTerms, work: F) -> HttpResponse
where
    F: FnOnce(ResultWriter) -> W,
    W: Future<Output = ()> + 'static,
{
    let (results, output) = results(terms, ResultForm::List);
    actix_web::rt::spawn(work(results));
    HttpResponse::Ok().content_type("application/json").streaming(output)
}

impl ResultWriter {
    /// Adds a result; with `idle` it leaves at once in the form of lines. False after the reader is gone.
    pub async fn send(&mut self, outcome: &Outcome, idle: bool) -> bool {
        let before: &[u8] = match (self.form, std::mem::replace(&mut self.begun, true)) {
            (ResultForm::Lines, _) => b"",
            (ResultForm::List, false) => b"{\"results\":[",
            (ResultForm::List, true) => b",",
        };
        self.piece.extend_from_slice(before);
        let line = serde_json::to_vec(outcome).unwrap_or_default();
        self.piece.extend_from_slice(&line);
        if self.form == ResultForm::Lines {
            self.piece.extend_from_slice(b"\n");
        }
        let is_due = self.piece.len() >= PIECE_BYTES || (idle && self.form == ResultForm::Lines);
        if is_due { self.flush().await } else { true }
    }

    /// Writes the end of the answer and flushes it.
    pub async fn end(mut self) {
        match (self.form, self.begun) {
            (ResultForm::Lines, _) => {}
            (ResultForm::List, false) => self.piece.extend_from_slice(b"{\"results\":[]}"),
            (ResultForm::List, true) => self.piece.extend_from_slice(b"]}"),
        }
        self.flush().await;
    }

    async fn flush(&mut self) -> bool {
        let piece = self.piece.split().freeze();
        if piece.is_empty() {
            return true;
        }
        let room = tokio::select! {
            room = self.terms.budgets.answers.take(self.terms.holder, piece.len()) => room,
            () = self.sender.closed() => return false,
        };
        self.sender.send((piece, room)).is_ok()
    }
}

/// The body of the response: the pieces of the writer.
struct ResultStream(mpsc::UnboundedReceiver<(Bytes, Permit)>);

impl Stream for ResultStream {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|piece| piece.map(|(piece, _)| Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use futures_util::stream;

    use crate::domain::ids::{Key, Seq};

    use super::*;

    fn terms() -> BudgetTerms {
        let budgets = Arc::new(Budgets::default());
        BudgetTerms { holder: budgets.holder(None, Some([192, 0, 2, 1].into())), budgets }
    }

    async fn read(body: &str, piece: usize) -> Vec<Result<String, Code>> {
        let pieces: Vec<_> = body.as_bytes().chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut lines = NdjsonLines::new(stream::iter(pieces));
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
        let mut lines = NdjsonLines::new(pieces);
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
        let response = answer(&terms(), payload, move |line| {
            let id = Key::new(std::str::from_utf8(&line).unwrap()).unwrap();
            let order = started;
            started += 1;
            async move {
                // Later lines finish earlier.
                for _ in 0..(7 - order % 7) {
                    tokio::task::yield_now().await;
                }
                Outcome::Accepted { id, seq: Seq(order), warnings: Vec::new() }
            }
        })
        .unwrap();
        let text = to_bytes(response.into_body()).await.ok().unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        assert_eq!(text.lines().count(), 5_000);
        for (n, line) in text.lines().enumerate() {
            assert_eq!(line, format!(r#"{{"status":"accepted","id":"{n}","seq":{n}}}"#));
        }
    }

    #[actix_web::test]
    async fn results_that_nobody_reads_stay_within_the_share_of_the_sender() {
        let terms = terms();
        let payload = || stream::iter((0..200).map(|_| Ok::<_, PayloadError>(Bytes::from("1\n".repeat(10_000)))));
        let refuse = |_| async { Outcome::refused(None, Refusal::new(Code::BadJson, "x".repeat(400))) };
        let unread: Vec<_> = (0..4).map(|_| answer(&terms, payload(), refuse).unwrap()).collect();
        let most = crate::gateway::budget::ANSWERS_BYTES_MAX / 2;
        let mut before = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let taken = terms.budgets.answers.taken();
            assert!(taken <= most, "{taken}");
            if taken == before && taken > most - 8 * PIECE_BYTES {
                break;
            }
            before = taken;
        }
        drop(unread);
        while terms.budgets.answers.taken() + terms.budgets.bodies.taken() + terms.budgets.parts.taken() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[actix_web::test]
    async fn a_batch_leaves_its_worker_to_others() {
        let others = actix_web::rt::spawn(async {
            let mut turns = 0_u64;
            loop {
                tokio::task::yield_now().await;
                turns += 1;
                if turns == 100 {
                    return turns;
                }
            }
        });
        let body = format!("[{}]", vec!["1"; batch::PARTS_MAX].join(","));
        let budgets = Budgets::default();
        let request = actix_web::test::TestRequest::default().insert_header(("content-type", "application/json"));
        let request = request.to_http_request();
        let incoming = body::IncomingBody { headers: request.headers(), budgets: &budgets, holder: Holder::default() };
        let body = body::json_batch(incoming, stream::iter([Ok(Bytes::from(body))])).await.ok().unwrap();
        let slow = |_| {
            let begin = std::time::Instant::now();
            while begin.elapsed() < Duration::from_micros(20) {}
            async { Outcome::refused(None, Refusal::new(Code::BadJson, "no")) }
        };
        let response = answer_list(&terms(), body, slow).await.unwrap();
        let text = to_bytes(response.into_body()).await.ok().unwrap();
        let results: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(results["results"].as_array().map(Vec::len), Some(batch::PARTS_MAX));
        assert!(others.is_finished(), "200 ms of work, and others had less than a hundred turns");
    }
}
