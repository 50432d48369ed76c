//! What all echo servers share: a runtime on one thread, a listener, a task per connection.

use std::error::Error;
use std::net::Ipv4Addr;

use tokio::net::{TcpListener, TcpStream};

/// Whatever ends a connection or the server.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Serves the port that the command line names, each connection by `handler`, for ever.
///
/// # Errors
/// If the command line is not `PORT` or `--port PORT`, or the port cannot be had.
pub fn serve<F>(handler: fn(TcpStream) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let port: u16 = port()?;
    // One thread, as every server here is measured on one core.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // How a client leaves is nothing to report.
            tokio::spawn(async move { handler(stream).await.ok() });
        }
    })
}

fn port() -> Result<u16, Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [port] | ["--port", port] => Ok(port.parse()?),
        _ => Err("usage: PROGRAM PORT".into()),
    }
}
