//! What a connection waited for in vain.

/// The deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expired {
    /// The peer was silent for so long that a Ping is due.
    Ping,
    /// The peer was silent after the Ping too.
    Pong,
    /// The same, but reading is paused.
    PongUnread,
    /// A message came too slowly or stopped in the middle.
    Message,
    /// The peer takes none of the output.
    Write,
    /// The peer takes the output at less than the minimum rate.
    WriteRate,
    /// The handler's turn before a Close is answered is over.
    CloseTurn,
    /// The peer has not answered our Close.
    Close,
    /// Reading is held up by the server's memory, and may go on.
    HeldUp,
    /// No message passed for so long that the extensions are to give memory back.
    Park,
}

impl Expired {
    /// Whether the peer is late. Its input is read before the deadline is enforced.
    pub(super) fn is_peers(self) -> bool {
        match self {
            Self::Pong | Self::Message | Self::Write | Self::WriteRate | Self::Close => true,
            Self::Ping | Self::PongUnread | Self::CloseTurn | Self::HeldUp | Self::Park => false,
        }
    }
}
