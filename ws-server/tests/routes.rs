//! Which route serves a path, and what holds on it alone.
#![allow(clippy::unwrap_used)]

mod support;

use support::{CLOSE, Raw, TEXT, echo};
use tokio::io::duplex;
use ws_server::{HandlerError, Limits, OriginPolicy, Peer, Route, Server, Service, WebSocket};

/// Sends what the route took from the path.
async fn tell(mut ws: WebSocket) -> Result<(), HandlerError> {
    let params: Vec<_> =
        ws.request().params().map(|(name, value)| format!("{name}={value}")).collect();
    let told = format!("{} {}", ws.request().path(), params.join(" "));
    ws.send(told).await?;
    while ws.recv().await.is_some() {}
    Ok(())
}

/// A client that asks for a path, and the head of the answer.
async fn ask(service: &Service, path: &str, headers: &str) -> (Raw, String) {
    let (client, server) = duplex(4096);
    tokio::spawn(service.serve_connection(server, Peer::Other));
    let mut raw = Raw::new(client);
    let head = raw.ask(path, headers).await;
    (raw, head)
}

async fn told(service: &Service, path: &str) -> String {
    let (mut raw, head) = ask(service, path, "").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{path}: {head}");
    String::from_utf8(raw.frame().await.unwrap().1).unwrap()
}

async fn status(service: &Service, path: &str, headers: &str) -> u16 {
    let (_, head) = ask(service, path, headers).await;
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

// D-1
#[tokio::test(start_paused = true)]
async fn path_goes_to_the_route_that_writes_most_of_it_out() {
    let service = Server::new()
        .route("/room/{room}", tell)
        .route("/room/lobby", tell)
        .route("/room/{room}/{seat}", tell)
        .route("/files/v{version}/{*path}", tell)
        .service()
        .unwrap();
    assert_eq!(told(&service, "/room/lobby").await, "/room/lobby ");
    assert_eq!(told(&service, "/room/7").await, "/room/7 room=7");
    assert_eq!(told(&service, "/room/7?room=8").await, "/room/7 room=7");
    assert_eq!(told(&service, "/room/7/12").await, "/room/7/12 room=7 seat=12");
    assert_eq!(told(&service, "/files/v2/a/b/").await, "/files/v2/a/b/ version=2 path=a/b/");
    for path in ["/", "/room", "/room/", "/Room/7", "/room/7/12/", "/files/2/a", "/files/v2/"] {
        assert_eq!(status(&service, path, "").await, 404, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn parameter_is_decoded_once_after_the_path_was_matched() {
    let service = Server::new().route("/room/{room}", tell).service().unwrap();
    for (sent, room) in [
        ("a%2Fb", "a/b"),
        ("%252F", "%2F"),
        ("a+b", "a+b"),
        ("%C3%A9", "é"),
        ("%0A%00", "\n\0"),
        ("%", "%"),
        ("%zz", "%zz"),
        ("%2e%2e", ".."),
    ] {
        let path = format!("/room/{sent}");
        assert_eq!(told(&service, &path).await, format!("{path} room={room}"));
    }
    for sent in ["%ff", "a%C3", "%ED%A0%80"] {
        let (mut raw, head) = ask(&service, &format!("/room/{sent}"), "").await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        let body = String::from_utf8(raw.take_input()).unwrap();
        assert!(body.contains("not UTF-8"), "{body}");
    }
    let causes: Vec<_> = service.clients().metrics().rejected;
    assert_eq!((causes.len(), causes[0].count), (1, 3), "{causes:?}");
}

#[tokio::test(start_paused = true)]
async fn any_takes_what_no_route_does() {
    let service = Server::new().route("/room/{room}", tell).any(tell).service().unwrap();
    assert_eq!(told(&service, "/room/7").await, "/room/7 room=7");
    assert_eq!(told(&service, "/other/7").await, "/other/7 ");
}

#[tokio::test(start_paused = true)]
async fn what_a_route_says_holds_on_it_alone() {
    let service = Server::new()
        .subprotocols(["server"])
        .route("/plain", echo)
        .route("/open", Route::new(echo).origin(OriginPolicy::any()))
        .route("/feed", Route::new(echo).require_subprotocol(["feed.v2", "feed.v1"]))
        .route("/choice", Route::new(echo).subprotocols(["feed.v1"]))
        .route("/small", Route::new(echo).limits(Limits::default().max_message(4)))
        .service()
        .unwrap();
    let foreign = "Origin: https://other.example\r\n";
    assert_eq!(status(&service, "/plain", foreign).await, 403);
    assert_eq!(status(&service, "/open", foreign).await, 101);

    let offer = |names: &str| format!("Sec-WebSocket-Protocol: {names}\r\n");
    let agreed = async |path: &str, names: &str| {
        let (_, head) = ask(&service, path, &offer(names)).await;
        let line = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Protocol: "));
        line.map(str::to_owned)
    };
    assert_eq!(agreed("/plain", "feed.v1, server").await.as_deref(), Some("server"));
    assert_eq!(agreed("/feed", "feed.v1, feed.v2").await.as_deref(), Some("feed.v1"));
    assert_eq!(agreed("/choice", "server, feed.v1").await.as_deref(), Some("feed.v1"));
    assert_eq!(status(&service, "/feed", "").await, 400);
    assert_eq!(status(&service, "/feed", &offer("server")).await, 400);
    assert_eq!(status(&service, "/choice", &offer("server")).await, 101);

    let (mut plain, _) = ask(&service, "/plain", "").await;
    plain.send(TEXT, b"hello").await;
    assert_eq!(plain.frame().await.unwrap(), (TEXT, b"hello".to_vec()));
    let (mut small, _) = ask(&service, "/small", "").await;
    small.send(TEXT, b"hello").await;
    let (opcode, body) = small.frame().await.unwrap();
    assert_eq!((opcode, &body[..2]), (CLOSE, &1009_u16.to_be_bytes()[..]));
}

#[cfg(feature = "deflate")]
#[tokio::test(start_paused = true)]
async fn extensions_of_a_route_replace_those_of_the_server() {
    use ws_server::Deflate;

    let service = Server::new()
        .extension(Deflate::default())
        .route("/plain", echo)
        .route("/never", Route::new(echo).without_extensions())
        .service()
        .unwrap();
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let extensions = async |path| {
        let (_, head) = ask(&service, path, offer).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        head.contains("permessage-deflate")
    };
    assert!(extensions("/plain").await && !extensions("/never").await);

    let alone = Route::new(echo).extension(Deflate::default());
    let service = Server::new().route("/plain", echo).route("/alone", alone).service().unwrap();
    let (_, head) = ask(&service, "/alone", offer).await;
    assert!(head.contains("permessage-deflate"), "{head}");
    let (_, head) = ask(&service, "/plain", offer).await;
    assert!(!head.contains("permessage-deflate"), "{head}");
}
