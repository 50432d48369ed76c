//! The opening handshake: reads a request, and opens a connection or answers in another way.

use std::{
    cell::Cell,
    future::poll_fn,
    io, mem,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderName, HeaderValue, Method, Response, StatusCode, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    task::yield_now,
    time::{Instant, sleep, timeout},
};
use tokio_util::io::poll_read_buf;
use tracing::{Level, Span, debug, error, field::display, info};
use ws_core::{Connection, ObservedFrame, Role};
use ws_handshake::{
    AcceptOptions, Authority, Cause, Hosts, OriginRefusal, Rejection, RequestHead, RequestReader,
    Upgrade, write_response, write_response_head,
};

use crate::{
    AdmissionLimit, ClientId, Limits, Opening, Peer, Request,
    drive::{Core, Handling},
    leaves::linger::linger,
    leaves::log_limiter::Escaped,
    leaves::socket::{self, PASS},
    open::admission::Client,
    open::endpoint::StartHandler,
    open::service::{Shared, refuse},
    outbox::Outbox,
};

/// Room for a 101. Most fit.
const ANSWER: usize = 256;

/// Room for reading. Most heads fit; more is reserved as they grow.
const READ: usize = 1024;

thread_local! {
    /// What the openings of this thread read into: most are done with it in the same turn.
    static BUFFER: Cell<BytesMut> = Cell::new(BytesMut::new());
}

/// What [`drive`](crate::drive::drive) needs besides the stream.
pub(crate) struct Parts {
    pub(crate) core: Box<Core>,
    pub(crate) handling: Handling<StartHandler>,
}

/// Reads a request from `io` and decides on it. `None`: it was answered otherwise, or never came, and
/// the connection is to be dropped.
///
/// # Cancel safety
/// Not cancel safe: when it is dropped, `io` has to be dropped too.
pub(crate) async fn open<Io>(
    io: &mut Io,
    shared: &Shared,
    id: ClientId,
    peer: Peer,
    client: Option<Client>,
) -> Option<Parts>
where
    Io: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let Some(head) = await_head(io, shared, client).await else {
        if shared.admission.is_closed() {
            debug!("dropped in its opening handshake for the end of the server");
        } else {
            shared.kept_out(peer, AdmissionLimit::MaxPending);
            refuse(io).await;
        }
        return None;
    };
    let outcome = match head {
        Ok(Some(Ok(head))) => decide(&head, shared, id, peer),
        Ok(Some(Err(rejection))) => Err(reject(rejection, None, shared)),
        // RFC 6455 §7.2.2 has a server that aborts here close the connection and nothing else; a
        // client that does is none of the server's errors either.
        Ok(None) => {
            debug!("the client left before its request was whole");
            return None;
        }
        Err(error) => {
            debug!(%error, "the client was lost before its request was whole");
            return None;
        }
    };
    match outcome {
        Ok(parts) => Some(parts),
        Err(answer) => {
            say(io, &answer, shared, client).await;
            None
        }
    }
}

type Head = io::Result<Option<Result<RequestHead, Rejection>>>;

/// Waits for a head. `None` where the handshake has to give way to others, or the server ends. It is
/// pending until then and no longer: once its head is whole it keeps nobody out, and nobody ends it.
async fn await_head<Io>(io: &mut Io, shared: &Shared, client: Option<Client>) -> Option<Head>
where
    Io: AsyncRead + Unpin + 'static,
{
    let mut head = pin!(read(io, &shared.limits));
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
    // The head may have come and not been read. The runtime looks at its sockets when all have had
    // their turn.
    tokio::select! {
        biased;
        head = &mut head => Some(head),
        () = yield_now() => None,
    }
}

