//! Pings as fast as they go.

use std::io::Result;

use super::crowd::{Client, Rhythm, Scene};
use super::wire::{KEY, Reading};
use crate::frame::push_masked;

const PING: u8 = 0x89;

/// Pings in a write.
const BATCH: usize = 1024;

pub(super) async fn read(scene: Scene) {
    scene.crowd(Reading::All, Rhythm::USUAL, flood).await;
}

pub(super) async fn unread(scene: Scene) {
    scene.crowd(Reading::Nothing, Rhythm::USUAL, flood).await;
}

async fn flood(client: Client) -> Result<()> {
    let mut wire = client.open().await?;
    let mut pings = Vec::new();
    for _ in 0..BATCH {
        push_masked(&mut pings, PING, b"", KEY);
    }
    wire.flood(&pings).await
}
