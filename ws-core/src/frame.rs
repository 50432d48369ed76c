//! The frame header codec (RFC 6455 §5.2).
//!
//! ```text
//!   0               1               2 … 9                  4 octets
//!  ┌─┬─┬─┬─┬───────┬─┬─────────────┬──────────────────────┬─────────────┬─────────
//!  │F│R│R│R│opcode │M│ length 0-125│ 16 bits if it is 126 │ masking key │ payload
//!  │I│S│S│S│       │A│ or 126, 127 │ 64 bits if it is 127 │ if MASK     │
//!  │N│V│V│V│       │S│             │                      │             │
//!  │ │1│2│3│       │K│             │                      │             │
//!  └─┴─┴─┴─┴───────┴─┴─────────────┴──────────────────────┴─────────────┴─────────
//! ```
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

use alloc::vec::Vec;

use crate::{MAX_CONTROL_PAYLOAD, Opcode, extension::Rsv, fault::Fault};

const FIN: u8 = 0x80;
const MASK: u8 = 0x80;

/// The first octet of a message in one frame without reserved bits.
pub(crate) const WHOLE_TEXT: u8 = FIN | Opcode::Text.number();
pub(crate) const WHOLE_BINARY: u8 = FIN | Opcode::Binary.number();

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Whether this is the last frame of its message.
    pub fin: bool,
    /// The reserved bits.
    pub rsv: Rsv,
    /// What the frame is.
    pub opcode: Opcode,
    /// The masking key, if the frame is masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of payload that follow.
    pub len: u64,
}

/// Judges a header while it is read: at the first octet that breaks a rule, and no later. By default
/// it accepts what the codec accepts.
pub(crate) trait Judge {
    /// After FIN, the reserved bits and the opcode.
    fn first_octet(&self, _: &FrameHeader) -> Result<(), Fault> {
        Ok(())
    }
    /// After the bit that says whether the frame is masked.
    fn mask_bit(&self, _masked: bool) -> Result<(), Fault> {
        Ok(())
    }
    /// After the length.
    fn length(&self, _: &FrameHeader) -> Result<(), Fault> {
        Ok(())
    }
}

impl Judge for () {}

impl FrameHeader {
    /// The longest header that a server writes.
    pub(crate) const MAX_UNMASKED: usize = 10;

    /// The header of a frame that is sent, not masked yet.
    #[inline]
    pub(crate) fn new(fin: bool, rsv: Rsv, opcode: Opcode, len: usize) -> Self {
        Self { fin, rsv, opcode, mask: None, len: len as u64 }
    }

    /// Reads a header from the front of `input`, and how many bytes it took.
    ///
    /// `None` means that more input is needed. Checks what holds for every frame of either role:
    /// known opcode, shortest form of the length, and the rules for control frames. Masking, the
    /// reserved bits and the order of fragments are the connection's to judge.
    ///
    /// # Errors
    /// The rule that was broken, as soon as the bytes that are there prove it.
    pub fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, Fault> {
        Self::read(input, &())
    }

    /// As [`decode`](Self::decode), if `judge` agrees.
    #[inline]
    pub(crate) fn read(input: &[u8], judge: &impl Judge) -> Result<Option<(Self, usize)>, Fault> {
        let Some(&first) = input.first() else {
            return Ok(None);
        };
        let (fin, rsv, opcode) = first_octet(first)?;
        let mut header = Self { fin, rsv, opcode, mask: None, len: 0 };
        judge.first_octet(&header)?;
        let Some(&second) = input.get(1) else {
            return Ok(None);
        };
        judge.mask_bit(is_masked(second))?;
        if opcode.is_control() && short_length(second) > MAX_CONTROL_PAYLOAD {
            return Err(Fault::ControlTooLong);
        }
        let Some((len, at)) = length(input)? else {
            return Ok(None);
        };
        header.len = len;
        judge.length(&header)?;
        let Some((key, start)) = masking_key(input, second, at) else {
            return Ok(None);
        };
        header.mask = is_masked(second).then_some(key);
        Ok(Some((header, start)))
    }

    /// Appends the header to `output`, with the length in its shortest form.
    pub fn encode(&self, output: &mut Vec<u8>) {
        let (head, len) = Self::octets(self.first_octet(), self.mask.is_some(), self.len);
        // A copy of constant length takes a few instructions; the excess is cut off.
        let end = output.len().saturating_add(len);
        output.extend_from_slice(&head);
        output.truncate(end);
        if let Some(key) = self.mask {
            output.extend_from_slice(&key);
        }
    }

