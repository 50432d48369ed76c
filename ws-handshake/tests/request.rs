//! What a server takes for an opening handshake (RFC 6455 §4.2.1, §4.3, §11.3).
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use support::{
    CONNECTION, HOST, KEY, REQUEST, RESPONSE, UPGRADE, VERSION, inspect, replacing, serve, with,
    with_octets,
};
use ws_handshake::{Cause, RequestReader};

// R6455-4.2.1-a
#[test]
fn server_answers_every_deviation_with_an_error_and_never_with_101() {
    let deviations = [
        (replacing("GET /chat HTTP/1.1", "POST /chat HTTP/1.1"), 405),
        (replacing("GET /chat HTTP/1.1", "GET /chat HTTP/1.0"), 400),
        (replacing("GET /chat HTTP/1.1", "GET chat HTTP/1.1"), 400),
        (replacing("GET /chat HTTP/1.1", "GET * HTTP/1.1"), 400),
        (replacing("GET /chat HTTP/1.1", "GET a.example:80 HTTP/1.1"), 400),
        (replacing("GET /chat HTTP/1.1", "GET ftp://a.example/ HTTP/1.1"), 400),
        (replacing(HOST, ""), 400),
        (replacing(UPGRADE, ""), 426),
        (replacing(UPGRADE, "Upgrade: h2c"), 426),
        (replacing(CONNECTION, ""), 400),
        (replacing(CONNECTION, "Connection: close"), 400),
        (replacing(KEY, ""), 400),
        (replacing(KEY, "Sec-WebSocket-Key: x"), 400),
        (replacing(VERSION, ""), 400),
        (replacing(VERSION, "Sec-WebSocket-Version: 12"), 426),
        (with("Sec-WebSocket-Protocol: a b"), 400),
        (with("Sec-WebSocket-Extensions: a b"), 400),
        (with("Origin: https://evil.example"), 403),
    ];
    assert_eq!(serve(REQUEST.as_bytes()).text(), RESPONSE);
    for (request, status) in deviations {
        serve(&request).assert_rejected(status);
    }
}

// R6455-4.2.1-b
#[test]
fn server_answers_another_method_with_405_and_the_method_it_takes() {
    for method in ["POST", "HEAD", "CONNECT", "OPTIONS", "get", "Get", "GETT"] {
        let line = format!("{method} /chat HTTP/1.1");
        let reply = serve(&replacing("GET /chat HTTP/1.1", &line));
        reply.assert_rejected(405);
        assert_eq!(reply.values("Allow"), ["GET"], "{method}");
        // RFC 9110 §9.3.2: an answer to HEAD has no content.
        assert_eq!(reply.body().is_empty(), method == "HEAD", "{method}");
    }
}

// R6455-4.2.1-c, D-18
#[test]
fn server_takes_http_1_1_alone() {
    for (version, status) in [
        ("HTTP/1.0", 400),
        ("HTTP/0.9", 505),
        ("HTTP/1.2", 505),
        ("HTTP/2.0", 505),
        ("HTTP/9.9", 505),
        ("HTTP/1.10", 400),
        ("HTTP/1", 400),
        ("http/1.1", 400),
        ("HTTPS/1.1", 400),
    ] {
        let line = format!("GET /chat {version}");
        serve(&replacing("GET /chat HTTP/1.1", &line)).assert_rejected(status);
    }
}

// R6455-4.2.1-c
#[test]
fn get_over_http_2_opens_no_websocket() {
    let mut request = http::Request::new(());
    *request.version_mut() = http::Version::HTTP_2;
    let rejection = ws_handshake::Upgrade::inspect(&request).unwrap_err();
    assert_eq!(rejection.cause(), Cause::Method);
    assert_eq!(rejection.into_response().headers()["Allow"], "CONNECT");
}

// R6455-4.2.1-d
#[test]
fn path_and_query_reach_the_application_unchanged() {
    for (target, path, query) in [
        ("/a%2fb?x=1&y", "/a%2fb", Some("x=1&y")),
        ("/a/../b//c/.", "/a/../b//c/.", None),
        ("//double", "//double", None),
        ("/a?", "/a", Some("")),
        ("/?a?b", "/", Some("a?b")),
        // RFC 3986 has these escaped; browsers send them as they stand in the URL.
        ("/%zz", "/%zz", None),
        ("/%2?100%", "/%2", Some("100%")),
        ("/a|b?c[]={d^e}", "/a|b", Some("c[]={d^e}")),
    ] {
        let line = format!("GET {target} HTTP/1.1");
        let upgrade = inspect(&replacing("GET /chat HTTP/1.1", &line)).unwrap();
        assert_eq!((upgrade.path(), upgrade.query()), (path, query));
        assert_eq!(upgrade.resource(), target);
    }
}

