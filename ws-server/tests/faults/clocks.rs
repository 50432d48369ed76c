//! Leaps of the clock. Deadlines go by the monotonic clock alone, and after a leap of it, as a machine makes
//! it that slept, what lies in a stream is read before it is too late.

use std::{fs, path::Path};

use tokio::{
    io::AsyncWriteExt,
    time::{advance, sleep, timeout},
};
use ws_server::{
    Admit, CloseCode, ClosedBy, Limits, Opening, Peer, Rejection, Route, Server, Service, WebSocket,
};
use ws_tests_support::{
    frame::{BINARY, CLOSE, PING, PONG, TEXT},
    handshake,
};

use crate::{
    ledger::{Handlers, Ledger},
    offsets::{secs, virtually},
    support::{self, Raw, echo, open, open_with},
};

/// Beyond every deadline.
async fn leap() {
    advance(secs(3600)).await;
}

fn echoing(limits: Limits) -> (Service, Handlers) {
    let handlers = Handlers::default();
    let service = Server::new().limits(limits).any(handlers.count(echo)).service().unwrap();
    (service, handlers)
}

/// That it is served still.
async fn served(raw: &mut Raw) {
    raw.send(TEXT, b"after").await;
    loop {
        match raw.frame().await.expect("it goes on") {
            (PING, payload) => raw.send(PONG, &payload).await,
            (TEXT, payload) => return assert_eq!(payload, b"after"),
            other => panic!("{other:?}"),
        }
    }
}

