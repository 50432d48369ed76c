//! tungstenite's engine on the workloads of `ws_bench::engine`.

use std::io::{Read, Result, Write};

use tungstenite::{Message, WebSocket, protocol::Role};
use ws_bench::engine::READ;

/// A socket that delivers prepared bytes in reads of [`READ`] and takes everything written.
#[derive(Default)]
pub(crate) struct Memory {
    frames: Vec<u8>,
    at: usize,
    written: usize,
}

impl Memory {
    /// Delivers `frames`, once.
    pub(crate) fn new(frames: Vec<u8>) -> Self {
        Self { frames, at: 0, written: 0 }
    }
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let n = READ.min(buffer.len()).min(self.frames.len() - self.at);
        buffer[..n].copy_from_slice(&self.frames[self.at..self.at + n]);
        self.at += n;
        Ok(n)
    }
}

impl Write for Memory {
    fn write(&mut self, buffer: &[u8]) -> Result<usize> {
        self.written += buffer.len();
        Ok(buffer.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A server's end of an open connection, on tungstenite's defaults.
pub(crate) fn server(frames: Vec<u8>) -> WebSocket<Memory> {
    WebSocket::from_raw_socket(Memory::new(frames), Role::Server, None)
}

/// Reads `count` messages of the prepared frames, which start anew; returns the payload bytes.
///
/// # Panics
/// If the frames are not valid.
pub(crate) fn parse(ws: &mut WebSocket<Memory>, count: usize) -> usize {
    ws.get_mut().at = 0;
    (0..count).map(|_| ws.read().expect("a valid frame").len()).sum()
}

/// Sends `message` so many times and flushes; returns the bytes written.
///
/// # Panics
/// If the connection is closed.
pub(crate) fn write(ws: &mut WebSocket<Memory>, message: &Message, count: usize) -> usize {
    let before = ws.get_ref().written;
    for _ in 0..count {
        ws.write(message.clone()).expect("the connection is open");
    }
    ws.flush().expect("the connection is open");
    ws.get_ref().written - before
}
