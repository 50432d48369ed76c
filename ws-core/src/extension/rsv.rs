//! The three reserved bits of a frame header, and which of them an extension claims.

use core::{fmt, ops::BitOr};

/// A set of the bits RSV1, RSV2 and RSV3 (RFC 6455 §5.2).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rsv(u8);

impl Rsv {
    /// No bit.
    pub const NONE: Self = Self(0);
    /// The bit that permessage-deflate uses.
    pub const RSV1: Self = Self(0x40);
    /// The second reserved bit.
    pub const RSV2: Self = Self(0x20);
    /// The third reserved bit.
    pub const RSV3: Self = Self(0x10);
    /// All three.
    pub const ALL: Self = Self(0x70);

    /// The bits of a frame's first octet.
    pub(crate) const fn from_octet(octet: u8) -> Self {
        Self(octet & 0x70)
    }

    /// The bits as in the first octet of a frame: 0x40 for RSV1, 0x20 and 0x10.
    pub const fn octet(self) -> u8 {
        self.0
    }

    /// Whether no bit is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether every bit of `other` is in the set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits that are in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The bits of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitOr for Rsv {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Display for Rsv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (bit, name) in [(Self::RSV1, "RSV1"), (Self::RSV2, "RSV2"), (Self::RSV3, "RSV3")] {
            if self.contains(bit) {
                write!(f, "{separator}{name}")?;
                separator = "+";
            }
        }
        if self.is_empty() { f.write_str("none") } else { Ok(()) }
    }
}

impl fmt::Debug for Rsv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The bits that an extension uses, and the frames of a marked unit that carry them.
///
/// A unit is marked when all the claimed bits are set; some of them alone are a violation. A claim
/// of no bits is [`RsvClaim::None`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RsvClaim {
    /// Uses no bit: sees every message.
    None,
    /// On the first frame of a message, as permessage-deflate (RFC 7692 §6).
    FirstFrame(Rsv),
    /// On every data frame. With a message scope all frames of a message agree; with
    /// [`Scope::Frame`](super::Scope::Frame) each frame speaks for itself.
    EveryFrame(Rsv),
}

impl RsvClaim {
    /// The claimed bits.
    pub const fn bits(self) -> Rsv {
        match self {
            Self::None => Rsv::NONE,
            Self::FirstFrame(bits) | Self::EveryFrame(bits) => bits,
        }
    }
}
