//! What happens to messages to many where a client does not keep up.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use proptest::{collection::vec, prelude::*};
use support::{CLOSE, Raw, TEXT, echo, limits, open, open_with};
use tokio::{io::DuplexStream, task::JoinHandle, time::sleep};
use ws_server::{
    Clients, Closed, Limits, Publication, SendError, Server, Service, SlowConsumer, TrySendReason,
    WebSocket,
};

/// What a queued message counts besides its bytes.
const PER_MESSAGE: usize = 64;

/// Subscribes to `all`, tells so, and echoes.
async fn subscriber(mut ws: WebSocket) -> support::Handled {
    ws.subscribe("all")?;
    ws.send("ready").await?;
    echo(ws).await
}

fn service(policy: SlowConsumer, limits: Limits) -> Service {
    Server::new().limits(limits).slow_consumer(policy).any(subscriber).service().unwrap()
}

async fn subscribed(service: &Service, wire: usize) -> (Raw, JoinHandle<Option<Closed>>) {
    let (mut raw, task) = open_with(service, "/", "", wire).await;
    assert_eq!(raw.text().await, "ready");
    (raw, task)
}

/// A thousand bytes that begin with a number.
fn numbered(i: usize) -> String {
    format!("{i} {}", "x".repeat(1000))[..1000].to_owned()
}

fn number(text: &str) -> usize {
    assert_eq!(text.len(), 1000);
    text.split_once(' ').unwrap().0.parse().unwrap()
}

/// What a client that has not read for long then gets: numbers until a text that is none.
async fn numbers(raw: &mut Raw) -> Vec<usize> {
    let mut numbers = Vec::new();
    loop {
        match raw.text().await.as_str() {
            "end" => return numbers,
            text => numbers.push(number(text)),
        }
    }
}

/// More than a client that stalls has room for.
const MESSAGES: usize = 500;

/// Publishes to a hundred, one of which does not read, and sees that the others get everything.
async fn one_of_a_hundred_stalls(
    policy: SlowConsumer,
) -> (Service, Raw, JoinHandle<Option<Closed>>, Vec<Raw>) {
    let service = service(policy, Limits::default());
    let clients = service.clients();
    let (stalled, task) = subscribed(&service, 4096).await;
    let mut reading = Vec::new();
    for _ in 0..99 {
        let (mut raw, _) = subscribed(&service, 4096).await;
        reading.push(tokio::spawn(async move {
            for i in 0..MESSAGES {
                assert_eq!(number(&raw.text().await), i);
            }
            raw
        }));
    }
    let begun = tokio::time::Instant::now();
    for i in 0..MESSAGES {
        assert!(clients.publish("all", numbered(i)).here() >= 99);
        sleep(Duration::from_millis(1)).await;
    }
    let mut others = Vec::new();
    for reading in reading {
        let mut raw: Raw<DuplexStream> = reading.await.unwrap();
        raw.send(TEXT, b"still here").await;
        assert_eq!(raw.text().await, "still here");
        others.push(raw);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "nobody waited");
    let list = clients.list();
    let dropped: Vec<u64> = list.iter().map(ws_server::Client::dropped).collect();
    assert!(dropped[0] > 0);
    assert_eq!(dropped.iter().sum::<u64>(), dropped[0], "of the others none was dropped");
    assert_eq!((clients.dropped(), clients.metrics().dropped), (dropped[0], dropped[0]));
    (service, stalled, task, others)
}

// RT-32, T-B17
#[tokio::test(start_paused = true)]
async fn rt_32_one_of_a_hundred_that_stalls_is_closed_with_1013_and_counted() {
    let (service, mut stalled, task, _others) = one_of_a_hundred_stalls(SlowConsumer::Close).await;
    let mut came = 0;
    let close = loop {
        match stalled.frame().await.unwrap() {
            (TEXT, payload) => assert_eq!(number(str::from_utf8(&payload).unwrap()), came),
            close => break close,
        }
        came += 1;
    };
    assert_eq!((close.0, &close.1[..2]), (CLOSE, &1013_u16.to_be_bytes()[..]));
    assert_eq!(service.clients().list()[0].topics().len(), 1, "until it is closed");
    stalled.send(CLOSE, &1013_u16.to_be_bytes()).await;
    assert_eq!(stalled.frame().await, None);
    assert_eq!(task.await.unwrap().unwrap().code.get(), 1013);
    assert_eq!(service.clients().subscribers("all"), 99);
    // At the mark of 256 KiB all that waited was dropped, with the message that met it.
    let dropped = service.clients().dropped();
    assert!((230..=260).contains(&dropped), "{dropped} messages were dropped");
    assert!((4..=100).contains(&came), "{came} messages came");
}

