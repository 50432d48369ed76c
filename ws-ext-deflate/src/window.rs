//! The size of an LZ77 sliding window.

use ws_core::extension::{NegotiationError, Param};

/// A window of 2^8 to 2^15 bytes (RFC 7692 §7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Window(u8);

impl Window {
    pub(crate) const MAX: Self = Self(15);
    /// What is proposed unless something else is asked for.
    pub(crate) const PROPOSED: Self = Self(12);

    /// From a number of bits, which has to be one of 8 to 15.
    pub(crate) const fn new(bits: u8) -> Option<Self> {
        match bits {
            8..=15 => Some(Self(bits)),
            _ => None,
        }
    }

    /// As in a header: "a decimal integer value without leading zeroes between 8 to 15, inclusive"
    /// (RFC 7692 §7.1.2.1).
    pub(crate) fn of(param: &Param) -> Result<Self, NegotiationError> {
        param.number(8..=15).map(Self)
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// The window of a deflater that keeps to this one.
    ///
    /// zlib refuses to write raw DEFLATE with 8 bits, and flate2 panics. With 9 it looks back 250
    /// bytes at most, which is within the 256 of 8 bits: every strategy of zlib stays 262 bytes
    /// (`MIN_LOOKAHEAD`) away from the far end of its window. In zlib-rs 0.6 that is
    /// `State::max_dist`, to which quick, fast, medium and slow compare each distance; the others
    /// have none, or 1. `tests/narrow.rs` holds it to that.
    pub(crate) fn of_deflater(self) -> Self {
        self.max(Self(9))
    }

    pub(crate) const fn size(self) -> usize {
        1 << self.0
    }
}
