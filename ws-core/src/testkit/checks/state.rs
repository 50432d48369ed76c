//! The state that extensions keep, and the state that they must not share.

use std::fmt;

use super::{Outcome, Trial};
use crate::{
    Message,
    extension::Compression,
    testkit::{
        Failure, Rule,
        drive::{
            self, Encoded, End, How, Running, Sizes, Stopped, arrives, deliver, guarded, judge,
        },
        source::{Course, Ends},
    },
};

/// One octet at a time, so that two units interleave for long.
const SLOW: How = How { cuts: Sizes::Each(1), rooms: Sizes::Each(1), end_alone: false };

/// The number of messages that interleave, and of those with a rest between them.
const SEVERAL: usize = 5;

pub(super) fn duplex(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    octet_by_octet(trial).map_err(|failure| {
        failure.during("one message is sent and one received, alternating by octet")
    })?;
    let ways = [
        ("in chunks of 1 octet", How { rooms: Sizes::Usual, ..SLOW }),
        ("with room for 1 octet", How { cuts: Sizes::Usual, ..SLOW }),
        ("in chunks of 1 octet and with room for 1", SLOW),
    ];
    for course in Course::BOTH {
        for (slowly, how) in &ways {
            for (slow, whole) in pairs(trial.short()) {
                for (within, verb) in
                    [(within_sending as Within, "sent"), (within_receiving as Within, "received")]
                {
                    // One connection for all: lost state may matter only to the next message.
                    let mut ends = trial.ends()?;
                    let mut pass = |place: Place| {
                        within(ends.along(course), slow, whole, how, place).map_err(|failure| {
                            failure.during(format!(
                                "a message is {verb} {slowly} by the {} and {place} comes another one \
                                 the other way, whole",
                                match course {
                                    Course::ToServer => "client",
                                    Course::ToClient => "server",
                                }
                            ))
                        })
                    };
                    pass(Place::Every)?;
                    let step = 1 + slow.len() / 50;
                    let mut place = 0;
                    while pass(Place::Before(place))? {
                        place += step;
                    }
                }
            }
        }
    }
    Ok(Outcome::Held)
}

/// Pairs each message with the next.
fn pairs<'a>(short: &'a [&'a Message]) -> impl Iterator<Item = (&'a Message, &'a Message)> + Clone {
    short.iter().copied().zip(short.iter().copied().cycle().skip(1))
}

/// The place of the other message among the calls of `encode` or `decode`.
#[derive(Clone, Copy)]
enum Place {
    Every,
    /// Before this call.
    Before(usize),
}

impl Place {
    fn is(self, call: usize) -> bool {
        match self {
            Self::Every => true,
            Self::Before(place) => place == call,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("before each call"),
            Self::Before(place) => write!(f, "before call {}", place + 1),
        }
    }
}

/// Returns whether there was such a place.
type Within = fn((&mut End, &mut End), &Message, &Message, &How, Place) -> Result<bool, Failure>;

/// Receives whole messages while one is being sent.
fn within_sending(
    (one, other): (&mut End, &mut End),
    slow: &Message,
    whole: &Message,
    how: &How,
    place: Place,
) -> Result<bool, Failure> {
    let rule = Rule::Duplex;
    let mut running = start_encoding(rule, one, slow, how)?;
    let mut any = false;
    for call in 0.. {
        if place.is(call) {
            any = true;
            deliver(rule, (&mut *other, &mut *one), whole, hint(call), &How::USUAL, &How::USUAL)?;
        }
        if step(rule, &mut running, one, "encode", slow)? {
            break;
        }
    }
    arrives(rule, other, slow, &running.into_encoded(), &How::USUAL)?;
    Ok(any)
}

/// Sends whole messages while one is being received.
fn within_receiving(
    (one, other): (&mut End, &mut End),
    slow: &Message,
    whole: &Message,
    how: &How,
    place: Place,
) -> Result<bool, Failure> {
    let rule = Rule::Duplex;
    let coming = encode(rule, other, slow)?;
    let mut running = start_decoding(rule, one, slow, &coming, how)?;
    let mut any = false;
    for call in 0.. {
        if place.is(call) {
            any = true;
            deliver(rule, (&mut *one, &mut *other), whole, hint(call), &How::USUAL, &How::USUAL)?;
        }
        if step(rule, &mut running, one, "decode", slow)? {
            break;
        }
    }
    judge(rule, slow, &coming, Ok(running.into_encoded().octets))?;
    Ok(any)
}

/// A hint that leaves some messages unmarked.
fn hint(call: usize) -> Compression {
    if call % 4 == 3 { Compression::Never } else { Compression::Always }
}

