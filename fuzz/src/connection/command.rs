//! A command, and the result that it must have.

use ws_core::{Broadcast, CloseCode, Message, MessageKind, SendError};

use super::{operations::Op, run::Run};
use crate::frames::is_utf8_so_far;

impl Run<'_> {
    pub(super) fn command(&mut self, op: Op) {
        let can_send = match op {
            // Ours may be sent already.
            Op::Fail(..) => self.closed.is_none() && !self.ws.is_ending(),
            _ => self.ws.is_open() || self.closing,
        };
        let unwritten = self.ws.unwritten();
        let streaming = self.streamed.is_some();
        let (result, expected) = match op {
            Op::Send(message, hint) => {
                let result = match self.sent.len() & 1 {
                    0 => self.ws.send_with(message.clone(), hint),
                    _ => self.ws.send_ref(&message, hint),
                };
                if result.is_ok() {
                    self.queued += message.len();
                    self.sent.push(message);
                }
                (result, streaming.then_some(SendError::MessageInProgress))
            }
            Op::Broadcast(message, hint) => {
                let broadcast = Broadcast::with_compression(message.clone(), hint);
                let result = self.ws.send_broadcast(&broadcast);
                if result.is_ok() {
                    self.queued += message.len();
                    if streaming { &mut self.held } else { &mut self.sent }.push(message);
                }
                (result, None)
            }
            Op::Start(kind, hint) => {
                let result = self.ws.start_message_with(kind, hint);
                if result.is_ok() {
                    self.streamed = Some((kind, Vec::new()));
                }
                (result, streaming.then_some(SendError::MessageInProgress))
            }
            Op::Chunk(ref data) | Op::Finish(ref data) => {
                let last = matches!(op, Op::Finish(_));
                let result = match last {
                    true => self.ws.finish_message(&data[..]),
                    false => self.ws.send_chunk(&data[..]),
                };
                let expected = match &self.streamed {
                    None => Some(SendError::NoMessageInProgress),
                    Some((MessageKind::Binary, _)) => None,
                    Some((MessageKind::Text, so_far)) => {
                        let all = [&so_far[..], data].concat();
                        let valid = if last {
                            std::str::from_utf8(&all).is_ok()
                        } else {
                            is_utf8_so_far(&all)
                        };
                        (!valid).then_some(SendError::InvalidUtf8)
                    }
                };
                if result.is_ok() {
                    self.queued += data.len();
                    let (kind, mut all) = self.streamed.take().expect("in a message");
                    all.extend_from_slice(data);
                    if last {
                        self.sent.push(match kind {
                            MessageKind::Text => Message::text(String::from_utf8(all).unwrap()),
                            MessageKind::Binary => Message::binary(all),
                        });
                        self.sent.append(&mut self.held);
                    } else {
                        self.streamed = Some((kind, all));
                    }
                }
                (result, expected)
            }
            Op::Ping(payload) => {
                let result = self.ws.ping(&payload[..]);
                let expected = (payload.len() > 125)
                    .then_some(SendError::ControlTooLong { len: payload.len() });
                if result.is_ok() {
                    self.pings.push(payload);
                }
                (result, expected)
            }
            Op::Pong(payload) => {
                let result = self.ws.unsolicited_pong(&payload[..]);
                if result.is_ok() {
                    self.pongs.push(payload);
                }
                (result, None)
            }
            Op::Close(code, ref reason) | Op::Fail(code, ref reason) => {
                let fails = matches!(op, Op::Fail(..));
                let code = CloseCode::new(code);
                let result = match fails {
                    true => self.ws.fail(code, reason),
                    false => self.ws.close(code, reason),
                };
                let own = code != CloseCode::MANDATORY_EXTENSION || !self.setup.server;
                let expected = if fails {
                    None
                } else if !code.is_sendable() || !own {
                    Some(SendError::InvalidCloseCode(code))
                } else {
                    streaming.then_some(SendError::MessageInProgress)
                };
                if result.is_ok() {
                    self.streamed = None;
                    self.held.clear();
                    self.closing = false;
                    if fails {}
                }
                (result, expected)
            }
            Op::Park => {
                let rested = self.ws.park();
                assert!(!rested || !streaming);
                return;
            }
            _ => unreachable!(),
        };
        match (can_send, expected) {
            (false, _) => assert_eq!(result, Err(SendError::Closed)),
            (true, Some(error)) => assert_eq!(result, Err(error)),
            (true, None) => assert_eq!(result, Ok(())),
        }
        if result.is_err() {
            assert_eq!(self.ws.unwritten(), unwritten, "what is refused queues nothing");
        }
    }
}
