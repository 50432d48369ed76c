//! The client of `cargo xtask slow-paths`: reads from the server, answers each Ping as it reads it,
//! and prints how the connection ended in one line of JSON.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use serde_json::{Value, json};
use ws_bench::frame::{BINARY, CLOSE, TEXT, push_masked, unmasked_header};

const PING: u8 = 0x89;
const PONG: u8 = 0x8a;
const FIN: u8 = 0x80;
const CONTINUATION: u8 = 0x00;
const KEY: [u8; 4] = [0x5a, 0x17, 0xc3, 0x88];

/// Read from a server as steadily as the link allows
#[derive(Parser)]
struct Cli {
    /// ADDRESS:PORT; connecting is repeated until the link is up
    server: SocketAddr,
    /// The path to open, with its query
    path: String,
    /// Close after a message of this many bytes
    #[arg(long)]
    close_after: Option<usize>,
    /// Send a small message once a second
    #[arg(long)]
    talks: bool,
    /// Read at most this many bytes a second, whatever the link allows
    #[arg(long, value_name = "BYTES")]
    reads: Option<usize>,
    /// Send a message of this many bytes in fragments of 4 KiB
    #[arg(long, value_name = "BYTES", requires = "upload_rate")]
    upload: Option<usize>,
    /// The rate of the upload in bytes a second
    #[arg(long, value_name = "BYTES")]
    upload_rate: Option<usize>,
    /// Stop after this many seconds
    #[arg(long, value_parser = seconds)]
    seconds: Duration,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse().map(Duration::from_secs_f64).map_err(|_| "not a number of seconds".to_owned())
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // On this line, the harness moves the link into the network namespace of this process.
    println!("ready");
    match connect(&cli).and_then(|stream| Client::new(&cli, stream)?.run()) {
        Ok(outcome) => {
            println!("{outcome}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("slow_path_client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn connect(cli: &Cli) -> io::Result<TcpStream> {
    let started = Instant::now();
    let mut stream = loop {
        match TcpStream::connect_timeout(&cli.server, Duration::from_secs(10)) {
            Err(_) if started.elapsed() < Duration::from_secs(10) => {
                thread::sleep(Duration::from_millis(20));
            }
            other => break other?,
        }
    };
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let (path, host) = (&cli.path, cli.server);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )?;
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut octet)?;
        head.push(octet[0]);
    }
    if head.starts_with(b"HTTP/1.1 101") {
        Ok(stream)
    } else {
        Err(io::Error::other(format!("answered by {:?}", String::from_utf8_lossy(&head))))
    }
}

/// Writes whole frames, for both the reader and an upload.
#[derive(Clone)]
struct Writer(Arc<Mutex<TcpStream>>);

impl Writer {
    fn send(&self, first: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::new();
        push_masked(&mut frame, first, payload, KEY);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(&frame)
    }

    /// Sends a message of `size` bytes at `rate` bytes a second. The reader notices if the server
    /// is gone.
    fn upload(&self, size: usize, rate: usize) -> io::Result<()> {
        let (started, mut sent) = (Instant::now(), 0);
        while sent < size {
            let fragment = vec![7; (size - sent).min(4096)];
            let opcode = if sent == 0 { BINARY & !FIN } else { CONTINUATION };
            sent += fragment.len();
            let fin = if sent == size { FIN } else { 0 };
            self.send(fin | opcode, &fragment)?;
            let due = Duration::from_secs_f64(sent as f64 / rate as f64);
            thread::sleep(due.saturating_sub(started.elapsed()));
        }
        Ok(())
    }
}

struct Client<'a> {
    cli: &'a Cli,
    stream: TcpStream,
    writer: Writer,
    started: Instant,
    /// Octets read, in total and in the second half of the time.
    octets: usize,
    late_octets: usize,
    /// The rest of the payload of a data frame.
    payload_left: usize,
    /// The size of the message that is being read.
    message: usize,
    messages: usize,
    pings: usize,
    /// The longest time without an octet.
    silence: Duration,
    /// The server's Close, its code and its reason.
    close: Option<(u16, String)>,
    closing: bool,
}

