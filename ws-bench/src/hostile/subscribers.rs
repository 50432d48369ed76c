//! Clients that do not read what is sent to all.

use std::io::Result;
use std::time::Duration;

use super::crowd::{Client, Rhythm, Scene};
use super::wire::{KEY, PONG, Reading};
use crate::frame::{BINARY, push_masked};

const MESSAGE: usize = 4 * 1024;

/// The pause between two messages.
const PAUSE: Duration = Duration::from_millis(2);

/// The first client publishes and reads; the others subscribe and do not read.
pub(super) async fn unread(scene: Scene) {
    scene.crowd(Reading::Nothing, Rhythm::USUAL, act).await;
}

async fn act(client: Client) -> Result<()> {
    let mut octets = Vec::new();
    if client.index > 0 {
        // A write fails when the server has ended the connection, which a client that does not read
        // would not notice otherwise.
        push_masked(&mut octets, PONG, b"", KEY);
        let pongs = std::iter::repeat(&octets[..]);
        return client.open().await?.pace(pongs, Duration::from_secs(1)).await;
    }
    push_masked(&mut octets, BINARY, &[7; MESSAGE], KEY);
    let messages = std::iter::repeat(&octets[..]);
    client.open_to_read(Reading::All).await?.pace(messages, PAUSE).await
}
