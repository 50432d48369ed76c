//! A rule that an extension broke, and the octets that show it.

use std::{borrow::Cow, fmt};

use super::Rule;

/// Of a list of octets so many are printed, around the fault; [`Failure::octets`] has them all.
const PRINTED: usize = 64;

/// An extension broke a [`Rule`].
///
/// Prints the extension, the rule, what was tried, the octets that show it, and how to fix it.
pub struct Failure(Box<Inner>);

struct Inner {
    rule: Rule,
    name: String,
    what: String,
    during: Vec<Cow<'static, str>>,
    octets: Vec<Octets>,
    /// The rule whose hint fits what happened, whatever was being tried.
    kind: Option<Rule>,
}

struct Octets {
    label: &'static str,
    all: Vec<u8>,
    /// Where to look.
    at: usize,
}

impl Failure {
    pub(super) fn new(rule: Rule, what: impl Into<String>) -> Self {
        let (what, name) = (what.into(), String::new());
        let (during, octets) = (Vec::new(), Vec::new());
        Self(Box::new(Inner { rule, name, what, during, octets, kind: None }))
    }

    /// Adds what was being done, the innermost first.
    pub(super) fn during(mut self, what: impl Into<Cow<'static, str>>) -> Self {
        self.0.during.push(what.into());
        self
    }

    pub(super) fn with(self, label: &'static str, octets: &[u8]) -> Self {
        self.with_at(label, octets, 0)
    }

    /// Adds octets of which those around `at` tell the most.
    pub(super) fn with_at(mut self, label: &'static str, octets: &[u8], at: usize) -> Self {
        self.0.octets.push(Octets { label, all: octets.to_vec(), at });
        self
    }

    /// Adds two lists of octets that should be the same.
    pub(super) fn with_both(self, lists: [(&'static str, &[u8]); 2]) -> Self {
        let [(first, one), (second, other)] = lists;
        let at = differ_after(one, other);
        self.with_at(first, one, at).with_at(second, other, at)
    }

    /// Says that what happened is what usually breaks another rule.
    pub(super) fn like(mut self, kind: Option<Rule>) -> Self {
        self.0.kind = kind;
        self
    }

    pub(super) fn of(mut self, name: &str) -> Self {
        self.0.name = name.into();
        self
    }

    /// The rule that was broken.
    pub fn rule(&self) -> Rule {
        self.0.rule
    }

    /// What happened, without octets.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// The octets that show it, each list with what it is. Empty where none are involved.
    pub fn octets(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.0.octets.iter().map(|octets| (octets.label, &*octets.all))
    }

    /// How to fix an extension that fails like this, usually.
    fn hints(&self) -> impl Iterator<Item = &'static str> {
        let Inner { rule, kind, .. } = &*self.0;
        let of_rule = match (rule, kind) {
            // Any fault shows there first, and few are about what the rule asks for.
            (Rule::RoundTrip | Rule::Roles, Some(_)) => None,
            _ => Some(rule),
        };
        let of_kind = kind.as_ref().filter(|kind| Some(*kind) != of_rule);
        of_rule.into_iter().chain(of_kind).map(|rule| rule.remedy())
    }
}

/// Where something went wrong, in front of what it was.
pub(super) fn after(octets: usize) -> String {
    match octets {
        0 => String::new(),
        1 => "after 1 octet ".into(),
        octets => format!("after {octets} octets "),
    }
}

/// How many octets two lists begin with in common.
pub(super) fn differ_after(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, all, at } = self;
        // The prefix says how it came about.
        let most = all.len().saturating_sub(PRINTED);
        let from = at.saturating_sub(PRINTED / 2).min(most);
        write!(f, "{label}, {} octets", all.len())?;
        match from {
            0 => f.write_str(":")?,
            from => write!(f, ", from {from} on:")?,
        }
        for octet in all.iter().skip(from).take(PRINTED) {
            write!(f, " {octet:02x}")?;
        }
        f.write_str(if from < most { " …" } else { "" })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { rule, name, what, during, octets, .. } = &*self.0;
        writeln!(f, "{name} breaks the rule {rule:?}: {what}")?;
        writeln!(f, "the rule: {}", rule.text())?;
        if !during.is_empty() {
            writeln!(f, "tried: {}", during.join(", "))?;
        }
        for octets in octets {
            writeln!(f, "{octets}")?;
        }
        let hints: Vec<_> = self.hints().collect();
        write!(f, "to fix it: {}", hints.join("; or else "))
    }
}

/// As [`Display`](fmt::Display): a test that unwraps shows what is to be read.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}
