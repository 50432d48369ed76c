//! What NATS does not permit.

use std::fmt;

use async_nats::{Event, ServerError};

use crate::ConnectError;

/// A subject that this process may not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    /// `"publish to"` or `"subscribe to"`.
    pub(crate) action: &'static str,
    pub(crate) subject: String,
}

impl Denied {
    /// What an event of a connection says: servers answer what they do not permit with an error of the
    /// connection alone.
    pub(crate) fn by(event: &Event) -> Option<Self> {
        match event {
            Event::ServerError(ServerError::Other(text)) => Self::parse(text),
            _ => None,
        }
    }

    /// `Permissions Violation for Publish to "a.b"`.
    fn parse(text: &str) -> Option<Self> {
        const START: &str = "permissions violation for ";
        // Old servers write it in small letters.
        let head = text.get(..START.len())?;
        let rest = text.get(START.len()..).filter(|_| head.eq_ignore_ascii_case(START))?;
        let (action, quoted) = rest.split_once(" to ")?;
        let action = match action.to_ascii_lowercase().as_str() {
            "publish" => "publish to",
            "subscription" => "subscribe to",
            _ => return None,
        };
        let subject = quoted.split('"').nth(1)?.to_owned();
        Some(Self { action, subject })
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.action, self.subject)
    }
}

impl From<Denied> for ConnectError {
    fn from(denied: Denied) -> Self {
        Self::Permission { action: denied.action, subject: denied.subject }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_servers_are_understood() {
        for (text, expected) in [
            (r#"Permissions Violation for Publish to "a.b""#, Some(("publish to", "a.b"))),
            (
                r#"permissions violation for subscription to "_INBOX.x.*""#,
                Some(("subscribe to", "_INBOX.x.*")),
            ),
            (
                r#"Permissions Violation for Subscription to "a" using queue "b""#,
                Some(("subscribe to", "a")),
            ),
            ("Permissions Violation", None),
            ("Permissions Violation for Publish", None),
            ("maximum connections exceeded, so sorry, é", None),
            ("", None),
        ] {
            let event = Event::ServerError(ServerError::Other(text.to_owned()));
            let denied = Denied::by(&event);
            let found = denied.as_ref().map(|denied| (denied.action, denied.subject.as_str()));
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(Denied::by(&Event::Connected), None);
    }
}
