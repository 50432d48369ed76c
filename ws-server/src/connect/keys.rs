//! Masking keys.

use ws_core::MaskKeys;

/// Masking keys from the random source of the operating system, fetched in batches.
///
/// RFC 6455 §5.3: "the masking key MUST be derived from a strong source of entropy, and the masking
/// key for a given frame MUST NOT make it simple for a server/proxy to predict the masking key for
/// a subsequent frame."
pub(super) struct Keys {
    pool: [u8; 256],
    used: usize,
}

/// Octets of a key.
const KEY: usize = 4;

impl Keys {
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut keys = Self { pool: [0; 256], used: 0 };
        getrandom::fill(&mut keys.pool)?;
        Ok(keys)
    }
}

impl MaskKeys for Keys {
    /// # Panics
    /// If the operating system stops giving random octets after it gave some. That ends this
    /// connection, whose frames could not be masked, and no other.
    fn next_key(&mut self) -> [u8; KEY] {
        if let Some(key) = self.pool[self.used..].first_chunk() {
            self.used += KEY;
            return *key;
        }
        getrandom::fill(&mut self.pool).expect("the operating system has random octets");
        let mut key = [0; KEY];
        key.copy_from_slice(&self.pool[..KEY]);
        self.used = KEY;
        key
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    // RT-48, R6455C-5.3-b
    #[test]
    fn rt_48_every_key_is_a_fresh_one() {
        let (mut one, mut other) = (Keys::new().unwrap(), Keys::new().unwrap());
        let keys: Vec<[u8; 4]> =
            (0..10_000).flat_map(|_| [one.next_key(), other.next_key()]).collect();
        let distinct = keys.iter().collect::<HashSet<_>>().len();
        // One run in twenty has one pair among 20,000 random keys; none ever has six.
        assert!(distinct > keys.len() - 6, "{distinct} of {}", keys.len());
        // Each bit of each octet is set in about half of the keys.
        for bit in 0..32 {
            let set = keys.iter().filter(|key| u32::from_be_bytes(**key) >> bit & 1 == 1).count();
            assert!((9_000..11_000).contains(&set), "bit {bit} is set in {set} of 20,000");
        }
    }
}
