//! A reader that turns the bytes of a WebSocket into messages.
//!
//! Invariant: memory per socket is bounded by one message of [`FRAME_BYTES_MAX`] and one piece of the socket. After the
//! first error the reader returns no more messages. Deliberately absent: the meaning of messages. (The stream of
//! actix-web-actors reads ahead without bound while frames are small. It also loses the reason when a text is not
//! UTF-8.)

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_http::ws::{Codec, Frame, Item, ProtocolError};
use actix_web::error::PayloadError;
use actix_web::web::{Bytes, BytesMut};
use bytestring::ByteString;
use futures_util::Stream;
use tokio_util::codec::Decoder;

use crate::protocol::FRAME_BYTES_MAX;

/// A message or event of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IncomingFrame {
    /// A complete text message.
    Text(ByteString),
    /// A binary message, or a part of one; no client may send these.
    Binary,
    /// A ping; the pong must carry these bytes.
    Ping(Bytes),
    /// A pong: the peer is alive.
    Pong,
    /// A part of a text message: the peer is alive, and the message is incomplete.
    Part,
    /// A close frame, with the peer's code if it has one.
    Close(Option<u16>),
    /// An invalid frame, which is the last item. The reader discards later bytes, so that the server's close frame
    /// reaches the peer.
    Invalid(FrameError),
}

/// An error that ends the messages of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The message exceeds [`FRAME_BYTES_MAX`]; the socket closes with 1009.
    TooLong,
    /// A text is not UTF-8; the socket closes with 1007.
    NotUtf8,
    /// A frame breaks RFC 6455; the socket closes with 1002.
    Protocol,
}

/// A stream of messages from the bytes of a socket.
pub struct Frames<S> {
    bytes: S,
    codec: Codec,
    buffer: BytesMut,
    text: Option<BytesMut>,
    ended: bool,
}

impl<S> Frames<S> {
    /// Reads messages from `bytes`.
    #[must_use]
    pub fn new(bytes: S) -> Frames<S> {
        let codec = Codec::new().max_size(FRAME_BYTES_MAX);
        Frames { bytes, codec, buffer: BytesMut::new(), text: None, ended: false }
    }

    fn next_frame(&mut self) -> Option<IncomingFrame> {
        // The codec would first buffer the whole frame and only then find it too long.
        let is_too_long = announced_length(&self.buffer).is_some_and(|length| length > FRAME_BYTES_MAX as u64);
        let found = match self.codec.decode(&mut self.buffer) {
            Ok(None) if is_too_long => IncomingFrame::Invalid(FrameError::TooLong),
            Ok(frame) => self.convert(frame?),
            Err(ProtocolError::Overflow) => IncomingFrame::Invalid(FrameError::TooLong),
            Err(_) => IncomingFrame::Invalid(FrameError::Protocol),
        };
        if let IncomingFrame::Invalid(_) | IncomingFrame::Close(_) = found {
            self.ended = true;
            self.text = None;
            self.buffer = BytesMut::new();
        }
        Some(found)
    }

    fn convert(&mut self, frame: Frame) -> IncomingFrame {
        match frame {
            Frame::Text(bytes) => text(bytes),
            Frame::Binary(_) => IncomingFrame::Binary,
            Frame::Ping(bytes) => IncomingFrame::Ping(bytes),
            Frame::Pong(_) => IncomingFrame::Pong,
            Frame::Close(reason) => IncomingFrame::Close(reason.map(|reason| reason.code.into())),
            Frame::Continuation(Item::FirstText(bytes)) => {
                self.text = Some(BytesMut::new());
                self.append(&bytes)
            }
            Frame::Continuation(Item::FirstBinary(_)) => {
                self.text = None;
                IncomingFrame::Binary
            }
            Frame::Continuation(Item::Continue(bytes)) => self.append(&bytes),
            Frame::Continuation(Item::Last(bytes)) => match self.append(&bytes) {
                IncomingFrame::Part => self.text.take().map_or(IncomingFrame::Part, |whole| text(whole.freeze())),
                other => other,
            },
        }
    }

    // Skips parts of a binary message, which was refused at its first part.
    fn append(&mut self, bytes: &[u8]) -> IncomingFrame {
        let Some(text) = &mut self.text else { return IncomingFrame::Part };
        if text.len() + bytes.len() > FRAME_BYTES_MAX {
            return IncomingFrame::Invalid(FrameError::TooLong);
        }
        text.extend_from_slice(bytes);
        IncomingFrame::Part
    }
}

/// The payload length in the head of the buffer's first frame (RFC 6455, 5.2); `None` while the head is incomplete.
fn announced_length(buffer: &[u8]) -> Option<u64> {
    match *buffer.get(1)? & 0x7f {
        126 => Some(u16::from_be_bytes(buffer.get(2..4)?.try_into().ok()?).into()),
        127 => Some(u64::from_be_bytes(buffer.get(2..10)?.try_into().ok()?)),
        length => Some(length.into()),
    }
}

fn text(bytes: Bytes) -> IncomingFrame {
    ByteString::try_from(bytes).map_or(IncomingFrame::Invalid(FrameError::NotUtf8), IncomingFrame::Text)
}

