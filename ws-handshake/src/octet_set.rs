//! Sets of octets, for character classes.

/// A set of octets with a lookup in one step: a head needs hundreds of them.
pub(crate) struct OctetSet([bool; 256]);

impl OctetSet {
    /// ASCII letters and digits, and `others`.
    #[expect(
        clippy::indexing_slicing,
        reason = "evaluated at compile time: all sets are constants"
    )]
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