impl<'a> Client<'a> {
    fn new(cli: &'a Cli, stream: TcpStream) -> io::Result<Self> {
        Ok(Client {
            cli,
            writer: Writer(Arc::new(Mutex::new(stream.try_clone()?))),
            stream,
            started: Instant::now(),
            octets: 0,
            late_octets: 0,
            payload_left: 0,
            message: 0,
            messages: 0,
            pings: 0,
            silence: Duration::ZERO,
            close: None,
            closing: false,
        })
    }

    fn run(mut self) -> io::Result<Value> {
        self.stream.set_read_timeout(Some(Duration::from_millis(50)))?;
        if let Some((size, rate)) = self.cli.upload.zip(self.cli.upload_rate) {
            let writer = self.writer.clone();
            thread::spawn(move || writer.upload(size, rate));
        }
        let mut buffer = vec![0; 64 * 1024];
        let mut held: Vec<u8> = Vec::new();
        let (mut heard, mut talked) = (self.started, self.started);
        let end = loop {
            let now = Instant::now();
            if now - self.started > self.cli.seconds {
                break "time".to_owned();
            }
            if self.cli.talks && !self.closing && now - talked > Duration::from_secs(1) {
                talked = now;
                // The read notices if the server is gone.
                self.writer.send(TEXT, b"hello").ok();
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => break "FIN".to_owned(),
                Ok(n) => {
                    let now = Instant::now();
                    self.silence = self.silence.max(now - heard);
                    heard = now;
                    self.octets += n;
                    if now - self.started > self.cli.seconds / 2 {
                        self.late_octets += n;
                    }
                    held.extend_from_slice(&buffer[..n]);
                    let taken = self.take(&held);
                    held.drain(..taken);
                    self.pace();
                }
                Err(error) if is_timeout(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    break "RST".to_owned();
                }
                Err(error) => break error.to_string(),
            }
        };
        let (code, reason) = self.close.unzip();
        Ok(json!({
            "end": end,
            "code": code,
            "reason": reason,
            "seconds": self.started.elapsed().as_secs_f64(),
            "octets": self.octets,
            "late_octets": self.late_octets,
            "messages": self.messages,
            "pings": self.pings,
            "silence": self.silence.max(heard.elapsed()).as_secs_f64(),
        }))
    }

    /// Waits for the time at which `--reads` allows the octets read so far.
    fn pace(&self) {
        if let Some(rate) = self.cli.reads {
            let due = Duration::from_secs_f64(self.octets as f64 / rate as f64);
            thread::sleep(due.saturating_sub(self.started.elapsed()));
        }
    }

    /// Parses the frames at the front of `octets`, and returns how many octets they had. Payloads
    /// of data frames are consumed as they come.
    fn take(&mut self, octets: &[u8]) -> usize {
        let mut rest = octets;
        loop {
            let payload = rest.len().min(self.payload_left);
            rest = &rest[payload..];
            self.payload_left -= payload;
            if payload > 0 && self.payload_left == 0 {
                self.message_came();
            }
            let Some((first, header, len)) = unmasked_header(rest) else { break };
            match first {
                PING | CLOSE if rest.len() < header + len => break,
                PING => {
                    self.pings += 1;
                    self.writer.send(PONG, &rest[header..header + len]).ok();
                    rest = &rest[header + len..];
                }
                CLOSE => {
                    self.closed(&rest[header..header + len]);
                    rest = &rest[header + len..];
                }
                TEXT | BINARY => {
                    (self.message, self.payload_left) = (len, len);
                    rest = &rest[header..];
                }
                _ => rest = &rest[header..],
            }
        }
        octets.len() - rest.len()
    }

    fn message_came(&mut self) {
        self.messages += 1;
        if self.cli.close_after == Some(self.message) && !self.closing {
            self.closing = true;
            self.writer.send(CLOSE, &1000_u16.to_be_bytes()).ok();
        }
    }

    fn closed(&mut self, payload: &[u8]) {
        let (code, reason) = payload.split_at(payload.len().min(2));
        let code = code.try_into().map_or(1005, u16::from_be_bytes);
        self.close = Some((code, String::from_utf8_lossy(reason).into_owned()));
        if !self.closing {
            self.closing = true;
            self.writer.send(CLOSE, payload).ok();
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}