impl<S> Stream for Frames<S>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    type Item = IncomingFrame;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<IncomingFrame>> {
        loop {
            if !self.ended
                && let Some(found) = self.next_frame()
            {
                return Poll::Ready(Some(found));
            }
            match std::task::ready!(Pin::new(&mut self.bytes).poll_next(context)) {
                Some(Ok(_)) if self.ended => {}
                Some(Ok(bytes)) => self.buffer.extend_from_slice(&bytes),
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_http::ws::{CloseCode, CloseReason, Message};
    use futures_util::{StreamExt, stream};
    use tokio_util::codec::Encoder;

    use super::*;

    fn encoded(messages: Vec<Message>) -> Bytes {
        let mut codec = Codec::new().client_mode();
        let mut bytes = BytesMut::new();
        for message in messages {
            codec.encode(message, &mut bytes).unwrap();
        }
        bytes.freeze()
    }

    async fn read(bytes: Bytes, piece: usize) -> Vec<IncomingFrame> {
        let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Frames::new(stream::iter(pieces)).collect().await
    }

    fn part(item: fn(Bytes) -> Item, text: &'static [u8]) -> Message {
        Message::Continuation(item(Bytes::from_static(text)))
    }

    #[actix_web::test]
    async fn frames_become_messages_however_they_arrive() {
        let text = |text: &str| IncomingFrame::Text(text.into());
        let close = Message::Close(Some(CloseReason::from(CloseCode::Normal)));
        for (name, messages, expected) in [
            ("texts", vec![Message::Text("a".into()), Message::Text("b".into())], vec![text("a"), text("b")]),
            (
                "parts, with a ping between",
                vec![
                    part(Item::FirstText, b"a"),
                    Message::Ping(Bytes::from_static(b"p")),
                    part(Item::Continue, b"\xc3"),
                    part(Item::Last, b"\xa9"),
                ],
                vec![
                    IncomingFrame::Part,
                    IncomingFrame::Ping(Bytes::from_static(b"p")),
                    IncomingFrame::Part,
                    text("aé"),
                ],
            ),
            (
                "binary, then text",
                vec![Message::Binary(Bytes::from_static(b"x")), Message::Text("a".into())],
                vec![IncomingFrame::Binary, text("a")],
            ),
            (
                "binary in parts",
                vec![part(Item::FirstBinary, b"x"), part(Item::Last, b"y"), Message::Pong(Bytes::new())],
                vec![IncomingFrame::Binary, IncomingFrame::Part, IncomingFrame::Pong],
            ),
            ("nothing after a close", vec![close, Message::Text("a".into())], vec![IncomingFrame::Close(Some(1000))]),
        ] {
            let bytes = encoded(messages);
            for piece in [1, 7, 4096] {
                assert_eq!(read(bytes.clone(), piece).await, expected, "{name}, {piece} at a time");
            }
        }
    }

    #[actix_web::test]
    async fn a_frame_is_too_long_as_soon_as_it_says_so() {
        for (name, head, is_too_long) in [
            ("1 GiB", &b"\x81\xff\0\0\0\0\x40\0\0\0\0\0\0\0"[..], true),
            ("a byte too many", b"\x81\xff\0\0\0\0\0\x01\0\x01\0\0\0\0", true),
            ("the longest", b"\x81\xff\0\0\0\0\0\x01\0\0\0\0\0\0", false),
            ("16 bits", b"\x81\xfe\xff\xff\0\0\0\0", false),
            ("not there yet", b"\x81\xff\0\0\0\0\x40", false),
        ] {
            let expected = if is_too_long { vec![IncomingFrame::Invalid(FrameError::TooLong)] } else { vec![] };
            for piece in [1, 4096] {
                assert_eq!(read(Bytes::from_static(head), piece).await, expected, "{name}, {piece} at a time");
            }
        }
    }

    #[actix_web::test]
    async fn what_is_too_long_or_unreadable_ends_the_messages() {
        let long = |bytes: usize| Message::Text("x".repeat(bytes).into());
        let half = Bytes::from("x".repeat(FRAME_BYTES_MAX / 2 + 1));
        let not_utf8 = {
            let mut bytes = encoded(vec![Message::Binary(Bytes::from_static(b"\xff\xff"))]).to_vec();
            bytes[0] = 0x81;
            Bytes::from(bytes)
        };
        let unmasked = Bytes::from_static(b"\x81\x01a");
        let reserved = Bytes::from_static(b"\xf1\x80\0\0\0\0");
        let stray = encoded(vec![Message::Text("a".into())])
            .iter()
            .enumerate()
            .map(|(i, b)| if i == 0 { 0x80 } else { *b })
            .collect();
        for (name, bytes, expected) in [
            ("one byte too long", encoded(vec![long(FRAME_BYTES_MAX + 1)]), FrameError::TooLong),
            (
                "parts too long together",
                encoded(vec![
                    Message::Continuation(Item::FirstText(half.clone())),
                    Message::Continuation(Item::Last(half.clone())),
                ]),
                FrameError::TooLong,
            ),
            ("not UTF-8", not_utf8, FrameError::NotUtf8),
            ("unmasked", unmasked, FrameError::Protocol),
            ("reserved bits", reserved, FrameError::Protocol),
            ("a last part without a first", stray, FrameError::Protocol),
        ] {
            let followed = [bytes, encoded(vec![Message::Text("a".into())])].concat();
            let mut found = read(followed.into(), 4096).await;
            found.retain(|one| *one != IncomingFrame::Part);
            assert_eq!(found, [IncomingFrame::Invalid(expected)], "{name}");
        }
        assert!(matches!(read(encoded(vec![long(FRAME_BYTES_MAX)]), 4096).await[..], [IncomingFrame::Text(_)]));
    }
}
