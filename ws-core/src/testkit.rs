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
//! client and of a server, and tries one [`Rule`] after the other: by direct calls, with input cut and
//! room bounded at every octet, and through two [connections](crate::Connection), with messages in
//! all kinds of fragments and other extensions in the stack. Messages go in both directions. It
//! reports the first broken rule as a [`Failure`] with the octets that show it:
//!
//! ```text
//! x-roll breaks the rule Cuts: after 7 octets `decode` failed with 1007 and "it does not roll"
//! the rule: in message scope, the cuts between chunks make no difference to what is decoded
//! tried: sent by calls of 1 and then any size, received by calls of any size, from client to server, with the offer `x-roll; level=1`
//! message, 5 octets: 48 65 6c 6c 6f
//! encoded, 7 octets: 00 49 66 6e 6f 73 f4
//! to fix it: keep the state of a unit (position, partial data, checksum) in `self` from call to call, reset it only in `begin_encode` and `begin_decode`, and finish it when `input.is_last()`
//! ```
//!
//! Unmarked messages prove nothing. If the extension marks few messages, the kit cuts those at every
//! octet; if it marks no short one, [`Rule::Marks`] is broken. The report counts marked messages, and
//! lists the rules that saw none as not tried.
//!
//! The same factory gets the same octets in every run: what looks random comes from a
//! [seed](Kit::seed). The kit catches a panic in the extension and reports it like any other failure;
//! its message goes to the panic hook as usual. With `panic = "abort"` it ends the process.
//!
//! # What it does not do
//! It does not know what an extension is for: test yourself that a cipher hides anything, a compressor
//! makes anything shorter, a checksum detects a changed octet, and that unmarked messages are
//! [refused](crate::Extension::begin_unmarked) if they have to be. It checks that cuts do not show in
//! the encoded octets only if you [ask for it](Kit::same_octets). It does not measure time, nor memory
//! beyond what the engine bounds.

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

/// Tries every [`Rule`] on the extensions of a factory: [`Kit::new`] and [`Kit::run`].
///
/// # Errors
/// The first broken rule.
pub fn check(factory: &dyn ExtensionFactory) -> Result<Report, Failure> {
    Kit::new(factory).run()
}

/// The kit, for extensions that need more than a factory, and for single rules.
#[must_use = "nothing is tried before `run`"]
pub struct Kit<'a> {
    source: Source<'a>,
    messages: Option<Vec<Message>>,
    seed: u64,
    without: Vec<Rule>,
    same_octets: bool,
}

impl fmt::Debug for Kit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit")
            .field("messages", &self.messages)
            .field("seed", &self.seed)
            .field("without", &self.without)
            .field("same_octets", &self.same_octets)
            .finish_non_exhaustive()
    }
}

impl<'a> Kit<'a> {
    /// Makes both ends with one factory.
    pub fn new(factory: &'a dyn ExtensionFactory) -> Self {
        Self::between(factory, factory)
    }

    /// Makes each end with its own factory. Both are for the same extension, with different
    /// options.
    pub fn between(client: &'a dyn ExtensionFactory, server: &'a dyn ExtensionFactory) -> Self {
        Self::of(Source::Factories { client, server })
    }

    /// Makes both ends without a factory: `make` returns the extensions of a client and a server
    /// that agreed, new ones with every call.
    ///
    /// For anything that a factory cannot set up, such as a common secret. The rules about the
    /// negotiation are not tried.
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

    /// Sends these messages instead of the kit's own, for an extension that does not accept every
    /// message, or marks only others. Include short ones, because only short ones are cut at every
    /// octet. [`Rule::Empty`] sends empty ones nonetheless.
    pub fn messages<M: Into<Message>>(mut self, messages: impl IntoIterator<Item = M>) -> Self {
        self.messages = Some(messages.into_iter().map(Into::into).collect());
        self
    }

    /// The seed of random content, cuts and room. Default 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Requires `encode` to write the same octets for the same message, whatever the cuts and the room:
    /// for a wire format in which a message has exactly one form. By default the octets may differ, as
    /// those of compressors do, if they decode to the same message.
    pub fn same_octets(mut self) -> Self {
        self.same_octets = true;
        self
    }

    /// Leaves out a rule that the extension breaks on purpose. The report says so.
    pub fn without(mut self, rule: Rule) -> Self {
        self.without.push(rule);
        self
    }

    /// Tries every rule.
    ///
    /// # Errors
    /// The first broken rule, in the order of [`Rule`].
    pub fn run(&self) -> Result<Report, Failure> {
        self.try_rules(Rule::ALL)
    }

    /// Tries a single rule.
    ///
    /// # Errors
    /// The rule, if it is broken; or [`Rule::Offers`], if there is no configuration to try it on.
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
            // One configuration may try a rule that another cannot.
            match not_tried {
                Some(not_tried) if !held => report.not_tried.push(not_tried),
                _ => report.passed.push(rule),
            }
        }
        Ok(report)
    }
}

/// What the kit tried on an extension that broke no rule.
#[derive(Clone, Debug, Default)]
pub struct Report {
    name: String,
    configurations: usize,
    claimed: Rsv,
    declined: Vec<String>,
    passed: Vec<Rule>,
    not_tried: Vec<(Rule, &'static str)>,
    /// The marked messages, and all messages.
    marked: (usize, usize),
}

impl Report {
    /// The number of offers that were accepted and tried.
    pub fn configurations(&self) -> usize {
        self.configurations
    }

    /// The RSV bits that were claimed in all configurations together.
    pub fn claimed(&self) -> Rsv {
        self.claimed
    }

    /// The number of messages that were marked among those that [`Rule::RoundTrip`] and
    /// [`Rule::Roles`] send, and the number of all. Both are 0 if no bit is claimed, because every
    /// message passes through such an extension.
    pub fn marked(&self) -> (usize, usize) {
        self.marked
    }

    /// The offers that the server declined and the kit did not try, each with its reason.
    pub fn declined(&self) -> &[String] {
        &self.declined
    }

    /// The rules that were tried and kept.
    pub fn passed(&self) -> &[Rule] {
        &self.passed
    }

    /// The rules that were not tried, each with the reason.
    pub fn not_tried(&self) -> &[(Rule, &'static str)] {
        &self.not_tried
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, configurations, claimed, declined, passed, not_tried, marked } = self;
        let plural = if *configurations == 1 { "" } else { "s" };
        write!(f, "{name} keeps {} rules in {configurations} configuration{plural}", passed.len())?;
        if let (marked, all @ 1..) = marked {
            write!(f, "; marked {marked} of {all} messages")?;
        }
        if claimed.contains(Rsv::RSV1) && name != "permessage-deflate" {
            write!(f, "; claims RSV1, so permessage-deflate cannot be in the same stack")?;
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
