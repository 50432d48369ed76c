//! What the caller receives: the choice of a lane, and the event of what was received.

use bytes::BytesMut;

use super::{Connection, Life, route::Route};
use crate::{Event, WORK_PER_CALL, extension::Direction, fault::Fault, receive::Received};

impl Connection {
    pub(super) fn poll_other(&mut self, input: &mut BytesMut) -> Option<Event> {
        match self.receive_route {
            Route::Single => self.poll_single(input),
            Route::General if !self.stack.is_empty() => self.poll_extended(input),
            Route::General | Route::Plain => self.poll_plain(input),
        }
    }

    pub(super) fn poll_general(&mut self, input: &mut BytesMut) -> Option<Event> {
        match &self.life {
            Life::Open | Life::CloseSent(_) => {}
            Life::Closed => {
                // RFC 6455 §7.1.7: "An endpoint MUST NOT continue to attempt to process data
                // (including a responding Close frame) from the remote endpoint after being
                // instructed to _Fail the WebSocket Connection_."
                input.clear();
                return None;
            }
            Life::Closing(_) | Life::Ending(_) => return Some(self.end()),
        }
        if !input.is_empty() && self.stack.clear_debt() {
            return Some(Event::Yield);
        }
        let (receiver, mut cx) = self.receive_context();
        let received = receiver.read(input, WORK_PER_CALL, &mut cx);
        self.tell(received)
    }

    /// Tells what was received, and does what it asks for.
    pub(super) fn tell(&mut self, received: Result<Received, Fault>) -> Option<Event> {
        match received {
            Ok(Received::Event(event)) => Some(event),
            Ok(Received::Yield) => Some(Event::Yield),
            Ok(Received::Ping(payload)) => {
                self.answer_ping(&payload);
                Some(Event::Ping(payload))
            }
            Ok(Received::Close { code, reason }) => Some(self.close_received(code, reason)),
            Ok(Received::Starved) if self.input_ended => Some(self.lost()),
            Ok(Received::Starved) => {
                self.stack.release(Direction::Decode);
                None
            }
            Err(fault) => Some(self.faulted(fault)),
        }
    }
}
