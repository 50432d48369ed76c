//! A chat over three servers: whoever is connected to one of them sees those of all, and a client whose
//! server dies goes on at another with exactly what it missed.
//!
//! ```text
//! $ cargo run --release -p ws-nats --example cluster     # or: -- 127.0.0.1:9001 --nats nats://host:4222
//! NATS at nats://127.0.0.1:43117
//! listening on 127.0.0.1:9001
//! listening on 127.0.0.1:9002
//! listening on 127.0.0.1:9003
//! ```
//!
//! Open the three in a browser. "Kill this server" ends the process that a page is connected to, as a
//! power failure would: the page goes on at the next one, and the server is started again after 5 s.
//! Without `--nats` it starts a `nats-server` of its own; Ctrl-C ends all.

mod nats_server;
mod node;
mod page;

use std::{
    error::Error,
    net::TcpListener,
    process::{ExitCode, Stdio},
    time::Duration,
};

use tokio::{
    process::{Child, Command},
    time::sleep,
};

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(std::io::stderr)
        .init();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // The texts of errors say what to do; `main() -> Result` would print them for programmers.
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[String]) -> Result<(), Box<dyn Error + Send + Sync>> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["node", number, nats, addresses] => node::run(number.parse()?, nats, addresses).await,
        ["nats", program, port] => nats_server::keep(program, port).await,
        [] => cluster("127.0.0.1:9001", None).await,
        [address] => cluster(address, None).await,
        ["--nats", nats] => cluster("127.0.0.1:9001", Some(nats)).await,
        [address, "--nats", nats] => cluster(address, Some(nats)).await,
        _ => Err("usage: cluster [ADDRESS] [--nats URL]".into()),
    }
}

/// Starts NATS, if there is none, and three servers, and waits for Ctrl-C.
async fn cluster(address: &str, nats: Option<&str>) -> Result<(), Box<dyn Error + Send + Sync>> {
    let addresses = addresses(address)?.join(",");
    let mut own = match nats {
        Some(_) => None,
        None => Some(nats_server::NatsServer::start().await?),
    };
    let url = own.as_ref().map_or(nats.unwrap_or_default(), |own| &own.url).to_owned();
    println!("NATS at {url}");
    let nodes =
        (0..3).map(|number| tokio::spawn(keep_running(number, url.clone(), addresses.clone())));
    let nodes: Vec<_> = nodes.collect();
    interrupted().await;
    for node in nodes {
        node.abort();
    }
    // The servers end when their standard input does; NATS is there until they have said goodbye.
    sleep(Duration::from_secs(1)).await;
    if let Some(own) = &mut own {
        own.stop().await;
    }
    Ok(())
}

/// Three addresses from the first on; with port 0, three that are free.
fn addresses(first: &str) -> Result<Vec<String>, Box<dyn Error + Send + Sync>> {
    let (host, port) = first.rsplit_once(':').ok_or("the address is HOST:PORT")?;
    let port: u16 = port.parse()?;
    let ports: Vec<u16> = if port == 0 {
        let free = [(); 3].map(|()| TcpListener::bind((host, 0)));
        free.into_iter()
            .map(|free| Ok(free?.local_addr()?.port()))
            .collect::<Result<_, std::io::Error>>()?
    } else {
        (port..=port.saturating_add(2)).collect()
    };
    Ok(ports.into_iter().map(|port| format!("{host}:{port}")).collect())
}

/// Runs a server, again whenever it ends.
async fn keep_running(number: usize, nats: String, addresses: String) {
    loop {
        match start(number, &nats, &addresses) {
            Ok(mut node) => {
                // It ends when this does: waiting would drop it at once.
                let _stdin = node.stdin.take();
                let ended = node.wait().await;
                let ended = ended.map_or_else(|error| error.to_string(), |code| code.to_string());
                eprintln!("server {} ended ({ended}); it is started again in 5 s", number + 1);
            }
            Err(error) => eprintln!("server {} does not start: {error}", number + 1),
        }
        sleep(Duration::from_secs(5)).await;
    }
}

fn start(number: usize, nats: &str, addresses: &str) -> std::io::Result<Child> {
    let mut node = Command::new(std::env::current_exe()?);
    node.args(["node", &number.to_string(), nats, addresses]).stdin(Stdio::piped());
    // Ctrl-C is for this process: it ends the others in order.
    #[cfg(unix)]
    node.process_group(0);
    node.spawn()
}

/// Ctrl-C, or the signal that asks a process to end.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    tokio::signal::ctrl_c().await.ok();
}
