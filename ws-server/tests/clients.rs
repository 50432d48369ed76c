//! Who is connected, and messages to many.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{CLOSE, Raw, TEXT, echo, limits, open, open_with, service};
use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};
use ws_server::{
    ClientId, Clients, CloseCode, Limits, Peer, SendError, Server, Service, TrySendError,
    TrySendReason, WebSocket,
};

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A user of the application.
#[derive(Debug, PartialEq)]
struct User(String);

/// A service that takes the query as the user's name.
fn named() -> Service {
    let handler = |ws: WebSocket| async move {
        if let Some(name) = ws.request().query() {
            assert!(ws.set_data(User(name.to_owned())));
            assert!(!ws.set_data(User("another".to_owned())), "one of each type");
            let client = ws.client().unwrap();
            assert_eq!((client.id(), client.data::<User>()), (ws.id(), ws.data()));
        }
        echo(ws).await
    };
    Server::new().route("/chat", handler).any(handler).service().unwrap()
}

// MDN-5
#[tokio::test(start_paused = true)]
async fn clients_are_listed_with_what_is_known_of_them() {
    let service = named();
    let clients = service.clients();
    assert_eq!((clients.count(), clients.list().len(), clients.dropped()), (0, 0, 0));
    let (mut ann, _) = open_with(&service, "/chat?ann", "X-Team: red\r\n", 4096).await;
    let (mut bob, _) = open_with(&service, "/chat?bob", "", 4096).await;
    let (mut eve, _) = open_with(&service, "/spy", "", 4096).await;
    for raw in [&mut ann, &mut bob, &mut eve] {
        raw.expect_only(&[]).await;
    }
    assert_eq!(clients.count(), 3);
    let list = clients.list();
    assert!(list.is_sorted_by_key(ws_server::Client::id), "in the order in which they came");
    let paths: Vec<_> = list.iter().map(|client| client.request().path()).collect();
    assert_eq!(paths, ["/chat", "/chat", "/spy"]);
    let users: Vec<_> = list.iter().map(ws_server::Client::data::<User>).collect();
    assert_eq!(users[0], Some(&User("ann".into())));
    assert_eq!(users[1], Some(&User("bob".into())));
    assert!(users[2].is_none());
    assert!(list[0].data::<String>().is_none(), "another type");
    assert_eq!(list[0].request().header("x-team").unwrap(), "red");
    assert_eq!(list[0].request().peer(), Peer::Other);
    let id = list[1].id();
    assert_eq!(clients.get(id).unwrap().data::<User>().unwrap().0, "bob");
    assert_eq!(list[1].sender().id(), id);

    drop(bob);
    sleep(secs(1)).await;
    assert_eq!(clients.count(), 2);
    assert!(clients.get(id).is_none());
    let (mut again, _) = open_with(&service, "/chat?bob", "", 4096).await;
    again.expect_only(&[]).await;
    assert!(clients.list()[2].id() > id, "an id is not used again");
}

#[tokio::test(start_paused = true)]
async fn messages_go_to_one_to_all_on_a_path_and_to_whom_a_predicate_picks() {
    let service = named();
    let clients = service.clients();
    let (mut ann, _) = open_with(&service, "/chat?ann", "", 4096).await;
    let (mut bob, _) = open_with(&service, "/chat?bob", "", 4096).await;
    let (mut eve, _) = open_with(&service, "/spy?eve", "", 4096).await;
    for raw in [&mut ann, &mut bob, &mut eve] {
        raw.expect_only(&[]).await;
    }
    let id = clients.list()[1].id();
    clients.try_send(id, "one").unwrap();
    clients.send_all("all");
    clients.send_path("/chat", "path");
    clients.send_path("/chat?ann", "nobody: the query is no part of the path");
    clients
        .send_where("picked", |client| client.data::<User>().is_some_and(|user| user.0 != "bob"));
    clients.list()[2].sender().send("by handle").await.unwrap();
    ann.expect_only(&["all", "path", "picked"]).await;
    bob.expect_only(&["one", "all", "path"]).await;
    eve.expect_only(&["all", "picked", "by handle"]).await;

    let unsendable = CloseCode::ABNORMAL;
    assert_eq!(clients.close(id, unsendable, ""), Err(SendError::InvalidCloseCode(unsendable)));
    assert_eq!(clients.close(id, CloseCode::new(4005), "out"), Ok(()));
    assert_eq!(clients.close(id, CloseCode::new(4005), "out"), Err(SendError::Closed));
    let closed =
        |text: &str| Err(TrySendError { message: text.into(), reason: TrySendReason::Closed });
    assert_eq!(clients.try_send(id, "late"), closed("late"));
    bob.expect_close(4005).await;
    bob.send(CLOSE, &4005_u16.to_be_bytes()).await;
    assert_eq!(bob.frame().await, None);
    assert_eq!(clients.try_send(id, "gone"), closed("gone"));
    assert_eq!(clients.close(id, CloseCode::NORMAL, ""), Err(SendError::Closed));
    assert_eq!(clients.close(id, unsendable, ""), Err(SendError::InvalidCloseCode(unsendable)));
    clients.send_all("the others");
    ann.expect_only(&["the others"]).await;
    eve.expect_only(&["the others"]).await;

    clients.close_all(CloseCode::GOING_AWAY, "bye");
    ann.expect_close(1001).await;
    eve.expect_close(1001).await;
    assert_eq!(clients.dropped(), 0);
}

