//! Answers other than the 101 (RFC 6455 §4.2.2, RFC 9110 §15).
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use http::StatusCode;
use support::{REQUEST, Reply, VERSION, inspect, replacing, serve};
use ws_handshake::{
    AcceptOptions, Cause, ExtensionHeaderError, HeadError, InvalidHeader, OriginRefusal, Rejection,
    SubprotocolHeaderError, write_response,
};

fn write(rejection: Rejection) -> Reply {
    let mut out = BytesMut::new();
    let status = rejection.status().as_u16();
    write_response(&rejection.into_response(), &mut out);
    Reply { status, bytes: out.to_vec() }
}

// T-B20
#[test]
fn names_of_causes_are_labels_from_a_fixed_set() {
    let names = [
        (Cause::Application, "application"),
        (Cause::NoRoute, "no_route"),
        (Cause::NoRoom, "no_room"),
        (Cause::Head(HeadError::TooLarge), "head_too_large"),
        (Cause::Head(HeadError::TooManyHeaders), "too_many_headers"),
        (Cause::Head(HeadError::TargetTooLong), "target_too_long"),
        (Cause::Head(HeadError::Version), "http_version"),
        (Cause::Head(HeadError::BareLf), "malformed_head"),
        (Cause::Timeout, "timeout"),
        (Cause::EarlyData, "early_data"),
        (Cause::Method, "method"),
        (Cause::HttpTooOld, "http_too_old"),
        (Cause::ConnectProtocol, "connect_protocol"),
        (Cause::ConnectionSpecific, "connection_specific"),
        (Cause::Target, "target"),
        (Cause::PathParameter, "path_parameter"),
        (Cause::Host, "host"),
        (Cause::OtherHost, "other_host"),
        (Cause::NotAscii, "not_ascii"),
        (Cause::Upgrade, "upgrade"),
        (Cause::Connection, "connection"),
        (Cause::Body, "body"),
        (Cause::Expect, "expect"),
        (Cause::Version, "version"),
        (Cause::UnsupportedVersion, "unsupported_version"),
        (Cause::Key, "key"),
        (Cause::Subprotocols(SubprotocolHeaderError::TooMany), "subprotocols"),
        (Cause::NoSubprotocol, "no_subprotocol"),
        (Cause::Extensions(ExtensionHeaderError::Empty), "extensions"),
        (Cause::OriginHeader, "origin_header"),
        (Cause::Origin(OriginRefusal::CrossSite), "origin"),
    ];
    for (n, (cause, name)) in names.into_iter().enumerate() {
        assert_eq!(cause.name(), name);
        assert!(names[..n].iter().all(|(_, other)| *other != name), "{name} is there twice");
    }
    // The octet that a client sent makes no name of its own.
    let octets = (0..=255).map(|octet| Cause::Head(HeadError::TargetOctet(octet)).name());
    assert!({ octets }.all(|name| name == "malformed_head"));
}

// R6455-4.2.2-b
#[test]
fn application_asks_for_credentials_with_401() {
    let rejection = Rejection::new(StatusCode::UNAUTHORIZED)
        .header("WWW-Authenticate", "Basic realm=\"chat\"")
        .unwrap()
        .body("who are you?\n");
    assert_eq!(
        write(rejection).text(),
        "HTTP/1.1 401 Unauthorized\r\n\
         Www-Authenticate: Basic realm=\"chat\"\r\n\
         Connection: close\r\n\
         Content-Length: 13\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         \r\n\
         who are you?\n"
    );
}

// R6455-4.2.2-c, RT-10
#[test]
fn rt_10_application_redirects_and_cannot_break_out_of_the_line() {
    let redirect =
        |target: &str| Rejection::new(StatusCode::TEMPORARY_REDIRECT).header("Location", target);
    let reply = write(redirect("https://b.example/chat").unwrap());
    reply.assert_rejected(307);
    assert_eq!(reply.values("Location"), ["https://b.example/chat"]);
    for target in ["/\r\nX: y", "/\n", "/\r", "/\0", "/\u{b}", "/\u{c}", "/\u{85}", "/\u{e4}"] {
        assert_eq!(redirect(target).unwrap_err(), InvalidHeader::Value, "{target:?}");
    }
}

// R6455-4.2.2-e, R6455-4.4-a
#[test]
fn another_version_is_answered_with_426_and_ours() {
    assert_eq!(
        serve(&replacing(VERSION, "Sec-WebSocket-Version: 8")).text(),
        "HTTP/1.1 426 Upgrade Required\r\n\
         Upgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Connection: Upgrade, close\r\n\
         Content-Length: 43\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         \r\n\
         only Sec-WebSocket-Version 13 is supported\n"
    );
}

// R6455-4.2.2-f
#[test]
fn application_answers_unknown_paths_with_404() {
    let upgrade = inspect(&replacing("GET /chat HTTP/1.1", "GET /nope HTTP/1.1")).unwrap();
    assert_eq!(upgrade.path(), "/nope");
    let reply = write(Rejection::new(StatusCode::NOT_FOUND));
    reply.assert_rejected(404);
    assert_eq!(reply.body(), "");
}

