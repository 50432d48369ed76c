//! Heads whole and in pieces; `inspect` on both forms; negotiation; the client's side.

use std::sync::LazyLock;

use bytes::BytesMut;
use ws_core::{Config, Connection, Extensions, Role};
use ws_ext_deflate::Deflate;
use ws_handshake::*;

use crate::{
    extensions::{TrailerFactory, XorFactory},
    input::Input,
};

static SET: LazyLock<ExtensionSet> = LazyLock::new(|| {
    ExtensionSet::new()
        .with(Deflate::default())
        .and_then(|set| set.with(XorFactory))
        .and_then(|set| set.with(TrailerFactory))
        .unwrap()
});
static OTHER_SET: LazyLock<ExtensionSet> = LazyLock::new(|| {
    let deflate = Deflate::default()
        .server_max_window_bits(10)
        .client_max_window_bits(11)
        .server_no_context_takeover(true);
    ExtensionSet::new().with(XorFactory).and_then(|set| set.with(deflate)).unwrap()
});

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let what = input.byte();
    let limits = limits(&mut input);
    match what % 8 {
        0..=3 => server(what & 8 == 8, what & 16 == 16, &limits, input.0),
        4..=6 => client(what & 8 == 8, &limits, input.0),
        _ => lists(&limits, input.0),
    }
}

fn limits(input: &mut Input<'_>) -> Limits {
    let mut limits = Limits::default();
    let small = input.byte();
    if small & 1 == 1 {
        limits.max_head = input.u16();
    }
    if small & 2 == 2 {
        limits.max_headers = input.byte().into();
    }
    if small & 4 == 4 {
        limits.max_target = input.byte().into();
    }
    if small & 8 == 8 {
        limits.max_offers = (input.byte() % 8).into();
        limits.max_parameters = (input.byte() % 8).into();
        limits.max_subprotocols = (input.byte() % 8).into();
        limits.max_empty_elements = (input.byte() % 8).into();
    }
    limits
}

