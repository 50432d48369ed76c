//! A WebSocket of HTTP/1.1 on one side, and one of HTTP/2 (RFC 8441) on the other: so that every client
//! comes over HTTP/2, too.

use std::{future::poll_fn, io};

use axum::http::{HeaderValue, Method, Request, StatusCode, Uri};
use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream, client::SendRequest, ext::Protocol};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use ws_handshake::{Limits, RequestReader, accept_key};

use crate::transport::Io;

/// Octets of a DATA frame, at most.
const PIECE: usize = 16 * 1024;

/// The headers that the two handshakes have in common.
const COMMON: [&str; 4] =
    ["sec-websocket-version", "sec-websocket-extensions", "sec-websocket-protocol", "origin"];

/// Reads a request, makes it an extended CONNECT, and passes octets on until either side ends.
pub(crate) async fn tunnel(mut io: impl Io, mut ask: SendRequest<Bytes>) -> io::Result<()> {
    let mut input = BytesMut::new();
    let mut reader = RequestReader::new(Limits::default()).allow_early_data(true);
    let request = loop {
        match reader.read(&mut input) {
            Ok(Some(request)) => break request,
            Ok(None) => {}
            Err(_) => return Ok(()),
        }
        if io.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder().scheme("https").authority("localhost").path_and_query(path);
    let mut connect = Request::builder()
        .method(Method::CONNECT)
        .uri(uri.build().map_err(io::Error::other)?)
        .extension(Protocol::from_static("websocket"));
    for name in COMMON {
        for value in request.headers().get_all(name) {
            connect = connect.header(name, value);
        }
    }
    let connect = connect.body(()).map_err(io::Error::other)?;
    let (answer, up) = ask.send_request(connect, false).map_err(io::Error::other)?;
    // It keeps the connection.
    drop(ask);
    let answer = answer.await.map_err(io::Error::other)?;
    if answer.status() != StatusCode::OK {
        let status = answer.status();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return io.write_all(head.as_bytes()).await;
    }
    let key = request.headers().get("sec-websocket-key").map(HeaderValue::as_bytes);
    let mut head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {}\r\n",
        accept_key(key.unwrap_or_default())
    );
    for name in COMMON {
        for value in answer.headers().get_all(name) {
            head += &format!("{name}: {}\r\n", value.to_str().map_err(io::Error::other)?);
        }
    }
    head += "\r\n";
    io.write_all(head.as_bytes()).await?;
    let (from, to) = split(io);
    // When one way fails, the other is dropped: that resets the stream, and closes the client.
    tokio::try_join!(send(input, from, up), receive(answer.into_body(), to)).map(|_| ())
}

async fn send(
    mut input: BytesMut,
    mut from: ReadHalf<impl AsyncRead>,
    mut up: SendStream<Bytes>,
) -> io::Result<()> {
    loop {
        while !input.is_empty() {
            up.reserve_capacity(input.len().min(PIECE));
            let room = match poll_fn(|cx| up.poll_capacity(cx)).await {
                Some(room) => room.map_err(io::Error::other)?,
                None => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            let piece = input.split_to(room.min(input.len())).freeze();
            up.send_data(piece, false).map_err(io::Error::other)?;
        }
        input.reserve(PIECE);
        if from.read_buf(&mut input).await? == 0 {
            return up.send_data(Bytes::new(), true).map_err(io::Error::other);
        }
    }
}

async fn receive(mut down: RecvStream, mut to: WriteHalf<impl AsyncWrite>) -> io::Result<()> {
    while let Some(data) = down.data().await {
        let data = data.map_err(io::Error::other)?;
        to.write_all(&data).await?;
        // Not before it was taken: a slow client is slow over HTTP/2, too.
        down.flow_control().release_capacity(data.len()).map_err(io::Error::other)?;
    }
    to.shutdown().await
}
