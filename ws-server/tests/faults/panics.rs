//! Handlers that panic wherever they wait, and where they are dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    time::{sleep, timeout},
};
use ws_server::{CloseCode, Limits, MessageKind, Peer, Server, ServerLimits, Service, WebSocket};
use ws_tests_support::{
    frame::{BINARY, CLOSE, TEXT},
    handshake,
};

use crate::{
    apps::{self, App},
    ledger::{Handlers, Ledger, unwind},
    offsets::{converse, secs, virtually},
    scripted::{Fault, Pace, WHOLE, Waits},
    support::{Handled, Raw, limits, open},
};

/// Octet by octet, so that a handler is polled as often as it can wait.
const SLOW: Pace = Pace { read: 1, write: 1, vectored: true, waits: Waits::Yields };

/// The handler of an example panics in each of its polls.
fn in_every_poll(app: fn() -> App) {
    virtually(async {
        let app = app();
        for pace in [WHOLE, SLOW] {
            app.handlers.panic_at(0);
            converse(&app, pace, Fault::None).await.check(&app, Fault::None);
            let polls = app.handlers.polls();
            assert!(polls > 0);
            for poll in 1..=polls {
                app.handlers.panic_at(poll);
                let outcome = converse(&app, pace, Fault::None).await;
                let code =
                    outcome.close().unwrap_or_else(|| panic!("{poll} of {polls}: {outcome}"));
                // The client's Close may have been read before.
                assert!([1011, 1000].contains(&code), "{poll} of {polls}: {outcome}");
            }
        }
        app.handlers.panic_at(0);
        converse(&app, WHOLE, Fault::None).await.check(&app, Fault::None);
    });
}

macro_rules! panics_in_every_poll {
    ($($(#[$cfg:meta])? $name:ident,)*) => {$(
        // RT-38, T-B15
        $(#[$cfg])?
        #[test]
        fn $name() {
            in_every_poll(apps::$name);
        }
    )*};
}

panics_in_every_poll! {
    echo,
    chat,
    rooms,
    rpc,
    socket_io,
    y_websocket,
    upload,
    #[cfg(feature = "auth")]
    auth,
    #[cfg(feature = "futures")]
    graphql,
    #[cfg(feature = "client")]
    relay,
}

/// Where a handler is, and where it is to panic.
#[derive(Clone, Default)]
struct Steps {
    at: Arc<AtomicUsize>,
    panics_at: usize,
}

impl Steps {
    /// One step more.
    fn next(&self) {
        if self.at.fetch_add(1, Ordering::Relaxed) + 1 == self.panics_at {
            unwind();
        }
    }
}

/// Waits for everything that a handler can wait for, with a step before and after each.
async fn everything(mut ws: WebSocket, steps: Steps) -> Handled {
    let step = || steps.next();
    let clients = ws.clients().ok_or("a server's")?;
    step();
    ws.recv().await;
    step();
    ws.send("answer").await?;
    step();
    ws.ready().await?;
    step();
    ws.try_send("without waiting")?;
    step();
    ws.flush().await?;
    step();
    ws.ping("ping")?;
    step();
    let topic = ws.subscribe("topic")?;
    step();
    topic.publish("to all");
    step();
    clients.publish_wait("topic", "to all, slowly").await;
    step();
    let mut read = ws.recv_streaming().await.ok_or("a message")?;
    step();
    while read.chunk().await?.is_some() {
        step();
    }
    drop(read);
    step();
    let mut written = ws.send_streaming(MessageKind::Binary);
    step();
    written.write("a piece").await?;
    step();
    written.write("another").await?;
    step();
    written.finish().await?;
    step();
    tokio::select! {
        _ = ws.recv() => {}
        () = sleep(secs(1)) => step(),
    }
    step();
    let sender = ws.sender();
    let other = tokio::spawn({
        let steps = steps.clone();
        async move {
            steps.next();
            let sent = sender.send("from a task").await;
            steps.next();
            sent
        }
    });
    other.await??;
    step();
    topic.unsubscribe();
    step();
    ws.close(CloseCode::new(4000), "enough")?;
    step();
    ws.closed().await;
    step();
    Ok(())
}

/// A client that takes everything, and answers a Close.
async fn take_all(mut raw: Raw) -> Option<u16> {
    raw.send(TEXT, b"first").await;
    raw.send(BINARY & 0x0f, b"in ").await;
    raw.send(0x80, b"pieces").await;
    while let Some((first, payload)) = raw.frame().await {
        if first == CLOSE {
            raw.send(CLOSE, &payload[..2]).await;
            assert_eq!(raw.frame().await, None);
            return Some(u16::from_be_bytes([payload[0], payload[1]]));
        }
    }
    None
}

fn stepping(panics_at: usize) -> (Service, Handlers, Arc<AtomicUsize>) {
    let steps = Steps { panics_at, ..Steps::default() };
    let (handlers, at) = (Handlers::default(), Arc::clone(&steps.at));
    let handler = handlers.count(move |ws| everything(ws, steps.clone()));
    let limits = Limits::default().streaming(true);
    (Server::new().limits(limits).any(handler).service().unwrap(), handlers, at)
}

// RT-38, T-B15
#[test]
fn rt_38_panic_before_and_after_each_await_is_1011_and_leaves_nothing() {
    virtually(async {
        let (mut panics_at, mut steps) = (0, 0);
        while panics_at <= steps {
            let (service, handlers, at) = stepping(panics_at);
            let ledger = Ledger::open(&service.clients(), &handlers);
            let (raw, task) = open(&service).await;
            let code = timeout(secs(60), take_all(raw)).await.expect("an end").unwrap();
            task.await.unwrap().unwrap();
            ledger.settled(panics_at).await;
            if panics_at == 0 {
                steps = at.load(Ordering::Relaxed);
                assert!(steps > 25, "{steps}");
            }
            // The handler closes before its last two steps.
            let code_then = if (1..steps - 1).contains(&panics_at) { 1011 } else { 4000 };
            assert_eq!(code, code_then, "step {panics_at} of {steps}");
            panics_at += 1;
        }
    });
}

/// Panics when it is dropped.
struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            unwind();
        }
    }
}

