//! A broken rule, and the octets that show it.

use std::{borrow::Cow, fmt};

use super::Rule;

/// The number of octets printed around the fault; [`Failure::octets`] has all of them.
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
    /// The rule whose hint fits the fault, whichever rule was being tried.
    kind: Option<Rule>,
}

struct Octets {
    label: &'static str,
    all: Vec<u8>,
    /// The place of the fault.
    at: usize,
}

impl Failure {
    pub(super) fn new(rule: Rule, what: impl Into<String>) -> Self {
        let (what, name) = (what.into(), String::new());
        let (during, octets) = (Vec::new(), Vec::new());
        Self(Box::new(Inner { rule, name, what, during, octets, kind: None }))
    }

    /// Adds what the kit was doing, innermost first.
    pub(super) fn during(mut self, what: impl Into<Cow<'static, str>>) -> Self {
        self.0.during.push(what.into());
        self
    }

    pub(super) fn with(self, label: &'static str, octets: &[u8]) -> Self {
        self.with_at(label, octets, 0)
    }

    /// Adds octets, of which those around `at` are printed.
    pub(super) fn with_at(mut self, label: &'static str, octets: &[u8], at: usize) -> Self {
        self.0.octets.push(Octets { label, all: octets.to_vec(), at });
        self
    }

    /// Adds two lists of octets that should be equal.
    pub(super) fn with_both(self, lists: [(&'static str, &[u8]); 2]) -> Self {
        let [(first, one), (second, other)] = lists;
        let at = differ_after(one, other);
        self.with_at(first, one, at).with_at(second, other, at)
    }

    /// Notes that this fault usually breaks another rule.
    pub(super) fn like(mut self, kind: Option<Rule>) -> Self {
        self.0.kind = kind;
        self
    }

    pub(super) fn of(mut self, name: &str) -> Self {
        self.0.name = name.into();
        self
    }

    /// The broken rule.
    pub fn rule(&self) -> Rule {
        self.0.rule
    }

    /// The fault, without octets.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// The octets that show the fault, each list with its label. Empty if no octets are involved.
    pub fn octets(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.0.octets.iter().map(|octets| (octets.label, &*octets.all))
    }

    /// The usual ways to fix such an extension.
    fn hints(&self) -> impl Iterator<Item = &'static str> {
        let Inner { rule, kind, .. } = &*self.0;
        let of_rule = match (rule, kind) {
            // Any fault shows in these rules first, and few are about what the rule asks for.
            (Rule::RoundTrip | Rule::Roles, Some(_)) => None,
            _ => Some(rule),
        };
        let of_kind = kind.as_ref().filter(|kind| Some(*kind) != of_rule);
        of_rule.into_iter().chain(of_kind).map(|rule| rule.remedy())
    }
}

/// The place of a fault, to prefix its description.
pub(super) fn after(octets: usize) -> String {
    match octets {
        0 => String::new(),
        1 => "after 1 octet ".into(),
        octets => format!("after {octets} octets "),
    }
}

/// The length of the common prefix of two lists.
pub(super) fn differ_after(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, all, at } = self;
        // The beginning shows how the fault came about.
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

/// The same as [`Display`](fmt::Display), so that a test that unwraps prints a readable text.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}
