//! One check for every rule.

mod marks;
mod negotiation;
mod peers;
mod sharing;
mod state;
mod strangers;
mod transfer;

use super::{
    Failure, Rule,
    messages::{Rng, is_long},
    source::{Configuration, Ends, Source},
    tally::Tally,
};
use crate::Message;

/// What one check works with.
pub(super) struct Trial<'a> {
    pub(super) source: Source<'a>,
    pub(super) configuration: &'a Configuration,
    pub(super) messages: &'a [Message],
    /// Those that are tried at every cut.
    pub(super) short: &'a [&'a Message],
    pub(super) seed: u64,
    /// Whether the cuts must not show in what is encoded either.
    pub(super) same_octets: bool,
    /// What the ends of this trial mark.
    pub(super) tally: Tally,
}

/// How a check ended that found nothing wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Held,
    /// It says nothing about this extension, and why.
    NotTried(&'static str),
}

pub(super) use marks::short;

pub(super) type Check = fn(&Trial<'_>) -> Result<Outcome, Failure>;

impl<'a> Trial<'a> {
    fn ends(&self) -> Result<Ends, Failure> {
        Ok(self.counted(self.source.ends(self.configuration)?))
    }

    /// The ends, whose marks are counted from now on.
    fn counted(&self, mut ends: Ends) -> Ends {
        for end in [&mut ends.client, &mut ends.server] {
            end.tally = self.tally.clone();
        }
        ends
    }

    fn short(&self) -> &'a [&'a Message] {
        self.short
    }

    /// All but those that take long.
    fn most(&self) -> impl Iterator<Item = &'a Message> + Clone + use<'a> {
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
        Rule::Marks => marks::marks,
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
