//! Several who publish at a time, fast ones, and those who wait for their subscribers.
#![allow(clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use support::{
    BINARY, CLOSE, Raw, TEXT, limits, open_with,
    order::{READERS, all_see_one_order},
};
use tokio::time::{Instant, sleep, timeout};
use ws_server::{
    Bytes, Clients, Limits, Publication, Published, Refused, Server, Service, SlowConsumer,
    WebSocket,
};

async fn subscriber(mut ws: WebSocket) -> support::Handled {
    ws.subscribe("all")?;
    ws.send("ready").await?;
    support::echo(ws).await
}

fn service(limits: Limits) -> Service {
    Server::new().limits(limits).any(subscriber).service().unwrap()
}

async fn subscribed(service: &Service, wire: usize) -> Raw {
    let (mut raw, _) = open_with(service, "/", "", wire).await;
    assert_eq!(raw.frame().await.unwrap(), (TEXT, b"ready".to_vec()));
    raw
}

fn numbered(number: u32, len: usize) -> Vec<u8> {
    let mut payload = vec![7; len];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload
}

async fn expect_numbers(raw: &mut Raw, numbers: std::ops::Range<u32>, len: usize) {
    for number in numbers {
        assert_eq!(raw.frame().await.unwrap(), (BINARY, numbered(number, len)));
    }
}

// T-B17
#[tokio::test(start_paused = true)]
async fn burst_harms_no_client_whose_driver_had_no_turn() {
    for policy in [SlowConsumer::Close, SlowConsumer::DropOldest, SlowConsumer::DropNewest] {
        let service = service(Limits::default());
        let mut clients = Vec::new();
        for _ in 0..10 {
            clients.push(subscribed(&service, 1 << 20).await);
        }
        for number in 0..300 {
            let publication = Publication::new(numbered(number, 1000)).slow_consumer(policy);
            assert_eq!(service.clients().publish("all", publication).here(), 10, "{number}");
        }
        for raw in &mut clients {
            expect_numbers(raw, 0..300, 1000).await;
        }
        assert_eq!(service.clients().dropped(), 0);
    }
}

// T-B17
#[tokio::test(start_paused = true)]
async fn client_whose_socket_is_full_is_slow_at_the_lower_mark_and_every_one_at_the_upper_mark() {
    let service = service(Limits::default());
    let _stalled = subscribed(&service, 4096).await;
    let mut fast = subscribed(&service, 4 << 20).await;
    let clients = service.clients();
    // The socket of the first is full from now on.
    clients.publish("all", numbered(0, 10_000));
    sleep(Duration::from_millis(1)).await;
    let mut waiting = 0;
    while clients.publish("all", numbered(1, 10_000)).here() == 2 {
        waiting += 10_064;
    }
    let bounds = limits(|_| {});
    assert!((bounds.send_buffer..bounds.send_buffer + 20_000).contains(&waiting), "{waiting}");
    while clients.publish("all", numbered(1, 10_000)).here() == 1 {
        waiting += 10_064;
    }
    let upper = bounds.max_send_buffer;
    assert!((upper - 20_000..upper + 20_000).contains(&waiting), "{waiting}");
    while fast.frame().await.unwrap().0 == BINARY {}
}

