//! Extensions in the answer, as a client takes them (RFC 6455 §4.1, §9.1).
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::atomic::{AtomicU8, Ordering};

use support::{
    RESPONSE,
    client::{options, verify, with},
    extensions::{Plain, framing, plain, set},
};
use ws_core::{
    CloseCode, Extension, ExtensionFactory,
    extension::{Agreed, NegotiationError, Params, Rsv, Scope, StackError},
};
use ws_handshake::{
    Cause, Connected, ExtensionHeaderError, ExtensionSet, HeadError, OriginRefusal, Report,
    ReportEntry, ResponseError as Error, Verdict,
};

fn verify_extensions(set: &ExtensionSet, value: &str) -> Result<Connected, Error> {
    let line = format!("Sec-WebSocket-Extensions: {value}");
    verify(&options().extensions(set.clone()), with(&line))
}

// R6455C-4.1-aa
#[test]
fn extension_that_was_not_offered_fails() {
    let silent = Plain { offers: Vec::new(), ..plain("silent", Rsv::RSV2) };
    for (value, name) in [
        ("x", "x"),
        ("permessage-deflate", "permessage-deflate"),
        ("a, x", "x"),
        ("silent", "silent"),
        ("A", "A"),
    ] {
        let error =
            verify_extensions(&set([plain("a", Rsv::RSV1), silent.clone()]), value).unwrap_err();
        assert!(
            matches!(&error, Error::UnsolicitedExtension { name: own } if **own == *name),
            "{error}"
        );
    }
    let error =
        verify(&options(), with("Sec-WebSocket-Extensions: permessage-deflate")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server uses extension permessage-deflate, which was not offered: report it to the server's operator"
    );
}

