//! What a connection holds, in numbers.

/// Heap bytes that a connection holds, by what they are for. Made by
/// [`Connection::memory`](crate::Connection::memory).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUse {
    /// A message that is received.
    pub receiving: usize,
    /// Messages that are encoded, and output that was not written.
    pub sending: usize,
    /// Output that was not written and whose buffer others hold too: other connections that send the same
    /// [`Broadcast`](crate::Broadcast), or the application.
    pub shared: usize,
    /// Extensions, and the engine's buffers between them.
    pub extensions: usize,
}
