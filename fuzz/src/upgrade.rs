//! Requests through three ways into one server: octets that `Service::serve_connection` reads, `Parts` for
//! `Service::upgrade`, and a request for the service of ws-tower. Whoever parsed it, the answer is the
//! same. Raw heads, and lists of header lines as another HTTP implementation may hand them over.

use std::{error::Error, str, sync::LazyLock, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, request::Parts,
};
use tower_service::Service as _;
use ws_ext_deflate::Deflate;
use ws_handshake::{Cause, ConnectProtocol, Limits as HeadLimits, RequestReader, ResponseReader};
use ws_server::{
    Accepted, Admit, Opening, OriginPolicy, Peer, Rejection, Route, Server, ServerLimits, Service,
    WebSocket,
};

use crate::{
    input::Input,
    is_shown,
    stream::{Stream, block_on},
};

/// Two servers: one takes much, the other is particular.
static SERVICES: LazyLock<[Service; 2]> = LazyLock::new(|| {
    let open = Server::new()
        .extension(Deflate::default())
        .origin(OriginPolicy::any())
        .subprotocols(["chat.v2", "chat.v1"])
        .any(echo);
    let gated = Route::new(echo).gate(|opening: Opening| async move {
        match opening.request().header("authorization") {
            Some("Bearer key") => Ok(Admit::new().header("x-admitted", "yes").expect("a header")),
            _ => Err(Rejection::unauthorized("Bearer")),
        }
    });
    let mut limits = ServerLimits::default();
    limits.head =
        HeadLimits::default().max_headers(12).max_target(40).max_offers(2).max_subprotocols(2);
    let particular = Server::new()
        .hosts(["a.example", "a.example:81", "[::1]"])
        .server_limits(limits)
        .route("/room/{room}", echo)
        .route("/gated", gated);
    [open, particular].map(|server| server.service().expect("a configuration without flaws"))
});

async fn echo(mut ws: WebSocket) -> Result<(), Box<dyn Error + Send + Sync>> {
    while let Some(message) = ws.recv().await {
        ws.send(message).await?;
    }
    Ok(())
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let service = &SERVICES[usize::from(flags & 1)];
    let limits = if flags & 1 == 1 {
        HeadLimits::default().max_headers(12).max_target(40).max_offers(2).max_subprotocols(2)
    } else {
        HeadLimits::default()
    };
    match flags >> 1 & 3 {
        0 | 1 => raw(service, &limits, input.0),
        _ => lines(service, flags, &mut input),
    }
}

/// Octets as they come, whole and in pieces; then the same request by the other ways.
fn raw(service: &Service, limits: &HeadLimits, octets: &[u8]) {
    let whole = served(service, octets, usize::MAX);
    for step in [1, 7] {
        let pieces = served(service, octets, step);
        // Octets after the head of an upgrade are refused if they are there when it is answered.
        let early = |answer: &Option<Response<()>>| {
            answer.as_ref().is_some_and(|answer| answer.status() == StatusCode::BAD_REQUEST)
        };
        if !early(&whole) && !early(&pieces) {
            assert_eq!(told(whole.as_ref()), told(pieces.as_ref()), "in pieces of {step}");
        }
    }
    let mut buffer = BytesMut::from(octets);
    let Ok(Some(request)) = RequestReader::new(limits.clone()).read(&mut buffer) else { return };
    let (parts, ()) = request.into_parts();
    compare(service, whole.as_ref(), &parts);
}

/// Header lines that no reader of ours has seen.
fn lines(service: &Service, flags: u8, input: &mut Input<'_>) {
    let http2 = flags & 8 == 8;
    let mut request = Request::new(());
    *request.method_mut() = if http2 { Method::CONNECT } else { Method::GET };
    *request.version_mut() = input.pick(&match http2 {
        true => [Version::HTTP_2, Version::HTTP_3, Version::HTTP_2],
        false => [Version::HTTP_11, Version::HTTP_10, Version::HTTP_11],
    });
    if flags & 16 == 16 {
        *request.method_mut() = [Method::POST, Method::HEAD, Method::CONNECT, Method::GET]
            [usize::from(input.byte() & 3)]
        .clone();
    }
    let mut lines = input.0.split(|&octet| octet == b'\n');
    let target = lines.next().unwrap_or_default();
    let Ok(target) = str::from_utf8(target).unwrap_or("/").parse::<Uri>() else { return };
    *request.uri_mut() = target;
    for line in lines {
        let Some(at) = line.iter().position(|&octet| octet == b':') else { continue };
        if line.starts_with(b":protocol:") || at == 0 {
            // As hyper's `Protocol` reaches the handshake.
            let protocol =
                String::from_utf8_lossy(line.rsplit(|&octet| octet == b':').next().unwrap_or(b""));
            request.extensions_mut().insert(ConnectProtocol::new(&protocol));
            continue;
        }
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..at]), HeaderValue::from_bytes(&line[at + 1..]))
        else {
            continue;
        };
        request.headers_mut().append(name, value);
    }
    let (parts, ()) = request.into_parts();
    // The same as text, where it has one.
    let plain =
        parts.version == Version::HTTP_11 && parts.extensions.get::<ConnectProtocol>().is_none();
    let text = text(&parts).filter(|_| plain);
    let answer = text.and_then(|text| served(service, &text, usize::MAX));
    // A reader of HTTP/1.1 may refuse what another implementation let pass.
    let refused = |answer: &Response<()>| matches!(answer.status().as_u16(), 400 | 414 | 431);
    compare(service, answer.as_ref().filter(|answer| !refused(answer)), &parts);
}