/// Answers with something else than a 101 and lingers. Where too many do at a time, what is taken at
/// once has to do.
async fn say<Io>(io: &mut Io, answer: &[u8], shared: &Shared, client: Option<Client>)
where
    Io: AsyncRead + AsyncWrite + Unpin,
{
    let mut said = pin!(async {
        if write(io, answer, &shared.limits).await.is_ok() {
            linger(io, &shared.limits, shared.limits.time_to_read(answer.len() as u64)).await;
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
        () = &mut said => {}
        () = ended => {}
    }
}

/// Writes an answer to a client that takes it at the least rate.
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

/// Reads a head in time; `None` where the client ends before.
async fn read<Io: AsyncRead + Unpin + 'static>(
    io: &mut Io,
    limits: &Limits,
) -> io::Result<Option<Result<RequestHead, Rejection>>> {
    let mut reader = RequestReader::new(limits.head.clone());
    let mut input = BytesMut::new();
    let mut timer = pin!(sleep(limits.head_timeout));
    let mut passes = 0;
    loop {
        let first = input.is_empty();
        let read = poll_fn(|cx| {
            if let Poll::Ready(read) = poll_read(io, &mut input, cx) {
                return Poll::Ready(Some(read));
            }
            while timer.as_mut().poll(cx).is_ready() {
                // What lies in the socket came in time.
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
        // What came behind the head of an upgrade was refused with 400 (R6455-x-early); behind any
        // other it is dropped with `input`: one connection gets one answer.
        if let Some(outcome) = reader.read_head(&mut input).transpose() {
            // Pieces may have made it large.
            if first {
                input.clear();
                BUFFER.set(input);
            }
            return Ok(Some(outcome));
        }
    }
}

/// Reads once. While nothing of a head has come, it holds no buffer.
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

/// Opens, or says what to write instead.
fn decide(
    head: &RequestHead,
    shared: &Shared,
    id: ClientId,
    peer: Peer,
) -> Result<Parts, BytesMut> {
    Span::current().record("path", display(Escaped(head.uri().path())));
    if !head.asks_for_upgrade()
        && let Some(fallback) = &shared.fallback
    {
        return Err(match plain_request(head, shared.hosts.as_ref()) {
            Ok(request) => {
                // A panic costs this request and nothing else.
                let answer = catch_unwind(AssertUnwindSafe(|| fallback(&request, peer)));
                let answer = answer.unwrap_or_else(|_| {
                    error!(%id, %peer, "the fallback panicked");
                    Rejection::new(StatusCode::INTERNAL_SERVER_ERROR).into_response()
                });
                debug!(status = answer.status().as_u16(), "answered a plain request");
                plain(answer, request.method())
            }
            Err(cause) => reject(cause.into(), Some(head), shared),
        });
    }
    accept(head, shared, id, peer).map_err(|rejection| reject(rejection, Some(head), shared))
}

fn accept(
    head: &RequestHead,
    shared: &Shared,
    id: ClientId,
    peer: Peer,
) -> Result<Parts, Rejection> {
    let Some(handler) = shared.routes.find(head.uri().path()) else {
        return Err(Rejection::new(StatusCode::NOT_FOUND).body("there is nothing at this path\n"));
    };
    let upgrade = Upgrade::inspect_within(head, &shared.limits.head)?;
    let mut options = AcceptOptions::new().extensions(&shared.extensions).origin(&shared.origin);
    if !shared.subprotocols.is_empty() {
        options = options.subprotocols(&shared.subprotocols);
    }
    let offers_subprotocols = !upgrade.subprotocols().is_empty();
    if let Some(hosts) = &shared.hosts {
        options = options.hosts(hosts);
    }
    let accepted = upgrade.accept(&options)?;

    let agreed = accepted.extensions_header();
    let subprotocol = accepted.subprotocol.as_deref();
    let span = Span::current();
    span.record("extensions", agreed);
    span.record("subprotocol", subprotocol);
    if offers_subprotocols
        && subprotocol.is_none()
        && let Some(offered) = value(head, &SEC_WEBSOCKET_PROTOCOL)
        && let Some(left_out) = shared.clients.registry.stats.subprotocol_log.admit()
    {
        info!(
            offered = %Escaped(&offered),
            left_out,
            "no subprotocol that the client offers is spoken here, for which browsers and others fail \
             the connection: see Server::subprotocols"
        );
    }
    if tracing::enabled!(Level::DEBUG) {
        for line in accepted.report.to_string().lines() {
            debug!("extension {}", Escaped(line));
        }
        debug!("open");
    }

    let request = Request::new(head.uri(), head.headers(), peer, agreed, subprotocol);
    let mut answer = BytesMut::with_capacity(ANSWER);
    accepted.write(&mut answer);
    let config = Arc::clone(&shared.config);
    let mut ws = Connection::new(Role::Server, config, accepted.extensions);
    if let Some(observe) = &shared.observe {
        let opening = Opening { id, request: &request, report: &accepted.report };
        // A panic costs this request and nothing else.
        match catch_unwind(AssertUnwindSafe(|| observe(&opening))) {
            Ok(Some(mut observer)) => {
                ws.observe_frames(move |frame: &ObservedFrame| observer.frame(frame));
            }
            Ok(None) => {}
            Err(_) => {
                error!(%id, %peer, "the application panicked when it was shown the opening");
                return Err(Rejection::new(StatusCode::INTERNAL_SERVER_ERROR));
            }
        }
    }
    let registry = Arc::clone(&shared.clients.registry);
    let stats = Some(Arc::clone(&registry.stats));
    let outbox = Outbox::new(id, request, Arc::clone(&shared.limits), stats);
    let handling = Handling::Due(Box::new(StartHandler {
        handler: Arc::clone(handler),
        outbox: Arc::clone(&outbox),
        registry,
    }));
    Ok(Parts { core: Core::boxed(ws, outbox, answer, BytesMut::new()), handling })
}

/// A request for a fallback, where it is what HTTP/1.1 asks every request to be.
fn plain_request(head: &RequestHead, own: Option<&Hosts>) -> Result<http::Request<()>, Cause> {
    let request = head.to_request()?;
    // RFC 9112 §3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1
    // request message that lacks a Host header field and to any request message that contains more
    // than one Host header field line or a Host header field with an invalid field value."
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_10 => None,
        (Some(host), None) if host.is_empty() => None,
        (Some(host), None) => {
            Some(Authority::parse(host.as_bytes().trim_ascii()).ok_or(Cause::Host)?)
        }
        (None | Some(_), _) => return Err(Cause::Host),
    };
    // RFC 9112 §3.2.2: a host in the request-target counts in place of the header.
    let target = request.uri().authority();
    let host = match target.map(|target| Authority::parse(target.as_str().as_bytes())) {
        Some(target) => Some(target.ok_or(Cause::Target)?),
        None => host,
    };
    match own {
        Some(own) if !host.is_some_and(|host| own.contains(&host)) => Err(Cause::OtherHost),
        _ => Ok(request),
    }
}

/// The answer of a fallback, after which the connection closes whatever it says.
fn plain(mut answer: Response<Bytes>, method: &Method) -> BytesMut {
    if answer.status().is_informational() {
        error!(status = answer.status().as_u16(), "the fallback gave no final answer");
        answer = Rejection::new(StatusCode::INTERNAL_SERVER_ERROR).into_response();
    }
    let without_body = matches!(answer.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let len = answer.body().len();
    let headers = answer.headers_mut();
    headers.remove(TRANSFER_ENCODING);
    headers.remove(TRAILER);
    // RFC 9110 §7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option"
    let connection = if headers.contains_key(UPGRADE) { "Upgrade, close" } else { "close" };
    headers.insert(CONNECTION, HeaderValue::from_static(connection));
    if without_body {
        headers.remove(CONTENT_LENGTH);
    } else {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(len));
    }
    let mut out = BytesMut::new();
    if without_body || method == Method::HEAD {
        write_response_head(&answer, &mut out);
    } else {
        write_response(&answer, &mut out);
    }
    out
}

/// Counts a rejection, logs it and writes it down.
fn reject(rejection: Rejection, head: Option<&RequestHead>, shared: &Shared) -> BytesMut {
    shared.clients.registry.stats.counters.rejected(rejection.status(), rejection.cause());
    if let Some(left_out) = shared.clients.registry.stats.client_log.admit() {
        match rejection.cause() {
            Cause::Application => info!(left_out, "rejected with {}", rejection.status()),
            cause @ (Cause::Origin(_) | Cause::OtherHost) => {
                let [origin, host] = head.map_or_else(Default::default, compared);
                let (origin, host) = (origin.as_deref().map(Escaped), host.as_deref().map(Escaped));
                let (origin, host) = (origin.as_ref().map(display), host.as_ref().map(display));
                let hint = match cause {
                    Cause::Origin(OriginRefusal::CrossSite) => {
                        "; if it is your own, a proxy changes Host: let it through, or see Server::origin"
                    }
                    _ => "",
                };
                info!(origin, host, left_out, "rejected with {rejection}{hint}");
            }
            _ => info!(left_out, "rejected with {rejection}"),
        }
    }
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

/// The origin that a request has, and the host that it was compared with.
fn compared(head: &RequestHead) -> [Option<String>; 2] {
    let authority = head.uri().authority().map(|authority| authority.as_str().to_owned());
    [value(head, &ORIGIN), authority.or_else(|| value(head, &HOST))]
}

/// The first header line of a name, for a log.
fn value(head: &RequestHead, name: &HeaderName) -> Option<String> {
    let (_, value) = head.headers().find(|(own, _)| *own == name.as_str().as_bytes())?;
    Some(String::from_utf8_lossy(value).into_owned())
}
