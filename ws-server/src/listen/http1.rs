//! Requests over any stream: reads an HTTP/1.1 request, and opens a connection or writes another
//! answer.

use std::{
    cell::Cell,
    future::poll_fn,
    io, mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use http::Method;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    task::yield_now,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::io::poll_read_buf;
use tracing::{Span, debug, field::display};
use ws_handshake::{
    Cause, Rejection, RequestHead, RequestReader, write_response, write_response_head,
};

use crate::{
    AdmissionLimit, Admit, ClientId, Limits,
    drive::{Core, Handling},
    leaves::{
        budget::{GRANULE, Kind, charge::Charge},
        client::Client,
        linger::linger,
        log_limiter::Escaped,
        request::Source,
        socket::{self, PASS},
    },
    listen::{busy::refuse, plain},
    open::{
        admission::Permit,
        decision::{self, Agreement, Asked},
        endpoint::StartHandler,
        shared::Shared,
    },
};

/// Capacity for a 101 response. Most fit.
const ANSWER: usize = 256;

/// Capacity of the read buffer. Most heads fit; it grows for longer ones.
const READ: usize = 1024;

thread_local! {
    /// The buffer into which this thread's handshakes read: most return it in the same turn.
    static BUFFER: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// A connection whose 101 is to be written first.
pub(crate) struct ToDrive {
    pub(crate) core: Box<Core>,
    pub(crate) handling: Handling<StartHandler>,
    /// What it subscribes to from the start.
    pub(crate) topics: Vec<Box<str>>,
}

/// Reads a request from `io` and decides on it. `None`: it was answered otherwise, or never came, and
/// the connection is to be dropped.
///
/// # Cancel safety
/// Not cancel safe: if this future is dropped, `io` must be dropped too.
pub(crate) async fn open<Io>(
    io: &mut Io,
    shared: &Shared,
    (id, mut source, permit): (ClientId, Source, &mut Permit),
    deadline: Option<Instant>,
) -> Option<ToDrive>
where
    Io: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let client = permit.client();
    let Some(head) = await_head(io, shared, client, deadline).await else {
        if shared.admission.is_closed() {
            debug!("dropped in its opening handshake, since the server ends");
        } else {
            shared.kept_out(source.peer, AdmissionLimit::MaxPending);
            refuse(io).await;
        }
        return None;
    };
    let outcome = match head {
        Ok(Some(Ok(head))) => {
            if shared.identify(&head, &mut source, permit).is_err() {
                refuse(io).await;
                return None;
            }
            match decide(io, &head, shared, (id, source, permit.client())).await {
                Some(outcome) => outcome,
                None => {
                    debug!("the client left before it was admitted");
                    return None;
                }
            }
        }
        Ok(Some(Err(rejection))) => Err(reject(rejection, None, shared)),
        // RFC 6455 §7.2.2 lets a server that aborts here close the connection and do nothing else.
        // A client that aborts is no error of the server either.
        Ok(None) => {
            debug!("the client closed before its request was complete");
            return None;
        }
        Err(error) => {
            debug!(%error, "the connection failed before the request was complete");
            return None;
        }
    };
    match outcome {
        Ok(opened) => Some(opened),
        Err(answer) => {
            answer_and_linger(io, &answer, shared, permit.client()).await;
            None
        }
    }
}

type Head = io::Result<Option<Result<RequestHead, Rejection>>>;

/// Waits for a head. `None` if the handshake must give way to others, or the server ends. It counts as
/// pending until then: a complete head keeps no other client out, and is not ended for one.
async fn await_head<Io>(
    io: &mut Io,
    shared: &Shared,
    client: Option<Client>,
    deadline: Option<Instant>,
) -> Option<Head>
where
    Io: AsyncRead + Unpin + 'static,
{
    let mut head = pin!(read(io, shared, deadline));
    if let Some(pending) = shared.admission.begin(client) {
        tokio::select! {
            biased;
            head = &mut head => return Some(head),
            () = pending.ended() => {}
        }
    }
    if shared.admission.is_closed() {
        return None;
    }
    // The head may have arrived unread. The runtime polls its sockets after all tasks have had
    // their turn.
    tokio::select! {
        biased;
        head = &mut head => Some(head),
        () = yield_now() => None,
    }
}

/// Writes an answer other than a 101 and lingers. If too many connections do so at a time, writes
/// only what the socket takes at once.
async fn answer_and_linger<Io>(io: &mut Io, answer: &[u8], shared: &Shared, client: Option<Client>)
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let mut answered = pin!(async {
        let limits = &shared.terms.limits;
        if write(io, answer, limits).await.is_ok() {
            linger(io, limits, limits.time_to_read(answer.len() as u64)).await;
        }
    });
    let answering = shared.admission.begin_answer(client);
    let ended = async {
        if let Some(answering) = &answering {
            answering.ended().await;
        }
    };
    tokio::select! {
        biased;
        () = &mut answered => {}
        () = ended => {}
    }
}