/// A service whose handlers tell whether they are listed.
fn listed() -> (Service, mpsc::UnboundedReceiver<(ClientId, bool)>) {
    let (tx, rx) = mpsc::unbounded_channel();
    let (known, at_hand) = oneshot::channel::<Clients>();
    let at_hand = std::sync::Arc::new(tokio::sync::Mutex::new(Some(at_hand)));
    let all = std::sync::Arc::new(tokio::sync::OnceCell::new());
    let handler = move |mut ws: WebSocket| {
        let (tx, at_hand) = (tx.clone(), std::sync::Arc::clone(&at_hand));
        let all = std::sync::Arc::clone(&all);
        async move {
            let init = async { at_hand.lock().await.take().unwrap().await.unwrap() };
            let clients: &Clients = all.get_or_init(|| init).await;
            let id = ws.id();
            tx.send((id, clients.get(id).is_some()))?;
            while let Some(message) = ws.recv().await {
                match message.as_bytes() {
                    b"panic" => panic!("as asked for"),
                    b"fail" => return Err("as asked for".into()),
                    b"return" => return Ok(()),
                    _ => tx.send((id, clients.get(id).is_some()))?,
                }
            }
            // The connection is over, but the handler is not.
            sleep(secs(5)).await;
            tx.send((id, clients.get(id).is_some()))?;
            Ok(())
        }
    };
    let service = service(limits(|limits| limits.linger_timeout = secs(60)), handler);
    known.send(service.clients()).unwrap();
    (service, rx)
}

#[tokio::test(start_paused = true)]
async fn entry_lives_exactly_as_long_as_its_connection() {
    let (service, mut told) = listed();
    let clients = service.clients();
    for way in ["close", "panic", "fail", "return", "fault", "timeout"] {
        let (mut raw, task) = open(&service).await;
        assert_eq!(clients.count(), 1, "{way}: from the answer on");
        assert!(told.recv().await.unwrap().1, "{way}: the handler finds itself");
        raw.send(TEXT, b"well?").await;
        assert!(told.recv().await.unwrap().1);
        match way {
            "close" => raw.send(CLOSE, &1000_u16.to_be_bytes()).await,
            "fault" => raw.send(0x83, b"").await,
            "timeout" => {}
            _ => raw.send(TEXT, way.as_bytes()).await,
        }
        loop {
            match raw.frame().await {
                Some((CLOSE, code)) => {
                    assert!(way != "return" || clients.count() == 1, "the Close is not answered");
                    raw.io.write_all(&support::masked(CLOSE, &code[..2])).await.ok();
                }
                Some(_) => {}
                None => break,
            }
        }
        assert_eq!(clients.count(), 0, "{way}: gone when the client sees the end");
        if matches!(way, "close" | "fault" | "timeout") {
            assert!(!told.recv().await.unwrap().1, "{way}: gone while the handler goes on");
        }
        drop(raw);
        task.await.unwrap();
        assert_eq!(clients.count(), 0);
    }
    // A client that vanishes, and a task that is dropped.
    let (raw, task) = open(&service).await;
    drop(raw);
    assert!(told.recv().await.unwrap().1);
    assert!(!told.recv().await.unwrap().1);
    task.await.unwrap();
    let (_raw, task) = open(&service).await;
    assert!(told.recv().await.unwrap().1);
    assert_eq!(clients.count(), 1);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(clients.count(), 0);
}

