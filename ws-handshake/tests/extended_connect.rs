//! The opening handshake of HTTP/2 and later: an extended CONNECT (RFC 8441).
#![allow(clippy::unwrap_used)]

use bytes::BytesMut;
use http::{Method, Request, StatusCode, Version, request::Builder};
use ws_handshake::{
    AcceptOptions, Cause, ConnectProtocol, ExtensionSet, OriginPolicy, Rejection, RequestView,
    Subprotocols, Upgrade,
};

fn connect(uri: &str) -> Builder {
    Request::builder()
        .method(Method::CONNECT)
        .uri(uri)
        .version(Version::HTTP_2)
        .header("sec-websocket-version", "13")
        .extension(ConnectProtocol::new("websocket"))
}

fn inspect(request: Builder) -> Result<Upgrade, Rejection> {
    let request = request.body(()).unwrap();
    let (parts, ()) = request.clone().into_parts();
    assert!(parts.asks_for_upgrade() && request.asks_for_upgrade());
    let (one, other) = (Upgrade::inspect(&request), Upgrade::inspect(&parts));
    assert_eq!(one.is_ok(), other.is_ok(), "of a request, and of its parts");
    one
}

fn cause(request: Builder) -> Cause {
    inspect(request).unwrap_err().cause()
}

// R8441-4-a, R8441-4-b, R8441-5-a, R8441-5-d, R8441-5-f
#[test]
fn r8441_5_extended_connect_is_accepted_with_200_and_neither_key_nor_accept() {
    for version in [Version::HTTP_2, Version::HTTP_3] {
        let request = connect("https://a.example:8443/chat?room=7").version(version);
        let upgrade = inspect(request).unwrap();
        assert_eq!((upgrade.path(), upgrade.query()), ("/chat", Some("room=7")));
        assert_eq!(upgrade.authority().to_string(), "a.example:8443");
        let accepted = upgrade.accept(&AcceptOptions::default()).unwrap();
        let response = accepted.header("Set-Cookie", "seen=1").unwrap().response();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers().len(), 1, "{:?}", response.headers());
    }
    let key = connect("https://a.example/").header("sec-websocket-key", "no key");
    let accepted = inspect(key).unwrap().accept(&AcceptOptions::default()).unwrap();
    let mut written = BytesMut::new();
    accepted.write(&mut written);
    assert_eq!(&written[..], b"HTTP/1.1 200 OK\r\n\r\n");
}

// R8441-5-e, R8441-8-a
#[test]
fn r8441_5_e_origin_version_subprotocols_and_extensions_are_judged_as_over_http_1() {
    let request = connect("https://a.example/chat")
        .header("origin", "https://a.example")
        .header("sec-websocket-protocol", "v2, v1")
        .header("sec-websocket-extensions", "x-unknown");
    let options = AcceptOptions::default()
        .subprotocols(Subprotocols::new(["v1"]).unwrap())
        .extensions(ExtensionSet::new());
    let accepted = inspect(request).unwrap().accept(&options).unwrap();
    assert_eq!(accepted.response().headers()["sec-websocket-protocol"], "v1");
    assert_eq!(accepted.extensions_header(), None);

    let other_site = connect("https://a.example/").header("origin", "https://evil.example");
    let refused = inspect(other_site).unwrap().check_origin(&OriginPolicy::same_origin());
    assert_eq!(refused.unwrap_err().status(), StatusCode::FORBIDDEN);
    let twice = connect("https://a.example/").header("sec-websocket-version", "13");
    assert_eq!(cause(twice), Cause::Version);
    let mut older = connect("https://a.example/");
    older.headers_mut().unwrap().insert("sec-websocket-version", "8".parse().unwrap());
    let rejection = inspect(older).unwrap_err();
    assert_eq!(rejection.cause(), Cause::UnsupportedVersion);
    assert_eq!(rejection.into_response().headers()["sec-websocket-version"], "13");
}

// RT-43, R8441-4-a, R8441-4-c, R8441-5-a, R8441-5-b, R8441-5-c
#[test]
fn malformed_connects_are_refused() {
    let good = "https://a.example/";
    let plain = Request::builder().method(Method::CONNECT).uri("a.example:443");
    let plain = plain.version(Version::HTTP_2).body(()).unwrap();
    assert!(!plain.asks_for_upgrade());
    assert_eq!(Upgrade::inspect(&plain).unwrap_err().status(), StatusCode::NOT_IMPLEMENTED);
    for other in ["WebSocket", "connect-udp", ""] {
        let protocol = ConnectProtocol::new(other);
        assert_eq!(cause(connect(good).extension(protocol)), Cause::ConnectProtocol, "{other}");
    }
    for target in ["/chat", "a.example:443", "wss://a.example/", "ftp://a.example/"] {
        assert_eq!(cause(connect(target)), Cause::Target, "{target}");
    }
    for (name, value) in
        [("upgrade", "websocket"), ("connection", "keep-alive"), ("transfer-encoding", "chunked")]
    {
        assert_eq!(cause(connect(good).header(name, value)), Cause::ConnectionSpecific, "{name}");
    }
    assert!(inspect(connect(good).header("host", "a.example")).is_ok());
    assert_eq!(cause(connect(good).header("host", "b.example")), Cause::Host);
    assert_eq!(cause(connect(good).header("content-length", "5")), Cause::Body);
    assert_eq!(cause(connect(good).header("expect", "100-continue")), Cause::Expect);
    assert_eq!(cause(connect(good).method(Method::GET)), Cause::Method);
    assert_eq!(cause(connect(good).version(Version::HTTP_11)), Cause::Method);
    let long = format!("https://a.example/{}", "a".repeat(10_000));
    assert_eq!(inspect(connect(&long)).unwrap_err().status(), StatusCode::URI_TOO_LONG);
}
