//! Proves an extension: tries what the [contract](crate::extension::guide) promises and demands.
//!
//! ```toml
//! [dev-dependencies]
//! ws-core = { version = "0.1", features = ["testkit"] }
//! ```
//!
//! ```
//! # use ws_core::{Extension, ExtensionFactory, extension::*};
//! # struct Scramble;
//! # impl ExtensionFactory for Scramble {
//! #     fn name(&self) -> &str { "x-scramble" }
//! #     fn scope(&self) -> Scope { Scope::Message }
//! #     fn accept(&self, offer: &Params, _: Rsv) -> Result<Agreed, NegotiationError> {
//! #         Ok(Agreed::new(Params::new(), self.confirm(offer, &[])?))
//! #     }
//! #     fn offers(&self) -> Vec<Params> { vec![Params::new()] }
//! #     fn confirm(&self, params: &Params, _: &[Params]) -> Result<Box<dyn Extension>, NegotiationError> {
//! #         let stranger = NegotiationError::new("x-scramble takes no parameters");
//! #         if params.is_empty() { Ok(Box::new(Scramble)) } else { Err(stranger) }
//! #     }
//! # }
//! # impl Extension for Scramble {
//! #     fn claim(&self) -> RsvClaim { RsvClaim::FirstFrame(Rsv::RSV2) }
//! #     fn begin_encode(&mut self, _: &MessageInfo) -> Result<Mark, ExtensionError> {
//! #         Ok(Mark::Marked)
//! #     }
//! #     fn encode(&mut self, input: &mut Chunk, out: &mut Sink) -> Result<Progress, ExtensionError> {
//! #         while let (Some(octet), false) = (input.data().first(), out.is_full()) {
//! #             input.consume(out.write(&[!octet]));
//! #         }
//! #         Ok(if input.is_empty() { Progress::Done } else { Progress::Full })
//! #     }
//! #     fn decode(&mut self, input: &mut Chunk, out: &mut Sink) -> Result<Progress, ExtensionError> {
//! #         self.encode(input, out)
//! #     }
//! # }
//! // In a test:
//! fn keeps_the_contract() -> Result<(), ws_core::testkit::Failure> {
//!     ws_core::testkit::check(&Scramble)?;
//!     Ok(())
//! }
//! # keeps_the_contract().unwrap();
//! ```
//!
//! # What it does
//! For every offer of the factory that the factory itself accepts, it makes the extensions of a
//! client and of a server, and tries one [`Rule`] after the other: by hand, with inputs cut and
//! rooms bounded at every octet, and through two [connections](crate::Connection), with messages in
//! all kinds of fragments and other extensions in the stack. Messages go in both directions. The
//! first rule that is broken is told as a [`Failure`] with the octets that show it:
//!
//! ```text
//! x-roll breaks the rule Cuts: after 7 octets `decode` failed with 1007 and "it does not roll"
//! the rule: how a message of message scope is cut into chunks makes no difference to what is decoded
//! tried: sent by calls of 1 and then any size, received by calls of any size, from client to server, with the offer `x-roll; level=1`
//! message, 5 octets: 48 65 6c 6c 6f
//! encoded, 7 octets: 00 49 66 6e 6f 73 f4
//! to mend it: keep what a unit needs (position, partial data, checksum) in `self` from call to call, begin it anew in `begin_encode` and `begin_decode` alone, and end it where `input.is_last()`
//! ```
//!
//! Messages that are not marked prove nothing. Where the extension marks few, those that it marks are
//! the ones that are cut at every octet; where it marks none that are short, [`Rule::Marks`] is broken.
//! The report counts them, and names the rules that saw none as not tried.
//!
//! The same factory gets the same octets with every run: what looks random comes of a
//! [seed](Kit::seed). A panic in the extension is caught and told like any other failure, its
//! message goes to the panic hook as usual; under `panic = "abort"` it ends the process.
//!
//! # What it does not
//! It knows nothing of what an extension is for: that a cipher hides anything, a compressor makes
//! anything shorter, or a checksum detects a changed octet is for tests of its own; so is the
//! [refusal](crate::Extension::begin_unmarked) of what is not marked. Whether the cuts show in what
//! is encoded it asks only of those who [say](Kit::same_octets) that they must not. It does not measure
//! time, nor memory beyond what the engine bounds.

