//! Encoding a message once for many connections.

use core::any::TypeId;

use super::{Chunk, ExtensionError, Mark, Progress, Sink};

/// What [`Extension::shared`](super::Extension::shared) says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SharedForm {
    /// This connection sends it as it is, unmarked.
    ///
    /// Not for an extension that claims no bit, whose peer takes everything for encoded: there it
    /// counts as no form at all.
    Plain,
    /// This connection can send the encoded form of this name, marked.
    Encoded(SharedKey),
}

/// Names one encoded form of a message. Connections whose extensions give equal keys for a message
/// can be sent the same octets.
///
/// Made of the extension's type and a number of its own choice, into which everything goes that
/// makes a difference to the output: level, window, negotiated parameters. So two extensions never
/// mean the same key by accident. What [`MessageInfo`](super::MessageInfo) says need not go in: it is
/// the same for all who share a form. Neither need the claimed bits, which the engine keeps apart.
///
/// There should be few keys: of one message 16 forms are kept, in all layers together, and
/// connections that would need another encode it on their own.
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

/// Encodes one message in a way that depends on the message alone, and on no connection.
///
/// Made by [`Extension::shared_encoder`](super::Extension::shared_encoder). Whichever connections
/// come first bring it forward, in bounded steps like those of any other message, so it may be
/// called from several threads in turn. It is dropped when the message is complete, or when the
/// broadcast is.
pub trait SharedEncoder: Send {
    /// Transforms data of the message from `input` into `out`, on the terms of
    /// [`Extension::encode`](super::Extension::encode).
    ///
    /// # Errors
    /// The message goes through every connection's own extension instead. So it does if this breaks
    /// the contract, writes more than twice the message and 128 KiB, or panics; a panic takes its way
    /// through the call that met it, and no other.
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError>;

    /// The message is complete: whether what was written is to be sent.
    ///
    /// With [`Mark::Unmarked`] nothing of it is used, and the message goes out as it is; where the
    /// extension claims no bit, through every connection's own extension.
    fn mark(&self) -> Mark {
        Mark::Marked
    }
}