    /// FIN, the reserved bits and the opcode.
    pub(crate) fn first_octet(&self) -> u8 {
        let fin = if self.fin { FIN } else { 0 };
        fin | self.rsv.octet() | self.opcode.number()
    }

    /// The header of a frame of at most 125 bytes that begins with `first`, without a masking key.
    #[inline(always)]
    pub(crate) fn short(first: u8, masked: bool, len: usize) -> [u8; 2] {
        let mask = if masked { MASK } else { 0 };
        [first, mask | len as u8]
    }

    /// The header of a frame that begins with `first`, without a masking key, and how long it is.
    #[inline(always)]
    pub(crate) fn octets(first: u8, masked: bool, len: u64) -> ([u8; Self::MAX_UNMASKED], usize) {
        // RFC 6455 §5.2: "in all cases, the minimal number of bytes MUST be used to encode the length"
        let (second, rest, end) = match len {
            0..=125 => (len as u8, 0, 2),
            126..=0xffff => (126, len << 48, 4),
            _ => (127, len, 10),
        };
        let second = second | if masked { MASK } else { 0 };
        // Taken from one number, so that they are written at once.
        let [a, b, c, d, e, f, g, h] = rest.to_be_bytes();
        ([first, second, a, b, c, d, e, f, g, h], end)
    }

    /// Length of the header itself, from 2 to 14 bytes.
    pub fn encoded_len(&self) -> usize {
        let length = match self.len {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        let key = if self.mask.is_some() { 4_usize } else { 0 };
        key.saturating_add(length)
    }
}

/// FIN, the reserved bits and the opcode.
fn first_octet(octet: u8) -> Result<(bool, Rsv, Opcode), Fault> {
    // RFC 6455 §5.2: "If an unknown opcode is received, the receiving endpoint MUST _Fail the
    // WebSocket Connection_."
    let number = octet & 0x0f;
    let opcode = Opcode::from_number(number).ok_or(Fault::ReservedOpcode(number))?;
    let fin = octet & FIN != 0;
    // RFC 6455 §5.5: control frames "MUST NOT be fragmented".
    if opcode.is_control() && !fin {
        return Err(Fault::FragmentedControl);
    }
    Ok((fin, Rsv::from_octet(octet), opcode))
}

#[inline(always)]
pub(crate) fn is_masked(second: u8) -> bool {
    second & MASK != 0
}

/// The length in the second octet: 126 and 127 say that a longer form follows.
#[inline(always)]
pub(crate) fn short_length(second: u8) -> usize {
    usize::from(second & !MASK)
}

/// The payload length, and where the masking key or the payload starts.
#[inline(always)]
pub(crate) fn length(input: &[u8]) -> Result<Option<(u64, usize)>, Fault> {
    let Some(&second) = input.get(1) else {
        return Ok(None);
    };
    match second & !MASK {
        126 => {
            let Some(octets) = input.get(2..).and_then(<[u8]>::first_chunk) else {
                return Ok(None);
            };
            let len = u64::from(u16::from_be_bytes(*octets));
            if len < 126 { Err(Fault::LengthNotMinimal) } else { Ok(Some((len, 4))) }
        }
        127 => {
            // RFC 6455 §5.2: "the most significant bit MUST be 0"
            if input.get(2).is_some_and(|octet| octet & 0x80 != 0) {
                return Err(Fault::LengthTopBit);
            }
            let Some(octets) = input.get(2..).and_then(<[u8]>::first_chunk) else {
                return Ok(None);
            };
            let len = u64::from_be_bytes(*octets);
            if len <= 0xffff { Err(Fault::LengthNotMinimal) } else { Ok(Some((len, 10))) }
        }
        len => Ok(Some((u64::from(len), 2))),
    }
}

/// The masking key, zeros if the frame has none, and where the payload starts.
#[inline(always)]
pub(crate) fn masking_key(input: &[u8], second: u8, at: usize) -> Option<([u8; 4], usize)> {
    if !is_masked(second) {
        return Some(([0; 4], at));
    }
    let key = input.get(at..).and_then(<[u8]>::first_chunk)?;
    Some((*key, at.saturating_add(4)))
}
