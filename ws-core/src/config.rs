//! The limits and modes of a connection.

/// The value of a size or count that is not to be limited.
pub const UNLIMITED: usize = usize::MAX;

/// Limits and modes of one connection.
///
/// Every limit is finite by default. Zero means zero, and [`UNLIMITED`] lifts a limit. Each field has a
/// setter of the same name:
///
/// ```
/// # use ws_core::{Config, UNLIMITED};
/// let config = Config::default().max_message(64 << 20).max_fragments(UNLIMITED);
/// assert_eq!(config.max_message, 64 << 20);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Bytes of payload in one received data frame, as on the wire. Default `None`: what
    /// [`max_message`](Self#structfield.max_message) allows, plus a 64th of it and 64 bytes, since compression
    /// makes incompressible data a little longer. Control frames have 125 bytes at most in any case.
    ///
    /// A frame that announces more fails the connection with 1009 at its header. Does not apply to
    /// [`Receive::Streaming`], except to frames that an extension has to see whole.
    pub max_frame: Option<usize>,
    /// Bytes of one received message, after the extensions. Default 1 MiB.
    ///
    /// A message that grows beyond it fails the connection with 1009, as soon as a header or a piece
    /// of output proves it. Does not apply to [`Receive::Streaming`], except to messages that an
    /// extension has to see whole.
    pub max_message: usize,
    /// Frames of one received message, empty ones included. Default 4096.
    ///
    /// More fail the connection with 1008. Does not apply to [`Receive::Streaming`].
    pub max_fragments: usize,
    /// Empty frames of one message in a row. Default 64.
    ///
    /// More fail the connection with 1008; so does an empty message if the limit is zero.
    pub max_empty_fragments: usize,
    /// How messages are received. Default [`Receive::Messages`].
    pub receive: Receive,
    /// Bytes of payload in one sent data frame, before extensions of frame scope add theirs. Default
    /// [`UNLIMITED`]: a message of any size is one frame, and so is the shared form of a
    /// [broadcast](crate::Broadcast); other output of an extension of message scope goes out in frames
    /// of at most 64 KiB. Zero counts as one.
    pub max_sent_frame: usize,
}

/// Whether messages are received whole or in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Receive {
    /// [`Event::Message`](crate::Event::Message): messages are assembled, within the limits.
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
    /// Sets [`max_frame`](Self#structfield.max_frame): a number of bytes, or `None` to derive it
    /// from `max_message`.
    #[must_use]
    pub fn max_frame(mut self, bytes: impl Into<Option<usize>>) -> Self {
        self.max_frame = bytes.into();
        self
    }

    /// Sets [`max_message`](Self#structfield.max_message).
    #[must_use]
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Sets [`max_fragments`](Self#structfield.max_fragments).
    #[must_use]
    pub fn max_fragments(mut self, frames: usize) -> Self {
        self.max_fragments = frames;
        self
    }

    /// Sets [`max_empty_fragments`](Self#structfield.max_empty_fragments).
    #[must_use]
    pub fn max_empty_fragments(mut self, frames: usize) -> Self {
        self.max_empty_fragments = frames;
        self
    }

    /// Sets [`receive`](Self#structfield.receive).
    #[must_use]
    pub fn receive(mut self, receive: Receive) -> Self {
        self.receive = receive;
        self
    }

    /// Sets [`max_sent_frame`](Self#structfield.max_sent_frame).
    #[must_use]
    pub fn max_sent_frame(mut self, bytes: usize) -> Self {
        self.max_sent_frame = bytes;
        self
    }

    /// The bytes of payload allowed in one received data frame:
    /// [`max_frame`](Self#structfield.max_frame), or the value derived from
    /// [`max_message`](Self#structfield.max_message).
    #[inline]
    pub const fn frame_limit(&self) -> usize {
        match self.max_frame {
            Some(limit) => limit,
            None => self.max_message.saturating_add(self.max_message / 64 + 64),
        }
    }
}
