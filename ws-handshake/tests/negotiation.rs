//! Extensions as a server decides about them (RFC 6455 §9.1, DESIGN: the RSV contract).
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use support::{
    REQUEST, RESPONSE, accept_with,
    extensions::{Plain, framing, plain, set},
    serve_with, with,
};
use ws_core::{
    Extension, ExtensionFactory,
    extension::{Agreed, NegotiationError, Params, Rsv, RsvClaim, Scope, StackError},
};
use ws_handshake::{
    AcceptOptions, Accepted, ExtensionSet, ExtensionSetError, FactoryFault, Verdict,
};

fn accept(set: &ExtensionSet, offers: &str) -> Accepted {
    let request = with(&format!("Sec-WebSocket-Extensions: {offers}"));
    accept_with(&request, &AcceptOptions::default().extensions(set.clone())).unwrap()
}

/// The header of the response and the report, as text.
fn outcome(set: &ExtensionSet, offers: &str) -> (Option<String>, String) {
    let accepted = accept(set, offers);
    let header = accepted.extensions_header().map(ToOwned::to_owned);
    let names: Vec<_> = accepted.extensions.names().map(ToOwned::to_owned).collect();
    let in_header: Vec<_> = header
        .iter()
        .flat_map(|value| value.split(", "))
        .map(|element| element.split(';').next().unwrap().to_owned())
        .collect();
    assert_eq!(names, in_header, "the stack is in the order of the header");
    (header, accepted.report.to_string())
}

// R6455-4.2.2-j, R6455-9-a
#[test]
fn server_answers_with_nothing_that_was_not_offered() {
    let set = set([plain("x-one", Rsv::RSV2)]);
    let options = AcceptOptions::default().extensions(set.clone());
    assert_eq!(serve_with(REQUEST.as_bytes(), &options).text(), RESPONSE);
    assert_eq!(outcome(&set, "x-two").0, None);
    let (header, report) = outcome(&set, "x-two; a, x-one; b");
    assert_eq!(header.as_deref(), Some("x-one; b"));
    assert_eq!(report, "x-two; a: unknown here\nx-one; b: taken as x-one; b");
}

// R6455-9-a, R6455-9.1-j
#[test]
fn offers_of_one_extension_are_alternatives() {
    let set = set([plain("x-one", Rsv::NONE)]);
    let (header, report) = outcome(&set, "x-one, x-one, x-one; a");
    assert_eq!(header.as_deref(), Some("x-one"));
    assert_eq!(
        report,
        "x-one: taken as x-one\n\
         x-one: not needed: another offer of it was taken\n\
         x-one; a: not needed: another offer of it was taken"
    );
}

// R6455-9.1-h
#[test]
fn first_acceptable_offer_is_taken() {
    let set = set([plain("x-one", Rsv::RSV1)]);
    let (header, report) = outcome(&set, "x-one; bad=8, x-one; a, x-one");
    assert_eq!(header.as_deref(), Some("x-one; a"));
    assert_eq!(
        report,
        "x-one; bad=8: declined: parameter bad: never taken\n\
         x-one; a: taken as x-one; a\n\
         x-one: not needed: another offer of it was taken"
    );
}

// R6455-9.1-j
#[test]
fn names_are_compared_whole() {
    let set = set([plain("permessage-deflate", Rsv::RSV1)]);
    for offer in ["permessage-deflatex", "permessage-deflat", "Permessage-Deflate", "x"] {
        let (header, report) = outcome(&set, offer);
        assert_eq!(header, None, "{offer}");
        let expected =
            format!("{offer}: unknown here\npermessage-deflate: not offered by the client");
        assert_eq!(report, expected);
    }
}

// R6455-9.1-e, D-4
#[test]
fn only_registered_names_are_ever_sent() {
    let set = set([plain("x-one", Rsv::RSV2), plain("x-two", Rsv::RSV3)]);
    let (header, _) = outcome(&set, "a, x-two, b, permessage-deflate, x-one, c");
    assert_eq!(header.as_deref(), Some("x-one, x-two"));
}