// RT-38, T-B15: a panic in the place where a handler's values are dropped.
#[test]
fn rt_38_panic_while_a_handler_is_dropped_leaves_nothing() {
    virtually(async {
        for way in 0..5 {
            let handlers = Handlers::default();
            let handler = handlers.count(move |mut ws: WebSocket| async move {
                let _panics = PanicsInDrop;
                match way {
                    // Returns.
                    0 => {}
                    1 => return Err("as the test wants it".into()),
                    // It is dropped with the connection's task, after its grace, or for another.
                    2..=4 => std::future::pending().await,
                    _ => {}
                }
                ws.recv().await;
                Ok(())
            });
            let limits = limits(|limits| limits.handler_grace = secs(5));
            let server = Server::new().limits(limits).any(handler);
            let server = server.server_limits(ServerLimits::default().max_connections(1));
            let service = server.service().unwrap();
            let ledger = Ledger::open(&service.clients(), &handlers);
            let (mut raw, task) = open(&service).await;
            match way {
                2 => task.abort(),
                3 => drop(raw.io),
                4 => {
                    drop(raw.io);
                    sleep(secs(1)).await;
                    let (next, _) = open(&service).await;
                    sleep(secs(1)).await;
                    drop(next);
                }
                _ => {
                    raw.send(TEXT, b"go on").await;
                    timeout(secs(60), async { while raw.frame().await.is_some() {} })
                        .await
                        .unwrap();
                    drop(raw);
                }
            }
            ledger.settled(way).await;
            // The place is free.
            let (raw, task) = open(&service).await;
            assert_eq!(service.clients().count(), 1, "{way}");
            drop(raw);
            task.await.ok();
        }
    });
}

// RT-38: a panic in a gate, in a fallback, in a key of a topic: whatever an application gives.
#[test]
fn panic_in_a_gate_or_a_fallback_leaves_nothing() {
    use ws_server::{Admit, Opening, Rejection, Route};
    virtually(async {
        let handlers = Handlers::default();
        let gate = |opening: Opening| async move {
            sleep(Duration::from_millis(1)).await;
            match opening.request().path() {
                "/panic" => unwind(),
                _ => Ok::<_, Rejection>(Admit::new()),
            }
        };
        let route = || Route::new(handlers.count(crate::support::echo)).gate(gate);
        let server = Server::new().route("/panic", route()).route("/", route());
        let server = server.fallback(|_, _| unwind());
        let service =
            server.server_limits(ServerLimits::default().max_connections(1)).service().unwrap();
        let ledger = Ledger::open(&service.clients(), &handlers);
        let plain = "GET /none HTTP/1.1\r\nHost: server.example\r\n\r\n";
        for request in [handshake::request("/panic", "").as_str(), plain] {
            for _ in 0..3 {
                let (mut io, theirs) = tokio::io::duplex(4096);
                let task = tokio::spawn(service.serve_connection(theirs, Peer::Other));
                io.write_all(request.as_bytes()).await.unwrap();
                let mut raw = Raw::new(io);
                let head = raw.head().await;
                assert!(head.starts_with("HTTP/1.1 500 "), "{head}");
                drop(raw);
                task.await.ok();
                ledger.settled(request).await;
            }
        }
        let (_raw, _) = open(&service).await;
        assert_eq!(service.clients().count(), 1);
    });
}
