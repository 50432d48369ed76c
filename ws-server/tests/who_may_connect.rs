//! A gate looks at the request before it is answered.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use support::{CLOSE, Raw, TEXT, echo};
use tokio::{
    io::{AsyncWriteExt, DuplexStream, duplex},
    sync::Notify,
    task::yield_now,
    time::{Instant, advance, sleep},
};
use ws_server::{
    AdmissionLimit, Admit, Bytes, Cause, CloseCode, Gate, HandlerError, Opening, Options, Peer,
    Rejection, Route, Server, ServerLimits, Service, WebSocket, async_trait,
};

#[derive(Debug, PartialEq)]
struct User(String);

async fn greet(mut ws: WebSocket) -> Result<(), HandlerError> {
    let user = ws.data::<User>().ok_or("no user")?;
    ws.send(format!("hello, {}", user.0)).await?;
    while ws.recv().await.is_some() {}
    Ok(())
}

/// Knows its users by a token.
async fn sign_in(opening: Opening) -> Result<Admit, Rejection> {
    match opening.request().header("x-token") {
        None => Err(Rejection::unauthorized("Token")),
        Some("gone") => Err(Rejection::redirect("https://b.example/chat")),
        Some("often") => Err(Rejection::too_many_requests(Duration::from_millis(1500))),
        Some("broken") => Err(Rejection::internal("the database is away")),
        Some("break out") => Ok(Admit::new().header("X-Seen", "a\r\nSet-Cookie: b=1")?),
        Some(token) if token.starts_with("user ") => {
            let name = &token[5..];
            let admit = Admit::new().data(User(name.into())).subscribe(format!("user/{name}"));
            Ok(admit.header("Set-Cookie", "seen=1; HttpOnly")?.header("X-Room", room(&opening))?)
        }
        Some(_) => Err(Rejection::forbidden()),
    }
}

fn room(opening: &Opening) -> &str {
    opening.param("room").unwrap_or_default()
}

fn with_gate(gate: impl Gate) -> Service {
    Server::new().route("/room/{room}", Route::new(greet).gate(gate)).service().unwrap()
}

fn connect(service: &Service) -> Raw {
    let (client, server) = duplex(4096);
    tokio::spawn(service.serve_connection(server, Peer::Other));
    Raw::new(client)
}

async fn ask(service: &Service, headers: &str) -> (Raw, String) {
    let mut raw = connect(service);
    let head = raw.ask("/room/7", headers).await;
    (raw, head)
}

fn status(head: &str) -> u16 {
    head.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Lets every task do what it can without a clock.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn gate_admits_with_headers_data_and_a_tag() {
    let service = with_gate(sign_in);
    let (mut raw, head) = ask(&service, "X-Token: user ann\r\n").await;
    assert_eq!(status(&head), 101);
    assert!(head.contains("\r\nSet-Cookie: seen=1; HttpOnly\r\n"), "{head}");
    assert!(head.contains("\r\nX-Room: 7\r\n"), "{head}");
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"hello, ann".to_vec()));
    let clients = service.clients();
    let [ann] = &clients.subscribed("user/ann")[..] else { panic!("{clients:?}") };
    assert_eq!(ann.data::<User>(), Some(&User("ann".into())));
    assert_eq!(ann.request().param("room"), Some("7"));
    clients.publish("user/ann", "for ann");
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"for ann".to_vec()));
    drop(raw);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(clients.subscribers("user/ann"), 0);
}