// RT-32, T-B17
#[tokio::test(start_paused = true)]
async fn rt_32_one_of_a_hundred_that_stalls_misses_the_oldest_and_has_the_newest() {
    let (service, mut stalled, _task, _others) =
        one_of_a_hundred_stalls(SlowConsumer::DropOldest).await;
    service.clients().publish("all", "end");
    let dropped = service.clients().dropped() as usize;
    let numbers = numbers(&mut stalled).await;
    // What was encoded before, a gap, and the newest without another.
    let gap = (0..).zip(&numbers).position(|(i, number)| i != *number).unwrap();
    assert!((4..=100).contains(&gap), "{gap} lay on the way");
    let newest = Vec::from_iter(numbers[gap]..MESSAGES);
    assert_eq!(numbers[gap..], newest);
    assert_eq!(numbers.len() + dropped, MESSAGES, "none was counted twice or not at all");
    assert!((230..=250).contains(&newest.len()), "256 KiB of them: {}", newest.len());
}

// RT-32, T-B17
#[tokio::test(start_paused = true)]
async fn rt_32_one_of_a_hundred_that_stalls_misses_the_newest() {
    let (service, mut stalled, _task, _others) =
        one_of_a_hundred_stalls(SlowConsumer::DropNewest).await;
    let dropped = service.clients().dropped() as usize;
    let end = Publication::new("end").slow_consumer(SlowConsumer::DropOldest);
    service.clients().publish("all", end);
    let numbers = numbers(&mut stalled).await;
    let kept = MESSAGES - dropped;
    // One more gave way to the end.
    let gap = (0..).zip(&numbers).position(|(i, number)| i != *number).unwrap();
    assert_eq!(numbers[..gap], Vec::from_iter(0..gap));
    assert_eq!(numbers[gap..], Vec::from_iter(gap + 1..kept));
    assert!((240..=350).contains(&kept), "{kept}");
}

// RT-32, T-B17
#[tokio::test(start_paused = true)]
async fn rt_32_one_of_a_hundred_that_stalls_has_the_newest_of_each_key() {
    let service = service(SlowConsumer::Close, Limits::default());
    let clients = service.clients();
    let (mut stalled, _task) = subscribed(&service, 4096).await;
    let mut reading = Vec::new();
    for _ in 0..99 {
        let (mut raw, _) = subscribed(&service, 4096).await;
        reading.push(tokio::spawn(async move {
            for i in 0..MESSAGES {
                assert_eq!(number(&raw.text().await), i);
            }
        }));
    }
    for i in 0..MESSAGES {
        let keyed = Publication::new(numbered(i)).key(format!("key {}", i % 10));
        assert_eq!(clients.publish("all", keyed).here(), 100, "there is room for each key");
        sleep(Duration::from_millis(1)).await;
    }
    for reading in reading {
        reading.await.unwrap();
    }
    let dropped = clients.list()[0].dropped() as usize;
    assert_eq!(clients.dropped() as usize, dropped);
    clients.publish("all", "end");
    let numbers = numbers(&mut stalled).await;
    assert_eq!(numbers.len() + dropped, MESSAGES);
    // In the place of the first that was not encoded: the first ten that waited have been replaced.
    let (before, after) = numbers.split_at(numbers.len() - 10);
    assert_eq!(before, Vec::from_iter(0..before.len()));
    let newest = |key| MESSAGES - 10 + key;
    let places: Vec<usize> = (before.len()..before.len() + 10).map(|i| newest(i % 10)).collect();
    assert_eq!(after, places, "each in the place of the one that it replaced");
}

