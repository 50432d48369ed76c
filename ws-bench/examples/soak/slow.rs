//! Clients that take little of what they are sent. The server may end them.

use std::time::Duration;

use tokio::time::{sleep, timeout_at};
use ws_server::{Connect, ConnectError, Limits};

use crate::{handlers::POLICIES, life::Life};

/// Reads about 2 KB/s of news that come with 20 KB/s.
pub(crate) async fn reader(mut life: Life) -> Result<String, ConnectError> {
    let (policy, _) = POLICIES[life.random.below(POLICIES.len())];
    // Its own driver reads nothing ahead, and its system little.
    let limits = Limits::default().receive_ahead(1).receive_ahead_messages(1);
    let dialled = life.world.server.dial(life.over, life.from, Some(4096), false);
    let io = dialled.await.map_err(ConnectError::Io)?;
    let request = Connect::new(&format!("ws://localhost/news/{policy}")).limits(limits);
    let mut ws = request.over(io).await?;
    while let Ok(message) = timeout_at(life.until, ws.recv()).await {
        if message.is_none() {
            return Ok(format!("slow, {policy}: {}", ws.closed().await.code.get()));
        }
        life.world.tally.message();
        sleep(Duration::from_secs(1)).await;
    }
    let left = life.random.below(2);
    if left == 0 {
        return Ok(format!("slow, {policy}: left without a word"));
    }
    drop(ws);
    Ok(format!("slow, {policy}: left"))
}
