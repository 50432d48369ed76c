//! Which pages may connect (RFC 6455 §10.2).
#![allow(clippy::unwrap_used)]

mod support;

use support::{HOST, REQUEST, inspect, replacing, serve, serve_with, with};
use ws_handshake::{AcceptOptions, Cause, OriginPolicy, OriginRefusal};

/// A request to `host` from `origin`, if there is one, with a cookie as a browser has.
fn request(host: &str, origin: Option<&str>) -> Vec<u8> {
    let origin = origin.map(|origin| format!("\r\nOrigin: {origin}")).unwrap_or_default();
    replacing(HOST, &format!("Host: {host}\r\nCookie: session=1{origin}"))
}

fn status(policy: &OriginPolicy, host: &str, origin: Option<&str>) -> u16 {
    serve_with(&request(host, origin), &AcceptOptions::default().origin(policy.clone())).status
}

// R6455-10.2-a, R6455-10.2-b, RT-45
#[test]
fn rt_45_by_default_other_sites_are_refused_with_403() {
    for origin in [
        "https://evil.example",
        "null",
        "https://a.example.evil.example",
        "https://evila.example",
        "https://x.a.example",
        "https://example",
        "https://a.example:8443",
        "http://a.example:443",
        "https://a.example:80",
        "ws://a.example:443",
        "wss://a.example:80",
        "ws://evil.example",
        "file://",
        "capacitor://a.example",
        "a.example",
        "",
        "https://a.example//",
        "https://a.example/x",
        "https://a.example https://a.example",
    ] {
        let reply = serve(&request("a.example", Some(origin)));
        reply.assert_rejected(403);
        assert_eq!(reply.body(), "this origin may not connect\n", "{origin}");
    }
}

// R6455-10.2-a, RT-45, MDN-2
#[test]
fn rt_45_by_default_the_own_site_and_programs_without_origin_may_connect() {
    for (host, origin) in [
        ("a.example", Some("https://a.example")),
        ("a.example", Some("http://a.example")),
        ("a.example", Some("https://a.example:443")),
        ("a.example", Some("http://a.example:80")),
        ("a.example:443", Some("https://a.example")),
        ("a.example:80", Some("http://a.example")),
        ("a.example:9001", Some("http://a.example:9001")),
        ("a.example:9001", Some("https://a.example:9001")),
        ("A.Example", Some("https://a.example")),
        ("[::1]:9001", Some("http://[::1]:9001")),
        // As native clients send it: Starscream and others.
        ("a.example", Some("ws://a.example")),
        ("a.example", Some("wss://a.example")),
        ("a.example:80", Some("ws://a.example")),
        ("a.example:443", Some("wss://a.example")),
        ("a.example", Some("WSS://A.example:443")),
        ("a.example:9001", Some("ws://a.example:9001")),
        ("[::1]:9001", Some("ws://[::1]:9001")),
        // Cut out of a URL.
        ("a.example", Some("https://a.example/")),
        ("a.example:9001", Some("ws://a.example:9001/")),
        ("a.example", None),
    ] {
        assert_eq!(serve(&request(host, origin)).status, 101, "{host} {origin:?}");
    }
}

// R6455-10.2-a
#[test]
fn host_without_port_stands_for_the_default_port_of_the_origins_scheme() {
    let policy = OriginPolicy::same_origin();
    assert_eq!(status(&policy, "a.example:443", Some("http://a.example")), 403);
    assert_eq!(status(&policy, "a.example:80", Some("https://a.example")), 403);
    assert_eq!(status(&policy, "a.example", Some("https://a.example:9001")), 403);
    // No default port is known of another scheme.
    assert_eq!(status(&policy, "a.example", Some("app://a.example")), 403);
    assert_eq!(status(&policy, "a.example:9", Some("app://a.example:9")), 403);
}

// R6455-10.2-a, RT-45
#[test]
fn rt_45_server_that_knows_its_scheme_compares_it() {
    let policy = OriginPolicy::same_origin().tls(true);
    assert_eq!(status(&policy, "a.example", Some("https://a.example")), 101);
    assert_eq!(status(&policy, "a.example", Some("http://a.example")), 403);
    assert_eq!(status(&policy, "a.example:9001", Some("http://a.example:9001")), 403);
    assert_eq!(status(&policy, "a.example:9001", Some("https://a.example:9001")), 101);
    assert_eq!(status(&policy, "a.example", Some("wss://a.example")), 101);
    assert_eq!(status(&policy, "a.example", Some("ws://a.example")), 403);

    let policy = OriginPolicy::same_origin().tls(false);
    assert_eq!(status(&policy, "a.example", Some("ws://a.example")), 101);
    assert_eq!(status(&policy, "a.example", Some("wss://a.example")), 403);
    assert_eq!(status(&policy, "a.example", Some("http://a.example")), 101);
    assert_eq!(status(&policy, "a.example", Some("https://a.example")), 403);
}

// R6455-10.2-a
#[test]
fn origin_is_compared_with_the_absolute_target_where_there_is_one() {
    let line = "GET http://b.example/chat HTTP/1.1";
    let text = REQUEST.replacen("GET /chat HTTP/1.1", line, 1);
    let with_origin =
        |origin: &str| text.replacen("\r\n\r\n", &format!("\r\nOrigin: {origin}\r\n\r\n"), 1);
    assert_eq!(serve(with_origin("http://b.example").as_bytes()).status, 101);
    assert_eq!(serve(with_origin("http://server.example.com").as_bytes()).status, 403);
}

