//! JSON-RPC 2.0 in both directions, without batches: the client calls the server, and while that works
//! it calls the client. Calls may be answered in any order, and none waits for ever.
//!
//! ```text
//! $ cargo run --example rpc
//! listening on 127.0.0.1:9001
//! $ npx wscat -c ws://127.0.0.1:9001/rpc
//! > {"jsonrpc":"2.0","id":1,"method":"subtract","params":[42,23]}
//! < {"id":1,"jsonrpc":"2.0","result":19}
//! > {"jsonrpc":"2.0","id":2,"method":"greet"}
//! < {"id":0,"jsonrpc":"2.0","method":"name","params":[]}
//! > {"jsonrpc":"2.0","id":0,"result":"Ann"}
//! < {"id":2,"jsonrpc":"2.0","result":"hello, Ann"}
//! ```

// ANCHOR: rpc
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinSet, time::timeout};
use ws_server::{HandlerError, Sender, ServeError, Server, WebSocket};

/// How long the client may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How many calls of a client are worked on at once.
const AT_ONCE: usize = 16;

/// A code and a text, as JSON-RPC has them.
type RpcError = (i64, String);

/// The other end. A handle: cloning it is cheap.
#[derive(Clone)]
struct Remote {
    sender: Sender,
    /// Those who wait for an answer, by the ids of their calls.
    waiting: Arc<Mutex<HashMap<u64, oneshot::Sender<Value>>>>,
}

impl Remote {
    /// Calls the other end.
    async fn call(&self, method: &str, params: Value) -> Result<Value, RpcError> {
        static LAST: AtomicU64 = AtomicU64::new(0);
        let id = LAST.fetch_add(1, Relaxed);
        let (caller, answer) = oneshot::channel();
        {
            let mut waiting = self.waiting.lock().unwrap();
            waiting.retain(|_, caller| !caller.is_closed()); // those who gave up
            waiting.insert(id, caller);
        }
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let answered = async {
            self.sender.send(request.to_string()).await.ok()?;
            answer.await.ok()
        };
        let failure = match timeout(PATIENCE, answered).await {
            Ok(Some(answer)) if answer.get("error").is_none() => {
                return Ok(answer["result"].clone());
            }
            Ok(Some(answer)) => answer["error"].to_string(),
            Ok(None) => "the connection ended".into(),
            Err(_) => format!("no answer in {PATIENCE:?}"),
        };
        Err((-32000, format!("{method}: {failure}")))
    }

    /// Answers a call of the other end; a notification has no id, and gets no answer.
    async fn answer(self, request: Value) {
        let outcome =
            self.run(request["method"].as_str().unwrap_or_default(), &request["params"]).await;
        if let Some(id) = request.get("id") {
            // An error if the connection has ended: nobody waits any more.
            self.sender.send(response(id, outcome)).await.ok();
        }
    }

    async fn run(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        match method {
            "subtract" => match (params[0].as_i64(), params[1].as_i64()) {
                (Some(a), Some(b)) => Ok(a.saturating_sub(b).into()),
                _ => Err((-32602, "two integers are needed".into())),
            },
            "greet" => {
                let name = self.call("name", json!([])).await?;
                Ok(format!("hello, {}", name.as_str().unwrap_or("stranger")).into())
            }
            _ => Err((-32601, format!("there is no method {method:?}"))),
        }
    }
}

fn response(id: &Value, outcome: Result<Value, RpcError>) -> String {
    match outcome {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err((code, message)) => {
            json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } })
        }
    }
    .to_string()
}

pub(crate) async fn rpc(mut ws: WebSocket) -> Result<(), HandlerError> {
    let remote = Remote { sender: ws.sender(), waiting: Arc::default() };
    let mut work = JoinSet::new(); // dropped at the end of the connection, with all that is at work
    while let Some(message) = ws.recv().await {
        while work.try_join_next().is_some() {}
        match serde_json::from_slice::<Value>(message.as_bytes()) {
            Ok(call) if call["method"].is_string() => {
                if work.len() < AT_ONCE {
                    work.spawn(remote.clone().answer(call));
                } else if let Some(id) = call.get("id") {
                    let refused = Err((-32000, format!("more than {AT_ONCE} calls at once")));
                    ws.send(response(id, refused)).await?;
                }
            }
            Ok(answer) if answer.get("result").or(answer.get("error")).is_some() => {
                let id = answer["id"].as_u64().unwrap_or(u64::MAX);
                // A late one has no caller any more.
                if let Some(caller) = remote.waiting.lock().unwrap().remove(&id) {
                    caller.send(answer).ok();
                }
            }
            Ok(_) => ws.send(response(&Value::Null, Err((-32600, "no request".into())))).await?,
            Err(error) => ws.send(response(&Value::Null, Err((-32700, error.to_string())))).await?,
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), ServeError> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let server = Server::new().route("/rpc", rpc).bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
// ANCHOR_END: rpc
