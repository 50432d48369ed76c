//! Payloads that no extension decodes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{
    Incoming,
    data_frame::{DataFrame, DataStep},
};
use crate::{
    Config, Event, Payload,
    buffer::{BufferSize, grow, grow_into, grow_shared},
    fault::Fault,
    mask::apply_mask,
};

/// A payload is copied if a slice of the input would keep a buffer this many times larger alive.
const PINNED_AT_MOST: usize = 128;

/// Bytes that are copied, unmasked and checked at a time.
const BLOCK: usize = 16384;

/// Once this many bytes of a message in one frame have arrived, the rest is read into its buffer.
const DIRECT_FROM: usize = 32 * 1024;

/// Gathers the message and checks it as it arrives.
pub(super) fn gather(
    frame: &mut DataFrame,
    message: &mut Incoming,
    input: &mut BytesMut,
    work: &mut usize,
    config: &Config,
) -> Result<DataStep, Fault> {
    if frame.header.fin && message.frames == 1 {
        return gather_alone(frame, message, input, work);
    }
    let remaining = frame.room();
    let n = remaining.min(input.len()).min(*work);
    *work = work.saturating_sub(n);
    // The announced length bounds the buffer only if the message ends with this frame.
    let announced = message.buffer.len().saturating_add(remaining);
    let limit = message.buffer.len().saturating_add(n).max(config.max_message);
    grow(&mut message.buffer, n, if frame.header.fin { announced } else { limit });
    // In blocks that stay in the cache from the copy to the check.
    for block in input.get(..n).unwrap_or_default().chunks(BLOCK) {
        message.append(block, frame.header.mask, frame.received)?;
        frame.received = frame.received.saturating_add(block.len() as u64);
    }
    message.received = message.received.saturating_add(n as u64);
    frame.data_len = frame.data_len.saturating_add(n as u64);
    input.advance(n);
    if frame.remaining() == 0 {
        message.check_end(frame.header.fin)?;
        Ok(DataStep::Complete(None))
    } else if input.is_empty() {
        Ok(DataStep::Starved)
    } else {
        Ok(DataStep::Yield)
    }
}

/// Gathers a message of one frame in the buffer that it is delivered in, and checks it there.
fn gather_alone(
    frame: &mut DataFrame,
    message: &mut Incoming,
    input: &mut BytesMut,
    work: &mut usize,
) -> Result<DataStep, Fault> {
    let here = frame.room().min(input.len());
    let kept = if here == frame.room() {
        here > 0 && !pins_too_much(input, here)
    } else {
        here >= DIRECT_FROM.max(input.capacity() / 2)
    };
    if frame.received == 0 && kept {
        // It stays where it is, and is checked in steps.
        frame.piece = input.split_to(here);
        frame.count(message, here);
    }
    check_piece(frame, message, work)?;
    let copied = frame.room().min(input.len()).min(*work);
    if copied > 0 {
        let announced = frame.piece.len().saturating_add(frame.room());
        grow_shared(&mut frame.piece, copied, announced);
    }
    // In blocks that stay in the cache from the copy to the check.
    for block in input.get(..copied).unwrap_or_default().chunks(BLOCK) {
        frame.piece.extend_from_slice(block);
        frame.count(message, block.len());
        check_piece(frame, message, work)?;
    }
    input.advance(copied);
    if frame.data_len == frame.header.len {
        message.check_end(true)?;
        let payload = core::mem::take(&mut frame.piece).freeze();
        Ok(DataStep::Complete(Some(payload.into())))
    } else if frame.data_len == frame.received && input.is_empty() {
        Ok(DataStep::Starved)
    } else {
        Ok(DataStep::Yield)
    }
}

