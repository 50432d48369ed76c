//! How hard to compress.

/// The level that was set, or else one by the length of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Level(Option<u8>);

/// The longest message that counts as short.
const SHORT: u64 = 4096;

impl Level {
    /// One of 1 to 9: the nearest to `level`.
    pub(crate) fn nearest(level: u8) -> Self {
        Self(Some(level.clamp(1, 9)))
    }

    /// The level for a message of so many bytes.
    pub(crate) fn of(self, len: Option<u64>) -> u8 {
        // From 7 on zlib-rs looks for a longer match at the next byte. Most of the time of a short
        // message goes to what every level has to do: priming, and the codes of a block.
        self.0.unwrap_or(if len.is_some_and(|len| len <= SHORT) { 7 } else { 6 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_is_the_one_set_or_goes_by_the_length() {
        let usual = Level::default();
        assert_eq!([0, 4096, 4097].map(|len| usual.of(Some(len))), [7, 7, 6]);
        assert_eq!(usual.of(None), 6);
        for level in 0..=u8::MAX {
            let set = Level::nearest(level);
            for len in [None, Some(1), Some(1 << 20)] {
                assert_eq!(set.of(len), level.clamp(1, 9));
            }
        }
    }
}
