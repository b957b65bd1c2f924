//! Bodies that a task writes piece by piece while their reader takes them.
//!
//! Invariant: one piece waits while another goes to the socket, so memory does not grow with a body. A body that its writer
//! did not complete breaks the connection, so that its reader does not take it for complete. Deliberately absent: the
//! contents of pieces.

use std::time::Duration;

use actix_web::web::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Time within which a reader must take a piece.
const PIECE_WITHIN: Duration = Duration::from_secs(20);

/// The error that ends an incomplete body.
#[derive(Debug, thiserror::Error)]
#[error("the answer ended before it was complete")]
pub struct TruncatedBody;

/// A reason why a reader gets no further piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReaderError {
    /// The connection closed.
    #[error("its reader closed the connection")]
    Gone,
    /// The reader took no piece within the time that it has for one.
    #[error("its reader took no piece in time")]
    Stalled,
}

/// The writer of a body. [`PieceWriter::end`] completes it; a dropped writer truncates it.
pub struct PieceWriter {
    pieces: mpsc::Sender<Option<Bytes>>,
    /// Time for a reader to take one piece.
    within: Duration,
}

/// A writer, and the pieces that its reader takes.
pub(super) fn channel() -> (PieceWriter, mpsc::Receiver<Option<Bytes>>) {
    channel_within(PIECE_WITHIN)
}

/// A writer whose reader has `within` for each piece.
pub(super) fn channel_within(within: Duration) -> (PieceWriter, mpsc::Receiver<Option<Bytes>>) {
    let (pieces, taken) = mpsc::channel(1);
    (PieceWriter { pieces, within }, taken)
}

impl PieceWriter {
    /// Writes the next piece, and waits until its place is free.
    ///
    /// # Errors
    /// The reader left, or takes no piece in time.
    pub(super) async fn send(&self, piece: Bytes) -> Result<(), ReaderError> {
        self.put(Some(piece)).await
    }

    /// Completes the body.
    ///
    /// # Errors
    /// The reader left, or takes no piece in time.
    pub(super) async fn end(self) -> Result<(), ReaderError> {
        self.put(None).await
    }

    async fn put(&self, piece: Option<Bytes>) -> Result<(), ReaderError> {
        match timeout(self.within, self.pieces.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ReaderError::Gone),
            Err(_) => Err(ReaderError::Stalled),
        }
    }
}

/// The body of these pieces.
pub(super) fn body(taken: mpsc::Receiver<Option<Bytes>>) -> impl Stream<Item = Result<Bytes, TruncatedBody>> + Unpin {
    Box::pin(stream::unfold(Some(taken), |taken| async move {
        let mut taken = taken?;
        match taken.recv().await {
            Some(Some(piece)) => Some((Ok(piece), Some(taken))),
            Some(None) => None,
            None => Some((Err(TruncatedBody), None)),
        }
    }))
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[actix_web::test]
    async fn a_reader_that_takes_nothing_ends_the_body() {
        let (out, mut taken) = channel_within(Duration::from_millis(30));
        out.send("[".into()).await.unwrap();
        let reading = actix_web::rt::spawn(async move {
            let mut read = Vec::new();
            // Reads two pieces, then keeps the channel open without reading.
            for _ in 0..2 {
                read.extend(taken.recv().await.flatten());
            }
            (read, taken)
        });
        out.send("1,2".into()).await.unwrap();
        let (read, _open) = reading.await.unwrap();
        assert_eq!(read.concat(), b"[1,2");
        out.send("3".into()).await.unwrap();
        assert_eq!(out.send("4".into()).await, Err(ReaderError::Stalled), "one piece waits, and no second one");
    }

    #[actix_web::test]
    async fn a_body_without_an_end_fails_and_one_with_an_end_does_not() {
        for ends in [true, false] {
            let (out, taken) = channel();
            let writing = actix_web::rt::spawn(async move {
                out.send("a".into()).await.unwrap();
                if ends {
                    out.end().await.unwrap();
                }
            });
            let pieces: Vec<_> = body(taken).collect().await;
            writing.await.unwrap();
            assert_eq!(pieces.len(), if ends { 1 } else { 2 });
            assert_eq!(pieces.last().unwrap().is_ok(), ends);
        }
    }
}