#[test]
fn order_is_that_of_the_server() {
    let forward = set([plain("a", Rsv::RSV1), plain("b", Rsv::RSV2), plain("c", Rsv::NONE)]);
    let backward = set([plain("c", Rsv::NONE), plain("b", Rsv::RSV2), plain("a", Rsv::RSV1)]);
    for offers in ["a, b, c", "c, b, a", "b, c, b, a"] {
        assert_eq!(outcome(&forward, offers).0.as_deref(), Some("a, b, c"));
        assert_eq!(outcome(&backward, offers).0.as_deref(), Some("c, b, a"));
    }
}

#[test]
fn clashing_extension_is_declined_with_the_bits_and_the_names() {
    let set =
        set([plain("a", Rsv::RSV1), plain("b", Rsv::RSV1 | Rsv::RSV2), plain("c", Rsv::RSV3)]);
    let (header, report) = outcome(&set, "b, b; x, c, a");
    assert_eq!(header.as_deref(), Some("a, c"));
    assert_eq!(
        report,
        "b: declined: extensions a and b both claim RSV1\n\
         b; x: declined: extensions a and b both claim RSV1\n\
         c: taken as c\n\
         a: taken as a"
    );
    // Alone it is welcome.
    assert_eq!(outcome(&set, "b").0.as_deref(), Some("b"));
}

#[test]
fn clashing_extension_is_asked_again_with_the_offers_that_remain() {
    let set = set([plain("a", Rsv::RSV1), plain("b", Rsv::RSV1)]);
    let (header, report) = outcome(&set, "a, b, b; bits=none, b");
    assert_eq!(header.as_deref(), Some("a, b; bits=none"));
    assert_eq!(
        report,
        "a: taken as a\n\
         b: declined: extensions a and b both claim RSV1\n\
         b; bits=none: taken as b; bits=none\n\
         b: not needed: another offer of it was taken"
    );
}

// D-4, MDN-12
#[test]
fn each_offer_of_an_extension_is_declined_with_its_own_reason() {
    let set = set([plain("a", Rsv::RSV1), plain("b", Rsv::RSV1), plain("c", Rsv::NONE)]);
    let (header, report) = outcome(&set, "c, b; x, b; bad=1, b, a");
    assert_eq!(header.as_deref(), Some("a, c"));
    assert_eq!(
        report,
        "c: taken as c\n\
         b; x: declined: extensions a and b both claim RSV1\n\
         b; bad=1: declined: parameter bad: never taken\n\
         b: declined: extensions a and b both claim RSV1\n\
         a: taken as a"
    );
}

#[test]
fn declined_extension_leaves_its_bits_to_the_next() {
    let set = set([
        plain("a", Rsv::RSV1),
        plain("b", Rsv::RSV1 | Rsv::RSV2),
        plain("c", Rsv::RSV2),
        plain("d", Rsv::RSV3),
    ]);
    assert_eq!(outcome(&set, "d, c, b, a").0.as_deref(), Some("a, c, d"));
    assert_eq!(outcome(&set, "d, c, b, a; bad").0.as_deref(), Some("b, d"));
}

#[test]
fn extension_learns_which_bits_are_free() {
    #[derive(Debug)]
    struct Free;
    impl ExtensionFactory for Free {
        fn name(&self) -> &str {
            "free"
        }
        fn scope(&self) -> Scope {
            Scope::Message
        }
        fn accept(&self, _: &Params, free: Rsv) -> Result<Agreed, NegotiationError> {
            Err(NegotiationError::new(format!("{free} free")))
        }
        fn offers(&self) -> Vec<Params> {
            Vec::new()
        }
        fn confirm(
            &self,
            _: &Params,
            _: &[Params],
        ) -> Result<Box<dyn Extension>, NegotiationError> {
            Err(NegotiationError::new("never"))
        }
    }
    let set = set([plain("a", Rsv::RSV2)]).with(Free).unwrap();
    let (header, report) = outcome(&set, "free; x, a, free");
    assert_eq!(header.as_deref(), Some("a"));
    assert_eq!(
        report,
        "free; x: declined: RSV1+RSV3 free\n\
         a: taken as a\n\
         free: declined: RSV1+RSV3 free"
    );
}

