//! Messages in fragments that carry next to nothing.

use std::io::Result;

use super::crowd::{Client, Rhythm, Scene};
use super::wire::{KEY, Reading};
use crate::frame::push_masked;

/// Binary, and more to come.
const FIRST: u8 = 0x02;
const CONTINUATION: u8 = 0x00;

/// Fragments in a write.
const BATCH: usize = 1024;

pub(super) async fn tiny(scene: Scene) {
    scene.crowd(Reading::All, Rhythm::USUAL, |client| fragments(client, b"x")).await;
}

pub(super) async fn empty(scene: Scene) {
    scene.crowd(Reading::All, Rhythm::USUAL, |client| fragments(client, b"")).await;
}

async fn fragments(client: Client, payload: &'static [u8]) -> Result<()> {
    let mut wire = client.open().await?;
    let (mut first, mut more) = (Vec::new(), Vec::new());
    push_masked(&mut first, FIRST, payload, KEY);
    for _ in 0..BATCH {
        push_masked(&mut more, CONTINUATION, payload, KEY);
    }
    wire.send(&first).await?;
    wire.flood(&more).await
}
