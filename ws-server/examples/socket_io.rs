//! What `socket.io-client` needs on its WebSocket transport: the packets of Engine.IO 4 and Socket.IO 5,
//! events with and without acknowledgement, to one and to all. It has one namespace and no binary.
//!
//! ```text
//! $ cargo run --example socket_io
//! listening on 127.0.0.1:9001
//! > const socket = io('ws://127.0.0.1:9001', { transports: ['websocket'] })
//! > socket.on('said', text => console.log(text))
//! > console.log(await socket.emitWithAck('say', 'hello'))
//! hello
//! 1                                          # so many heard it
//! ```

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, interval_at};
use ws_server::{CloseCode, HandlerError, Published, ServeError, Server, WebSocket};

// ANCHOR: socket_io
/// The client gives up if it hears nothing for this and the time to answer.
const PING_EVERY: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

pub(crate) async fn socket_io(mut ws: WebSocket) -> Result<(), HandlerError> {
    let id = ws.id().to_string();
    let open = json!({
        "sid": id, "upgrades": [], "maxPayload": 1 << 20,
        "pingInterval": PING_EVERY.as_millis(), "pingTimeout": ANSWER_WITHIN.as_millis(),
    });
    ws.send(format!("0{open}")).await?;
    let mut pings = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
    let mut unanswered = 0;
    let refused = loop {
        let message = tokio::select! {
            message = ws.recv() => message,
            _ = pings.tick() => {
                unanswered += 1;
                if PING_EVERY * unanswered > ANSWER_WITHIN {
                    break "no pong";
                }
                ws.send("2").await?;
                continue;
            }
        };
        let Some(message) = message else { return Ok(()) };
        match message.as_text().map(|text| text.split_at_checked(2).unwrap_or((text, ""))) {
            Some(("3", "")) => unanswered = 0,
            Some(("40", rest)) if rest.starts_with('/') => {
                let namespace = rest.split(',').next().unwrap_or(rest);
                ws.send(format!("44{namespace},{}", json!({ "message": "Invalid namespace" })))
                    .await?;
            }
            Some(("40", _)) => {
                ws.subscribe("everyone")?;
                ws.send(format!("40{}", json!({ "sid": id }))).await?;
            }
            Some(("41", "")) => return Ok(()),
            Some(("42", packet)) => {
                let Some((id, event)) = parse(packet) else { break "no event" };
                let answer = act(&ws, event);
                if !id.is_empty() {
                    ws.send(format!("43{id}{}", json!([answer]))).await?;
                }
            }
            _ => break "not understood",
        }
    };
    Ok(ws.close(CloseCode::POLICY_VIOLATION, refused)?)
}

/// `12["say","hello"]`: the number of the acknowledgement, if one is wanted, and the event.
fn parse(packet: &str) -> Option<(&str, Vec<Value>)> {
    let (id, event) = packet.split_at(packet.find(|c: char| !c.is_ascii_digit())?);
    Some((id, serde_json::from_str(event).ok()?))
}

/// Acts on an event, and returns what its acknowledgement says.
fn act(ws: &WebSocket, mut event: Vec<Value>) -> Value {
    match event.first().and_then(Value::as_str) {
        Some("say") => {
            event[0] = "said".into();
            let said = format!("42{}", Value::Array(event));
            let published = ws.clients().map(|clients| clients.publish("everyone", said));
            published.map(Published::here).into()
        }
        _ => json!({ "error": "there is no such event" }),
    }
}

#[tokio::main]
async fn main() -> Result<(), ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let server = Server::new().route("/socket.io/", socket_io).bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
// ANCHOR_END: socket_io
