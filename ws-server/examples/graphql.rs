//! What npm `graphql-ws` needs: the subprotocol `graphql-transport-ws`, for queries, mutations and
//! subscriptions, one of which is fed by a topic. The schema is written by hand, and a query has one
//! field of it. An engine, such as async-graphql, takes the place of `execute`: its results are a
//! stream, too.
//!
//! ```text
//! $ cargo run --example graphql --features futures
//! listening on 127.0.0.1:9001
//! > const client = createClient({ url: 'ws://127.0.0.1:9001/graphql' })
//! > for await (const result of client.iterate({ query: 'subscription { countdown(from: 3) }' })) ..
//! ```

// ANCHOR: graphql
use std::{collections::HashMap, future::ready, time::Duration};

use futures_util::{
    StreamExt,
    stream::{AbortHandle, Abortable, BoxStream, SelectAll, iter, once},
};
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, sleep_until};
use ws_server::{Clients, CloseCode, HandlerError, Route, ServeError, Server, WebSocket};

/// How long a client may be connected without `connection_init`.
const INIT_WITHIN: Duration = Duration::from_secs(3);
/// How many operations a client may have at once.
const MAX_OPERATIONS: usize = 32;

/// The results of an operation; an error ends it.
type Results = BoxStream<'static, Result<Value, String>>;
/// The same, with the operation's id, and `None` at the end.
type Named = BoxStream<'static, (String, Option<Result<Value, String>>)>;

pub(crate) async fn graphql(mut ws: WebSocket) -> Result<(), HandlerError> {
    let clients = ws.clients().ok_or("this is a client")?;
    let (mut initialised, late) = (false, Instant::now() + INIT_WITHIN);
    let mut operations: HashMap<String, AbortHandle> = HashMap::new();
    let mut results = SelectAll::<Named>::new();
    let (code, reason): (_, String) = loop {
        let message = tokio::select! {
            message = ws.recv() => message,
            Some((id, result)) = results.next() => {
                let (kind, payload) = match result {
                    Some(Ok(data)) => ("next", json!({ "data": data })),
                    Some(Err(why)) => ("error", errors(&why)),
                    None => ("complete", Value::Null),
                };
                if kind != "next" && let Some(operation) = operations.remove(&id) {
                    operation.abort();
                }
                ws.send(packet(kind, &id, payload)).await?;
                continue;
            }
            () = sleep_until(late), if !initialised => break (4408, "Connection initialisation timeout".into()),
        };
        let Some(message) = message else { return Ok(()) };
        let asked: Value = serde_json::from_slice(message.as_bytes()).unwrap_or_default();
        let word = |name| asked.get(name).and_then(Value::as_str);
        match (word("type"), word("id"), asked["payload"]["query"].as_str()) {
            (Some("connection_init"), ..) if initialised => {
                break (4429, "Too many initialisation requests".into());
            }
            // Here an application looks at the payload, and closes with 4403 if it does not like it.
            (Some("connection_init"), ..) => {
                initialised = true;
                ws.send(json!({ "type": "connection_ack" }).to_string()).await?;
            }
            (Some("ping"), ..) => ws.send(json!({ "type": "pong" }).to_string()).await?,
            (Some("pong"), ..) => {}
            (Some("subscribe"), Some(_), Some(_)) if !initialised => {
                break (4401, "Unauthorized".into());
            }
            (Some("subscribe"), Some(id), Some(_)) if operations.contains_key(id) => {
                break (4409, format!("Subscriber for {id} already exists"));
            }
            (Some("subscribe"), Some(id), Some(_)) if operations.len() >= MAX_OPERATIONS => {
                let why = format!("more than {MAX_OPERATIONS} operations at once");
                ws.send(packet("error", id, errors(&why))).await?;
            }
            (Some("subscribe"), Some(id), Some(query)) => {
                let found = execute(&clients, query, &asked["payload"]["variables"]);
                let found = found.unwrap_or_else(|why| once(ready(Err(why))).boxed());
                let (abort, registration) = AbortHandle::new_pair();
                operations.insert(id.to_owned(), abort);
                let id = id.to_owned();
                let to_its_end = found.map(Some).chain(once(ready(None)));
                let named = to_its_end.map(move |result| (id.clone(), result));
                results.push(Abortable::new(named, registration).boxed());
            }
            (Some("complete"), Some(id), _) => {
                if let Some(operation) = operations.remove(id) {
                    operation.abort();
                }
            }
            _ => break (4400, "Invalid message received".into()),
        }
    };
    Ok(ws.close(CloseCode::new(code), &reason)?)
}

fn packet(kind: &str, id: &str, payload: Value) -> String {
    let mut packet = json!({ "type": kind, "id": id });
    if !payload.is_null() {
        packet["payload"] = payload;
    }
    packet.to_string()
}

fn errors(why: &str) -> Value {
    json!([{ "message": why }])
}

/// The schema: `hello`, `countdown(from)`, `say(room, text)` and `messages(room)`.
fn execute(clients: &Clients, query: &str, variables: &Value) -> Result<Results, String> {
    let (field, arguments) = parse(query, variables).ok_or("this query is not understood")?;
    let one = |value: Value| Ok(once(ready(Ok(json!({ field: value })))).boxed());
    let text =
        |name| arguments.get(name).and_then(Value::as_str).ok_or(format!("{name} is missing"));
    match field {
        "hello" => one("world".into()),
        "countdown" => {
            let from = arguments.get("from").and_then(Value::as_u64).ok_or("from is missing")?;
            let steps = iter((0..=from.min(1_000_000)).rev()).then(|step| async move {
                sleep(Duration::from_millis(50)).await;
                Ok(json!({ "countdown": step }))
            });
            Ok(steps.boxed())
        }
        "say" => one(clients.publish(text("room")?, text("text")?).here().into()),
        "messages" => {
            let topic = clients.listen(text("room")?).map_err(|error| error.to_string())?;
            let messages = topic.map(|message| match message {
                Ok(message) => Ok(json!({ "messages": message.as_text() })),
                Err(lagged) => Err(lagged.to_string()),
            });
            Ok(messages.boxed())
        }
        _ => Err(format!("there is no field {field:?}")),
    }
}

/// The one field of a query, and its arguments: `query Name($from: Int!) { countdown(from: $from) }`.
fn parse<'q>(query: &'q str, variables: &Value) -> Option<(&'q str, Map<String, Value>)> {
    let field = query.split_once('{')?.1.rsplit_once('}')?.0.trim();
    let Some((field, arguments)) = field.split_once('(') else { return Some((field, Map::new())) };
    let arguments = arguments.strip_suffix(')')?.split(',').map(|argument| {
        let (name, value) = argument.split_once(':')?;
        let value = match value.trim().strip_prefix('$') {
            Some(variable) => variables[variable].clone(),
            None => serde_json::from_str(value).ok()?,
        };
        Some((name.trim().to_owned(), value))
    });
    Some((field.trim(), arguments.collect::<Option<_>>()?))
}

#[tokio::main]
async fn main() -> Result<(), ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let graphql = Route::new(graphql).require_subprotocol(["graphql-transport-ws"]);
    let server = Server::new().route("/graphql", graphql).bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
// ANCHOR_END: graphql
