//! Both ends of a connection, for tests of what holds at either.

use std::sync::Arc;

use ws_core::{Config, Connection, Extensions, Role};

use crate::{
    engine::varied_keys,
    frame::{KEY, MASK, header, masked, unmasked},
};

/// Which end the connection under test is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Client,
}

pub const SIDES: [Side; 2] = [Side::Server, Side::Client];

impl Side {
    pub fn connection(self, config: Config) -> Connection {
        self.connection_with(config, Extensions::none())
    }

    pub fn connection_with(
        self,
        config: impl Into<Arc<Config>>,
        extensions: Extensions,
    ) -> Connection {
        let role = match self {
            Self::Server => Role::Server,
            Self::Client => Role::client(varied_keys()),
        };
        Connection::new(role, config, extensions)
    }

    pub fn other(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }

    /// A frame that the peer of this side sends.
    pub fn incoming(self, first: u8, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::Server => masked(first, KEY, payload),
            Self::Client => unmasked(first, payload),
        }
    }

    /// Its header alone, with the length in the shortest form.
    pub fn incoming_header(self, first: u8, len: u64) -> Vec<u8> {
        let mut header = self.incoming_announcement(first, len);
        if self == Self::Server {
            header.extend_from_slice(&KEY);
        }
        header
    }

    /// The header without the masking key.
    pub fn incoming_announcement(self, first: u8, len: u64) -> Vec<u8> {
        let mask = if self == Self::Server { MASK } else { 0 };
        header(first, mask, len)
    }
}
