//! WebSocket URIs (RFC 6455 §3, §4.1).
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use ws_handshake::{Authority, UriError, WebSocketUri};

fn parse(text: &str) -> WebSocketUri {
    text.parse().unwrap()
}

// R6455C-3-a
#[test]
fn default_port_is_80_for_ws_and_443_for_wss() {
    assert_eq!(parse("ws://a.example/").port(), 80);
    assert_eq!(parse("wss://a.example/").port(), 443);
    assert_eq!(parse("ws://a.example:/").port(), 80);
    assert_eq!(parse("wss://a.example:80").port(), 80);
    assert_eq!(parse("ws://a.example:9001?x").port(), 9001);
    assert_eq!(parse("ws://a.example:65535").port(), 65535);
}

// R6455C-3-b
#[test]
fn scheme_is_compared_in_any_case_and_only_wss_is_secure() {
    for (text, secure) in
        [("WSS://h/", true), ("wSs://h", true), ("WS://h/", false), ("ws://h", false)]
    {
        assert_eq!(parse(text).is_secure(), secure, "{text}");
    }
}

// R6455C-3-c
#[test]
fn resource_is_path_and_query() {
    for (text, resource) in [
        ("ws://h", "/"),
        ("ws://h/", "/"),
        ("ws://h/a?b", "/a?b"),
        ("ws://h?b", "/?b"),
        ("ws://h/?", "/"),
        ("ws://h/a?", "/a"),
        ("ws://h/a/../b//c", "/a/../b//c"),
        ("ws://h/%23?a=%20&b=/?c", "/%23?a=%20&b=/?c"),
        ("ws://h/a:b@c;d=e,f", "/a:b@c;d=e,f"),
    ] {
        assert_eq!(parse(text).resource(), resource, "{text}");
    }
}

// R6455C-3-d
#[test]
fn fragment_is_refused() {
    for text in ["ws://h/a#b", "ws://h#", "ws://h/?a#b", "wss://h:1#/"] {
        assert_eq!(text.parse::<WebSocketUri>(), Err(UriError::Fragment), "{text}");
    }
}

// R6455C-4.1-a, RT-10
#[test]
fn rt_10_invalid_parts_are_refused_before_anything_is_sent() {
    for (text, error) in [
        ("http://h/", UriError::Scheme),
        ("https://h/", UriError::Scheme),
        ("wsx://h/", UriError::Scheme),
        ("//h/", UriError::Scheme),
        ("h/", UriError::Scheme),
        ("", UriError::Scheme),
        ("ws:h", UriError::Scheme),
        ("ws:/h", UriError::Scheme),
        (" ws://h", UriError::Scheme),
        ("ws://", UriError::Host),
        ("ws:///a", UriError::Host),
        ("ws://:80/", UriError::Host),
        ("ws://h:0/", UriError::Host),
        ("ws://h:65536/", UriError::Host),
        ("ws://h:+80/", UriError::Host),
        ("ws://h:8o/", UriError::Host),
        ("ws://h h/", UriError::Host),
        ("ws://h\r\nX: y/", UriError::Host),
        ("ws://h\0/", UriError::Host),
        ("ws://[::1/", UriError::Host),
        ("ws://[::1]x/", UriError::Host),
        ("ws://::1/", UriError::Host),
        ("ws://h\\a/", UriError::Host),
        ("ws://b\u{fc}cher.example/", UriError::Host),
        ("ws://user@h/", UriError::UserInfo),
        ("ws://user:password@h/", UriError::UserInfo),
        ("ws://h/a b", UriError::Path(' ')),
        ("ws://h/a\r\nX: y", UriError::Path('\r')),
        ("ws://h/a\n", UriError::Path('\n')),
        ("ws://h/\0", UriError::Path('\0')),
        ("ws://h/\u{b}\u{c}", UriError::Path('\u{b}')),
        ("ws://h/\u{85}", UriError::Path('\u{85}')),
        ("ws://h/\u{e4}", UriError::Path('\u{e4}')),
        ("ws://h/%", UriError::Path('%')),
        ("ws://h/%2", UriError::Path('%')),
        ("ws://h/%zz", UriError::Path('%')),
        ("ws://h/<a>", UriError::Path('<')),
        ("ws://h/a?b c", UriError::Query(' ')),
        ("ws://h/a?b\rc", UriError::Query('\r')),
        ("ws://h/a?b%", UriError::Query('%')),
        ("ws://h/a?[b]", UriError::Query('[')),
    ] {
        assert_eq!(text.parse::<WebSocketUri>(), Err(error), "{text:?}");
    }
}

#[test]
fn uri_is_shown_as_it_is_used() {
    for (text, shown) in [
        ("WS://A.Example:80", "ws://a.example/"),
        ("wss://a:443/x?", "wss://a/x"),
        ("wss://[0:0::1]:80/", "wss://[::1]:80/"),
    ] {
        assert_eq!(parse(text).to_string(), shown);
    }
    assert_eq!(parse("ws://[::1]/").host(), "::1");
}

#[test]
fn errors_say_what_to_do() {
    assert_eq!(UriError::Fragment.to_string(), "a WebSocket URI has no fragment: write # as %23");
    for (text, error) in [
        ("ws://h/a?f={\"a\":1}", "the query of the URI contains a raw '{': write it as %7B"),
        ("ws://h/a?q=\"", "the query of the URI contains a raw '\"': write it as %22"),
        ("ws://h/a b", "the path of the URI contains a raw ' ': write it as %20"),
        ("ws://h/\u{e4}", "the path of the URI contains a raw '\u{e4}': write it as %C3%A4"),
        ("ws://h/a?100%", "the query of the URI contains a raw '%': write it as %25"),
        ("ws://h/\0", "the path of the URI contains a raw '\\0': write it as %00"),
    ] {
        assert_eq!(text.parse::<WebSocketUri>().unwrap_err().to_string(), error);
    }
}

proptest! {
    // R6455C-4.1-a
    #[test]
    fn any_text_is_refused_or_safe_to_send(
        text in "(ws|wss|http)://[a-z\\[\\]:0-9.%@]{0,12}[/?#]?.{0,12}",
    ) {
        if let Ok(uri) = text.parse::<WebSocketUri>() {
            let shown = uri.to_string();
            prop_assert!(shown.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'#'));
            prop_assert_eq!(shown.parse::<WebSocketUri>(), Ok(uri));
        }
    }

    // RT-07
    #[test]
    fn rt_07_any_octets_are_no_authority_or_one_that_reads_back(
        octets in proptest::collection::vec(
            prop_oneof![proptest::sample::select(b"a1.:[]%@-".to_vec()), any::<u8>()], 0..12),
    ) {
        if let Some(authority) = Authority::parse(&octets) {
            prop_assert_eq!(Authority::parse(authority.to_string().as_bytes()), Some(authority));
        }
    }
}
