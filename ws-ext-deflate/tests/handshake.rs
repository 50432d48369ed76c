//! Negotiated through the opening handshake, then spoken by connections at both ends.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use bytes::BytesMut;
use support::{
    binary, config, feed, frames, noise, pair, plain, repetitive, server_for, text, written,
};
use ws_core::{
    Config, Connection, Event, ExtensionFactory, Extensions, Message, Role,
    extension::{Compression, FixedFactory, Rsv, Scope},
};
use ws_ext_deflate::Deflate;
use ws_handshake::{
    AcceptOptions, ClientOptions, ExtensionSet, RequestReader, ResponseReader, Upgrade,
};
use ws_tests_support::{
    extension::{RSV1, Stub},
    handshake::request,
};

const NONCE: [u8; 16] = *b"the sample nonce";

fn set(factories: Vec<Arc<dyn ExtensionFactory>>) -> ExtensionSet {
    let mut set = ExtensionSet::default();
    for factory in factories {
        set.push(factory).unwrap();
    }
    set
}

/// What a server answers to a header of a client, its extensions and its report.
fn served(set: &ExtensionSet, offers: &str) -> (Option<String>, Extensions, String) {
    let request = request("/", &format!("Sec-WebSocket-Extensions: {offers}\r\n"));
    let mut input = BytesMut::from(request.as_str());
    let request = RequestReader::default().read(&mut input).unwrap().unwrap();
    let upgrade = Upgrade::inspect(&request).unwrap();
    let accepted = upgrade.accept(&AcceptOptions::default().extensions(set.clone())).unwrap();
    let header = accepted.extensions_header().map(ToOwned::to_owned);
    (header, accepted.extensions, accepted.report.to_string())
}

/// What a client makes of a header of a server.
fn confirmed(set: ExtensionSet, response: &str) -> Result<Extensions, String> {
    let options = ClientOptions::new("ws://a.example/".parse().unwrap()).extensions(set);
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Extensions: {response}\r\n\r\n"
    );
    let mut input = BytesMut::from(response.as_str());
    let response = ResponseReader::default().read(&mut input).unwrap().unwrap();
    let handshake = options.handshake(NONCE).unwrap();
    match handshake.verify(&response) {
        Ok(connected) => Ok(connected.extensions),
        Err(error) => Err(error.to_string()),
    }
}

/// Both ends of a connection, from the client's request to the server's answer.
fn connected(server: Deflate, client: Deflate, config: &Config) -> (Connection, Connection) {
    let options = ClientOptions::new("ws://a.example/".parse().unwrap())
        .extensions(set(vec![Arc::new(client)]));
    let handshake = options.handshake(NONCE).unwrap();
    let mut wire = BytesMut::new();
    handshake.write_request(&mut wire);
    let request = RequestReader::default().read(&mut wire).unwrap().unwrap();
    let upgrade = Upgrade::inspect(&request).unwrap();
    let set = set(vec![Arc::new(server)]);
    let accepted = upgrade.accept(&AcceptOptions::default().extensions(set)).unwrap();
    accepted.write(&mut wire);
    let response = ResponseReader::default().read(&mut wire).unwrap().unwrap();
    let verified = handshake.verify(&response).unwrap();
    (
        Connection::new(Role::Server, config.clone(), accepted.extensions),
        Connection::new(Role::client(|| [9, 8, 7, 6]), config.clone(), verified.extensions),
    )
}

/// Needs RSV1, as deflate does.
fn greedy() -> Arc<dyn ExtensionFactory> {
    Arc::new(FixedFactory::new("x-greedy", Scope::Message, || {
        Box::new(Stub::passing(RSV1).unmarked())
    }))
}

