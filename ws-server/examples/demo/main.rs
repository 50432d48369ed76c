//! A server to try things on: a page at `/` with a chat, an echo and a live view of frames; `/echo`
//! sends every message back, `/broadcast` sends it to everyone who is connected there, and with
//! `?reply` back as well. permessage-deflate is on.
//!
//! ```text
//! $ cargo run --release --example demo
//! listening on 127.0.0.1:9001
//! open http://127.0.0.1:9001/ in a browser
//! ```
//!
//! With `--features tls` it also takes `--tls-cert`, `--tls-key` and `--tls-self-signed`; behind a proxy,
//! `--behind`. With `--features prometheus` it also serves `/metrics`; the page draws the same figures
//! without it.

mod behind;
mod chat;
mod metrics;
mod page;
mod raw_client;
#[cfg(feature = "tls")]
mod tls;
mod views;

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    process::ExitCode,
    thread,
    time::Duration,
};

use clap::Parser;
use tokio::net::TcpListener;
use ws_server::{
    BoundServer, CloseCode, Deflate, HandlerError, Limits, Listener, Message, ProxyProtocol,
    Server, ServerLimits, Tcp, WebSocket,
};

use crate::{chat::Chat, views::Views};

/// A WebSocket server with a page at / to try it. /echo sends every message back, /broadcast sends
/// it to everyone connected there, including the sender, and /broadcast?reply does both; /whoami tells
/// a client the address that the server knows it by; the page uses /chat and /frames.
#[derive(Parser)]
#[command(name = "demo")]
struct Options {
    /// The address to listen on; port 0 chooses a free port. The first line of output shows the
    /// address
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9001")]
    listen: String,

    /// Disable compression
    #[arg(long)]
    no_deflate: bool,

    /// Largest message and frame to accept [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    max_message: Option<NonZeroUsize>,

    /// Maximum number of frames in a message [default: 4096]
    #[arg(long, value_name = "N")]
    max_fragments: Option<NonZeroUsize>,

    /// Maximum number of connections [default: 10000, or the number that the limit on open files
    /// allows]
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroUsize>,

    /// Maximum number of connections from one address [default: 256]
    #[arg(long, value_name = "N")]
    max_per_ip: Option<NonZeroUsize>,

    /// Bytes that all clients together may make the server hold [default: a quarter of what the
    /// process may use]
    #[arg(long, value_name = "BYTES")]
    max_memory: Option<NonZeroUsize>,

    /// Seconds of silence after which a connection's compression gives memory back [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    park_after: Option<Duration>,

    /// Log nothing
    #[arg(long)]
    quiet: bool,

    /// Number of worker threads [default: one for each available core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,

    #[command(flatten)]
    behind: behind::BehindOptions,

    #[cfg(feature = "tls")]
    #[command(flatten)]
    tls: tls::TlsOptions,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(time) if !time.is_zero() => Ok(time),
        _ => Err("not a positive number of seconds".into()),
    }
}

type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let options = Options::parse();
    if !options.quiet {
        let ansi = io::stderr().is_terminal();
        tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(ansi).init();
    }
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Outcome {
    let cores = || thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut runtime = match options.threads.unwrap_or_else(cores).get() {
        // On one core, the single-threaded runtime does less work.
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(threads);
            runtime
        }
    };
    let runtime = runtime.enable_all().build()?;
    // In a task, so that a worker accepts connections instead of the thread that waits here.
    runtime.block_on(async { runtime.spawn(serve(options)).await? })
}

async fn serve(options: Options) -> Outcome {
    // Before the server is configured, since one of its handlers needs the address.
    let listener = TcpListener::bind(options.listen.as_str());
    let listener = listener.await.map_err(|error| explain(&error, &options.listen))?;
    let address = listener.local_addr()?;
    let page = reachable(address);
    #[cfg(feature = "tls")]
    let secure = options.tls.is_asked();
    #[cfg(not(feature = "tls"))]
    let secure = false;
    // The page's broken clients speak plain text, and name no other client.
    let plain = if secure || options.behind.proxy_protocol().is_some() {
        Some(Tcp::bind("127.0.0.1:0").await?)
    } else {
        None
    };
    let raw = plain.as_ref().and_then(Listener::local_addr).unwrap_or(page);
    let (chat, views, policy) = (Chat::default(), Views::default(), page::policy());
    let (observed, watched, shown) = (views.clone(), views.clone(), views);
    let server = Server::new();
    let clients = server.clients();
    let mut server = server
        .fallback(move |request, _peer| page::answer(request, &clients, &policy))
        .observe(move |opening| observed.observer(opening))
        .route("/echo", move |ws: WebSocket| echo(ws, watched.clone()))
        .route("/broadcast", broadcast)
        .route("/chat", move |ws: WebSocket| chat.clone().serve(ws))
        .route("/whoami", whoami)
        .route("/frames", move |ws: WebSocket| frames(ws, shown.clone(), raw))
        .subprotocols(["echo.v1"])
        .limits(limits(&options))
        .server_limits(server_limits(&options));
    if !options.no_deflate {
        server = server.extension(Deflate::default());
    }
    server = options.behind.trust(server);
    let listener = Tcp::from(listener);
    let server = match options.behind.proxy_protocol() {
        Some(proxies) => {
            let listener = ProxyProtocol::new(listener).only_from(proxies)?;
            listen(server, listener, &options)?
        }
        None => listen(server, listener, &options)?,
    };
    let server = match plain {
        Some(plain) => server.and(plain),
        None => server,
    };
    let mut out = io::stdout();
    let scheme = if secure { "https" } else { "http" };
    let lines = format!("listening on {address}\nopen {scheme}://{page}/ in a browser\n");
    // In one write: a reader of only the first line may close the pipe after it.
    out.write_all(lines.as_bytes())?;
    out.flush()?;

    let telling = tokio::spawn(metrics::tell(server.clients()));
    let report = server.serve_until(interrupted()).await;
    telling.abort();
    eprintln!("{} connections closed, {} aborted", report.closed, report.aborted);
    Ok(())
}

