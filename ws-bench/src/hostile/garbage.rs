//! Octets without meaning.

use super::crowd::{Client, Rhythm, Scene};
use super::wire::Reading;
use crate::json::Random;

/// Octets in a write.
const OCTETS: usize = 4 * 1024;

/// Each fourth client sends them in place of the request, the others in place of frames.
pub(super) async fn garbage(scene: Scene) {
    let act = |client: Client| async move {
        let mut wire =
            if client.index % 4 == 3 { client.connect().await? } else { client.open().await? };
        let mut random = Random::new(client.seed());
        let octets: Vec<u8> = (0..OCTETS / 8).flat_map(|_| random.number().to_be_bytes()).collect();
        wire.flood(&octets).await
    };
    scene.crowd(Reading::All, Rhythm::USUAL, act).await;
}
