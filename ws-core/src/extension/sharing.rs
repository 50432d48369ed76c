//! Encoding a message once for many connections.

use alloc::boxed::Box;
use core::any::TypeId;

use super::{Chunk, ExtensionError, Mark, MessageInfo, Progress, Sink};
use crate::Payload;

/// How an extension encodes a broadcast once for many connections: in a form that does not depend
/// on earlier messages of a connection. Returned by
/// [`Extension::sharing`](super::Extension::sharing).
///
/// Only a server shares. It asks the extensions of a connection in order, from the application on,
/// as long as each of them shares a form; the extensions after that, and all of
/// [`Scope::Frame`](super::Scope), encode the shared form for every connection. If a form is used,
/// the engine does not call the extension's `begin_encode` and `encode`.
pub trait Sharing {
    /// The form in which this connection can send a message. `message.len` is known.
    ///
    /// Called once for every broadcast and connection, and again for the same message if that has
    /// to wait: it should take no time and must have no effect.
    ///
    /// `None` sends the message through [`Extension::encode`](super::Extension::encode).
    fn form(&self, message: &MessageInfo) -> Option<SharedForm>;

    /// An encoder for the form whose key [`form`](Self::form) just gave. Its output must be the
    /// same for the same key and message, whichever connection it comes from.
    ///
    /// `None` makes every connection encode the message on its own.
    fn encoder(&self, message: &MessageInfo) -> Option<Box<dyn SharedEncoder>>;

    /// This connection sent the encoded form of `plain`, the data that entered this extension. The
    /// extension must record it among its own messages, as the peer did when it decoded it like any
    /// other.
    ///
    /// A clone of `plain` keeps a buffer alive that all connections share. The default does
    /// nothing, which is right for an extension that remembers nothing.
    fn sent(&mut self, plain: &Payload) {
        let _ = plain;
    }
}

/// The form in which a connection can send a broadcast; see [`Sharing::form`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SharedForm {
    /// The message as it is, unmarked.
    ///
    /// Counts as `None` for an extension that claims no bit, because its peer decodes every
    /// message.
    Plain,
    /// The encoded form with this key, marked.
    Encoded(SharedKey),
}

/// Names one encoded form of a message: connections whose extensions give equal keys send the same
/// octets.
///
/// A key consists of the extension's type, so that two extensions never share one by accident, and
/// a number. Put everything into the number that affects the output: level, window, negotiated
/// parameters. Leave out what [`MessageInfo`] says, which is the same for all who share a form, and
/// the claimed bits, which the engine keeps apart.
///
/// Use few keys: the engine keeps 16 forms of one message, over all extensions, and connections
/// that need another one encode on their own.
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

/// Encodes one message in a form that depends on the message alone, not on a connection.
///
/// [`Sharing::encoder`] makes it. The connections that send the message first advance it, in
/// bounded steps like those of any other message, so several threads may call it in turn. It is
/// dropped when the message is complete, or with the broadcast.
pub trait SharedEncoder: Send {
    /// Transforms data of the message from `input` into `out`, on the terms of
    /// [`Extension::encode`](super::Extension::encode).
    ///
    /// # Errors
    /// Every connection then encodes the message by its own extension. The same happens if this
    /// breaks the contract, writes more than twice the message and 128 KiB, or panics; the panic
    /// continues through the one call that met it.
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError>;

    /// Whether to send the output, called when the message is complete.
    ///
    /// [`Mark::Unmarked`] discards it and sends the message as it is; an extension that claims no
    /// bit then encodes it for every connection.
    fn mark(&self) -> Mark {
        Mark::Marked
    }
}
