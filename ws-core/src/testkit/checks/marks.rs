//! Whether the extension marks messages, so that there is something to try.

use super::{Outcome, Trial};
use crate::{
    Message,
    extension::{Compression, Mark, RsvClaim},
    testkit::{
        Failure, Rule,
        drive::{End, How},
        messages::{self, LONG, is_long},
        source::{Configuration, Source},
    },
};

/// Whether fresh ends, at least one of them, would transform a message.
fn is_marked(source: Source<'_>, configuration: &Configuration, message: &Message) -> bool {
    // Another check will report any fault here.
    let Ok(mut ends) = source.ends(configuration) else {
        return false;
    };
    let marks = |end: &mut End| match end.start_encoding(message, Compression::Always, &How::USUAL)
    {
        Ok(running) => running.mark() == Mark::Marked || end.claim == RsvClaim::None,
        Err(_) => false,
    };
    marks(&mut ends.client) || marks(&mut ends.server)
}

/// The messages that are tried at every cut: marked ones, if there are any.
pub(in super::super) fn short<'a>(
    source: Source<'_>,
    configuration: &Configuration,
    messages: &'a [Message],
) -> Vec<&'a Message> {
    let fit: Vec<&Message> = messages
        .iter()
        .filter(|message| !is_long(message) && is_marked(source, configuration, message))
        .collect();
    match messages::short(fit.iter().copied()) {
        short if short.is_empty() => messages::short(messages.iter()),
        short => short,
    }
}

pub(super) fn marks(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    if trial.ends()?.client.claim == RsvClaim::None {
        return Ok(Outcome::NotTried("it claims no bit"));
    }
    let fits = |message: &&Message| is_marked(trial.source, trial.configuration, message);
    if trial.most().any(|message| fits(&message)) {
        return Ok(Outcome::Held);
    }
    let which = match trial.messages.iter().filter(fits).count() {
        0 => format!("none of {} messages is marked", trial.messages.len()),
        some => format!("{some} messages are marked, and all have more than {LONG} octets"),
    };
    Err(Failure::new(Rule::Marks, which))
}
