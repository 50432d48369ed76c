//! Rooms that span all servers with the same NATS, and every program that publishes there.
//!
//! ```text
//! $ nats-server -js &
//! $ cargo run -p ws-nats --example nats_chat                 # and another: -- 127.0.0.1:9002
//! listening on 127.0.0.1:9001
//! $ npx wscat -c ws://127.0.0.1:9001/room/tea
//! $ nats pub ws.h.tea hello                                  # from anywhere
//! < hello
//! ```

use std::{error::Error, sync::Arc};

use ws_nats::{Config, Nats};
use ws_server::{Server, WebSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let nats = std::env::args().nth(2).unwrap_or("nats://127.0.0.1:4222".into());
    let room = |mut ws: WebSocket| async move {
        let name = ws.request().param("room").unwrap_or_default().to_owned();
        let room = ws.subscribe(name)?;
        while let Some(message) = ws.recv().await {
            room.publish(message);
        }
        Ok(())
    };
    let server = Server::new().route("/room/{room}", room);
    let config = Config::default().servers([nats]).ephemeral("cursor.*");
    let nats = Nats::connect(config, server.clients()).await?;
    let server = server.backplane(Arc::clone(&nats) as _).bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
