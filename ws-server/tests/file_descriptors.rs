//! The process has no file descriptor left (T-B14). In a process of its own, because the limit is one
//! of the process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod gate;

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use gate::with_echo;
use ws_server::Server;

/// Tells the child how many file descriptors to hold besides those of its server.
const CHILD: &str = "WS_SERVER_FEW_FILE_DESCRIPTORS";

/// The child, no test by itself.
#[test]
fn server_in_a_process_with_few_file_descriptors() {
    let Ok(held) = std::env::var(CHILD) else {
        return;
    };
    let _held: Vec<_> =
        (0..held.parse().unwrap()).map(|_: usize| fs::File::open("/dev/null").unwrap()).collect();
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stdout).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        // First, since what comes after it is the log.
        println!("\naddress {}", listener.local_addr().unwrap());
        with_echo(Server::new()).listener(ws_server::Tcp::from(listener)).unwrap().serve().await;
    });
}

/// A server in a process of its own.
struct Running {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Running {
    /// With so many file descriptors, of which so many are taken.
    fn start(limit: usize, held: usize) -> Self {
        let run = format!(
            r#"ulimit -n {limit} && exec "$0" --exact server_in_a_process_with_few_file_descriptors --nocapture"#
        );
        let mut child = Command::new("sh")
            .args(["-c", &run])
            .arg(std::env::current_exe().unwrap())
            .env(CHILD, held.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert_ne!(out.read_line(&mut line).unwrap(), 0, "the child ended");
            if let Some(address) = line.strip_prefix("address ") {
                break address.trim().parse().unwrap();
            }
        };
        let log = Arc::new(Mutex::new(String::new()));
        thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in out.lines().map_while(Result::ok) {
                    *log.lock().unwrap() += &(line + "\n");
                }
            }
        });
        Self { child, address, log }
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Ticks of processor time, of which a second has 100.
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn ask(address: SocketAddr) -> String {
    let mut client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.write_all(b"GET /echo HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).ok();
    answer
}

// RT-41, T-B14
#[test]
fn rt_41_server_without_file_descriptors_backs_off_logs_once_and_recovers() {
    // The limit on connections lets 20 in, and there are file descriptors for less.
    let mut server = Running::start(40, 15);
    let address = server.address;
    assert!(ask(address).starts_with("HTTP/1.1 426 "));

    let clients: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(address).unwrap()).collect();
    thread::sleep(Duration::from_millis(300));
    let before = ticks(server.child.id());
    thread::sleep(Duration::from_secs(3));
    let used = ticks(server.child.id()) - before;
    assert!(used <= 15, "{used} ticks of 300: it spins");

    drop(clients);
    let begun = Instant::now();
    assert!(ask(address).starts_with("HTTP/1.1 426 "));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert!(ask(address).starts_with("HTTP/1.1 426 "));

    let log = server.log();
    assert_eq!(log.matches("cannot accept").count(), 1, "{log}");
    assert!(log.contains("Too many open files"), "{log}");
    assert!(server.child.try_wait().unwrap().is_none(), "the server lives");
}

// T-B14
#[test]
fn connections_are_limited_to_what_the_process_has_file_descriptors_for() {
    let server = Running::start(200, 0);
    let connect = |_| TcpStream::connect(server.address).unwrap();
    let clients: Vec<TcpStream> = (0..136).map(connect).collect();
    assert!(ask(server.address).starts_with("HTTP/1.1 503 "));
    drop(clients);
    // It comes through a pipe.
    let told = (0..2000).any(|_| {
        thread::sleep(Duration::from_millis(10));
        server.log().contains("not admitted")
    });
    let log = server.log();
    assert!(told, "{log}");
    for part in [" WARN ", "max_connections is 136 instead of 10000", "200 file", "ulimit -n"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert!(!log.contains("cannot accept"), "{log}");
}
