//! Connections that do nothing, and answer Pings so that they may stay.

use super::crowd::{Client, Rhythm, Scene};
use super::wire::Reading;

pub(super) async fn idle(scene: Scene) {
    scene
        .crowd(Reading::All, Rhythm::USUAL, async |client: Client| {
            client.open().await?.rest().await
        })
        .await;
}
