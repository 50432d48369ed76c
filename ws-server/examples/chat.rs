//! A chat: what one writes, everyone in the room reads.
//!
//! ```text
//! $ cargo run --example chat                 # or: -- 127.0.0.1:0, which takes a free port
//! listening on 127.0.0.1:9001
//! $ npx wscat -c ws://127.0.0.1:9001/chat
//! < guest 1 came
//! > hello
//! < guest 1: hello
//! ```

// ANCHOR: chat
use ws_server::{HandlerError, Message, ServeError, Server, WebSocket};
/// One guest.
pub async fn chat(mut ws: WebSocket) -> Result<(), HandlerError> {
    let (guest, room) = (ws.id(), ws.subscribe("room")?);
    room.publish(format!("guest {guest} came"));
    while let Some(Message::Text(text)) = ws.recv().await {
        room.publish(format!("guest {guest}: {text}"));
    }
    room.publish(format!("guest {guest} left"));
    Ok(())
}
#[tokio::main]
async fn main() -> Result<(), ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let server = Server::new().route("/chat", chat).bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
// ANCHOR_END: chat
