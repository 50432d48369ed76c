//! Data frames and UTF-8 (RFC 6455 §5.6 and §8.1).

mod support;

use bytes::BytesMut;
use support::{
    KEY, binary, client, extensions, fails, feed, masked, receive, server, text, unmasked, written,
};
use ws_core::{Connection, Event, Fault, extension::Scope};

/// A server that fails on `text` with 1007 at its `octets`th octet, however it is framed.
fn refuses(text: &[u8], octets: usize) {
    let header = masked(0x81, KEY, b"").len();
    let failed = fails(server, &masked(0x81, KEY, text));
    assert_eq!((failed.fault, failed.code), (Fault::InvalidUtf8, 1007));
    assert_eq!(failed.octets, header + octets, "{text:02x?}");
    // Every octet a fragment of its own.
    let mut fragments = masked(0x01, KEY, b"");
    for octet in text {
        fragments.extend(masked(0x00, KEY, &[*octet]));
    }
    fragments.extend(masked(0x80, KEY, b""));
    let failed = fails(server, &fragments);
    assert_eq!((failed.fault, failed.code), (Fault::InvalidUtf8, 1007));
    assert_eq!(failed.octets, header + 7 * octets);
    // In the middle of much valid text.
    let long = [&[b'a'; 1000], text, &[b'b'; 1000]].concat();
    let failed = fails(server, &masked(0x01, KEY, &long));
    assert_eq!(failed.octets, header + 2 + 1000 + octets);
}

// R6455-5.6-a
#[test]
fn code_point_may_be_cut_by_fragments() {
    let euro = "€".as_bytes();
    for a in 0..=3 {
        for b in a..=3 {
            let input = [
                masked(0x01, KEY, &euro[..a]),
                masked(0x00, KEY, &euro[a..b]),
                masked(0x80, KEY, &euro[b..]),
            ]
            .concat();
            assert_eq!(receive(server, &input).events, [text("€")]);
        }
    }
}

// R6455-5.6-a
#[test]
fn code_points_of_every_length_arrive_one_octet_a_fragment() {
    let all = "aµ€𝄞 κόσμε \u{10ffff}";
    let mut input = masked(0x01, KEY, b"");
    for octet in all.as_bytes() {
        input.extend(masked(0x00, KEY, &[*octet]));
    }
    input.extend(masked(0x80, KEY, b""));
    assert_eq!(receive(server, &input).events, [text(all)]);
    assert_eq!(receive(client, &unmasked(0x81, all.as_bytes())).events, [text(all)]);
}

// R6455-5.6-b
#[test]
fn text_that_ends_inside_a_code_point_fails_at_its_end() {
    for cut in [&b"\xe2\x82"[..], b"\xc3", b"\xf0\x9d\x84", b"ok\xe2"] {
        let one = masked(0x81, KEY, cut);
        let failed = fails(server, &one);
        assert_eq!((failed.fault, failed.code), (Fault::InvalidUtf8, 1007));
        assert_eq!(failed.octets, one.len());
        let two = [masked(0x01, KEY, cut), masked(0x80, KEY, b"")].concat();
        let failed = fails(server, &two);
        assert_eq!((failed.fault, failed.code), (Fault::InvalidUtf8, 1007));
        assert_eq!(failed.octets, two.len());
        // It does not continue in the next message.
        let next =
            [masked(0x01, KEY, b"\xe2"), masked(0x80, KEY, b"\x82"), masked(0x81, KEY, b"\xac")];
        assert_eq!(fails(server, &next.concat()).before, []);
    }
}

// R6455-5.6-c
#[test]
fn binary_payload_is_passed_on_untouched() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(receive(server, &masked(0x82, KEY, &all)).events, [binary(&all)]);
    let input = [masked(0x02, KEY, &all[..129]), masked(0x80, KEY, &all[129..])].concat();
    assert_eq!(receive(server, &input).events, [binary(&all)]);
    let mut ws = server();
    ws.send(all.clone()).unwrap();
    assert_eq!(written(&mut ws), unmasked(0x82, &all));
}

