//! The opening handshake of libraries that leave it to hyper.
//!
//! After it the socket is taken out of hyper again: what is written and read then costs no more
//! than on a socket that never was there.

use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::server::Failure;

/// Answers the request of `stream` by what `upgrade` says, which is a library's own code, and gives
/// the socket back with what `upgrade` found out.
///
/// # Errors
/// If the client leaves, asks for no WebSocket, or speaks before the answer.
pub async fn accept<T, E>(
    stream: TcpStream,
    upgrade: impl Fn(&mut Request<Incoming>) -> Result<(Response<Empty<Bytes>>, T), E>,
) -> Result<(TcpStream, T), Failure> {
    let accepted: Mutex<Option<(OnUpgrade, T)>> = Mutex::new(None);
    let service = service_fn(|mut request: Request<Incoming>| {
        let on_upgrade = hyper::upgrade::on(&mut request);
        let response = match upgrade(&mut request) {
            Ok((response, found)) => {
                *accepted.lock().expect("nothing panics here") = Some((on_upgrade, found));
                response
            }
            Err(_) => {
                let mut response = Response::new(Empty::new());
                *response.status_mut() = StatusCode::BAD_REQUEST;
                response
            }
        };
        async { Ok::<_, Infallible>(response) }
    });
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await?;
    let accepted = accepted.lock().expect("nothing panics here").take();
    let (on_upgrade, found) = accepted.ok_or("no WebSocket was asked for")?;
    let parts: Parts<TokioIo<TcpStream>> = on_upgrade
        .await?
        .downcast()
        .map_err(|_| "hyper gave back another socket than it was given")?;
    if parts.read_buf.is_empty() {
        Ok((parts.io.into_inner(), found))
    } else {
        Err("the client speaks before the answer".into())
    }
}
