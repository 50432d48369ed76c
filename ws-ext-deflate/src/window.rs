//! The size of an LZ77 sliding window.

use ws_core::extension::{NegotiationError, Param};

/// A window of 2^8 to 2^15 bytes (RFC 7692 §7.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Window(u8);

impl Window {
    pub(crate) const MAX: Self = Self(15);
    /// The default.
    pub(crate) const PROPOSED: Self = Self(12);

    /// Of 8 to 15 bits: the nearest to `bits`.
    pub(crate) fn nearest(bits: u8) -> Self {
        Self(bits.clamp(8, 15))
    }

    /// As in a header: "a decimal integer value without leading zeroes between 8 to 15, inclusive"
    /// (RFC 7692 §7.1.2.1).
    pub(crate) fn of(param: &Param) -> Result<Self, NegotiationError> {
        param.number(8..=15).map(Self)
    }

    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// The window of a deflater whose output stays within this one.
    ///
    /// zlib cannot produce raw DEFLATE with RFC 7692's 8-bit window, and flate2 panics. With 9 bits it
    /// looks back 250 bytes at most, which is within the 256 of 8 bits: every strategy of zlib stays 262
    /// bytes (`MIN_LOOKAHEAD`) away from the far end of its window. In zlib-rs 0.6 that is
    /// `State::max_dist`, to which quick, fast, medium and slow compare each distance; the others use
    /// no distances, or 1. `tests/narrow.rs` checks it.
    pub(crate) fn of_deflater(self) -> Self {
        self.max(Self(9))
    }

    pub(crate) const fn size(self) -> usize {
        1 << self.0
    }
}
