//! A server to try things on: a page at `/` with a chat, an echo and a live view of frames; `/echo`
//! sends every message back, `/broadcast` sends it to everyone who is connected there, and with
//! `?reply` back as well. permessage-deflate is on.
//!
//! ```text
//! $ cargo run --release --example demo
//! listening on 127.0.0.1:9001
//! open http://127.0.0.1:9001/ in a browser
//! ```

mod chat;
mod metrics;
mod page;
mod raw_client;
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
    CloseCode, Deflate, HandlerError, Limits, Message, Server, ServerLimits, WebSocket,
};

use crate::{chat::Chat, views::Views};

/// A WebSocket server with a page to try it on at /. /echo sends every message back, /broadcast sends
/// it to everyone who is connected there, the sender too, and /broadcast?reply does both; /chat and
/// /frames are what the page uses.
#[derive(Parser)]
#[command(name = "demo")]
struct Options {
    /// Where to listen; port 0 takes a free one. The first line of the output says where it is
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:9001")]
    listen: String,

    /// Do not compress
    #[arg(long)]
    no_deflate: bool,

    /// Largest message to take, and largest frame [default: 1048576]
    #[arg(long, value_name = "BYTES")]
    max_message: Option<NonZeroUsize>,

    /// Most frames of one message [default: 4096]
    #[arg(long, value_name = "N")]
    max_fragments: Option<NonZeroUsize>,

    /// Most connections at a time [default: 10000, or what the limit on open files leaves]
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroUsize>,

    /// Most connections at a time from one address [default: 256]
    #[arg(long, value_name = "N")]
    max_per_ip: Option<NonZeroUsize>,

    /// How long a connection is silent until its compression gives memory back [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    park_after: Option<Duration>,

    /// Log nothing
    #[arg(long)]
    quiet: bool,

    /// Threads to work with [default: one for each core that it may use]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) {
        Some(time) if !time.is_zero() => Ok(time),
        _ => Err("not a number of seconds above 0".into()),
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
        // Where there is one core, the runtime that knows it does less work.
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            runtime.worker_threads(threads);
            runtime
        }
    };
    let runtime = runtime.enable_all().build()?;
    // In a task, so that a worker accepts connections, and not the thread that waits here.
    runtime.block_on(async { runtime.spawn(serve(options)).await? })
}

async fn serve(options: Options) -> Outcome {
    // Before the server, since one of its handlers needs the address.
    let listener = TcpListener::bind(options.listen.as_str());
    let listener = listener.await.map_err(|error| explain(&error, &options.listen))?;
    let address = listener.local_addr()?;
    let page = reachable(address);
    let (chat, views, policy) = (Chat::default(), Views::default(), page::policy());
    let (observed, watched, shown) = (views.clone(), views.clone(), views);
    let mut server = Server::new()
        .fallback(move |request, _peer| page::answer(request, &policy))
        .observe(move |opening| observed.observer(opening))
        .route("/echo", move |ws: WebSocket| echo(ws, watched.clone()))
        .route("/broadcast", broadcast)
        .route("/chat", move |ws: WebSocket| chat.clone().serve(ws))
        .route("/frames", move |ws: WebSocket| frames(ws, shown.clone(), page))
        .subprotocols(["echo.v1"])
        .limits(limits(&options))
        .server_limits(server_limits(&options));
    if !options.no_deflate {
        server = server.extension(Deflate::default());
    }
    let server = server.listener(listener)?;
    let mut out = io::stdout();
    let lines = format!("listening on {address}\nopen http://{page}/ in a browser\n");
    // In one write: who reads only the first line may be gone then.
    out.write_all(lines.as_bytes())?;
    out.flush()?;

    let telling = tokio::spawn(metrics::tell(server.clients()));
    let report = server.serve_until(interrupted()).await;
    telling.abort();
    eprintln!("{} connections closed, {} aborted", report.closed, report.aborted);
    Ok(())
}

/// What to do about an address that cannot be listened on.
fn explain(cause: &io::Error, listen: &str) -> Box<dyn Error + Send + Sync> {
    let mend = match cause.kind() {
        io::ErrorKind::AddrInUse => {
            "another program has this port: stop that one, or take a free port by --listen 127.0.0.1:0"
        }
        io::ErrorKind::PermissionDenied => {
            "a port below 1024 may need rights that you do not have: take one above, such as --listen 127.0.0.1:9001"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine does not have that address: 127.0.0.1 is itself, 0.0.0.0 all that it has"
        }
        _ => "--listen takes an address and a port, such as 127.0.0.1:9001",
    };
    format!("cannot listen on {listen}: {cause}\n{mend}").into()
}

/// Where this machine itself reaches the server.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// A block, since an async function keeps its parameters twice, and most connections are idle.
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

/// Shows a page its frames, and lets the raw client run what the page asks for, one after the other.
async fn frames(mut ws: WebSocket, views: Views, server: SocketAddr) -> Result<(), HandlerError> {
    let Some(open) = views.open(ws.sender()) else {
        ws.close(CloseCode::POLICY_VIOLATION, "view=TOKEN is missing, 16 to 64 letters or digits")?;
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

/// Sends what one sends to everyone, the sender too, and back to the sender if the query asks for it.
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
    limits
}

/// Sets a limit for which there is an option.
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
