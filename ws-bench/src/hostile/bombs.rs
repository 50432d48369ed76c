//! Messages that are small until they are inflated.

use std::io::Result;
use std::sync::LazyLock;

use flate2::{Compress, Compression, FlushCompress};

use super::crowd::{Client, Rhythm, Scene};
use super::wire::{KEY, Reading};
use crate::frame::{BINARY, RSV1, push_masked};

/// Just below the largest message that ours takes by default.
const MESSAGE: usize = (1 << 20) - 64;

/// Beyond the largest message of most servers.
const LARGE: usize = 64 << 20;

/// Octets in a fragment.
const FRAGMENT: usize = 16;

/// Without takeover each message may be sent again as it is.
const OFFER: &str = "permessage-deflate; client_no_context_takeover";

const FIN: u8 = 0x80;

/// RFC 7692 §7.2.1: the tail of an empty block, which is not sent.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

pub(super) async fn whole(scene: Scene) {
    static FRAMES: LazyLock<Vec<u8>> = LazyLock::new(|| frames(&zeros(MESSAGE), usize::MAX));
    scene.crowd(Reading::All, Rhythm::USUAL, |client| flood(client, &FRAMES)).await;
}

pub(super) async fn fragmented(scene: Scene) {
    static FRAMES: LazyLock<Vec<u8>> = LazyLock::new(|| frames(&zeros(MESSAGE), FRAGMENT));
    scene.crowd(Reading::All, Rhythm::USUAL, |client| flood(client, &FRAMES)).await;
}

pub(super) async fn large(scene: Scene) {
    static FRAMES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        // Nothing refers back beyond the tail, so that the same octets may follow.
        let payload = [&zeros(MESSAGE)[..], &TAIL].concat().repeat(LARGE / MESSAGE);
        frames(&payload[..payload.len() - TAIL.len()], usize::MAX)
    });
    scene.crowd(Reading::All, Rhythm::USUAL, |client| flood(client, &FRAMES)).await;
}

async fn flood(client: Client, frames: &'static LazyLock<Vec<u8>>) -> Result<()> {
    client.open_with(Some(OFFER)).await?.flood(frames).await
}

/// A message with this compressed payload, in frames of at most `fragment` octets.
fn frames(payload: &[u8], fragment: usize) -> Vec<u8> {
    let mut frames = Vec::new();
    let count = payload.chunks(fragment).len();
    for (at, part) in payload.chunks(fragment).enumerate() {
        let first = if at == 0 { (BINARY & !FIN) | RSV1 } else { 0 };
        let fin = if at + 1 == count { FIN } else { 0 };
        push_masked(&mut frames, first | fin, part, KEY);
    }
    frames
}

/// Zeros, compressed without the tail.
fn zeros(inflated: usize) -> Vec<u8> {
    let mut compress = Compress::new(Compression::best(), false);
    let mut payload = Vec::with_capacity(inflated / 500 + 256);
    let zeros = vec![0; inflated];
    compress
        .compress_vec(&zeros, &mut payload, FlushCompress::Sync)
        .expect("a stream that begins anew");
    payload.truncate(payload.len() - TAIL.len());
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bomb_is_a_thousandth_of_what_it_inflates_to() {
        let zeros = zeros(MESSAGE);
        assert!((900..1200).contains(&zeros.len()), "{}", zeros.len());
        let mut out = Vec::with_capacity(MESSAGE + 64);
        let mut inflate = flate2::Decompress::new(false);
        let flush = flate2::FlushDecompress::Sync;
        inflate.decompress_vec(&zeros, &mut out, flush).expect("it inflates");
        assert_eq!(out, vec![0; MESSAGE]);
    }

    #[test]
    fn fragments_begin_once_and_end_once() {
        let frames = frames(&zeros(100_000), FRAGMENT);
        assert_eq!(frames[0], 0x42);
        let firsts: Vec<u8> = frames.chunks(6 + FRAGMENT).map(|frame| frame[0]).collect();
        assert!(firsts[1..firsts.len() - 1].iter().all(|first| *first == 0), "{firsts:x?}");
        assert_eq!(firsts.last(), Some(&FIN));
    }
}
