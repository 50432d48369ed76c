//! Mistakes on request, to see that the verdict finds them.

use std::{fs::File, mem};

use clap::ValueEnum;
use ws_server::WebSocket;

/// What the server is to keep of every connection that echoes.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Leak {
    /// A KiB on the heap
    Heap,
    /// A descriptor
    Descriptor,
    /// A subscription that nobody reads
    Subscription,
}

impl Leak {
    /// Keeps it.
    pub(crate) fn of(self, ws: &WebSocket) {
        match self {
            Self::Heap => mem::forget(vec![1_u8; 1024]),
            Self::Descriptor => mem::forget(File::open("/dev/null")),
            Self::Subscription => mem::forget(ws.clients().map(|clients| clients.listen("kept"))),
        }
    }
}
