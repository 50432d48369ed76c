//! A client as a script: what it says, how fast the stream is, and what goes wrong where.

use std::{
    io::{self, ErrorKind, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Sleep, sleep},
};
use ws_tests_support::frame::Frame;

/// What goes wrong, and after how many octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The client's octets end.
    End(usize),
    ReadFails(usize, ErrorKind),
    /// No octet comes any more, and no end either.
    ReadStalls(usize),
    WriteFails(usize, ErrorKind),
    /// The stream takes no octet, without an error.
    WritesNothing(usize),
    WriteStalls(usize),
    ShutdownFails(ErrorKind),
    ShutdownStalls,
}

/// Every kind of error that a stream is likely to give, some that it should not, and one that only we make.
pub(crate) const KINDS: [ErrorKind; 16] = [
    ErrorKind::ConnectionReset,
    ErrorKind::ConnectionAborted,
    ErrorKind::BrokenPipe,
    ErrorKind::NotConnected,
    ErrorKind::TimedOut,
    ErrorKind::UnexpectedEof,
    ErrorKind::HostUnreachable,
    ErrorKind::NetworkUnreachable,
    ErrorKind::NetworkDown,
    ErrorKind::PermissionDenied,
    ErrorKind::InvalidData,
    ErrorKind::OutOfMemory,
    ErrorKind::Interrupted,
    ErrorKind::WouldBlock,
    ErrorKind::WriteZero,
    ErrorKind::Other,
];

/// How often the stream lets a call wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Never,
    /// Every other call, and it wakes the task at once.
    Yields,
    /// Every other call, for this long.
    Sleeps(Duration),
}

/// How many octets a call moves, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) read: usize,
    pub(crate) write: usize,
    pub(crate) vectored: bool,
    pub(crate) waits: Waits,
}

pub(crate) const WHOLE: Pace =
    Pace { read: usize::MAX, write: usize::MAX, vectored: true, waits: Waits::Never };

/// What a client says: a request, and, after its answer, the rest.
#[derive(Clone, Debug)]
pub(crate) struct Says {
    pub(crate) request: Vec<u8>,
    pub(crate) rest: Vec<u8>,
    /// Whether the answer is among what came.
    pub(crate) is_answered: fn(&[u8]) -> bool,
}

/// Whether the head of an answer of HTTP/1.1 is there.
pub(crate) fn has_head(octets: &[u8]) -> bool {
    head_len(octets).is_some()
}

impl Says {
    pub(crate) fn len(&self) -> usize {
        self.request.len() + self.rest.len()
    }

    fn octets(&self, from: usize) -> &[u8] {
        match from.checked_sub(self.request.len()) {
            None => &self.request[from..],
            Some(from) => &self.rest[from..],
        }
    }
}

/// Calls beyond which a server spins.
const SPINS: usize = 100_000;

struct Wire {
    says: Says,
    pace: Pace,
    fault: Fault,
    read: usize,
    output: Vec<u8>,
    answered: bool,
    shut_down: bool,
    reader: Option<Waker>,
    calls: usize,
    /// Whether the next call has waited: of reads and of writes.
    waited: [bool; 2],
    timers: [Option<Pin<Box<Sleep>>>; 2],
    /// How long calls have waited, one after the other.
    slept: Duration,
}

/// The server's end.
pub(crate) struct Scripted(Arc<Mutex<Wire>>, Arc<Notify>);

/// The client's end.
pub(crate) struct Seen(Arc<Mutex<Wire>>, Arc<Notify>);

impl Drop for Scripted {
    fn drop(&mut self) {
        self.1.notify_one();
    }
}

pub(crate) fn scripted(says: Says, pace: Pace, fault: Fault) -> (Scripted, Seen) {
    let wire = Arc::new(Mutex::new(Wire {
        says,
        pace,
        fault,
        read: 0,
        output: Vec::new(),
        answered: false,
        shut_down: false,
        reader: None,
        calls: 0,
        waited: [false; 2],
        timers: [None, None],
        slept: Duration::ZERO,
    }));
    let dropped = Arc::new(Notify::new());
    (Scripted(Arc::clone(&wire), Arc::clone(&dropped)), Seen(wire, dropped))
}

