//! `Sec-WebSocket-Key`, and the `Sec-WebSocket-Accept` that answers it.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest, Sha1};

use crate::octet_set::OctetSet;

// RFC 6455 §1.3: "concatenate this with the Globally Unique Identifier (GUID, [RFC4122])
// "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" in string form"
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static BASE64: OctetSet = OctetSet::alphanumeric_and(b"+/");

/// 20 octets in base64.
pub(crate) const ACCEPT: usize = 28;

/// Whether `key` has the form of 16 octets in base64: 22 characters of the alphabet, then `==`.
///
/// The unused bits of the last character may have any value, as in the RFC's own example
/// `AQIDBAUGBwgJCgsMDQ4PEC==` ([RFC 6455 §4.2.1](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.1)).
#[must_use]
pub fn is_valid_key(key: &[u8]) -> bool {
    // RFC 6455 §4.2.1: "a base64-encoded (see Section 4 of [RFC4648]) value that, when decoded,
    // is 16 bytes in length."
    key.len() == 24
        && key
            .strip_suffix(b"==")
            .is_some_and(|letters| letters.iter().all(|&octet| BASE64.has(octet)))
}

/// The value of `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key`, hashed as sent.
///
/// It does not check the key: see [`is_valid_key`]
/// ([RFC 6455 §4.2.2](https://www.rfc-editor.org/rfc/rfc6455#section-4.2.2)).
///
/// ```
/// let accept = ws_handshake::accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
/// assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
#[must_use]
pub fn accept_key(key: &[u8]) -> String {
    accept_octets(key).iter().copied().map(char::from).collect()
}

/// [`accept_key`] without an allocation.
pub(crate) fn accept_octets(key: &[u8]) -> [u8; ACCEPT] {
    // RFC 6455 §4.2.2: "taking the SHA-1 hash of this concatenated value to obtain a 20-byte value
    // and base64-encoding (see Section 4 of [RFC4648]) this 20-byte hash."
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut value = [0; ACCEPT];
    // It has exactly the room.
    STANDARD.encode_slice(hash, &mut value).ok();
    value
}

/// The value of `Sec-WebSocket-Key` for a client's nonce.
pub(crate) fn encode_nonce(nonce: [u8; 16]) -> String {
    STANDARD.encode(nonce)
}