/// Listens with TLS, if it was asked for.
#[cfg_attr(not(feature = "tls"), expect(unused_variables))]
fn listen(
    server: Server,
    listener: impl Listener,
    options: &Options,
) -> Result<BoundServer, Box<dyn Error + Send + Sync>> {
    #[cfg(feature = "tls")]
    if let Some(tls) = options.tls.tls()? {
        #[cfg(unix)]
        tokio::spawn(tls::reload_on_signal(tls.clone()));
        return Ok(server.listener(tls.listener(listener))?);
    }
    Ok(server.listener(listener)?)
}

/// Explains how to fix an address that the server cannot listen on.
fn explain(cause: &io::Error, listen: &str) -> Box<dyn Error + Send + Sync> {
    let mend = match cause.kind() {
        io::ErrorKind::AddrInUse => {
            "another program uses this port: stop it, or choose a free port by --listen 127.0.0.1:0"
        }
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 may need privileges: choose a higher one, such as --listen 127.0.0.1:9001"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: use 127.0.0.1 for local clients, 0.0.0.0 for all interfaces"
        }
        _ => "--listen takes an address and a port, such as 127.0.0.1:9001",
    };
    format!("cannot listen on {listen}: {cause}\n{mend}").into()
}

/// The address at which this machine reaches the server.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// A block, since an async function stores its parameters twice, and most connections are idle.
#[expect(clippy::manual_async_fn, reason = "it holds less")]
fn echo(mut ws: WebSocket, views: Views) -> impl Future<Output = Result<(), HandlerError>> + Send {
    async move {
        while let Some(message) = ws.recv().await {
            ws.send(message).await?;
        }
        if let Some(view) = views.of(ws.request()) {
            view.ended(ws.id(), &ws.closed().await);
        }
        Ok(())
    }
}

/// Shows a page its frames, and lets the raw client run the scripts that the page requests, one
/// after the other.
async fn frames(mut ws: WebSocket, views: Views, server: SocketAddr) -> Result<(), HandlerError> {
    let Some(open) = views.open(ws.sender()) else {
        ws.close(CloseCode::POLICY_VIOLATION, "add view=TOKEN, 16 to 64 letters or digits")?;
        return Ok(());
    };
    ws.subscribe(metrics::TOPIC)?;
    while let Some(message) = ws.recv().await {
        if let Message::Text(script) = message {
            raw_client::run(script.as_str(), server, &open).await;
        }
    }
    Ok(())
}

/// Sends every message to all, including the sender, and back to the sender if the query requests
/// it.
async fn broadcast(mut ws: WebSocket) -> Result<(), HandlerError> {
    let everyone = ws.subscribe("broadcast")?;
    let replies = ws.request().query() == Some("reply");
    while let Some(message) = ws.recv().await {
        if replies {
            ws.send(message.clone()).await?;
        }
        everyone.publish(message);
    }
    Ok(())
}

/// Tells a client where the server sees it, and how it came.
async fn whoami(mut ws: WebSocket) -> Result<(), HandlerError> {
    let scheme = if ws.request().is_secure() { "wss" } else { "ws" };
    let told = format!("{} by {scheme}", ws.request().peer());
    ws.send(told).await?;
    while ws.recv().await.is_some() {}
    Ok(())
}

fn limits(options: &Options) -> Limits {
    let mut limits = Limits::default();
    set(&mut limits.max_message, options.max_message);
    set(&mut limits.max_fragments, options.max_fragments);
    if let Some(time) = options.park_after {
        limits.park_after = time;
    }
    limits
}

fn server_limits(options: &Options) -> ServerLimits {
    let mut limits = ServerLimits::default();
    set(&mut limits.max_connections, options.max_connections);
    set(&mut limits.max_per_ip, options.max_per_ip);
    if let Some(bytes) = options.max_memory {
        limits.max_memory = Some(bytes.get());
    }
    limits
}

/// Sets a limit if its option is given.
fn set(limit: &mut usize, option: Option<NonZeroUsize>) {
    if let Some(value) = option {
        *limit = value.get();
    }
}

/// Waits for ctrl-c or, on Unix, for SIGTERM.
async fn interrupted() {
    let ctrl_c = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                () = ctrl_c => {}
                _ = terminate.recv() => {}
            }
            return;
        }
    }
    ctrl_c.await;
}