// RFC 6455 §4.2.2: the server may redirect, authenticate, refuse.
#[tokio::test(start_paused = true)]
async fn gate_rejects_with_the_status_that_it_chooses() {
    let service = with_gate(sign_in);
    for (token, expected, line) in [
        ("", 401, "WWW-Authenticate: Token"),
        ("X-Token: gone\r\n", 307, "Location: https://b.example/chat"),
        ("X-Token: often\r\n", 429, "Retry-After: 2"),
        ("X-Token: other\r\n", 403, "Connection: close"),
        ("X-Token: broken\r\n", 500, "Content-Length: 0"),
        ("X-Token: break out\r\n", 500, "Content-Length: 0"),
    ] {
        let (_, head) = ask(&service, token).await;
        assert_eq!(status(&head), expected, "{head}");
        let has = head.lines().any(|own| own.eq_ignore_ascii_case(line));
        assert!(has && !head.contains("b=1") && !head.contains("database"), "{head}");
    }
    let metrics = service.clients().metrics();
    let counts: Vec<_> = metrics.rejected.iter().map(|one| (one.status, one.count)).collect();
    assert!(counts.contains(&(500, 2)) && counts.contains(&(401, 1)), "{counts:?}");
    assert_eq!((metrics.opened, metrics.connections), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn gate_sees_no_request_that_is_refused_anyway() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let gate = move |_: Opening| {
        count.fetch_add(1, Ordering::Relaxed);
        async { Ok(Admit::new().data(User(String::new()))) }
    };
    let service = Server::new()
        .hosts(["server.example"])
        .route("/room/{room}", Route::new(greet).gate(gate))
        .service()
        .unwrap();
    for (headers, expected) in
        [("Origin: https://evil.example\r\n", 403), ("Content-Length: 1\r\n", 400)]
    {
        let (_, head) = ask(&service, headers).await;
        assert_eq!(status(&head), expected);
    }
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    let (_, head) = ask(&service, "").await;
    assert_eq!((status(&head), asked.load(Ordering::Relaxed)), (101, 1));
}

#[tokio::test(start_paused = true)]
async fn gate_chooses_among_the_subprotocols_that_are_offered() {
    let gate = |opening: Opening| async move {
        let last = opening.subprotocols().iter().last().unwrap_or("none");
        Ok(Admit::new().data(User(String::new())).subprotocol(last))
    };
    let service = with_gate(gate);
    let (_, head) = ask(&service, "Sec-WebSocket-Protocol: v1, v2\r\n").await;
    assert!(head.contains("\r\nSec-WebSocket-Protocol: v2\r\n"), "{head}");
    // One that was not offered would be a lie, and browsers fail it.
    let (_, head) = ask(&service, "").await;
    assert_eq!(status(&head), 500);
}

#[tokio::test(start_paused = true)]
async fn gate_that_is_late_gets_its_client_a_503_in_time() {
    let gate = |_: Opening| pending::<Result<Admit, Rejection>>();
    let limits = ServerLimits::default().gate_timeout(Duration::from_secs(3));
    let route = Route::new(greet).gate(gate);
    let service =
        Server::new().server_limits(limits).route("/room/{room}", route).service().unwrap();
    let begun = Instant::now();
    let (_, head) = ask(&service, "").await;
    assert_eq!((status(&head), begun.elapsed().as_secs()), (503, 3));
    assert!(head.contains("\r\nRetry-After: 10\r\n"), "{head}");
}

#[tokio::test(start_paused = true)]
async fn gate_that_panics_costs_its_own_request() {
    let gate = |opening: Opening| async move {
        assert!(opening.request().header("x-token").is_some());
        Ok(Admit::new().data(User("ann".into())))
    };
    let service = with_gate(gate);
    let (_, head) = ask(&service, "").await;
    assert_eq!(status(&head), 500);
    let (mut raw, head) = ask(&service, "X-Token: 1\r\n").await;
    assert_eq!(status(&head), 101);
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"hello, ann".to_vec()));
}

/// Waits until it is let go, and tells how many wait and how many were dropped or decided.
#[derive(Clone, Default)]
struct Waits(Arc<Counts>);

#[derive(Default)]
struct Counts {
    waiting: AtomicUsize,
    go: Notify,
}

impl Waits {
    fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }
}

struct Waiting<'a>(&'a Counts);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Gate for Waits {
    async fn admit(&self, _: Opening) -> Result<Admit, Rejection> {
        self.0.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.0);
        self.0.go.notified().await;
        Ok(Admit::new().data(User("ann".into())))
    }
}

#[tokio::test(start_paused = true)]
async fn gate_is_dropped_where_it_waits_if_its_client_leaves() {
    let waits = Waits::default();
    let service = with_gate(waits.clone());
    let mut raw = connect(&service);
    raw.io.write_all(support_request("/room/7").as_bytes()).await.unwrap();
    settle().await;
    assert_eq!(waits.waiting(), 1);
    drop(raw);
    settle().await;
    assert_eq!(waits.waiting(), 0);
    assert_eq!(service.clients().metrics().opened, 0);

    // Behind another HTTP implementation, by dropping the call.
    let request = http::Request::get("/room/7")
        .header("Host", "a.example")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13");
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let (own, cloned) = (service.clone(), parts.clone());
    let call = tokio::spawn(async move { own.upgrade(&cloned, Peer::Other).await.is_ok() });
    settle().await;
    assert_eq!(waits.waiting(), 1);
    call.abort();
    settle().await;
    assert_eq!(waits.waiting(), 0);
    // And it is asked there, too, but not where the handler comes later.
    waits.0.go.notify_one();
    let accepted = service.upgrade(&parts, Peer::Other).await.unwrap();
    let (client, server) = duplex(4096);
    tokio::spawn(accepted.drive(server, Bytes::new()));
    assert_eq!(Raw::new(client).frame().await.unwrap(), (TEXT, b"hello, ann".to_vec()));
    drop(service.open(&parts, Peer::Other, Options::default()).unwrap());
}

fn support_request(path: &str) -> String {
    ws_tests_support::handshake::request(path, "")
}

