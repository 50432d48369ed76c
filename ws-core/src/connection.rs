//! The protocol and nothing else: bytes in, events out; messages in, bytes out.

mod closing;
mod receive_short;
mod receiving;
mod route;
mod send_short;
mod sending;

use alloc::{boxed::Box, sync::Arc};

use bytes::{Buf, BufMut, BytesMut};

use crate::{
    BufferSize, CloseCode, Closed, Config, Event, FrameObserver, MemoryUse, Outgoing, Output,
    Payload, Role, Text, Unfinished, WORK_PER_CALL,
    extension::{Direction, Extensions},
    observer::Observer,
    receive::{self, Receiver, judge},
    send::Sender,
};
use route::Route;

/// While less than this is unwritten, every Ping is answered. Beyond, one Pong at a time is: it
/// waits for the frame that is being written, and while it waits another one at most is owed.
const PONG_UNTIL: usize = 64 * 1024;

/// One end of a WebSocket connection, after the opening handshake.
///
/// It has no socket, no clock and no randomness. The caller reads into a buffer of its own and
/// passes it, and writes out what is queued:
///
/// ```
/// # use ws_core::{Connection, Config, Event, Extensions, Role};
/// # fn echo(mut stream: impl std::io::Read + std::io::Write) -> Result<(), Box<dyn std::error::Error>> {
/// let mut ws = Connection::new(Role::Server, Config::default(), Extensions::none());
/// let mut input = bytes::BytesMut::new();
/// while !ws.is_closed() {
///     let mut chunk = [0; 4096];
///     match stream.read(&mut chunk)? {
///         0 => ws.input_ended(),
///         n => input.extend_from_slice(&chunk[..n]),
///     }
///     while let Some(event) = ws.poll_event(&mut input) {
///         match event {
///             Event::Message(message) => ws.send(message)?,
///             Event::Closed(closed) => println!("closed with {}", closed.code),
///             _ => {} // the Pong owed for a Ping is already queued
///         }
///     }
/// #   #[cfg(feature = "std")]
///     ws.write_to(&mut stream)?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// # In, out, commands, looks
/// - in: [`poll_event`](Self::poll_event) until it returns `None`, [`input_ended`](Self::input_ended)
/// - out: [`poll_output`](Self::poll_output) until it returns `None`, or `write_to`
/// - commands: [`send`](Self::send), [`ping`](Self::ping), [`close`](Self::close), …
/// - looks: `is_…`, [`unfinished`](Self::unfinished), [`memory_usage`](Self::memory_usage)
///
/// # Order
/// A Close or a fault of the peer acts in stream order: messages before it are delivered, replies
/// made to them go out, then our Close. Only Pongs overtake data, and a Pong waits at most for the
/// frame that is being written.
pub struct Connection {
    role: Role,
    config: Arc<Config>,
    stack: Extensions,
    receiver: Receiver,
    sender: Sender,
    output: Output,
    life: Life,
    /// The Pong for the newest Ping that came while too much was unwritten.
    owed: Option<Box<Payload>>,
    observer: Option<Observer>,
    input_ended: bool,
    route: Route,
    /// Octets of a message that takes the short lane of receiving, at most.
    short_limit: u32,
    receive_route: Route,
}

/// How far the connection has come. How it ends is boxed, because open ones are many.
#[derive(Debug)]
enum Life {
    Open,
    /// The peer's Close or fault was read. Our Close goes out with the next poll.
    Closing(Box<Closed>),
    /// Our Close is queued, with this code and reason if it has a reason; the peer's is awaited.
    CloseSent(Option<Box<(CloseCode, Text)>>),
    /// All is over but for telling it.
    Ending(Box<Closed>),
    Closed,
}

impl Connection {
    /// A connection whose opening handshake agreed on `extensions`.
    ///
    /// Connections may share one configuration in an [`Arc`].
    pub fn new(role: Role, config: impl Into<Arc<Config>>, extensions: Extensions) -> Self {
        let config = config.into();
        let short_limit = judge::whole_limit(&config).min(WORK_PER_CALL);
        Self {
            short_limit: short_limit as u32,
            receive_route: Route::new(short_limit, &extensions),
            route: Route::new(config.max_sent_frame, &extensions),
            role,
            config,
            stack: extensions,
            receiver: Receiver::default(),
            sender: Sender::default(),
            output: Output::default(),
            life: Life::Open,
            owed: None,
            observer: None,
            input_ended: false,
        }
    }

    // In

    /// Takes from the front of `input`, and tells at most one thing.
    ///
    /// Pass the same buffer every time, with what was read appended. Only an unfinished header stays
    /// in it when the call returns `None`, which means that more input is needed. After
    /// [`Event::Closed`] all input is discarded.
    #[inline]
    #[must_use = "a message that is not looked at is lost"]
    pub fn poll_event(&mut self, input: &mut BytesMut) -> Option<Event> {
        match self.take_small(input) {
            Some(message) => Some(Event::Message(message)),
            None => self.poll_other(input),
        }
    }