/// All that waits for the only client, which has not read, and the Flush behind it.
#[tokio::test(start_paused = true)]
async fn flush_waits_for_what_is_left_and_not_for_what_a_policy_dropped() {
    let limits = limits(|limits| limits.send_buffer = 3000);
    let service = service(SlowConsumer::DropOldest, limits);
    let clients = service.clients();
    let (mut raw, _task) = subscribed(&service, 4096).await;
    let sender = clients.list()[0].sender();
    for i in 0..200 {
        clients.publish("all", numbered(i));
        tokio::task::yield_now().await;
    }
    let flushing = tokio::spawn({
        let sender = sender.clone();
        async move { sender.flush().await }
    });
    sleep(Duration::from_secs(1)).await;
    assert!(!flushing.is_finished(), "nothing is read");
    clients.publish("all", numbered(200));
    clients.publish("all", "end");
    assert!(clients.dropped() > 100);
    let numbers = numbers(&mut raw).await;
    assert!(numbers.len() < 80 && numbers.ends_with(&[200]), "{numbers:?}");
    assert_eq!(flushing.await.unwrap(), Ok(()));

    // Where the policy is to close, what was sent before is dropped with the rest.
    let _full = sender.send(numbered(0)).await;
    let flushing = tokio::spawn(async move { sender.flush().await });
    tokio::task::yield_now().await;
    let close = |i| Publication::new(numbered(i)).slow_consumer(SlowConsumer::Close);
    while clients.publish("all", close(1)).here() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(matches!(flushing.await.unwrap(), Ok(()) | Err(SendError::Closed)));
    let sender = clients.list()[0].sender();
    assert_eq!(sender.flush().await, Err(SendError::Closed));
}

/// What is done to the queue of a client while its driver has no turn.
#[derive(Clone, Debug)]
enum Action {
    /// A message of its own.
    Send(usize),
    Publish {
        len: usize,
        policy: SlowConsumer,
        key: Option<u8>,
    },
}

fn action() -> impl Strategy<Value = Action> {
    let len = || prop_oneof![6 => 4..60_usize, 2 => 60..900_usize, 1 => 900..4000_usize];
    let policy = prop_oneof![
        1 => Just(SlowConsumer::Close),
        12 => Just(SlowConsumer::DropOldest),
        8 => Just(SlowConsumer::DropNewest),
    ];
    let key = prop_oneof![1 => Just(None), 2 => (0..5_u8).prop_map(Some)];
    prop_oneof![
        1 => len().prop_map(Action::Send),
        3 => (len(), policy, key).prop_map(|(len, policy, key)| Action::Publish { len, policy, key }),
    ]
}

/// The queue as the documentation has it, without any thought of speed.
#[derive(Default)]
struct Model {
    waiting: Vec<Waiting>,
    dropped: u64,
    closed: bool,
}

#[derive(Clone)]
struct Waiting {
    number: usize,
    len: usize,
    many: bool,
    key: Option<u8>,
}

const SEND_BUFFER: usize = 1500;
const MAX_SEND_BUFFER: usize = 2500;

fn bytes(waiting: &[Waiting]) -> usize {
    waiting.iter().map(|waiting| PER_MESSAGE + waiting.len).sum()
}

/// Whether `more` bytes may wait behind the first, which is always taken.
fn has_room(waiting: &[Waiting], more: usize) -> bool {
    waiting.is_empty() || bytes(&waiting[1..]) + more <= MAX_SEND_BUFFER
}

impl Model {
    fn has_room(&self, more: usize) -> bool {
        has_room(&self.waiting, more)
    }

    fn send(&mut self, number: usize, len: usize) -> bool {
        let enough = !self.waiting.is_empty() && bytes(&self.waiting) >= SEND_BUFFER;
        let room = !self.closed && !enough && self.has_room(PER_MESSAGE + len);
        if room {
            self.waiting.push(Waiting { number, len, many: false, key: None });
        }
        room
    }

    fn publish(
        &mut self,
        number: usize,
        len: usize,
        policy: SlowConsumer,
        key: Option<u8>,
    ) -> bool {
        if self.closed {
            return false;
        }
        loop {
            let older = self.waiting.iter().position(|older| key.is_some() && older.key == key);
            let fits = match older {
                Some(0) => true,
                Some(at) if len <= self.waiting[at].len => true,
                Some(at) => self.has_room(len - self.waiting[at].len),
                None => self.has_room(len),
            };
            let new = Waiting { number, len, many: true, key };
            match (fits, older) {
                (true, Some(at)) => {
                    self.waiting[at] = new;
                    self.dropped += 1;
                    return true;
                }
                (true, None) => {
                    self.waiting.push(new);
                    return true;
                }
                (false, _) => {}
            }
            self.dropped += 1;
            let own: Vec<_> = self.waiting.iter().filter(|own| !own.many).cloned().collect();
            let helps = has_room(&own, len);
            let oldest = self.waiting.iter().position(|waiting| waiting.many && helps);
            match (policy, oldest) {
                (SlowConsumer::Close, _) => {
                    self.dropped += self.waiting.len() as u64;
                    self.waiting.clear();
                    self.closed = true;
                    return false;
                }
                (SlowConsumer::DropOldest, Some(at)) => drop(self.waiting.remove(at)),
                _ => return false,
            }
        }
    }
}

