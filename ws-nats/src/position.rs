//! A place in the order of a stored topic.

use std::{fmt, str::FromStr};

/// A place in the order of a stored topic: that of one message, or the place from which on a
/// subscriber gets everything.
///
/// A client keeps the last one that it got, as the text that [`Display`](fmt::Display) writes, and
/// gives it back when it reconnects. What the text means is up to this crate: `epoch.sequence.time`
/// by now. Do not compare texts: one place can be written with two times, that of a message and that of
/// joining after it.
///
/// ```
/// # use ws_nats::Position;
/// let position: Position = "1f3a.42.1764510000000".parse()?;
/// assert_eq!(position.to_string(), "1f3a.42.1764510000000");
/// # Ok::<(), ws_nats::InvalidPosition>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the stream, with the limits that can lose messages: sequences of two epochs do not
    /// compare.
    pub(crate) epoch: u64,
    /// The message's sequence in the stream; 0 before the first.
    pub(crate) sequence: u64,
    /// When the stream took that message, in milliseconds since 1970; 0 if unknown.
    pub(crate) time: u64,
}

/// A text that is no [`Position`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no position: give back the text of one, as it was")]
pub struct InvalidPosition;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}.{}", self.epoch, self.sequence, self.time)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    /// Takes only what `Display` writes: a position has one text.
    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let mut parts = text.splitn(3, '.');
        let mut next = || parts.next().ok_or(InvalidPosition);
        let epoch = u64::from_str_radix(next()?, 16).map_err(|_| InvalidPosition)?;
        let mut decimal = || next()?.parse().map_err(|_| InvalidPosition);
        let position = Self { epoch, sequence: decimal()?, time: decimal()? };
        // Not a sign, a leading zero or a capital.
        if position.to_string() == text { Ok(position) } else { Err(InvalidPosition) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn position_is_read_back(epoch: u64, sequence: u64, time: u64) {
            let position = Position { epoch, sequence, time };
            prop_assert_eq!(position.to_string().parse(), Ok(position));
        }

        #[test]
        fn whatever_is_read_has_that_text(text in "[0-9a-fA-F+.]{0,24}") {
            if let Ok(position) = text.parse::<Position>() {
                prop_assert_eq!(position.to_string(), text);
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let largest = u64::MAX.to_string();
        for text in [
            "",
            ".",
            "..",
            "1",
            "1.2",
            "1.2.",
            "1.2.3.4",
            "+1.2.3",
            "1.+2.3",
            "01.2.3",
            "A.2.3",
            " 1.2.3",
            "1.2.3\n",
            "g.2.3",
            "1.-2.3",
            "1.2.18446744073709551616",
            "10000000000000000.0.0",
        ] {
            assert_eq!(text.parse::<Position>(), Err(InvalidPosition), "{text:?}");
        }
        assert!(format!("ffffffffffffffff.{largest}.{largest}").parse::<Position>().is_ok());
    }
}
