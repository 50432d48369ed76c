//! The conformance kit catches what breaks the contract, by the name of the rule that is broken.
#![allow(clippy::unwrap_used)]

mod duplex;
mod flawed;
mod guide;

use flawed::{Flaw, RollFactory};
use ws_core::{
    Extension, ExtensionFactory,
    extension::{Chunk, ExtensionError, Params, Progress, Rsv, RsvClaim, Scope, Sink},
    testkit::{Kit, Rule, check},
};

/// Every flaw, and the rule that it breaks.
const FLAWS: &[(Flaw, Rule)] = &[
    (Flaw::NameIsNoToken, Rule::Name),
    (Flaw::ResponseIsNotConfirmed, Rule::Offers),
    (Flaw::NoOffers, Rule::Offers),
    (Flaw::ScopeChanges, Rule::Scope),
    (Flaw::EndsClaimDifferentBits, Rule::Claim),
    (Flaw::ClaimChanges, Rule::Claim),
    (Flaw::UnknownParametersAreTaken, Rule::Parameters),
    (Flaw::ParameterPanics, Rule::Parameters),
    (Flaw::MarksNothing, Rule::Marks),
    (Flaw::MarksLongMessagesAlone, Rule::Marks),
    (Flaw::TakesAnotherBitInSecret, Rule::Clash),
    (Flaw::DecodesWrongly, Rule::RoundTrip),
    (Flaw::DecodePanics, Rule::RoundTrip),
    (Flaw::ServerBeginsElsewhere, Rule::Roles),
    (Flaw::EmptyEndHasNoSum, Rule::Empty),
    (Flaw::PositionIsThatOfTheCall, Rule::Cuts),
    (Flaw::SumIsDroppedWithoutRoom, Rule::Budget),
    (Flaw::DoneWithInputLeft, Rule::Budget),
    (Flaw::FullWithoutProgress, Rule::Budget),
    (Flaw::OneStateForBothDirections, Rule::Duplex),
    (Flaw::BeginDecodeResetsSending, Rule::Duplex),
    (Flaw::DoneOfDecodeEndsSending, Rule::Duplex),
    (Flaw::BeginEncodeResetsReceiving, Rule::Duplex),
    (Flaw::OneStateForAllConnections, Rule::Isolation),
    (Flaw::ParkForgets, Rule::Park),
    (Flaw::EmptyInputPanics, Rule::Garbage),
    (Flaw::PeerIsToldInternalError, Rule::CloseCode),
    (Flaw::LengthIsReliedOn, Rule::Fragments),
    (Flaw::UnmarkedAreCounted, Rule::Unmarked),
    (Flaw::UnmarkedAreCountedByTheReceiver, Rule::Unmarked),
    (Flaw::MarksAreAddedWhenSending, Rule::Neighbours),
    (Flaw::SharedAreNotCounted, Rule::Shared),
    (Flaw::SharedChangesItsMind, Rule::Shared),
    (Flaw::SharedFormHasAState, Rule::Shared),
    (Flaw::SharedFormLosesWhatDoesNotFit, Rule::Shared),
    (Flaw::SharedKeyIsTooWide, Rule::Shared),
];

#[test]
fn sound_extension_keeps_every_rule() {
    let report = check(&RollFactory::new(Flaw::None)).unwrap();
    assert_eq!(report.passed(), Rule::ALL, "{report}");
    assert_eq!(report.configurations(), 2);
    assert_eq!(report.claimed(), Rsv::RSV2);
    // Two configurations, two directions.
    assert_eq!(report.marked(), (4 * 14, 4 * 14));
}

#[test]
fn every_flaw_is_caught_by_the_name_of_its_rule() {
    for (flaw, rule) in FLAWS {
        let failure = check(&RollFactory::new(*flaw)).expect_err(&format!("{flaw:?}"));
        assert_eq!(failure.rule(), *rule, "{flaw:?}: {failure}");
    }
}

#[test]
fn every_rule_has_a_flaw_that_breaks_it() {
    for rule in Rule::ALL {
        assert!(FLAWS.iter().any(|(_, broken)| broken == rule), "{rule:?}");
    }
}

#[test]
fn failure_says_what_was_tried_and_shows_the_octets() {
    let failure = check(&RollFactory::new(Flaw::PositionIsThatOfTheCall)).unwrap_err();
    let octets: Vec<_> = failure.octets().collect();
    assert_eq!(octets[0], ("message", &b"Hello"[..]));
    // The position of the second call begins anew.
    assert_eq!(octets[1], ("encoded", &b"\0\x49\x66\x6e\x6f\x73\xf4"[..]));
    // The documentation shows it.
    let shown: Vec<String> = include_str!("../../src/testkit.rs")
        .lines()
        .skip_while(|line| !line.contains("x-roll breaks"))
        .take_while(|line| *line != "//! ```")
        .map(|line| line.trim_start_matches("//! ").to_owned())
        .collect();
    assert_eq!(failure.to_string(), shown.join("\n"));
}

