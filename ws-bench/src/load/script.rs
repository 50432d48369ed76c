//! Compressed JSON for a connection, prepared before the measurement.

use flate2::{Compress, Compression, FlushCompress};

use super::Failure;
use crate::frame::{RSV1, TEXT, push_masked};
use crate::json::{Random, document};

/// The size of a ring of documents: twice the largest window, so that no document is still in the
/// window when it is repeated.
const ROUND: usize = 64 * 1024;

/// RFC 7692 §7.2.1: the tail of an empty block, which is not sent.
pub(super) const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The agreed parameters that a client must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Agreed {
    /// Whether the client may refer to its earlier messages.
    pub(super) client_takeover: bool,
    /// The window of the client, 9 to 15.
    pub(super) client_bits: u8,
    /// Whether the server may refer to its earlier messages.
    pub(super) server_takeover: bool,
}

impl Agreed {
    /// Reads the server's `Sec-WebSocket-Extensions`.
    pub(super) fn parse(header: Option<&str>) -> Result<Self, Failure> {
        let header = header.unwrap_or_default();
        let mut words = header.split(';').map(str::trim);
        if words.next() != Some("permessage-deflate") {
            return Err(Failure::new(format!("the answer {header:?} has no permessage-deflate")));
        }
        let mut agreed = Self { client_takeover: true, client_bits: 15, server_takeover: true };
        for word in words {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match (name, value.trim_matches('"').parse()) {
                ("client_no_context_takeover", _) => agreed.client_takeover = false,
                ("server_no_context_takeover", _) => agreed.server_takeover = false,
                ("client_max_window_bits", Ok(bits @ 9..=15)) => agreed.client_bits = bits,
                ("server_max_window_bits", Ok(8..=15)) => {}
                _ => {
                    return Err(Failure::new(format!(
                        "unexpected {word:?} in the answer {header:?}"
                    )));
                }
            }
        }
        Ok(agreed)
    }
}

/// A ring of documents, each in one compressed frame. None refers back beyond the first one, so
/// that the ring can be repeated, even with takeover.
pub(super) struct Script {
    frames: Vec<u8>,
    /// The ends of the frames.
    ends: Vec<usize>,
    pub(super) documents: Vec<String>,
}

impl Script {
    pub(super) fn new(seed: u64, size: usize, agreed: Agreed) -> Self {
        let mut random = Random::new(seed);
        let documents: Vec<String> =
            (0..(ROUND / size).max(4)).map(|_| document(&mut random, size)).collect();
        let level = Compression::new(6);
        let mut compress = Compress::new_with_window_bits(level, false, agreed.client_bits);
        let (mut frames, mut ends) = (Vec::new(), Vec::new());
        for document in &documents {
            // Twice the size always suffices: incompressible octets grow by less than 1 %.
            let mut payload = Vec::with_capacity(2 * size + 64);
            compress
                .compress_vec(document.as_bytes(), &mut payload, FlushCompress::Sync)
                .expect("a stream that begins anew");
            payload.truncate(payload.len() - TAIL.len());
            let key = (random.number() as u32).to_be_bytes();
            push_masked(&mut frames, TEXT | RSV1, &payload, key);
            ends.push(frames.len());
            if !agreed.client_takeover {
                compress.reset();
            }
        }
        Self { frames, ends, documents }
    }

    pub(super) fn len(&self) -> usize {
        self.documents.len()
    }

    /// The frame of the document at `index`.
    pub(super) fn frame(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.frames[start..self.ends[index]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let all = Agreed { client_takeover: true, client_bits: 15, server_takeover: true };
        assert_eq!(Agreed::parse(Some("permessage-deflate")).expect("an answer"), all);
        let header = "permessage-deflate; client_max_window_bits=12; server_max_window_bits=12; \
                      server_no_context_takeover; client_no_context_takeover";
        let agreed = Agreed { client_takeover: false, client_bits: 12, server_takeover: false };
        assert_eq!(Agreed::parse(Some(header)).expect("an answer"), agreed);
        for header in [None, Some("x-other"), Some("permessage-deflate; client_max_window_bits=8")]
        {
            assert!(Agreed::parse(header).is_err(), "{header:?}");
        }
    }

    #[test]
    fn takeover_makes_frames_smaller_and_documents_differ() {
        let agreed = Agreed { client_takeover: true, client_bits: 15, server_takeover: true };
        let with = Script::new(1, 1024, agreed);
        let without = Script::new(1, 1024, Agreed { client_takeover: false, ..agreed });
        let last = with.len() - 1;
        assert_eq!(last, 63);
        assert!(with.frame(last).len() < without.frame(last).len());
        assert_ne!(with.documents[0], Script::new(2, 1024, agreed).documents[0]);
    }
}
