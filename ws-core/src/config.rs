//! What a connection accepts, and how it sends.

/// Spelled out where a limit is to be none at all.
pub const UNLIMITED: usize = usize::MAX;

/// Limits and modes of one connection.
///
/// Every limit is finite by default; zero means zero, and [`UNLIMITED`] has to be spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Bytes of payload in one received data frame, as on the wire. Default `None`: what
    /// [`max_message`](Self::max_message) allows, and a 64th of it and 64 bytes more, since
    /// compression makes what cannot be compressed a little longer. Control frames have 125 at most in
    /// any case.
    ///
    /// A frame that announces more fails the connection with 1009 on its header. Does not apply to
    /// [`Receive::Streaming`], except to frames that an extension has to see whole.
    pub max_frame: Option<usize>,
    /// Bytes of one received message, after the extensions. Default 1 MiB.
    ///
    /// A message that grows beyond fails the connection with 1009, as soon as a header or a piece
    /// of output proves it. Does not apply to [`Receive::Streaming`], except to messages that an
    /// extension has to see whole.
    pub max_message: usize,
    /// Frames of one received message, empty ones included. Default 4096.
    ///
    /// More fail the connection with 1008. Does not apply to [`Receive::Streaming`].
    pub max_fragments: usize,
    /// Empty frames of one message in a row. Default 64. More fail the connection with 1008, an
    /// empty message included where the limit is zero.
    pub max_empty_fragments: usize,
    /// How messages are received. Default [`Receive::Messages`].
    pub receive: Receive,
    /// Bytes of payload in one sent data frame, before extensions of frame scope add theirs. Default
    /// [`UNLIMITED`]: a message of any size is one frame, and so is the form that a
    /// [broadcast](crate::Broadcast) shares; else frames behind an extension of message scope have at
    /// most 64 KiB. Zero counts as one.
    pub max_sent_frame: usize,
}

/// Whole messages, or pieces of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Receive {
    /// [`Event::Message`](crate::Event::Message): messages are gathered, within the limits.
    #[default]
    Messages,
    /// [`Event::Start`](crate::Event::Start), [`Chunk`](crate::Event::Chunk) and
    /// [`End`](crate::Event::End), for messages larger than memory. A chunk is at most 64 KiB.
    Streaming,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_frame: None,
            max_message: 1 << 20,
            max_fragments: 4096,
            max_empty_fragments: 64,
            receive: Receive::Messages,
            max_sent_frame: UNLIMITED,
        }
    }
}

impl Config {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of payload in one received data frame: [`max_frame`](Self::max_frame), or what follows
    /// from [`max_message`](Self::max_message).
    #[inline]
    pub const fn frame_limit(&self) -> usize {
        match self.max_frame {
            Some(limit) => limit,
            None => self.max_message.saturating_add(self.max_message / 64 + 64),
        }
    }

    /// Bytes of a message that is one frame and that nothing decodes.
    #[inline]
    pub(crate) fn whole_limit(&self) -> usize {
        self.max_frame.map_or(self.max_message, |limit| limit.min(self.max_message))
    }
}
