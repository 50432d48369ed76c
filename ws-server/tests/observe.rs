//! What an application is shown of a connection that opens, and of its frames.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{Arc, Mutex};

use support::{CLOSE, PING, Raw, TEXT, echo, open_with};
use ws_server::{FrameDirection, FrameObserver, ObservedFrame, Peer, Server, Service};

type Seen = Arc<Mutex<Vec<String>>>;

/// Notes every opening, and the frames of those that ask for it.
fn observed(seen: &Seen) -> Service {
    let seen = Arc::clone(seen);
    let server = Server::new().any(echo).observe(move |opening| {
        let request = opening.request;
        let note = format!("{} {}: {}", opening.id, request.path(), opening.report);
        seen.lock().unwrap().push(note);
        let seen = Arc::clone(&seen);
        let note = move |frame: &ObservedFrame| {
            let way = if frame.direction == FrameDirection::Sent { "sent" } else { "received" };
            let (header, len) = (frame.header, frame.data_len);
            seen.lock().unwrap().push(format!("{way} {:?} {}/{len}", header.opcode, header.len));
        };
        (request.query() == Some("watch")).then(|| Box::new(note) as Box<dyn FrameObserver>)
    });
    #[cfg(feature = "deflate")]
    let server = server.extension(ws_server::Deflate::default());
    server.service().unwrap()
}

async fn talk(service: &Service, path: &str, headers: &str) {
    let (mut raw, task) = open_with(service, path, headers, 4096).await;
    raw.send(TEXT, b"hello").await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"hello".to_vec()));
    raw.send(PING, b"?").await;
    raw.frame().await.unwrap();
    raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
    raw.expect_close(1000).await;
    drop(raw);
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn observer_is_shown_every_frame_of_its_connection_from_the_first_on() {
    let seen = Seen::default();
    talk(&observed(&seen), "/a?watch", "").await;
    let seen = seen.lock().unwrap();
    assert!(seen[0].starts_with("1 /a: "), "{seen:?}");
    let frames = ["received Text 5/5", "sent Text 5/5", "received Ping 1/1", "sent Pong 1/1"];
    assert_eq!(seen[1..5], frames);
    assert_eq!(seen[5..], ["received Close 2/2", "sent Close 2/2"]);
}

#[tokio::test(start_paused = true)]
async fn connection_without_an_observer_is_shown_once_and_served_alike() {
    let seen = Seen::default();
    talk(&observed(&seen), "/a", "").await;
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[cfg(feature = "deflate")]
#[tokio::test(start_paused = true)]
async fn report_says_why_an_extension_was_not_taken() {
    let seen = Seen::default();
    let offers =
        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7, x-new\r\n";
    talk(&observed(&seen), "/a", offers).await;
    let seen = seen.lock().unwrap();
    for part in ["server_max_window_bits=7: declined: ", "x-new: unknown here"] {
        assert!(seen[0].contains(part), "{part}: {seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn panic_of_who_is_shown_the_opening_is_answered_with_500() {
    let server = Server::new().any(echo).observe(|opening| {
        assert!(opening.request.query().is_none(), "on purpose");
        None
    });
    let service = server.service().unwrap();
    let (ours, theirs) = tokio::io::duplex(4096);
    tokio::spawn(service.serve_connection(theirs, Peer::Other));
    let answer = Raw::new(ours).ask("/?boom", "").await;
    assert!(answer.starts_with("HTTP/1.1 500 "), "{answer}");
    talk(&service, "/", "").await;
}
