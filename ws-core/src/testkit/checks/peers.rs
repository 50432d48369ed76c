//! Whole connections: fragments, marks, and other extensions in the stack.

use super::{Outcome, Trial};
use crate::{
    Config, Connection, Event, Extensions, Message, Opcode, SendError, UNLIMITED,
    extension::{Compression, Mark, Rsv, RsvClaim, Scope},
    testkit::{
        Failure, Rule,
        checks::transfer::alone,
        drive::{End, How, deliver},
        messages::{is_long, places},
        neighbour::Neighbour,
        pair::{self, Frame, Peers, cut_again},
        source::{Course, Ends},
    },
};

const HINTS: [Compression; 5] = [
    Compression::Always,
    Compression::Never,
    Compression::Auto,
    Compression::Never,
    Compression::Always,
];

fn peers(trial: &Trial<'_>, rule: Rule, most: usize) -> Result<Peers, Failure> {
    let Ends { client, server } = trial.ends()?;
    Ok(Peers::new(&frames_of(most), alone(rule, client)?, alone(rule, server)?))
}

/// Frames of at most `most` octets, and no limit within an extension's reach.
pub(super) fn frames_of(most: usize) -> Config {
    Config::default().max_sent_frame(most).max_message(UNLIMITED).max_fragments(UNLIMITED)
}

/// Whether the extension with this claim marked the message.
fn mark_of(frames: &[Frame], claim: RsvClaim) -> Mark {
    let rsv = frames.first().map_or(Rsv::NONE, |first| first.rsv);
    if rsv.contains(claim.bits()) { Mark::Marked } else { Mark::Unmarked }
}

pub(super) fn fragments(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let Ends { client: End { claim, scope, .. }, .. } = trial.ends()?;
    for course in Course::BOTH {
        for message in trial.short() {
            by_sender(trial, course, message, claim)?;
            if scope != Scope::Frame {
                by_others(trial, course, message, claim)?;
            }
        }
    }
    Ok(Outcome::Held)
}

/// The sender fragments: by a frame limit, and by streaming.
fn by_sender(
    trial: &Trial<'_>,
    course: Course,
    message: &Message,
    claim: RsvClaim,
) -> Result<(), Failure> {
    let rule = Rule::Fragments;
    for most in [1, 3, 16, UNLIMITED] {
        let mut peers = peers(trial, rule, most)?;
        let frames = pair::sent_message(rule, peers.sender(course), message, Compression::Always)?;
        trial.tally.count(mark_of(&frames, claim));
        let during = format!("sent in frames of at most {most} octets, {}", course.text());
        pair::arrives(rule, peers.receiver(course), &with_control(frames), message, usize::MAX)
            .map_err(|failure| failure.during(during))?;
        for cut in places(message.len()) {
            let (head, tail) = message.as_bytes().split_at(cut);
            let stream = |ws: &mut Connection| -> Result<(), SendError> {
                ws.start_message_with(message.kind(), Compression::Always)?;
                ws.send_chunk(head.to_vec())?;
                ws.ping(&b"between"[..])?;
                ws.finish_message(tail.to_vec())
            };
            let frames = pair::sent(rule, peers.sender(course), message, stream)?;
            let piece = if cut % 2 == 0 { usize::MAX } else { 1 };
            pair::arrives(rule, peers.receiver(course), &frames, message, piece).map_err(
                |failure| failure.during(format!("streamed, cut at {cut}, {}", course.text())),
            )?;
        }
    }
    Ok(())
}

/// An intermediary may fragment again if that does not change the meaning of a frame (RFC 6455
/// §5.4): at every octet, with empty frames first, in the middle and last.
fn by_others(
    trial: &Trial<'_>,
    course: Course,
    message: &Message,
    claim: RsvClaim,
) -> Result<(), Failure> {
    let rule = Rule::Fragments;
    let through = |lens: &[usize], piece: usize| {
        let mut peers = peers(trial, rule, UNLIMITED)?;
        let frames = pair::sent_message(rule, peers.sender(course), message, Compression::Always)?;
        let cut = with_control(cut_again(&frames, claim, lens));
        pair::arrives(rule, peers.receiver(course), &cut, message, piece).map_err(|failure| {
            failure.during(format!("in frames of {lens:?} and the rest, {}", course.text()))
        })?;
        Ok::<usize, Failure>(frames.iter().map(|frame| frame.payload.len()).sum())
    };
    let len = through(&[1; 50], 1)?;
    for cut in places(len) {
        for lens in [&[cut][..], &[0, cut, 0], &[cut, 0, 0, 1]] {
            through(lens, if cut % 2 == 0 { usize::MAX } else { 1 })?;
        }
    }
    Ok(())
}

/// Puts a Ping and a Pong before every frame.
fn with_control(frames: Vec<Frame>) -> Vec<Frame> {
    frames.into_iter().flat_map(|frame| [Frame::ping(), Frame::pong(), frame]).collect()
}

pub(super) fn unmarked(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let rule = Rule::Unmarked;
    for course in Course::BOTH {
        let mut ends = trial.ends()?;
        for round in 0..HINTS.len() {
            for (message, hint) in trial.most().zip(HINTS.iter().cycle().skip(round)) {
                deliver(rule, ends.along(course), message, *hint, &How::USUAL, &How::USUAL)
                    .map_err(|failure| {
                        failure.during(format!("sent with {hint:?}, {}", course.text()))
                    })?;
            }
        }
        if ends.client.claim != RsvClaim::None {
            foreign(trial, course)?;
        }
    }
    Ok(Outcome::Held)
}

