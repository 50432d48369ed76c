//! The header lines of an opening handshake, found in one pass.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use crate::list::trim_ows;

/// The headers of a request that a server reads.
#[derive(Debug, Default)]
pub(crate) struct Fields<'h> {
    pub(crate) host: Single<'h>,
    pub(crate) upgrade: Lines<'h>,
    pub(crate) connection: Lines<'h>,
    pub(crate) key: Single<'h>,
    pub(crate) version: Single<'h>,
    pub(crate) origin: Single<'h>,
    pub(crate) subprotocols: Lines<'h>,
    pub(crate) extensions: Lines<'h>,
    pub(crate) content_length: Single<'h>,
    pub(crate) has_transfer_encoding: bool,
    pub(crate) has_expect: bool,
}

impl<'h> Fields<'h> {
    /// From header lines with names in lower case.
    pub(crate) fn of(lines: impl IntoIterator<Item = (&'h [u8], &'h [u8])>) -> Self {
        let mut fields = Self::default();
        for (name, value) in lines {
            fields.add(name, value);
        }
        fields
    }

    fn add(&mut self, name: &[u8], value: &'h [u8]) {
        match name {
            b"host" => self.host.add(value),
            b"upgrade" => self.upgrade.add(value),
            b"connection" => self.connection.add(value),
            b"sec-websocket-key" => self.key.add(value),
            b"sec-websocket-version" => self.version.add(value),
            b"origin" => self.origin.add(value),
            b"sec-websocket-protocol" => self.subprotocols.add(value),
            b"sec-websocket-extensions" => self.extensions.add(value),
            b"content-length" => self.content_length.add(value),
            b"transfer-encoding" => self.has_transfer_encoding = true,
            b"expect" => self.has_expect = true,
            _ => {}
        }
    }
}

/// A header that may appear once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Single<'h> {
    #[default]
    Missing,
    /// Its value, without surrounding white space.
    Once(&'h [u8]),
    Repeated,
}

impl<'h> Single<'h> {
    fn add(&mut self, value: &'h [u8]) {
        *self = match self {
            Self::Missing => Self::Once(trim_ows(value)),
            Self::Once(_) | Self::Repeated => Self::Repeated,
        };
    }

    /// The value if it appears exactly once.
    pub(crate) fn once(self) -> Option<&'h [u8]> {
        match self {
            Self::Once(value) => Some(value),
            Self::Missing | Self::Repeated => None,
        }
    }
}

/// A header whose lines form one list, in order.
#[derive(Debug, Default)]
pub(crate) struct Lines<'h> {
    first: Option<&'h [u8]>,
    others: Vec<&'h [u8]>,
}

impl<'h> Lines<'h> {
    fn add(&mut self, value: &'h [u8]) {
        match self.first {
            None => self.first = Some(value),
            Some(_) => self.others.push(value),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &'h [u8]> {
        self.first.into_iter().chain(self.others.iter().copied())
    }

    pub(crate) fn are_ascii(&self) -> bool {
        self.iter().all(<[u8]>::is_ascii)
    }
}
