//! One of the servers.

use std::{error::Error, sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, stdin};
use ws_nats::{Config, Member, Nats, PresenceEvent, Since};
use ws_server::{HandlerError, Message, OriginPolicy, Published, Server, WebSocket};

use crate::page;

const ROOM: &str = "room";

/// What a client says first.
#[derive(Deserialize)]
struct Hello {
    name: String,
    /// The position that came with the last message it got, at whatever server.
    since: Option<String>,
}

pub(crate) async fn run(
    number: usize,
    url: &str,
    addresses: &str,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let addresses: Vec<String> = addresses.split(',').map(str::to_owned).collect();
    let address = addresses.get(number).ok_or("no address")?.clone();
    let config = Config::default()
        .servers([url])
        .node(format!("server-{}", number + 1))
        .prefix("cluster")
        // Each message tells its position, for `since`.
        .stamp(|_, position, message| match message.as_text() {
            Some(text) => format!(r#"{{"at":"{position}","message":{text}}}"#).into(),
            None => message,
        })
        .presence_event(|_, event| match event {
            PresenceEvent::Joined(who) => Some(json!({ "joined": member(who) }).to_string().into()),
            PresenceEvent::Left(who) => Some(json!({ "left": member(who) }).to_string().into()),
            _ => None,
        });
    let server = Server::new();
    let nats = Nats::connect(config, server.clients()).await?;

    let origins = addresses.iter().map(|address| format!("http://{address}"));
    let handler = {
        let nats = Arc::clone(&nats);
        move |ws: WebSocket| chat(ws, Arc::clone(&nats), number + 1)
    };
    let server = server
        .backplane(nats.clone())
        // A page of one server may connect to the others, and so may programs.
        .origin(OriginPolicy::allow(origins)?.allow_missing(true))
        .route("/chat", handler)
        .fallback(move |request, _| page::answer(request, &addresses))
        .bind(&*address)
        .await?;
    println!("listening on {address}");
    // The parent has the other end: it ends when the parent does, whatever the reason.
    let parent_ended =
        async { while stdin().read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {} };
    server.serve_until(parent_ended).await;
    nats.shutdown(Duration::from_secs(2)).await;
    // A thread may still wait for the standard input.
    std::process::exit(0);
}

/// A member as pages know it. Each connection is one: whoever comes back after a server died is there
/// twice until the dead one is noticed.
fn member(member: &Member) -> Value {
    let id = format!("{:x}.{}", member.incarnation, member.client);
    json!({ "id": id, "name": &*member.info })
}

async fn chat(mut ws: WebSocket, nats: Arc<Nats>, server: usize) -> Result<(), HandlerError> {
    let Some(Message::Text(hello)) = ws.recv().await else { return Ok(()) };
    let Hello { name, since } = serde_json::from_str(hello.as_str())?;
    // One that cannot be read is none.
    let since = since.and_then(|text| text.parse().ok()).map(Since::Position);
    let client = ws.client().ok_or("this is a client's end")?;

    // What was missed since then, and everything from now on.
    let joined = nats.join(&client, ROOM, since).await?;
    let room = joined.topic;
    let recovered = format!("{:?}", joined.recovered);
    ws.send(json!({ "server": server, "at": joined.position.map(|at| at.to_string()), "recovered": recovered }).to_string())
        .await?;
    nats.appear(&client, ROOM, name.as_str())?;
    let here: Vec<_> = nats.presence(ROOM).await.members.iter().map(member).collect();
    ws.send(json!({ "here": here }).to_string()).await?;

    while let Some(Message::Text(text)) = ws.recv().await {
        if text.as_str() == "/kill" {
            std::process::abort();
        }
        let message = json!({ "from": name, "text": text.as_str(), "server": server }).to_string();
        if let Published::Refused(reason) = room.publish(message) {
            ws.send(json!({ "refused": reason.to_string() }).to_string()).await?;
        }
    }
    Ok(())
}