// T-B17
#[tokio::test(start_paused = true)]
async fn publisher_that_waits_is_as_fast_as_the_slowest_subscriber_and_loses_nothing() {
    const MESSAGES: u32 = 3000;
    let service = service(Limits::default());
    let mut slow = subscribed(&service, 4096).await;
    let mut fast = subscribed(&service, 64 * 1024).await;
    let clients = service.clients();
    let publishers: Vec<_> = (0..4)
        .map(|publisher| {
            let clients = clients.clone();
            tokio::spawn(async move {
                for i in 0..MESSAGES / 4 {
                    let message = numbered(publisher * MESSAGES / 4 + i, 1000);
                    assert_eq!(clients.publish_wait("all", message).await, Published::Here(2));
                }
            })
        })
        .collect();
    let reading = tokio::spawn(async move {
        for _ in 0..MESSAGES {
            assert_eq!(fast.frame().await.unwrap().0, BINARY);
        }
        fast
    });
    for _ in 0..MESSAGES {
        assert_eq!(slow.frame().await.unwrap().0, BINARY);
        sleep(Duration::from_millis(1)).await;
    }
    let _fast = reading.await.unwrap();
    for publisher in publishers {
        publisher.await.unwrap();
    }
    assert_eq!((clients.dropped(), clients.count()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn publisher_waits_for_a_client_that_takes_nothing_until_its_connection_ends() {
    let service = service(Limits::default());
    let _stalled = subscribed(&service, 4096).await;
    let clients = service.clients();
    let begun = Instant::now();
    let mut published = 0;
    while clients.publish_wait("all", vec![7; 10_000]).await == Published::Here(1) {
        published += 1;
        assert!(published < 100, "it is taken for one that keeps up");
    }
    let waited = begun.elapsed();
    let limit = Limits::default().write_timeout;
    assert!(waited >= limit && waited < limit + Duration::from_secs(5), "{waited:?}");
    assert!((20..60).contains(&published), "{published}");
}

#[tokio::test(start_paused = true)]
async fn publisher_that_stops_waiting_has_published_nothing() {
    let service = service(Limits::default());
    let mut raw = subscribed(&service, 4096).await;
    let clients = service.clients();
    clients.publish("all", numbered(0, 400_000));
    sleep(Duration::from_millis(1)).await;
    clients.publish("all", numbered(1, 400_000));
    for _ in 0..100 {
        let waiting = clients.publish_wait("all", numbered(2, 1000));
        assert!(timeout(Duration::from_millis(1), waiting).await.is_err());
    }
    expect_numbers(&mut raw, 0..2, 400_000).await;
    assert_eq!(clients.publish_wait("all", numbered(3, 1000)).await, Published::Here(1));
    expect_numbers(&mut raw, 3..4, 1000).await;
}

/// Octets that publish when they are dropped, and keep what became of it.
struct Publishes {
    clients: Clients,
    times: u32,
    len: usize,
    became: Became,
}

type Became = Arc<std::sync::Mutex<Vec<Published>>>;

impl AsRef<[u8]> for Publishes {
    fn as_ref(&self) -> &[u8] {
        &[7; 100_000]
    }
}

impl Drop for Publishes {
    fn drop(&mut self) {
        for number in 0..self.times {
            let became = self.clients.publish("all", numbered(number, self.len));
            self.became.lock().unwrap().push(became);
        }
    }
}

/// How many messages are left to a runtime.
const LEFT: u32 = 1500;

/// A client that does not read, one that does, and what became of the messages that were published
/// while another was delivered.
struct Backlog {
    stalled: Raw,
    raw: Raw,
    became: Became,
}

/// Publishes to both clients octets that publish `times` messages of `len` octets when the client
/// that does not read drops them.
async fn backlog(service: &Service, times: u32, len: usize) -> Backlog {
    let stalled = subscribed(service, 4096).await;
    let raw = subscribed(service, 64 << 20).await;
    let clients = service.clients();
    // What follows waits in the queue of the one that does not read.
    clients.publish("all", numbered(1000, 100_000));
    sleep(Duration::from_millis(1)).await;
    let became = Became::default();
    let octets = Publishes { clients: clients.clone(), times, len, became: Arc::clone(&became) };
    clients.publish("all", Bytes::from_owner(octets));
    sleep(Duration::from_millis(1)).await;
    Backlog { stalled, raw, became }
}

/// The messages `0..=LEFT`, with larger ones between them.
async fn expect_what_was_left(raw: &mut Raw) {
    let mut next = 0;
    while next <= LEFT {
        let frame = timeout(Duration::from_secs(1), raw.frame()).await.expect("what is left");
        if let (BINARY, payload) = frame.unwrap()
            && payload.len() == 100
        {
            assert_eq!(payload, numbered(next, 100));
            next += 1;
        }
    }
}

// What is published while somebody delivers is handed over, up to a bound.
#[tokio::test(start_paused = true)]
async fn publisher_that_meets_another_hands_its_message_over() {
    let service = service(limits(|limits| limits.max_send_buffer = 64 << 20));
    let Backlog { stalled: _stalled, mut raw, became } = backlog(&service, 30, 100_000).await;
    let clients = service.clients();
    // The first client is closed in the middle of this, and drops what it has.
    while clients.publish("all", numbered(1000, 100_000)).here() == 2 {}
    let became = became.lock().unwrap().clone();
    let handed = became.iter().filter(|became| **became == Published::Handed).count();
    assert!((10..=12).contains(&handed), "{became:?}");
    assert_eq!(became.last(), Some(&Published::Refused(Refused::Full)));
    let mut came = 0;
    while let Ok(Some((first, _))) = timeout(Duration::from_secs(1), raw.frame()).await {
        assert_ne!(first, CLOSE);
        came += 1;
    }
    assert!(came > handed);
}

// What a publisher's runtime is to go on with waits for nobody who stops running it.
#[tokio::test(start_paused = true)]
async fn messages_left_to_a_runtime_that_does_not_run_are_delivered_by_the_next_publisher() {
    let service = service(limits(|limits| limits.max_send_buffer = 64 << 20));
    let Backlog { stalled, mut raw, became } = backlog(&service, LEFT, 100).await;
    let clients = service.clients();
    let publisher = clients.clone();
    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // The first client is closed in the middle of this, and drops what it has.
        runtime.block_on(async { while publisher.publish("all", vec![8; 100_000]).here() == 2 {} });
        runtime
    });
    let not_running = elsewhere.join().unwrap();
    let became = became.lock().unwrap().clone();
    assert_eq!(became, vec![Published::Handed; LEFT as usize]);
    drop(stalled);

    clients.publish("all", numbered(LEFT, 100));
    expect_what_was_left(&mut raw).await;
    assert_eq!(clients.publish("all", numbered(0, 100)), Published::Here(1));
    not_running.shutdown_background();
}

// A publisher outside of a runtime is not kept by what others leave to it.
#[tokio::test(start_paused = true)]
async fn publisher_without_a_runtime_leaves_the_rest_to_that_of_the_server() {
    let service = service(limits(|limits| limits.max_send_buffer = 64 << 20));
    let Backlog { stalled, mut raw, became } = backlog(&service, LEFT, 100).await;
    let clients = service.clients();
    let publisher = clients.clone();
    // The first client is closed in the middle of this, and drops what it has.
    let elsewhere =
        std::thread::spawn(move || while publisher.publish("all", vec![8; 100_000]).here() == 2 {});
    elsewhere.join().unwrap();
    let became = became.lock().unwrap().clone();
    assert_eq!(became, vec![Published::Handed; LEFT as usize]);
    drop(stalled);

    assert_eq!(clients.publish("all", numbered(LEFT, 100)), Published::Handed);
    expect_what_was_left(&mut raw).await;
    assert_eq!(clients.publish("all", numbered(0, 100)), Published::Here(1));
}

// Clients::send_where: "`predicate` may do anything".
#[test]
fn predicate_may_use_the_clients() {
    let (tx, done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_all().start_paused(true).build().unwrap().block_on(async {
            let service = service(Limits::default());
            let mut raw = subscribed(&service, 4096).await;
            let clients = service.clients();
            let published = clients.send_where("picked", |client| {
                clients.publish("all", "from within");
                client.subscribe("other").unwrap();
                assert!(format!("{clients:?}").contains("count: 1"));
                clients.get(client.id()).is_some() && clients.send_all("all").here() == 1
            });
            assert_eq!(published, Published::Here(1));
            for text in ["from within", "all", "picked"] {
                assert_eq!(raw.frame().await.unwrap(), (TEXT, text.as_bytes().to_vec()));
            }
        });
        tx.send(()).unwrap();
    });
    done.recv_timeout(Duration::from_secs(20)).expect("nobody waits for itself");
}

// Clients::send_all: "All see in one order what goes to all, to a path or by a predicate."
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_see_one_order_of_what_several_tasks_send_to_all() {
    let service = service(Limits::default());
    let clients = service.clients();
    let mut raws = Vec::new();
    for _ in 0..READERS {
        raws.push(subscribed(&service, 4096).await);
    }
    let publishing = clients.clone();
    all_see_one_order(raws, move |i, text| match i % 3 {
        0 => publishing.send_all(text),
        1 => publishing.send_path("/", text),
        _ => publishing.send_where(text, |_| true),
    })
    .await;
    assert_eq!(clients.dropped(), 0);
}
