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

use gate::{bind, with_echo};

const CHILD: &str = "WS_SERVER_FEW_FILE_DESCRIPTORS";

/// The child, no test by itself.
#[test]
fn server_in_a_process_with_few_file_descriptors() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    tracing_subscriber::fmt().with_ansi(false).with_writer(std::io::stdout).init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let server = with_echo(bind().await);
        println!("\naddress {}", server.local_addr().unwrap());
        server.serve().await.unwrap();
    });
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
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
    let child = Command::new("sh")
        .args(["-c", r#"ulimit -n 40 && exec "$0" --exact server_in_a_process_with_few_file_descriptors --nocapture"#])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .stdout(Stdio::piped())
        .spawn();
    let mut child = Killed(child.unwrap());
    let mut out = BufReader::new(child.0.stdout.take().unwrap());
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
    assert!(ask(address).starts_with("HTTP/1.1 426 "));

    let clients: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(address).unwrap()).collect();
    thread::sleep(Duration::from_millis(300));
    let before = ticks(child.0.id());
    thread::sleep(Duration::from_secs(3));
    let used = ticks(child.0.id()) - before;
    assert!(used <= 15, "{used} ticks of 300: it spins");

    drop(clients);
    let begun = Instant::now();
    assert!(ask(address).starts_with("HTTP/1.1 426 "));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(ask(address).starts_with("HTTP/1.1 426 "));

    let log = log.lock().unwrap().clone();
    assert_eq!(log.matches("cannot accept").count(), 1, "{log}");
    assert!(log.contains("Too many open files"), "{log}");
    assert!(child.0.try_wait().unwrap().is_none(), "the server lives");
}