// R6455-4.2.1-e, R9112-3.2.2-a
#[test]
fn absolute_target_is_taken_and_its_authority_wins_over_host() {
    let line = "GET http://Other.example:8080/chat?q HTTP/1.1";
    let upgrade = inspect(&replacing("GET /chat HTTP/1.1", line)).unwrap();
    assert_eq!(upgrade.resource(), "/chat?q");
    assert_eq!(upgrade.authority().to_string(), "other.example:8080");

    let upgrade = inspect(&replacing("GET /chat HTTP/1.1", "GET HTTPS://a HTTP/1.1")).unwrap();
    assert_eq!(upgrade.resource(), "/");
    assert_eq!(upgrade.authority().to_string(), "a");

    for target in ["http://user@a/", "http://a:0/", "http://a:99999/", "http:///x", "ws://a/"] {
        let line = format!("GET {target} HTTP/1.1");
        serve(&replacing("GET /chat HTTP/1.1", &line)).assert_rejected(400);
    }
}

// R6455-4.2.1-f, R9112-3.2-a, RT-07
#[test]
fn rt_07_server_refuses_every_host_that_is_not_one_authority() {
    for host in [
        "Host:",
        "Host: a b",
        "Host: [::1",
        "Host: ::1",
        "Host: [::1]x",
        "Host: [zz]",
        "Host: [fe80::1%25eth0]",
        "Host: a:99999",
        "Host: a:0",
        "Host: a:+1",
        "Host: a:1:2",
        "Host: :80",
        "Host: user@a",
        "Host: http://a",
        "Host: a/b",
        "Host: a%2",
        "Host: a\\b",
    ] {
        serve(&replacing(HOST, host)).assert_rejected(400);
    }
}

// R6455-4.2.1-f, R9112-3.2-a, RT-07
#[test]
fn rt_07_server_refuses_two_host_lines() {
    serve(&with("Host: server.example.com")).assert_rejected(400);
    serve(&with("Host: other.example.com")).assert_rejected(400);
}

// R6455-4.2.1-f
#[test]
fn server_takes_names_addresses_and_ports_as_host() {
    for (host, authority) in [
        ("a", "a"),
        ("A.Example:8080", "a.example:8080"),
        ("a.example.", "a.example."),
        ("a_b.example", "a_b.example"),
        ("a:", "a"),
        ("127.0.0.1:9001", "127.0.0.1:9001"),
        ("[0:0:0:0:0:0:0:1]:80", "[::1]:80"),
        ("[::FFFF:1.2.3.4]", "[::ffff:1.2.3.4]"),
        ("%61", "%61"),
        ("a,b;c=d", "a,b;c=d"),
    ] {
        let upgrade = inspect(&replacing(HOST, &format!("Host: {host}"))).unwrap();
        assert_eq!(upgrade.authority().to_string(), authority);
    }
}

// R6455-4.2.1-g, R9110-7.8-b, RT-06
#[test]
fn rt_06_upgrade_is_websocket_as_a_whole_element() {
    for lines in [
        "Upgrade: WebSocket",
        "Upgrade: WEBSOCKET",
        "Upgrade: h2c, websocket",
        "Upgrade: h2c ,\t websocket , x",
        "Upgrade: ,,websocket",
        "Upgrade: h2c\r\nUpgrade: websocket",
        "Upgrade: websocket, websocket",
    ] {
        assert_eq!(serve(&replacing(UPGRADE, lines)).status, 101, "{lines}");
    }
    for line in [
        "Upgrade: notwebsocket",
        "Upgrade: websocketx",
        "Upgrade: web socket",
        "Upgrade: websocket x",
        "Upgrade: websocket;q=1",
        "Upgrade: websocket/13",
        "Upgrade: \"websocket\"",
        "Upgrade:",
        "Upgrade: ,",
        "",
    ] {
        let reply = serve(&replacing(UPGRADE, line));
        reply.assert_rejected(426);
        assert_eq!(reply.values("Upgrade"), ["websocket"], "{line}");
    }
}

// R6455-4.2.1-h, R9110-7.6.1-a, RT-06
#[test]
fn rt_06_connection_lists_upgrade_as_a_whole_element() {
    for lines in [
        "Connection: upgrade",
        "Connection: UPGRADE",
        "Connection: keep-alive, Upgrade",
        "Connection: Close, UPGRADE",
        "Connection: ,\tupgrade\t,",
        "Connection: keep-alive\r\nConnection: Upgrade",
    ] {
        assert_eq!(serve(&replacing(CONNECTION, lines)).status, 101, "{lines}");
    }
    for line in [
        "Connection: notupgrade",
        "Connection: upgradex",
        "Connection: keep-alive Upgrade",
        "Connection: Upgrade;q=1",
        "Connection: \"Upgrade\"",
        "Connection:",
        "",
    ] {
        serve(&replacing(CONNECTION, line)).assert_rejected(400);
    }
}

