//! What all servers share: the command line, a runtime on one thread, a listener, a task per
//! connection.

use std::error::Error;
use std::net::Ipv4Addr;

use tokio::net::{TcpListener, TcpStream};

/// Whatever ends a connection or the server.
pub type Failure = Box<dyn Error + Send + Sync>;

/// The command line: `PORT` or `--port PORT`, and what to do there.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where it listens.
    pub port: u16,
    /// Compress where the client offers permessage-deflate.
    pub deflate: bool,
    /// A message goes to every client, the sender too, and not back to the sender alone.
    pub broadcast: bool,
}

/// What a server can do besides echoing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Abilities {
    /// It takes `--deflate`.
    pub deflate: bool,
    /// It takes `--broadcast`.
    pub broadcast: bool,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// If there is no port, or a flag that is not among `abilities`.
    pub fn read(abilities: Abilities) -> Result<Self, Failure> {
        let mut options = Self { port: 0, deflate: false, broadcast: false };
        for word in std::env::args().skip(1) {
            match word.as_str() {
                "--port" => {}
                "--deflate" if abilities.deflate => options.deflate = true,
                "--broadcast" if abilities.broadcast => options.broadcast = true,
                port => options.port = port.parse().map_err(|_| usage(abilities))?,
            }
        }
        if options.port == 0 { Err(usage(abilities)) } else { Ok(options) }
    }
}

fn usage(abilities: Abilities) -> Failure {
    let deflate = if abilities.deflate { " [--deflate]" } else { "" };
    let broadcast = if abilities.broadcast { " [--broadcast]" } else { "" };
    format!("usage: PROGRAM PORT{deflate}{broadcast}").into()
}

/// Serves the port, each connection by `handler`, for ever.
///
/// # Errors
/// If the port cannot be had.
pub fn serve<F>(options: Options, handler: impl Fn(TcpStream) -> F) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>> + Send + 'static,
{
    on_one_thread(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let serving = handler(stream);
            // How a client leaves is nothing to report.
            tokio::spawn(async move { serving.await.ok() });
        }
    })
}

/// Runs a server on one thread, as every server here is measured on one core.
pub(crate) fn on_one_thread(
    serving: impl Future<Output = Result<(), Failure>>,
) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serving)
}
