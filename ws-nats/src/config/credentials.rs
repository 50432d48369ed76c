//! Who a process is to NATS.

use std::{fmt, path::PathBuf};

/// Who a process is to NATS. What is secret does not appear in its `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(pub(crate) Kind);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    None,
    User { name: String, password: String },
    Token(String),
    Nkey(String),
    File(PathBuf),
    Text(String),
}

impl Credentials {
    /// Nobody, or whom a [client certificate](crate::Config#structfield.tls_certificate) names.
    pub fn none() -> Self {
        Self(Kind::None)
    }

    /// A user with a password.
    pub fn user(name: impl Into<String>, password: impl Into<String>) -> Self {
        Self(Kind::User { name: name.into(), password: password.into() })
    }

    /// Whoever knows a token.
    pub fn token(token: impl Into<String>) -> Self {
        Self(Kind::Token(token.into()))
    }

    /// The seed of a user's nkey: `SU...`.
    pub fn nkey(seed: impl Into<String>) -> Self {
        Self(Kind::Nkey(seed.into()))
    }

    /// A file of credentials, with a user's JWT and nkey: `.creds`. It is read once, on connecting.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Kind::File(path.into()))
    }

    /// What is in such a file.
    pub fn text(credentials: impl Into<String>) -> Self {
        Self(Kind::Text(credentials.into()))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::None => f.write_str("none"),
            Kind::User { name, .. } => write!(f, "user {name:?}"),
            Kind::Token(_) => f.write_str("token"),
            Kind::Nkey(_) => f.write_str("nkey"),
            Kind::File(path) => write!(f, "file {path:?}"),
            Kind::Text(_) => f.write_str("text"),
        }
    }
}