fn payload(number: usize, len: usize) -> Vec<u8> {
    let mut payload = vec![number as u8; len];
    payload[..4].copy_from_slice(&(number as u32).to_be_bytes());
    payload
}

/// Lets the driver take what it wants, so that it waits for its client.
async fn acts_as_the_model(actions: &[Vec<Action>]) {
    let mut tight = Limits::default();
    (tight.send_buffer, tight.max_send_buffer) = (SEND_BUFFER, MAX_SEND_BUFFER);
    let service = service(SlowConsumer::Close, tight);
    let clients: Clients = service.clients();
    let (mut raw, _task) = subscribed(&service, 1 << 20).await;
    let client = clients.list().remove(0);
    let sender = client.sender();
    let mut number = 0;
    let mut dropped = 0;
    for actions in actions {
        // The driver has no turn in here.
        let mut model = Model { dropped, ..Model::default() };
        for action in actions {
            number += 1;
            match action {
                Action::Send(len) => {
                    let sent = sender.try_send(payload(number, *len));
                    assert_eq!(sent.is_ok(), model.send(number, *len), "{number}");
                    let reason = sent.err().map(|error| error.reason);
                    assert!(
                        reason.is_none_or(|why| (why == TrySendReason::Closed) == model.closed)
                    );
                }
                Action::Publish { len, policy, key } => {
                    let mut publication =
                        Publication::new(payload(number, *len)).slow_consumer(*policy);
                    if let Some(key) = key {
                        publication = publication.key(format!("key {key}"));
                    }
                    let queued = clients.publish("all", publication).here() == 1;
                    assert_eq!(queued, model.publish(number, *len, *policy, *key), "{number}");
                }
            }
            assert_eq!(client.dropped(), model.dropped, "{number}");
        }
        dropped = model.dropped;
        for waiting in &model.waiting {
            let (_, came) = raw.frame().await.unwrap();
            let number = u32::from_be_bytes(came[..4].try_into().unwrap()) as usize;
            assert_eq!(number, waiting.number);
            assert!(came == payload(number, waiting.len));
        }
        if model.closed {
            raw.expect_close(1013).await;
            break;
        }
        raw.send(TEXT, b"last").await;
        assert_eq!(raw.text().await, "last", "nothing more came");
    }
    assert_eq!(clients.dropped(), dropped);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    // T-B17: own messages are not dropped and keep their order, whatever the policies do.
    #[test]
    fn queue_of_a_client_is_what_the_policies_say(actions in vec(vec(action(), 0..60), 1..4)) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(acts_as_the_model(&actions));
    }
}

// R: Publication::key is that of its topic.
#[tokio::test(start_paused = true)]
async fn keys_of_two_topics_and_of_all_are_three() {
    let service = service(SlowConsumer::Close, Limits::default());
    let clients = service.clients();
    let (mut raw, _task) = subscribed(&service, 4096).await;
    clients.list()[0].subscribe("other").unwrap();
    let keyed = |text: &str| Publication::new(text).key("key");
    for round in ["1", "2"] {
        clients.publish("all", keyed(&format!("all {round}")));
        clients.publish("other", keyed(&format!("other {round}")));
        clients.send_all(keyed(&format!("everyone {round}")));
    }
    for expected in ["all 2", "other 2", "everyone 2"] {
        assert_eq!(raw.text().await, expected);
    }
    assert_eq!(clients.dropped(), 3);
    // What has gone out is replaced by nothing.
    clients.publish("all", keyed("all 3"));
    assert_eq!(raw.text().await, "all 3");
    assert_eq!(clients.dropped(), 3);
}

/// A handler sees what it lost.
#[tokio::test(start_paused = true)]
async fn handler_sees_how_many_were_dropped_for_its_client() {
    let handler = |mut ws: WebSocket| async move {
        ws.subscribe("all")?;
        while let Some(message) = ws.recv().await {
            assert_eq!(message.as_bytes(), b"how many?");
            let dropped = ws.dropped();
            ws.send(format!("{dropped}")).await?;
        }
        Ok(())
    };
    let service = Server::new().any(handler).service().unwrap();
    let clients = service.clients();
    let (mut raw, _task) = open(&service).await;
    raw.send(TEXT, b"how many?").await;
    assert_eq!(raw.text().await, "0");
    for i in 0..5 {
        clients.publish("all", Publication::new(numbered(i)).key("one"));
    }
    raw.send(TEXT, b"how many?").await;
    assert_eq!(number(&raw.text().await), 4);
    assert_eq!(raw.text().await, "4");
}
