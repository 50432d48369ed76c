//! Clients of an echo that do not read their replies, or too few of them.

use std::io::Result;

use super::crowd::{Client, Rhythm, Scene};
use super::wire::{KEY, Reading};
use crate::frame::{BINARY, push_masked};

const MESSAGE: usize = 16 * 1024;

/// Octets a second: just above the slowest rate that ours bears.
const SLOWLY: usize = 2 * 1024;

pub(super) async fn never(scene: Scene) {
    scene.crowd(Reading::Nothing, Rhythm::USUAL, flood).await;
}

pub(super) async fn slowly(scene: Scene) {
    scene.crowd(Reading::Slowly(SLOWLY), Rhythm::USUAL, flood).await;
}

async fn flood(client: Client) -> Result<()> {
    let mut wire = client.open().await?;
    let mut message = Vec::new();
    push_masked(&mut message, BINARY, &[7; MESSAGE], KEY);
    wire.flood(&message).await
}
