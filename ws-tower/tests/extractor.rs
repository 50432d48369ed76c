//! The extractor for axum, in process.
#![cfg(all(feature = "axum", feature = "client"))]
#![allow(clippy::unwrap_used)]

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, FromRef, Path, State},
    http::{Request, StatusCode, request::Builder},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use tokio::sync::mpsc;
use tower::ServiceExt;
use ws_server::{
    CloseCode, Connect, ConnectError, Limits, OriginPolicy, Peer, Server, ServerLimits, Service,
    WebSocket,
};
use ws_tower::{WebSocketUpgrade, test_client, test_client_with};

#[derive(Clone)]
struct App {
    service: Service,
    greeting: Arc<str>,
}

impl FromRef<App> for Service {
    fn from_ref(app: &App) -> Self {
        app.service.clone()
    }
}

fn app() -> App {
    App { service: Server::new().service().unwrap(), greeting: "welcome".into() }
}

async fn echo(mut ws: WebSocket) -> Result<(), ws_server::HandlerError> {
    while let Some(message) = ws.recv().await {
        ws.send(message).await?;
    }
    Ok(())
}

fn request() -> Builder {
    Request::get("/")
        .header("host", "test")
        .header("upgrade", "websocket")
        .header("connection", "upgrade")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-version", "13")
}