// R6455-4.2.1-i, RT-60, D-5
#[test]
fn rt_60_key_is_24_octets_of_the_right_shape() {
    for key in [
        "AQIDBAUGBwgJCgsMDQ4PEC==",
        "dGhlIHNhbXBsZSBub25jZQ==",
        "++++++++++//////////++==",
        " \tdGhlIHNhbXBsZSBub25jZQ== \t",
    ] {
        let line = format!("Sec-WebSocket-Key: {key}");
        assert_eq!(serve(&replacing(KEY, &line)).status, 101, "{key}");
    }
    let long = "A".repeat(8000);
    for key in [
        "",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "AAAdGhlIHNhbXBsZSBub25jZQ==",
        "dGhlIHNhbXBsZSBub25jZWU=",
        "dGhlIHNhbXBsZSBub25jZQAA",
        "dGhlIHNhbXBsZSBub25jZ===",
        "--------------------__==",
        "dGhlIHNhbXBs ZSBub25jZQ==",
        "dGhlIHNhbX sZSBub25jZQ==",
        "=Ghl=HNhbXBsZSBub25jZQ==",
        &long,
    ] {
        let line = format!("Sec-WebSocket-Key: {key}");
        serve(&replacing(KEY, &line)).assert_rejected(400);
    }
    serve(&replacing(KEY, "")).assert_rejected(400);
}

// RT-60
#[test]
fn rt_60_key_of_a_megabyte_never_gets_past_the_head_limit() {
    let line = format!("Sec-WebSocket-Key: {}", "A".repeat(1_000_000));
    serve(&replacing(KEY, &line)).assert_rejected(431);

    let mut request = http::Request::new(());
    for (name, value) in [("host", "a"), ("upgrade", "websocket"), ("connection", "upgrade")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request.headers_mut().insert("sec-websocket-version", "13".parse().unwrap());
    let long = "A".repeat(1_000_000);
    request.headers_mut().insert("sec-websocket-key", long.parse().unwrap());
    let rejection = ws_handshake::Upgrade::inspect(&request).unwrap_err();
    assert_eq!(rejection.cause(), Cause::Key);
}

// R6455-4.2.1-j, R6455-4.3-a, MDN-4
#[test]
fn version_is_13() {
    for value in ["13", "13 ", "13\t", "  13"] {
        let line = format!("Sec-WebSocket-Version: {value}");
        assert_eq!(serve(&replacing(VERSION, &line)).status, 101, "{value}");
    }
    for value in ["0", "7", "8", "12", "14", "25", "99", "100", "255"] {
        let line = format!("Sec-WebSocket-Version: {value}");
        let reply = serve(&replacing(VERSION, &line));
        reply.assert_rejected(426);
        assert_eq!(reply.values("Sec-WebSocket-Version"), ["13"], "{value}");
    }
    for value in [
        "",
        "013",
        "00",
        "+13",
        "-13",
        "13, 8",
        "13,13",
        "1 3",
        "256",
        "1000",
        "0x0d",
        "13.0",
        "x",
        "\u{661}\u{663}",
    ] {
        let line = format!("Sec-WebSocket-Version: {value}");
        let reply = serve(&replacing(VERSION, &line));
        reply.assert_rejected(400);
        assert_eq!(reply.values("Sec-WebSocket-Version"), ["13"], "{value}");
    }
    let reply = serve(&replacing(VERSION, ""));
    reply.assert_rejected(400);
    assert_eq!(reply.values("Sec-WebSocket-Version"), ["13"]);
}

// R6455-11.3.5-a
#[test]
fn server_refuses_two_version_lines() {
    for line in ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"] {
        let reply = serve(&with(line));
        reply.assert_rejected(400);
        assert_eq!(reply.values("Sec-WebSocket-Version"), ["13"]);
    }
}

// R6455-11.3.1-a
#[test]
fn server_refuses_two_key_lines() {
    serve(&with(KEY)).assert_rejected(400);
    serve(&with("Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==")).assert_rejected(400);
}

