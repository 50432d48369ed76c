//! The opening handshake, for libraries that take a stream on which it is done.
//!
//! It happens before anything is measured, so that all may share it.

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use ws_handshake::{AcceptOptions, RequestReader, Upgrade, write_response_head};

use crate::server::Failure;

/// Accepts whatever path is asked for, without extensions.
///
/// # Errors
/// If the client leaves, or asks for no WebSocket.
pub async fn accept(stream: &mut TcpStream) -> Result<(), Failure> {
    let (mut reader, mut input, mut output) =
        (RequestReader::default(), BytesMut::new(), BytesMut::new());
    let request = loop {
        if let Some(request) = reader.read(&mut input)? {
            break request;
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Err("the client left".into());
        }
    };
    let accepted = Upgrade::inspect(&request)?.accept(&AcceptOptions::new())?;
    write_response_head(&accepted.response, &mut output);
    Ok(stream.write_all(&output).await?)
}