/// Alternates between two messages at one end, octet by octet.
fn octet_by_octet(trial: &Trial<'_>) -> Result<(), Failure> {
    let Ends { mut client, mut server } = trial.ends()?;
    let rule = Rule::Duplex;
    for (out, back) in pairs(trial.short()).cycle().take(SEVERAL) {
        // The server's message is encoded before the client begins its own.
        let coming = encode(rule, &mut server, back)?;
        let mut sending = start_encoding(rule, &mut client, out, &SLOW)?;
        let mut receiving = start_decoding(rule, &mut client, back, &coming, &SLOW)?;
        let (mut sent, mut arrived) = (false, false);
        while !(sent && arrived) {
            sent = sent || step(rule, &mut sending, &mut client, "encode", out)?;
            arrived = arrived || step(rule, &mut receiving, &mut client, "decode", back)?;
        }
        judge(rule, back, &coming, Ok(receiving.into_encoded().octets))?;
        arrives(rule, &mut server, out, &sending.into_encoded(), &SLOW)?;
    }
    Ok(())
}

pub(super) fn isolation(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let rule = Rule::Isolation;
    for course in Course::BOTH {
        let (mut one, mut other) = (trial.ends()?, trial.ends()?);
        for (first, second) in pairs(trial.short()).cycle().take(SEVERAL) {
            let ((from, to), (from_other, to_other)) = (one.along(course), other.along(course));
            let mut sending = start_encoding(rule, from, first, &SLOW)?;
            let mut sending_other = start_encoding(rule, from_other, second, &SLOW)?;
            let (mut done, mut done_other) = (false, false);
            while !(done && done_other) {
                done = done || step(rule, &mut sending, from, "encode", first)?;
                done_other =
                    done_other || step(rule, &mut sending_other, from_other, "encode", second)?;
            }
            let (sent, sent_other) = (sending.into_encoded(), sending_other.into_encoded());
            let mut receiving = start_decoding(rule, to, first, &sent, &SLOW)?;
            let mut receiving_other = start_decoding(rule, to_other, second, &sent_other, &SLOW)?;
            (done, done_other) = (false, false);
            while !(done && done_other) {
                done = done || step(rule, &mut receiving, to, "decode", first)?;
                done_other =
                    done_other || step(rule, &mut receiving_other, to_other, "decode", second)?;
            }
            judge(rule, first, &sent, Ok(receiving.into_encoded().octets))?;
            judge(rule, second, &sent_other, Ok(receiving_other.into_encoded().octets))?;
        }
        // One continues alone, and the other after it.
        for turn in 0..3 {
            let ends = if turn == 1 { &mut other } else { &mut one };
            for message in trial.short() {
                let hint = Compression::Always;
                deliver(rule, ends.along(course), message, hint, &How::USUAL, &How::USUAL)?;
            }
        }
    }
    Ok(Outcome::Held)
}

pub(super) fn park(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let rule = Rule::Park;
    let messages: Vec<&Message> = trial.messages.iter().take(SEVERAL).collect();
    for course in Course::BOTH {
        for (sender, receiver, who) in
            [(true, false, "the sender"), (false, true, "the receiver"), (true, true, "both")]
        {
            for boundary in 0..=messages.len() {
                let mut ends = trial.ends()?;
                let rest = |ends: &mut Ends, what: &str| {
                    let (from, to) = ends.along(course);
                    let parked = [(sender, from), (receiver, to)].into_iter().try_for_each(
                        |(rests, end)| {
                            if rests { guarded(|| end.extension().park()) } else { Ok(()) }
                        },
                    );
                    parked.map_err(|panic| {
                        Failure::new(rule, format!("`park` panicked {what}: {panic}"))
                    })
                };
                // Twice, because extensions refer back to repeated messages.
                for (at, message) in messages.iter().chain(&messages).enumerate() {
                    if at >= boundary && at < boundary + 2 {
                        rest(&mut ends, "between messages")?;
                        rest(&mut ends, "for the second time")?;
                    }
                    let hint = Compression::Always;
                    deliver(rule, ends.along(course), message, hint, &How::USUAL, &How::USUAL)
                        .map_err(|failure| {
                            failure.during(format!(
                                "{who} parked before messages {boundary} and {}, this is {at}, {}",
                                boundary + 1,
                                course.text()
                            ))
                        })?;
                }
            }
        }
    }
    Ok(Outcome::Held)
}

fn encode(rule: Rule, end: &mut End, message: &Message) -> Result<Encoded, Failure> {
    drive::encode(rule, end, message, Compression::Always, &How::USUAL)
}

fn start_encoding<'a>(
    rule: Rule,
    end: &mut End,
    message: &'a Message,
    how: &How,
) -> Result<Running<'a>, Failure> {
    end.start_encoding(message, Compression::Always, how).map_err(|trouble| {
        Stopped::from(trouble).failure(rule, "begin_encode").with("message", message.as_bytes())
    })
}

fn start_decoding<'a>(
    rule: Rule,
    end: &mut End,
    message: &Message,
    encoded: &'a Encoded,
    how: &How,
) -> Result<Running<'a>, Failure> {
    end.start_decoding(message.kind(), encoded.mark, &encoded.octets, how).map_err(|trouble| {
        Stopped::from(trouble).failure(rule, "begin_decode").with("encoded", &encoded.octets)
    })
}

fn step(
    rule: Rule,
    running: &mut Running<'_>,
    end: &mut End,
    verb: &str,
    message: &Message,
) -> Result<bool, Failure> {
    running.step(end).map_err(|trouble| {
        Stopped::from(trouble).failure(rule, verb).with("message", message.as_bytes())
    })
}
