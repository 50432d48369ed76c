//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1).
#![allow(clippy::unwrap_used)]

mod support;

use proptest::prelude::*;
use support::{inspect, serve, with, with_octets};
use ws_handshake::{ExtensionElement, ExtensionHeaderError as Error, Limits, parse_extensions};

fn parse(lines: &[&str]) -> Result<Vec<ExtensionElement>, Error> {
    parse_extensions(lines.iter().map(|line| line.as_bytes()), &Limits::default())
}

fn text(lines: &[&str]) -> Vec<String> {
    parse(lines).unwrap().iter().map(ToString::to_string).collect()
}

// R6455-9.1-a, D-4
#[test]
fn malformed_header_is_refused_with_400() {
    for (value, error) in [
        ("permessage-deflate;", Error::ParameterName),
        ("; a", Error::Name),
        ("a b", Error::Separator),
        ("a=", Error::Separator),
        ("a=b", Error::Separator),
        ("a; =1", Error::ParameterName),
        ("a; b=", Error::Value),
        ("a; b=;c", Error::Value),
        ("a; b=,c", Error::Value),
        ("a; b==c", Error::Value),
        ("a; b=\"x", Error::Unclosed),
        ("a; b=\"x\\", Error::Unclosed),
        ("a; b=\"", Error::Unclosed),
        ("a; b=c d", Error::Separator),
        ("a,,;b", Error::Name),
        ("a;;b", Error::ParameterName),
        ("a; b=\"c\"d", Error::Separator),
        ("a; b=\"c\"\"d\"", Error::Separator),
        ("a; \"b\"", Error::ParameterName),
        ("\"a\"", Error::Name),
        ("a/b", Error::Separator),
        ("a; b/c", Error::Separator),
        ("a; b={}", Error::Value),
        ("a\u{e4}", Error::Separator),
        ("\u{e4}", Error::Name),
        ("a; b=\u{85}", Error::Value),
        ("", Error::Empty),
        (" \t", Error::Empty),
        (",", Error::Empty),
    ] {
        assert_eq!(parse(&[value]), Err(error), "{value:?}");
        serve(&with(&format!("Sec-WebSocket-Extensions: {value}"))).assert_rejected(400);
    }
    for octet in (0..=8).chain(10..=31).chain(127..=255) {
        for line in [&b"a"[..], b"a; b", b"a; b=c", b"a; b=\"c"] {
            let line = [b"Sec-WebSocket-Extensions: ", line, &[octet]].concat();
            serve(&with_octets(&line)).assert_rejected(400);
        }
    }
}

// R6455-9.1-b
#[test]
fn quoted_value_is_unescaped_and_has_to_be_a_token() {
    assert_eq!(parse(&["a; b=\"10\""]), parse(&["a; b=10"]));
    assert_eq!(text(&["a; b=\"1\\0\""]), ["a; b=10"]);
    assert_eq!(text(&["a; b=\"\\a\\b\""]), ["a; b=ab"]);
    for value in [
        "\"\"",
        "\"a b\"",
        "\"a,b\"",
        "\"a;b\"",
        "\"a\\\"b\"",
        "\"a\\\\b\"",
        "\"a=b\"",
        "\"\\ \"",
        "\"a\tb\"",
        "\"\u{e4}\"",
        "\" a\"",
    ] {
        assert_eq!(parse(&[&format!("a; b={value}")]), Err(Error::QuotedValue), "{value}");
        let line = format!("Sec-WebSocket-Extensions: a; b={value}");
        serve(&with(&line)).assert_rejected(400);
    }
}

// R6455-9.1-c
#[test]
fn white_space_may_stand_around_separators() {
    let plain = ["a; b=1", "c"];
    for line in [
        "a ; b = 1 , c",
        "a;b=1,c",
        "\ta\t;\tb\t=\t1\t,\tc\t",
        "  a  ;  b  =  \"1\"  ,  c  ",
        ",a;b=1,,c,",
    ] {
        assert_eq!(text(&[line]), plain, "{line:?}");
        let upgrade = inspect(&with(&format!("Sec-WebSocket-Extensions:{line}"))).unwrap();
        let offers: Vec<_> = upgrade.offers().iter().map(ToString::to_string).collect();
        assert_eq!(offers, plain, "{line:?}");
    }
}