fn text(parts: &Parts) -> Option<Vec<u8>> {
    if parts.method == Method::CONNECT {
        return None;
    }
    let mut text = format!("{} {} HTTP/1.1\r\n", parts.method, parts.uri).into_bytes();
    for (name, value) in &parts.headers {
        // A reader of HTTP/1.1 trims values.
        if value.as_bytes().trim_ascii() != value.as_bytes() {
            return None;
        }
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    (text.len() < 16_000).then_some(text)
}

/// The answer's head, if there is one.
fn served(service: &Service, octets: &[u8], step: usize) -> Option<Response<()>> {
    let (stream, written) = Stream::new(octets.to_vec(), step);
    let closed = block_on(async {
        tokio::time::timeout(
            Duration::from_secs(3600),
            service.serve_connection(stream, Peer::Other),
        )
        .await
        .expect("it ends within the hour")
    });
    let mut out = BytesMut::from(&written.octets()[..]);
    if out.is_empty() {
        assert!(closed.is_none());
        return None;
    }
    let answer = ResponseReader::default().read(&mut out).expect("HTTP").expect("a whole head");
    if is_shown() {
        eprintln!("served: {answer:?}, {closed:?}");
    }
    assert_eq!(closed.is_some(), answer.status() == StatusCode::SWITCHING_PROTOCOLS);
    Some(answer)
}

/// What is compared: all but the order of the header lines.
fn told(answer: Option<&Response<()>>) -> Option<(StatusCode, Vec<(String, Vec<u8>)>)> {
    let answer = answer?;
    let lines = answer.headers().iter();
    let mut lines: Vec<_> =
        lines.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect();
    lines.sort_unstable();
    Some((answer.status(), lines))
}

/// The request as `Parts`, for the server and for ws-tower.
fn compare(service: &Service, served: Option<&Response<()>>, parts: &Parts) {
    let upgraded = block_on(service.upgrade(parts, Peer::Other));
    let answer = match &upgraded {
        Ok(accepted) => {
            seen(accepted);
            accepted.response()
        }
        Err(refused) => {
            assert!(refused.status().is_client_error() || refused.status().is_server_error());
            head(refused)
        }
    };
    if is_shown() {
        eprintln!("upgrade: {answer:?}");
    }
    if let Some(served) = served {
        assert_eq!(told(Some(served)), told(Some(&answer)), "served and upgraded");
    }
    drop(upgraded);
    let mut request = Request::new(());
    let (own, ()) = std::mem::take(&mut request).into_parts();
    let mut own = own;
    own.method = parts.method.clone();
    own.uri = parts.uri.clone();
    own.version = parts.version;
    own.headers = parts.headers.clone();
    if let Some(protocol) = parts.extensions.get::<ConnectProtocol>() {
        own.extensions.insert(protocol.clone());
    }
    let mounted = block_on(ws_tower::service(service).call(Request::from_parts(own, ())));
    let Ok(mounted) = mounted;
    // Nothing here can be upgraded, which an accepted request learns with a 500.
    let accepted = matches!(answer.status(), StatusCode::SWITCHING_PROTOCOLS | StatusCode::OK);
    let expected = if accepted { StatusCode::INTERNAL_SERVER_ERROR } else { answer.status() };
    assert_eq!(mounted.status(), expected, "mounted in a service of tower");
    if parts.version > Version::HTTP_11 {
        for name in ["connection", "upgrade", "transfer-encoding", "keep-alive"] {
            assert!(!mounted.headers().contains_key(name), "{name} over HTTP/2");
        }
    }
}

fn head(refused: &Response<Bytes>) -> Response<()> {
    let mut head = Response::new(());
    *head.status_mut() = refused.status();
    *head.headers_mut() = refused.headers().clone();
    head
}

/// What a handler sees holds what was sent, and parses without a panic.
fn seen(accepted: &Accepted) {
    let request = accepted.request();
    assert!(request.path().starts_with('/'), "{}", request.path());
    for (name, value) in request.params() {
        assert_eq!(request.param(name), Some(value));
    }
    for (name, value) in request.headers() {
        assert!(request.header_all(name).any(|own| own == value));
    }
    let _ = (request.basic(), request.bearer(), request.query(), request.subprotocol());
    for (name, _) in request.cookies() {
        assert!(request.cookie(name).is_some());
    }
    let _ = Cause::Host.name();
}
