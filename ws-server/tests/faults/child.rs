//! A server and clients in processes of their own, which can be stopped and killed, and whose descriptors
//! are theirs alone.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream as StdStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Builder,
    time::{Instant, sleep, timeout},
};
use ws_server::{Deflate, Limits, Server, ServerLimits, Tcp, WebSocket};
use ws_tests_support::{frame, handshake};

use crate::{
    ledger::{Figures, Handlers},
    support::{self, Handled, Raw},
};

/// Tells the child what to be: `server`, or `client` with an address.
const ROLE: &str = "WS_SERVER_FAULTS_ROLE";

/// The short deadlines of the server. Each is far longer than a loaded machine delays a task, and far shorter
/// than a process is stopped here.
pub(crate) const DEADLINE: Duration = Duration::from_secs(3);

/// Longer than anything here takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

fn limits() -> Limits {
    Limits::default()
        .max_message(8 << 20)
        .ping_interval(DEADLINE)
        .pong_timeout(2 * DEADLINE)
        .progress_timeout(DEADLINE)
        .write_timeout(DEADLINE)
        .close_timeout(DEADLINE)
        .linger_timeout(DEADLINE)
        // What is granted to slow readers besides is next to nothing.
        .min_write_rate(1 << 30)
}

/// Sends for as long as its client takes something.
async fn flood(mut ws: WebSocket) -> Handled {
    loop {
        ws.send(vec![7; 100_000]).await?;
    }
}

/// Takes what comes in pieces, and tells how much it was.
async fn swallow(mut ws: WebSocket) -> Handled {
    while let Some(mut message) = ws.recv_streaming().await {
        let mut octets = 0;
        while let Some(piece) = message.chunk().await? {
            octets += piece.len();
        }
        ws.send(octets.to_string()).await?;
    }
    Ok(())
}

/// All that the server's socket can be told to hold little.
fn small_buffers(listener: &TcpListener) {
    let socket = SockRef::from(listener);
    socket.set_recv_buffer_size(1).unwrap();
    socket.set_send_buffer_size(1).unwrap();
}

/// Takes so many descriptors for itself, more than the server reckons with.
fn take_descriptors(many: usize) -> Vec<fs::File> {
    (0..many).map(|_| fs::File::open("/dev/null").unwrap()).collect()
}

async fn serve(small: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    if small {
        small_buffers(&listener);
    }
    println!("\naddress {}", listener.local_addr().unwrap());
    let handlers = Handlers::default();
    let server = Server::new()
        .limits(limits())
        .server_limits(ServerLimits::default().max_per_ip(1000).head_timeout(DEADLINE))
        .extension(Deflate::default())
        .route("/echo", handlers.count(support::echo))
        .route("/chat", handlers.count(crate::apps::chat::chat))
        .route("/flood", handlers.count(flood))
        .route(
            "/swallow",
            ws_server::Route::new(handlers.count(swallow)).limits(limits().streaming(true)),
        );
    let clients = server.clients();
    let page = move |_: &http::Request<()>, _| {
        http::Response::new(Figures::of(&clients, &handlers).write().into())
    };
    server.fallback(page).listener(Tcp::from(listener)).unwrap().serve().await;
}

/// A client with a connection in each of several states, none of which it ends.
async fn hold(address: SocketAddr) {
    let mut held = Vec::new();
    let message = support::masked(frame::BINARY, &[7; 50_000]);
    for state in 0..6 {
        let path = ["/echo", "/echo", "/chat", "/flood", "/swallow", "/echo"][state];
        let offer =
            if state == 5 { "Sec-WebSocket-Extensions: permessage-deflate\r\n" } else { "" };
        let mut raw = Raw::new(TcpStream::connect(address).await.unwrap());
        raw.handshake(path, offer).await;
        match state {
            1 => raw.io.write_all(&message[..20_000]).await.unwrap(),
            4 => raw.io.write_all(&support::masked(0x02, &[7; 20_000])).await.unwrap(),
            5 => raw.io.write_all(&support::masked(0x41, &[0xf2, 0x48, 0xcd])).await.unwrap(),
            _ => {}
        }
        held.push(raw);
    }
    println!("\nholds");
    std::future::pending::<()>().await;
}

