//! The judge finds nothing in what is right, and each kind of violation.

use super::*;

const TOPIC: TopicNumber = 3;
const EPOCH: u64 = 0xe;

fn at(sequence: u64) -> Place {
    Place { epoch: EPOCH, sequence }
}

fn message(sequence: u64) -> Event {
    Event::Message { at: at(sequence), id: sequence * 100 }
}

fn joined(since: u64, to: u64, count: u64) -> Event {
    Event::Joined { since: Some(at(since)), at: at(to), past: Past::All(count) }
}

fn fresh(sequence: u64) -> Event {
    Event::Joined { since: None, at: at(sequence), past: Past::Fresh }
}

fn publication(id: Id, fate: Fate) -> Publication {
    Publication { id, topic: TOPIC, fate, connection: 1, node: Some(0) }
}

/// The topic has 10, 12, 15 and 20; 990 is unknown and 991 refused.
fn ledger(events: Vec<Event>) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.truth.begin();
    for sequence in [10, 12, 15, 20] {
        ledger.truth.take(TOPIC, sequence, sequence * 100);
        ledger.publications.push(publication(sequence * 100, Fate::Acked(sequence)));
    }
    ledger.publications.push(publication(990, Fate::Handed));
    ledger.publications.push(publication(991, Fate::Refused));
    let counts = NodeCounts { published: 5, acknowledged: 4, unknown: 1, rejected: 0 };
    ledger.nodes.insert(0, counts);
    ledger.subscriptions.push(Subscription { client: 7, topic: TOPIC, events, stays: true });
    ledger
}

fn right() -> Vec<Event> {
    vec![fresh(9), message(10), message(12), message(15), message(20)]
}

fn violations(events: Vec<Event>) -> Vec<Violation> {
    ledger(events).judge().violations
}

#[test]
fn nothing_is_wrong() {
    for events in [
        right(),
        vec![fresh(11), message(12), message(15), message(20)],
        vec![
            fresh(9),
            message(10),
            Event::Left,
            joined(10, 15, 2),
            message(12),
            message(15),
            message(20),
        ],
        vec![
            fresh(9),
            message(10),
            Event::Left,
            joined(10, 10, 0),
            message(12),
            message(15),
            message(20),
        ],
        vec![
            fresh(9),
            message(10),
            Event::Gap { from: at(10), to: at(15) },
            message(15),
            message(20),
        ],
        vec![
            fresh(9),
            message(10),
            Event::Left,
            Event::Joined { since: Some(at(10)), at: at(15), past: Past::Lost },
            message(20),
        ],
    ] {
        let verdict = ledger(events).judge();
        assert_eq!(verdict.violations, [], "{verdict}");
        let Totals { published, stored, refused, unknown, .. } = verdict.totals;
        assert_eq!((published, stored, refused, unknown), (6, 4, 1, 1));
    }
}

#[test]
fn order_is_judged() {
    let found = violations(vec![fresh(9), message(10), message(15), message(12), message(20)]);
    assert!(
        found.iter().any(|found| matches!(found, Violation::Order { id: 1200, after: 15, .. }))
    );
    let found = violations(vec![fresh(12), message(12), message(15), message(20)]);
    assert!(matches!(found[..], [Violation::Order { id: 1200, .. }]), "{found:?}");
}

#[test]
fn duplicates_are_judged() {
    let mut events = right();
    events.insert(3, message(12));
    let found = violations(events);
    assert!(matches!(found[..], [Violation::Duplicate { id: 1200, .. }]), "{found:?}");
}

#[test]
fn losses_are_judged() {
    for (lost, end) in [(1, false), (2, false), (4, true)] {
        let mut events = right();
        events.remove(lost);
        let found = violations(events);
        assert!(
            matches!(found[..], [Violation::Missing { count: 1, at_the_end, .. }] if at_the_end == end),
            "{found:?}"
        );
    }
    // Lost in a gap that does not reach so far.
    let gap = Event::Gap { from: at(10), to: at(12) };
    let found = violations(vec![fresh(9), message(10), gap, message(15), message(20)]);
    assert!(matches!(found[..], [Violation::Missing { first: 12, count: 1, .. }]), "{found:?}");
    let gap = Event::Gap { from: at(12), to: at(15) };
    let found = violations(vec![fresh(9), message(10), gap, message(15), message(20)]);
    assert!(matches!(found[..], [Violation::Missing { first: 12, count: 1, .. }]), "{found:?}");
}

#[test]
fn what_was_never_stored_is_a_ghost() {
    let mut events = right();
    events.insert(2, Event::Message { at: at(11), id: 991 });
    let found = violations(events);
    assert!(matches!(found[..], [Violation::Ghost { id: 991, .. }]), "{found:?}");
    let mut events = right();
    events[2] = Event::Message { at: at(12), id: 1500 };
    assert!(
        violations(events).iter().any(|found| matches!(found, Violation::Ghost { id: 1500, .. }))
    );
}

