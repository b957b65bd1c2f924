//! The transport of a [`Person`]: one socket, its reading and its writing.
//!
//! Invariant: reading never waits for writing, so two full pipes cannot deadlock. The queue to the writer is bounded:
//! when it is full the server reads too slowly, which is a broken promise, not a wait.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use eddyline::domain::time::Millis;
use eddyline::protocol::SUBPROTOCOL;
use eddyline::protocol::client::ClientMessage;
use eddyline::protocol::server::ServerMessage;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::person::{Next, Person};
use crate::tally::{Check, Tally};
use crate::target::Target;

/// Messages that may wait for the writer of one socket.
const QUEUE_MAX: usize = 1_024;

/// The time to wait for `welcome` and the first feed.
const OPENING: Duration = Duration::from_secs(60);

/// The context that all sockets share.
pub struct Shared {
    /// The checked address of the server.
    pub target: Target,
    /// The counters of the run.
    pub tally: Tally,
    /// Limits the sockets that connect at once.
    pub connects: Semaphore,
    /// Items per feed.
    pub limit: u32,
    /// The time to wait for outstanding answers.
    pub grace: Duration,
}

/// Runs the session of one user: opens it, reports that it is ready, and interacts on each signal. It ends when `acts`
/// has ended and all answers have arrived, or after the grace period.
pub async fn live(mut person: Person, shared: Arc<Shared>, acts: mpsc::Receiver<Instant>, ready: mpsc::Sender<bool>) {
    let key = person.key().clone();
    let opened = match shared.connects.acquire().await {
        Ok(_permit) => open(&mut person, &shared).await,
        Err(closed) => Err(closed.into()),
    };
    let tally = &shared.tally;
    match opened {
        Ok(mut line) => {
            tally.open.fetch_add(1, Relaxed);
            // The receiver outlives all users; otherwise the run has ended already.
            let _ = ready.send(true).await;
            drop(ready);
            if let Err(error) = session(&mut person, &shared, &mut line, acts).await {
                tally.broke(Check::LineStays, || format!("{key}: {error:#}"));
            }
            tally.open.fetch_sub(1, Relaxed);
            line.close().await;
        }
        Err(error) => {
            tally.broke(Check::LineStays, || format!("{key}: {error:#}"));
            let _ = ready.send(false).await;
        }
    }
    person.leave(tally);
}

/// One open socket.
pub struct Line {
    frames: futures_util::stream::SplitStream<WebSocketStream<TcpStream>>,
    queue: mpsc::Sender<Message>,
    writer: tokio::task::JoinHandle<()>,
}

