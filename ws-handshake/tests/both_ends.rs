//! Several extensions in one handshake, as both ends see it (RFC 6455 §9.1, DESIGN: the RSV contract).
#![allow(clippy::unwrap_used)]

mod support;

use bytes::BytesMut;
use support::{
    NONCE, accept_with,
    extensions::{Plain, framing, plain, set},
};
use ws_core::{
    CloseCode, Config, Connection, Event, Extension, Message, Role,
    extension::{
        Chunk, ExtensionError, FixedFactory, Params, Progress, Rsv, RsvClaim, Scope, Sink,
    },
};
use ws_handshake::{
    AcceptOptions, Accepted, ClientOptions, Connected, ExtensionSet, ResponseReader,
};
use ws_tests_support::extension::{Call, Stub};

/// A whole handshake, through octets.
fn shake(client: &ExtensionSet, server: &ExtensionSet) -> (Connected, Accepted) {
    let options = ClientOptions::new("ws://server.example.com/chat".parse().unwrap());
    let handshake = options.extensions(client.clone()).handshake(NONCE).unwrap();
    let mut octets = BytesMut::new();
    handshake.write_request(&mut octets);
    let accepted =
        accept_with(&octets, &AcceptOptions::default().extensions(server.clone())).unwrap();
    octets.clear();
    accepted.write(&mut octets);
    let response = ResponseReader::default().read(&mut octets).unwrap().unwrap();
    (handshake.verify(&response).unwrap(), accepted)
}

/// The names that both ends agreed on, in the order of the response.
fn agreed(client: &ExtensionSet, server: &ExtensionSet) -> Vec<String> {
    let (connected, accepted) = shake(client, server);
    let names: Vec<_> = connected.extensions.names().map(ToOwned::to_owned).collect();
    assert_eq!(accepted.extensions.names().collect::<Vec<_>>(), names);
    assert_eq!(accepted.extensions.claimed(), connected.extensions.claimed());
    names
}

fn offering(factory: &Plain, offers: Vec<Params>) -> Plain {
    Plain { offers, ..factory.clone() }
}

// R6455-9.1-h
#[test]
fn clients_order_decides_among_the_offers_of_one_extension_alone() {
    let n = |n| Params::new().with("n", n);
    let (a, b) = (plain("a", Rsv::RSV1), plain("b", Rsv::RSV2));
    let client = set([
        offering(&b, vec![Params::new().with_flag("bad"), n("4"), n("3")]),
        offering(&a, vec![n("2"), n("1")]),
    ]);
    let (_, accepted) = shake(&client, &set([a, b]));
    assert_eq!(accepted.response().headers()["sec-websocket-extensions"], "a; n=2, b; n=4");
}

#[test]
fn order_is_the_servers_whatever_order_the_client_has() {
    let of = |first, second| {
        set([plain(first, Rsv::NONE), plain(second, Rsv::RSV1), framing("f", Rsv::RSV3)])
    };
    for client in [of("a", "b"), of("b", "a")] {
        assert_eq!(agreed(&client, &of("a", "b")), ["a", "b", "f"]);
        assert_eq!(agreed(&client, &of("b", "a")), ["b", "a", "f"]);
    }
}

#[test]
fn clash_falls_back_to_the_next_offer_and_both_ends_agree() {
    let (a, b) = (plain("a", Rsv::RSV1), plain("b", Rsv::RSV1));
    let offers = vec![Params::new(), Params::new().with("bits", "none")];
    let client = set([offering(&b, offers), a.clone()]);
    let server = set([a, b]);
    assert_eq!(agreed(&client, &server), ["a", "b"]);
    let (connected, accepted) = shake(&client, &server);
    assert_eq!(
        accepted.report.to_string(),
        "b: declined: extensions a and b both claim RSV1\n\
         b; bits=none: taken as b; bits=none\n\
         a: taken as a"
    );
    assert_eq!(
        connected.report.to_string(),
        "b: this offer or another of it was taken, as b; bits=none\n\
         b; bits=none: this offer or another of it was taken, as b; bits=none\n\
         a: taken as a"
    );
}