// R6455-x-early
#[tokio::test(start_paused = true)]
async fn octets_before_the_answer_are_refused_while_the_gate_decides() {
    let waits = Waits::default();
    let service = with_gate(waits.clone());
    let mut raw = connect(&service);
    raw.io.write_all(support_request("/room/7").as_bytes()).await.unwrap();
    settle().await;
    raw.send(TEXT, b"too early").await;
    let head = raw.head().await;
    assert_eq!(status(&head), 400, "{head}");
    settle().await;
    assert_eq!((waits.waiting(), service.clients().metrics().opened), (0, 0));
}

// T-B1
#[tokio::test(start_paused = true)]
async fn requests_that_wait_for_a_gate_count_as_pending() {
    let waits = Waits::default();
    let limits = ServerLimits::default().max_pending(2);
    let service = Server::new()
        .server_limits(limits)
        .route("/room/{room}", Route::new(greet).gate(waits.clone()))
        .route("/echo", echo)
        .service()
        .unwrap();
    let mut waiting: Vec<Raw<DuplexStream>> = Vec::new();
    for _ in 0..2 {
        let mut raw = connect(&service);
        raw.io.write_all(support_request("/room/7").as_bytes()).await.unwrap();
        waiting.push(raw);
        settle().await;
    }
    assert_eq!(waits.waiting(), 2);
    let mut third = connect(&service);
    settle().await;
    let head = third.head().await;
    assert_eq!(status(&head), 503);
    assert!(head.contains("\r\nRetry-After: 10\r\n"), "{head}");
    // Nobody keeps others out for long: the oldest gives way.
    advance(Duration::from_secs(3)).await;
    let (_, head) = {
        let mut raw = connect(&service);
        let head = raw.ask("/echo", "").await;
        (raw, head)
    };
    assert_eq!(status(&head), 101);
    assert_eq!(status(&waiting[0].head().await), 503);
    waits.0.go.notify_waiters();
    assert_eq!(status(&waiting[1].head().await), 101);
    // The limit is named, and the application has refused nobody.
    let [rejected] = &service.clients().metrics().rejected[..] else { panic!() };
    assert_eq!((rejected.count, rejected.cause), (2, Cause::NoRoom));
    assert_eq!(rejected.limit, Some(AdmissionLimit::MaxPending));
}

#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_no_gate() {
    let waits = Waits::default();
    let service = with_gate(waits.clone());
    let mut raw = connect(&service);
    raw.io.write_all(support_request("/room/7").as_bytes()).await.unwrap();
    settle().await;
    let report = service.shutdown().await;
    assert_eq!((report.closed, report.aborted), (0, 0));
    assert_eq!(status(&raw.head().await), 503);
    assert_eq!(waits.waiting(), 0);
}

// RT-54
#[tokio::test(start_paused = true)]
async fn rt_54_all_connections_of_a_user_are_closed_while_they_are_busy() {
    let service = with_gate(sign_in);
    let mut of_ann = Vec::new();
    for _ in 0..3 {
        of_ann.push(ask(&service, "X-Token: user ann\r\n").await.0);
    }
    let (mut bob, _) = ask(&service, "X-Token: user bob\r\n").await;
    for raw in of_ann.iter_mut().chain([&mut bob]) {
        raw.frame().await.unwrap();
        raw.io.write_all(b"\x81\xfe\x01").await.unwrap();
    }
    let close = |code| service.clients().close_subscribed("user/ann", code, "signed out");
    assert_eq!(close(CloseCode::ABNORMAL), 0, "a code that may not be sent");
    assert_eq!(close(CloseCode::POLICY_VIOLATION), 3);
    assert_eq!(close(CloseCode::POLICY_VIOLATION), 0, "they are closing");
    for raw in &mut of_ann {
        let (opcode, body) = raw.frame().await.unwrap();
        assert_eq!((opcode, &body[..2]), (CLOSE, &1008_u16.to_be_bytes()[..]));
    }
    service.clients().publish("user/bob", "still here");
    assert_eq!(bob.frame().await.unwrap(), (TEXT, b"still here".to_vec()));
}

#[tokio::test(start_paused = true)]
async fn more_topics_than_a_connection_may_have_are_the_gates_mistake() {
    let gate = |opening: Opening| async move {
        let long = opening.request().header("x-long").is_some();
        let topic = if long { "x".repeat(1 << 20) } else { String::from("topic") };
        let mut admit = Admit::new().data(User("ann".into())).subscribe(topic);
        for n in 0..opening.request().header("x-many").map_or(0, |_| 1 << 20) {
            admit = admit.subscribe(n.to_string());
        }
        Ok(admit)
    };
    let service = with_gate(gate);
    for (headers, expected) in [("X-Long: 1\r\n", 500), ("X-Many: 1\r\n", 500), ("", 101)] {
        let (_raw, head) = ask(&service, headers).await;
        assert_eq!(status(&head), expected);
    }
}
