//! What the process takes under `max_memory`, as the operating system measures it, while a thousand
//! connections try to make it take more. About fifteen seconds.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use support::{BINARY, Raw, TEXT, echo, masked};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    runtime::Builder,
    task::JoinSet,
    time::{sleep, timeout},
};
use ws_server::{Server, ServerLimits};

const MIB: usize = 1024 * 1024;
const BUDGET: usize = 64 * MIB;
const ATTACKERS: usize = 1000;
/// How long each attack lasts.
const LASTS: Duration = Duration::from_secs(3);

/// Tells the child that it is the server.
const CHILD: &str = "WS_SERVER_MEASURED";

/// What the child runs: the server. Elsewhere it does nothing.
#[test]
fn server_in_a_process_of_its_own() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let limits = ServerLimits::default().max_memory(BUDGET);
        let server = Server::new().server_limits(limits).any(echo).bind("127.0.0.1:0").await;
        let server = server.unwrap();
        let clients = server.clients();
        println!("\nlistening on {}", server.local_addr().unwrap());
        let parent = std::io::stdin();
        std::thread::spawn(move || {
            // Each line asks for figures; the end of the parent is the end.
            for _ in parent.lock().lines().map_while(Result::ok) {
                let metrics = clients.metrics();
                println!("\nevicted {} held {}", metrics.evicted, metrics.held.total());
            }
            std::process::exit(0);
        });
        server.serve().await
    });
}

struct Running {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    address: SocketAddr,
}

/// How the server's allocator treats large blocks.
#[derive(Clone, Copy, Debug)]
enum Allocator {
    /// Each is the system's own, and goes back to it at once.
    GivesBack,
    /// As glibc does by default: once one was given back, later ones come from the heap, where holes stay
    /// between them.
    Default,
}

impl Allocator {
    /// What the process may take.
    fn bound(self) -> usize {
        match self {
            Self::GivesBack => BUDGET * 12 / 10 + 64 * MIB,
            // SECURITY.md: as much again, for the holes.
            Self::Default => BUDGET * 2 + 64 * MIB,
        }
    }
}

impl Running {
    fn start(allocator: Allocator) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        if let Allocator::GivesBack = allocator {
            command.env("MALLOC_MMAP_THRESHOLD_", "131072");
        }
        let mut child = command
            .args(["--exact", "--nocapture", "server_in_a_process_of_its_own"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut running = Self { child, lines, address };
        running.address = running.line("listening on ").parse().unwrap();
        running
    }

    /// The rest of the next line that begins so.
    fn line(&mut self, begin: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).unwrap() > 0, "the server has ended");
            if let Some(rest) = line.strip_prefix(begin) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Connections that were evicted, and octets held.
    fn figures(&mut self) -> (u64, usize) {
        use std::io::Write;
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        let line = self.line("evicted ");
        let (evicted, held) = line.split_once(" held ").unwrap();
        (evicted.parse().unwrap(), held.parse().unwrap())
    }

    /// The most memory that it has taken, in octets.
    fn peak(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().strip_suffix("kB").unwrap().trim().parse::<usize>().unwrap() * 1024
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A connection from an address of its own for each 200.
async fn connect(address: SocketAddr, nth: usize) -> std::io::Result<Raw<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    let own = Ipv4Addr::new(127, 0, 1, 1 + (nth / 200) as u8);
    socket.bind(SocketAddr::from((own, 0)))?;
    let mut raw = Raw::new(socket.connect(address).await?);
    let request = ws_tests_support::handshake::request("/", "");
    raw.io.write_all(request.as_bytes()).await?;
    // 101, or 503 and then the end.
    let mut head = [0; 12];
    raw.io.read_exact(&mut head).await?;
    match &head {
        b"HTTP/1.1 101" => Ok(raw),
        _ => Err(std::io::ErrorKind::ConnectionRefused.into()),
    }
}

/// Most of a message, and no end of it.
async fn unfinished(mut raw: Raw<TcpStream>) {
    let piece = masked(0, &[0; 64 * 1024]);
    raw.io.write_all(&masked(BINARY & 0x0f, b"x")).await.ok();
    for _ in 0..15 {
        if raw.io.write_all(&piece).await.is_err() {
            return;
        }
    }
    sleep(LASTS).await;
}

/// Messages whose echoes nobody reads.
async fn unread(mut raw: Raw<TcpStream>) {
    let message = masked(BINARY, &[0; 64 * 1024]);
    while raw.io.write_all(&message).await.is_ok() {}
}

#[test]
fn process_takes_no_more_than_it_may() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    for (attack, allocator) in [
        ("unfinished", Allocator::GivesBack),
        ("unread", Allocator::GivesBack),
        ("unfinished", Allocator::Default),
    ] {
        let mut server = Running::start(allocator);
        let address = server.address;
        let waits = runtime.block_on(async {
            let mut polite = connect(address, 0).await.unwrap();
            polite.head().await;
            let mut attackers = JoinSet::new();
            for nth in 0..ATTACKERS {
                attackers.spawn(async move {
                    // Who is closed comes back.
                    loop {
                        if let Ok(raw) = connect(address, 200 + nth).await {
                            match attack {
                                "unfinished" => unfinished(raw).await,
                                _ => unread(raw).await,
                            }
                        }
                        sleep(Duration::from_millis(20)).await;
                    }
                });
            }
            let (start, mut waits) = (Instant::now(), Vec::new());
            while start.elapsed() < LASTS {
                let sent = Instant::now();
                polite.send(TEXT, b"are you there?").await;
                let answer = timeout(Duration::from_secs(30), polite.frame()).await.unwrap();
                assert_eq!(answer.expect("it is polite").1, b"are you there?");
                waits.push(sent.elapsed());
                sleep(Duration::from_millis(10)).await;
            }
            attackers.shutdown().await;
            waits
        });
        let (evicted, _) = server.figures();
        let peak = server.peak();
        let longest = waits.iter().max().unwrap();
        println!(
            "{attack}, {allocator:?}: {} MiB at most, {evicted} evicted, {longest:?}",
            peak / MIB
        );
        assert!(evicted > 0, "{attack}: it was no attack");
        assert!(peak <= allocator.bound(), "{attack}, {allocator:?}: {} MiB", peak / MIB);
        // All of it is given back, once those who left are noticed.
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (_, held) = server.figures();
            if held == 0 {
                break;
            }
            assert!(Instant::now() < deadline, "{attack}: {held} octets are held for nobody");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