/// An unmarked message of another implementation is delivered unchanged or refused, and leaves no
/// trace.
fn foreign(trial: &Trial<'_>, course: Course) -> Result<(), Failure> {
    let rule = Rule::Unmarked;
    let mut peers = peers(trial, rule, UNLIMITED)?;
    for message in trial.short().iter().cycle().take(6) {
        let (rsv, opcode) = (Rsv::NONE, Opcode::Binary);
        let foreign = Frame { fin: true, rsv, opcode, payload: b"without a mark".to_vec() };
        let plain = Message::binary(foreign.payload.clone());
        let receiver = peers.receiver(course);
        let wire = pair::wire(std::slice::from_ref(&foreign), receiver.role().is_server());
        match pair::received(receiver, &wire, usize::MAX) {
            Ok(events) if matches!(events.first(), Some(Event::Closing)) => return Ok(()),
            Ok(events) if events == [Event::Message(plain.clone())] => {}
            Ok(_) => {
                let what = "an unmarked message was neither delivered as it is nor refused";
                return Err(Failure::new(rule, what).with("message", plain.as_bytes()));
            }
            Err(panic) => {
                let what = format!("`begin_unmarked` panicked: {panic}");
                return Err(Failure::new(rule, what).with("message", plain.as_bytes()));
            }
        }
        let frames = pair::sent_message(rule, peers.sender(course), message, Compression::Always)?;
        pair::arrives(rule, peers.receiver(course), &frames, message, usize::MAX).map_err(
            |failure| failure.during(format!("after a foreign message, {}", course.text())),
        )?;
    }
    Ok(())
}

/// The other extensions in the stack: before, nearer to the application, and after.
#[derive(Clone, Copy)]
struct Street {
    before: Option<RsvClaim>,
    after: Option<(RsvClaim, Scope)>,
}

impl Street {
    fn stack(self, end: End) -> Result<Extensions, Failure> {
        let mut stack = Extensions::none();
        let mut push = |name, scope, extension| {
            stack
                .push_as(name, scope, extension)
                .map_err(|error| Failure::new(Rule::Neighbours, format!("{error}")))
        };
        if let Some(claim) = self.before {
            push("before", Scope::Message, Box::new(Neighbour::new(claim)))?;
        }
        push("the extension", end.scope, end.into_extension())?;
        if let Some((claim, scope)) = self.after {
            push("after", scope, Box::new(Neighbour::new(claim)))?;
        }
        Ok(stack)
    }

    fn text(self) -> String {
        let bits = |claim: RsvClaim| claim.bits();
        match (self.before.map(bits), self.after) {
            (Some(before), None) => format!("with another extension ({before}) before it"),
            (None, Some((claim, scope))) => {
                format!("with another extension ({}, {scope:?}) after it", claim.bits())
            }
            (before, after) => format!(
                "with others before ({}) and after it ({})",
                before.unwrap_or_default(),
                after.map(|(claim, _)| claim.bits()).unwrap_or_default()
            ),
        }
    }
}

pub(super) fn neighbours(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let Ends { client: End { claim, scope, .. }, .. } = trial.ends()?;
    let rule = Rule::Neighbours;
    for street in streets(claim, scope) {
        for course in Course::BOTH {
            for (most, long) in [(5, false), (UNLIMITED, true)] {
                let Ends { client, server } = trial.ends()?;
                let (client, server) = (street.stack(client)?, street.stack(server)?);
                let mut peers = Peers::new(&frames_of(most), client, server);
                // Sends the long messages once, in the configuration where most can go wrong.
                let long = long && street.before.is_some() && street.after.is_some();
                for message in trial.messages.iter().filter(|message| long || !is_long(message)) {
                    let hint = Compression::Always;
                    pair::sent_message(rule, peers.sender(course), message, hint)
                        .and_then(|frames| {
                            trial.tally.count(mark_of(&frames, claim));
                            let receiver = peers.receiver(course);
                            pair::arrives(rule, receiver, &frames, message, 1000)
                        })
                        .map_err(|failure| {
                            failure.during(format!("{}, {}", street.text(), course.text()))
                        })?;
                }
            }
        }
    }
    Ok(Outcome::Held)
}

/// The possible neighbours of an extension, with bits if any are free, and without.
fn streets(claim: RsvClaim, scope: Scope) -> Vec<Street> {
    let free = |rsv: &Rsv| !claim.bits().contains(*rsv);
    let mut free = [Rsv::RSV1, Rsv::RSV2, Rsv::RSV3].into_iter().filter(free);
    let before = free.next().map_or(RsvClaim::None, RsvClaim::FirstFrame);
    let after = free.next().map_or(RsvClaim::None, RsvClaim::EveryFrame);
    let mut streets = Vec::from([
        Street { before: Some(before), after: None },
        Street { before: Some(RsvClaim::None), after: None },
        Street { before: None, after: Some((after, Scope::Frame)) },
        Street { before: Some(before), after: Some((after, Scope::Frame)) },
    ]);
    if scope != Scope::Frame {
        for scope in [Scope::Message, Scope::WholeMessage] {
            streets.push(Street { before: Some(before), after: Some((after, scope)) });
            streets.push(Street { before: None, after: Some((RsvClaim::None, scope)) });
        }
    }
    streets
}
