//! What a handler may fail with, and what the log says of it.
#![allow(clippy::unwrap_used)]

mod gate;

use std::{borrow::Cow, error::Error, io, time::Duration};

use anyhow::Context;
use gate::{Log, PATIENCE, connect, masked, read_exactly, read_head, run, upgrade};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    time::timeout,
};
use tracing::Level;
use ws_server::{HandlerError, Peer, Sender, Server, WebSocket};

const CLIENT: &str = "192.0.2.7:4321";

/// Serves a client that opens a connection and leaves without a Close.
async fn open_and_leave(server: Server) {
    let service = server.service().unwrap();
    let (mut client, end) = connect(&service, Peer::Tcp(CLIENT.parse().unwrap()));
    client.write_all(upgrade("/", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    drop(client);
    timeout(PATIENCE, end).await.unwrap().unwrap();
}

/// A handler that sends after its client has left, and fails as `fail` makes of it.
async fn log_of_a_client_that_left<E: Into<HandlerError> + Send + 'static>(
    fail: impl Fn(ws_server::SendError) -> E + Copy + Send + Sync + 'static,
) -> Log {
    let (log, _guard) = Log::capture();
    let push = move |mut ws: WebSocket| async move {
        ws.closed().await;
        if let Err(closed) = ws.send("too late").await {
            return Err(fail(closed).into());
        }
        Ok(())
    };
    open_and_leave(Server::new().any(push)).await;
    log
}

#[track_caller]
fn assert_debug_only(log: &Log) {
    let text = log.text();
    assert!(!text.contains("WARN"), "{text}");
    let lines = log.lines("the handler ended with its connection");
    assert_eq!(lines.len(), 1, "{text}");
    assert!(lines[0].contains("DEBUG"), "{text}");
}

#[tokio::test]
async fn handler_whose_client_left_is_no_warning() {
    assert_debug_only(&log_of_a_client_that_left(|closed| closed).await);
}

#[tokio::test]
async fn handler_whose_client_left_is_no_warning_however_the_error_is_wrapped() {
    #[derive(Debug)]
    struct Outer(ws_server::SendError);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("cannot push")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    assert_debug_only(&log_of_a_client_that_left(Outer).await);
    assert_debug_only(&log_of_a_client_that_left(anyhow::Error::from).await);
    let context = |closed| anyhow::Error::from(closed).context("cannot push").context("room 7");
    assert_debug_only(&log_of_a_client_that_left(context).await);
    assert_debug_only(&log_of_a_client_that_left(io::Error::other).await);
    assert_debug_only(&log_of_a_client_that_left(Box::<dyn Error + Send + Sync>::from).await);
}

#[tokio::test]
async fn handler_whose_client_left_is_no_warning_whatever_it_called() {
    let (log, _guard) = Log::capture();
    let subscribe = |ws: WebSocket| async move {
        ws.closed().await;
        ws.subscribe("room")?;
        Ok(())
    };
    open_and_leave(Server::new().any(subscribe)).await;
    assert_debug_only(&log);
    let (log, _guard) = Log::capture();
    let try_send = |mut ws: WebSocket| async move {
        ws.closed().await;
        ws.try_send("too late")?;
        Ok(())
    };
    open_and_leave(Server::new().any(try_send)).await;
    assert_debug_only(&log);
}

#[tokio::test]
async fn other_failures_after_the_client_left_stay_warnings() {
    let log = log_of_a_client_that_left(|_| "cannot save the game").await;
    let lines = log.lines("the handler failed");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains(" WARN ") && lines[0].contains("cannot save the game"), "{lines:?}");
}

// A relay whose other end is gone leaves its own client alone.
#[tokio::test]
async fn end_of_another_connection_stays_a_warning() {
    let (log, _guard) = Log::capture();
    let (give, mut senders) = mpsc::unbounded_channel::<Sender>();
    let other_end = move |ws: WebSocket| {
        let give = give.clone();
        async move {
            give.send(ws.sender())?;
            ws.closed().await;
            Ok(())
        }
    };
    open_and_leave(Server::new().any(other_end)).await;
    let other = senders.recv().await.unwrap();
    let relay = move |mut ws: WebSocket| {
        let other = other.clone();
        async move {
            while let Some(message) = ws.recv().await {
                other.send(message).await?;
            }
            Ok(())
        }
    };
    let service = Server::new().any(relay).service().unwrap();
    let (mut client, _) = connect(&service, Peer::Other);
    client.write_all(upgrade("/", "").as_bytes()).await.unwrap();
    read_head(&mut client).await;
    client.write_all(&masked(0x81, b"on")).await.unwrap();
    // 1011, "an unexpected condition".
    assert_eq!(read_exactly(&mut client, 4).await, [0x88, 2, 0x03, 0xf3]);
    let lines = log.lines("the handler failed");
    assert_eq!(lines.len(), 1, "{}", log.text());
    assert!(lines[0].contains(" WARN "), "{lines:?}");
}

