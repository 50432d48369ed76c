//! Encoding a message once for many connections.

use alloc::vec::Vec;
use core::any::TypeId;

use super::{ExtensionError, Mark, MessageInfo};

/// Names one encoded form of a message. Connections whose extensions give equal keys for a message
/// can be sent the same octets.
///
/// Made of the extension's type and a number of its own choice, into which everything goes that
/// makes a difference to the output: level, window, negotiated parameters. So two extensions never
/// mean the same key by accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SharedKey {
    of: TypeId,
    form: u64,
}

impl SharedKey {
    /// The form `form` of the extension type `E`.
    pub fn new<E: 'static>(form: u64) -> Self {
        Self { of: TypeId::of::<E>(), form }
    }
}

/// Encodes a message in a way that depends on the message alone, and on no connection.
pub trait SharedEncoder: Send + Sync {
    /// Appends the encoded form of the whole message `plain` to `out`, and says whether it is marked.
    ///
    /// With [`Mark::Unmarked`] what was appended is not used, and the message goes out as it is.
    ///
    /// # Errors
    /// The message goes through every connection's own extension instead.
    fn encode(
        &self,
        message: &MessageInfo,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Mark, ExtensionError>;
}