// R7692-5-b, R7692-5-g, R6455-9.1-h
#[test]
fn first_offer_that_can_be_honoured_is_taken() {
    let usual = set(vec![Arc::new(plain())]);
    let cases = [
        (
            "permessage-deflate; server_max_window_bits=7, permessage-deflate",
            Some("permessage-deflate"),
        ),
        (
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
            Some("permessage-deflate; server_max_window_bits=8"),
        ),
        (
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            Some("permessage-deflate; server_max_window_bits=10"),
        ),
        (
            "permessage-deflate; foo, permessage-deflate; x=1, permessage-deflate; server_max_window_bits=11",
            Some("permessage-deflate; server_max_window_bits=11"),
        ),
        (
            "permessage-deflate, permessage-deflate; server_max_window_bits=10",
            Some("permessage-deflate"),
        ),
        ("permessage-deflatex, x-webkit-deflate-frame", None),
    ];
    for (offers, response) in cases {
        assert_eq!(served(&usual, offers).0.as_deref(), response);
    }
}

// R7692-7-a, R7692-7-b, R7692-7-c, R7692-7-d
#[test]
fn report_names_the_parameter_that_was_at_fault() {
    let usual = set(vec![Arc::new(Deflate::default())]);
    let offers = "permessage-deflate; foo, permessage-deflate; server_max_window_bits=16, \
                  permessage-deflate; client_max_window_bits=99, \
                  permessage-deflate; server_no_context_takeover; server_no_context_takeover, \
                  permessage-deflate; client_max_window_bits";
    let (header, extensions, report) = served(&usual, offers);
    assert_eq!(header.as_deref(), Some("permessage-deflate; client_max_window_bits=12"));
    assert_eq!(extensions.claimed(), Rsv::RSV1);
    for (line, parameter) in report.lines().zip([
        "foo",
        "server_max_window_bits",
        "client_max_window_bits",
        "server_no_context_takeover",
    ]) {
        assert!(line.contains(&format!("parameter {parameter}:")), "{line}");
    }
}

// R7692-7.1-x
#[test]
fn quoted_values_are_equal_to_bare_ones() {
    let roomy = set(vec![Arc::new(plain())]);
    let (header, ..) = served(&roomy, "permessage-deflate; server_max_window_bits=\"10\"");
    assert_eq!(header.as_deref(), Some("permessage-deflate; server_max_window_bits=10"));
}

// R7692-5-f
#[test]
fn declined_offer_leaves_an_uncompressed_connection() {
    let usual = set(vec![Arc::new(Deflate::default())]);
    let (header, extensions, _) = served(&usual, "permessage-deflate; server_max_window_bits=7");
    assert_eq!(header, None);
    assert!(extensions.is_empty());
    let mut ws = Connection::new(Role::Server, Config::default(), extensions);
    let events = feed(&mut ws, &mut BytesMut::new(), &support::masked(0x81, b"Hello"));
    assert_eq!(events, [text("Hello")]);
    ws.send_with("Hello", Compression::Always).unwrap();
    assert_eq!(written(&mut ws), b"\x81\x05Hello");
}

// R7692-5-c
#[test]
fn one_extension_alone_uses_rsv1() {
    let both = "permessage-deflate, x-greedy";
    let deflate: Arc<dyn ExtensionFactory> = Arc::new(Deflate::default());
    let first = set(vec![Arc::clone(&deflate), greedy()]);
    let (header, ..) = served(&first, both);
    assert_eq!(header.as_deref(), Some("permessage-deflate"));
    let second = set(vec![greedy(), deflate]);
    let (header, _, report) = served(&second, both);
    assert_eq!(header.as_deref(), Some("x-greedy"));
    assert!(report.contains("another extension uses RSV1"), "{report}");
}

// R7692-5-d
#[test]
fn client_fails_where_two_extensions_use_rsv1_or_one_was_not_offered() {
    let both = || set(vec![Arc::new(Deflate::default()), greedy()]);
    let error = confirmed(both(), "permessage-deflate, x-greedy").unwrap_err();
    assert!(error.contains("permessage-deflate") && error.contains("x-greedy"), "{error}");
    let none = set(Vec::new());
    assert!(confirmed(none, "permessage-deflate").is_err());
}