// R6455-4.2.2-d, RT-46
#[test]
fn rt_46_listed_origins_are_compared_whole() {
    let policy = OriginPolicy::allow(["https://good.example", "http://dev.example:8080"]).unwrap();
    for origin in [
        "https://good.example",
        "https://good.example:443",
        "https://GOOD.example",
        "HTTPS://good.example",
        "https://good.example/",
        "wss://good.example",
        "http://dev.example:8080",
        "ws://dev.example:8080",
    ] {
        assert_eq!(status(&policy, "inner.local", Some(origin)), 101, "{origin}");
    }
    for origin in [
        "https://good.example.evil.com",
        "https://evilgood.example",
        "https://evil.com/https://good.example",
        "https://good.example//",
        "https://good.example/x",
        "ws://good.example",
        "wss://dev.example:8080",
        "file://good.example",
        "https://good.example.",
        "https://good.example:8443",
        "https://good.example:0443x",
        "https://good.example#",
        "https://good.example?",
        "https://user@good.example",
        "https://good.example@evil.com",
        "https://evil.com#@good.example",
        "https://evil.com\\.good.example",
        "http://good.example",
        "http://good.example:443",
        "https:good.example",
        "https:///good.example",
        "//good.example",
        "good.example",
        "https://xn--god-0na.example",
        "https://go%6fd.example",
        "http://dev.example",
        "https://dev.example:8080",
        "https://inner.local",
        "null",
    ] {
        assert_eq!(status(&policy, "inner.local", Some(origin)), 403, "{origin}");
    }
    // IDN that is not in its ASCII form is no origin at all.
    assert_eq!(status(&policy, "inner.local", Some("https://g\u{f6}\u{f6}d.example")), 400);
}

// R6455-4.2.1-k
#[test]
fn missing_origin_is_a_knob_of_every_policy() {
    let same = OriginPolicy::same_origin();
    assert_eq!(status(&same, "a", None), 101);
    assert_eq!(status(&same.allow_missing(false), "a", None), 403);
    let listed = OriginPolicy::allow(["https://a"]).unwrap();
    assert_eq!(status(&listed, "a", None), 403);
    assert_eq!(status(&listed.allow_missing(true), "a", None), 101);
    assert_eq!(status(&OriginPolicy::any(), "a", None), 101);
}

// R6455-10.2-a
#[test]
fn everyone_may_connect_where_the_server_says_so() {
    for origin in ["https://evil.example", "null", "garbage", ""] {
        assert_eq!(status(&OriginPolicy::any(), "a", Some(origin)), 101, "{origin}");
    }
}

// R6455-4.2.1-a
#[test]
fn two_origins_are_refused_with_400() {
    let line = "Origin: http://server.example.com";
    serve(&with(&format!("{line}\r\n{line}"))).assert_rejected(400);
}

#[test]
fn gate_may_ask_before_it_works() {
    let upgrade = inspect(&with("Origin: https://evil.example")).unwrap();
    let rejection = upgrade.check_origin(&OriginPolicy::default()).unwrap_err();
    assert_eq!(rejection.cause(), Cause::Origin(OriginRefusal::CrossSite));
    assert!(upgrade.check_origin(&OriginPolicy::any()).is_ok());
}

// RT-46
#[test]
fn rt_46_list_takes_nothing_but_origins() {
    for origin in [
        "a.example",
        "https://",
        "wss://",
        "https:///",
        "https://a.example//",
        "https://a.example/x",
        "file:///x",
        "https://*.example",
        "*",
        "NULL",
        "",
        "https://a.example:0",
        "https://a.example:65536",
    ] {
        let error = OriginPolicy::allow(["https://a.example", origin]).unwrap_err();
        assert_eq!(*error.origin, *origin);
        assert!(error.to_string().contains(&format!("{origin:?}")), "{error}");
    }
}

// R6455-10.2-a, RT-45
#[test]
fn rt_45_origins_of_apps_connect_where_they_are_listed_and_nowhere_else() {
    let apps = [
        "capacitor://localhost",
        "ionic://localhost",
        "tauri://localhost",
        "app://obsidian.md",
        "chrome-extension://aapbdbdomjkkjkaonfhkkikfgjllcleb",
        "moz-extension://2a4b7d5e-0d6c-4c61-8b3a-0f4f4f4f4f4f",
        "vscode-webview://1abc",
        "file://",
        "null",
    ];
    for listed in apps {
        let policy = OriginPolicy::allow([listed]).unwrap();
        let with_site = OriginPolicy::same_origin().and_allow([listed]).unwrap();
        for origin in apps {
            let expected = if origin == listed { 101 } else { 403 };
            assert_eq!(status(&policy, "a.example", Some(origin)), expected, "{origin}");
            assert_eq!(status(&with_site, "a.example", Some(origin)), expected, "{origin}");
        }
        // Listing an app lets in no site, and takes none away.
        assert_eq!(status(&policy, "a.example", Some("https://a.example")), 403);
        assert_eq!(status(&with_site, "a.example", Some("https://a.example")), 101);
        assert_eq!(status(&with_site, "a.example", Some("https://evil.example")), 403);
        assert_eq!(status(&policy, "a.example", None), 403);
        assert_eq!(status(&with_site, "a.example", None), 101);
    }
    let files = OriginPolicy::allow(["file:///"]).unwrap();
    for origin in ["file://", "file:///"] {
        assert_eq!(status(&files, "a.example", Some(origin)), 101, "{origin}");
    }
    for origin in ["file:///etc/passwd", "file://host", "file:", "files://"] {
        assert_eq!(status(&files, "a.example", Some(origin)), 403, "{origin}");
    }
}

// RT-46: what a native client may send says nothing about what a page may.
#[test]
fn rt_46_listed_ws_origin_is_no_page() {
    let native = OriginPolicy::allow(["wss://a.example"]).unwrap();
    assert_eq!(status(&native, "a.example", Some("wss://a.example")), 101);
    assert_eq!(status(&native, "a.example", Some("https://a.example")), 403);
}
