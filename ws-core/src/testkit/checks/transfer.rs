//! Messages from end to end, whole and in pieces.

use super::{Outcome, Trial, peers::frames_of};
use crate::{
    Extensions, Message, UNLIMITED,
    extension::{Compression, Scope},
    testkit::{
        Failure, Rule,
        drive::{self, End, How, Sizes, deliver},
        messages::{is_long, places},
        pair::{self, Peers},
        source::{Course, Ends},
    },
};

pub(super) fn round_trip(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    every_message(trial, Rule::RoundTrip, Course::ToServer)
}

pub(super) fn roles(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    every_message(trial, Rule::Roles, Course::ToClient)
}

/// Sends all messages one after the other, by direct calls and through connections.
fn every_message(trial: &Trial<'_>, rule: Rule, course: Course) -> Result<Outcome, Failure> {
    let mut ends = trial.ends()?;
    for message in trial.messages {
        let along = ends.along(course);
        deliver(rule, along, message, Compression::Always, &How::USUAL, &How::USUAL)?;
    }
    through_connections(trial, rule, course, |message| !is_long(message))?;
    Ok(Outcome::Held)
}

/// Sends messages through two connections, one after the other.
fn through_connections(
    trial: &Trial<'_>,
    rule: Rule,
    course: Course,
    which: fn(&Message) -> bool,
) -> Result<(), Failure> {
    let Ends { client, server } = trial.ends()?;
    let claim = client.claim;
    let mut peers = Peers::new(&frames_of(UNLIMITED), alone(rule, client)?, alone(rule, server)?);
    for message in trial.messages.iter().filter(|message| which(message)) {
        let sender = peers.sender(course);
        let frames = pair::sent_message(rule, sender, message, Compression::Always)?;
        if frames.iter().any(|frame| !claim.bits().contains(frame.rsv)) {
            let failure = Failure::new(rule, "the wire has a bit that is not claimed");
            return Err(failure.with("frames, unmasked", &pair::wire(&frames, false)));
        }
        pair::arrives(rule, peers.receiver(course), &frames, message, usize::MAX)?;
    }
    Ok(())
}

/// Makes a stack of one extension.
pub(super) fn alone(rule: Rule, end: End) -> Result<Extensions, Failure> {
    let mut stack = Extensions::none();
    match stack.push_as("the extension", end.scope, end.into_extension()) {
        Ok(()) => Ok(stack),
        Err(error) => Err(Failure::new(rule, format!("it cannot be in a stack: {error}"))),
    }
}

pub(super) fn empty(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let empties = [Message::text(""), Message::binary(&b""[..])];
    for course in Course::BOTH {
        let mut ends = trial.ends()?;
        let mut carry = |message: &Message, sending: &How, receiving: &How| {
            let (along, hint) = (ends.along(course), Compression::Always);
            deliver(Rule::Empty, along, message, hint, sending, receiving)
                .map_err(|failure| failure.during(course.text()))
        };
        for empty in &empties {
            carry(empty, &How::USUAL, &How::USUAL)?;
            carry(empty, &How::USUAL, &How::USUAL)?;
            for message in trial.short() {
                carry(message, &How::USUAL, &How::USUAL)?;
                carry(empty, &How::USUAL, &How::USUAL)?;
            }
        }
        for message in trial.most() {
            let alone = |failure: Failure| failure.during("with the last chunk empty");
            carry(message, &How::end_alone(), &How::USUAL).map_err(alone)?;
            carry(message, &How::USUAL, &How::end_alone()).map_err(alone)?;
        }
    }
    Ok(Outcome::Held)
}

pub(super) fn cuts(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    if trial.ends()?.client.scope != Scope::Message {
        return Ok(Outcome::NotTried("it is shown whole units"));
    }
    every_size(trial, Rule::Cuts, How::cut)?;
    same_octets(trial, Rule::Cuts, How::cut)?;
    Ok(Outcome::Held)
}