// R6455C-4.1-ae
#[test]
fn extensions_in_use_are_those_of_the_response_in_its_order() {
    let set = set([plain("a", Rsv::RSV1), plain("b", Rsv::RSV2), plain("c", Rsv::NONE)]);
    for (value, names) in [("a, b", &["a", "b"][..]), ("b; x=1,a", &["b", "a"]), ("c", &["c"])] {
        let connected = verify_extensions(&set, value).unwrap();
        assert_eq!(connected.extensions.names().collect::<Vec<_>>(), names);
    }
    let lines = "Sec-WebSocket-Extensions: b\r\nSec-WebSocket-Extensions: a; n=1";
    let connected = verify(&options().extensions(set), with(lines)).unwrap();
    assert_eq!(connected.extensions.names().collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(connected.responses[1].to_string(), "a; n=1");
}

// R6455-9.1-g
#[test]
fn extension_that_the_server_did_not_confirm_is_not_used() {
    let offering = options().extensions(set([plain("a", Rsv::RSV1)]));
    let connected = verify(&offering, RESPONSE).unwrap();
    assert!(connected.extensions.is_empty());
    assert_eq!(connected.extensions.claimed(), Rsv::NONE);
}

// R6455C-9.1-a
#[test]
fn malformed_extension_header_fails() {
    let set = set([plain("a", Rsv::RSV1), plain("b", Rsv::RSV2)]);
    for value in [
        "a;",
        "; a",
        "a b",
        "a=",
        "a; =1",
        "a; b=",
        "a; b=\"x",
        "a; b=c d",
        "a,,;b",
        "a; b=\"c\"d",
        "a; b=\"\"",
        "a; b=\"c d\"",
        "a\u{e4}",
        "",
        ",",
    ] {
        let error = verify_extensions(&set, value).unwrap_err();
        assert!(matches!(error, Error::ExtensionHeader(_)), "{value}: {error}");
    }
    let many = vec!["a"; 17].join(",");
    let error = verify_extensions(&set, &many).unwrap_err();
    assert!(matches!(error, Error::ExtensionHeader(ExtensionHeaderError::TooManyOffers)));
}

#[test]
fn extension_that_stands_twice_fails() {
    let set = set([plain("a", Rsv::NONE)]);
    for value in ["a, a", "a; x, a; y"] {
        let error = verify_extensions(&set, value).unwrap_err();
        assert!(matches!(&error, Error::DuplicateExtension { name } if &**name == "a"), "{error}");
        assert_eq!(
            error.to_string(),
            "the server uses extension a twice: report it to the server's operator, or do not offer it"
        );
    }
}

#[test]
fn clashing_extensions_fail_and_both_are_named_with_the_bits() {
    let set =
        set([plain("a", Rsv::RSV1), plain("b", Rsv::RSV1 | Rsv::RSV2), plain("c", Rsv::RSV3)]);
    for (value, first, second) in [("c, a, b", "a", "b"), ("b, a", "b", "a")] {
        let error = verify_extensions(&set, value).unwrap_err();
        assert!(matches!(&error, Error::Stack(StackError::Clash { .. })));
        assert_eq!(
            error.to_string(),
            format!(
                "extensions {first} and {second} both claim RSV1: report it to the server's operator, or do not offer both"
            )
        );
    }
    assert!(verify_extensions(&set, "b").is_ok());
}

#[test]
fn frame_scope_in_front_of_message_scope_fails_and_both_are_named() {
    let set = set([plain("m", Rsv::RSV1), framing("f", Rsv::RSV2)]);
    assert!(verify_extensions(&set, "m, f").is_ok());
    let error = verify_extensions(&set, "f, m").unwrap_err();
    assert!(matches!(error, Error::Stack(StackError::FrameScope { .. })));
    assert_eq!(
        error.to_string(),
        "extension f works on frames and has to come after m, which works on messages: report it to the server's operator, or do not offer both"
    );
}

// R6455C-7.4.1-a
#[test]
fn missing_required_extensions_are_closed_with_1010_and_named() {
    let set = set([plain("a", Rsv::RSV1), plain("b", Rsv::RSV2), plain("c", Rsv::NONE)]);
    let needing = options().extensions(set).require("a").require("c");
    let connected = verify(&needing, with("Sec-WebSocket-Extensions: b")).unwrap();
    assert_eq!(connected.missing, ["a".into(), "c".into()]);
    assert_eq!(
        connected.close_if_missing(),
        Some((CloseCode::MANDATORY_EXTENSION, "a, c".to_owned()))
    );
    let connected = verify(&needing, with("Sec-WebSocket-Extensions: c, a")).unwrap();
    assert_eq!(connected.close_if_missing(), None);
}

// R6455C-7.4.1-a
#[test]
fn reason_of_the_1010_fits_into_a_close() {
    let name: &'static str = "x-a-very-long-name-x-a-very-long-name-x-a-very-long-name-x-a-very-long-name-x-a-very-long-name-x-a-very-long-name-x-a-very-long-name";
    let needing = options().extensions(set([plain(name, Rsv::NONE)])).require(name);
    let (_, reason) = verify(&needing, RESPONSE).unwrap().close_if_missing().unwrap();
    assert_eq!(reason, name[..123]);

    // Whole names as far as there is room.
    let names = [&name[..60], &name[..61], &name[..62]];
    let needing = names.iter().fold(
        options().extensions(set(names.map(|name| plain(name, Rsv::NONE)))),
        |options, name| options.require(name),
    );
    let (_, reason) = verify(&needing, RESPONSE).unwrap().close_if_missing().unwrap();
    assert_eq!(reason, format!("{}, {}", names[0], names[1]));
}

#[test]
fn client_reports_what_became_of_each_offer_in_the_order_of_its_offers() {
    let set = set([
        Plain {
            offers: vec![Params::new().with("level", "9"), Params::new()],
            ..plain("x-squeeze", Rsv::RSV1)
        },
        Plain { offers: vec![Params::new().with("id", "7")], ..plain("x-trace", Rsv::NONE) },
        plain("x-checksum", Rsv::RSV3),
        Plain { offers: Vec::new(), ..plain("x-silent", Rsv::NONE) },
    ]);
    let connected = verify_extensions(&set, "x-trace, x-squeeze; level=5").unwrap();
    assert_eq!(
        connected.report.to_string(),
        "x-squeeze; level=9: this offer or another of it was taken, as x-squeeze; level=5\n\
         x-squeeze: this offer or another of it was taken, as x-squeeze; level=5\n\
         x-trace; id=7: taken as x-trace\n\
         x-checksum: not taken: the server does not say why\n\
         x-silent: not offered by the client"
    );
    let offers: Vec<_> = connected.report.entries().iter().map(ReportEntry::offer).collect();
    assert_eq!(offers[2].to_string(), "x-trace; id=7");
    assert_eq!(connected.report.not_offered().collect::<Vec<_>>(), ["x-silent"]);
}

#[test]
fn client_does_not_pretend_to_know_which_of_several_offers_was_answered() {
    let offers = vec![Params::new().with_flag("x"), Params::new()];
    let set = set([Plain { offers, ..plain("a", Rsv::RSV1) }, plain("b", Rsv::NONE)]);
    // Nor where the response repeats one of them.
    for value in ["a; x", "a", "a; y"] {
        let connected = verify_extensions(&set, value).unwrap();
        let response = connected.responses[0].params().clone();
        let verdicts: Vec<_> =
            connected.report.entries().iter().map(|entry| entry.verdict().clone()).collect();
        let one_of = Verdict::OneOf { response };
        assert_eq!(verdicts, [one_of.clone(), one_of, Verdict::NotTaken], "{value}");
    }
    let connected = verify_extensions(&set, "b; n=1").unwrap();
    let response = Params::new().with("n", "1");
    let verdicts = connected.report.entries().iter().map(ReportEntry::verdict);
    assert_eq!(
        verdicts.collect::<Vec<_>>(),
        [&Verdict::NotTaken, &Verdict::NotTaken, &Verdict::Taken { response }]
    );
}

// R6455-9.1-g
#[test]
fn client_reports_offers_that_the_server_passed_over_in_silence() {
    let offering = options().extensions(set([plain("a", Rsv::RSV1), plain("b", Rsv::RSV2)]));
    let report = verify(&offering, RESPONSE).unwrap().report.to_string();
    let silence = "not taken: the server does not say why";
    assert_eq!(report, format!("a: {silence}\nb: {silence}"));
    assert_eq!(verify(&options(), RESPONSE).unwrap().report, Report::default());
}

#[test]
fn offers_are_made_anew_for_every_handshake() {
    let offers = vec![Params::new().with_flag("x")];
    let set = set([Plain { offers, ..plain("a", Rsv::NONE) }]);
    let options = options().extensions(set);
    for nonce in [[1; 16], [2; 16]] {
        let handshake = options.handshake(nonce).unwrap();
        assert_eq!(handshake.request().headers()["sec-websocket-extensions"], "a; x");
    }
}

#[test]
fn extension_is_shown_its_offers_of_this_handshake_beside_the_response() {
    /// Offers a number and the next one, higher with every handshake.
    struct Counting(AtomicU8);
    impl ExtensionFactory for Counting {
        fn name(&self) -> &str {
            "counting"
        }
        fn scope(&self) -> Scope {
            Scope::Message
        }
        fn accept(&self, _: &Params, _: Rsv) -> Result<Agreed, NegotiationError> {
            Err(NegotiationError::new("never"))
        }
        fn offers(&self) -> Vec<Params> {
            let n = self.0.fetch_add(2, Ordering::Relaxed);
            [n, n + 1].map(|n| Params::new().with("n", n)).into()
        }
        fn confirm(
            &self,
            response: &Params,
            offers: &[Params],
        ) -> Result<Box<dyn Extension>, NegotiationError> {
            let offers: Vec<_> = offers.iter().map(ToString::to_string).collect();
            Err(NegotiationError::new(format!("{} to{response}", offers.concat())))
        }
    }
    let set = set([plain("a", Rsv::RSV1)]).with(Counting(AtomicU8::new(0))).unwrap();
    for shown in ["; n=0; n=1 to; n=1", "; n=2; n=3 to; n=1"] {
        let error = verify_extensions(&set, "a, counting; n=1").unwrap_err();
        let Error::ExtensionParameters { name, reason } = &error else { panic!("{error}") };
        assert_eq!((&**name, reason.to_string().as_str()), ("counting", shown));
    }
}

#[test]
fn extension_with_parameters_of_no_offer_fails_and_the_parameter_is_named() {
    let set = set([plain("b", Rsv::RSV2), plain("a", Rsv::RSV1)]);
    let error = verify_extensions(&set, "b, a; x; bad=9").unwrap_err();
    let Error::ExtensionParameters { name, reason } = &error else { panic!("{error}") };
    assert_eq!((&**name, reason.parameter_name()), ("a", Some("bad")));
    assert_eq!(
        error.to_string(),
        "the server's parameters for extension a do not answer our offer (parameter bad: never taken): report it to the server's operator, or do not offer it"
    );
}

#[test]
fn errors_tell_what_they_came_from() {
    let source = |error: &dyn std::error::Error| error.source().map(ToString::to_string);
    let error = Error::ExtensionHeader(ExtensionHeaderError::Name);
    assert_eq!(source(&error), Some(ExtensionHeaderError::Name.to_string()));
    assert_eq!(source(&Error::Head(HeadError::BareLf)), Some(HeadError::BareLf.to_string()));
    let refusal = OriginRefusal::CrossSite;
    assert_eq!(source(&Cause::Origin(refusal)), Some(refusal.to_string()));
    // Nothing is told twice.
    let cause = Cause::Head(HeadError::BareLf);
    assert_eq!((cause.to_string(), source(&cause)), (HeadError::BareLf.to_string(), None));
}
