//! What a server answers to an offer (RFC 7692 §7.1).
#![allow(clippy::unwrap_used)]

mod support;

use support::{answer, bits, decoded, encoded, params, plain, reference::Reference, repetitive};
use ws_core::{ExtensionFactory, extension::Rsv};
use ws_ext_deflate::Deflate;

const NAMES: [&str; 4] = [
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
];

fn accepts(server: &Deflate, offer: &str, response: &str) {
    assert_eq!(answer(server, offer).as_deref(), Ok(response), "{offer}");
}

fn declines(server: &Deflate, offer: &str, parameter: &str) {
    let error = answer(server, offer).unwrap_err();
    assert_eq!(error.parameter_name(), Some(parameter), "{offer}");
    let said = error.to_string();
    assert!(said.contains(parameter), "{said}");
}

/// As a server, with windows of 12 bits that are not said unless a client asks.
fn usual() -> Deflate {
    Deflate::default()
}

fn roomy() -> Deflate {
    plain()
}

// R7692-7-a
#[test]
fn parameter_that_is_not_defined_is_declined() {
    for (offer, name) in [
        ("foo", "foo"),
        ("x=1", "x"),
        ("server_max_window_bits=10; y", "y"),
        ("Server_No_Context_Takeover", "Server_No_Context_Takeover"),
        ("server_no_context_takeove", "server_no_context_takeove"),
        ("server_max_window_bits2=10", "server_max_window_bits2"),
    ] {
        declines(&usual(), offer, name);
    }
}

// R7692-7-b, R7692-7.1.2.1-a, R7692-7.1.2.2-a
#[test]
fn invalid_value_is_declined() {
    let wrong = [
        "",
        "0",
        "7",
        "16",
        "08",
        "015",
        "15x",
        "+9",
        "-9",
        "9.0",
        "1e1",
        "0x9",
        "99999999999",
        "18446744073709551616",
        "१०",
    ];
    for name in ["server_max_window_bits", "client_max_window_bits"] {
        for value in wrong {
            declines(&usual(), &format!("{name}={value}"), name);
        }
    }
    declines(&usual(), "server_max_window_bits", "server_max_window_bits");
    for name in ["server_no_context_takeover", "client_no_context_takeover"] {
        for value in ["", "1", "0", "true"] {
            declines(&usual(), &format!("{name}={value}"), name);
        }
    }
}

// R7692-7-c
#[test]
fn repeated_parameter_is_declined() {
    for name in NAMES {
        for (first, second) in [("", ""), ("=10", "=10"), ("=10", "=11"), ("", "=10")] {
            let offer = format!("{name}{first}; {name}{second}");
            let error = answer(&usual(), &offer).unwrap_err();
            assert_eq!(error.parameter_name(), Some(name));
        }
    }
    let error = answer(&usual(), "client_max_window_bits; client_max_window_bits").unwrap_err();
    assert_eq!(error.to_string(), "parameter client_max_window_bits: repeated");
}

// R7692-7.1.2.1-c, R7692-7.1.2.1-f
#[test]
fn server_window_of_8_bits_is_agreed() {
    accepts(&usual(), "server_max_window_bits=8", "server_max_window_bits=8");
    accepts(
        &usual(),
        "client_max_window_bits; server_max_window_bits=8",
        "server_max_window_bits=8; client_max_window_bits=12",
    );
}

// R7692-7.1.2.1-d
#[test]
fn answer_has_no_parameter_that_nobody_asked_for() {
    // What strict clients offer, and compare the answer to (websocket-sharp).
    for offer in [
        "",
        "server_no_context_takeover; client_no_context_takeover",
        "server_no_context_takeover",
        "client_no_context_takeover",
    ] {
        accepts(&usual(), offer, offer);
    }
    accepts(&usual(), "client_max_window_bits", "client_max_window_bits=12");
    accepts(&usual(), "server_max_window_bits=15", "server_max_window_bits=12");
    // The application asked for it.
    let chosen = Deflate::default().server_max_window_bits(12);
    accepts(&chosen, "", "server_max_window_bits=12");
    accepts(&roomy(), "", "");
}