async fn answer(router: &Router, request: Builder) -> Response {
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn handler_opens_a_websocket_beside_other_extractors() {
    async fn room(
        State(app): State<App>,
        Path(room): Path<String>,
        upgrade: WebSocketUpgrade,
    ) -> Response {
        assert!(upgrade.offered_protocols().contains("v1"));
        let upgrade = upgrade.protocols(["v1"]).data(room).header("x-served-by", "axum");
        upgrade.subscribe("all").on_upgrade(async move |mut ws: WebSocket| {
            let room = ws.data::<String>().unwrap().clone();
            ws.send(format!("{} to {room}", app.greeting)).await.unwrap();
            assert_eq!(ws.request().path(), "/room/7");
            echo(ws).await
        })
    }
    let app = app();
    let clients = app.service.clients();
    let router = Router::new().route("/room/{room}", any(room)).with_state(app);
    let connect = Connect::new("ws://test/room/7").subprotocols(["v2", "v1"]);
    let peer = Peer::Tcp(SocketAddr::from(([192, 0, 2, 1], 7)));
    let mut client = test_client_with(router, connect, peer).await.unwrap();
    assert_eq!(client.request().subprotocol(), Some("v1"));
    assert_eq!(client.recv().await, Some("welcome to 7".into()));
    client.send("and back").await.unwrap();
    assert_eq!(client.recv().await, Some("and back".into()));
    let known = clients.list().pop().unwrap();
    assert_eq!((known.request().peer(), known.topics().len()), (peer, 1));
    client.close(CloseCode::NORMAL, "").unwrap();
    assert!(client.closed().await.clean);
    assert_eq!(clients.metrics().opened, 1);
}

// A handler may end in nothing, in a result, or never; the future of one that holds a reference across an
// await is `Send`.
#[tokio::test(start_paused = true)]
async fn handlers_of_every_kind_are_taken() {
    async fn held(upgrade: WebSocketUpgrade) -> Response {
        let borrowed = &upgrade;
        tokio::task::yield_now().await;
        assert_eq!(borrowed.offered_protocols().iter().count(), 0);
        upgrade.on_upgrade(async |mut ws: WebSocket| {
            loop {
                ws.send("again").await.ok();
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            }
        })
    }
    let nothing = async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(|_| async {});
    let router = Router::new().route("/held", any(held)).route("/nothing", any(nothing));
    let router = router.with_state(app());
    let mut client = test_client(router.clone(), "/held").await.unwrap();
    for _ in 0..3 {
        assert_eq!(client.recv().await, Some("again".into()));
    }
    let client = test_client(router, "/nothing").await.unwrap();
    assert_eq!(client.closed().await.code, CloseCode::NORMAL);
}

// The statuses are those of ws-server, and the handler does not run.
#[tokio::test(start_paused = true)]
async fn what_is_no_handshake_is_refused_before_the_handler_runs() {
    async fn never(upgrade: WebSocketUpgrade) -> Response {
        upgrade.on_upgrade(async |_| panic!("nothing was upgraded"))
    }
    let state = app();
    let router = Router::new().route("/", any(never)).with_state(state.clone());
    let plain = answer(&router, Request::get("/").header("host", "test")).await;
    assert_eq!(plain.status(), StatusCode::UPGRADE_REQUIRED);
    assert_eq!(plain.headers()["sec-websocket-version"], "13");
    assert_eq!(plain.headers()["upgrade"], "websocket");
    let mut old = request();
    old.headers_mut().unwrap().insert("sec-websocket-version", "8".parse().unwrap());
    assert_eq!(answer(&router, old).await.status(), StatusCode::UPGRADE_REQUIRED);
    let post = answer(&router, request().method("POST")).await;
    assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    let body = request().header("content-length", "5");
    assert_eq!(answer(&router, body).await.status(), StatusCode::BAD_REQUEST);
    // There is nothing to upgrade in a request that no server has read.
    let unread = answer(&router, request()).await;
    assert_eq!(unread.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let metrics = state.service.clients().metrics();
    assert_eq!(metrics.rejected.iter().map(|rejected| rejected.count).sum::<u64>(), 4);
    assert_eq!((metrics.connections, metrics.opened), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn optional_extractor_is_none_for_plain_requests_alone() {
    async fn either(upgrade: Option<WebSocketUpgrade>) -> Response {
        match upgrade {
            Some(upgrade) => upgrade.on_upgrade(echo),
            None => "a page".into_response(),
        }
    }
    let router = Router::new().route("/", any(either)).with_state(app());
    assert_eq!(answer(&router, Request::get("/")).await.status(), StatusCode::OK);
    let broken = request().header("sec-websocket-version", "8");
    assert_eq!(answer(&router, broken).await.status(), StatusCode::BAD_REQUEST);
    let mut client = test_client(router, "/").await.unwrap();
    client.send("hi").await.unwrap();
    assert_eq!(client.recv().await, Some("hi".into()));
}

#[tokio::test(start_paused = true)]
async fn options_of_one_handler_replace_those_of_the_service() {
    async fn small(upgrade: WebSocketUpgrade) -> Response {
        let limits = Limits::default().max_message(4);
        upgrade.limits(limits).origin(OriginPolicy::any()).on_upgrade(echo)
    }
    let state = app();
    let router = Router::new()
        .route("/", any(small))
        .route("/default", any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(echo)))
        .with_state(state);
    let connect = |path| Connect::new(path).origin("https://evil.example");
    let mut client =
        test_client_with(router.clone(), connect("ws://test/"), Peer::Other).await.unwrap();
    client.send("small").await.unwrap();
    assert_eq!(client.closed().await.code, CloseCode::MESSAGE_TOO_BIG);
    let refused = test_client_with(router, connect("ws://test/default"), Peer::Other).await;
    assert!(
        matches!(refused, Err(ConnectError::Refused(refusal)) if refusal.status == StatusCode::FORBIDDEN)
    );
}

#[tokio::test(start_paused = true)]
async fn mistakes_of_the_application_are_500_and_open_nothing() {
    let protocol = any(async |upgrade: WebSocketUpgrade| upgrade.protocol("v9").on_upgrade(echo));
    let header =
        any(async |upgrade: WebSocketUpgrade| upgrade.header("x", "a\r\nb").on_upgrade(echo));
    let names = any(async |upgrade: WebSocketUpgrade| upgrade.protocols(["a b"]).on_upgrade(echo));
    let limits = any(async |upgrade: WebSocketUpgrade| {
        upgrade.limits(Limits::default().max_message(0)).on_upgrade(echo)
    });
    let state = app();
    for (n, route) in [protocol, header, names, limits].into_iter().enumerate() {
        let router = Router::new().route("/", route).with_state(state.clone());
        let refused = test_client(router, "/").await;
        let Err(ConnectError::Refused(refusal)) = refused else { panic!("{n}: {refused:?}") };
        assert_eq!(refusal.status, StatusCode::INTERNAL_SERVER_ERROR, "{n}");
    }
    assert_eq!(state.service.clients().metrics().opened, 0);
    assert_eq!(state.service.clients().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn failed_upgrade_is_told_and_its_place_is_free_again() {
    let (told, mut failures) = mpsc::unbounded_channel();
    let handler = any(async move |upgrade: WebSocketUpgrade| {
        let failed = move |error: ws_tower::UpgradeError| told.send(error.to_string()).unwrap();
        let accepted = upgrade.on_failed_upgrade(failed).on_upgrade(echo);
        assert_eq!(accepted.status(), StatusCode::SWITCHING_PROTOCOLS);
        // As a layer does that replaces the answer.
        StatusCode::IM_A_TEAPOT
    });
    let state = app();
    let router = Router::new().route("/", handler).with_state(state.clone());
    let refused = test_client(router, "/").await;
    assert!(matches!(refused, Err(ConnectError::Refused(_))), "{refused:?}");
    assert!(failures.recv().await.unwrap().contains("another answer was sent"));
    assert_eq!(state.service.clients().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn full_service_answers_503_and_connect_info_is_the_address_that_counts() {
    let limits = ServerLimits::default().max_per_ip(1);
    let service = Server::new().server_limits(limits).service().unwrap();
    let open = any(async |ConnectInfo(_): ConnectInfo<SocketAddr>, upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(echo)
    });
    let router = Router::new()
        .route("/", open)
        .route("/plain", get(async || "plain"))
        .with_state(service.clone());
    let from = |n| Peer::Tcp(SocketAddr::from(([192, 0, 2, n], 7)));
    let connect = || Connect::new("ws://test/");
    let one = test_client_with(router.clone(), connect(), from(1)).await.unwrap();
    let again = test_client_with(router.clone(), connect(), from(1)).await;
    assert!(
        matches!(again, Err(ConnectError::Refused(refusal)) if refusal.status == StatusCode::SERVICE_UNAVAILABLE)
    );
    let _other = test_client_with(router.clone(), connect(), from(2)).await.unwrap();
    drop(one);
    while service.clients().count() > 1 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let _one = test_client_with(router, connect(), from(1)).await.unwrap();
}
