//! Messages that are begun and not ended: the server holds what came of them.

use std::io::Result;
use std::time::Duration;

use super::crowd::{Client, Rhythm, Scene};
use super::wire::{KEY, Reading};
use crate::frame::{BINARY, push_masked_start};

/// Just below the largest message that ours takes by default.
const LARGE: usize = (1 << 20) - 64;

/// Of a large message, what trickles.
const TAIL: usize = 4 * 1024;

const SMALL: usize = 16 * 1024;

/// The pause before each octet: fewer would be taken for a connection that stopped.
const PAUSE: Duration = Duration::from_secs(1);

/// All of a large message but its end.
pub(super) async fn unfinished(scene: Scene) {
    scene.crowd(Reading::All, Rhythm::USUAL, |client| hold(client, LARGE, LARGE - TAIL)).await;
}

/// The header of a large message and its first octet.
pub(super) async fn announced(scene: Scene) {
    scene.crowd(Reading::All, Rhythm::USUAL, |client| hold(client, LARGE, 1)).await;
}

/// Half of a small message.
pub(super) async fn small(scene: Scene) {
    scene.crowd(Reading::All, Rhythm::USUAL, |client| hold(client, 2 * SMALL, SMALL)).await;
}

/// Announces a message of `len` octets, sends `now` of them at once, and then one a second.
async fn hold(client: Client, len: usize, now: usize) -> Result<()> {
    let mut wire = client.open().await?;
    let mut start = Vec::new();
    push_masked_start(&mut start, BINARY, len, &vec![7; now], KEY);
    wire.send(&start).await?;
    drop(start);
    // The last octet is never sent.
    let rest = std::iter::repeat_n(&b"x"[..], len - now - 1);
    wire.pace(rest, PAUSE).await
}