// RT-11
#[test]
fn rt_11_server_has_no_path_for_older_protocols() {
    let hixie_76 = "GET /demo HTTP/1.1\r\n\
        Host: example.com\r\n\
        Connection: Upgrade\r\n\
        Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\
        Sec-WebSocket-Protocol: sample\r\n\
        Upgrade: WebSocket\r\n\
        Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
        Origin: http://example.com\r\n\
        \r\n\
        ^n:ds[4U";
    serve(hixie_76.as_bytes()).assert_rejected(400);
    serve(hixie_76.strip_suffix("^n:ds[4U").unwrap().as_bytes()).assert_rejected(400);

    for version in ["0", "7", "8"] {
        let line = format!("Sec-WebSocket-Version: {version}");
        let hybi = replacing(VERSION, &format!("{line}\r\nSec-WebSocket-Origin: http://a.example"));
        serve(&hybi).assert_rejected(426);
    }
}

// R6455-4.2.1-l
#[test]
fn subprotocols_are_seen_in_the_order_of_the_client() {
    let upgrade = inspect(&with("Sec-WebSocket-Protocol: b, a")).unwrap();
    assert_eq!(upgrade.subprotocols().iter().collect::<Vec<_>>(), ["b", "a"]);
}

// R6455-4.2.1-m
#[test]
fn unknown_extension_is_ignored() {
    let request = with("Sec-WebSocket-Extensions: x-foo; a=b");
    assert_eq!(serve(&request).text(), RESPONSE);
    assert_eq!(inspect(&request).unwrap().offers()[0].to_string(), "x-foo; a=b");
}

// R6455-4.2.1-n
#[test]
fn unknown_headers_are_ignored_and_can_be_read() {
    let request =
        with("X-Anything: 1\r\nCookie: a=b\r\nX-Anything: 2\r\nAuthorization: Basic eA==");
    let read = RequestReader::default().read(&mut BytesMut::from(&request[..])).unwrap().unwrap();
    let values: Vec<_> = read.headers().get_all("x-anything").iter().collect();
    assert_eq!(values, ["1", "2"]);
    assert_eq!(read.headers()["cookie"], "a=b");
    assert_eq!(read.headers()["authorization"], "Basic eA==");
    assert_eq!(serve(&request).text(), RESPONSE);
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let lines = "Cookie: id=hunter2\r\nAuthorization: Basic hunter2\r\nX-Seen: this";
    let read = |request| RequestReader::default().read(request).unwrap().unwrap();
    let shown = format!("{:?}", read(&mut BytesMut::from(&with(lines)[..])));
    assert!(shown.contains("this") && !shown.contains("hunter2"), "{shown}");
    let shown = format!("{:?}", inspect(&with(lines)).unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
    let head = RequestReader::default().read_head(&mut BytesMut::from(&with(lines)[..])).unwrap();
    let shown = format!("{head:?}");
    assert!(shown.contains("/chat") && !shown.contains("hunter2"), "{shown}");
}

// R6455-4.2.1-o
#[test]
fn headers_may_come_in_any_order() {
    fn permute(lines: &mut [&str], from: usize, each: &mut dyn FnMut(&[&str])) {
        if from == lines.len() {
            return each(lines);
        }
        for i in from..lines.len() {
            lines.swap(from, i);
            permute(lines, from + 1, each);
            lines.swap(from, i);
        }
    }
    let mut lines = [HOST, UPGRADE, CONNECTION, KEY, VERSION, "Origin: http://server.example.com"];
    let mut count = 0;
    permute(&mut lines, 0, &mut |lines| {
        let request = format!("GET /chat HTTP/1.1\r\n{}\r\n\r\n", lines.join("\r\n"));
        assert_eq!(serve(request.as_bytes()).text(), RESPONSE);
        count += 1;
    });
    assert_eq!(count, 720);
}

// R6455-8.1-h, R9112-2.2-a
#[test]
fn octets_outside_of_ascii_are_refused_where_they_are_interpreted_and_opaque_elsewhere() {
    for name in [
        "Upgrade",
        "Connection",
        "Origin",
        "Sec-WebSocket-Protocol",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Version",
        "Sec-WebSocket-Key",
        "Content-Length",
        "Host",
    ] {
        let line = [name.as_bytes(), b": \xc3\x28"].concat();
        serve(&with_octets(&line)).assert_rejected(400);
    }
    for octets in [&b"\xc3\x28"[..], b"\x80", b"\xff\xfe", b"\xf0\x9f\x8d\xb0"] {
        let line = [b"User-Agent: ", octets].concat();
        let request = with_octets(&line);
        inspect(&request).unwrap();
        let read = RequestReader::default().read(&mut BytesMut::from(&request[..]));
        assert_eq!(read.unwrap().unwrap().headers()["user-agent"].as_bytes(), octets);
    }
}