/// Writes an answer to a client that takes it at the minimum rate or faster.
async fn write<Io: AsyncWrite + Unpin>(
    io: &mut Io,
    mut answer: &[u8],
    limits: &Limits,
) -> io::Result<()> {
    let mut late = Instant::now() + Duration::from_secs(60);
    while !answer.is_empty() {
        let n = timeout(limits.write_timeout, io.write(answer)).await??;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        answer = &answer[n..];
        late += Duration::from_secs_f64(n as f64 / limits.min_write_rate as f64);
        if Instant::now() > late {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    Ok(())
}

/// Reads a head before the deadline. Returns `None` if the client ends first.
async fn read<Io: AsyncRead + Unpin + 'static>(
    io: &mut Io,
    shared: &Shared,
    deadline: Option<Instant>,
) -> io::Result<Option<Result<RequestHead, Rejection>>> {
    let mut reader = RequestReader::new(shared.server_limits.head.clone());
    let mut input = BytesMut::new();
    let mut held = None;
    let mut timer = pin!(sleep_until(deadline.unwrap_or_else(far)));
    let mut passes = 0;
    loop {
        let first = input.is_empty();
        let read = poll_fn(|cx| {
            if let Poll::Ready(read) = poll_read(io, &mut input, cx) {
                return Poll::Ready(Some(read));
            }
            while timer.as_mut().poll(cx).is_ready() {
                // Data in the socket arrived in time.
                if passes >= socket::passes(io) {
                    return Poll::Ready(None);
                }
                passes += 1;
                timer.as_mut().reset(Instant::now() + PASS);
            }
            Poll::Pending
        });
        let Some(read) = read.await else {
            // R9110-15.5.9-a
            return Ok(Some(Err(Cause::Timeout.into())));
        };
        if read? == 0 {
            return Ok(None);
        }
        // Octets after the head of an upgrade were refused with 400 (R6455-x-early). After any
        // other head they are dropped with `input`: one connection gets one answer.
        if let Some(outcome) = reader.read_head(&mut input).transpose() {
            // Reads in pieces may have made it large.
            if first {
                input.clear();
                BUFFER.set(input);
            }
            return Ok(Some(outcome));
        }
        if input.capacity() >= GRANULE {
            let stats = &shared.clients.registry.stats;
            held.get_or_insert_with(|| Charge::new(stats, Kind::Requests)).set(input.capacity());
        }
    }
}

/// So far away that it never comes, for a limit that was lifted.
fn far() -> Instant {
    Instant::now() + Duration::from_secs(30 * 365 * 24 * 60 * 60)
}

/// Reads once. Holds no buffer until the head begins to arrive.
fn poll_read<Io: AsyncRead + Unpin>(
    io: &mut Io,
    input: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if input.is_empty() {
        *input = BUFFER.take();
    }
    input.reserve(READ);
    let read = poll_read_buf(Pin::new(io), cx, input);
    if input.is_empty() {
        BUFFER.set(mem::take(input));
    }
    read
}

/// Opens the connection, or returns what to write instead. `None`: the client left.
async fn decide<Io: AsyncRead + Unpin>(
    io: &mut Io,
    head: &RequestHead,
    shared: &Shared,
    (id, source, client): (ClientId, Source, Option<Client>),
) -> Option<Result<ToDrive, BytesMut>> {
    Span::current().record("path", display(Escaped(head.uri().path())));
    if !head.asks_for_upgrade()
        && let Some(fallback) = &shared.fallback
    {
        let answer = plain::answer(head, fallback, shared.hosts.as_ref(), id, &source);
        return Some(Err(answer.unwrap_or_else(|cause| reject(cause.into(), Some(head), shared))));
    }
    let decided = match decision::route(head, &source, shared) {
        Ok(asked) if asked.route.gate.is_none() => {
            accept(head, shared, asked, (id, source, Admit::new()))
        }
        Ok(asked) => tokio::select! {
            biased;
            admit = asked.ask(head, shared, id, &source, client) => {
                admit.and_then(|admit| accept(head, shared, asked, (id, source, admit)))
            }
            early = early(io) => Err(early?.into()),
        },
        Err(rejection) => Err(rejection),
    };
    Some(decided.map_err(|rejection| reject(rejection, Some(head), shared)))
}

/// Waits for octets that a client sends before it is answered. `None`: it left instead.
// R6455-x-early
async fn early<Io: AsyncRead + Unpin>(io: &mut Io) -> Option<Cause> {
    match io.read(&mut [0]).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(Cause::EarlyData),
    }
}

/// Opens the connection of a client that was admitted, with the 101 as its first output.
fn accept(
    head: &RequestHead,
    shared: &Shared,
    asked: Asked<'_>,
    (id, source, admit): (ClientId, Source, Admit),
) -> Result<ToDrive, Rejection> {
    let handler = Arc::clone(&asked.route.handler);
    let agreement = decision::accept(shared, asked.admit(head, id, source, admit))?;
    let Agreement { handshake, ws, outbox, topics } = agreement;
    let mut answer = BytesMut::with_capacity(ANSWER);
    handshake.write(&mut answer);
    let handling = StartHandler::due(handler, &outbox, shared);
    let core = Core::boxed(ws, outbox, answer, BytesMut::new());
    Ok(ToDrive { core, handling, topics })
}

/// Counts, logs and encodes a rejection.
fn reject(rejection: Rejection, head: Option<&RequestHead>, shared: &Shared) -> BytesMut {
    let compared = || head.map_or_else(Default::default, decision::compared);
    decision::log(&rejection, compared, shared);
    let mut out = BytesMut::new();
    let answer = rejection.into_response();
    // RFC 9110 §9.3.2: "the server MUST NOT send content in the response" to HEAD.
    if head.is_some_and(|head| head.method() == Method::HEAD) {
        write_response_head(&answer, &mut out);
    } else {
        write_response(&answer, &mut out);
    }
    out
}