impl Line {
    /// Queues a message for the writer.
    pub fn send(&self, message: &ClientMessage, tally: &Tally) -> anyhow::Result<()> {
        let text = serde_json::to_string(message)?;
        tally.frames_out.fetch_add(1, Relaxed);
        self.queue.try_send(Message::text(text)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => anyhow::anyhow!("the server reads too slowly: {QUEUE_MAX} wait"),
            mpsc::error::TrySendError::Closed(_) => anyhow::anyhow!("the server closed the line"),
        })
    }

    /// The next protocol message with the arrival time of its frame; parsing counts as the generator's own time.
    pub async fn next(&mut self, tally: &Tally) -> anyhow::Result<(ServerMessage, Instant)> {
        loop {
            let frame = self.frames.next().await.context("the server closed the line")??;
            let now = Instant::now();
            match frame {
                Message::Text(text) => {
                    tally.frames_in.fetch_add(1, Relaxed);
                    tally.bytes_in.fetch_add(text.len() as u64, Relaxed);
                    match serde_json::from_str(&text) {
                        Ok(message) => return Ok((message, now)),
                        Err(error) => tally.broke(Check::Understood, || format!("{error}: {}", head(&text))),
                    }
                }
                Message::Binary(_) | Message::Frame(_) => {
                    tally.broke(Check::Understood, || "a binary frame".into());
                }
                Message::Close(reason) => anyhow::bail!(
                    "the server closed the line: {}",
                    reason.map_or("no reason".into(), |reason| reason.to_string())
                ),
                // tungstenite answers it.
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
    }

    async fn close(self) {
        // A full or closed queue means that the connection is broken already.
        let _ = self.queue.try_send(Message::Close(None));
        drop(self.queue);
        // A writer that hangs on a dead peer must not keep the run from ending.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.writer).await;
    }
}

/// Opens a socket, waits for the first feed and acknowledges it.
pub async fn open(person: &mut Person, shared: &Shared) -> anyhow::Result<Line> {
    let (target, tally) = (&shared.target, &shared.tally);
    let begin = Instant::now();
    let stream = TcpStream::connect(target.address).await.context("connect")?;
    stream.set_nodelay(true)?;
    let mut request = target.socket_url().into_client_request().context("--url")?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    // The defaults of 128 KiB each would cost over a gigabyte for ten thousand sockets.
    let config = WebSocketConfig::default().read_buffer_size(8 * 1024).write_buffer_size(2 * 1024);
    let (socket, _) =
        tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await.context("upgrade")?;
    let (sink, frames) = socket.split();
    let (queue, queued) = mpsc::channel(QUEUE_MAX);
    let mut line = Line { frames, queue, writer: tokio::spawn(write(sink, queued)) };
    line.send(&person.hello(shared.limit), tally)?;
    let opening = async {
        while !person.is_fed() {
            let (message, now) = line.next(tally).await?;
            let was_welcome = person.is_welcome();
            if let Some(Next::Send(answer)) = person.hear(message, now, wall(), tally) {
                line.send(&answer, tally)?;
            }
            if person.is_welcome() && !was_welcome {
                tally.connect.add(now.saturating_duration_since(begin));
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(OPENING, opening).await.context("no welcome and feed in time")??;
    Ok(line)
}

async fn session(
    person: &mut Person,
    shared: &Shared,
    line: &mut Line,
    mut acts: mpsc::Receiver<Instant>,
) -> anyhow::Result<()> {
    let tally = &shared.tally;
    let mut retries: Vec<(Instant, u64)> = Vec::new();
    let mut deadline: Option<Instant> = None;
    loop {
        if deadline.is_some() && person.is_settled() {
            return Ok(());
        }
        // `None` never comes due.
        let due = retries.iter().map(|(due, _)| *due).chain(deadline).min();
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            heard = line.next(tally) => {
                let (message, now) = heard?;
                match person.hear(message, now, wall(), tally) {
                    Some(Next::Send(answer)) => line.send(&answer, tally)?,
                    Some(Next::RetryAfter(pause, number)) => retries.push((now + pause, number)),
                    None => {}
                }
            }
            act = acts.recv(), if deadline.is_none() => match act {
                Some(scheduled) => {
                    tally.lag.add(scheduled.elapsed());
                    if let Some(message) = person.act(scheduled, tally) {
                        line.send(&message, tally)?;
                    }
                }
                None => deadline = Some(Instant::now() + shared.grace),
            },
            () = timer => {
                let now = Instant::now();
                if deadline.is_some_and(|deadline| deadline <= now) {
                    return Ok(());
                }
                let (ripe, unripe) = retries.iter().partition(|(due, _)| *due <= now);
                retries = unripe;
                let ripe: Vec<(Instant, u64)> = ripe;
                for (_, number) in ripe {
                    if let Some(message) = person.again(number) {
                        line.send(&message, tally)?;
                    }
                }
            }
        }
    }
}

async fn write(mut sink: SplitSink<WebSocketStream<TcpStream>, Message>, mut queued: mpsc::Receiver<Message>) {
    while let Some(message) = queued.recv().await {
        let mut written = sink.feed(message).await;
        // Other waiting messages go out with this system call.
        while written.is_ok()
            && let Ok(message) = queued.try_recv()
        {
            written = sink.feed(message).await;
        }
        if written.is_err() || sink.flush().await.is_err() {
            // The reader sees the broken connection, too, and reports it.
            return;
        }
    }
}

/// The wall clock of this machine.
pub fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn head(text: &Utf8Bytes) -> String {
    text.chars().take(200).collect()
}