mod checks;
mod drive;
mod failure;
mod messages;
mod neighbour;
mod pair;
mod rule;
mod source;
mod tally;

use std::fmt;

use crate::{
    Extension, ExtensionFactory, Message,
    extension::{Rsv, Scope},
};
use checks::{Outcome, Trial, check_of, short};
use drive::guarded;
use source::Source;
use tally::Tally;

pub use failure::Failure;
pub use rule::Rule;

/// Tries every [`Rule`] on what a factory makes, as [`Kit::new`] and [`Kit::run`] do.
///
/// # Errors
/// The first rule that is broken.
pub fn check(factory: &dyn ExtensionFactory) -> Result<Report, Failure> {
    Kit::new(factory).run()
}

/// The kit, for extensions that need more than a factory and for single rules.
#[must_use = "nothing is tried before `run`"]
pub struct Kit<'a> {
    source: Source<'a>,
    messages: Option<Vec<Message>>,
    seed: u64,
    without: Vec<Rule>,
    same_octets: bool,
}

impl<'a> Kit<'a> {
    /// Both ends come of one factory.
    pub fn new(factory: &'a dyn ExtensionFactory) -> Self {
        Self::between(factory, factory)
    }

    /// The ends come of two factories of one extension, with options of their own.
    pub fn between(client: &'a dyn ExtensionFactory, server: &'a dyn ExtensionFactory) -> Self {
        Self::of(Source::Factories { client, server })
    }

    /// The extensions of a client and of a server that agreed, fresh ones with every call.
    ///
    /// For what a factory cannot show: a secret of both, a parameter that has to be new each time.
    /// Rules about the negotiation are not tried.
    pub fn pairs(
        name: &'a str,
        scope: Scope,
        make: &'a dyn Fn() -> (Box<dyn Extension>, Box<dyn Extension>),
    ) -> Self {
        Self::of(Source::Pairs { name, scope, make })
    }

    fn of(source: Source<'a>) -> Self {
        Self { source, messages: None, seed: 0, without: Vec::new(), same_octets: false }
    }

    /// Sends these messages in place of those that the kit has, for an extension that does not take
    /// every message, or marks others. Some should be short, because only such are cut at every octet;
    /// empty ones are sent for [`Rule::Empty`] nonetheless.
    pub fn messages<M: Into<Message>>(mut self, messages: impl IntoIterator<Item = M>) -> Self {
        self.messages = Some(messages.into_iter().map(Into::into).collect());
        self
    }

    /// What the random content, cuts and rooms are made of. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Holds `encode` to the same octets for the same message, however it is cut and however little
    /// room there is: for a wire format in which a message has one form. Default: it may write what it
    /// likes, if the same message comes of it, as compressors do.
    pub fn same_octets(mut self) -> Self {
        self.same_octets = true;
        self
    }

    /// Leaves a rule out that an extension breaks on purpose. The report says so.
    pub fn without(mut self, rule: Rule) -> Self {
        self.without.push(rule);
        self
    }

    /// Tries every rule.
    ///
    /// # Errors
    /// The first rule that is broken, in the order of [`Rule`].
    pub fn run(&self) -> Result<Report, Failure> {
        self.try_rules(Rule::ALL)
    }

    /// Tries one rule alone.
    ///
    /// # Errors
    /// That it is broken; or [`Rule::Offers`], if there is nothing to try it on.
    pub fn run_rule(&self, rule: Rule) -> Result<Report, Failure> {
        self.try_rules(&[rule])
    }

    fn try_rules(&self, rules: &[Rule]) -> Result<Report, Failure> {
        let name = self.source.name();
        self.try_named(rules, &name).map_err(|failure| failure.of(&name))
    }