// R6455-8.1-a, R6455-8.1-b
#[test]
fn invalid_text_fails_with_1007_at_the_first_octet_that_cannot_become_valid() {
    // Continuation octets alone, octets that never stand in UTF-8.
    refuses(b"\x80", 1);
    refuses(b"\xbf", 1);
    refuses(b"\xfe", 1);
    refuses(b"\xff", 1);
    // Overlong forms.
    refuses(b"\xc0\x80", 1);
    refuses(b"\xc1\xbf", 1);
    refuses(b"\xe0\x80\xaf", 2);
    refuses(b"\xe0\x9f\xbf", 2);
    refuses(b"\xf0\x80\x80\xaf", 2);
    refuses(b"\xf0\x8f\xbf\xbf", 2);
    // Surrogates, alone and in pairs.
    refuses(b"\xed\xa0\x80", 2);
    refuses(b"\xed\xbf\xbf", 2);
    refuses(b"\xed\xa0\x80\xed\xb0\x80", 2);
    // Above U+10FFFF, and forms of five and six octets.
    refuses(b"\xf4\x90\x80\x80", 2);
    refuses(b"\xf5\x80\x80\x80", 1);
    refuses(b"\xf8\x88\x80\x80\x80", 1);
    refuses(b"\xfc\x84\x80\x80\x80\x80", 1);
    // A code point that breaks off.
    refuses(b"\xe2\x82a", 3);
    refuses(b"\xc3(", 2);
    refuses(b"\xf0\x9d\x84\xe2", 4);
    // Valid text around it.
    refuses(b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", 13);
}

// R6455-8.1-b
#[test]
fn invalid_text_fails_before_the_rest_of_its_frame_arrives() {
    let mut ws = server();
    let mut input = BytesMut::new();
    let header = b"\x81\xfe\x03\xe8\0\0\0\0";
    assert_eq!(feed(&mut ws, &mut input, header), []);
    assert_eq!(feed(&mut ws, &mut input, &[b'a'; 500]), []);
    let events = feed(&mut ws, &mut input, b"\xf4\x90");
    assert!(matches!(events[..], [Event::Closing, Event::Closed(_)]));
    assert_eq!(written(&mut ws)[2..4], [0x03, 0xef]);
}

// R6455-8.1-c
#[test]
fn noncharacters_and_controls_are_valid() {
    for valid in [
        "\u{fffe}",
        "\u{ffff}",
        "\u{1fffe}",
        "\u{1ffff}",
        "\u{10fffe}",
        "\u{10ffff}",
        "\u{fffd}",
        "\u{fdd0}",
        "\0",
        "\u{feff}BOM",
        "\u{7f}",
        "\u{80}",
        "\u{d7ff}",
        "\u{e000}",
    ] {
        let input = masked(0x81, KEY, valid.as_bytes());
        assert_eq!(receive(server, &input).events, [text(valid)]);
    }
}

// R6455-8.1-d
#[test]
fn text_is_checked_behind_the_extensions_as_it_is_decoded() {
    let new = || -> Connection {
        extensions::server_of(vec![extensions::add_one(extensions::RSV1, Scope::Message).boxed()])
    };
    // Valid on the wire and not when it is decoded, and the other way about.
    let failed = fails(new, &masked(0xc1, KEY, b"a\x7f\xc2\x80"));
    assert_eq!((failed.fault, failed.code), (Fault::InvalidUtf8, 1007));
    assert_eq!(failed.octets, 6 + 3, "c2 became c1");
    let seen = receive(new, &masked(0xc1, KEY, b"\xe3\x83\xad"));
    assert_eq!(seen.events, [text("€")]);
    // At the octet that proves it, in a frame that goes on.
    let failed = fails(new, &masked(0x41, KEY, b"ok\x81never read"));
    assert_eq!((failed.fault, failed.octets), (Fault::InvalidUtf8, 6 + 3));
    // Fragments: a code point may be cut, the message not.
    let cut = |fin| [masked(0x41, KEY, b"\xe3"), masked(fin, KEY, b"\x83")].concat();
    assert_eq!(receive(new, &cut(0x00)).events, []);
    assert_eq!(fails(new, &cut(0x80)).fault, Fault::InvalidUtf8);
}
