//! Two connections joined directly, and the frames between them.

use bytes::{BufMut, BytesMut};

use super::{
    Failure, Rule,
    drive::{ENOUGH, guarded},
    failure::{after, differ_after},
    source::Course,
};
use crate::{
    Config, Connection, Event, Extensions, FrameHeader, Message, Opcode, Outgoing, Role, SendError,
    apply_mask,
    extension::{Compression, Rsv, RsvClaim},
};

pub(super) struct Peers {
    pub(super) client: Connection,
    pub(super) server: Connection,
}

/// A frame on its way, unmasked.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) fin: bool,
    pub(super) rsv: Rsv,
    pub(super) opcode: Opcode,
    pub(super) payload: Vec<u8>,
}

impl Peers {
    pub(super) fn new(config: &Config, client: Extensions, server: Extensions) -> Self {
        let mut key = 0_u32;
        let keys = move || {
            key = key.wrapping_add(0x0101_0107);
            key.to_be_bytes()
        };
        Self {
            client: Connection::new(Role::client(keys), config.clone(), client),
            server: Connection::new(Role::Server, config.clone(), server),
        }
    }

    pub(super) fn sender(&mut self, course: Course) -> &mut Connection {
        match course {
            Course::ToServer => &mut self.client,
            Course::ToClient => &mut self.server,
        }
    }

    pub(super) fn receiver(&mut self, course: Course) -> &mut Connection {
        match course {
            Course::ToServer => &mut self.server,
            Course::ToClient => &mut self.client,
        }
    }
}

/// The frames that `command` makes a connection write.
pub(super) fn sent(
    rule: Rule,
    ws: &mut Connection,
    message: &Message,
    command: impl FnOnce(&mut Connection) -> Result<(), SendError>,
) -> Result<Vec<Frame>, Failure> {
    let failure = |what: String| Failure::new(rule, what).with("message", message.as_bytes());
    let mut wire = Vec::new();
    guarded(|| {
        command(ws)?;
        while wire.len() < ENOUGH {
            match ws.poll_output_bounded() {
                Outgoing::Write(output) => wire.put(output),
                Outgoing::Yield => {}
                Outgoing::Idle => break,
            }
        }
        Ok::<_, SendError>(ws.is_open())
    })
    .map_err(|panic| failure(format!("sending panicked: {panic}")).like(Some(Rule::Garbage)))?
    .map_err(|error| failure(format!("sending failed: {error}")))?
    .then(|| frames(&wire))
    .flatten()
    .ok_or_else(|| failure("sending failed the connection".into()).with("wire", &wire))
}

/// The frames that sending with a hint makes a connection write.
pub(super) fn sent_message(
    rule: Rule,
    ws: &mut Connection,
    message: &Message,
    hint: Compression,
) -> Result<Vec<Frame>, Failure> {
    sent(rule, ws, message, |ws| ws.send_with(message.clone(), hint))
}

/// Checks that the frames deliver exactly the message, apart from Pings and Pongs. They are
/// received whole, or `piece` octets at a time.
pub(super) fn arrives(
    rule: Rule,
    ws: &mut Connection,
    frames: &[Frame],
    message: &Message,
    piece: usize,
) -> Result<(), Failure> {
    let wire = wire(frames, ws.role().is_server());
    let events = received(ws, &wire, piece);
    let what = match &events {
        Ok(events) => match &events[..] {
            [Event::Message(got)] if got == message => return Ok(()),
            [Event::Message(got)] => {
                let place = differ_after(message.as_bytes(), got.as_bytes());
                after(place) + "the message that arrived is not the one that was sent"
            }
            events => match events.iter().find_map(fault) {
                Some(fault) => format!("it was refused: {fault}"),
                None => {
                    format!("one message was sent, and its frames gave {} events", events.len())
                }
            },
        },
        Err(panic) => format!("receiving panicked: {panic}"),
    };
    let (failure, plain) = (Failure::new(rule, what), message.as_bytes());
    let failure = match events.as_deref() {
        Ok([Event::Message(got)]) => {
            failure.with_both([("message", plain), ("arrived", got.as_bytes())])
        }
        _ => failure.with("message", plain).like(events.is_err().then_some(Rule::Garbage)),
    };
    let unmasked: Vec<u8> = self::wire(frames, false);
    Err(failure.with("frames, unmasked", &unmasked))
}

