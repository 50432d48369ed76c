//! Input that the peer's extension did not make.

use super::{Outcome, Trial};
use crate::{
    CloseCode, MessageKind,
    extension::{Compression, Mark},
    testkit::{
        Failure, Rule,
        drive::{self, How, Sizes, Stopped, Trouble},
        source::Course,
    },
};

/// The number of random inputs.
const INVENTED: usize = 120;

pub(super) fn garbage(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    every_input(trial, Rule::Garbage, |stopped| !matches!(stopped.trouble, Trouble::Error(_)))
}

pub(super) fn close_code(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    every_input(trial, Rule::CloseCode, |stopped| {
        stopped.trouble.code() == Some(CloseCode::INTERNAL_ERROR)
    })
}

/// Decodes every input with a fresh extension.
fn every_input(
    trial: &Trial<'_>,
    rule: Rule,
    is_wrong: impl Fn(&Stopped) -> bool,
) -> Result<Outcome, Failure> {
    for course in Course::BOTH {
        let inputs = inputs(trial, rule, course)?;
        for (number, input) in inputs.iter().enumerate() {
            let kind = if number % 2 == 0 { MessageKind::Binary } else { MessageKind::Text };
            let how = match number % 3 {
                0 => How::USUAL,
                1 => How { cuts: Sizes::Each(1), rooms: Sizes::Each(1), end_alone: true },
                _ => How::rooms(Sizes::Random(trial.rng(), 64)),
            };
            let mut ends = trial.ends()?;
            let (_, end) = ends.along(course);
            let decoded = end.decode(kind, Mark::Marked, input, &how);
            if let Some(stopped) = decoded.err().filter(&is_wrong) {
                let failure = stopped.failure(rule, "decode").with("input", input);
                return Err(failure.during(format!("{kind:?} input, {}", course.text())));
            }
        }
    }
    Ok(Outcome::Held)
}

/// Empty input, noise, and messages that were truncated, prolonged or changed in one place.
fn inputs(trial: &Trial<'_>, rule: Rule, course: Course) -> Result<Vec<Vec<u8>>, Failure> {
    let mut rng = trial.rng();
    let mut inputs = Vec::from([Vec::new()]);
    for octet in [0x00, 0x01, 0x7f, 0x80, 0xff] {
        inputs.extend([1, 2, 3, 4, 5, 8, 16, 33, 300].map(|len| vec![octet; len]));
    }
    for number in 0..INVENTED {
        let len = if number % 8 == 0 { rng.below(2000) } else { rng.below(40) };
        inputs.push(rng.octets(len));
    }
    for message in trial.short() {
        let mut ends = trial.ends()?;
        let (from, _) = ends.along(course);
        let encoded = drive::encode(rule, from, message, Compression::Always, &How::USUAL)?.octets;
        for at in 0..encoded.len() {
            inputs.push(encoded[..at].to_vec());
            for change in [0x01, 0x80, 0xff] {
                let mut changed = encoded.clone();
                changed[at] ^= change;
                inputs.push(changed);
            }
        }
        inputs.extend([&b"\0"[..], b"\xff\xff\xff\xff", &encoded].map(|after| {
            let mut longer = encoded.clone();
            longer.extend_from_slice(after);
            longer
        }));
    }
    Ok(inputs)
}
