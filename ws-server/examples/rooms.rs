//! Rooms by a pattern of the path, for two versions of a subprotocol: `rooms.v1` is plain text in the
//! room of the path, `rooms.v2` is JSON and may join more. Each connection has a quota of rooms and of
//! messages.
//!
//! ```text
//! $ cargo run --example rooms
//! listening on 127.0.0.1:9001
//! $ npx wscat -s rooms.v2 -c ws://127.0.0.1:9001/room/tea
//! > {"join":"cake"}
//! > {"say":"hello","room":"cake"}
//! < {"from":"1","room":"cake","said":"hello"}
//! $ npx wscat -s rooms.v1 -c ws://127.0.0.1:9001/room/cake
//! < 1: hello                                 # if it was there in time
//! ```

use std::{collections::HashMap, time::Duration};

use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};
use ws_server::{
    ClientId, Clients, HandlerError, Limits, Message, Route, ServeError, Server, Topic, WebSocket,
};

// ANCHOR: rooms
/// What one connection may have: RT-53.
const MAX_ROOMS: usize = 8;
const MESSAGE_EVERY: Duration = Duration::from_millis(20);

pub(crate) async fn rooms(mut ws: WebSocket) -> Result<(), HandlerError> {
    let (guest, clients) = (ws.id(), ws.clients().ok_or("this is a client")?);
    let first = ws.request().param("room").unwrap_or_default().to_owned();
    let version = ws.request().subprotocol().unwrap_or_default().to_owned();
    let mut joined = HashMap::from([(first.clone(), ws.subscribe(topic(&version, &first))?)]);
    // A client that is faster waits, since nothing is received meanwhile.
    let mut pace = interval(MESSAGE_EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Skip);

    while let Some(Message::Text(text)) = ws.recv().await {
        pace.tick().await;
        let outcome = match version.as_str() {
            "rooms.v1" => say(&clients, guest, &first, text.as_str()),
            _ => ask(&ws, &mut joined, &clients, text.as_str()),
        };
        if let Err(why) = outcome {
            ws.send(json!({ "refused": why }).to_string()).await?;
        }
    }
    Ok(())
}

/// Does what a message of version 2 asks for.
fn ask(
    ws: &WebSocket,
    joined: &mut HashMap<String, Topic>,
    clients: &Clients,
    text: &str,
) -> Result<(), String> {
    let asked: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let word = |name| asked.get(name).and_then(Value::as_str);
    match (word("join"), word("leave"), word("say"), word("room")) {
        (Some(room), None, None, None) => {
            if joined.len() >= MAX_ROOMS && !joined.contains_key(room) {
                return Err(format!("you are in {MAX_ROOMS} rooms: leave one of them"));
            }
            let topic = ws.subscribe(topic("rooms.v2", room)).map_err(|error| error.to_string())?;
            joined.insert(room.to_owned(), topic);
        }
        (None, Some(room), None, None) => {
            joined.remove(room).ok_or("you are not in this room")?.unsubscribe();
        }
        (None, None, Some(text), Some(room)) => {
            joined.get(room).ok_or("you are not in this room")?;
            say(clients, ws.id(), room, text)?;
        }
        _ => return Err(r#"ask {"join":ROOM}, {"leave":ROOM} or {"say":TEXT,"room":ROOM}"#.into()),
    }
    Ok(())
}

/// In the words of either version: each has topics of its own.
fn say(clients: &Clients, guest: ClientId, room: &str, text: &str) -> Result<(), String> {
    let said = json!({ "room": room, "from": guest.to_string(), "said": text });
    clients.publish(&topic("rooms.v1", room), format!("{guest}: {text}"));
    clients.publish(&topic("rooms.v2", room), said.to_string());
    Ok(())
}

fn topic(version: &str, room: &str) -> String {
    format!("{version}/{room}")
}

#[tokio::main]
async fn main() -> Result<(), ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let rooms = Route::new(rooms)
        .require_subprotocol(["rooms.v2", "rooms.v1"])
        .limits(Limits::default().max_message(4096));
    let server = Server::new().route("/room/{room}", rooms).bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
// ANCHOR_END: rooms