#[test]
fn clash_without_another_offer_leaves_the_extension_out_and_both_ends_say_so() {
    let [deflate, squeeze] = ["permessage-deflate", "x-squeeze"].map(|name| plain(name, Rsv::RSV1));
    let client = set([
        offering(&squeeze, vec![Params::new().with("level", "9")]),
        deflate.clone(),
        plain("x-webkit-deflate-frame", Rsv::NONE),
    ]);
    let server = set([deflate, squeeze]);
    assert_eq!(agreed(&client, &server), ["permessage-deflate"]);
    // As in the README.
    let (connected, accepted) = shake(&client, &server);
    assert_eq!(
        accepted.report.to_string(),
        "x-squeeze; level=9: declined: extensions permessage-deflate and x-squeeze both claim RSV1\n\
         permessage-deflate: taken as permessage-deflate\n\
         x-webkit-deflate-frame: unknown here"
    );
    assert_eq!(
        connected.report.to_string(),
        "x-squeeze; level=9: not taken: the server does not say why\n\
         permessage-deflate: taken as permessage-deflate\n\
         x-webkit-deflate-frame: not taken: the server does not say why"
    );
}

/// Writes its letter after every message, so that the order of the letters is that of the work.
fn letter(
    name: &'static str,
) -> FixedFactory<impl Fn() -> Box<dyn Extension> + Send + Sync + Clone> {
    let transform = move |call, input: &mut Chunk<'_>, out: &mut Sink<'_>| {
        let letter = name.as_bytes();
        let done = if call == Call::Encode {
            out.write_from(input);
            input.is_empty() && out.write(letter) == 1
        } else {
            let Some(rest) = input.data().strip_suffix(letter) else {
                return Err(ExtensionError::new(CloseCode::PROTOCOL_ERROR, "another letter"));
            };
            let (written, len) = (out.write(rest), rest.len());
            input.consume(if written == len { input.len() } else { written });
            written == len
        };
        Ok(if done { Progress::Done } else { Progress::Full })
    };
    FixedFactory::new(name, Scope::WholeMessage, move || -> Box<dyn Extension> {
        Box::new(Stub::new(RsvClaim::None, transform).unmarked())
    })
}

// R6455-9.1-i
#[test]
fn messages_pass_in_the_servers_order_at_both_ends() {
    let letters = |[one, two]: [&'static str; 2]| {
        ExtensionSet::new().with(letter(one)).and_then(|set| set.with(letter(two))).unwrap()
    };
    for (client, server, from_server, from_client) in [
        (["a", "b"], ["b", "a"], &b"\x81\x07Helloba"[..], &b"\x81\x87\0\0\0\0Helloba"[..]),
        (["b", "a"], ["a", "b"], b"\x81\x07Helloab", b"\x81\x87\0\0\0\0Helloab"),
    ] {
        let (connected, accepted) = shake(&letters(client), &letters(server));
        let mut client =
            Connection::new(Role::client(|| [0; 4]), Config::default(), connected.extensions);
        let mut server = Connection::new(Role::Server, Config::default(), accepted.extensions);
        assert_eq!(pass(&mut server, &mut client), from_server);
        assert_eq!(pass(&mut client, &mut server), from_client);
    }
}

/// Sends `Hello`, checks that it arrives, and returns what went over the wire.
fn pass(from: &mut Connection, to: &mut Connection) -> Vec<u8> {
    from.send("Hello").unwrap();
    let mut wire = Vec::new();
    from.write_to(&mut wire).unwrap();
    let event = to.poll_event(&mut BytesMut::from(&wire[..]));
    assert_eq!(event, Some(Event::Message(Message::text("Hello"))));
    wire
}
