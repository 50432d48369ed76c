//! The role of this end of the connection.

use alloc::boxed::Box;
use core::fmt;

/// Server or client (RFC 6455 §5.1: a client masks every frame, a server none).
pub enum Role {
    /// Receives masked frames, sends unmasked ones, and closes TCP first.
    Server,
    /// Receives unmasked frames, sends masked ones, and waits for the server to close TCP.
    Client(Box<dyn MaskKeys>),
}

impl Role {
    /// A client whose masking keys come from `keys`.
    pub fn client(keys: impl MaskKeys + 'static) -> Self {
        Self::Client(Box::new(keys))
    }

    /// The masking key of the next frame that is sent.
    pub(crate) fn next_key(&mut self) -> Option<[u8; 4]> {
        // RFC 6455 §5.1: "a client MUST mask all frames that it sends to the server", "A server
        // MUST NOT mask any frames that it sends to the client." §5.3: "the client MUST pick a
        // fresh masking key from the set of allowed 32-bit values" for every frame.
        match self {
            Self::Server => None,
            Self::Client(keys) => Some(keys.next_key()),
        }
    }

    /// Whether this is [`Role::Server`].
    pub const fn is_server(&self) -> bool {
        matches!(self, Self::Server)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_server() { "Server" } else { "Client" })
    }
}

/// A source of masking keys.
///
/// RFC 6455 §5.3: "The masking key needs to be unpredictable; thus, the masking key MUST be derived
/// from a strong source of entropy". The engine has no source of its own and asks for a fresh key
/// for every frame; a closure `FnMut() -> [u8; 4]` over a cryptographically secure generator will do.
pub trait MaskKeys: Send {
    /// Returns a fresh key.
    fn next_key(&mut self) -> [u8; 4];
}

impl<F: FnMut() -> [u8; 4] + Send> MaskKeys for F {
    fn next_key(&mut self) -> [u8; 4] {
        self()
    }
}
