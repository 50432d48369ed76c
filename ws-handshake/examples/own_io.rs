//! An echo server and an echo client on blocking sockets, one thread per connection: the protocol
//! over I/O of your own.
//!
//! ```text
//! $ cargo run --example own_io -- server 127.0.0.1:9001
//! listening on 127.0.0.1:9001
//! $ cargo run --example own_io -- client ws://127.0.0.1:9002/        # echoes what a server sends
//! text: hello
//! closed by Peer: 1000
//! ```
//!
//! The server speaks the subprotocol `echo.v1` with clients that offer it.
//! `--max-message BYTES` and `--max-fragments N` before the address raise the default limits.

// ANCHOR: own_io
use bytes::BytesMut;
use std::io::{self, Read, Write};
use ws_core::{Closed, Connection, Event};
/// Echoes over anything that reads and writes, after the opening handshake, until it is closed.
fn echo(mut ws: Connection, mut io: impl Read + Write) -> io::Result<Option<Closed>> {
    let (mut input, mut chunk, mut end) = (BytesMut::new(), [0; 16 * 1024], None);
    while !ws.is_closed() {
        match io.read(&mut chunk)? {
            0 => ws.input_ended(),
            n => input.extend_from_slice(&chunk[..n]),
        }
        while let Some(event) = ws.poll_event(&mut input) {
            match event {
                Event::Message(message) => ws.send(message).map_err(io::Error::other)?,
                Event::Closed(closed) => end = Some(closed),
                _ => {} // the Pong owed for a Ping is already queued
            }
        }
        ws.write_to(&mut io)?; // the Close that we owe goes out too
    }
    Ok(end)
}
// ANCHOR_END: own_io

use std::{
    env,
    error::Error,
    net::{Shutdown, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use ws_core::{CloseCode, Config, Message, Role};
use ws_handshake::{
    AcceptError, AcceptOptions, ClientOptions, ExtensionSet, RequestReader, ResponseReader,
    Subprotocols, Upgrade, WebSocketUri, write_response,
};

fn main() -> Result<(), Box<dyn Error>> {
    run(&ExtensionSet::new())
}

/// Runs the command line with these extensions.
pub(crate) fn run(extensions: &ExtensionSet) -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    let mut words = env::args().skip(1);
    let mode = words.next().unwrap_or_default();
    while let Some(word) = words.next() {
        let mut number = || words.next().unwrap_or_default().parse::<usize>();
        match (word.as_str(), mode.as_str()) {
            ("--max-message", _) => config.max_message = number()?,
            ("--max-fragments", _) => config.max_fragments = number()?,
            (address, "server") => return serve(&TcpListener::bind(address)?, &config, extensions),
            (url, "client") => return connect(&url.parse()?, config, extensions),
            _ => break,
        }
    }
    Err("usage: own_io server|client [--max-message BYTES] [--max-fragments N] ADDRESS|URL".into())
}

fn serve(
    listener: &TcpListener,
    config: &Config,
    extensions: &ExtensionSet,
) -> Result<(), Box<dyn Error>> {
    println!("listening on {}", listener.local_addr()?);
    for stream in listener.incoming() {
        let (config, extensions) = (config.clone(), extensions.clone());
        thread::spawn(move || {
            match stream.and_then(|stream| accept(stream, config, &extensions)) {
                Ok(Some(closed)) => {
                    println!("closed by {:?}: {} {}", closed.by, closed.code, closed.reason);
                }
                Ok(None) => {}
                Err(error) => println!("lost: {error}"),
            }
        });
    }
    Ok(())
}

/// One connection of the server: the opening handshake, the echo, and a close without a reset.
fn accept(
    mut stream: TcpStream,
    config: Config,
    extensions: &ExtensionSet,
) -> io::Result<Option<Closed>> {
    let spoken = Subprotocols::new(["echo.v1"]).map_err(io::Error::other)?;
    let options = AcceptOptions::default().extensions(extensions.clone()).subprotocols(spoken);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut input = BytesMut::new();
    let mut reader = RequestReader::default();
    let answer = loop {
        match reader.read(&mut input) {
            Ok(None) if read(&mut stream, &mut input)? == 0 => return Ok(None),
            Ok(None) => {}
            Ok(Some(request)) => {
                break Upgrade::inspect(&request).and_then(|upgrade| {
                    upgrade.accept(&options).map_err(AcceptError::into_rejection)
                });
            }
            Err(rejection) => break Err(rejection),
        }
    };
    let mut head = BytesMut::new();
    let closed = match answer {
        Ok(accepted) => {
            accepted.write(&mut head);
            stream.write_all(&head)?;
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            // Nothing can follow the request: the reader refuses data before the answer.
            echo(Connection::new(Role::Server, config, accepted.extensions), &mut stream)?
        }
        Err(rejection) => {
            write_response(&rejection.into_response(), &mut head);
            stream.write_all(&head)?;
            None
        }
    };
    // Reads what the peer still sends for a while: a reset could destroy our last bytes.
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    io::copy(&mut stream.take(64 * 1024), &mut io::sink()).ok();
    Ok(closed)
}

/// The client: echoes what the server sends until the server closes.
fn connect(
    uri: &WebSocketUri,
    config: Config,
    extensions: &ExtensionSet,
) -> Result<(), Box<dyn Error>> {
    if uri.is_secure() {
        return Err("this example has no TLS: use ws://".into());
    }
    let mut stream = TcpStream::connect((uri.host(), uri.port()))?;
    stream.set_nodelay(true)?;
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce)?;
    let options = ClientOptions::new(uri.clone()).extensions(extensions.clone());
    let handshake = options.handshake(nonce)?;
    let mut input = BytesMut::new();
    handshake.write_request(&mut input);
    stream.write_all(&input.split())?;
    let mut reader = ResponseReader::default();
    let response = loop {
        match reader.read(&mut input)? {
            Some(response) => break response,
            None if read(&mut stream, &mut input)? == 0 => return Err("no answer".into()),
            None => {}
        }
    };
    let connected = handshake.verify(&response)?;
    let role = Role::client(|| getrandom::u32().expect("the system has randomness").to_ne_bytes());
    let mut ws = Connection::new(role, config, connected.extensions);
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut end = None;
    // The server's loop, but the first frames may follow the answer in `input`.
    while !ws.is_closed() {
        while let Some(event) = ws.poll_event(&mut input) {
            match event {
                Event::Message(message) => {
                    if let Message::Text(text) = &message {
                        println!("text: {}", text.as_str().chars().take(60).collect::<String>());
                    }
                    ws.send(message)?;
                }
                Event::Closed(closed) => end = Some(closed),
                _ => {}
            }
        }
        ws.write_to(&mut stream)?;
        match read(&mut stream, &mut input) {
            Ok(1..) => {}
            // A client leaves it to the server to close TCP, but does not insist.
            Ok(0) | Err(_) if end.is_some() => break,
            Ok(0) => ws.input_ended(),
            Err(error) => return Err(error.into()),
        }
    }
    match end {
        Some(closed) if closed.code != CloseCode::ABNORMAL => {
            println!("closed by {:?}: {} {}", closed.by, closed.code, closed.reason);
            Ok(())
        }
        _ => Err("the server went away without a Close".into()),
    }
}

fn read(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<usize> {
    let mut buffer = [0; 16 * 1024];
    let n = stream.read(&mut buffer)?;
    input.extend_from_slice(&buffer[..n]);
    Ok(n)
}
