//! Small messages as fast as they go.

use super::crowd::{Client, Rhythm, Scene};
use super::wire::{KEY, Reading};
use crate::frame::{BINARY, push_masked};

/// Messages in a write.
const BATCH: usize = 1024;

pub(super) async fn small(scene: Scene) {
    let act = |client: Client| async move {
        let mut wire = client.open().await?;
        let mut messages = Vec::new();
        for _ in 0..BATCH {
            push_masked(&mut messages, BINARY, b"x", KEY);
        }
        wire.flood(&messages).await
    };
    scene.crowd(Reading::All, Rhythm::USUAL, act).await;
}
