//! The examples as their readers copy them, each with a short conversation.

use std::{
    fs,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use ws_server::{Limits, Route, Server, Service};
use ws_tests_support::{
    frame::{BINARY, CLOSE, KEY, PING, TEXT, masked},
    handshake,
};

use crate::{
    ledger::Handlers,
    scripted::{Says, has_head},
    support,
};

#[allow(dead_code, reason = "a program of its own")]
#[path = "../../examples/behind_nginx.rs"]
mod behind_nginx;
#[allow(dead_code, unreachable_pub, reason = "a program of its own")]
#[path = "../../examples/chat.rs"]
pub(crate) mod chat;
#[allow(dead_code, reason = "a program of its own")]
#[path = "../../examples/custom_extension.rs"]
mod custom_extension;
#[allow(dead_code, reason = "a program of its own")]
#[path = "../../examples/rooms.rs"]
mod rooms;
#[allow(dead_code, reason = "a program of its own")]
#[path = "../../examples/rpc.rs"]
mod rpc;
#[allow(dead_code, reason = "a program of its own")]
#[path = "../../examples/socket_io.rs"]
mod socket_io;
#[allow(dead_code, reason = "a program of its own")]
#[path = "../../examples/upload.rs"]
mod upload;
#[allow(dead_code, reason = "a program of its own")]
#[path = "../../examples/y_websocket.rs"]
mod y_websocket;

#[cfg(feature = "auth")]
#[allow(dead_code, reason = "a program of its own")]
#[path = "../../examples/auth.rs"]
mod auth;
#[cfg(feature = "futures")]
#[allow(dead_code, reason = "a program of its own")]
#[path = "../../examples/graphql.rs"]
mod graphql;
#[cfg(feature = "client")]
#[allow(dead_code, reason = "a program of its own")]
#[path = "../../examples/relay.rs"]
mod relay;

/// A server of one example, and what a client says to it.
pub(crate) struct App {
    pub(crate) service: Service,
    pub(crate) says: Says,
    pub(crate) handlers: Handlers,
    /// Codes that the handler closes a client with that says nothing more.
    pub(crate) codes: &'static [u16],
    /// Where files are written.
    directory: Option<Directory>,
}

/// A directory of this test's own.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NTH: AtomicUsize = AtomicUsize::new(0);
        let nth = NTH.fetch_add(1, Ordering::Relaxed);
        let name = format!("ws-server-faults-{}-{nth}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

impl App {
    fn new(
        server: Server,
        path: &str,
        headers: &str,
        frames: &[Vec<u8>],
        handlers: Handlers,
    ) -> Self {
        let mut rest = frames.concat();
        rest.extend(masked(CLOSE, KEY, &1000_u16.to_be_bytes()));
        Self {
            service: server.service().unwrap(),
            says: Says {
                request: handshake::request(path, headers).into_bytes(),
                rest,
                is_answered: has_head,
            },
            handlers,
            codes: &[],
            directory: None,
        }
    }

    pub(crate) fn writes_files(&self) -> bool {
        self.directory.is_some()
    }

    /// Files that are left of uploads that did not come whole.
    pub(crate) fn parts(&self) -> Vec<PathBuf> {
        let Some(directory) = &self.directory else { return Vec::new() };
        let files = fs::read_dir(&directory.0).unwrap().map(|file| file.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|end| end == "part")).collect()
    }
}

fn text(text: &str) -> Vec<u8> {
    masked(TEXT, KEY, text.as_bytes())
}

pub(crate) fn echo() -> App {
    let handlers = Handlers::default();
    let frames =
        [text("one"), masked(0x01, KEY, b"t"), masked(PING, KEY, b"p"), masked(0x80, KEY, b"wo")];
    App::new(Server::new().any(handlers.count(support::echo)), "/", "", &frames, handlers)
}

/// Compressed in both directions: RFC 7692 §7.2.3.1.
#[cfg(feature = "deflate")]
pub(crate) fn deflated() -> App {
    let handlers = Handlers::default();
    let frames = [
        masked(0xc1, KEY, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
        masked(0x41, KEY, &[0xf2, 0x48, 0xcd]),
        masked(0x80, KEY, &[0xc9, 0xc9, 0x07, 0x00]),
        text(&"hello, ".repeat(10)),
    ];
    let server =
        Server::new().extension(ws_server::Deflate::default()).any(handlers.count(support::echo));
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    App::new(server, "/", offer, &frames, handlers)
}

pub(crate) fn custom_extension() -> App {
    let handlers = Handlers::default();
    let scrambled: Vec<u8> = b"scrambled".iter().map(|octet| !octet).collect();
    let frames = [masked(TEXT | 0x20, KEY, &scrambled), text("plain")];
    let server =
        Server::new().extension(custom_extension::Scramble).any(handlers.count(support::echo));
    App::new(server, "/", "Sec-WebSocket-Extensions: x-scramble\r\n", &frames, handlers)
}

pub(crate) fn behind_nginx() -> App {
    let handlers = Handlers::default();
    let server = Server::new().any(handlers.count(behind_nginx::greet));
    App::new(server, "/", "", &[text("hello")], handlers)
}

pub(crate) fn chat() -> App {
    let handlers = Handlers::default();
    let server = Server::new().route("/chat", handlers.count(chat::chat));
    App::new(server, "/chat", "", &[text("hello"), text("anybody?")], handlers)
}

pub(crate) fn rooms() -> App {
    let handlers = Handlers::default();
    let route = Route::new(handlers.count(rooms::rooms))
        .require_subprotocol(["rooms.v2", "rooms.v1"])
        .limits(Limits::default().max_message(4096));
    let frames = [
        text(r#"{"join":"cake"}"#),
        text(r#"{"say":"hello","room":"cake"}"#),
        text(r#"{"leave":"tea"}"#),
    ];
    let server = Server::new().route("/room/{room}", route);
    App::new(server, "/room/tea", "Sec-WebSocket-Protocol: rooms.v2\r\n", &frames, handlers)
}

pub(crate) fn rpc() -> App {
    let handlers = Handlers::default();
    let frames = [
        text(r#"{"jsonrpc":"2.0","id":1,"method":"subtract","params":[42,23]}"#),
        // It is called back, and never answers.
        text(r#"{"jsonrpc":"2.0","id":2,"method":"greet"}"#),
        text("nonsense"),
    ];
    let server = Server::new().route("/rpc", handlers.count(rpc::rpc));
    App::new(server, "/rpc", "", &frames, handlers)
}

pub(crate) fn socket_io() -> App {
    let handlers = Handlers::default();
    let frames = [text("40"), text(r#"4212["say","hello"]"#), text("3")];
    let server = Server::new().route("/socket.io/", handlers.count(socket_io::socket_io));
    let app = App::new(server, "/socket.io/?EIO=4&transport=websocket", "", &frames, handlers);
    App { codes: &[1008], ..app }
}

pub(crate) fn y_websocket() -> App {
    let handlers = Handlers::default();
    let frames = [masked(BINARY, KEY, &[0, 0, 1, 0]), masked(BINARY, KEY, &[1, 7, 7])];
    let server = Server::new().route("/{*room}", handlers.count(y_websocket::edit));
    App::new(server, "/minutes", "", &frames, handlers)
}

pub(crate) fn upload() -> App {
    let directory = Directory::new();
    let handlers = Handlers::default();
    let to = directory.0.clone();
    let handler = handlers.count(move |ws| upload::upload(ws, to.clone(), 1 << 30));
    let route = Route::new(handler).limits(Limits::default().streaming(true));
    let frames = [
        text("a file"),
        masked(0x02, KEY, b"its first"),
        masked(PING, KEY, b""),
        masked(0x80, KEY, b"and last piece"),
    ];
    let server = Server::new().route("/upload/{name}", route);
    let app = App::new(server, "/upload/file", "", &frames, handlers);
    App { directory: Some(directory), ..app }
}

#[cfg(feature = "auth")]
pub(crate) fn auth() -> App {
    let handlers = Handlers::default();
    let sessions = auth::Sessions::default();
    let guarded = Route::new(handlers.count(sessions.clone())).gate(sessions);
    let server = Server::new().route("/staff", guarded);
    let bearer = "Authorization: Bearer 0123456789\r\n";
    App::new(server, "/staff", bearer, &[text("hello"), text("kick ann")], handlers)
}

#[cfg(feature = "futures")]
pub(crate) fn graphql() -> App {
    let handlers = Handlers::default();
    let route =
        Route::new(handlers.count(graphql::graphql)).require_subprotocol(["graphql-transport-ws"]);
    let subscribe = |id: u8, query: &str| {
        text(&format!(r#"{{"type":"subscribe","id":"{id}","payload":{{"query":"{query}"}}}}"#))
    };
    let frames = [
        text(r#"{"type":"connection_init"}"#),
        subscribe(1, "subscription { countdown(from: 3) }"),
        subscribe(2, r#"subscription { messages(room: \"tea\") }"#),
        subscribe(3, r#"mutation { say(room: \"tea\", text: \"hi\") }"#),
        text(r#"{"type":"complete","id":"1"}"#),
    ];
    let server = Server::new().route("/graphql", route);
    let protocol = "Sec-WebSocket-Protocol: graphql-transport-ws\r\n";
    let app = App::new(server, "/graphql", protocol, &frames, handlers);
    App { codes: &[4408], ..app }
}

/// The relay, to an echo in the same process.
#[cfg(feature = "client")]
pub(crate) fn relay() -> App {
    use ws_server::{Admit, Connect, Peer, Rejection};

    let handlers = Handlers::default();
    let limits = Limits::default().streaming(true);
    let upstream = Server::new().any(handlers.count(support::echo)).service().unwrap();
    let gate = {
        let limits = limits.clone();
        move |_| {
            let (upstream, limits) = (upstream.clone(), limits.clone());
            async move {
                let connect = Connect::new("ws://test/").limits(limits);
                let ws = upstream.test_client_with(connect, Peer::Other).await;
                let ws = ws.map_err(|_| Rejection::new(http::StatusCode::BAD_GATEWAY))?;
                Ok(Admit::new().data(relay::Upstream(Mutex::new(Some(ws)))))
            }
        }
    };
    let route = Route::new(handlers.count(relay::relay)).gate(gate).limits(limits);
    let frames = [text("one"), masked(0x01, KEY, b"t"), masked(0x80, KEY, b"wo")];
    App::new(Server::new().any(route), "/", "", &frames, handlers)
}