pub(super) fn budget(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    every_size(trial, Rule::Budget, How::rooms)?;
    same_octets(trial, Rule::Budget, How::rooms)?;
    // The engine has bounds of its own.
    for course in Course::BOTH {
        through_connections(trial, Rule::Budget, course, |_| true)
            .map_err(|failure| failure.during(format!("by connections, {}", course.text())))?;
    }
    Ok(Outcome::Held)
}

/// Tries sizes of the first call, of every call and at random, sending and receiving.
fn every_size(trial: &Trial<'_>, rule: Rule, how: impl Fn(Sizes) -> How) -> Result<(), Failure> {
    for course in Course::BOTH {
        let mut ends = trial.ends()?;
        let mut carry = |message: &Message, sending: Sizes, receiving: Sizes| {
            let during = format!("sent {sending}, received {receiving}, {}", course.text());
            let (sending, receiving) = (how(sending), how(receiving));
            let along = ends.along(course);
            deliver(rule, along, message, Compression::Always, &sending, &receiving)
                .map_err(|failure| failure.during(during))
        };
        for message in trial.short() {
            for size in places(message.len() + 8).skip(1) {
                carry(message, Sizes::First(size), Sizes::Usual)?;
            }
            for size in [1, 2, 3, 7] {
                carry(message, Sizes::Each(size), Sizes::Usual)?;
                carry(message, Sizes::Usual, Sizes::Each(size))?;
                carry(message, Sizes::Each(size), Sizes::Each(size))?;
            }
        }
        let mut rng = trial.rng();
        for (message, most) in trial.messages.iter().zip([2, 5, 50, 500].into_iter().cycle()) {
            let most = if is_long(message) { most * 20 } else { most };
            let mut sizes = || Sizes::Random(rng.fork(), most);
            carry(message, sizes(), sizes())?;
            if is_long(message) {
                carry(message, Sizes::Each(97), Sizes::Each(97))?;
            }
        }
        // State makes a repeated message short, so each place of the encoded octets is tried with
        // fresh ends.
        for message in trial.short() {
            let encode =
                |end: &mut End| drive::encode(rule, end, message, Compression::Always, &How::USUAL);
            let len = encode(trial.ends()?.along(course).0)?.octets.len();
            for size in places(len.max(message.len())).skip(1) {
                let mut ends = trial.ends()?;
                let (from, to) = ends.along(course);
                let encoded = encode(from)?;
                let sizes = Sizes::First(size);
                let during = format!("received {sizes}, {}", course.text());
                drive::arrives(rule, to, message, &encoded, &how(sizes))
                    .map_err(|failure| failure.during(during))?;
            }
        }
    }
    Ok(())
}

/// Checks that fresh ends always write the same octets for a message, if the test asks for that.
fn same_octets(trial: &Trial<'_>, rule: Rule, how: impl Fn(Sizes) -> How) -> Result<(), Failure> {
    if !trial.same_octets {
        return Ok(());
    }
    let mut rng = trial.rng();
    for course in Course::BOTH {
        for message in trial.most() {
            let encode = |how: &How| {
                let mut ends = trial.ends()?;
                let (from, _) = ends.along(course);
                Ok(drive::encode(rule, from, message, Compression::Always, how)?.octets)
            };
            let at_once = encode(&How::USUAL)?;
            let firsts = places(message.len()).skip(1).map(Sizes::First);
            let each = [1, 2, 3, 7].map(Sizes::Each);
            let random = [5, 50].map(|most| Sizes::Random(rng.fork(), most));
            for sizes in firsts.chain(each).chain(random) {
                let during = format!("sent {sizes}, {}", course.text());
                let octets = encode(&how(sizes))?;
                if octets != at_once {
                    let what = "the same message gave other octets than in one call";
                    return Err(Failure::new(rule, what)
                        .during(during)
                        .with("message", message.as_bytes())
                        .with_both([("in one call", &at_once), ("this time", &octets)]));
                }
            }
        }
    }
    Ok(())
}