// R7692-7.1.2.1-e
#[test]
fn server_compresses_with_its_small_window_in_silence() {
    for offer in ["", "server_no_context_takeover; client_no_context_takeover"] {
        let mut ext = support::server_for(&usual(), offer);
        let mut reference = Reference::default();
        let data = repetitive(60_000, 30_000);
        let payload = encoded(&mut *ext, &data);
        assert_eq!(reference.message(&payload).unwrap(), data);
        assert!(reference.farthest <= 1 << 12, "{} back", reference.farthest);
        assert!(reference.farthest > 1 << 11, "the test reaches its aim");
    }
}

// R7692-5-c
#[test]
fn offer_is_declined_while_another_extension_uses_rsv1() {
    let error = usual().accept(&params(""), Rsv::RSV2 | Rsv::RSV3).unwrap_err();
    assert_eq!(error.to_string(), "another extension uses RSV1");
    assert!(usual().accept(&params(""), Rsv::RSV1).is_ok());
}

// R7692-7.1.1.1-a, R7692-7.1.1.1-b, R7692-7.1.1.1-c
#[test]
fn server_no_context_takeover_is_answered_and_may_come_unasked() {
    accepts(&roomy(), "", "");
    accepts(&roomy(), "server_no_context_takeover", "server_no_context_takeover");
    let afresh = plain().server_no_context_takeover(true);
    for offer in ["", "server_no_context_takeover"] {
        accepts(&afresh, offer, "server_no_context_takeover");
    }
}

// R7692-7.1.1.1-d
#[test]
fn server_starts_every_message_afresh_once_it_is_agreed() {
    let mut ext = support::server_for(&roomy(), "server_no_context_takeover");
    let data = br#"{"user":"alice","text":"hello"}"#;
    let first = encoded(&mut *ext, data);
    for _ in 0..3 {
        assert_eq!(encoded(&mut *ext, data), first);
        assert_eq!(Reference::default().message(&first).unwrap(), data);
    }
}

// R7692-7.1.1.2-a
#[test]
fn client_no_context_takeover_is_a_hint_that_is_answered() {
    accepts(&roomy(), "client_no_context_takeover", "client_no_context_takeover");
    let afresh = plain().client_no_context_takeover(true);
    accepts(&afresh, "", "client_no_context_takeover");
}

// R7692-7.1.1.2-c
#[test]
fn server_without_it_in_the_response_inflates_with_the_window_carried_over() {
    let mut ext = support::server_for(&roomy(), "");
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    assert_eq!(decoded(&mut *ext, &hello).unwrap(), b"Hello");
    assert_eq!(decoded(&mut *ext, &[0xf2, 0x00, 0x11, 0x00, 0x00]).unwrap(), b"Hello");
}

// R7692-7.1.2.1-b, R7692-7.1.2.1-d
#[test]
fn server_window_is_the_smaller_of_both() {
    for own in 8..=15_u8 {
        let server = plain().server_max_window_bits(own);
        for offered in 8..=15_u8 {
            let agreed = own.min(offered);
            accepts(
                &server,
                &format!("server_max_window_bits={offered}"),
                &format!("server_max_window_bits={agreed}"),
            );
        }
    }
}

