//! The parameters of one offer or response in `Sec-WebSocket-Extensions`.

use alloc::{boxed::Box, format, string::ToString, vec::Vec};
use core::{fmt, ops::RangeInclusive};

use super::NegotiationError;

/// Ordered `name[=value]` pairs (RFC 6455 §9.1), values unquoted.
///
/// Read them with [`get`](Self::get), which refuses unknown and repeated ones; write them with
/// [`with`](Self::with) and [`with_flag`](Self::with_flag).
///
/// ```
/// # use ws_core::extension::Params;
/// let params = Params::new().with("by", 3).with_flag("strict");
/// assert_eq!(params.to_string(), "; by=3; strict");
///
/// let [by, strict, level] = params.get(["by", "strict", "level"])?;
/// assert_eq!(by.and_then(|by| by.value()), Some("3"));
/// assert!(strict.is_some() && level.is_none());
/// assert_eq!(params.get(["by"]).unwrap_err().to_string(), "parameter strict: unknown");
/// # Ok::<(), ws_core::extension::NegotiationError>(())
/// ```
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

    /// Checks that there is no value, for a parameter that is only present or absent.
    ///
    /// # Errors
    /// Names the parameter.
    pub fn no_value(&self) -> Result<(), NegotiationError> {
        match self.value {
            None => Ok(()),
            Some(_) => Err(NegotiationError::parameter(&self.name, "takes no value")),
        }
    }

    /// The value as a number in `range`: decimal digits alone, without a sign or leading zeros, as
    /// RFC 7692 §7.1.2.1 writes them.
    ///
    /// ```
    /// # use ws_core::extension::Params;
    /// let params = Params::new().with("level", 9);
    /// let [level] = params.get(["level"])?;
    /// let level = level.map(|level| level.number(1..=9)).transpose()?;
    /// assert_eq!(level, Some(9_u8));
    /// # Ok::<(), ws_core::extension::NegotiationError>(())
    /// ```
    ///
    /// # Errors
    /// Names the parameter, and says that the value is missing or what the range is.
    pub fn number<T>(&self, range: RangeInclusive<T>) -> Result<T, NegotiationError>
    where
        T: TryFrom<u64> + PartialOrd + fmt::Display,
    {
        let Some(value) = self.value() else {
            return Err(NegotiationError::parameter(&self.name, "has no value"));
        };
        // `parse` alone would accept "+7" and "007".
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
    pub fn with_flag(mut self, name: &str) -> Self {
        self.push(name, None);
        self
    }

    /// Adds a parameter with a value.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.push(name, Some(&value.to_string()));
        self
    }

    /// Adds a parameter at the end.
    ///
    /// Name and value must be tokens (RFC 6455 §9.1); the crate that writes the header checks them.
    pub fn push(&mut self, name: &str, value: Option<&str>) {
        self.0.push(Param { name: name.into(), value: value.map(Into::into) });
    }

    /// The parameters with these names, in the order of `names`, where they are present.
    ///
    /// RFC 7692 §7 declines an offer with an unknown or a repeated parameter; any extension should,
    /// since it cannot know what they would mean.
    ///
    /// # Errors
    /// Names the first parameter that is unknown, meaning not among `names`, or repeated.
    pub fn get<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<[Option<&Param>; N], NegotiationError> {
        let mut found = [None; N];
        for param in self {
            let known = found.iter_mut().zip(names).find(|(_, name)| *name == param.name());
            match known {
                Some((place @ None, _)) => *place = Some(param),
                Some(_) => return Err(NegotiationError::parameter(param.name(), "repeated")),
                None => return Err(NegotiationError::parameter(param.name(), "unknown")),
            }
        }
        Ok(found)
    }

    /// Refuses all parameters, for an extension that has none.
    ///
    /// # Errors
    /// Names the first one, as [`get`](Self::get) does.
    pub fn refuse_any(&self) -> Result<(), NegotiationError> {
        self.get([]).map(|[]| ())
    }

    /// The number of parameters.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All parameters, in order.
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

/// As in the header, with a semicolon before each parameter: `; a; b=10`.
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
