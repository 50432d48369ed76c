//! How hard to compress.

/// What was chosen, or else what the length of a message suggests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level(Option<u8>);

/// The longest message that counts as short.
const SHORT: u64 = 4096;

impl Level {
    /// One of 1 to 9.
    pub(crate) const fn new(level: u8) -> Option<Self> {
        match level {
            1..=9 => Some(Self(Some(level))),
            _ => None,
        }
    }

    /// For a message of so many bytes.
    pub(crate) fn of(self, len: Option<u64>) -> u8 {
        // From 7 on zlib-rs looks whether a longer match begins at the next byte. In a short message
        // most of the time goes to what no level spares: priming, and the codes of a block.
        self.0.unwrap_or(if len.is_some_and(|len| len <= SHORT) { 7 } else { 6 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_is_what_was_chosen_or_goes_by_the_length() {
        let usual = Level::default();
        assert_eq!([0, 4096, 4097].map(|len| usual.of(Some(len))), [7, 7, 6]);
        assert_eq!(usual.of(None), 6);
        for level in 0..=u8::MAX {
            let chosen = Level::new(level);
            assert_eq!(chosen.is_some(), (1..=9).contains(&level));
            if let Some(chosen) = chosen {
                assert!([None, Some(1), Some(1 << 20)].iter().all(|&len| chosen.of(len) == level));
            }
        }
    }
}
