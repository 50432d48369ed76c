//! Any octet in any header that a server interprets.
#![allow(clippy::unwrap_used)]

mod support;

use support::{
    CONNECTION, HOST, KEY, REQUEST, RESPONSE, UPGRADE, VERSION, inspect, serve, with, with_octets,
};

// RT-04
#[test]
fn rt_04_any_octet_in_any_interpreted_header_is_refused_or_data() {
    let shapes: [(&str, &str, &str, &str); 9] = [
        (HOST, "Host: server", "example.com", "Host"),
        (UPGRADE, "Upgrade: web", "socket", "Upgrade"),
        (CONNECTION, "Connection: Up", "grade", "Connection"),
        (KEY, "Sec-WebSocket-Key: dGhlIHNhbXB", "ZSBub25jZQ==", "Key"),
        (VERSION, "Sec-WebSocket-Version: 1", "3", "Version"),
        ("", "Sec-WebSocket-Protocol: a", "b", "Protocol"),
        ("", "Sec-WebSocket-Extensions: a", "b", "Extensions"),
        ("", "Origin: http://server", "example.com", "Origin"),
        ("", "Content-Length: 0", "0", "Content-Length"),
    ];
    for (old, before, behind, name) in shapes {
        for octet in 0..=255_u8 {
            let line = [before.as_bytes(), &[octet], behind.as_bytes()].concat();
            let request = if old.is_empty() {
                with_octets(&line)
            } else {
                let text = REQUEST.replacen(&format!("{old}\r\n"), "", 1);
                let head = text.strip_suffix("\r\n").unwrap();
                [head.as_bytes(), &line, b"\r\n\r\n"].concat()
            };
            let status = serve(&request).status;
            let letter = octet.is_ascii_alphanumeric();
            let is_fine = match name {
                "Host" => letter || b"-._~!$&'()*+,;=".contains(&octet),
                "Key" => letter || b"+/".contains(&octet),
                "Protocol" => letter || b"!#$%&'*+-.^_`|~,".contains(&octet),
                "Extensions" => letter || b"!#$%&'*+-.^_`|~,;".contains(&octet),
                "Content-Length" => octet == b'0',
                "Origin" => octet == b'.',
                _ => false,
            };
            assert_eq!(status == 101, is_fine, "{name} {octet:#04x}: {status}");
            assert!(is_fine || (400..=426).contains(&status), "{name} {octet:#04x}: {status}");
        }
    }
}

// RT-04
#[test]
fn rt_04_names_of_object_properties_are_data() {
    for name in ["constructor", "__proto__", "toString", "hasOwnProperty"] {
        let lines = format!(
            "Sec-WebSocket-Extensions: {name}; {name}={name}\r\n\
             Sec-WebSocket-Protocol: {name}\r\n{name}: {name}"
        );
        let upgrade = inspect(&with(&lines)).unwrap();
        assert_eq!(upgrade.offers()[0].name(), name);
        assert!(upgrade.subprotocols().contains(name));
        assert_eq!(serve(&with(&lines)).text(), RESPONSE);
    }
}