// R6455-10.7-h
#[test]
fn every_cause_has_its_status() {
    for (cause, status) in [
        (Cause::Head(HeadError::TooLarge), 431),
        (Cause::Head(HeadError::TooManyHeaders), 431),
        (Cause::Head(HeadError::TargetTooLong), 414),
        (Cause::Head(HeadError::StartLine), 400),
        (Cause::Head(HeadError::TargetOctet(b'"')), 400),
        (Cause::Head(HeadError::TargetNotAscii), 400),
        (Cause::Head(HeadError::Header), 400),
        (Cause::Head(HeadError::Version), 505),
        (Cause::Timeout, 408),
        (Cause::EarlyData, 400),
        (Cause::Method, 405),
        (Cause::HttpTooOld, 400),
        (Cause::ConnectProtocol, 501),
        (Cause::ConnectionSpecific, 400),
        (Cause::Upgrade, 426),
        (Cause::UnsupportedVersion, 426),
        (Cause::Version, 400),
        (Cause::Expect, 417),
        (Cause::Origin(OriginRefusal::CrossSite), 403),
        (Cause::OtherHost, 421),
        (Cause::NoSubprotocol, 400),
    ] {
        let reply = write(cause.into());
        reply.assert_rejected(status);
        assert!(reply.body().ends_with('\n') && reply.body().lines().count() == 1);
        assert_eq!(reply.values("Content-Type"), ["text/plain; charset=utf-8"]);
    }
}

// R9112-9.6-a
#[test]
fn every_status_of_an_application_closes_and_gives_its_length() {
    for status in [200, 307, 400, 401, 403, 404, 405, 408, 413, 414, 417, 426, 429, 431, 500, 503] {
        let status = StatusCode::from_u16(status).unwrap();
        let reply = write(Rejection::new(status).body("no"));
        reply.assert_rejected(status.as_u16());
        assert_eq!(reply.body(), "no");
    }
    assert_eq!(write(Rejection::new(StatusCode::METHOD_NOT_ALLOWED)).values("Allow"), ["GET"]);
    let busy = Rejection::new(StatusCode::SERVICE_UNAVAILABLE).header("Retry-After", "30");
    assert_eq!(write(busy.unwrap()).values("Retry-After"), ["30"]);
}

#[test]
fn status_without_a_body_is_sent_without() {
    for status in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED, StatusCode::RESET_CONTENT] {
        let reply = write(Rejection::new(status).body("no"));
        assert_eq!(reply.body(), "");
        assert!(!reply.has("Content-Length") && !reply.has("Content-Type"));
        assert_eq!(reply.values("Connection"), ["close"]);
    }
}

#[test]
fn application_cannot_reject_with_a_1xx() {
    for status in [StatusCode::CONTINUE, StatusCode::SWITCHING_PROTOCOLS] {
        write(Rejection::new(status)).assert_rejected(500);
    }
}

#[test]
fn application_chooses_the_type_of_its_body() {
    let rejection = Rejection::new(StatusCode::OK).header("Content-Type", "text/html").unwrap();
    let reply = write(rejection.body("<p>"));
    assert_eq!(reply.values("Content-Type"), ["text/html"]);
}

// RT-10
#[test]
fn rt_10_rejection_refuses_headers_that_frame_it() {
    for name in ["Connection", "content-length", "Transfer-Encoding", "Sec-WebSocket-Accept"] {
        let error = Rejection::new(StatusCode::OK).header(name, "x").unwrap_err();
        assert_eq!(error, InvalidHeader::Reserved, "{name}");
    }
    for octet in (0..=8_u8).chain(10..=31).chain(127..=255) {
        let value = format!("a{}b", char::from(octet));
        let error = Rejection::new(StatusCode::OK).header("X-A", &value).unwrap_err();
        assert_eq!(error, InvalidHeader::Value, "{octet:#04x}");
    }
}

// R6455-4.2.1-a
#[test]
fn nothing_that_the_peer_sent_stands_in_the_answer() {
    for old in [support::HOST, support::UPGRADE, support::CONNECTION, support::KEY, VERSION] {
        let name = old.split(':').next().unwrap();
        let request = replacing(old, &format!("{name}: sec:ret<script>"));
        let reply = serve(&request);
        assert_ne!(reply.status, 101);
        assert!(!reply.text().contains("script"), "{}", reply.text());
    }
}

#[test]
fn rejection_reads_well_in_a_log() {
    let request = REQUEST.replacen("\r\n\r\n", "\r\nOrigin: null\r\n\r\n", 1);
    let upgrade = inspect(request.as_bytes()).unwrap();
    let error = upgrade.accept(&AcceptOptions::default()).unwrap_err();
    assert_eq!(error.to_string(), "403: Origin is null");
    assert_eq!(
        inspect(&replacing(support::KEY, "")).unwrap_err().to_string(),
        "400: Sec-WebSocket-Key must appear exactly once, as 16 octets in base64"
    );
}
