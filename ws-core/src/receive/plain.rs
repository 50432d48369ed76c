//! Payloads that no extension decodes.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use bytes::{Buf, Bytes, BytesMut};

use super::{DataFrame, DataStep, Incoming};
use crate::{Config, Event, Payload, buffer::grow, fault::Fault, mask::apply_mask};

/// A payload is copied where a slice of the input would keep a buffer this many times larger alive.
const PINNED_AT_MOST: usize = 128;

/// Bytes that are copied, unmasked and checked at a time.
const BLOCK: usize = 16384;

/// Gathers the message, checking it as it comes.
pub(super) fn gather(
    frame: &mut DataFrame,
    message: &mut Incoming,
    input: &mut BytesMut,
    work: &mut usize,
    config: &Config,
) -> Result<DataStep, Fault> {
    let remaining = usize::try_from(frame.remaining()).unwrap_or(usize::MAX);
    let alone = frame.header.fin && frame.received == 0 && message.frames == 1;
    if alone && remaining > 0 && input.len() >= remaining && !pins_too_much(input, remaining) {
        // All of the message lies in the input: it is kept there, and only looked at in steps.
        frame.piece = input.split_to(remaining);
        frame.received = frame.header.len;
        message.received = frame.header.len;
    }
    if !frame.piece.is_empty() {
        return check_whole(frame, message, work);
    }
    let n = remaining.min(input.len()).min(*work);
    *work = work.saturating_sub(n);
    // The announced length bounds the buffer only where the message ends with this frame.
    let announced = message.buffer.len().saturating_add(remaining);
    let limit = message.buffer.len().saturating_add(n).max(config.max_message);
    grow(&mut message.buffer, n, if frame.header.fin { announced } else { limit });
    // In blocks that stay in the cache between the copy, the unmasking and the check.
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

/// Unmasks and checks a message that lies in one buffer, in steps.
fn check_whole(
    frame: &mut DataFrame,
    message: &mut Incoming,
    work: &mut usize,
) -> Result<DataStep, Fault> {
    let end = frame.checked.saturating_add(*work).min(frame.piece.len());
    let step = frame.piece.get_mut(frame.checked..end).unwrap_or_default();
    if let Some(key) = frame.header.mask {
        apply_mask(step, key, frame.checked as u64);
    }
    message.check_text(step)?;
    *work = work.saturating_sub(step.len());
    frame.checked = end;
    if end < frame.piece.len() {
        return Ok(DataStep::Yield);
    }
    message.check_end(true)?;
    frame.data_len = frame.header.len;
    let payload = core::mem::take(&mut frame.piece).freeze();
    Ok(DataStep::Complete(Some(payload.into())))
}

/// Hands the payload on as it comes.
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
    let chunk = take_slice(input, n);
    message.check_text(&chunk)?;
    Ok(DataStep::Event(Event::Chunk(chunk)))
}

/// Takes a whole payload that begins at `start` off the input, unmasked.
pub(super) fn take_payload(
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
    input.advance(start);
    take_slice(input, len).into()
}

/// Whether a slice of `len` bytes would keep too large a buffer alive.
fn pins_too_much(input: &BytesMut, len: usize) -> bool {
    len.saturating_mul(PINNED_AT_MOST) < input.capacity()
}

/// Takes bytes off the input: a slice of it, or a copy where a slice would pin too much.
fn take_slice(input: &mut BytesMut, len: usize) -> Bytes {
    if pins_too_much(input, len) {
        let copy = Bytes::copy_from_slice(input.get(..len).unwrap_or_default());
        input.advance(len);
        copy
    } else {
        input.split_to(len).freeze()
    }
}

/// How much of the frame's payload may be taken now, unmasked in place.
pub(super) fn unmask_piece(frame: &mut DataFrame, input: &mut BytesMut, work: usize) -> usize {
    let n = usize::try_from(frame.remaining()).unwrap_or(usize::MAX).min(input.len()).min(work);
    if let Some(key) = frame.header.mask {
        apply_mask(input.get_mut(..n).unwrap_or_default(), key, frame.received);
    }
    frame.received = frame.received.saturating_add(n as u64);
    n
}