#[test]
fn extension_that_breaks_its_word_is_declined_and_the_handshake_goes_on() {
    let good = || plain("good", Rsv::NONE);
    let faulty = Plain { response: Some(("x", "no token")), ..plain("faulty", Rsv::RSV1) };
    let accepted = accept(&set([faulty, good()]), "faulty, faulty; x, good");
    assert_eq!(accepted.extensions.names().collect::<Vec<_>>(), ["good"]);
    for entry in &accepted.report.entries()[..2] {
        assert_eq!(*entry.verdict(), Verdict::Fault(FactoryFault::Response));
    }
}

/// Announces one scope while a set is made, and names another for the connections.
struct Fickle {
    announced: Scope,
    later: Scope,
    is_later: Arc<AtomicBool>,
}

impl ExtensionFactory for Fickle {
    fn name(&self) -> &str {
        "fickle"
    }
    fn scope(&self) -> Scope {
        if self.is_later.load(Ordering::Relaxed) { self.later } else { self.announced }
    }
    fn accept(&self, offer: &Params, free: Rsv) -> Result<Agreed, NegotiationError> {
        plain("fickle", Rsv::RSV1).accept(offer, free)
    }
    fn confirm(
        &self,
        response: &Params,
        _: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        plain("fickle", Rsv::RSV1).confirm(response, &[])
    }
}

#[test]
fn scope_that_changes_after_it_was_announced_gets_no_extension_out_of_its_place() {
    let (messages, frames) = (plain("m", Rsv::RSV2), framing("f", Rsv::RSV3));
    let stands_in_front = StackError::FrameScope { frame: "fickle".into(), message: "m".into() };
    let stands_behind = StackError::FrameScope { frame: "f".into(), message: "fickle".into() };
    for (announced, later, neighbour, declined, error) in [
        (Scope::Message, Scope::Frame, messages, "m", stands_in_front),
        (Scope::Frame, Scope::WholeMessage, frames, "fickle", stands_behind),
    ] {
        let is_later = Arc::new(AtomicBool::new(false));
        let fickle = Fickle { announced, later, is_later: Arc::clone(&is_later) };
        let set = if announced == Scope::Message {
            ExtensionSet::new().with(fickle).unwrap().with(neighbour)
        } else {
            ExtensionSet::new().with(neighbour).unwrap().with(fickle)
        };
        let set = set.unwrap();
        is_later.store(true, Ordering::Relaxed);
        let report = accept(&set, "fickle, m, f").report;
        let of_declined = report.entries().iter().find(|entry| entry.offer().name() == declined);
        assert_eq!(*of_declined.unwrap().verdict(), Verdict::Stack(error));
    }
}

// RT-10
#[test]
fn rt_10_extension_cannot_break_out_of_the_header_line() {
    for (name, value) in [
        ("x", "1\r\nX: y"),
        ("x", ""),
        ("x", "a b"),
        ("x", "\u{85}"),
        ("", "1"),
        ("x,y", "1"),
        ("x\0", "1"),
    ] {
        let faulty = Plain { response: Some((name, value)), ..plain("faulty", Rsv::RSV1) };
        let accepted = accept(&set([faulty]), "faulty");
        assert!(accepted.extensions.is_empty());
        assert!(!accepted.response().headers().contains_key("sec-websocket-extensions"));
        let verdict = accepted.report.entries()[0].verdict();
        assert_eq!(*verdict, Verdict::Fault(FactoryFault::Response), "{name:?} {value:?}");
    }
}

