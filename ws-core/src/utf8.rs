//! UTF-8 validation of bytes as they arrive (RFC 6455 §8.1).
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

use core::str;

/// From this length on, the vectorised check is faster.
const SIMD_FROM: usize = 128;

/// Whether `data` is valid UTF-8 as a whole.
pub(crate) fn is_valid(data: &[u8]) -> bool {
    if data.len() < SIMD_FROM {
        str::from_utf8(data).is_ok()
    } else {
        simdutf8::basic::from_utf8(data).is_ok()
    }
}

/// Checks UTF-8 as it comes: the input may be cut anywhere, even inside of a code point. For callers
/// who want to know of invalid text before [`send_chunk`](crate::Connection::send_chunk) refuses it.
///
/// ```
/// # use ws_core::Utf8Validator;
/// let mut utf8 = Utf8Validator::default();
/// assert!(utf8.feed(b"\xe2\x82") && !utf8.is_complete());
/// assert!(utf8.feed(b"\xac") && utf8.is_complete());
/// assert!(!utf8.feed(b"\xff"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Utf8Validator {
    /// The octets of an incomplete code point.
    pending: [u8; 4],
    len: usize,
}

impl Utf8Validator {
    /// Takes more data. Returns `false` at the first octet that cannot become valid: the text is invalid,
    /// whatever follows.
    #[must_use]
    pub fn feed(&mut self, mut data: &[u8]) -> bool {
        while self.len > 0
            && let Some((&octet, rest)) = data.split_first()
        {
            let Some(slot) = self.pending.get_mut(self.len) else {
                return false;
            };
            *slot = octet;
            self.len = self.len.saturating_add(1);
            data = rest;
            match str::from_utf8(self.pending.get(..self.len).unwrap_or_default()) {
                Ok(_) => self.len = 0,
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        let incomplete_from = if data.len() < SIMD_FROM {
            match str::from_utf8(data) {
                Ok(_) => return true,
                Err(error) if error.error_len().is_some() => return false,
                Err(error) => error.valid_up_to(),
            }
        } else {
            match simdutf8::compat::from_utf8(data) {
                Ok(_) => return true,
                Err(error) if error.error_len().is_some() => return false,
                Err(error) => error.valid_up_to(),
            }
        };
        let tail = data.get(incomplete_from..).unwrap_or_default();
        self.len = tail.len();
        for (slot, &octet) in self.pending.iter_mut().zip(tail) {
            *slot = octet;
        }
        true
    }

    /// Whether the text may end here, and not inside of a code point.
    pub fn is_complete(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Utf8Validator, is_valid};
    use alloc::{vec, vec::Vec};
    use proptest::prelude::*;

    fn octets_until_refused(data: &[u8]) -> Option<usize> {
        let mut validator = Utf8Validator::default();
        data.iter().position(|octet| !validator.feed(&[*octet])).map(|i| i + 1)
    }

    // R6455-8.1-b
    #[test]
    fn refuses_at_the_first_octet_that_cannot_become_valid() {
        assert_eq!(octets_until_refused(b"\xf4\x90\x80\x80"), Some(2), "above U+10FFFF");
        assert_eq!(octets_until_refused(b"a\xed\xa0\x80"), Some(3), "surrogate");
        assert_eq!(octets_until_refused(b"\xe0\x80\x80"), Some(2), "overlong");
        assert_eq!(octets_until_refused(b"\xc0\x80"), Some(1), "overlong");
        assert_eq!(octets_until_refused(b"\x80"), Some(1), "lone continuation");
        assert_eq!(octets_until_refused(b"\xfe"), Some(1));
        assert_eq!(octets_until_refused(b"\xff"), Some(1));
        assert_eq!(octets_until_refused("€𝄞\u{fffe}\0\u{feff}".as_bytes()), None);
    }

    proptest! {
        // R6455-5.6-a, R6455-8.1-a
        #[test]
        fn cuts_do_not_change_the_verdict(
            text in ".{0,80}",
            repeat in 1usize..8,
            flip in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let mut data = text.repeat(repeat).into_bytes();
            if let (Some((at, octet)), false) = (flip, data.is_empty()) {
                let at = at.index(data.len());
                data[at] = octet;
            }
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
            at.sort_unstable();
            let mut validator = Utf8Validator::default();
            let (mut ok, mut from) = (true, 0);
            for to in at.into_iter().chain(vec![data.len()]) {
                ok = ok && validator.feed(&data[from..to]);
                from = to;
            }
            prop_assert_eq!(ok && validator.is_complete(), core::str::from_utf8(&data).is_ok());
            prop_assert_eq!(is_valid(&data), core::str::from_utf8(&data).is_ok());
        }
    }
}