fn server(other: bool, early: bool, limits: &Limits, head: &[u8]) {
    // Whole, in pieces of one octet and of seven: the same request, and the same left over.
    let read = |step: usize| {
        let mut reader = RequestReader::new(limits.clone()).allow_early_data(true);
        let mut buffer = BytesMut::new();
        let (mut fed, mut outcome) = (0, None);
        for piece in head.chunks(step.max(1)) {
            buffer.extend_from_slice(piece);
            fed += piece.len();
            let before = buffer.len();
            match reader.read_head(&mut buffer) {
                Ok(None) => assert_eq!(buffer.len(), before, "taken without a head"),
                done => {
                    outcome = Some(done.map(|head| head.unwrap()));
                    break;
                }
            }
        }
        if outcome.is_some() {
            assert!(reader.read_head(&mut buffer).is_err(), "failed, or done, stays so");
        }
        // How far behind the head the buffer begins.
        (outcome, fed - buffer.len())
    };
    let (whole, taken) = read(head.len());
    for step in [1, 7] {
        let (pieces, at) = read(step);
        match (&whole, &pieces) {
            (None, None) => {}
            (Some(Ok(a)), Some(Ok(b))) => {
                assert_eq!(taken, at);
                assert_eq!((a.method(), a.uri(), a.version()), (b.method(), b.uri(), b.version()));
                assert!(a.headers().eq(b.headers()));
            }
            (Some(Err(a)), Some(Err(b))) => assert_eq!(a.cause(), b.cause()),
            (a, b) => panic!("whole {a:?}, by {step} {b:?}"),
        }
    }
    // `read` is `read_head` and `to_request`.
    let mut buffer = BytesMut::from(head);
    let request = RequestReader::new(limits.clone()).allow_early_data(true).read(&mut buffer);
    let head = match whole {
        None => return assert!(matches!(request, Ok(None))),
        Some(Err(rejection)) => {
            let response = rejection.clone().into_response();
            assert!(response.status().is_client_error() || response.status().is_server_error());
            assert_eq!(request.unwrap_err().cause(), rejection.cause());
            return answer_is_http(rejection);
        }
        Some(Ok(head)) => head,
    };
    let request = request.unwrap().unwrap();
    assert_eq!(head.asks_for_upgrade(), request.asks_for_upgrade());
    // Early data is refused where it has to be, and only there.
    if !early {
        let mut all = BytesMut::from(&buffer[..]);
        let refused = RequestReader::new(limits.clone()).check_early_data(&all);
        assert_eq!(refused.is_err(), !all.is_empty());
        all.clear();
    }
    let inspected = Upgrade::inspect_within(&head, limits);
    let upgrade = match (inspected, Upgrade::inspect_within(&request, limits)) {
        (Ok(a), Ok(b)) => {
            assert_eq!(format!("{a:?}"), format!("{b:?}"));
            a
        }
        (Err(a), Err(b)) => {
            assert_eq!(a.cause(), b.cause());
            return answer_is_http(a);
        }
        (a, b) => panic!("head: {a:?}, request: {b:?}"),
    };
    assert!(upgrade.offers().len() <= limits.max_offers);
    assert!(upgrade.subprotocols().len() <= limits.max_subprotocols);
    let _ = upgrade.check_origin(&OriginPolicy::default());
    let any = OriginPolicy::any();
    let spoken = Subprotocols::new(["chat.v2", "chat.v1"]).unwrap();
    let set = if other { &*OTHER_SET } else { &*SET };
    let options = AcceptOptions::default().extensions(set.clone()).origin(any).subprotocols(spoken);
    let offers = upgrade.offers().to_vec();
    let accepted = upgrade.accept(&options).expect("nothing to refuse is left");
    let mut out = BytesMut::new();
    accepted.write(&mut out);
    let response = ResponseReader::default().read(&mut out).unwrap().expect("a whole head");
    assert!(out.is_empty());
    assert_eq!(response.status(), 101);
    let told = accepted.response();
    assert_eq!(response.headers(), told.headers());
    // What is agreed was offered, once, and claims no bit twice.
    if let Some(header) = accepted.extensions_header() {
        let agreed = parse_extensions([header.as_bytes()], &Limits::default()).unwrap();
        assert_eq!(agreed.len(), accepted.extensions.len());
        for (place, one) in agreed.iter().enumerate() {
            assert!(offers.iter().any(|offer| offer.name() == one.name()));
            assert!(agreed[..place].iter().all(|before| before.name() != one.name()));
        }
    } else {
        assert!(accepted.extensions.is_empty());
    }
    try_out(Role::Server, accepted.extensions);
}

/// A stack that came of a handshake works.
fn try_out(role: Role, extensions: Extensions) {
    let mut ws = Connection::new(role, Config::default(), extensions);
    ws.send("x".repeat(300)).unwrap();
    let mut out = Vec::new();
    ws.write_to(&mut out).unwrap();
    assert!(!out.is_empty());
}

fn answer_is_http(rejection: Rejection) {
    let mut out = BytesMut::new();
    write_response(&rejection.into_response(), &mut out);
    let response = ResponseReader::default().read(&mut out).unwrap().expect("a whole head");
    let length = &response.headers()["content-length"];
    let length: usize = length.to_str().unwrap().parse().unwrap();
    assert!(out.len() == length || out.is_empty());
}