#[tokio::test(flavor = "current_thread")]
async fn handlers_that_the_shutdown_stops_are_no_warnings() {
    let (log, _guard) = Log::capture();
    let push = |mut ws: WebSocket| async move {
        loop {
            ws.send("tick").await.context("cannot push")?;
            ws.flush().await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let running = run(Server::new().any(push));
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.write_all(upgrade("/", "").as_bytes()).await.unwrap();
    read_exactly(&mut client, 200).await;
    running.shutdown.send(()).unwrap();
    let close = b"\x03\xe9server shuts down";
    let mut read = Vec::new();
    while !read.ends_with(close) {
        read.push(timeout(PATIENCE, client.read_u8()).await.unwrap().unwrap());
    }
    client.write_all(&masked(0x88, b"\x03\xe9")).await.unwrap();
    assert_eq!(running.report.await.unwrap().closed, 1);
    assert_debug_only(&log);
}

// A log of warnings has no spans of level INFO.
#[tokio::test]
async fn failed_handler_is_logged_with_id_and_peer_where_spans_are_not() {
    let (log, _guard) = Log::capture_at(Level::WARN);
    open_and_leave(Server::new().any(|_: WebSocket| async { Err("no such room".into()) })).await;
    open_and_leave(Server::new().any(|_: WebSocket| async { panic!("by the test") })).await;
    for (line, level) in [("the handler failed", " WARN "), ("the handler panicked", "ERROR ")] {
        let lines = log.lines(line);
        assert_eq!(lines.len(), 1, "{}", log.text());
        for part in [level, "id=1", &format!("peer={CLIENT}")] {
            assert!(lines[0].contains(part), "{part}: {lines:?}");
        }
    }
}

/// What `?` and `into` take, in closures whose `Ok(())` has no type.
#[tokio::test]
async fn failed_handler_is_logged_with_what_its_error_came_from() {
    let (log, _guard) = Log::capture();
    let parse = |_: WebSocket| async move {
        let number: u8 = "many".parse().context("the room's number")?;
        assert_eq!(number, 0);
        Ok(())
    };
    open_and_leave(Server::new().any(parse)).await;
    let lines = log.lines("the handler failed");
    assert_eq!(lines.len(), 1, "{}", log.text());
    assert!(lines[0].contains("the room's number: invalid digit found in string"), "{}", lines[0]);
}

#[tokio::test]
async fn every_error_becomes_a_handler_error() {
    fn boxed() -> Result<(), Box<dyn Error + Send + Sync>> {
        Err("a box".into())
    }
    fn io() -> io::Result<()> {
        Err(io::Error::other("an io::Error"))
    }
    fn any_error() -> anyhow::Result<()> {
        anyhow::bail!("an anyhow::Error")
    }
    let failures = |ws: WebSocket| async move {
        match ws.request().path() {
            "/box" => boxed()?,
            "/io" => io()?,
            "/anyhow" => any_error()?,
            "/context" => io().context("a context")?,
            "/str" => Err("a &str")?,
            "/string" => Err(format!("a {}", "String"))?,
            "/cow" => Err(Cow::Borrowed("a Cow"))?,
            "/into" => return Err("an into".into()),
            "/std" => drop("x".parse::<u32>()?),
            _ => {}
        }
        Ok(())
    };
    let service = Server::new().any(failures).service().unwrap();
    for (path, reason) in [
        ("/box", "a box"),
        ("/io", "an io::Error"),
        ("/anyhow", "an anyhow::Error"),
        ("/context", "a context"),
        ("/str", "a &str"),
        ("/string", "a String"),
        ("/cow", "a Cow"),
        ("/into", "an into"),
        ("/std", "invalid digit found in string"),
    ] {
        let (log, _guard) = Log::capture();
        let (mut client, _) = connect(&service, Peer::Other);
        client.write_all(upgrade(path, "").as_bytes()).await.unwrap();
        read_head(&mut client).await;
        assert_eq!(read_exactly(&mut client, 4).await, [0x88, 2, 0x03, 0xf3], "{path}");
        let lines = log.lines("the handler failed");
        assert!(lines[0].contains(&format!("reason={reason}")), "{path}: {lines:?}");
    }
}
