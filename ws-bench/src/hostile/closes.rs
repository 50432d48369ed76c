//! Clients that leave the server waiting for the end of a connection that it has closed.

use std::collections::VecDeque;
use std::time::Duration;

use super::crowd::{Client, Rhythm, Scene};
use super::wire::{KEY, Reading};
use crate::frame::push_masked;

/// RFC 6455 §5.2: an opcode that is reserved, so that the server fails the connection.
const RESERVED: u8 = 0x83;

/// Sockets that each client leaves open.
const KEPT: usize = 16;

pub(super) async fn unanswered(scene: Scene) {
    let act = |client: Client| async move {
        let mut kept = VecDeque::with_capacity(KEPT);
        loop {
            let mut wire = client.open().await?;
            let mut frame = Vec::new();
            push_masked(&mut frame, RESERVED, b"", KEY);
            wire.send(&frame).await?;
            kept.push_back(wire);
            if kept.len() == KEPT {
                kept.pop_front();
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    scene.crowd(Reading::Nothing, Rhythm::USUAL, act).await;
}