/// The child, no test by itself.
#[test]
fn process_of_its_own() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let _taken = take_descriptors(if role == "poor server" { 30 } else { 0 });
    runtime.block_on(async {
        match role.split_once(' ') {
            Some(("client", address)) => hold(address.parse().unwrap()).await,
            _ => serve(role == "small server").await,
        }
    });
}

/// A process that ends with this value.
pub(crate) struct Process(Child);

impl Process {
    /// Starts this program in a role, with so many descriptors, and waits for the line that begins so.
    fn start(role: &str, descriptors: usize, line: &str) -> (Self, String) {
        let run = format!(
            r#"ulimit -n {descriptors} && exec "$0" --exact child::process_of_its_own --nocapture"#
        );
        let mut child = Command::new("sh")
            .args(["-c", &run])
            .arg(std::env::current_exe().unwrap())
            .env(ROLE, role)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let process = Self(child);
        loop {
            let mut said = String::new();
            assert_ne!(out.read_line(&mut said).unwrap(), 0, "the child ended");
            if let Some(rest) = said.strip_prefix(line) {
                // What it prints from now on is read by nobody, and is little.
                std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
                return (process, rest.trim().to_owned());
            }
        }
    }

    /// A client that [holds](hold) connections, all of which are open.
    pub(crate) fn client(address: SocketAddr) -> Self {
        Self::start(&format!("client {address}"), 1024, "holds").0
    }

    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(sent.unwrap().success(), "{signal}");
    }

    fn file(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.0.id())
    }

    fn descriptors(&self) -> usize {
        fs::read_dir(self.file("fd")).unwrap().count()
    }

    /// KiB that are resident.
    pub(crate) fn resident(&self) -> usize {
        let status = fs::read_to_string(self.file("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// A server in a process of its own.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Running {
    pub(crate) fn start(role: &str, descriptors: usize) -> Self {
        let (process, address) = Process::start(role, descriptors, "address ");
        Self { process, address: address.parse().unwrap() }
    }

    pub(crate) async fn open(&self, path: &str, offer: &str) -> Raw<TcpStream> {
        let mut raw = Raw::new(TcpStream::connect(self.address).await.unwrap());
        raw.handshake(path, offer).await;
        raw
    }

    /// What it holds, its open descriptors too.
    pub(crate) async fn figures(&self) -> Option<Figures> {
        let mut io = TcpStream::connect(self.address).await.ok()?;
        let asked = "GET /figures HTTP/1.1\r\nHost: server.example\r\n\r\n";
        io.write_all(asked.as_bytes()).await.ok()?;
        let mut page = String::new();
        io.read_to_string(&mut page).await.ok()?;
        drop(io);
        let mut figures = Figures::read(page.split_once("\r\n\r\n")?.1);
        // The connection that asked is gone soon.
        let mut descriptors = usize::MAX;
        for _ in 0..20 {
            descriptors = descriptors.min(self.process.descriptors());
            sleep(Duration::from_millis(5)).await;
        }
        figures.0.insert("descriptors".into(), descriptors as i64);
        Some(figures)
    }

    /// What it holds once that no longer changes.
    pub(crate) async fn ledger(&self) -> Figures {
        let mut before = None;
        loop {
            match self.figures().await {
                Some(figures) if before.as_ref() == Some(&figures) => return figures,
                figures => before = figures,
            }
        }
    }

    /// That it soon holds what it held `before`.
    pub(crate) async fn settled(&self, before: &Figures) {
        let (begun, mut now) = (Instant::now(), None);
        while begun.elapsed() < PATIENCE {
            now = timeout(PATIENCE, self.figures()).await.expect("the server answers");
            if now.as_ref() == Some(before) {
                return;
            }
        }
        assert_eq!(now.as_ref(), Some(before));
    }
}

/// A head that asks for nothing, so that its connection ends.
pub(crate) fn occupy(address: SocketAddr) -> StdStream {
    let mut io = StdStream::connect(address).unwrap();
    io.write_all(&handshake::request("/echo", "").as_bytes()[..20]).ok();
    io
}