/// `\x01` stands for the right value of `Sec-WebSocket-Accept`.
fn client(other: bool, limits: &Limits, template: &[u8]) {
    let set = if other { OTHER_SET.clone() } else { SET.clone() };
    let options = ClientOptions::new("ws://a.example/chat".parse().unwrap())
        .subprotocols(Subprotocols::new(["chat.v2", "chat.v1"]).unwrap())
        .extensions(set)
        .require("permessage-deflate");
    let handshake = options.handshake([7; 16]).unwrap();
    let key = handshake.request().headers()["sec-websocket-key"].clone();
    let accept = accept_key(key.as_bytes());
    let mut head = Vec::new();
    for &octet in template {
        match octet {
            1 => head.extend_from_slice(accept.as_bytes()),
            octet => head.push(octet),
        }
    }
    let read = |step: usize| {
        let mut reader = ResponseReader::new(limits.clone());
        let mut buffer = BytesMut::new();
        let (mut fed, mut outcome) = (0, None);
        for piece in head.chunks(step.max(1)) {
            buffer.extend_from_slice(piece);
            fed += piece.len();
            match reader.read(&mut buffer) {
                Ok(None) => {}
                done => {
                    outcome = Some(done.map(|head| head.unwrap()));
                    break;
                }
            }
        }
        if outcome.is_some() {
            assert!(reader.read(&mut buffer).is_err());
        }
        (outcome, fed - buffer.len())
    };
    let (whole, taken) = read(head.len());
    for step in [1, 7] {
        let (pieces, at) = read(step);
        match (&whole, &pieces) {
            (None, None) => {}
            (Some(Ok(a)), Some(Ok(b))) => {
                assert_eq!(taken, at);
                assert_eq!(
                    (a.status(), a.version(), a.headers()),
                    (b.status(), b.version(), b.headers())
                );
            }
            (Some(Err(a)), Some(Err(b))) => assert_eq!(a, b),
            (a, b) => panic!("whole {a:?}, by {step} {b:?}"),
        }
    }
    let Some(Ok(response)) = whole else { return };
    let verified = handshake.verify_within(&response, limits);
    let again = handshake.verify_within(&response, limits);
    assert_eq!(format!("{verified:?}"), format!("{again:?}"));
    match verified {
        Ok(connected) => {
            assert_eq!(response.status(), 101);
            assert_eq!(response.headers()["sec-websocket-accept"], *accept);
            assert_eq!(connected.responses.len(), connected.extensions.len());
            if let Some((code, reason)) = connected.close_if_missing() {
                assert!(code.is_sendable() && reason.len() <= 123);
            }
            try_out(Role::client(|| [1, 2, 3, 4]), connected.extensions);
        }
        Err(error) => drop(error.to_string()),
    }
}

/// Values of list headers, and URIs.
fn lists(limits: &Limits, data: &[u8]) {
    let lines: Vec<&[u8]> = data.split(|&octet| octet == b'\n').collect();
    if let Ok(offers) = parse_extensions(lines.iter().copied(), limits) {
        assert!(offers.len() <= limits.max_offers);
        // Written and read again it is the same.
        let written: Vec<String> = offers.iter().map(ToString::to_string).collect();
        let again = parse_extensions([written.join(", ").as_bytes()], limits);
        assert_eq!(again.as_ref(), Ok(&offers), "{written:?}");
        let one_line = lines.join(&b", "[..]);
        let joined = parse_extensions([&one_line[..]], limits);
        if let Ok(joined) = joined {
            assert_eq!(joined, offers, "RFC 9110 5.3: lines may be combined");
        }
    }
    if let Some(authority) = Authority::parse(data) {
        let again = format!("{}", authority.host());
        assert!(!again.is_empty() || data.is_empty() || data[0] == b':');
    }
    let _ = is_valid_key(data);
    if let Ok(text) = std::str::from_utf8(data) {
        if let Ok(uri) = text.parse::<WebSocketUri>() {
            let handshake = ClientOptions::new(uri).handshake([3; 16]);
            if let Ok(handshake) = handshake {
                let mut out = BytesMut::new();
                handshake.write_request(&mut out);
                let mut limits = Limits::default();
                limits.max_head = usize::MAX;
                limits.max_target = usize::MAX;
                let read = RequestReader::new(limits.clone()).read(&mut out);
                let request = read.expect("our own request is HTTP").expect("and whole");
                Upgrade::inspect_within(&request, &limits).expect("and a handshake");
            }
        }
        let _ = OriginPolicy::allow([text]);
        let _ = Subprotocols::new(text.split(','));
    }
}
