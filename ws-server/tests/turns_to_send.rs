//! Who waits to send has a turn, whatever others send meanwhile.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Wake},
    time::Duration,
};

use support::{BINARY, Raw, limits, open_with, service};
use tokio::time::{Instant, sleep, timeout};
use ws_server::{Limits, Peer, Sender, Service, SlowConsumer, TrySendReason, WebSocket};

/// More than `max_send_buffer`.
const LARGE: usize = 1_100_000;

/// What is sent while others send.
#[derive(Clone, Copy, Debug)]
enum How {
    Send,
    ReadyAndTrySend,
    OwnSend,
}

async fn send_small(sender: Sender) {
    while sender.send(vec![1; 1000]).await.is_ok() {}
}

async fn send_large(how: How, ws: &mut WebSocket) -> support::Handled {
    let mut message = vec![2; LARGE].into();
    match how {
        How::Send => ws.sender().send(message).await?,
        How::OwnSend => ws.send(message).await?,
        How::ReadyAndTrySend => {
            let sender = ws.sender();
            let mut refused = 0;
            while let Err(error) = sender.try_send(message) {
                assert_eq!(error.reason, TrySendReason::Full);
                refused += 1;
                assert!(refused <= 3, "it has no turn");
                message = error.message;
                sender.ready().await?;
            }
        }
    }
    Ok(())
}

/// Reads a frame every two milliseconds, until a large one came or for a minute.
async fn large_one_comes(raw: &mut Raw) -> bool {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let (first, payload) = raw.frame().await.unwrap();
        assert_eq!(first, BINARY);
        if payload.len() == LARGE {
            return true;
        }
        sleep(Duration::from_millis(2)).await;
    }
    false
}

// T-B5
#[tokio::test(start_paused = true)]
async fn large_message_is_sent_though_other_tasks_keep_sending_small_ones() {
    for how in [How::Send, How::ReadyAndTrySend, How::OwnSend] {
        let handler = move |mut ws: WebSocket| async move {
            for _ in 0..2 {
                tokio::spawn(send_small(ws.sender()));
            }
            sleep(Duration::from_secs(1)).await;
            send_large(how, &mut ws).await?;
            while ws.recv().await.is_some() {}
            Ok(())
        };
        let service = service(Limits::default(), handler);
        let (mut raw, _) = open_with(&service, "/", "", 4096).await;
        sleep(Duration::from_secs(2)).await;
        assert!(large_one_comes(&mut raw).await, "{how:?}");
    }
}

// T-B5, T-B17
#[tokio::test(start_paused = true)]
async fn large_message_is_sent_though_others_keep_publishing() {
    for how in [How::Send, How::ReadyAndTrySend, How::OwnSend] {
        let handler = move |mut ws: WebSocket| async move {
            ws.subscribe("all")?;
            sleep(Duration::from_secs(1)).await;
            send_large(how, &mut ws).await?;
            while ws.recv().await.is_some() {}
            Ok(())
        };
        let server = ws_server::Server::new().slow_consumer(SlowConsumer::DropNewest).any(handler);
        let service = server.service().unwrap();
        let clients = service.clients();
        let (mut raw, _) = open_with(&service, "/", "", 4096).await;
        let publishing = tokio::spawn(async move {
            loop {
                clients.publish("all", vec![1; 1000]);
                sleep(Duration::from_millis(1)).await;
            }
        });
        sleep(Duration::from_secs(2)).await;
        assert!(large_one_comes(&mut raw).await, "{how:?}");
        publishing.abort();
    }
}

/// A handler that keeps its socket full and tells by a sender; the senders of one connection.
async fn stalled(service: &Service) -> (Raw, Sender) {
    let (raw, _) = open_with(service, "/", "", 4096).await;
    let sender = service.clients().list().pop().unwrap().sender();
    while sender.try_send(vec![1; 1000]).is_ok() {
        tokio::task::yield_now().await;
    }
    (raw, sender)
}

fn idle() -> Service {
    service(Limits::default(), |mut ws: WebSocket| async move {
        while ws.recv().await.is_some() {}
        Ok(())
    })
}

