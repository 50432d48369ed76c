//! Pieces of a message that is received as it comes.

use ws_core::{Message, MessageKind, Payload};

/// A piece of a received message.
///
/// A piece waits in the queues of whole messages, in the form of a message: one queue serves both kinds
/// of connections, with the same bounds. The receiver knows whether it is inside of a message, and an
/// empty piece is either the beginning or the end of one.
#[derive(Debug)]
pub(crate) enum Piece {
    Start(MessageKind),
    /// Never empty.
    Chunk(Payload),
    End,
}

impl Piece {
    /// Reads a queued form. `inside` says whether a message has begun.
    pub(crate) fn read(queued: Message, inside: bool) -> Self {
        match (inside, queued) {
            (false, queued) => Self::Start(queued.kind()),
            (true, queued) if queued.is_empty() => Self::End,
            (true, queued) => Self::Chunk(queued.into_payload()),
        }
    }
}

impl From<Piece> for Message {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Start(MessageKind::Text) => Self::Text("".into()),
            Piece::Start(MessageKind::Binary) | Piece::End => Self::Binary(Payload::new()),
            Piece::Chunk(payload) => Self::Binary(payload),
        }
    }
}
