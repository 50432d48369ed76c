//! Frames, one per message, for both directions.
//!
//! They are built by hand here, so that the frames of a benchmark do not come from the code that it
//! measures.

use ws_core::apply_mask;

/// The first octet of a text message in one frame.
pub const TEXT: u8 = 0x81;
/// The first octet of a binary message in one frame.
pub const BINARY: u8 = 0x82;
/// The first octet of a Close.
pub const CLOSE: u8 = 0x88;
/// RSV1 in the first octet: the message is compressed.
pub const RSV1: u8 = 0x40;

/// Appends a client's frame, masked, which begins with the octet `first`.
pub fn push_masked(out: &mut Vec<u8>, first: u8, payload: &[u8], key: [u8; 4]) {
    push_masked_start(out, first, payload.len(), payload, key);
}

/// Appends the header of a client's frame that announces `len` octets, and the `payload` that it
/// begins with.
pub fn push_masked_start(out: &mut Vec<u8>, first: u8, len: usize, payload: &[u8], key: [u8; 4]) {
    push_header(out, first, len, 0x80);
    out.extend_from_slice(&key);
    let start = out.len();
    out.extend_from_slice(payload);
    apply_mask(&mut out[start..], key, 0);
}

/// Appends a server's frame, unmasked.
pub fn push_unmasked(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    push_header(out, first, payload.len(), 0);
    out.extend_from_slice(payload);
}

/// RFC 6455 §5.2: the first octet, the mask bit, and the shortest form of the length.
fn push_header(out: &mut Vec<u8>, first: u8, len: usize, mask: u8) {
    out.push(first);
    match len {
        0..=125 => out.push(mask | len as u8),
        126..=0xffff => {
            out.push(mask | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            out.push(mask | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

/// The first octet of the server's frame at the front of `octets`, the length of its header and of
/// its payload; `None` if the header is incomplete.
pub fn unmasked_header(octets: &[u8]) -> Option<(u8, usize, usize)> {
    let (&first, rest) = octets.split_first()?;
    let (&len, rest) = rest.split_first()?;
    Some(match len {
        126 => (first, 4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127.. => (first, 10, u64::from_be_bytes(*rest.first_chunk()?) as usize),
        len => (first, 2, usize::from(len)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_of_the_rfc_is_framed_masked_and_not() {
        let (mut masked, mut unmasked) = (Vec::new(), Vec::new());
        push_masked(&mut masked, TEXT, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        push_unmasked(&mut unmasked, TEXT, b"Hello");
        let octets = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(masked, octets);
        assert_eq!(unmasked, *b"\x81\x05Hello");
    }

    #[test]
    fn longer_payloads_take_the_longer_lengths() {
        let head = |len: usize| {
            let mut out = Vec::new();
            push_unmasked(&mut out, BINARY, &vec![0; len]);
            let header = unmasked_header(&out).expect("a header");
            assert_eq!((header.0, header.1 + header.2, header.2), (BINARY, out.len(), len));
            assert_eq!(unmasked_header(&out[..header.1 - 1]), None);
            out.truncate(10);
            out
        };
        assert_eq!(head(125)[..2], [0x82, 125]);
        assert_eq!(head(126)[..4], [0x82, 126, 0, 126]);
        assert_eq!(head(65_535)[..4], [0x82, 126, 0xff, 0xff]);
        assert_eq!(head(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
