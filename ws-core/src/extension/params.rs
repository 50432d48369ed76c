//! The parameters of one offer or response in `Sec-WebSocket-Extensions`.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use super::NegotiationError;

/// Ordered `name[=value]` pairs (RFC 6455 §9.1), values unquoted.
///
/// Duplicates are kept, because whether they are an error is for the extension to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<Param>);

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    name: Box<str>,
    value: Option<Box<str>>,
}

impl Param {
    /// The name, a token.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value, a token, if there is one. `b=10` and `b="10"` are the same value.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

impl Params {
    /// No parameters.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a parameter without a value.
    #[must_use]
    pub fn flag(mut self, name: &str) -> Self {
        self.push(name, None);
        self
    }

    /// Adds a parameter with a value.
    #[must_use]
    pub fn value(mut self, name: &str, value: &str) -> Self {
        self.push(name, Some(value));
        self
    }

    /// Adds a parameter at the end.
    ///
    /// Name and value have to be tokens; the crate that writes the header checks them.
    pub fn push(&mut self, name: &str, value: Option<&str>) {
        self.0.push(Param { name: name.into(), value: value.map(Into::into) });
    }

    /// For an extension without parameters: declines if there is any.
    ///
    /// # Errors
    /// Names the first one.
    pub fn refuse_any(&self) -> Result<(), NegotiationError> {
        match self.0.first() {
            Some(stranger) => Err(NegotiationError::parameter(stranger.name(), "there are none")),
            None => Ok(()),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, in order.
    pub fn iter(&self) -> core::slice::Iter<'_, Param> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Params {
    type Item = &'a Param;
    type IntoIter = core::slice::Iter<'a, Param>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// As in the header, each parameter behind a semicolon: `; a; b=10`.
impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for param in &self.0 {
            match &param.value {
                Some(value) => write!(f, "; {}={value}", param.name)?,
                None => write!(f, "; {}", param.name)?,
            }
        }
        Ok(())
    }
}