// R7692-5-e, R7692-7-e
#[test]
fn client_fails_on_a_wrong_parameter_and_names_it() {
    let usual = || set(vec![Arc::new(Deflate::default())]);
    for (parameter, value) in [
        ("foo", ""),
        ("server_max_window_bits", "=16"),
        ("client_max_window_bits", "=16"),
        ("client_max_window_bits", ""),
        ("server_no_context_takeover", "=1"),
    ] {
        let response = format!("permessage-deflate; {parameter}{value}");
        let error = confirmed(usual(), &response).unwrap_err();
        assert!(error.contains(parameter), "{error}");
    }
    assert!(confirmed(usual(), "permessage-deflate; server_max_window_bits=\"9\"").is_ok());
}

// R7692-5-a, R7692-6-a
#[test]
fn both_ends_talk_with_everything_that_can_be_agreed() {
    let messages: Vec<Message> = (0..20_usize)
        .map(|i| match i % 4 {
            0 => Message::text(format!("{{\"n\":{i},\"user\":\"alice\"}}").repeat(i)),
            1 => Message::binary(noise(i * 997, i as u64)),
            2 => Message::binary(repetitive(i * 1_973, 5_000)),
            _ => Message::text(""),
        })
        .collect();
    for server_bits in [8, 9, 12, 15] {
        for client_bits in [8, 9, 12, 15] {
            for (server_afresh, client_afresh) in [(false, false), (true, false), (false, true)] {
                let server = Deflate::default()
                    .server_max_window_bits(server_bits)
                    .server_no_context_takeover(server_afresh);
                let client = Deflate::default()
                    .client_max_window_bits(client_bits)
                    .client_no_context_takeover(client_afresh);
                let config = config(|config| config.max_sent_frame = 1000);
                let (mut server, mut client) = connected(server, client, &config);
                assert_eq!(server.extensions().names().collect::<Vec<_>>(), ["permessage-deflate"]);
                for (i, message) in messages.iter().enumerate() {
                    for _ in 0..2 {
                        let (from, to) = (&mut server, &mut client);
                        let hint = [Compression::Auto, Compression::Always, Compression::Never];
                        from.send_with(message.clone(), hint[i % 3]).unwrap();
                        let wire = written(from);
                        let mut events = Vec::new();
                        let mut input = BytesMut::new();
                        for piece in wire.chunks(1 + i * 13) {
                            events.extend(feed(to, &mut input, piece));
                        }
                        assert!(events == [Event::Message(message.clone())]);
                        if i % 5 == 0 {
                            to.park();
                        }
                        std::mem::swap(&mut server, &mut client);
                    }
                }
            }
        }
    }
}

// R7692-6-e
#[test]
fn noise_goes_plain_after_a_while_and_text_beside_it_does_not() {
    let (server, _) = pair(&plain(), &plain());
    let mut ws = support::connection(Role::Server, Config::default(), server);
    let mut marks = Vec::new();
    for i in 0..20 {
        ws.send(noise(2_000, i)).unwrap();
        ws.send("compress me ".repeat(100)).unwrap();
        let sent = frames(&written(&mut ws));
        marks.push((sent[0].0, sent[1].0));
    }
    assert_eq!(marks[0], (0xc2, 0xc1));
    assert!(marks[1..9].iter().all(|mark| *mark == (0x82, 0xc1)));
    assert_eq!(marks[9], (0xc2, 0xc1));
    assert!(marks[10..].iter().all(|mark| *mark == (0x82, 0xc1)));
}

#[test]
fn large_messages_come_through_whole() {
    let mut server =
        support::connection(Role::Server, Config::default(), server_for(&Deflate::default(), ""));
    let mut client = support::client(Config::default());
    for len in [0, 1, 127, 128, 65_535, 65_536, 1 << 20] {
        for data in [noise(len, 1), repetitive(len.max(1), 100_000)] {
            server.send_with(data.clone(), Compression::Always).unwrap();
            let wire = written(&mut server);
            let events = feed(&mut client, &mut BytesMut::new(), &wire);
            assert!(events == [binary(&data)]);
        }
    }
}