    fn try_named(&self, rules: &[Rule], name: &str) -> Result<Report, Failure> {
        let own;
        let messages = match &self.messages {
            Some(messages) if !messages.is_empty() => messages,
            _ => {
                own = messages::samples(self.seed);
                &own
            }
        };
        let mut report = Report { name: name.to_string(), ..Report::default() };
        let configurations;
        (configurations, report.declined) = self.source.configurations()?;
        report.configurations = configurations.len();
        let mut shorts = Vec::new();
        for configuration in &configurations {
            shorts.push(short(self.source, configuration, messages));
            if let Ok(ends) = self.source.ends(configuration) {
                report.claimed = report.claimed | ends.server.claim.bits();
            }
        }
        for &rule in rules {
            if self.without.contains(&rule) {
                report.not_tried.push((rule, "it was left out"));
                continue;
            }
            let mut not_tried = None;
            let mut held = false;
            for (configuration, short) in configurations.iter().zip(&shorts) {
                let Self { source, seed, same_octets, .. } = *self;
                let tally = Tally::default();
                let trial = Trial {
                    source,
                    configuration,
                    messages,
                    short,
                    seed,
                    same_octets,
                    tally: tally.clone(),
                };
                let outcome = guarded(|| check_of(rule)(&trial))
                    .unwrap_or_else(|panic| Err(Failure::new(rule, format!("panicked: {panic}"))));
                let outcome =
                    outcome.map_err(|failure| failure.during(configuration.text(name)))?;
                let (marked, all) = tally.counted();
                if matches!(rule, Rule::RoundTrip | Rule::Roles) {
                    report.marked = (report.marked.0 + marked, report.marked.1 + all);
                }
                match outcome {
                    Outcome::Held if all > 0 && marked == 0 && rule.is_about_marked() => {
                        not_tried = Some((rule, "nothing was marked"));
                    }
                    Outcome::Held => held = true,
                    Outcome::NotTried(why) => not_tried = Some((rule, why)),
                }
            }
            // What one configuration has no use for another may have.
            match not_tried {
                Some(not_tried) if !held => report.not_tried.push(not_tried),
                _ => report.held.push(rule),
            }
        }
        Ok(report)
    }
}

/// What was tried of an extension that broke no rule.
#[derive(Clone, Debug, Default)]
pub struct Report {
    name: String,
    configurations: usize,
    claimed: Rsv,
    declined: Vec<String>,
    held: Vec<Rule>,
    not_tried: Vec<(Rule, &'static str)>,
    /// How many, of how many.
    marked: (usize, usize),
}

impl Report {
    /// How many offers were accepted and tried.
    pub fn configurations(&self) -> usize {
        self.configurations
    }

    /// The RSV bits that were claimed, in all configurations together.
    pub fn claimed(&self) -> Rsv {
        self.claimed
    }

    /// Of the messages that [`Rule::RoundTrip`] and [`Rule::Roles`] send from end to end, how many were
    /// marked, and how many there were. Not counted where no bit is claimed: all pass through such an
    /// extension.
    pub fn marked(&self) -> (usize, usize) {
        self.marked
    }

    /// The offers that the server declined, each with its reason: nothing was tried with them.
    pub fn declined(&self) -> &[String] {
        &self.declined
    }

    /// The rules that were tried and kept.
    pub fn held(&self) -> &[Rule] {
        &self.held
    }

    /// The rules that were not tried, each with the reason.
    pub fn not_tried(&self) -> &[(Rule, &'static str)] {
        &self.not_tried
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, configurations, claimed, declined, held, not_tried, marked } = self;
        let plural = if *configurations == 1 { "" } else { "s" };
        write!(f, "{name} keeps {} rules in {configurations} configuration{plural}", held.len())?;
        if let (marked, all @ 1..) = marked {
            write!(f, "; marked {marked} of {all} messages")?;
        }
        if claimed.contains(Rsv::RSV1) && name != "permessage-deflate" {
            write!(f, "; claims RSV1, so permessage-deflate cannot stand beside it")?;
        }
        for declined in declined {
            write!(f, "; {declined}")?;
        }
        for (rule, why) in not_tried {
            write!(f, "; {rule:?} not tried: {why}")?;
        }
        Ok(())
    }
}
