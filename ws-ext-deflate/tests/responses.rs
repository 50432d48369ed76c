//! What a client offers, and what it takes for an answer (RFC 7692 §7.1).
#![allow(clippy::unwrap_used)]

mod support;

use support::{decoded, encoded, params, plain, reference::Reference, repetitive, shown};
use ws_core::{Extension, ExtensionFactory, extension::NegotiationError};
use ws_ext_deflate::Deflate;

fn confirm(client: &Deflate, response: &str) -> Result<Box<dyn Extension>, NegotiationError> {
    client.confirm(&params(response), &[])
}

fn refuses(client: &Deflate, response: &str, parameter: &str) {
    let error = confirm(client, response).err().unwrap();
    assert_eq!(error.parameter_name(), Some(parameter), "{response}");
    assert!(error.to_string().contains(parameter));
}

fn offers(client: &Deflate) -> Vec<String> {
    client.offers().iter().map(shown).collect()
}

// R7692-5-a, R7692-7.1.2.1-a, R7692-7.1.2.2-a, R6455-9-b
#[test]
fn client_proposes_12_bits_and_leaves_the_server_a_choice() {
    assert_eq!(
        offers(&Deflate::default()),
        ["server_max_window_bits=12; client_max_window_bits", "client_max_window_bits"]
    );
    assert_eq!(offers(&plain()), ["client_max_window_bits"]);
    let strict = Deflate::default()
        .server_max_window_bits(9)
        .client_max_window_bits(10)
        .server_no_context_takeover(true)
        .client_no_context_takeover(true);
    assert_eq!(
        offers(&strict),
        ["server_no_context_takeover; client_no_context_takeover; \
          server_max_window_bits=9; client_max_window_bits=10"]
    );
}

// R7692-7-e, R7692-5-e
#[test]
fn undefined_invalid_and_repeated_parameters_fail() {
    let client = plain();
    for (response, name) in [
        ("foo", "foo"),
        ("server_max_window_bits", "server_max_window_bits"),
        ("client_max_window_bits", "client_max_window_bits"),
        ("server_no_context_takeover=1", "server_no_context_takeover"),
        ("client_no_context_takeover=0", "client_no_context_takeover"),
        ("client_no_context_takeover; client_no_context_takeover", "client_no_context_takeover"),
        ("server_max_window_bits=10; server_max_window_bits=10", "server_max_window_bits"),
    ] {
        refuses(&client, response, name);
    }
    for name in ["server_max_window_bits", "client_max_window_bits"] {
        for value in ["", "0", "7", "16", "08", "+9", "-9", "15x", "99999999999"] {
            refuses(&client, &format!("{name}={value}"), name);
        }
    }
}

// R7692-7-e
#[test]
fn what_was_asked_for_has_to_be_agreed() {
    let afresh = plain().server_no_context_takeover(true);
    refuses(&afresh, "", "server_no_context_takeover");
    assert!(confirm(&afresh, "server_no_context_takeover").is_ok());

    let narrow = plain().server_max_window_bits(10);
    refuses(&narrow, "", "server_max_window_bits");
    refuses(&narrow, "server_max_window_bits=11", "server_max_window_bits");
    for bits in 8..=10 {
        assert!(confirm(&narrow, &format!("server_max_window_bits={bits}")).is_ok());
    }
    let narrow = plain().client_max_window_bits(10);
    refuses(&narrow, "client_max_window_bits=11", "client_max_window_bits");
    assert!(confirm(&narrow, "client_max_window_bits=9").is_ok());
    assert!(confirm(&narrow, "").is_ok());
    // What is only proposed need not be.
    for response in
        ["", "server_max_window_bits=15", "server_max_window_bits=8", "client_max_window_bits=15"]
    {
        assert!(confirm(&Deflate::default(), response).is_ok());
    }
}

// R7692-7.1.1.2-b, R7692-7.1.1.2-d
#[test]
fn client_starts_every_message_afresh_when_told_or_when_it_said_so() {
    let said_so = plain().client_no_context_takeover(true);
    for (client, response) in [
        (plain(), "client_no_context_takeover"),
        (said_so.clone(), "client_no_context_takeover"),
        (said_so, ""),
    ] {
        let mut ext = confirm(&client, response).unwrap();
        let first = encoded(&mut *ext, b"Hello Hello");
        assert_eq!(encoded(&mut *ext, b"Hello Hello"), first);
        assert_eq!(Reference::default().message(&first).unwrap(), b"Hello Hello");
    }
}

// R7692-7.1.2.2-d
#[test]
fn client_keeps_to_the_window_that_it_was_told_or_offered() {
    for (own, response, bits) in [
        (15, "client_max_window_bits=8", 8),
        (12, "client_max_window_bits=8", 8),
        (8, "", 8),
        (15, "client_max_window_bits=9", 9),
        (12, "client_max_window_bits=10", 10),
        (10, "", 10),
        (15, "", 15),
    ] {
        let client = plain().client_max_window_bits(own);
        let mut ext = confirm(&client, response).unwrap();
        let mut reference = Reference::default();
        let data = repetitive(60_000, 40_000);
        let payload = encoded(&mut *ext, &data);
        assert_eq!(reference.message(&payload).unwrap(), data);
        assert!(reference.farthest <= 1 << bits);
        assert!(reference.farthest > 1 << (bits - 2));
    }
}

// R7692-7.1.1.1-c, R7692-7.1.2.1-d
#[test]
fn server_may_promise_more_than_was_asked() {
    let client = plain();
    let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    for response in [
        "server_no_context_takeover",
        "server_max_window_bits=8",
        "server_max_window_bits=12; server_no_context_takeover",
    ] {
        let mut ext = confirm(&client, response).unwrap();
        for _ in 0..2 {
            assert_eq!(decoded(&mut *ext, &hello).unwrap(), b"Hello");
        }
    }
}

// RT-24
#[test]
fn rt_24_no_value_makes_a_client_panic() {
    let values = (0..=20)
        .map(|bits| format!("={bits}"))
        .chain(["", "=", "=-1", "=+12", "=4294967304", "=\"10\""].map(Into::into));
    let values: Vec<String> = values.collect();
    for client in [Deflate::default(), plain()] {
        for client_bits in &values {
            for server_bits in &values {
                let response = format!(
                    "client_max_window_bits{client_bits}; server_max_window_bits{server_bits}"
                );
                if let Ok(mut ext) = confirm(&client, &response) {
                    assert!(!encoded(&mut *ext, b"Hello").is_empty());
                    assert_eq!(decoded(&mut *ext, &[0x00]).unwrap(), b"");
                }
            }
        }
    }
}