// RT-32, T-B17, D-16
#[tokio::test(start_paused = true)]
async fn rt_32_one_that_does_not_keep_up_is_closed_with_1013_and_the_others_get_everything() {
    const CLIENTS: usize = 99;
    const MESSAGES: usize = 1000;
    let service = service(Limits::default(), echo);
    let clients = service.clients();
    let (mut stalled, stalled_task) = open_with(&service, "/", "", 4096).await;
    let mut reading = Vec::new();
    for _ in 0..CLIENTS {
        let (mut raw, _) = open_with(&service, "/", "", 4096).await;
        reading.push(tokio::spawn(async move {
            for i in 0..MESSAGES {
                let text = raw.text().await;
                assert!(text.starts_with(&format!("{i} ")) && text.len() == 1000);
            }
            raw
        }));
    }
    assert_eq!(clients.count(), CLIENTS + 1);
    let start = Instant::now();
    for i in 0..MESSAGES {
        clients.send_all(format!("{i} {}", "x".repeat(1000))[..1000].to_owned());
        // Others have their turn.
        sleep(Duration::from_millis(1)).await;
    }
    for reading in reading {
        let mut raw: Raw<DuplexStream> = reading.await.unwrap();
        raw.send(TEXT, b"still here").await;
        assert_eq!(raw.text().await, "still here");
    }
    assert!(start.elapsed() < secs(2), "nobody waited");
    // What was on the way still comes, in order, and then the end.
    let mut came = 0;
    let close = loop {
        match stalled.frame().await.unwrap() {
            (TEXT, payload) => assert!(payload.starts_with(format!("{came} ").as_bytes())),
            (first, payload) => break (first, payload),
        }
        came += 1;
    };
    assert_eq!((close.0, &close.1[..2]), (CLOSE, &1013_u16.to_be_bytes()[..]));
    stalled.send(CLOSE, &1013_u16.to_be_bytes()).await;
    assert_eq!(stalled.frame().await, None);
    assert_eq!(stalled_task.await.unwrap().unwrap().code.get(), 1013);
    // At the mark of 256 KiB all that waited was dropped, with the message that met it; what came
    // later was not for this client any more.
    let dropped = clients.dropped() as usize;
    assert!((200..300).contains(&dropped), "{dropped} messages were dropped");
    assert!((4..=100).contains(&came), "{came} messages came");
}

// RT-32
#[tokio::test(start_paused = true)]
async fn one_that_never_reads_is_gone_at_the_write_timeout_though_it_is_owed_a_close() {
    let service = service(Limits::default(), echo);
    let clients = service.clients();
    let (_raw, task) = open_with(&service, "/", "", 4096).await;
    let start = Instant::now();
    while clients.dropped() == 0 {
        clients.send_all(vec![7; 1000]);
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(task.await.unwrap().unwrap().code, CloseCode::ABNORMAL);
    assert!(start.elapsed() < secs(22), "{:?}", start.elapsed());
    assert_eq!(clients.count(), 0);
}

// T-B17
#[tokio::test(start_paused = true)]
async fn large_message_to_many_passes_where_nothing_waits() {
    let service = service(Limits::default(), echo);
    let clients = service.clients();
    let (mut raw, _) = open_with(&service, "/", "", 4096).await;
    for _ in 0..3 {
        clients.send_all(vec![7; 3 << 20]);
        assert_eq!(raw.frame().await.unwrap().1.len(), 3 << 20);
    }
    assert_eq!(clients.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn predicate_that_panics_harms_nobody() {
    let service = service(Limits::default(), echo);
    let clients = service.clients();
    let (mut raw, _) = open(&service).await;
    let sending = clients.clone();
    let panicking = tokio::spawn(async move {
        sending.send_where("never", |_| panic!("as asked for"));
    });
    assert!(panicking.await.unwrap_err().is_panic());
    assert_eq!(clients.count(), 1);
    clients.send_all("after");
    raw.expect_only(&["after"]).await;
}

// RT-54
#[tokio::test(start_paused = true)]
async fn rt_54_all_connections_of_a_user_are_closed_with_1008_however_busy() {
    let service = named();
    let clients = service.clients();
    let mut raws = Vec::new();
    for user in ["ann", "bob", "ann", "ann"] {
        let (mut raw, _) = open_with(&service, &format!("/chat?{user}"), "", 4096).await;
        raw.expect_only(&[]).await;
        raws.push(raw);
    }
    // One is within a message, one has answers that it does not read, one is in the middle of neither.
    raws[0].io.write_all(&support::masked(0x01, b"half a message")).await.unwrap();
    raws[2].send(TEXT, &[b'a'; 100_000]).await;
    sleep(secs(1)).await;
    let of_ann =
        |client: &ws_server::Client| client.data::<User>().is_some_and(|user| user.0 == "ann");
    for client in clients.list().iter().filter(|client| of_ann(client)) {
        clients.close(client.id(), CloseCode::POLICY_VIOLATION, "signed out").unwrap();
    }
    let mut bob = raws.remove(1);
    for mut raw in raws {
        let close = loop {
            match raw.frame().await.unwrap() {
                (TEXT, echo) => assert_eq!(echo.len(), 100_000),
                close => break close,
            }
        };
        assert_eq!(close, (CLOSE, [b"\x03\xf0", &b"signed out"[..]].concat()));
        raw.send(CLOSE, b"\x03\xf0").await;
        assert_eq!(raw.frame().await, None);
    }
    bob.expect_only(&[]).await;
    assert_eq!(clients.count(), 1);
}
