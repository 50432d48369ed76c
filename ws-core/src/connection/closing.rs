//! How a connection ends: by a Close, by a fault, by the loss of its transport.

use alloc::{boxed::Box, string::ToString};
use core::mem;

use super::{Connection, Life};
use crate::{
    CloseCode, Closed, ClosedBy, Event, SendError, Text,
    close::fitting_reason,
    extension::{ChainError, Direction, Failure},
    fault::Fault,
    receive::Receiver,
};

impl Connection {
    /// Starts the closing handshake, after the queued messages.
    ///
    /// Messages that the peer sends before its own Close are still delivered. The caller bounds the
    /// wait; see [`is_close_awaited`](Self::is_close_awaited). After [`Event::Closing`] this is the
    /// answer, in place of the one that the engine would give.
    ///
    /// Of the reason goes out what fits: 123 bytes, cut between characters, as
    /// [`fitting_reason`](crate::fitting_reason) does.
    ///
    /// RFC 6455 §7.3: "Clients SHOULD NOT close the WebSocket Connection arbitrarily."
    ///
    /// # Errors
    /// [`SendError::Closed`] if a Close was queued before, [`SendError::InvalidCloseCode`],
    /// [`SendError::MessageInProgress`] inside of a streamed message: finish it, or
    /// [give it up](Self::close_within_message).
    // R6455C-7.3-a
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if self.sender.is_streaming() {
            self.check_close(code)?;
            return Err(SendError::MessageInProgress);
        }
        self.close_within_message(code, reason)
    }

    /// As [`close`](Self::close), but gives up a message that is being sent in pieces: it ends without its
    /// last frame, and no peer takes it for a whole message. Broadcasts that wait for its end are dropped.
    ///
    /// # Errors
    /// [`SendError::Closed`], [`SendError::InvalidCloseCode`].
    // RFC 6455 §5.4: control frames "MAY be injected in the middle of a fragmented message".
    pub fn close_within_message(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.check_close(code)?;
        let reason = fitting_reason(reason);
        let read = self.read_before(code, reason);
        self.queue_close(Some(code), reason);
        if let Some(closed) = read {
            self.life = Life::Ending(Box::new(closed));
        } else if let Life::CloseSent(said) = &mut self.life
            && !reason.is_empty()
        {
            *said = Some(Box::new((code, reason.into())));
        }
        Ok(())
    }

    /// Gives the connection up: takes no more input, and queues a Close after the queued messages, unless
    /// ours was queued before. The next event is [`Event::Closed`], whatever the peer sends.
    ///
    /// For limits that the caller keeps, such as deadlines and rates. A message that was sent in
    /// part ends there. A code that may not be sent becomes 1011, and the reason is cut as that of
    /// [`close`](Self::close): nothing keeps the connection from ending.
    ///
    /// # Errors
    /// [`SendError::Closed`] if the connection has ended already.
    pub fn fail(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        if matches!(self.life, Life::Ending(_) | Life::Closed) {
            return Err(SendError::Closed);
        }
        let code = if self.may_send(code) { code } else { CloseCode::INTERNAL_ERROR };
        let reason = fitting_reason(reason);
        self.stop_receiving();
        let closed = self
            .read_before(code, reason)
            .unwrap_or_else(|| Closed::local(code, reason.into(), None));
        // RFC 6455 §5.5.1: one Close is all that is sent. The one that is queued or sent stays.
        if !self.is_close_awaited() {
            self.queue_close(Some(code), reason);
        }
        // An extension that failed meanwhile has said how it ends.
        if !self.is_ending() {
            self.life = Life::Ending(Box::new(closed));
        }
        Ok(())
    }

    pub(super) fn close_received(&mut self, code: Option<CloseCode>, reason: Text) -> Event {
        self.stop_receiving();
        // RFC 6455 §7.1.5: 1005 "If this Close control frame contains no status code".
        let told = code.unwrap_or(CloseCode::NO_STATUS);
        let mut closed =
            Closed { by: ClosedBy::Peer, code: told, reason, clean: true, fault: None };
        if let Life::CloseSent(said) = &self.life {
            closed.by = ClosedBy::Local;
            // An answer repeats the code, if anything.
            if let Some(said) = said.as_deref()
                && closed.reason.is_empty()
                && code.is_none_or(|code| code == said.0)
            {
                closed.reason = said.1.clone();
            }
            self.life = Life::Closed;
            return Event::Closed(closed);
        }
        self.life = Life::Closing(Box::new(closed));
        Event::Closing
    }

    pub(super) fn faulted(&mut self, fault: Fault) -> Event {
        self.stop_receiving();
        let code = self.code_for(&fault);
        let reason = fitting_reason(&fault.to_string()).into();
        let closed = Closed::local(code, reason, Some(Box::new(fault)));
        if self.is_close_awaited() {
            self.life = Life::Closed;
            return Event::Closed(closed);
        }
        self.life = Life::Closing(Box::new(closed));
        Event::Closing
    }

    /// The transport ended without a Close.
    pub(super) fn lost(&mut self) -> Event {
        self.stop_receiving();
        self.sender.give_up_message();
        let mut closed = Closed::abnormal(ClosedBy::Peer);
        if let Life::CloseSent(said) = mem::replace(&mut self.life, Life::Closed) {
            closed.by = ClosedBy::Local;
            closed.reason = said.map_or_else(Text::default, |said| said.1);
        }
        Event::Closed(closed)
    }

    /// Answers what ended the connection, and tells it.
    pub(super) fn end(&mut self) -> Event {
        match mem::replace(&mut self.life, Life::Closed) {
            Life::Closing(closed) => {
                // RFC 6455 §5.5.1: "When sending a Close frame in response, the endpoint typically
                // echos the status code it received." The reason is not repeated.
                let (code, reason) = match &*closed {
                    Closed { fault: Some(_), code, reason, .. } => (Some(*code), reason.as_str()),
                    Closed { code: CloseCode::NO_STATUS, .. } => (None, ""),
                    Closed { code, .. } => (Some(*code), ""),
                };
                // RFC 6455 §5.5.1: "If an endpoint receives a Close frame and did not previously
                // send a Close frame, the endpoint MUST send a Close frame in response."
                self.queue_close(code, reason);
                self.life = Life::Closed;
                Event::Closed(*closed)
            }
            Life::Ending(closed) => Event::Closed(*closed),
            life @ (Life::Open | Life::CloseSent(_) | Life::Closed) => {
                self.life = life;
                Event::Yield
            }
        }
    }

    fn check_close(&self, code: CloseCode) -> Result<(), SendError> {
        self.check_can_send()?;
        if !self.may_send(code) {
            return Err(SendError::InvalidCloseCode(code));
        }
        Ok(())
    }

    /// Whether a Close of ours may have this code.
    fn may_send(&self, code: CloseCode) -> bool {
        // RFC 6455 §7.4.1: 1010 "is not used by the server, because it can fail the WebSocket
        // handshake instead."
        let servers = code == CloseCode::MANDATORY_EXTENSION && self.role.is_server();
        code.is_sendable() && !servers
    }

    /// Queues our Close; its code and reason were checked.
    pub(super) fn queue_close(&mut self, code: Option<CloseCode>, reason: &str) {
        if let Some(payload) = self.owed.take() {
            // Nothing may follow our Close.
            self.with_sender(|_, cx| cx.frames.insert_pong(&payload));
        }
        self.life = Life::CloseSent(None);
        if let Err(error) = self.with_sender(|sender, cx| sender.close(code, reason, cx)) {
            self.fail_encoding(error);
        }
    }

    /// How the connection ends, if the peer's Close or fault was read before our Close is queued.
    fn read_before(&self, code: CloseCode, reason: &str) -> Option<Closed> {
        let Life::Closing(closed) = &self.life else {
            return None;
        };
        let mut closed = Closed::clone(closed);
        // RFC 6455 §7.1.5: the code is that of "the first Close control frame received". Where we
        // fail the connection, it is the one that we send.
        if closed.fault.is_some() {
            (closed.code, closed.reason) = (code, reason.into());
        }
        Some(closed)
    }

    /// An extension could not encode: what it began cannot be completed.
    pub(super) fn fail_encoding(&mut self, error: ChainError) -> SendError {
        let Failure { name, code, reason } = match error {
            ChainError::Extension(failure) => *failure,
            ChainError::TooBig => Failure {
                name: "".into(),
                code: CloseCode::INTERNAL_ERROR,
                reason: "more than can be gathered".into(),
            },
        };
        self.sender.abandon();
        self.stack.drop_unit(Direction::Encode);
        self.stop_receiving();
        let fault = Fault::Extension { name: name.clone(), code, reason: reason.clone() };
        let code = self.code_for(&fault);
        let text = Text::from(fitting_reason(&fault.to_string()));
        let read = self.read_before(code, text.as_str());
        let life = match mem::replace(&mut self.life, Life::CloseSent(None)) {
            // What was told is not told twice.
            ended @ (Life::Ending(_) | Life::Closed) => ended,
            Life::Open | Life::CloseSent(_) | Life::Closing(_) => Life::Ending(Box::new(
                read.unwrap_or_else(|| Closed::local(code, text.clone(), Some(Box::new(fault)))),
            )),
        };
        self.queue_close(Some(code), text.as_str());
        self.life = life;
        SendError::Extension { name, reason }
    }

    /// The code that we fail the connection with.
    fn code_for(&self, fault: &Fault) -> CloseCode {
        match fault.close_code() {
            // RFC 6455 §7.4.1, as above; an extension may have asked for it.
            CloseCode::MANDATORY_EXTENSION if self.role.is_server() => CloseCode::INTERNAL_ERROR,
            code => code,
        }
    }

    /// Nothing more will be received: what came of an unfinished message is given back.
    pub(super) fn stop_receiving(&mut self) {
        self.receiver = Receiver::default();
        self.stack.drop_unit(Direction::Decode);
    }
}

impl Closed {
    /// An end without a Close, [1006](CloseCode::ABNORMAL), for callers that give a connection up.
    pub fn abnormal(by: ClosedBy) -> Self {
        Self { by, code: CloseCode::ABNORMAL, reason: Text::default(), clean: false, fault: None }
    }

    pub(super) fn local(code: CloseCode, reason: Text, fault: Option<Box<Fault>>) -> Self {
        Self { by: ClosedBy::Local, code, reason, clean: false, fault }
    }
}
