//! Messages in pieces.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};
use ws_server::{MessageKind, WebSocket};

use crate::{
    content::{self, Hash},
    life::{Gone, Life, PATIENCE, told},
};

/// Large messages, of which the server tells length and hash.
pub(crate) async fn upload(mut life: Life) -> Result<(), Gone> {
    let mut ws = life.open("/upload").await?;
    while !life.is_over() {
        let size = content::size(&mut life.random, 64 * 1024, 2 << 20);
        let content = content::octets(&mut life.random, size);
        send_pieces(&mut life, &mut ws, content, Duration::ZERO).await?;
        life.pause(3000).await;
    }
    life.close(ws).await
}

/// A message that takes its time, with a piece now and then.
pub(crate) async fn slow_upload(mut life: Life) -> Result<(), Gone> {
    let mut ws = life.open("/upload").await?;
    while !life.is_over() {
        let content = content::octets(&mut life.random, 50_000);
        send_pieces(&mut life, &mut ws, content, Duration::from_millis(300)).await?;
    }
    life.close(ws).await
}

async fn send_pieces(
    life: &mut Life,
    ws: &mut WebSocket,
    mut content: Bytes,
    pause: Duration,
) -> Result<(), String> {
    let mut hash = Hash::default();
    hash.add(&content);
    let expected = format!("{} {hash}", content.len());
    let mut message = ws.send_streaming(MessageKind::Binary);
    while !content.is_empty() {
        let size = content::size(&mut life.random, 1024, 64 * 1024);
        let piece = content.split_to(size.min(content.len()));
        let written = timeout(PATIENCE, message.write(piece)).await;
        written
            .map_err(|_| "a piece was not taken")?
            .map_err(|error| format!("a piece: {error}"))?;
        sleep(pause).await;
    }
    message.finish().await.map_err(told)?;
    let answer = life.receive(ws).await?;
    if answer != expected.as_str().into() {
        return Err(format!("an upload was {expected}, and the server has {answer:?}"));
    }
    life.world.tally.message();
    Ok(())
}

/// A message that comes back piece by piece while it is sent.
pub(crate) async fn mirror(mut life: Life) -> Result<(), Gone> {
    let mut ws = life.open_streaming("/mirror").await?;
    let sender = ws.sender();
    while !life.is_over() {
        let size = content::size(&mut life.random, 1024, 1 << 20);
        let content = content::octets(&mut life.random, size);
        let mut left = content.clone();
        let sent = async {
            let mut message = sender.send_streaming(MessageKind::Binary);
            while !left.is_empty() {
                let piece = left.split_to(left.len().min(40_000));
                message.write(piece).await.map_err(told)?;
            }
            message.finish().await.map_err(told)
        };
        let received = async {
            let mut back = Vec::with_capacity(size);
            let mut message = ws.recv_streaming().await.ok_or("closed instead of an answer")?;
            while let Some(chunk) = message.chunk().await.map_err(told)? {
                back.extend_from_slice(&chunk);
            }
            Ok::<_, String>(back)
        };
        let both = timeout(2 * PATIENCE, async { tokio::try_join!(sent, received) }).await;
        let ((), back) = both.map_err(|_| "a message in pieces did not come back")??;
        if back != content {
            return Err("a message in pieces came back as another".into());
        }
        life.world.tally.message();
        life.pause(2000).await;
    }
    life.close(ws).await
}