#[test]
fn rule_can_be_left_out_and_tried_alone() {
    let factory = RollFactory::new(Flaw::ParkForgets);
    let report = Kit::new(&factory).without(Rule::Park).run().unwrap();
    assert_eq!(report.not_tried(), [(Rule::Park, "it was left out")]);
    assert!(!report.passed().contains(&Rule::Park));
    let failure = Kit::new(&factory).run_rule(Rule::Park).unwrap_err();
    assert_eq!(failure.rule(), Rule::Park);
    let report = Kit::new(&factory).run_rule(Rule::Cuts).unwrap();
    assert_eq!(report.passed(), [Rule::Cuts]);
}

#[test]
fn offer_that_the_server_declines_is_told_and_not_tried() {
    let (client, mut server) = (RollFactory::new(Flaw::None), RollFactory::new(Flaw::None));
    server.max_level = 1;
    let report = Kit::between(&client, &server).run_rule(Rule::RoundTrip).unwrap();
    assert_eq!(report.configurations(), 1);
    let declined = "`; level=2` was declined: parameter level: is too high";
    assert_eq!(report.declined(), [declined]);
    server.max_level = 0;
    let failure = Kit::between(&client, &server).run().unwrap_err();
    assert_eq!(failure.rule(), Rule::Offers);
    assert!(failure.what().ends_with(declined), "{failure}");
}

#[test]
fn pairs_are_tried_without_a_negotiation() {
    let factory = |flaw| {
        move || {
            let factory = RollFactory::new(flaw);
            let agreed = factory.accept(&Params::new().with("level", "1"), Rsv::ALL).unwrap();
            (factory.confirm(&agreed.response, &[]).unwrap(), agreed.extension)
        }
    };
    let report = Kit::pairs("x-roll", Scope::Message, &factory(Flaw::None)).seed(3).run().unwrap();
    let not_tried: Vec<Rule> = report.not_tried().iter().map(|(rule, _)| *rule).collect();
    assert_eq!(not_tried, [Rule::Name, Rule::Offers, Rule::Scope, Rule::Parameters, Rule::Clash]);
    let failure =
        Kit::pairs("x-roll", Scope::Message, &factory(Flaw::EmptyInputPanics)).run().unwrap_err();
    assert_eq!(failure.rule(), Rule::Garbage);
}

#[test]
fn messages_of_the_caller_are_sent_in_place_of_the_kits_own() {
    // Without four octets nothing reaches the flaw, and what is not cut does not show another.
    let flaw = RollFactory::new(Flaw::DecodePanics);
    Kit::new(&flaw).messages(["ab", "cd"]).run_rule(Rule::RoundTrip).unwrap();
    let failure = Kit::new(&flaw).messages(["abcd"]).run_rule(Rule::RoundTrip).unwrap_err();
    assert!(failure.what().contains("the fourth octet"), "{failure}");
}

#[test]
fn octets_that_depend_on_cuts_or_room_are_a_fault_where_the_caller_says_so() {
    for (flaw, rule) in [(Flaw::ChunkShows, Rule::Cuts), (Flaw::RoomShows, Rule::Budget)] {
        let sound = RollFactory::new(Flaw::None);
        Kit::new(&sound).same_octets().run_rule(rule).unwrap();
        let factory = RollFactory::new(flaw);
        let report = Kit::new(&factory).run_rule(rule).unwrap();
        assert_eq!(report.passed(), [rule], "{report}");
        let failure = Kit::new(&factory).same_octets().run().unwrap_err();
        assert_eq!(failure.rule(), rule, "{failure}");
        let octets: Vec<_> = failure.octets().map(|(_, octets)| octets.to_vec()).collect();
        assert_eq!(octets[0], b"Hello");
        assert_eq!((octets[1][0], octets[2][0]), (0, 1), "the tags");
    }
}

#[test]
fn rules_that_saw_nothing_marked_are_not_tried() {
    for flaw in [Flaw::MarksNothing, Flaw::MarksLongMessagesAlone] {
        let factory = RollFactory::new(flaw);
        let report = Kit::new(&factory).without(Rule::Marks).run().unwrap();
        let (marked, all) = report.marked();
        // Of the kit's, three have more than 5000 octets.
        let of_each = if flaw == Flaw::MarksNothing { 0 } else { 3 };
        assert_eq!((marked, all), (4 * of_each, 4 * 14), "{report}");
        let unseen: Vec<Rule> = report
            .not_tried()
            .iter()
            .filter_map(|(rule, why)| (*why == "nothing was marked").then_some(*rule))
            .collect();
        let mut expected = vec![
            Rule::Clash,
            Rule::Empty,
            Rule::Isolation,
            Rule::Unmarked,
            Rule::Duplex,
            Rule::Park,
            Rule::Fragments,
        ];
        if flaw == Flaw::MarksNothing {
            expected.extend([
                Rule::RoundTrip,
                Rule::Roles,
                Rule::Cuts,
                Rule::Budget,
                Rule::Neighbours,
            ]);
            expected.sort();
        }
        assert_eq!(unseen, expected, "{report}");
        assert!(report.to_string().contains(&format!("; marked {marked} of {all} messages")));
    }
}

