//! What extensions remember, and what they must not have in common.

use super::{Outcome, Trial};
use crate::{
    Message,
    extension::Compression,
    testkit::{
        Failure, Rule,
        drive::{Encoded, End, How, Running, Sizes, deliver, guarded, judge},
        source::{Course, Ends},
    },
};

/// An octet at a time, so that two units are within each other for long.
const SLOW: How = How { cuts: Sizes::Each(1), rooms: Sizes::Each(1), end_alone: false };

/// So many messages within each other, and so many between which there is rest.
const SEVERAL: usize = 5;

pub(super) fn duplex(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let Ends { mut client, mut server } = trial.ends()?;
    let short = trial.short();
    let rule = Rule::Duplex;
    for (out, back) in short.iter().zip(short.iter().cycle().skip(1)).cycle().take(SEVERAL) {
        // The server's message is there before the client begins its own.
        let coming = encode(rule, &mut server, back)?;
        let mut sending = start_encoding(rule, &mut client, out)?;
        let mut receiving = start_decoding(rule, &mut client, back, &coming)?;
        let (mut sent, mut arrived) = (false, false);
        while !(sent && arrived) {
            sent = sent || step(rule, &mut sending, &mut client, "encode", out)?;
            arrived = arrived || step(rule, &mut receiving, &mut client, "decode", back)?;
        }
        judge(rule, back, &coming, Ok(receiving.into_encoded().octets))?;
        arrives_slowly(rule, &mut server, out, &sending.into_encoded())?;
    }
    Ok(Outcome::Held)
}

pub(super) fn isolation(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let rule = Rule::Isolation;
    for course in Course::BOTH {
        let (mut one, mut other) = (trial.ends()?, trial.ends()?);
        let short = trial.short();
        for (first, second) in short.iter().zip(short.iter().cycle().skip(1)).cycle().take(SEVERAL)
        {
            let ((from, to), (from_other, to_other)) = (one.along(course), other.along(course));
            let mut sending = start_encoding(rule, from, first)?;
            let mut sending_other = start_encoding(rule, from_other, second)?;
            let (mut done, mut done_other) = (false, false);
            while !(done && done_other) {
                done = done || step(rule, &mut sending, from, "encode", first)?;
                done_other =
                    done_other || step(rule, &mut sending_other, from_other, "encode", second)?;
            }
            let (sent, sent_other) = (sending.into_encoded(), sending_other.into_encoded());
            let mut receiving = start_decoding(rule, to, first, &sent)?;
            let mut receiving_other = start_decoding(rule, to_other, second, &sent_other)?;
            (done, done_other) = (false, false);
            while !(done && done_other) {
                done = done || step(rule, &mut receiving, to, "decode", first)?;
                done_other =
                    done_other || step(rule, &mut receiving_other, to_other, "decode", second)?;
            }
            judge(rule, first, &sent, Ok(receiving.into_encoded().octets))?;
            judge(rule, second, &sent_other, Ok(receiving_other.into_encoded().octets))?;
        }
        // One goes on alone, and the other after it.
        for turn in 0..3 {
            let ends = if turn == 1 { &mut other } else { &mut one };
            for message in &short {
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
                // Twice over, because what comes again is what was to be remembered.
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
    end.encode(message, Compression::Always, &How::USUAL).map_err(|trouble| {
        Failure::new(rule, trouble.text("encode")).with("message", message.as_bytes())
    })
}

fn start_encoding<'a>(
    rule: Rule,
    end: &mut End,
    message: &'a Message,
) -> Result<Running<'a>, Failure> {
    end.start_encoding(message, Compression::Always, &SLOW).map_err(|trouble| {
        Failure::new(rule, trouble.text("begin_encode")).with("message", message.as_bytes())
    })
}

fn start_decoding<'a>(
    rule: Rule,
    end: &mut End,
    message: &Message,
    encoded: &'a Encoded,
) -> Result<Running<'a>, Failure> {
    end.start_decoding(message.kind(), encoded.mark, &encoded.octets, &SLOW).map_err(|trouble| {
        Failure::new(rule, trouble.text("begin_decode")).with("encoded", &encoded.octets)
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
        Failure::new(rule, trouble.text(verb)).with("message", message.as_bytes())
    })
}

fn arrives_slowly(
    rule: Rule,
    end: &mut End,
    message: &Message,
    encoded: &Encoded,
) -> Result<(), Failure> {
    let decoded = end.decode(message.kind(), encoded.mark, &encoded.octets, &SLOW);
    judge(rule, message, encoded, decoded)
}
