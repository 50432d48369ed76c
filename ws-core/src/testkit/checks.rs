//! One check for every rule.

mod negotiation;
mod peers;
mod sharing;
mod state;
mod strangers;
mod transfer;

use super::{
    Failure, Rule,
    messages::{Rng, is_long, short},
    source::{Configuration, Ends, Source},
};
use crate::Message;

/// What one check works with.
pub(super) struct Trial<'a> {
    pub(super) source: Source<'a>,
    pub(super) configuration: &'a Configuration,
    pub(super) messages: &'a [Message],
    pub(super) seed: u64,
}

/// How a check ended that found nothing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Held,
    /// It says nothing about this extension, and why.
    NotTried(&'static str),
}

pub(super) type Check = fn(&Trial<'_>) -> Result<Outcome, Failure>;

impl Trial<'_> {
    fn ends(&self) -> Result<Ends, Failure> {
        self.source.ends(self.configuration)
    }

    fn short(&self) -> Vec<&Message> {
        short(self.messages)
    }

    /// All but those that take long.
    fn most(&self) -> impl Iterator<Item = &Message> + Clone {
        self.messages.iter().filter(|message| !is_long(message))
    }

    fn rng(&self) -> Rng {
        Rng::new(self.seed)
    }
}

pub(super) const fn check_of(rule: Rule) -> Check {
    match rule {
        Rule::Name => negotiation::name,
        Rule::Offers => negotiation::offers,
        Rule::Scope => negotiation::scope,
        Rule::Claim => negotiation::claim,
        Rule::Parameters => negotiation::parameters,
        Rule::Clash => negotiation::clash,
        Rule::RoundTrip => transfer::round_trip,
        Rule::Roles => transfer::roles,
        Rule::Empty => transfer::empty,
        Rule::Cuts => transfer::cuts,
        Rule::Budget => transfer::budget,
        Rule::Duplex => state::duplex,
        Rule::Isolation => state::isolation,
        Rule::Park => state::park,
        Rule::Garbage => strangers::garbage,
        Rule::CloseCode => strangers::close_code,
        Rule::Fragments => peers::fragments,
        Rule::Unmarked => peers::unmarked,
        Rule::Neighbours => peers::neighbours,
        Rule::Shared => sharing::shared,
    }
}