/// The events for some octets, without Pings, Pongs and yields.
pub(super) fn received(
    ws: &mut Connection,
    wire: &[u8],
    piece: usize,
) -> Result<Vec<Event>, String> {
    guarded(|| {
        let (mut input, mut events) = (BytesMut::new(), Vec::new());
        for piece in wire.chunks(piece.max(1)) {
            input.extend_from_slice(piece);
            while let Some(event) = ws.poll_event(&mut input) {
                if !matches!(event, Event::Ping(_) | Event::Pong(_) | Event::Yield) {
                    events.push(event);
                }
            }
        }
        events
    })
}

/// The fault that ended a connection, if any.
pub(super) fn fault(event: &Event) -> Option<String> {
    match event {
        Event::Closed(closed) => Some(match &closed.fault {
            Some(fault) => format!("{} ({fault})", closed.code.get()),
            None => format!("{}", closed.code.get()),
        }),
        _ => None,
    }
}

/// Parses frames; `None` for anything else.
fn frames(mut wire: &[u8]) -> Option<Vec<Frame>> {
    let mut frames = Vec::new();
    while !wire.is_empty() {
        let (header, at) = FrameHeader::decode(wire).ok()??;
        let end = at.checked_add(usize::try_from(header.len).ok()?)?;
        let mut payload = wire.get(at..end)?.to_vec();
        if let Some(key) = header.mask {
            apply_mask(&mut payload, key, 0);
        }
        let FrameHeader { fin, rsv, opcode, .. } = header;
        frames.push(Frame { fin, rsv, opcode, payload });
        wire = wire.get(end..)?;
    }
    Some(frames)
}

/// Encodes frames, masked if a server receives them.
pub(super) fn wire(frames: &[Frame], masked: bool) -> Vec<u8> {
    let mut wire = Vec::new();
    for Frame { fin, rsv, opcode, payload } in frames {
        let mask = masked.then_some([0x37, 0xfa, 0x21, 0x3d]);
        let len = payload.len() as u64;
        FrameHeader { fin: *fin, rsv: *rsv, opcode: *opcode, mask, len }.encode(&mut wire);
        let start = wire.len();
        wire.extend_from_slice(payload);
        if let (Some(key), Some(payload)) = (mask, wire.get_mut(start..)) {
            apply_mask(payload, key, 0);
        }
    }
    wire
}

impl Frame {
    pub(super) fn ping() -> Self {
        Self { fin: true, rsv: Rsv::NONE, opcode: Opcode::Ping, payload: b"ping".to_vec() }
    }

    pub(super) fn pong() -> Self {
        Self { opcode: Opcode::Pong, ..Self::ping() }
    }
}

/// Splits the payload of a message into other frames, which end after the given lengths; the last
/// frame has the rest.
pub(super) fn cut_again(message: &[Frame], claim: RsvClaim, lens: &[usize]) -> Vec<Frame> {
    let Some(first) = message.first() else {
        return Vec::new();
    };
    let payload: Vec<u8> = message.iter().flat_map(|frame| &frame.payload).copied().collect();
    let mut left = &payload[..];
    let mut frames = Vec::new();
    for len in lens.iter().copied().chain([usize::MAX]) {
        let (head, tail) = left.split_at(len.min(left.len()));
        left = tail;
        let (opcode, rsv) = match (frames.is_empty(), claim) {
            (true, _) => (first.opcode, first.rsv),
            (false, RsvClaim::EveryFrame(_)) => (Opcode::Continuation, first.rsv),
            (false, _) => (Opcode::Continuation, Rsv::NONE),
        };
        let fin = len == usize::MAX;
        frames.push(Frame { fin, rsv, opcode, payload: head.to_vec() });
    }
    frames
}
