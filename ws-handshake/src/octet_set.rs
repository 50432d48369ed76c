//! Which octets may stand somewhere.

/// A set of octets, looked up in one step: heads have hundreds of them to look up.
pub(crate) struct OctetSet([bool; 256]);

impl OctetSet {
    /// Letters and digits of ASCII, and `others`.
    #[expect(clippy::indexing_slicing, reason = "not in time to run: all sets are constants")]
    pub(crate) const fn alphanumeric_and(others: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut octet = 0;
        while octet < 128_u8 {
            set[octet as usize] = octet.is_ascii_alphanumeric();
            octet += 1;
        }
        let mut at = 0;
        while at < others.len() {
            set[others[at] as usize] = true;
            at += 1;
        }
        Self(set)
    }

    #[inline]
    pub(crate) fn has(&self, octet: u8) -> bool {
        self.0.get(usize::from(octet)).is_some_and(|has| *has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_has_letters_digits_and_what_was_added() {
        static SET: OctetSet = OctetSet::alphanumeric_and(b"-\xff");
        for octet in 0..=255_u8 {
            let expected = octet.is_ascii_alphanumeric() || octet == b'-' || octet == 0xff;
            assert_eq!(SET.has(octet), expected, "{octet}");
        }
    }
}
