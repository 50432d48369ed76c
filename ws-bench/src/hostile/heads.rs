//! Requests that never end.

use std::time::Duration;

use super::crowd::{Client, Rhythm, Scene};
use super::wire::{Reading, request};

/// An octet now and then. The request lacks its last line.
pub(super) async fn slow(scene: Scene) {
    let act = |client: Client| async move {
        let head = request(client.target(), None);
        let head = &head.as_bytes()[..head.len() - 2];
        client.connect().await?.pace(head.chunks(1), Duration::from_millis(200)).await
    };
    scene.crowd(Reading::All, Rhythm::USUAL, act).await;
}

/// Headers of 1 KiB as fast as they go.
pub(super) async fn large(scene: Scene) {
    let act = |client: Client| async move {
        let mut wire = client.connect().await?;
        let head = request(client.target(), None);
        wire.send(&head.as_bytes()[..head.len() - 2]).await?;
        wire.flood(format!("X-Padding: {}\r\n", "x".repeat(1000)).as_bytes()).await
    };
    scene.crowd(Reading::All, Rhythm::USUAL, act).await;
}
