//! What other tasks do while the driver of a connection is at work is seen before it waits.
//!
//! Another thread may come at any point of the driver's turn. Here it comes out of a call that the
//! driver makes to the stream, so that the order is the same every time.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use support::{
    PING, Raw, TEXT,
    hooked::{Call, Hooked},
    masked, service,
};
use tokio::{
    io::AsyncWriteExt,
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use ws_server::{Limits, Peer, Sender, WebSocket};

type Act = Box<dyn FnOnce() + Send>;

/// What is done at which of the next calls of `poll_read` and `poll_flush`.
type Plan = Arc<Mutex<Option<(usize, Act)>>>;

/// Does what is due.
fn called(plan: &Plan) {
    let due = {
        let mut plan = plan.lock().unwrap();
        match plan.take() {
            Some((0, act)) => Some(act),
            Some((more, act)) => {
                *plan = Some((more - 1, act));
                None
            }
            None => None,
        }
    };
    if let Some(act) = due {
        act();
    }
}

struct Woken(Notify);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

/// A connection whose `WebSocket` is in the test's hands, while its handler waits for nothing.
async fn taken(limits: Limits) -> (Raw, Plan, WebSocket) {
    let (tx, mut sockets) = mpsc::unbounded_channel();
    let handler = move |ws: WebSocket| {
        tx.send(ws).unwrap();
        std::future::pending()
    };
    let (ours, io) = tokio::io::duplex(1024);
    let plan = Plan::default();
    let of_stream = Arc::clone(&plan);
    let interrupted = Hooked::new(io, move |call, _: &mut Context<'_>| {
        if matches!(call, Call::Read | Call::Flush) {
            called(&of_stream);
        }
        Poll::Ready(Ok(()))
    });
    tokio::spawn(service(limits, handler).serve_connection(interrupted, Peer::Other));
    let mut raw = Raw::new(ours);
    raw.handshake("/", "").await;
    (raw, plan, sockets.recv().await.unwrap())
}

/// Polls `recv` once, with a waker of its own.
fn begin_to_receive(mut ws: WebSocket) -> (WebSocket, Arc<Woken>, Option<String>) {
    let woken = Arc::new(Woken(Notify::new()));
    let waker = Waker::from(Arc::clone(&woken));
    let came = match pin!(ws.recv()).poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(message) => {
            Some(String::from_utf8(message.unwrap().as_bytes().to_vec()).unwrap())
        }
        Poll::Pending => None,
    };
    (ws, woken, came)
}

async fn next(ws: &mut WebSocket) -> String {
    let message = timeout(Duration::from_secs(1), ws.recv()).await.expect("comes at once");
    String::from_utf8(message.unwrap().as_bytes().to_vec()).unwrap()
}

/// Lets the driver read what came, unless it pauses, write and flush, and read in vain before it
/// waits.
async fn give_turn(raw: &mut Raw, sender: &Sender) {
    raw.send(PING, b"").await;
    sender.ping("").unwrap();
}

/// `ws` begins to receive at the given call, and gets the message.
async fn receives_at(at: usize, raw: &mut Raw, ws: WebSocket, plan: &Plan, expected: &str) {
    let (tx, mut begun) = mpsc::unbounded_channel();
    let sender = ws.sender();
    *plan.lock().unwrap() = Some((at, Box::new(move || tx.send(begin_to_receive(ws)).unwrap())));
    give_turn(raw, &sender).await;
    let (mut ws, woken, came) = begun.recv().await.unwrap();
    if let Some(came) = came {
        assert_eq!(came, expected);
        return;
    }
    timeout(Duration::from_secs(1), woken.0.notified()).await.expect("it is woken");
    assert_eq!(next(&mut ws).await, expected);
}

#[tokio::test(start_paused = true)]
async fn who_begins_to_receive_gets_what_was_decoded_ahead() {
    for at in 0..3 {
        let (mut raw, plan, ws) = taken(Limits::default()).await;
        raw.send(TEXT, b"ahead").await;
        sleep(Duration::from_millis(1)).await;
        receives_at(at, &mut raw, ws, &plan, "ahead").await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_takes_what_was_too_much_gets_what_comes_then() {
    let mut limits = Limits::default();
    limits.receive_ahead_messages = 2;
    let (mut raw, plan, mut ws) = taken(limits.clone()).await;
    raw.io.write_all(&[masked(TEXT, b"a"), masked(TEXT, b"b")].concat()).await.unwrap();
    assert_eq!(next(&mut ws).await, "a");
    assert_eq!(next(&mut ws).await, "b");
    // It has been given as much as may be ahead: reading pauses until it asks for more.
    raw.send(TEXT, b"c").await;
    sleep(Duration::from_millis(1)).await;
    receives_at(0, &mut raw, ws, &plan, "c").await;
}

#[tokio::test(start_paused = true)]
async fn socket_that_is_dropped_closes_the_connection() {
    for at in 0..3 {
        let (mut raw, plan, ws) = taken(Limits::default()).await;
        let sender = ws.sender();
        *plan.lock().unwrap() = Some((at, Box::new(move || drop(ws))));
        give_turn(&mut raw, &sender).await;
        let closing = async { while raw.frame().await.unwrap().0 != support::CLOSE {} };
        timeout(Duration::from_secs(1), closing).await.expect("closes at once");
    }
}
