//! The parameters of one offer or response in `Sec-WebSocket-Extensions`.

use alloc::{boxed::Box, format, vec::Vec};
use core::{fmt, ops::RangeInclusive};

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

    /// The value as a number in `range`: decimal digits alone, without a sign or leading zeros, as
    /// RFC 7692 §7.1.2.1 writes them.
    ///
    /// ```
    /// # use ws_core::extension::Params;
    /// let params = Params::new().value("level", "9");
    /// let level: u8 = params.iter().next().unwrap().number(1..=9)?;
    /// assert_eq!(level, 9);
    /// # Ok::<(), ws_core::extension::NegotiationError>(())
    /// ```
    ///
    /// # Errors
    /// Names the parameter, and says that it has no value or what the range is.
    pub fn number<T>(&self, range: RangeInclusive<T>) -> Result<T, NegotiationError>
    where
        T: TryFrom<u64> + PartialOrd + fmt::Display,
    {
        let Some(value) = self.value() else {
            return Err(NegotiationError::parameter(&self.name, "has no value"));
        };
        // `parse` alone would take "+7" and "007".
        let plain = value == "0" || !value.starts_with(['+', '0']);
        let number =
            value.parse().ok().filter(|_| plain).and_then(|number| T::try_from(number).ok());
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let (least, most) = range.into_inner();
            NegotiationError::parameter(&self.name, format!("a number from {least} to {most}"))
        })
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
