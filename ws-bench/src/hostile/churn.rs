//! Connections that come and go.

use std::time::Duration;

use super::crowd::{Client, Rhythm, Scene};
use super::wire::Reading;

/// Each opens and resets as fast as it can.
pub(super) async fn churn(scene: Scene) {
    let act = |client: Client| async move { client.open().await?.reset() };
    scene.crowd(Reading::All, Rhythm::RUSH, act).await;
}

/// All at once, and again, as after a restart of the server.
pub(super) async fn storm(scene: Scene) {
    let act = |client: Client| async move {
        let wire = client.open().await?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        wire.reset()
    };
    scene.crowd(Reading::All, Rhythm::RUSH, act).await;
}
