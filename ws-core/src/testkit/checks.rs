//! The checks, one for each rule.

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

/// The subject and the input of one check.
pub(super) struct Trial<'a> {
    pub(super) source: Source<'a>,
    pub(super) configuration: &'a Configuration,
    pub(super) messages: &'a [Message],
    /// The messages that are tried at every cut.
    pub(super) short: &'a [&'a Message],
    pub(super) seed: u64,
    /// Whether cuts must not show in the encoded octets either.
    pub(super) same_octets: bool,
    /// Counts the messages that the ends of this trial mark.
    pub(super) tally: Tally,
}

/// The outcome of a check that found no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Held,
    /// The rule does not apply to this extension, with the reason.
    NotTried(&'static str),
}

pub(super) use marks::short;

pub(super) type Check = fn(&Trial<'_>) -> Result<Outcome, Failure>;

impl<'a> Trial<'a> {
    fn ends(&self) -> Result<Ends, Failure> {
        Ok(self.counted(self.source.ends(self.configuration)?))
    }

    /// Returns the ends, and counts their marks from now on.
    fn counted(&self, mut ends: Ends) -> Ends {
        for end in [&mut ends.client, &mut ends.server] {
            end.tally = self.tally.clone();
        }
        ends
    }

    fn short(&self) -> &'a [&'a Message] {
        self.short
    }

    /// All messages but those that take long.
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