#[test]
fn messages_that_are_marked_are_those_that_are_cut_everywhere() {
    let factory = RollFactory::new(Flaw::MarksFrom60Octets);
    let long = "sixty octets and more, which is longer than what is cut else";
    let report = Kit::new(&factory).messages(["short", "short as well", long]).run().unwrap();
    assert_eq!(report.passed(), Rule::ALL, "{report}");
    assert_eq!(report.marked(), (4, 4 * 3));
}

/// Inverts every octet, without a bit that tells.
struct Inverted;

impl Extension for Inverted {
    fn claim(&self) -> RsvClaim {
        RsvClaim::None
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        while let (Some(octet), false) = (input.data().first(), out.is_full()) {
            input.consume(out.write(&[!octet]));
        }
        Ok(if input.is_empty() { Progress::Done } else { Progress::Full })
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        self.encode(input, out)
    }
}

#[test]
fn extension_without_a_bit_is_tried_on_everything() {
    let make =
        || -> (Box<dyn Extension>, Box<dyn Extension>) { (Box::new(Inverted), Box::new(Inverted)) };
    let report = Kit::pairs("x-inverted", Scope::Message, &make).run().unwrap();
    let why = |rule| report.not_tried().iter().find(|(not, _)| *not == rule).map(|(_, why)| *why);
    assert_eq!(why(Rule::Marks), Some("it claims no bit"));
    assert!(!report.not_tried().iter().any(|(_, why)| *why == "nothing was marked"), "{report}");
    assert_eq!(report.marked(), (0, 0));
    assert!(!report.to_string().contains("messages"), "{report}");
}

#[test]
fn place_of_a_fault_in_a_long_message_is_told_and_shown() {
    let factory = RollFactory::new(Flaw::WrongInThePositionOf200);
    let long: Vec<u8> = (0..=255).collect();
    let failure = Kit::new(&factory).messages([long]).run_rule(Rule::RoundTrip).unwrap_err();
    let text = failure.to_string();
    assert!(
        failure.what().starts_with("after 200 octets the decoded message is not the one"),
        "{text}"
    );
    assert!(text.contains("\nmessage, 256 octets, from 168 on: a8 a9 "), "{text}");
    assert!(text.contains("\ndecoded, 256 octets, from 168 on: a8 a9 "), "{text}");
    assert!(text.contains(" c7 c9 c9 "), "{text}");

    let factory = RollFactory::new(Flaw::DecodePanics);
    let failure = check(&factory).unwrap_err();
    assert_eq!(failure.what(), "after 5 octets `decode` panicked: the fourth octet");
}

#[test]
fn hint_follows_what_happened() {
    let mends = |flaw, rule: Rule| {
        let failure = Kit::new(&RollFactory::new(flaw)).run_rule(rule).unwrap_err();
        let text = failure.to_string();
        text.split_once("to fix it: ").unwrap().1.to_owned()
    };
    assert_eq!(mends(Flaw::DecodesWrongly, Rule::RoundTrip), Rule::RoundTrip.remedy());
    assert_eq!(mends(Flaw::DecodePanics, Rule::RoundTrip), Rule::Garbage.remedy());
    assert_eq!(mends(Flaw::DoneTooEarly, Rule::RoundTrip), Rule::Budget.remedy());
    assert_eq!(mends(Flaw::DoneWithInputLeft, Rule::Budget), Rule::Budget.remedy());
    let both = format!("{}; or else {}", Rule::Park.remedy(), Rule::Garbage.remedy());
    assert_eq!(mends(Flaw::DecodePanics, Rule::Park), both);
}

#[test]
fn claim_of_the_bit_of_compression_is_told() {
    let report = Kit::new(&RollFactory::new(Flaw::ClaimsTheBitOfCompression))
        .without(Rule::Clash)
        .run()
        .unwrap();
    assert_eq!(report.claimed(), Rsv::RSV1);
    assert!(report.to_string().contains("claims RSV1, so permessage-deflate cannot"), "{report}");
    let report = check(&RollFactory::new(Flaw::None)).unwrap();
    assert!(!report.to_string().contains("RSV1"), "{report}");
}
