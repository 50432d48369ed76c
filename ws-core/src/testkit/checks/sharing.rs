//! The encoding that a broadcast shares.

use bytes::Bytes;

use super::{Outcome, Trial};
use crate::{
    Message,
    extension::{Compression, Mark, MessageInfo, SharedKey},
    testkit::{
        Failure, Rule,
        drive::{Encoded, End, How, arrives, deliver, guarded},
        source::Course,
    },
};

const RULE: Rule = Rule::Shared;

/// What stood in the buffer before, and has to stay.
const BEFORE: &[u8] = b"before";

/// The shared form of a message and its name, if it has one.
fn form(end: &mut End, message: &Message) -> Result<Option<(SharedKey, Vec<u8>)>, Failure> {
    let plain = message.as_bytes();
    let info = MessageInfo::new(message.kind(), Some(plain.len() as u64), Compression::Always);
    let failure = |what| Failure::new(RULE, what).with("message", plain);
    let panicked = |panic| failure(format!("the shared encoding panicked: {panic}"));
    let Some((key, encoder)) = guarded(|| end.extension().shared(&info)).map_err(panicked)? else {
        return Ok(None);
    };
    let mut forms = Vec::new();
    for _ in 0..2 {
        let mut out = BEFORE.to_vec();
        // What is not marked or fails goes the other way.
        let Ok(Mark::Marked) =
            guarded(|| encoder.encode(&info, plain, &mut out)).map_err(panicked)?
        else {
            return Ok(None);
        };
        match out.strip_prefix(BEFORE) {
            Some(form) => forms.push(form.to_vec()),
            None => return Err(failure("it did not append".into()).with("buffer", &out)),
        }
    }
    match (forms.pop(), forms.pop()) {
        (Some(again), Some(first)) if again != first => {
            let what = "the same message was encoded in two ways";
            Err(failure(what.into()).with("first", &first).with("second", &again))
        }
        (form, _) => Ok(form.map(|form| (key, form))),
    }
}

pub(super) fn shared(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let mut ends = trial.ends()?;
    let mut any = false;
    for round in 0..3 {
        for (number, message) in trial.most().enumerate() {
            if number % 3 != round
                && let Some((_, octets)) = form(&mut ends.server, message)?
            {
                any = true;
                let encoded = Encoded { mark: Mark::Marked, octets };
                arrives(RULE, &mut ends.client, message, &encoded, &How::USUAL)?;
                let plain = Bytes::copy_from_slice(message.as_bytes());
                guarded(|| ends.server.extension().sent_shared(&plain)).map_err(|panic| {
                    Failure::new(RULE, format!("`sent_shared` panicked: {panic}"))
                })?;
            }
            let along = ends.along(Course::ToClient);
            deliver(RULE, along, message, Compression::Always, &How::USUAL, &How::USUAL)
                .map_err(|failure| failure.during("by its own encoding, among shared ones"))?;
        }
    }
    if !any {
        return Ok(Outcome::NotTried("it offers no shared encoding"));
    }
    same_key_same_octets(trial, &mut ends.server)?;
    Ok(Outcome::Held)
}

/// Connections whose keys are equal get the same octets, whatever they were agreed to be.
fn same_key_same_octets(trial: &Trial<'_>, end: &mut End) -> Result<(), Failure> {
    for configuration in trial.source.configurations()?.0 {
        let mut others = trial.source.ends(&configuration)?;
        for message in trial.messages {
            if let (Some((key, octets)), Some((other, others))) =
                (form(end, message)?, form(&mut others.server, message)?)
                && key == other
                && octets != others
            {
                let what = "two connections have one key for different octets";
                let failure = Failure::new(RULE, what).with("message", message.as_bytes());
                return Err(failure.with("one", &octets).with("other", &others));
            }
        }
    }
    Ok(())
}
