//! Subprotocols (RFC 6455 §1.9): what a client offers and what a server speaks.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use std::fmt;

use crate::{
    Limits,
    list::{Elements, is_token},
    visits::Visits,
};

/// The names of subprotocols, each a token and none repeated.
///
/// For a server, those that it speaks, in any order: the first name in the client's order that the
/// server speaks is chosen. For a client, those that it offers, in order of preference.
///
/// ```
/// use ws_handshake::Subprotocols;
///
/// let spoken = Subprotocols::new(["chat.v2", "chat.v1"])?;
/// assert!(spoken.contains("chat.v1"));
/// assert!(Subprotocols::new(["a b"]).is_err());
/// # Ok::<(), ws_handshake::SubprotocolError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subprotocols(Vec<Box<str>>);

impl Subprotocols {
    /// All of `names`.
    ///
    /// # Errors
    /// [`SubprotocolError::NotAToken`], [`SubprotocolError::Duplicate`].
    pub fn new<S: AsRef<str>>(
        names: impl IntoIterator<Item = S>,
    ) -> Result<Self, SubprotocolError> {
        let mut all = Self::default();
        for name in names {
            let name = name.as_ref();
            all.push(name).map_err(|error| match error {
                SubprotocolHeaderError::Duplicate => {
                    SubprotocolError::Duplicate { name: name.into() }
                }
                _ => SubprotocolError::NotAToken { name: name.into() },
            })?;
        }
        Ok(all)
    }

    fn push(&mut self, name: &str) -> Result<(), SubprotocolHeaderError> {
        // RFC 6455 §4.1: "The elements that comprise this value MUST be non-empty strings with
        // characters in the range U+0021 to U+007E not including separator characters as defined
        // in [RFC2616] and MUST all be unique strings."
        if !is_token(name.as_bytes()) {
            return Err(SubprotocolHeaderError::NotAToken);
        }
        if self.contains(name) {
            return Err(SubprotocolHeaderError::Duplicate);
        }
        self.0.push(name.into());
        Ok(())
    }

    /// Whether `name` is one of them, compared case-sensitively.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|own| **own == *name)
    }

    /// The names, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads all lines of a request's `Sec-WebSocket-Protocol` as one list, and counts the visits.
    pub(crate) fn parse<'a>(
        lines: impl IntoIterator<Item = &'a [u8]>,
        limits: &Limits,
    ) -> (Result<Self, SubprotocolHeaderError>, Visits) {
        let (mut all, mut any, mut empty) = (Self::default(), false, 0_usize);
        let mut visits = Visits::default();
        for line in lines {
            any = true;
            let mut elements = Elements::new(line);
            let outcome = elements.by_ref().try_for_each(|element| {
                if element.is_empty() {
                    empty = empty.saturating_add(1);
                    return if empty > limits.max_empty_elements {
                        Err(SubprotocolHeaderError::TooManyEmpty)
                    } else {
                        Ok(())
                    };
                }
                if all.len() >= limits.max_subprotocols {
                    return Err(SubprotocolHeaderError::TooMany);
                }
                all.push(
                    std::str::from_utf8(element).map_err(|_| SubprotocolHeaderError::NotAToken)?,
                )
            });
            visits.add_all(elements.visits());
            if let Err(error) = outcome {
                return (Err(error), visits);
            }
        }
        let outcome =
            if any && all.is_empty() { Err(SubprotocolHeaderError::Empty) } else { Ok(all) };
        (outcome, visits)
    }
}

/// As in the header: `chat.v2, chat.v1`.
impl fmt::Display for Subprotocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for name in self.iter() {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// Why a list of subprotocols cannot be offered or spoken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubprotocolError {
    /// This name is empty, or has white space, separators or characters outside ASCII.
    #[error("subprotocol {name:?} is not a token: use letters, digits, and !#$%&'*+-.^_`|~")]
    NotAToken {
        /// The name.
        name: Box<str>,
    },
    /// The list has this name twice.
    #[error("subprotocol {name} was added before")]
    Duplicate {
        /// The name.
        name: Box<str>,
    },
}

/// Why a `Sec-WebSocket-Protocol` header cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum SubprotocolHeaderError {
    /// The header is present and names no subprotocol.
    #[error("Sec-WebSocket-Protocol names no subprotocol")]
    Empty,
    /// A name has white space, separators or octets outside ASCII.
    #[error("a name in Sec-WebSocket-Protocol is not a token")]
    NotAToken,
    /// A name is repeated.
    #[error("a name is repeated in Sec-WebSocket-Protocol")]
    Duplicate,
    /// More names than [`Limits::max_subprotocols`].
    #[error("too many names in Sec-WebSocket-Protocol")]
    TooMany,
    /// More empty elements than [`Limits::max_empty_elements`].
    #[error("too many empty elements in Sec-WebSocket-Protocol")]
    TooManyEmpty,
}