async fn next_large(raw: &mut Raw) -> u8 {
    loop {
        let (_, payload) = raw.frame().await.unwrap();
        if payload.len() > 1000 {
            return payload[0];
        }
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_served_in_the_order_in_which_they_came() {
    let service = idle();
    let (mut raw, sender) = stalled(&service).await;
    let mut waiting = Vec::new();
    for number in 2..10 {
        let sender = sender.clone();
        // Every other one is larger than all that may wait.
        let len = if number % 2 == 0 { LARGE } else { 2000 };
        waiting.push(tokio::spawn(async move { sender.send(vec![number; len]).await }));
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(sender.try_send("small").unwrap_err().reason, TrySendReason::Full);
    for number in 2..10 {
        assert_eq!(next_large(&mut raw).await, number);
    }
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn send_that_nobody_polls_holds_up_nobody() {
    let service = idle();
    let (mut raw, sender) = stalled(&service).await;
    let mut asleep = Box::pin(sender.send(vec![2; LARGE]));
    assert!(futures_util::poll!(&mut asleep).is_pending());
    let other = sender.clone();
    let other = tokio::spawn(async move { other.send(vec![3; 2000]).await });
    assert_eq!(next_large(&mut raw).await, 2);
    assert_eq!(next_large(&mut raw).await, 3);
    other.await.unwrap().unwrap();
    assert_eq!(asleep.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn dropped_send_gives_up_its_place() {
    let service = idle();
    let (mut raw, sender) = stalled(&service).await;
    let mut dropped = Box::pin(sender.send(vec![2; LARGE]));
    assert!(futures_util::poll!(&mut dropped).is_pending());
    let other = sender.clone();
    let other = tokio::spawn(async move { other.send(vec![3; 2000]).await });
    tokio::task::yield_now().await;
    drop(dropped);
    assert_eq!(next_large(&mut raw).await, 3);
    other.await.unwrap().unwrap();
}

/// What there is room for beside something small.
const HALF: usize = 700_000;

/// Waits for a turn with room for a message of [`HALF`].
async fn turn(raw: &mut Raw, sender: &Sender) {
    assert!(sender.try_send(vec![2; HALF]).is_err());
    let ready = sender.clone();
    // Not that of a clone.
    assert!(ready.try_send(vec![2; HALF]).is_err());
    let mut waiting = Box::pin(sender.ready());
    while futures_util::poll!(&mut waiting).is_pending() {
        let frame = timeout(Duration::from_millis(1), raw.frame()).await;
        assert!(frame.is_ok(), "nothing is left, and it has no turn");
    }
    while timeout(Duration::from_millis(1), raw.frame()).await.is_ok() {}
}

// Sender: "Messages of one sender stay in order", also where several tasks use it.
#[tokio::test(start_paused = true)]
async fn sender_that_waited_for_several_turns_sends_in_order() {
    let service = idle();
    let (mut raw, sender) = stalled(&service).await;
    // It leaves no room, and then an empty queue.
    let large = sender.clone();
    let large = tokio::spawn(async move { large.send(vec![1; LARGE]).await });
    tokio::task::yield_now().await;
    let mut waiting = Box::pin(async { tokio::join!(sender.ready(), sender.ready()) });
    while futures_util::poll!(&mut waiting).is_pending() {
        let frame = timeout(Duration::from_millis(1), raw.frame()).await;
        assert!(frame.is_ok(), "nothing is left, and it has no turn");
    }
    while timeout(Duration::from_millis(1), raw.frame()).await.is_ok() {}
    large.await.unwrap().unwrap();
    for number in 2..6 {
        sender.try_send(vec![number]).unwrap();
    }
    for number in 2..6 {
        assert_eq!(raw.frame().await.unwrap(), (BINARY, vec![number]));
    }
}

#[tokio::test(start_paused = true)]
async fn turn_is_kept_for_a_second_or_until_it_is_used_or_dropped() {
    for end in ["time", "use", "drop"] {
        let service = idle();
        let (mut raw, sender) = stalled(&service).await;
        turn(&mut raw, &sender).await;
        let begun = Instant::now();
        let other = sender.clone();
        assert!(other.try_send("small").is_ok(), "it leaves that room");
        let waiting = tokio::spawn(async move {
            other.send(vec![3; LARGE]).await.unwrap();
            Instant::now()
        });
        sleep(Duration::from_millis(300)).await;
        assert!(!waiting.is_finished(), "{end}");
        match end {
            "use" => sender.try_send(vec![4; HALF]).unwrap(),
            "drop" => drop(sender),
            _ => {}
        }
        if end == "use" {
            assert_eq!(next_large(&mut raw).await, 4);
        }
        assert_eq!(next_large(&mut raw).await, 3, "{end}");
        let waited = waiting.await.unwrap() - begun;
        let most = Duration::from_millis(if end == "time" { 1010 } else { 400 });
        let least = Duration::from_millis(if end == "time" { 900 } else { 300 });
        assert!(waited >= least && waited <= most, "{end}: {waited:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn close_ends_those_who_wait_and_goes_out_behind_what_is_queued() {
    let service = idle();
    let (mut raw, _) = open_with(&service, "/", "", 4096).await;
    let sender = service.clients().list().pop().unwrap().sender();
    sender.try_send(vec![1; 100_000]).unwrap();
    tokio::task::yield_now().await;
    sender.try_send(vec![1; 1000]).unwrap();
    sender.try_send(vec![1; 1000]).unwrap();
    let (one, two) = (sender.clone(), sender.clone());
    let one = tokio::spawn(async move { one.send(vec![2; LARGE]).await });
    let two = tokio::spawn(async move { two.ready().await });
    tokio::task::yield_now().await;
    // Behind the one that waits.
    assert_eq!(service.clients().send_all("to many").here(), 1);
    sender.close(ws_server::CloseCode::NORMAL, "").unwrap();
    assert!(one.await.unwrap().is_err() && two.await.unwrap().is_err());
    for len in [100_000, 1000, 1000] {
        assert_eq!(raw.frame().await.unwrap(), (BINARY, vec![1; len]));
    }
    assert_eq!(raw.frame().await.unwrap(), (support::TEXT, b"to many".to_vec()));
    raw.expect_close(1000).await;
}

// A stalled client is closed for no flush that nobody waits for.
#[tokio::test(start_paused = true)]
async fn flushes_that_are_dropped_leave_nothing_behind() {
    let service = idle();
    let (mut raw, sender) = stalled(&service).await;
    for _ in 0..10_000 {
        assert!(timeout(Duration::ZERO, sender.flush()).await.is_err());
    }
    let drop_newest = ws_server::Publication::new("x").slow_consumer(SlowConsumer::DropNewest);
    service.clients().send_all(drop_newest);
    assert!(!sender.is_closed());
    let flushing = tokio::spawn({
        let sender = sender.clone();
        async move { sender.flush().await }
    });
    while timeout(Duration::from_millis(10), raw.frame()).await.is_ok() {}
    assert_eq!(flushing.await.unwrap(), Ok(()));
    // And what counts against a client is what it is sent.
    let small = limits(|limits| limits.send_buffer = 10_000);
    let service = support::service(small, support::echo);
    let (_raw, _) = open_with(&service, "/", "", 4096).await;
    let sender = service.clients().list().pop().unwrap().sender();
    sender.send(vec![1; 100_000]).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    for _ in 0..1000 {
        assert!(timeout(Duration::ZERO, sender.flush()).await.is_err());
    }
    assert_eq!(service.clients().send_all("x").here(), 1);
}

/// Calls back when it is woken.
struct CallsBack {
    sender: Sender,
    wakes: AtomicUsize,
    runs: AtomicBool,
}

impl Wake for CallsBack {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        if !self.runs.swap(true, Ordering::Relaxed) {
            // Waits for ever if this is called under the lock.
            self.sender.is_closed();
            let _ = self.sender.try_send("woken");
            self.runs.store(false, Ordering::Relaxed);
        }
    }
}

#[tokio::test]
async fn no_waker_is_called_under_a_lock() {
    let service = support::service(Limits::default(), |mut ws: WebSocket| async move {
        while ws.recv().await.is_some() {}
        Ok(())
    });
    let (io, theirs) = tokio::io::duplex(64 * 1024);
    let mut connection = Box::pin(service.serve_connection(theirs, Peer::Other));
    let mut raw = Raw::new(io);
    tokio::select! {
        _ = &mut connection => panic!("it ended"),
        _ = raw.handshake("/", "") => {}
    }
    let client = service.clients().list().pop().unwrap();
    let calls = Arc::new(CallsBack {
        sender: client.sender(),
        wakes: AtomicUsize::new(0),
        runs: AtomicBool::new(false),
    });
    let waker = Arc::clone(&calls).into();
    let mut cx = Context::from_waker(&waker);
    assert!(connection.as_mut().poll(&mut cx).is_pending());
    let (tx, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        client.sender().try_send("message").unwrap();
        service.clients().send_all("to many");
        client.sender().close(ws_server::CloseCode::NORMAL, "").unwrap();
        tx.send(()).unwrap();
    });
    done.recv_timeout(Duration::from_secs(20)).expect("nobody waits for itself");
    assert!(calls.wakes.load(Ordering::Relaxed) > 0);
}
