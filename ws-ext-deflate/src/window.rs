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

    /// Whether zlib can compress with it: it cannot write raw DEFLATE with 8 bits, and flate2
    /// panics when asked to.
    pub(crate) const fn compresses(self) -> bool {
        self.0 >= 9
    }

    pub(crate) const fn size(self) -> usize {
        1 << self.0
    }
}
