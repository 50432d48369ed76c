//! A chat inside axum: pages sign in by a form, and its WebSockets have compression, topics, limits and
//! metrics, and end with the server.
//!
//! ```text
//! $ cargo run -p ws-tower --example axum --features axum   # then open http://127.0.0.1:9001/
//! listening on 127.0.0.1:9001
//! $ curl -si -d name=ann http://127.0.0.1:9001/sign-in | grep -i cookie
//! set-cookie: session=5f1c..; HttpOnly; SameSite=Strict
//! $ npx wscat -c ws://127.0.0.1:9001/chat -H 'Cookie: session=5f1c..'
//! < ann came
//! > hello
//! < ann: hello
//! $ curl -s http://127.0.0.1:9001/metrics | grep connections
//! websocket_connections 1
//! ```

use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    extract::{FromRef, FromRequestParts, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{any, get, post},
};
use ws_server::{Deflate, Message, PROMETHEUS_TEXT, Server, Service, Tcp, WebSocket};
use ws_tower::WebSocketUpgrade;

// ANCHOR: axum
#[derive(Clone, FromRef)]
struct App {
    service: Service,
    sessions: Arc<Mutex<HashMap<String, User>>>,
}

#[derive(Clone)]
struct User(String);

async fn chat(user: User, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |mut ws: WebSocket| {
        let (User(name), room) = (user, ws.subscribe("room")?);
        room.publish(format!("{name} came"));
        while let Some(Message::Text(text)) = ws.recv().await {
            room.publish(format!("{name}: {text}"));
        }
        room.publish(format!("{name} left"));
        Ok(())
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let service = Server::new().extension(Deflate::default()).service()?;
    let app = App { service, sessions: Arc::default() };
    let router = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/sign-in", post(sign_in))
        .route("/chat", any(chat))
        .route("/metrics", get(metrics))
        .with_state(app);
    let listener = Tcp::bind(&*address).await?;
    println!("listening on {}", ws_server::Listener::local_addr(&listener).ok_or("no address")?);
    let interrupted = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    let report = ws_tower::serve(listener, router).run_until(interrupted).await;
    println!("{report}");
    Ok(())
}
// ANCHOR_END: axum

/// Whoever has signed in. Others get 401 before a WebSocket is thought of.
impl FromRequestParts<App> for User {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, StatusCode> {
        let sessions = app.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let session = session(&parts.headers).and_then(|session| sessions.get(session));
        session.cloned().ok_or(StatusCode::UNAUTHORIZED)
    }
}

fn session(headers: &HeaderMap) -> Option<&str> {
    // Over HTTP/2 there may be a line for each cookie.
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split("; ")).find_map(|cookie| cookie.strip_prefix("session="))
}

/// Real ones ask for a password.
async fn sign_in(State(app): State<App>, form: String) -> Response {
    let Some(name) = form.strip_prefix("name=").filter(|name| !name.is_empty()) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    // Nobody guesses 128 random bits.
    let [high, low] = [(); 2].map(|()| getrandom::u64().expect("random numbers"));
    let session = format!("{high:016x}{low:016x}");
    let cookie = format!("session={session}; HttpOnly; SameSite=Strict");
    let mut sessions = app.sessions.lock().unwrap_or_else(PoisonError::into_inner);
    sessions.insert(session, User(name.into()));
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

async fn metrics(State(service): State<Service>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], service.clients().prometheus())
}

const PAGE: &str = r#"<!doctype html>
<title>Chat</title>
<form action="/sign-in" method="post"><input name="name" placeholder="your name"><button>Sign in</button></form>
<form id="say"><input id="text" placeholder="a message"><button>Send</button></form>
<pre id="log"></pre>
<script>
  const ws = new WebSocket(location.href.replace("http", "ws") + "chat");
  const log = (line) => document.getElementById("log").append(line + "\n");
  ws.onmessage = (event) => log(event.data);
  ws.onclose = (event) => log(`closed: ${event.code}`);
  document.getElementById("say").onsubmit = (event) => {
    event.preventDefault();
    ws.send(document.getElementById("text").value);
    document.getElementById("text").value = "";
  };
</script>
"#;
