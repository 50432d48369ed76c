//! A message that goes to many connections.

#[cfg(feature = "std")]
mod forms;

use alloc::sync::Arc;
#[cfg(feature = "std")]
use alloc::{boxed::Box, vec::Vec};
#[cfg(feature = "std")]
use core::any::Any;
use core::{fmt, ops::Range};
#[cfg(feature = "std")]
use std::sync::OnceLock;

use bytes::Bytes;

#[cfg(feature = "std")]
pub(crate) use forms::{Encoded, Forms, Job, Outcome};

#[cfg(feature = "std")]
use crate::extension::Rsv;
use crate::{FrameHeader, Message, extension::Compression, output::PASS_FRAME_FROM};

/// A message for many connections. A handle: cloning it is cheap.
///
/// Send it with [`Connection::send_broadcast`](crate::Connection::send_broadcast). It is queued
/// unencoded, and encoded when its first copy leaves a queue: a broadcast that every queue drops is
/// never encoded.
///
/// ```
/// use ws_core::{Broadcast, Config, Connection, Extensions, Role};
///
/// let mut room: Vec<Connection> = (0..3)
///     .map(|_| Connection::new(Role::Server, Config::default(), Extensions::none()))
///     .collect();
/// let news = Broadcast::new("hello, all of you");
/// for ws in &mut room {
///     ws.send_broadcast(&news)?;
/// }
/// # Ok::<(), ws_core::SendError>(())
/// ```
///
/// # Encoded once
/// Servers whose extensions [share a form](crate::extension::Sharing) of the message send the same
/// octets, which are made once and kept with the handle. If only the first extensions of a stack
/// share a form, those after them encode it for every connection. permessage-deflate shares a form
/// among all connections of one level whose window is no smaller than the message. A message that an
/// extension finds too short or not worth encoding goes out unchanged to all. Frames of 2 KiB or more
/// are not copied for each connection.
///
/// A client encodes every broadcast on its own, and so does a server without the feature `std`.
///
/// # Locks
/// A complete form is read without a lock. An incomplete one is locked for one step of at most
/// 64 KiB, or for the whole message if an extension has to see it whole: a connection that arrives
/// meanwhile waits for that step and does the next one itself. Nothing else happens under the lock. A
/// connection that uses up the work of one call before the form is complete returns
/// [`Outgoing::Yield`](crate::Outgoing::Yield) and continues with the next call.
///
/// # Memory
/// The message and its forms stay until the last handle is dropped and the last copy written. At most
/// 16 forms are kept, none larger than twice the message and 128 KiB; connections that need another
/// encode the message on their own.
#[derive(Clone)]
pub struct Broadcast {
    handle: Arc<Handle>,
}

/// What clones of a handle have in common.
struct Handle {
    shared: Arc<Shared>,
    #[cfg(feature = "std")]
    _kept: Option<Box<dyn Any + Send + Sync>>,
}

struct Shared {
    message: Message,
    compression: Compression,
    #[cfg(feature = "std")]
    plain: OnceLock<Bytes>,
    #[cfg(feature = "std")]
    forms: Forms,
}

/// Lengths of messages that are copied once after a header, so that the frame for all is one piece:
/// with a header of its own each delivery takes half as many instructions again. A shorter message is
/// copied for each connection; for a longer one the header is nothing and the copy is much.
const PLAIN_FRAMES: Range<usize> = PASS_FRAME_FROM..64 * 1024;

impl Broadcast {
    /// A message for many, with the hint [`Compression::Auto`].
    pub fn new(message: impl Into<Message>) -> Self {
        Self::with_compression(message, Compression::Auto)
    }

    /// A message for many, with a hint for the extensions whether to compress. The hint belongs to the
    /// broadcast, not to [a call that sends it](crate::Connection::send_with), because all connections
    /// share what it is encoded to.
    pub fn with_compression(message: impl Into<Message>, compression: Compression) -> Self {
        let shared = Arc::new(Shared {
            // It stays until the slowest connection has it.
            message: message.into().detached(),
            compression,
            #[cfg(feature = "std")]
            plain: OnceLock::new(),
            #[cfg(feature = "std")]
            forms: Forms::default(),
        });
        let handle = Handle {
            shared,
            #[cfg(feature = "std")]
            _kept: None,
        };
        Self { handle: Arc::new(handle) }
    }

    /// The message.
    pub fn message(&self) -> &Message {
        &self.shared().message
    }

    /// The hint for the extensions.
    pub fn compression(&self) -> Compression {
        self.shared().compression
    }

    /// Another handle of this message, which keeps a value until it and all of its clones are dropped:
    /// for who counts what waits to be sent. What it is encoded to is shared with this one.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn keeping(&self, value: impl Any + Send + Sync) -> Self {
        let shared = Arc::clone(&self.handle.shared);
        Self { handle: Arc::new(Handle { shared, _kept: Some(Box::new(value)) }) }
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Whether plain connections share one frame.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        cfg!(feature = "std") && PLAIN_FRAMES.contains(&self.message().len())
    }

    /// The message as it is, in one frame, which is made if the size makes that worthwhile.
    #[cfg(feature = "std")]
    pub(crate) fn plain_frame(&self) -> Option<(FrameHeader, &Bytes)> {
        let message = self.message();
        if !self.is_shared() {
            return None;
        }
        let header = FrameHeader::new(true, Rsv::NONE, message.kind().into(), message.len());
        let frame = self.shared().plain.get_or_init(|| {
            let mut frame = Vec::with_capacity(header.encoded_len() + message.len());
            header.encode(&mut frame);
            frame.extend_from_slice(message.as_bytes());
            frame.into()
        });
        Some((header, frame))
    }

    #[cfg(not(feature = "std"))]
    pub(crate) fn plain_frame(&self) -> Option<(FrameHeader, &Bytes)> {
        None
    }

    /// The forms that it is encoded to.
    #[cfg(feature = "std")]
    pub(crate) fn forms(&self) -> &Forms {
        &self.shared().forms
    }
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast")
            .field("message", self.message())
            .field("compression", &self.compression())
            .finish_non_exhaustive()
    }
}