    /// Reads more of a large message straight into the buffer that it will be delivered in, instead of
    /// into `input`, from which it would be copied. `None` if no such message is in progress, which is
    /// the usual case: then read into `input`.
    ///
    /// A large message is one frame that no extension decodes and of which 32 KiB have arrived. All of
    /// `input` must be consumed: call this after [`poll_event`](Self::poll_event) returned `None`, and
    /// `poll_event` again after something was read.
    ///
    /// `read` appends as much as it likes to the buffer that it is given, which has no room for what
    /// follows the message. When the buffer is full, `allocate` makes the next one; see [`BufferSize`].
    ///
    /// ```
    /// # use bytes::{BufMut, BytesMut};
    /// # use ws_core::Connection;
    /// # fn read(ws: &mut Connection, input: &mut BytesMut, stream: &mut impl std::io::Read) -> std::io::Result<usize> {
    /// let mut chunk = [0; 4096];
    /// let n = stream.read(&mut chunk)?;
    /// // Where a read goes into a buffer as it is, as `tokio_util::io::poll_read_buf` does, nothing is
    /// // copied at all.
    /// let allocate = |size: ws_core::BufferSize| BytesMut::with_capacity(size.needed);
    /// let taken = ws.read_payload(input, allocate, |room| {
    ///     let taken = n.min(room.remaining_mut());
    ///     room.put_slice(&chunk[..taken]);
    ///     taken
    /// });
    /// input.extend_from_slice(&chunk[taken.unwrap_or(0)..n]);
    /// # Ok(n)
    /// # }
    /// ```
    pub fn read_payload<R>(
        &mut self,
        input: &BytesMut,
        allocate: impl FnOnce(BufferSize) -> BytesMut,
        read: impl FnOnce(&mut dyn BufMut) -> R,
    ) -> Option<R> {
        if input.is_empty() { self.receiver.read_more(allocate, read) } else { None }
    }

    /// Moves a [large message](Self::read_payload) out of the read buffer that it began in, if its next
    /// bytes would not fit there. It does now what the next `read_payload` would do, and needs the same
    /// of `input`.
    ///
    /// For callers whose connections share a read buffer: call it before another connection uses the
    /// buffer.
    #[inline]
    pub fn detach_large(
        &mut self,
        input: &BytesMut,
        allocate: impl FnOnce(BufferSize) -> BytesMut,
    ) {
        if input.is_empty() {
            // Without such a message there is nothing to move.
            let _ = self.receiver.make_room(allocate);
        }
    }

    /// The transport will deliver nothing more.
    ///
    /// Events of what was read before are still to be polled; the last of them is
    /// [`Event::Closed`], with [1006](crate::CloseCode::ABNORMAL) if no Close came.
    pub fn input_ended(&mut self) {
        self.input_ended = true;
    }

    // Out

    /// What is to be written; `None` when everything is.
    ///
    /// Also encodes what was queued and left to do: until something comes of it, and no more than
    /// 64 KiB ahead of the writer. Where the extensions make little of a large message, that is as much
    /// work as the message is large; a caller that serves other connections on the same thread takes
    /// [`poll_output_bounded`](Self::poll_output_bounded).
    ///
    /// ```
    /// # use ws_core::Connection;
    /// use bytes::Buf;
    ///
    /// # fn write(ws: &mut Connection, stream: &mut impl std::io::Write) -> std::io::Result<()> {
    /// while let Some(output) = ws.poll_output() {
    ///     let written = stream.write(output.chunk())?;
    ///     output.advance(written);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// An extension that fails here ends the connection: see [`is_ending`](Self::is_ending).
    pub fn poll_output(&mut self) -> Option<&mut Output> {
        self.encode_more();
        while self.output.is_empty() && self.sender.has_work() {
            self.encode_more();
        }
        if self.output.is_empty() {
            self.stack.release(Direction::Encode);
            return None;
        }
        Some(&mut self.output)
    }