// R6455-9.1-d, R6455-11.3.2-a
#[test]
fn several_lines_are_one_list() {
    assert_eq!(parse(&["foo", "bar; baz=2"]), parse(&["foo, bar; baz=2"]));
    assert_eq!(parse(&["", "foo", ","]), parse(&[",foo,,"]));
    assert_eq!(parse(&[]), Ok(Vec::new()));
    assert_eq!(parse(&["", ""]), Err(Error::Empty));
    let lines = "Sec-WebSocket-Extensions: foo\r\nX: y\r\nSec-WebSocket-Extensions: bar; baz=2";
    let upgrade = inspect(&with(lines)).unwrap();
    let offers: Vec<_> = upgrade.offers().iter().map(ToString::to_string).collect();
    assert_eq!(offers, ["foo", "bar; baz=2"]);
    // A list, a parameter and a quoted string end with their line.
    for lines in [["a;", "b"], ["a; b=\"x", "y\""], ["a; b=", "c"]] {
        assert!(parse(&lines).is_err(), "{lines:?}");
        assert!(parse(&[&lines.join(",")]).is_err(), "{lines:?}");
    }
}

// R6455-9.1-j
#[test]
fn duplicates_of_parameters_are_kept_for_the_extension_to_judge() {
    let offers = parse(&["a; b=1; b=1; B; b"]).unwrap();
    let params: Vec<_> = offers[0].params().iter().map(|p| (p.name(), p.value())).collect();
    assert_eq!(params, [("b", Some("1")), ("b", Some("1")), ("B", None), ("b", None)]);
}

// T-B9
#[test]
fn extensions_and_parameters_are_counted() {
    let offers = |n: usize| vec!["a"; n].join(",");
    let params = |n: usize| format!("a{}", ";b".repeat(n));
    assert_eq!(parse(&[&offers(16)]).unwrap().len(), 16);
    assert_eq!(parse(&[&offers(17)]), Err(Error::TooManyOffers));
    assert_eq!(parse(&[&offers(10), &offers(7)]), Err(Error::TooManyOffers));
    assert_eq!(parse(&[&params(16)]).unwrap()[0].params().len(), 16);
    assert_eq!(parse(&[&params(17)]), Err(Error::TooManyParameters));
    assert_eq!(parse(&["a,,,,,,,,,b"]).unwrap().len(), 2);
    assert_eq!(parse(&["a,,,,,,,,,,b"]), Err(Error::TooManyEmpty));
    for line in [offers(5000), params(5000), ",".repeat(5000)] {
        serve(&with(&format!("Sec-WebSocket-Extensions: {line}"))).assert_rejected(400);
    }
}

fn token() -> impl Strategy<Value = String> {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,8}"
}

fn space() -> impl Strategy<Value = String> {
    "[ \t]{0,2}"
}

/// An element as its parts, and one way to write it.
fn element() -> impl Strategy<Value = (String, String)> {
    let param = (token(), proptest::option::of((token(), any::<bool>(), any::<bool>())), space());
    (token(), proptest::collection::vec(param, 0..4), space()).prop_map(|(name, params, pad)| {
        let (mut plain, mut written) = (name.clone(), format!("{pad}{name}{pad}"));
        for (name, value, pad) in params {
            plain += &format!("; {name}");
            written += &format!(";{pad}{name}{pad}");
            if let Some((value, quote, escape)) = value {
                plain += &format!("={value}");
                let inner = if escape {
                    value.chars().flat_map(|c| ['\\', c]).collect()
                } else {
                    value.clone()
                };
                let value = if quote { format!("\"{inner}\"") } else { value };
                written += &format!("={pad}{value}{pad}");
            }
        }
        (plain, written)
    })
}

proptest! {
    // R6455-9.1-c, R6455-9.1-d, R6455-11.3.2-a
    #[test]
    fn elements_read_the_same_however_they_are_written_and_split_over_lines(
        elements in proptest::collection::vec(element(), 1..6),
        cuts in proptest::collection::vec(any::<bool>(), 6),
    ) {
        let plain: Vec<_> = elements.iter().map(|(plain, _)| plain.clone()).collect();
        let joined: Vec<_> = elements.iter().map(|(_, written)| written.as_str()).collect();
        prop_assert_eq!(text(&[&joined.join(",")]), plain.clone());
        let mut lines = vec![String::new()];
        for (i, written) in joined.iter().enumerate() {
            if i > 0 && cuts[i] {
                lines.push(String::new());
            } else if i > 0 {
                lines.last_mut().unwrap().push(',');
            }
            lines.last_mut().unwrap().push_str(written);
        }
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        prop_assert_eq!(text(&lines), plain);
    }

    // R6455-9.1-a
    #[test]
    fn arbitrary_octets_never_panic_and_what_is_read_is_tokens(
        line in proptest::collection::vec(
            prop_oneof![proptest::sample::select(b"ab,;=\"\\ \t".to_vec()), any::<u8>()], 0..40)
    ) {
        if let Ok(offers) = parse_extensions([&line[..]], &Limits::default()) {
            let written: Vec<_> = offers.iter().map(ToString::to_string).collect();
            prop_assert_eq!(parse(&[&written.join(", ")]), Ok(offers));
        }
    }
}
