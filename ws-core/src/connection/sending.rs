//! What the caller sends: messages, whole or in pieces, Pings and Pongs.

use alloc::boxed::Box;

use super::{Connection, Life, PONG_UNTIL, route::Route};
use crate::{
    Broadcast, MAX_CONTROL_PAYLOAD, Message, MessageKind, Opcode, Payload, SendError,
    extension::{ChainError, Compression},
    send::{self, FrameWriter, Last, Sender},
};

impl Connection {
    /// Queues a message.
    ///
    /// # Errors
    /// [`SendError::Closed`] after our Close was queued, [`SendError::MessageInProgress`] between
    /// [`start_message`](Self::start_message) and [`finish_message`](Self::finish_message),
    /// [`SendError::Extension`] if an extension fails, and with it the connection.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), SendError> {
        self.send_with(message, Compression::Auto)
    }

    /// Queues a message with a hint for the extensions.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_with(
        &mut self,
        message: impl Into<Message>,
        compression: Compression,
    ) -> Result<(), SendError> {
        let message = message.into();
        if self.send_short(&message, compression)? {
            return Ok(());
        }
        self.send_general(message, compression)
    }

    /// As [`send_with`](Self::send_with), for a message that the caller keeps. Its bytes are copied or
    /// shared as they would be otherwise.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    #[inline]
    pub fn send_ref(
        &mut self,
        message: &Message,
        compression: Compression,
    ) -> Result<(), SendError> {
        if self.send_short(message, compression)? {
            return Ok(());
        }
        self.send_general(message.clone(), compression)
    }

    #[inline(never)]
    fn send_general(
        &mut self,
        message: Message,
        compression: Compression,
    ) -> Result<(), SendError> {
        self.encode(|sender, cx| sender.message(message, compression, cx))
    }

    /// Queues a message that goes to many connections. What the extensions of servers share is encoded
    /// once for all of them; see [`Broadcast`].
    ///
    /// Between [`start_message`](Self::start_message) and [`finish_message`](Self::finish_message) it
    /// waits, and is queued after the message in pieces. It is dropped with that message if
    /// [`fail`](Self::fail) or the end of the connection gives the message up.
    ///
    /// # Errors
    /// [`SendError::Closed`] after our Close was queued, [`SendError::Extension`] if an extension
    /// fails, and with it the connection.
    pub fn send_broadcast(&mut self, broadcast: &Broadcast) -> Result<(), SendError> {
        self.check_can_send()?;
        if !self.sender.is_streaming() {
            let message = broadcast.message();
            if self.send_inline(message) || !broadcast.is_shared() && self.send_whole(message) {
                return Ok(());
            }
        }
        self.send_shared(broadcast)
    }

    #[inline(never)]
    fn send_shared(&mut self, broadcast: &Broadcast) -> Result<(), SendError> {
        self.encode(|sender, cx| sender.broadcast(broadcast, cx))
    }

    /// Queues a message by a short lane. Returns whether there is one for it.
    #[inline]
    fn send_short(
        &mut self,
        message: &Message,
        compression: Compression,
    ) -> Result<bool, SendError> {
        self.check_can_send()?;
        if self.sender.is_streaming() {
            return Err(SendError::MessageInProgress);
        }
        if self.route == Route::Single {
            return self.send_single(message, compression);
        }
        Ok(self.send_plain(message))
    }

    /// Begins a message whose pieces follow by [`send_chunk`](Self::send_chunk).
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn start_message(&mut self, kind: MessageKind) -> Result<(), SendError> {
        self.start_message_with(kind, Compression::Auto)
    }

    /// Begins a message in pieces with a hint for the extensions.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn start_message_with(
        &mut self,
        kind: MessageKind,
        compression: Compression,
    ) -> Result<(), SendError> {
        self.check_can_send()?;
        if self.sender.is_streaming() {
            return Err(SendError::MessageInProgress);
        }
        self.encode(|sender, cx| sender.start(kind, compression, cx))
    }

    /// Queues a piece of the message in progress as a fragment. An empty one is not sent.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`SendError::NoMessageInProgress`] if none was started;
    /// [`SendError::InvalidUtf8`] if the text so far cannot be valid.
    pub fn send_chunk(&mut self, data: impl Into<Payload>) -> Result<(), SendError> {
        self.chunk(data.into(), Last::No)
    }

    /// Queues the last piece of the message in progress, which may be empty.
    ///
    /// # Errors
    /// As [`send_chunk`](Self::send_chunk).
    pub fn finish_message(&mut self, data: impl Into<Payload>) -> Result<(), SendError> {
        self.chunk(data.into(), Last::Yes)
    }

    /// Queues a Ping of at most 125 bytes after the data that is queued.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::ControlTooLong`].
    pub fn ping(&mut self, payload: impl Into<Payload>) -> Result<(), SendError> {
        self.control(Opcode::Ping, payload.into())
    }

    /// Queues a Pong that answers no Ping, a one-way heartbeat of at most 125 bytes (RFC 6455
    /// §5.5.3). Pings are answered without it.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::ControlTooLong`].
    pub fn unsolicited_pong(&mut self, payload: impl Into<Payload>) -> Result<(), SendError> {
        self.control(Opcode::Pong, payload.into())
    }

    pub(super) fn check_can_send(&self) -> Result<(), SendError> {
        // RFC 6455 §5.5.1: "The application MUST NOT send any more data frames after sending a
        // Close frame."
        match self.life {
            Life::Open | Life::Closing(_) => Ok(()),
            Life::CloseSent(_) | Life::Ending(_) | Life::Closed => Err(SendError::Closed),
        }
    }

    fn control(&mut self, opcode: Opcode, payload: Payload) -> Result<(), SendError> {
        self.check_can_send()?;
        if payload.len() > MAX_CONTROL_PAYLOAD {
            return Err(SendError::ControlTooLong { len: payload.len() });
        }
        self.with_sender(|sender, cx| sender.control(opcode, payload, cx));
        Ok(())
    }

    fn chunk(&mut self, data: Payload, last: Last) -> Result<(), SendError> {
        self.check_can_send()?;
        self.sender.check_chunk(&data, last)?;
        self.encode(|sender, cx| sender.chunk(data, last, cx))
    }

    #[inline]
    pub(super) fn with_sender<T>(
        &mut self,
        act: impl FnOnce(&mut Sender, &mut send::Context<'_>) -> T,
    ) -> T {
        let frames = FrameWriter {
            role: &mut self.role,
            config: &self.config,
            output: &mut self.output,
            observer: &mut self.observer,
        };
        act(&mut self.sender, &mut send::Context { stack: &mut self.stack, frames })
    }

    /// Runs a command in which an extension may fail.
    #[inline]
    pub(super) fn encode(
        &mut self,
        act: impl FnOnce(&mut Sender, &mut send::Context<'_>) -> Result<(), ChainError>,
    ) -> Result<(), SendError> {
        match self.with_sender(act) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.fail_encoding(error)),
        }
    }

    pub(super) fn answer_ping(&mut self, payload: &Payload) {
        // RFC 6455 §5.5.2: "Upon receipt of a Ping frame, an endpoint MUST send a Pong frame in
        // response, unless it already received a Close frame." Nothing follows our own Close.
        if !matches!(self.life, Life::Open) {
            return;
        }
        if self.output.len() < PONG_UNTIL || !self.output.has_control() {
            // An owed Pong is older.
            self.owed = None;
            self.with_sender(|_, cx| cx.frames.insert_pong(payload));
        } else {
            // RFC 6455 §5.5.3: "If an endpoint receives a Ping frame and has not yet sent Pong
            // frame(s) in response to previous Ping frame(s), the endpoint MAY elect to send a Pong
            // frame for only the most recently processed Ping frame."
            self.owed = Some(Box::new(payload.clone()));
        }
    }
}
