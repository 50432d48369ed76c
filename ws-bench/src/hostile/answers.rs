//! What a server sends, as far as an attacker cares: the status, Pings and Closes.

use crate::frame::{CLOSE, unmasked_header};

const PING: u8 = 0x89;

/// The longest head of a response, in octets. Of a longer one nothing is understood.
const HEAD: usize = 16 * 1024;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The head of the response.
    Head(Head),
    /// A Ping with this payload.
    Ping(Vec<u8>),
    /// A Close with this code; 1005 for none.
    Close(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Whether the server agrees to permessage-deflate.
    pub(super) deflate: bool,
}

/// Understands a server's octets, and passes over the payloads of messages.
#[derive(Debug)]
pub(super) struct Answers {
    at: At,
    /// The start of what is incomplete: a head, a frame's header, a control frame.
    rest: Vec<u8>,
}

#[derive(Debug)]
enum At {
    Head,
    /// So many octets of a payload are to come.
    Frames {
        skip: usize,
    },
    /// What follows is no WebSocket.
    Other,
}

impl Default for Answers {
    fn default() -> Self {
        Self { at: At::Head, rest: Vec::new() }
    }
}

impl Answers {
    pub(super) fn feed(&mut self, octets: &[u8], mut came: impl FnMut(Answer)) {
        match self.at {
            At::Other => {}
            At::Head => {
                self.rest.extend_from_slice(octets);
                let end = self.rest.windows(4).position(|four| four == b"\r\n\r\n");
                let Some(end) = end.map(|at| at + 4) else {
                    if self.rest.len() > HEAD {
                        *self = Self { at: At::Other, rest: Vec::new() };
                    }
                    return;
                };
                let after = self.rest.split_off(end);
                let head = Head::read(&std::mem::take(&mut self.rest));
                self.at = match head {
                    Some(Head { status: 101, .. }) => At::Frames { skip: 0 },
                    _ => At::Other,
                };
                head.into_iter().for_each(|head| came(Answer::Head(head)));
                self.feed(&after, came);
            }
            At::Frames { skip } => {
                let skipped = skip.min(octets.len());
                let skip = self.frames(skip - skipped, &octets[skipped..], came);
                self.at = At::Frames { skip };
            }
        }
    }

    fn frames(&mut self, mut skip: usize, octets: &[u8], mut came: impl FnMut(Answer)) -> usize {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(octets);
        let mut left = &rest[..];
        while let Some((first, header, len)) = unmasked_header(left) {
            let is_control = first & 0x08 != 0;
            if is_control && left.len() < header + len {
                break;
            }
            let end = left.len().min(header + len);
            let payload = &left[header..end];
            skip = header + len - end;
            match first {
                PING => came(Answer::Ping(payload.to_vec())),
                CLOSE => came(Answer::Close(match payload {
                    [high, low, ..] => u16::from_be_bytes([*high, *low]),
                    _ => 1005,
                })),
                _ => {}
            }
            left = &left[end..];
        }
        self.rest = left.to_vec();
        skip
    }
}

impl Head {
    fn read(head: &[u8]) -> Option<Self> {
        let head = String::from_utf8_lossy(head).to_ascii_lowercase();
        Some(Self {
            status: head.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok()?,
            deflate: head.contains("\r\nsec-websocket-extensions: permessage-deflate"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{BINARY, push_unmasked};

    #[test]
    fn head_and_control_frames_are_found_between_messages_at_every_cut() {
        let mut octets = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Extensions: \
                           permessage-deflate\r\n\r\n"
            .to_vec();
        push_unmasked(&mut octets, BINARY, &[CLOSE; 300]);
        push_unmasked(&mut octets, PING, b"hi");
        push_unmasked(&mut octets, BINARY, &[]);
        push_unmasked(&mut octets, CLOSE, &[0x03, 0xf0, b'x']);
        push_unmasked(&mut octets, CLOSE, &[]);
        let expected = [
            Answer::Head(Head { status: 101, deflate: true }),
            Answer::Ping(b"hi".to_vec()),
            Answer::Close(1008),
            Answer::Close(1005),
        ];
        for size in 1..=octets.len() {
            let (mut answers, mut came) = (Answers::default(), Vec::new());
            for part in octets.chunks(size) {
                answers.feed(part, |answer| came.push(answer));
            }
            assert_eq!(came, expected, "{size}");
        }
    }

    #[test]
    fn refusal_is_a_status_and_nothing_else() {
        let (mut answers, mut came) = (Answers::default(), Vec::new());
        let head = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n\x88\x00\x88\x00";
        answers.feed(head, |answer| came.push(answer));
        assert_eq!(came, [Answer::Head(Head { status: 503, deflate: false })]);
    }
}