#[test]
fn shared_factory_is_a_factory_however_it_is_added() {
    let offers = vec![Params::new().with("n", "1"), Params::new().with_flag("n")];
    let shared: Arc<dyn ExtensionFactory> =
        Arc::new(Plain { offers: offers.clone(), ..framing("shared", Rsv::RSV3) });
    assert_eq!(shared.offers(), offers);
    let mut pushed = ExtensionSet::new();
    pushed.push(Arc::clone(&shared)).unwrap();
    let with = ExtensionSet::new().with(shared).unwrap();
    for set in [pushed, with] {
        assert_eq!(outcome(&set, "shared").0.as_deref(), Some("shared"));
        assert_eq!(set.get("shared").unwrap().offers(), offers);
        assert_eq!(set.get("shared").unwrap().scope(), Scope::Frame);
    }
}

#[test]
fn extension_of_frame_scope_has_to_come_last() {
    let mut frames = set([framing("frames", Rsv::RSV3)]);
    let error = frames.push(plain("messages", Rsv::RSV1)).unwrap_err();
    assert_eq!(
        error,
        ExtensionSetError::FrameScope { frame: "frames".into(), message: "messages".into() }
    );
    assert_eq!(
        error.to_string(),
        "extension frames works on frames: add it after messages, which works on messages"
    );
    // What was refused is not there.
    assert_eq!(outcome(&frames, "messages, frames").0.as_deref(), Some("frames"));
    let whole = Plain { scope: Scope::WholeMessage, ..plain("whole", Rsv::NONE) };
    assert!(ExtensionSet::new().with(framing("f", Rsv::NONE)).unwrap().with(whole).is_err());
    let set = set([plain("messages", Rsv::RSV1), framing("f", Rsv::RSV2), framing("g", Rsv::RSV3)]);
    assert_eq!(outcome(&set, "g, f, messages").0.as_deref(), Some("messages, f, g"));
}

#[test]
fn set_takes_a_name_once_and_only_tokens() {
    let error = set([plain("a", Rsv::RSV1)]).with(plain("a", Rsv::RSV2)).unwrap_err();
    assert_eq!(error, ExtensionSetError::Duplicate { name: "a".into() });
    for name in ["", "a b", "a;b", "a\r\n", "\u{e4}"] {
        let error = ExtensionSet::new().with(plain(name, Rsv::NONE)).unwrap_err();
        assert_eq!(error, ExtensionSetError::Name { name: name.into() });
    }
}

#[test]
fn stack_knows_the_claims_of_what_was_agreed() {
    let every = Plain { claim: RsvClaim::EveryFrame(Rsv::RSV3), ..plain("b", Rsv::NONE) };
    let accepted = accept(&set([plain("a", Rsv::RSV1), every]), "a, b");
    assert_eq!(accepted.extensions.claimed(), Rsv::RSV1 | Rsv::RSV3);
    let none = accept(&ExtensionSet::new(), "a, b");
    assert!(none.extensions.is_empty());
    assert_eq!(none.report.to_string(), "a: unknown here\nb: unknown here");
}

#[test]
fn report_reads_well() {
    let set = set([
        plain("permessage-deflate", Rsv::RSV1),
        plain("x-squeeze", Rsv::RSV1),
        plain("x-checksum", Rsv::NONE),
    ]);
    let offers =
        "permessage-deflate; bad=8, permessage-deflate; n=10, x-squeeze, x-webkit-deflate-frame";
    let accepted = accept(&set, offers);
    assert_eq!(
        accepted.report.to_string(),
        "permessage-deflate; bad=8: declined: parameter bad: never taken\n\
         permessage-deflate; n=10: taken as permessage-deflate; n=10\n\
         x-squeeze: declined: extensions permessage-deflate and x-squeeze both claim RSV1\n\
         x-webkit-deflate-frame: unknown here\n\
         x-checksum: not offered by the client"
    );
    assert_eq!(accepted.report.not_offered().collect::<Vec<_>>(), ["x-checksum"]);
    let taken = &accepted.report.entries()[1];
    assert_eq!(taken.offer().to_string(), "permessage-deflate; n=10");
    assert!(matches!(taken.verdict(), Verdict::Taken { response } if response.len() == 1));
}