// R7692-7.1.2.2-a, R7692-7.1.2.2-b, R7692-7.1.2.2-c
#[test]
fn client_window_is_answered_only_where_it_was_offered() {
    for own in 8..=15_u8 {
        let server = plain().client_max_window_bits(own);
        accepts(&server, "", "");
        for (offer, offered) in [("client_max_window_bits", 15)].into_iter().chain(
            [8, 9, 10, 11, 12, 13, 14, 15].map(|bits: u8| {
                (
                    match bits {
                        8 => "client_max_window_bits=8",
                        9 => "client_max_window_bits=9",
                        10 => "client_max_window_bits=10",
                        11 => "client_max_window_bits=11",
                        12 => "client_max_window_bits=12",
                        13 => "client_max_window_bits=13",
                        14 => "client_max_window_bits=14",
                        _ => "client_max_window_bits=15",
                    },
                    bits,
                )
            }),
        ) {
            let response = answer(&server, offer).unwrap();
            match bits(&response, "client_max_window_bits") {
                Some(bits) => assert_eq!(bits, own.min(offered), "{offer}"),
                None => assert_eq!(own.min(offered), 15, "{offer}"),
            }
        }
    }
}

// R7692-7.1.2.2-e
#[test]
fn client_window_of_8_bits_is_inflated() {
    let mut ext = support::server_for(&roomy(), "client_max_window_bits=8");
    accepts(&roomy(), "client_max_window_bits=8", "client_max_window_bits=8");
    let data = support::noise(200, 1);
    let stored = [&[0x00, 200, 0, 55, 0xff][..], &data, &[0x00]].concat();
    assert_eq!(decoded(&mut *ext, &stored).unwrap(), data);
    let mut writer = support::server_for(&roomy(), "server_max_window_bits=9");
    let first = encoded(&mut *writer, &data);
    let again = encoded(&mut *writer, &data);
    assert!(again.len() < 20, "it refers back");
    let mut ext = support::server_for(&roomy(), "client_max_window_bits=8");
    assert_eq!(decoded(&mut *ext, &first).unwrap(), data);
    assert_eq!(decoded(&mut *ext, &again).unwrap(), data);
}

// R7692-7.1.2.2-f
#[test]
fn server_inflates_the_largest_window_where_none_was_agreed() {
    for server in [usual(), roomy()] {
        let mut ext = support::server_for(&server, "");
        let mut client = support::client_for(&roomy(), "");
        let data = support::noise(32_768 - 262, 5);
        let mut reference = Reference::default();
        for _ in 0..2 {
            let payload = encoded(&mut *client, &data);
            assert_eq!(reference.message(&payload).unwrap(), data);
            assert_eq!(decoded(&mut *ext, &payload).unwrap(), data);
        }
        assert_eq!(reference.farthest, 32_768 - 262);
    }
}

// R6455-9-b, R6455-9.1-f
#[test]
fn response_has_no_parameter_that_is_not_defined() {
    for offer in [
        "",
        "client_max_window_bits; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=9",
    ] {
        let response = params(&answer(&usual(), offer).unwrap());
        assert!(response.iter().all(|param| NAMES.contains(&param.name())));
    }
}

// R7692-7.1.2.1-e
#[test]
fn server_compresses_with_the_window_that_it_answered() {
    let mut ext = support::server_for(&usual(), "server_max_window_bits=9");
    let mut reference = Reference::default();
    let data = repetitive(20_000, 3_000);
    let payload = encoded(&mut *ext, &data);
    assert_eq!(reference.message(&payload).unwrap(), data);
    assert!(reference.farthest <= 512);
}

// RT-24
#[test]
fn rt_24_no_value_makes_a_server_panic() {
    let values: Vec<String> = (0..=20)
        .map(|bits| format!("={bits}"))
        .chain(
            ["", "=", "=-1", "=+12", "=4294967304", "=99999999999999999999", "=\"10\""]
                .map(Into::into),
        )
        .collect();
    for server in [usual(), roomy()] {
        for client_bits in &values {
            for server_bits in &values {
                let offer = format!(
                    "client_max_window_bits{client_bits}; server_max_window_bits{server_bits}"
                );
                if let Ok(mut agreed) = server.accept(&params(&offer), Rsv::ALL) {
                    let ext = &mut *agreed.extension;
                    assert!(!encoded(ext, b"Hello").is_empty());
                    assert_eq!(decoded(ext, &[0x00]).unwrap(), b"");
                }
            }
        }
    }
}
