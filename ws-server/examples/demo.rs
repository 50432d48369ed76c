//! A server to try things on: `/echo` sends every message back, `/broadcast` sends it to everyone who
//! is connected there. permessage-deflate is on.
//!
//! ```text
//! $ cargo run --release --example demo
//! listening on 127.0.0.1:9001
//! ```

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
    num::NonZeroUsize,
    process::ExitCode,
};

use clap::Parser;
use ws_server::{Clients, Deflate, Handler, Limits, Server, WebSocket};

/// A WebSocket server with two paths: /echo sends every message back, /broadcast sends it to
/// everyone who is connected there, the sender too.
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

    /// Most connections at a time [default: 10000]
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroUsize>,

    /// Most connections at a time from one address [default: 256]
    #[arg(long, value_name = "N")]
    max_per_ip: Option<NonZeroUsize>,

    /// Log nothing
    #[arg(long)]
    quiet: bool,

    /// Threads to work with; 1 suits a server that is pinned to one core [default: one a core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
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
    let mut runtime = match options.threads.map(NonZeroUsize::get) {
        Some(1) => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            if let Some(threads) = threads {
                runtime.worker_threads(threads);
            }
            runtime
        }
    };
    let runtime = runtime.enable_all().build()?;
    // In a task, so that a worker accepts connections, and not the thread that waits here.
    runtime.block_on(async { runtime.spawn(serve(options)).await? })
}

async fn serve(options: Options) -> Outcome {
    let server = Server::bind(options.listen.as_str()).await?;
    if let Some(address) = server.local_addr() {
        let mut out = io::stdout();
        writeln!(out, "listening on {address}")?;
        out.flush()?;
    }
    let clients = server.clients();
    let mut server = server
        .route("/echo", echo)
        .route("/broadcast", broadcast(clients))
        .limits(limits(&options));
    if !options.no_deflate {
        server = server.extension(Deflate::default());
    }
    let report = server.serve_until(interrupted()).await?;
    eprintln!("{} connections closed, {} aborted", report.closed, report.aborted);
    Ok(())
}

async fn echo(mut ws: WebSocket) -> Result<(), ws_server::HandlerError> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

fn broadcast(clients: Clients) -> impl Handler {
    move |mut ws: WebSocket| {
        let clients = clients.clone();
        async move {
            while let Some(message) = ws.recv().await? {
                clients.send_path("/broadcast", message);
            }
            Ok(())
        }
    }
}

fn limits(options: &Options) -> Limits {
    let mut limits = Limits::default();
    let set = |limit: &mut usize, option: Option<NonZeroUsize>| {
        if let Some(value) = option {
            *limit = value.get();
        }
    };
    set(&mut limits.max_message, options.max_message);
    set(&mut limits.max_frame, options.max_message);
    set(&mut limits.max_fragments, options.max_fragments);
    set(&mut limits.max_connections, options.max_connections);
    set(&mut limits.max_per_ip, options.max_per_ip);
    limits
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
