//! Empty messages in every position (RFC 7692 §7.2.3.6).
#![allow(clippy::unwrap_used)]

mod support;

use support::{connection, decoded, encoded, pair, plain, reference::Reference, server_for};
use ws_core::{Config, Role, extension::Compression};

/// Every row of up to four messages of which each is empty or not.
fn rows() -> impl Iterator<Item = Vec<&'static [u8]>> {
    (1..=4).flat_map(|len| {
        (0..1 << len).map(move |row: u32| {
            (0..len).map(|place| if row >> place & 1 == 0 { &b""[..] } else { b"Hello" }).collect()
        })
    })
}

// R7692-7.2.1-g, RT-27
#[test]
fn rt_27_empty_messages_in_every_position() {
    for afresh in [false, true] {
        let options = plain().server_no_context_takeover(afresh).client_no_context_takeover(afresh);
        for row in rows() {
            for parking in [false, true] {
                let (mut server, mut client) = pair(&options, &options);
                let mut reference = Reference::default();
                for message in &row {
                    let payload = encoded(&mut *server, message);
                    if message.is_empty() {
                        assert_eq!(payload, [0x00]);
                    }
                    assert_eq!(reference.message(&payload).unwrap(), *message);
                    assert_eq!(decoded(&mut *client, &payload).unwrap(), *message);
                    let payload = encoded(&mut *client, message);
                    assert_eq!(decoded(&mut *server, &payload).unwrap(), *message);
                    if parking {
                        server.park();
                        client.park();
                    }
                }
            }
        }
    }
}

// R7692-7.2.1-g
#[test]
fn empty_message_on_the_wire_is_plain_or_one_octet() {
    let ext = server_for(&plain().threshold(1), "");
    let mut ws = connection(Role::Server, Config::default(), ext);
    ws.send("Hello").unwrap();
    ws.send("").unwrap();
    ws.send_with("", Compression::Always).unwrap();
    ws.send_with("", Compression::Never).unwrap();
    assert_eq!(
        support::written(&mut ws),
        b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\x81\x00\xc1\x01\x00\x81\x00"
    );
}