/// Unmasks and checks the next step of a message that is gathered in one buffer.
fn check_piece(
    frame: &mut DataFrame,
    message: &mut Incoming,
    work: &mut usize,
) -> Result<(), Fault> {
    let checked = usize::try_from(frame.data_len).unwrap_or(usize::MAX);
    let end = checked.saturating_add(*work).min(frame.piece.len());
    let step = frame.piece.get_mut(checked..end).unwrap_or_default();
    if let Some(key) = frame.header.mask {
        apply_mask(step, key, frame.data_len);
    }
    message.check_text(step)?;
    *work = work.saturating_sub(step.len());
    frame.data_len = end as u64;
    Ok(())
}

/// Makes room for the rest of a large message. `None` if it is not read into its own buffer.
pub(super) fn make_room(
    frame: &mut DataFrame,
    allocate: impl FnOnce(BufferSize) -> BytesMut,
) -> Option<()> {
    let room = frame.room();
    if frame.piece.len() < DIRECT_FROM || room == 0 || frame.data_len < frame.received {
        return None;
    }
    grow_into(&mut frame.piece, room.min(DIRECT_FROM), room, allocate);
    Some(())
}

/// Reads more of a large message into the room that was made.
pub(super) fn read_more<R>(
    frame: &mut DataFrame,
    message: &mut Incoming,
    read: impl FnOnce(&mut dyn BufMut) -> R,
) -> R {
    let (before, room) = (frame.piece.len(), frame.room());
    let result = read(&mut (&mut frame.piece).limit(room));
    frame.count(message, frame.piece.len().saturating_sub(before));
    result
}

/// Passes the payload on as it arrives.
pub(super) fn stream(
    frame: &mut DataFrame,
    message: &mut Incoming,
    input: &mut BytesMut,
    work: &mut usize,
) -> Result<DataStep, Fault> {
    if frame.remaining() == 0 {
        message.check_end(frame.header.fin)?;
        return Ok(DataStep::Complete(None));
    }
    let n = unmask_piece(frame, input, *work);
    if n == 0 {
        return Ok(if input.is_empty() { DataStep::Starved } else { DataStep::Yield });
    }
    *work = work.saturating_sub(n);
    message.received = message.received.saturating_add(n as u64);
    frame.data_len = frame.data_len.saturating_add(n as u64);
    let chunk = take_payload(input, 0, n, None);
    message.check_text(&chunk)?;
    Ok(DataStep::Event(Event::Chunk(chunk)))
}

/// Takes a whole payload that begins at `start` from the input, unmasked.
pub(crate) fn take_payload(
    input: &mut BytesMut,
    start: usize,
    len: usize,
    mask: Option<[u8; 4]>,
) -> Payload {
    let end = start.saturating_add(len);
    let rest = input.get(start..).unwrap_or_default();
    if let Some(payload) = Payload::inline(rest, len, mask) {
        input.advance(end);
        return payload;
    }
    if let Some(key) = mask {
        apply_mask(input.get_mut(start..end).unwrap_or_default(), key, 0);
    }
    if pins_too_much(input, len) {
        let copy = Bytes::copy_from_slice(input.get(start..end).unwrap_or_default());
        input.advance(end);
        return copy.into();
    }
    // Splitting the header off afterwards is cheaper than before.
    let mut payload = input.split_to(end).freeze();
    payload.advance(start);
    Payload::from_read(payload)
}

/// Whether a slice of `len` bytes would keep too large a buffer alive.
fn pins_too_much(input: &BytesMut, len: usize) -> bool {
    len.saturating_mul(PINNED_AT_MOST) < input.capacity()
}

/// Unmasks in place what may be taken of the frame's payload now. How much that is.
pub(super) fn unmask_piece(frame: &mut DataFrame, input: &mut BytesMut, work: usize) -> usize {
    let n = frame.room().min(input.len()).min(work);
    if let Some(key) = frame.header.mask {
        apply_mask(input.get_mut(..n).unwrap_or_default(), key, frame.received);
    }
    frame.received = frame.received.saturating_add(n as u64);
    n
}
