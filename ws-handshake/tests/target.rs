//! Which octets a request-target may have as they are (RFC 9112 §3.2, RFC 3986 §3.3 and §3.4).
#![allow(clippy::unwrap_used)]

mod support;

use support::{inspect, replacing, serve};

fn request(target: &str) -> Vec<u8> {
    replacing("GET /chat HTTP/1.1", &format!("GET {target} HTTP/1.1"))
}

// R6455-4.2.1-d: what browsers send unescaped is taken as it is; of what they escape the answer names
// the octet, and how it is written.
#[test]
fn every_character_in_path_and_query_is_taken_as_it_is_or_named() {
    for (begin, refused) in [("/a", " #<>`"), ("/a?b=", " \"#<>")] {
        for octet in b' '..=b'~' {
            let character = char::from(octet);
            let target = format!("{begin}{character}c");
            if refused.contains(character) {
                let reply = serve(&request(&target));
                reply.assert_rejected(400);
                let expected = format!(
                    "the request-target contains a raw '{character}': write it as %{octet:02X}\n"
                );
                assert_eq!(reply.body(), expected, "{target}");
            } else {
                let upgrade = inspect(&request(&target)).unwrap();
                assert_eq!(upgrade.resource(), target);
            }
            let escaped = format!("{begin}%{octet:02X}c");
            assert_eq!(inspect(&request(&escaped)).unwrap().resource(), escaped);
        }
    }
}

#[test]
fn first_character_that_is_at_fault_is_named() {
    for (target, name) in [
        ("/?filter={\"a\":[1]}", "'\"': write it as %22"),
        ("/`?<", "'`': write it as %60"),
        ("/?`{}|\\^[]>", "'>': write it as %3E"),
        ("/a b?<", "' ': write it as %20"),
        ("/ ", "' ': write it as %20"),
        ("http://a.example/?<", "'<': write it as %3C"),
    ] {
        let reply = serve(&request(target));
        reply.assert_rejected(400);
        assert!(reply.body().contains(name), "{target}: {}", reply.body());
    }
}

#[test]
fn octets_outside_of_ascii_are_named_as_such() {
    for target in ["/caf\u{e9}", "/?q=\u{1f600}", "/\u{e9}<"] {
        let reply = serve(&request(target));
        reply.assert_rejected(400);
        assert_eq!(
            reply.body(),
            "the request-target contains octets outside ASCII: percent-encode them\n"
        );
    }
}

#[test]
fn first_line_that_is_no_request_is_called_that() {
    for line in ["GET /chat", "GET HTTP/1.1", "GET /chat http/1.1", "hello", "GET  /chat HTTP/1.1"]
    {
        let reply = serve(&replacing("GET /chat HTTP/1.1", line));
        reply.assert_rejected(400);
        assert_eq!(reply.body(), "the first line is not HTTP\n", "{line}");
    }
}
