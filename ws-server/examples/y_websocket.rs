//! Editors of one document, by Yjs and its client `y-websocket`. The server holds no document: it
//! passes on what the editors say to each other, in a topic for each room, and asks them to tell a
//! newcomer what they have. A document lives as long as one of its editors is there.
//!
//! ```text
//! $ cargo run --example y_websocket
//! listening on 127.0.0.1:9001
//! > const document = new Y.Doc()
//! > new WebsocketProvider('ws://127.0.0.1:9001', 'minutes', document)
//! > document.getText().insert(0, 'everyone in the room reads this')
//! ```

// ANCHOR: y_websocket
use ws_server::{HandlerError, Limits, ServeError, Server, WebSocket};

// What the messages of y-protocols begin with: 0 is the document, 1 who is there and where their
// cursors are.
/// "What do you have?", of one who has nothing: the answer is the whole document.
const ASK_FOR_ALL: &[u8] = &[0, 0, 1, 0];
/// An answer to such a question: an empty update.
const NOTHING: &[u8] = &[0, 1, 2, 0, 0];
/// "Who is there?"
const ASK_WHO: &[u8] = &[3];

pub(crate) async fn edit(mut ws: WebSocket) -> Result<(), HandlerError> {
    let room = ws.subscribe(ws.request().param("room").unwrap_or_default())?;
    // What it wrote without a connection goes to the others, as all that it writes.
    ws.send(ASK_FOR_ALL).await?;
    room.publish_to_others(ASK_WHO);
    while let Some(message) = ws.recv().await {
        match message.as_bytes() {
            // A question, and nobody else is there to answer it.
            [0, 0, ..] if room.subscribers() == 1 => ws.send(NOTHING).await?,
            // A client that hears nothing for 30 s, not even this of itself, connects again.
            [1, ..] => drop(room.publish(message)),
            _ => drop(room.publish_to_others(message)),
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let limits = Limits::default().max_message(16 << 20).max_send_buffer(64 << 20); // whole documents
    let server = Server::new().route("/{*room}", edit).limits(limits).bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
// ANCHOR_END: y_websocket