#[test]
fn recovery_is_exact() {
    let told = |count| {
        vec![
            fresh(9),
            message(10),
            Event::Left,
            joined(10, 15, count),
            message(12),
            message(15),
            message(20),
        ]
    };
    assert!(matches!(violations(told(1))[..], [Violation::Recovery { told: 1, count: 2, .. }]));
    assert!(matches!(violations(told(3))[..], [Violation::Recovery { told: 3, count: 2, .. }]));
    let left_out =
        vec![fresh(9), Event::Left, joined(9, 15, 3), message(12), message(15), message(20)];
    assert!(matches!(violations(left_out)[..], [Violation::Missing { first: 10, .. }]));
    let other = Place { epoch: 0xf, sequence: 10 };
    let other = Event::Joined { since: Some(other), at: at(15), past: Past::All(2) };
    let found = violations(vec![
        fresh(9),
        message(10),
        Event::Left,
        other,
        message(12),
        message(15),
        message(20),
    ]);
    assert!(matches!(found[..], [Violation::Recovery { .. }]), "{found:?}");
    let found = violations(vec![Event::Joined { since: None, at: at(20), past: Past::Lost }]);
    assert!(matches!(found[..], [Violation::Past { .. }]));
}

#[test]
fn what_was_published_is_accounted_for() {
    let judge = |change: fn(&mut Ledger)| {
        let mut ledger = ledger(right());
        change(&mut ledger);
        ledger.judge().violations
    };
    let found = judge(|ledger| ledger.publications[1].fate = Fate::Refused);
    assert_eq!(found, [Violation::RefusedYetStored { id: 1200 }]);
    let found = judge(|ledger| ledger.publications[4].fate = Fate::Acked(30));
    assert_eq!(found, [Violation::AckedYetGone { id: 990, sequence: 30 }]);
    let found = judge(|ledger| ledger.publications[1].fate = Fate::Acked(13));
    assert_eq!(found, [Violation::AckedElsewhere { id: 1200, told: 13, found: 12 }]);
    let found = judge(|ledger| {
        ledger.publications.swap(0, 1);
    });
    assert_eq!(found, [Violation::PublisherOrder { first: 1200, second: 1000 }]);
    let found = judge(|ledger| {
        ledger.publications.remove(0);
    });
    assert_eq!(found, [Violation::NeverPublished { id: 1000 }]);
    let found = judge(|ledger| ledger.publications[0].topic = 4);
    assert_eq!(found, [Violation::WrongTopic { id: 1000 }]);
    let found = judge(|ledger| {
        ledger.nodes.insert(0, NodeCounts { published: 4, acknowledged: 4, ..Default::default() });
    });
    assert_eq!(found, [Violation::Uncounted { node: 0, missing: 1, counted: 0 }]);
    let found = judge(|ledger| ledger.nodes.get_mut(&0).unwrap().acknowledged = 3);
    assert_eq!(found, [Violation::Counts { node: 0, published: 5, known: 4 }]);
}

#[test]
fn stream_that_stores_twice_or_forgets_is_seen() {
    let mut twice = ledger(right());
    twice.truth.take(TOPIC, 30, 1000);
    let found = twice.judge().violations;
    assert!(found.contains(&Violation::StoredTwice { id: 1000 }), "{found:?}");
    let mut other = ledger(right());
    other.publications.push(publication(2001, Fate::Handed));
    other.truth.take(TOPIC, 20, 2001);
    let found = other.judge().violations;
    let expected = Violation::TwoAtOnePlace { sequence: 20, first: 2000, second: 2001 };
    assert!(found.contains(&expected), "{found:?}");
}

#[test]
fn another_life_of_the_stream_is_told() {
    let anew = |events| {
        let mut ledger = ledger(events);
        ledger.truth.begin();
        ledger.truth.take(TOPIC, 2, 200);
        ledger.publications.push(publication(200, Fate::Handed));
        ledger.judge().violations
    };
    let later = |sequence| Place { epoch: 0xf, sequence };
    let second = Event::Message { at: later(2), id: 200 };
    let mut events = right();
    events.push(Event::Gap { from: at(20), to: later(1) });
    events.push(second);
    assert_eq!(anew(events.clone()), []);
    events.pop();
    assert!(matches!(anew(events)[..], [Violation::Missing { first: 2, at_the_end: true, .. }]));
    // Its last messages were not read before it was deleted.
    let mut events = right();
    events.push(Event::Message { at: at(21), id: 990 });
    events.push(Event::Gap { from: at(21), to: later(1) });
    events.push(second);
    assert_eq!(anew(events), []);
    let mut events = right();
    events.push(Event::Message { at: at(2), id: 200 });
    assert!(anew(events).contains(&Violation::Epoch { epoch: EPOCH }));
}

#[test]
fn presence_is_right_in_the_end() {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let mut ledger = ledger(right());
    let (expected, told) = (names(&["a", "b"]), names(&["b", "c", "d"]));
    ledger.rolls.push(Roll { node: 2, topic: TOPIC, expected, told });
    let found = ledger.judge().violations;
    assert_eq!(found, [Violation::Presence { node: 2, topic: TOPIC, missing: 1, surplus: 2 }]);
}
