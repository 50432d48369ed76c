//! The encoding that a broadcast shares.

use super::{Outcome, Trial, peers::frames_of, transfer::alone};
use crate::{
    Broadcast, Connection, Message, UNLIMITED,
    extension::{Compression, Mark, MessageInfo, SharedForm, SharedKey},
    testkit::{
        Failure, Rule,
        drive::{Encoded, End, How, Sizes, Trouble, arrives, deliver, encode_shared, guarded},
        pair::{self, Peers},
        source::{Course, Ends},
    },
};

const RULE: Rule = Rule::Shared;

/// The ways in which the shared encoder is called.
const WAYS: [How; 3] = [
    How::USUAL,
    How { cuts: Sizes::Each(1), rooms: Sizes::Each(1), end_alone: false },
    How { cuts: Sizes::Usual, rooms: Sizes::Usual, end_alone: true },
];

/// The shared form of a message and its key, if it has one.
fn form(
    end: &mut End,
    message: &Message,
    how: &How,
) -> Result<Option<(SharedKey, Encoded)>, Failure> {
    let plain = message.as_bytes();
    let info = MessageInfo::new(message.kind(), Some(plain.len() as u64), Compression::Always);
    let failure = |what| Failure::new(RULE, what).with("message", plain);
    let panicked = |verb, panic| failure(Trouble::Panic(panic).text(verb));
    let scope = end.scope;
    let mut ask = || {
        let extension = end.extension();
        let Some(sharing) =
            guarded(|| extension.sharing()).map_err(|panic| panicked("sharing", panic))?
        else {
            return Ok(None);
        };
        let (form, again) = guarded(|| (sharing.form(&info), sharing.form(&info)))
            .map_err(|panic| panicked("Sharing::form", panic))?;
        if form != again {
            return Err(failure("`Sharing::form` gave two answers for one message".into()));
        }
        let Some(SharedForm::Encoded(key)) = form else {
            return Ok(None);
        };
        let made = guarded(|| sharing.encoder(&info));
        let Some(mut encoder) = made.map_err(|panic| panicked("Sharing::encoder", panic))? else {
            return Ok(None);
        };
        match encode_shared(&mut *encoder, scope, message, how) {
            Ok(encoded) => Ok(Some((key, encoded))),
            // A failed or unmarked message takes the extension's own path.
            Err(Trouble::Error(_)) => Ok(None),
            Err(trouble) => Err(failure(trouble.text("encode")).during("by the shared encoder")),
        }
    };
    match (ask()?, ask()?) {
        (Some((_, first)), Some((_, again))) if first.octets != again.octets => {
            let what = "the same message was encoded in two ways";
            Err(failure(what.into()).with("first", &first.octets).with("second", &again.octets))
        }
        (form, _) => Ok(form.filter(|(_, encoded)| encoded.mark == Mark::Marked)),
    }
}

pub(super) fn shared(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let mut ends = trial.ends()?;
    let mut any = false;
    // A shared message goes between two equal ones encoded separately: the second may refer to the
    // first.
    let others = trial.most().cycle().skip(1);
    for way in &WAYS {
        for (message, other) in trial.most().zip(others.clone()) {
            deliver_own(&mut ends, message)?;
            if let Some((_, encoded)) = form(&mut ends.server, other, way)? {
                any = true;
                arrives(RULE, &mut ends.client, other, &encoded, &How::USUAL)?;
                let plain = other.clone().into_payload();
                let sent = || ends.server.extension().sharing().map(|to| to.sent(&plain));
                guarded(sent).map_err(|panic| {
                    Failure::new(RULE, format!("`Sharing::sent` panicked: {panic}"))
                })?;
            }
            deliver_own(&mut ends, message)?;
        }
    }
    if !any {
        return Ok(Outcome::NotTried("it offers no shared encoding"));
    }
    same_key_same_octets(trial, &mut ends.server)?;
    for most in [UNLIMITED, 3] {
        broadcasts(trial, most).map_err(|failure| {
            failure.during(format!("broadcast in frames of at most {most} octets"))
        })?;
    }
    Ok(Outcome::Held)
}

fn deliver_own(ends: &mut Ends, message: &Message) -> Result<(), Failure> {
    let (along, hint) = (ends.along(Course::ToClient), Compression::Always);
    deliver(RULE, along, message, hint, &How::USUAL, &How::USUAL)
        .map_err(|failure| failure.during("encoded separately, among shared messages"))
}

/// Connections with equal keys get the same octets, whatever their agreement.
fn same_key_same_octets(trial: &Trial<'_>, end: &mut End) -> Result<(), Failure> {
    for configuration in trial.source.configurations()?.0 {
        let mut others = trial.source.ends(&configuration)?;
        for message in trial.messages {
            if let (Some((key, one)), Some((other, others))) =
                (form(end, message, &How::USUAL)?, form(&mut others.server, message, &How::USUAL)?)
                && key == other
                && one.octets != others.octets
            {
                let what = "two connections gave the same key for different octets";
                let failure = Failure::new(RULE, what).with("message", message.as_bytes());
                return Err(failure.with("one", &one.octets).with("other", &others.octets));
            }
        }
    }
    Ok(())
}

/// Tries whole connections, one of which also sends messages of its own.
fn broadcasts(trial: &Trial<'_>, most: usize) -> Result<(), Failure> {
    let connect = || -> Result<Peers, Failure> {
        let Ends { client, server } = trial.ends()?;
        Ok(Peers::new(&frames_of(most), alone(RULE, client)?, alone(RULE, server)?))
    };
    let mut peers = [connect()?, connect()?];
    for message in trial.most() {
        let broadcast = Broadcast::with_compression(message.clone(), Compression::Always);
        for (number, Peers { client, server }) in peers.iter_mut().enumerate() {
            let mut pass = |command: &dyn Fn(&mut Connection) -> _| {
                let frames = pair::sent(RULE, server, message, command)?;
                pair::arrives(RULE, client, &frames, message, usize::MAX)
            };
            pass(&|ws| ws.send_broadcast(&broadcast))?;
            if number == 1 {
                pass(&|ws| ws.send_with(message.clone(), Compression::Always))?;
            }
        }
    }
    Ok(())
}
