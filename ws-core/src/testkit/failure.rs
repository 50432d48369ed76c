//! A rule that an extension broke, and the octets that show it.

use std::{borrow::Cow, fmt};

use super::Rule;

/// Of a list of octets so many are printed; [`Failure::octets`] has them all.
const PRINTED: usize = 64;

/// An extension broke a [`Rule`].
///
/// Prints the extension, the rule, what was tried, the octets that show it, and how to mend it.
pub struct Failure(Box<Inner>);

struct Inner {
    rule: Rule,
    name: String,
    what: String,
    during: Vec<Cow<'static, str>>,
    octets: Vec<(&'static str, Vec<u8>)>,
}

impl Failure {
    pub(super) fn new(rule: Rule, what: impl Into<String>) -> Self {
        let (what, name) = (what.into(), String::new());
        Self(Box::new(Inner { rule, name, what, during: Vec::new(), octets: Vec::new() }))
    }

    /// Adds what was being done, the innermost first.
    pub(super) fn during(mut self, what: impl Into<Cow<'static, str>>) -> Self {
        self.0.during.push(what.into());
        self
    }

    pub(super) fn with(mut self, label: &'static str, octets: &[u8]) -> Self {
        self.0.octets.push((label, octets.to_vec()));
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
        self.0.octets.iter().map(|(label, octets)| (*label, &**octets))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { rule, name, what, during, octets } = &*self.0;
        writeln!(f, "{name} breaks the rule {rule:?}: {what}")?;
        writeln!(f, "the rule: {}", rule.says())?;
        if !during.is_empty() {
            writeln!(f, "tried: {}", during.join(", "))?;
        }
        for (label, octets) in octets {
            write!(f, "{label}, {} octets:", octets.len())?;
            for octet in octets.iter().take(PRINTED) {
                write!(f, " {octet:02x}")?;
            }
            writeln!(f, "{}", if octets.len() > PRINTED { " …" } else { "" })?;
        }
        write!(f, "to mend it: {}", rule.mend())
    }
}

/// As [`Display`](fmt::Display): a test that unwraps shows what is to be read.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}
