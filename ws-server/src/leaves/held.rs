//! What clients make a server hold, in numbers.

/// Bytes that clients make a server hold, by kind: what
/// [`ServerLimits::max_memory`](crate::ServerLimits::max_memory) bounds. Exact to 2 KiB for each
/// connection, as of when it rested last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// Messages that are received: unfinished, or ahead of the handler.
    pub receiving: usize,
    /// Messages that wait to be sent to one client, in queues and in frames that were not written.
    pub sending: usize,
    /// Messages to many, each once, with what they are encoded to.
    pub shared: usize,
    /// What extensions keep: compression contexts above all.
    pub extensions: usize,
    /// Heads of requests: unfinished ones, and those of 2 KiB and more that open connections keep.
    pub requests: usize,
    /// What waits in an HTTP implementation below the connections.
    pub transport: usize,
}

impl Held {
    /// All of it.
    pub fn total(&self) -> usize {
        self.by_kind().into_iter().map(|(_, bytes)| bytes).fold(0, usize::saturating_add)
    }

    /// The numbers, with the names of their fields.
    pub fn by_kind(&self) -> [(&'static str, usize); 6] {
        let Self { receiving, sending, shared, extensions, requests, transport } = *self;
        [
            ("receiving", receiving),
            ("sending", sending),
            ("shared", shared),
            ("extensions", extensions),
            ("requests", requests),
            ("transport", transport),
        ]
    }
}