/// All sources that are compiled into a server.
fn sources(directory: &Path, seen: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, seen);
        } else if path.extension().is_some_and(|end| end == "rs") {
            seen(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

// A deadline by the wall clock expires, or never does, when somebody sets the clock. And one by the clock of
// `std` stands beside virtual time: tests would not see it.
#[test]
fn no_deadline_goes_by_the_wall_clock() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = 0;
    for one in ["ws-core", "ws-handshake", "ws-ext-deflate", "ws-server", "ws-tower"] {
        sources(&workspace.join(one).join("src"), &mut |path, text| {
            files += 1;
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
            for line in lines {
                let wall = line.contains("SystemTime") || line.contains("UNIX_EPOCH");
                let std = line.contains("std::time::Instant")
                    || (line.contains("use std::time::") && line.contains("Instant"));
                assert!(!wall && !std, "{}: {line}", path.display());
            }
        });
    }
    assert!(files > 100, "{files}");
}

// T-B12, T-B16
#[test]
fn connections_that_are_open_outlive_a_leap() {
    virtually(async {
        let (service, handlers) = echoing(Limits::default());
        let ledger = Ledger::open(&service.clients(), &handlers);
        // Idle.
        let (mut idle, _) = open(&service).await;
        // Its Ping waits for the Pong, which came while the machine slept.
        let (mut pinged, _) = open(&service).await;
        sleep(secs(21)).await;
        assert_eq!(pinged.frame().await.unwrap().0, PING);
        assert_eq!(idle.frame().await.unwrap().0, PING);
        idle.send(PONG, b"").await;
        // The rest of a message came.
        let (mut cut, _) = open(&service).await;
        let message = support::masked(TEXT, b"cut in two");
        cut.io.write_all(&message[..9]).await.unwrap();
        sleep(secs(1)).await;
        pinged.send(PONG, b"").await;
        cut.io.write_all(&message[9..]).await.unwrap();
        leap().await;
        assert_eq!(cut.frame().await.unwrap(), (TEXT, b"cut in two".to_vec()));
        for raw in [&mut idle, &mut pinged, &mut cut] {
            served(raw).await;
        }
        assert_eq!(service.clients().count(), 3);
        for mut raw in [idle, pinged, cut] {
            raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
            raw.expect_close(1000).await;
        }
        ledger.settled("open").await;
    });
}

// T-B1, T-B2, T-B5, T-B11, T-B12
#[test]
fn whatever_waits_in_vain_ends_at_a_leap_and_leaves_nothing() {
    virtually(async {
        for state in 0..8 {
            let (service, handlers) = match state {
                6 => closing(),
                7 => slow_gate(),
                _ => echoing(Limits::default()),
            };
            let ledger = Ledger::open(&service.clients(), &handlers);
            let (mut io, theirs) = tokio::io::duplex(2048);
            let task = tokio::spawn(service.serve_connection(theirs, Peer::Other));
            let head = handshake::request("/", "");
            let mut raw = match state {
                // In its head.
                0 => Raw::new(io),
                1 => {
                    io.write_all(&head.as_bytes()[..40]).await.unwrap();
                    Raw::new(io)
                }
                7 => {
                    io.write_all(head.as_bytes()).await.unwrap();
                    Raw::new(io)
                }
                _ => {
                    let mut raw = Raw::new(io);
                    raw.handshake("/", "").await;
                    raw
                }
            };
            let large = support::masked(BINARY, &[7; 1000]);
            match state {
                // In a message.
                2 => raw.io.write_all(&large[..500]).await.unwrap(),
                3 => raw
                    .io
                    .write_all(&[support::masked(0x01, b"part"), vec![0x80]].concat())
                    .await
                    .unwrap(),
                // It reads nothing.
                4 => {
                    for _ in 0..40 {
                        let sent = raw.io.write_all(&large);
                        timeout(secs(1), sent).await.ok();
                    }
                }
                // It was pinged, and is silent.
                5 => sleep(secs(21)).await,
                _ => sleep(secs(1)).await,
            }
            leap().await;
            let closed = if state == 4 {
                timeout(secs(60), task).await
            } else if [0, 1, 7].contains(&state) {
                let head = raw.head().await;
                let status = if state == 7 { "503" } else { "408" };
                assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{state}: {head}");
                drop(raw);
                timeout(secs(60), task).await
            } else {
                let answer = async { while raw.frame().await.is_some() {} };
                timeout(secs(200), answer).await.unwrap_or_else(|_| panic!("{state} goes on"));
                drop(raw);
                timeout(secs(60), task).await
            };
            let closed = closed.unwrap_or_else(|_| panic!("{state} hangs")).unwrap();
            let expected = match state {
                0 | 1 | 7 => None,
                2 | 3 => Some((ClosedBy::Local, 1008)),
                4 | 6 => Some((ClosedBy::Local, 1006)),
                _ => Some((ClosedBy::Local, 1011)),
            };
            assert_eq!(closed.map(|closed| (closed.by, closed.code.get())), expected, "{state}");
            ledger.settled(state).await;
        }
    });
}

/// A handler that closes at once.
fn closing() -> (Service, Handlers) {
    let handlers = Handlers::default();
    let handler = handlers.count(|mut ws: WebSocket| async move {
        ws.close(CloseCode::new(4000), "enough")?;
        ws.closed().await;
        Ok(())
    });
    (Server::new().any(handler).service().unwrap(), handlers)
}

/// A gate that never decides.
fn slow_gate() -> (Service, Handlers) {
    let handlers = Handlers::default();
    let gate = |_: Opening| std::future::pending::<Result<Admit, Rejection>>();
    let route = Route::new(handlers.count(echo)).gate(gate);
    (Server::new().any(route).service().unwrap(), handlers)
}

// T-B11: an answer to our Close that came while the machine slept.
#[test]
fn close_that_was_answered_during_a_leap_is_clean() {
    virtually(async {
        let (service, handlers) = closing();
        let ledger = Ledger::open(&service.clients(), &handlers);
        let (mut raw, task) = open(&service).await;
        raw.expect_close(4000).await;
        raw.send(CLOSE, &4000_u16.to_be_bytes()).await;
        leap().await;
        assert_eq!(raw.frame().await, None);
        drop(raw);
        let closed = task.await.unwrap().unwrap();
        assert_eq!((closed.by, closed.code.get(), closed.clean), (ClosedBy::Local, 4000, true));
        ledger.settled("closed").await;
    });
}

// A handler at work for hours has its connection, and one without a connection has its grace.
#[test]
fn handler_at_work_outlives_a_leap_with_its_connection_alone() {
    virtually(async {
        let handlers = Handlers::default();
        let handler = handlers.count(|mut ws: WebSocket| async move {
            ws.recv().await;
            sleep(secs(7200)).await;
            ws.send("at last").await?;
            echo(ws).await
        });
        let service = Server::new().any(handler).service().unwrap();
        let ledger = Ledger::open(&service.clients(), &handlers);
        let (mut raw, task) = open_with(&service, "/", "", 2048).await;
        let (mut gone, gone_task) = open(&service).await;
        raw.send(TEXT, b"work").await;
        gone.send(TEXT, b"work").await;
        drop(gone);
        sleep(secs(1)).await;
        leap().await;
        let answers = async {
            loop {
                match raw.frame().await.expect("it goes on") {
                    (PING, payload) => raw.send(PONG, &payload).await,
                    (TEXT, payload) => return payload,
                    other => panic!("{other:?}"),
                }
            }
        };
        assert_eq!(timeout(secs(7200), answers).await.expect("an answer"), b"at last");
        assert_eq!(gone_task.await.unwrap().unwrap().code, CloseCode::ABNORMAL);
        assert_eq!(service.clients().metrics().handlers_dropped, 1);
        drop(raw);
        task.await.unwrap();
        ledger.settled("worked").await;
    });
}