impl Seen {
    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap()
    }

    /// Waits until the server has dropped its end.
    pub(crate) async fn dropped(&self) {
        self.1.notified().await;
    }

    /// The octets that came from the server.
    pub(crate) fn output(&self) -> Vec<u8> {
        self.wire().output.clone()
    }

    pub(crate) fn slept(&self) -> Duration {
        self.wire().slept
    }

    /// The octets that the server took.
    pub(crate) fn read(&self) -> usize {
        self.wire().read
    }

    /// The head of the answer, and the frames that came whole.
    pub(crate) fn answer(&self) -> (String, Vec<Frame>) {
        let output = self.output();
        let head = head_len(&output).unwrap_or(output.len());
        let (head, mut rest) = output.split_at(head);
        let mut frames = Vec::new();
        while let Some((frame, len)) = Frame::read(rest) {
            frames.push(frame);
            rest = &rest[len..];
        }
        (String::from_utf8(head.to_vec()).unwrap(), frames)
    }
}

fn head_len(octets: &[u8]) -> Option<usize> {
    Some(octets.windows(4).position(|four| four == b"\r\n\r\n")? + 4)
}

impl Wire {
    fn count_call(&mut self) {
        self.calls += 1;
        assert!(self.calls < SPINS, "the server spins: {:?} {:?}", self.fault, self.pace);
    }

    /// Whether this call, for which there is something to do, may go on.
    fn poll_pace(&mut self, writes: bool, cx: &mut Context<'_>) -> Poll<()> {
        let side = usize::from(writes);
        if let Some(timer) = &mut self.timers[side] {
            ready!(timer.as_mut().poll(cx));
            self.timers[side] = None;
            return Poll::Ready(());
        }
        self.waited[side] = !self.waited[side];
        match self.pace.waits {
            Waits::Yields if self.waited[side] => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Waits::Sleeps(time) if self.waited[side] => {
                let mut timer = Box::pin(sleep(time));
                assert!(timer.as_mut().poll(cx).is_pending());
                self.timers[side] = Some(timer);
                self.slept += time;
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// So many octets may still be read before something is wrong.
    fn readable(&self) -> usize {
        let sent = if self.answered { self.says.len() } else { self.says.request.len() };
        let wrong = match self.fault {
            Fault::End(at) | Fault::ReadFails(at, _) | Fault::ReadStalls(at) => at,
            _ => usize::MAX,
        };
        sent.min(wrong) - self.read
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.count_call();
        let n = self.readable().min(self.pace.read).min(buffer.remaining());
        if n > 0 {
            ready!(self.poll_pace(false, cx));
            let octets = self.says.octets(self.read);
            let n = n.min(octets.len());
            buffer.put_slice(&octets[..n]);
            self.read += n;
            return Poll::Ready(Ok(()));
        }
        match self.fault {
            Fault::End(at) if at == self.read => return Poll::Ready(Ok(())),
            Fault::ReadFails(at, kind) if at == self.read => return Poll::Ready(Err(kind.into())),
            Fault::ReadStalls(at) if at == self.read => {}
            // A client that has said everything ends when the server does.
            _ if self.shut_down && self.read == self.says.len() => return Poll::Ready(Ok(())),
            _ => {}
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.count_call();
        let wrong = match self.fault {
            Fault::WriteFails(at, _) | Fault::WritesNothing(at) | Fault::WriteStalls(at) => at,
            _ => usize::MAX,
        };
        let room = self.pace.write.min(wrong - self.output.len());
        if room == 0 {
            match self.fault {
                Fault::WriteFails(_, kind) => return Poll::Ready(Err(kind.into())),
                Fault::WritesNothing(_) => return Poll::Ready(Ok(0)),
                _ => return Poll::Pending,
            }
        }
        ready!(self.poll_pace(true, cx));
        let before = self.output.len();
        for slice in slices {
            let room = room - (self.output.len() - before);
            self.output.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        self.answered = self.answered || (self.says.is_answered)(&self.output);
        self.wake_reader();
        Poll::Ready(Ok(self.output.len() - before))
    }

    fn wake_reader(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl AsyncRead for Scripted {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.lock().unwrap().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Scripted {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().poll_write(cx, &[IoSlice::new(octets)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.lock().unwrap().pace.vectored
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.0.lock().unwrap();
        match wire.fault {
            Fault::ShutdownFails(kind) => return Poll::Ready(Err(kind.into())),
            Fault::ShutdownStalls => return Poll::Pending,
            _ => {}
        }
        wire.shut_down = true;
        wire.wake_reader();
        Poll::Ready(Ok(()))
    }
}