    /// As [`poll_output`](Self::poll_output) with at most 64 KiB of work, after which it may have
    /// nothing to write and say [`Outgoing::Yield`].
    pub fn poll_output_bounded(&mut self) -> Outgoing<'_> {
        self.encode_more();
        if !self.output.is_empty() {
            Outgoing::Write(&mut self.output)
        } else if self.sender.has_work() {
            Outgoing::Yield
        } else {
            self.stack.release(Direction::Encode);
            Outgoing::Idle
        }
    }

    /// Encodes what was left to do, as much as one call may.
    #[inline(always)]
    fn encode_more(&mut self) {
        // First, because encoding fills the output up again.
        if let Some(payload) = self.owed.take() {
            self.answer_ping(&payload);
        }
        if self.sender.has_work()
            && let Err(error) = self.with_sender(Sender::advance)
        {
            self.fail_encoding(error);
        }
    }

    /// Writes out everything to a blocking writer.
    ///
    /// # Errors
    /// Those of the writer.
    #[cfg(feature = "std")]
    pub fn write_to(&mut self, writer: &mut impl std::io::Write) -> std::io::Result<()> {
        while let Some(output) = self.poll_output() {
            output.write_to(writer)?;
        }
        writer.flush()
    }

    // Commands, beside those of `sending` and `closing`

    /// Tells the extensions that the connection rests. Does nothing inside of a message, sent or
    /// received: then it is `false`.
    pub fn park(&mut self) -> bool {
        let rests = self.sender.is_between_messages()
            && self.unfinished().is_none_or(|unfinished| !unfinished.in_message);
        if rests {
            self.stack.park();
        }
        rests
    }

    /// Shows every frame to `observer`: received ones when they are complete, sent ones when they
    /// are queued. Costs nothing while there is none.
    pub fn observe_frames(&mut self, observer: impl FrameObserver + 'static) {
        self.observer = Some(Box::new(Box::new(observer)));
        self.route = Route::General;
        if self.receive_route == Route::Plain {
            self.receive_route = Route::General;
        }
    }

    // Looks

    /// Whether nothing more will be received and, once the output is written, the transport is to
    /// be closed.
    ///
    /// A server closes it right after [`Event::Closed`]. A client first waits for the server to do
    /// so (RFC 6455 §7.1.1), for as long as it likes, and is closed after
    /// [`input_ended`](Self::input_ended).
    pub fn is_closed(&self) -> bool {
        matches!(self.life, Life::Closed) && (self.role.is_server() || self.input_ended)
    }

    /// Whether our Close is queued or sent and the peer's has not come.
    pub fn is_close_awaited(&self) -> bool {
        matches!(self.life, Life::CloseSent(_))
    }

    /// Whether neither end has begun to close. After [`Event::Closing`] messages can still be sent.
    pub fn is_open(&self) -> bool {
        matches!(self.life, Life::Open)
    }

    /// Whether a Pong waits for another one to be written, which happens while 64 KiB of output are
    /// unwritten. A newer Ping replaces it.
    pub fn is_pong_owed(&self) -> bool {
        self.owed.is_some()
    }

    /// Whether the connection has ended and [`poll_event`](Self::poll_event) will say how, without more
    /// input: after [`fail`](Self::fail), and after [`poll_output`](Self::poll_output) where an
    /// extension failed.
    pub fn is_ending(&self) -> bool {
        matches!(self.life, Life::Ending(_))
    }

    /// Whether queued messages are not encoded yet: [`poll_output`](Self::poll_output) will do it.
    pub fn has_more_to_encode(&self) -> bool {
        self.sender.has_work()
    }

    /// Bytes that are queued and not written: the number to hold against a limit before more is sent.
    ///
    /// What is encoded counts as it is on the wire, what is not as it was given, with 64 bytes for each
    /// message beside its payload. Counted is all that the engine holds, broadcasts that wait for the
    /// end of a message in pieces too; not an [owed](Self::is_pong_owed) Pong, nor what an extension
    /// holds back itself.
    pub fn unwritten(&self) -> usize {
        self.output.len() + self.sender.waiting() + self.stack.pending(Direction::Encode)
    }

    /// Bytes that are encoded and not written, of all that is [unwritten](Self::unwritten).
    ///
    /// With what was written they say how far the stream of octets goes. About 64 KiB at most with
    /// extensions, whatever is queued.
    pub fn encoded(&self) -> usize {
        self.output.len()
    }

    /// The frame and message that are incomplete, if any, for deadlines. A header that is still in
    /// the caller's input is not counted.
    pub fn unfinished(&self) -> Option<Unfinished> {
        self.receiver.unfinished()
    }

    /// Which end this is.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// The extensions that were agreed.
    pub fn extensions(&self) -> &Extensions {
        &self.stack
    }

    /// The limits and modes in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Copies what waits to be written where it keeps a much larger read buffer alive. For a transport
    /// that takes no more for now: until then nothing is gained.
    pub fn detach_output(&mut self) {
        self.output.detach();
    }

    /// Heap bytes held now: messages being received or encoded, unwritten output, extensions.
    pub fn memory_usage(&self) -> usize {
        self.receiver
            .memory_usage()
            .saturating_add(self.sender.memory_usage())
            .saturating_add(self.output.memory_usage())
            .saturating_add(self.stack.memory_usage())
    }

    /// The same by what it is for, and without what others hold too.
    pub fn memory(&self) -> MemoryUse {
        let shared = self.output.shared();
        let output = self.output.memory_usage().saturating_sub(shared);
        MemoryUse {
            receiving: self.receiver.memory_usage(),
            sending: self.sender.memory_usage().saturating_add(output),
            shared,
            extensions: self.stack.memory_usage(),
        }
    }

    // Inside

    #[inline(always)]
    fn receive_context(&mut self) -> (&mut Receiver, receive::Context<'_>) {
        let cx = receive::Context {
            server: self.role.is_server(),
            config: &self.config,
            stack: &mut self.stack,
            observer: &mut self.observer,
        };
        (&mut self.receiver, cx)
    }
}

impl core::fmt::Debug for Connection {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("extensions", &self.stack)
            .field("life", &self.life)
            .field("unwritten", &self.output.remaining())
            .finish_non_exhaustive()
    }
}
