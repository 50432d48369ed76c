//! What compressed messages hold, by RFC 7692 §7.2.2 and two inflaters that do not share a line: zlib-rs,
//! which is the one of permessage-deflate, and miniz_oxide.

use flate2::{Decompress, FlushDecompress, Status};
use miniz_oxide::inflate::{
    TINFLStatus,
    core::{
        DecompressorOxide, decompress,
        inflate_flags::{
            TINFL_FLAG_HAS_MORE_INPUT as MORE_INPUT,
            TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF as WHOLE_OUTPUT,
        },
    },
};

use crate::is_shown;

/// More is not looked at.
const MOST: usize = 8 << 20;

pub(super) struct Expected {
    /// All of it, or what comes before the corruption.
    pub(super) plain: Vec<u8>,
    pub(super) corrupt: bool,
    /// Where in `plain` the last final block ended, if there was one: nothing refers back beyond it.
    since: Option<usize>,
}

/// One inflater per message, primed with what a window of the agreed size still holds. After a final
/// block everything is forgotten.
pub(super) struct Oracle {
    window: usize,
    history: Vec<u8>,
}

impl Oracle {
    pub(super) fn new(window: usize) -> Self {
        Self { window, history: Vec::new() }
    }

    pub(super) fn message(&mut self, packed: &[u8]) -> Expected {
        // RFC 7692 §7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the
        // message."
        let input = [packed, &[0, 0, 0xff, 0xff]].concat();
        let expected = by_zlib(&self.history, &input);
        let other = by_miniz(&self.history, &input);
        if is_shown() {
            let history = self.history.len();
            eprintln!(
                "after {history}: {input:02x?}: corrupt {} {}",
                expected.corrupt, other.corrupt
            );
        }
        // What is damaged may be taken by one and refused by the other; what both take is the same.
        assert!(
            expected.corrupt || other.corrupt || expected.plain == other.plain,
            "the inflaters disagree"
        );
        if !expected.corrupt {
            if expected.since.is_some() {
                self.history.clear();
            }
            self.history.extend_from_slice(&expected.plain[expected.since.unwrap_or(0)..]);
            let gone = self.history.len().saturating_sub(self.window);
            self.history.drain(..gone);
        }
        expected
    }
}

fn by_zlib(history: &[u8], input: &[u8]) -> Expected {
    let mut inflater = Decompress::new(false);
    if !history.is_empty() {
        inflater.set_dictionary(history).unwrap();
    }
    let mut plain = Vec::new();
    // Where the stream that is read now begins, in `input` and in `plain`.
    let (mut begin, mut since) = (0, None);
    loop {
        let at = begin + inflater.total_in() as usize;
        plain.reserve(64 * 1024);
        let (room, before) = (plain.capacity() - plain.len(), plain.len());
        let status = inflater.decompress_vec(&input[at..], &mut plain, FlushDecompress::None);
        let at = begin + inflater.total_in() as usize;
        match status {
            Err(_) => return Expected { plain, corrupt: true, since },
            Ok(Status::StreamEnd) => {
                inflater = Decompress::new(false);
                (begin, since) = (at, Some(plain.len()));
                if at == input.len() {
                    break;
                }
            }
            Ok(_) if at == input.len() && plain.len() - before < room => break,
            Ok(_) => {}
        }
        if plain.len() > MOST {
            break;
        }
    }
    Expected { plain, corrupt: false, since }
}

fn by_miniz(history: &[u8], input: &[u8]) -> Expected {
    let (mut inflater, mut at, mut plain, mut since) =
        (DecompressorOxide::new(), 0, Vec::new(), None);
    // What the stream that is read now may refer back to, and how far it is filled.
    let (mut output, mut filled) = (history.to_vec(), history.len());
    let mut begin = filled;
    let corrupt = loop {
        output.resize(filled + 64 * 1024, 0);
        let (status, taken, made) =
            decompress(&mut inflater, &input[at..], &mut output, filled, MORE_INPUT | WHOLE_OUTPUT);
        (at, filled) = (at + taken, filled + made);
        match status {
            TINFLStatus::Done => {
                plain.extend_from_slice(&output[begin..filled]);
                since = Some(plain.len());
                (inflater, filled, begin) = (DecompressorOxide::new(), 0, 0);
                output.clear();
                if at == input.len() {
                    break false;
                }
            }
            TINFLStatus::NeedsMoreInput => break false,
            TINFLStatus::HasMoreOutput if filled > MOST => break false,
            TINFLStatus::HasMoreOutput => {}
            _ => break true,
        }
    };
    plain.extend_from_slice(&output[begin..filled]);
    Expected { plain, corrupt, since }
}
