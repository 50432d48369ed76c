//! What a client missed of a topic comes before what is live, however much it is, and harms nothing.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use support::{CLOSE, PING, PONG, Raw, TEXT, echo, limits, open_with};
use tokio::time::{sleep, timeout};
use ws_server::{
    Client, Clients, CloseCode, Limits, Publication, Published, Server, Service, SlowConsumer,
    SubscribeError, WebSocket,
};
use ws_tests_support::extension::Counting;

async fn ready(mut ws: WebSocket) -> support::Handled {
    ws.send("ready").await?;
    echo(ws).await
}

fn service(limits: Limits) -> Service {
    Server::new().limits(limits).any(ready).service().unwrap()
}

/// A connection with so many octets between its ends, and its entry in the list.
async fn connected(service: &Service, wire: usize) -> (Raw, Client) {
    let (mut raw, _) = open_with(service, "/", "", wire).await;
    assert_eq!(raw.text().await, "ready");
    let client = service.clients().list().pop().unwrap();
    (raw, client)
}

/// A kibibyte that begins with a number.
fn numbered(name: &str, number: usize) -> String {
    format!("{name} {number} {}", "x".repeat(1024))[..1024].to_owned()
}

/// What `numbered` was given.
fn read(text: &str) -> (String, usize) {
    let mut words = text.split(' ');
    let name = words.next().unwrap().to_owned();
    (name, words.next().unwrap().parse().unwrap())
}

fn missed(count: usize) -> Vec<Publication> {
    (0..count).map(|number| Publication::new(numbered("missed", number))).collect()
}

async fn expect(raw: &mut Raw, name: &str, numbers: std::ops::Range<usize>) {
    for number in numbers {
        assert_eq!(read(&raw.text().await), (name.to_owned(), number));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_missed_comes_before_what_is_live() {
    let service = service(Limits::default());
    let clients = service.clients();
    let (mut raw, client) = connected(&service, 4096).await;
    let topic = client.subscribe_after("room", ["1".into(), "2".into()]).unwrap();
    assert_eq!((topic.name(), clients.subscribers("room")), ("room", 1));
    assert_eq!(clients.publish("room", "3"), Published::Here(1));
    client.subscribe_after("empty", []).unwrap();
    assert_eq!(clients.publish("empty", "4"), Published::Here(1));
    let mut texts = Vec::new();
    for _ in 0..4 {
        texts.push(raw.text().await);
    }
    texts.sort_by_key(|text| text == "4");
    assert_eq!(texts, ["1", "2", "3", "4"], "topics have no order between them");
    raw.expect_only(&[]).await;
    let metrics = clients.metrics();
    assert_eq!((metrics.broadcasts, metrics.delivered, metrics.dropped), (2, 4, 0));
}

/// Keeps what it publishes, for those who join.
#[derive(Default)]
struct Room(Mutex<Vec<Publication>>);

impl Room {
    fn publish(&self, clients: &Clients, text: String) {
        let mut all = self.0.lock().unwrap();
        all.push(text.into());
        clients.publish_here("room", all.last().unwrap().clone());
    }

    fn join(&self, client: &Client) {
        let all = self.0.lock().unwrap();
        client.subscribe_after("room", all.iter().cloned()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_join_while_several_publish_get_everything_once_and_in_one_order() {
    const PUBLISHERS: usize = 4;
    const MESSAGES: usize = 300;
    let service = service(Limits::default());
    let room = Arc::new(Room::default());
    let publishers: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let (room, clients) = (Arc::clone(&room), service.clients());
            tokio::spawn(async move {
                for number in 0..MESSAGES {
                    room.publish(&clients, numbered(&publisher.to_string(), number));
                    // About as fast as they are read.
                    sleep(Duration::from_millis(1)).await;
                }
            })
        })
        .collect();
    let mut readers = Vec::new();
    for wire in [512, 4096, 65_536, 4096, 512, 65_536] {
        let (mut raw, client) = connected(&service, wire).await;
        room.join(&client);
        readers.push(tokio::spawn(async move {
            let mut texts = Vec::new();
            while texts.len() < PUBLISHERS * MESSAGES {
                texts.push(raw.text().await);
            }
            texts
        }));
        sleep(Duration::from_millis(30)).await;
    }
    for publisher in publishers {
        publisher.await.unwrap();
    }
    let all: Vec<String> = {
        let all = room.0.lock().unwrap();
        all.iter().map(|one| one.parts().message.as_text().unwrap().to_owned()).collect()
    };
    for reader in readers {
        let texts = timeout(Duration::from_secs(60), reader).await.unwrap().unwrap();
        assert!(texts == all, "another order");
    }
    assert_eq!(service.clients().dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_missed_messages_wait_outside_of_the_send_buffer_and_stop_nothing_else() {
    const MISSED: usize = 10_000;
    let service = service(Limits::default());
    let clients = service.clients();
    let (mut raw, client) = connected(&service, 4096).await;
    let bound = Limits::default().send_buffer;
    client.subscribe("other").unwrap();
    client.subscribe_after("room", missed(MISSED)).unwrap();
    let (mut came, mut live, mut own, mut other, mut pongs) = (0, 0, 0, 0, 0);
    let (mut sent, mut published) = (0, 0);
    let mut own_since = 0;
    while came < MISSED || live < published {
        if came + live < 500 {
            // A client that reads slowly, so that its socket is full all the time.
            sleep(Duration::from_millis(10)).await;
        }
        let at = came + live;
        if at % 100 == 0 && sent == at / 100 && came < MISSED {
            clients.publish("room", numbered("live", published));
            clients.publish("other", numbered("other", published));
            client.sender().try_send(numbered("own", sent)).unwrap();
            raw.send(PING, b"?").await;
            (sent, published, own_since) = (sent + 1, published + 1, 0);
        }
        assert!(clients.metrics().queue_bytes <= bound, "{}", clients.metrics().queue_bytes);
        assert!(client.memory_usage() <= 256 * 1024, "{}", client.memory_usage());
        match raw.frame().await.unwrap() {
            (PONG, payload) => {
                assert_eq!(payload, b"?");
                pongs += 1;
            }
            (TEXT, payload) => {
                let (name, number) = read(std::str::from_utf8(&payload).unwrap());
                let counter = match name.as_str() {
                    "missed" => &mut came,
                    "live" => &mut live,
                    "other" => &mut other,
                    name => {
                        assert_eq!(name, "own");
                        assert!(own_since < 300, "it waited for {own_since} messages");
                        &mut own
                    }
                };
                assert_eq!(number, *counter, "{name}");
                *counter += 1;
                own_since += 1;
                assert!(live == 0 || came == MISSED, "live before {came}");
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((own, other, pongs, sent), (100, 100, 100, 100));
    clients.publish("room", "it goes on");
    raw.expect_only(&["it goes on"]).await;
    assert_eq!((clients.dropped(), clients.metrics().queue_bytes), (0, 0));
}

/// A client that reads nothing while so many live messages of a kibibyte come, each with a policy and
/// perhaps a key.
async fn behind(
    live: usize,
    limits: Limits,
    publication: impl Fn(usize) -> Publication,
) -> (Service, Raw) {
    let service = service(limits);
    let (raw, client) = connected(&service, 4096).await;
    client.subscribe_after("room", missed(1000)).unwrap();
    sleep(Duration::from_millis(1)).await;
    for number in 0..live {
        service.clients().publish("room", publication(number));
    }
    (service, raw)
}

/// How many kibibytes fit into `max_send_buffer`, each with what it counts besides.
const FIT: usize = 1024 * 1024 / (1024 + 64);

fn live(number: usize) -> Publication {
    Publication::new(numbered("live", number))
}

#[tokio::test(start_paused = true)]
async fn live_messages_wait_behind_it_up_to_the_upper_mark_alone() {
    let (service, mut raw) = behind(FIT, Limits::default(), live).await;
    let held = service.clients().metrics().queue_bytes;
    assert!(held > Limits::default().send_buffer * 3, "{held}");
    expect(&mut raw, "missed", 0..1000).await;
    expect(&mut raw, "live", 0..FIT).await;
    assert_eq!(service.clients().dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn beyond_the_upper_mark_a_policy_acts_on_live_messages_alone() {
    for policy in [SlowConsumer::DropOldest, SlowConsumer::DropNewest] {
        let publication = |number| live(number).slow_consumer(policy);
        let (service, mut raw) = behind(FIT + 100, Limits::default(), publication).await;
        let dropped = usize::try_from(service.clients().dropped()).unwrap();
        assert!((99..=101).contains(&dropped), "{dropped}");
        expect(&mut raw, "missed", 0..1000).await;
        let kept = match policy {
            SlowConsumer::DropOldest => dropped..FIT + 100,
            _ => 0..FIT + 100 - dropped,
        };
        expect(&mut raw, "live", kept).await;
        raw.expect_only(&[]).await;
    }
    let (service, mut raw) = behind(FIT + 100, Limits::default(), live).await;
    let mut came = 0;
    let close = loop {
        match raw.frame().await.unwrap() {
            (TEXT, payload) => {
                let text = std::str::from_utf8(&payload).unwrap().to_owned();
                assert_eq!(read(&text), ("missed".to_owned(), came));
                came += 1;
            }
            close => break close,
        }
    };
    assert_eq!((close.0, &close.1[..2]), (CLOSE, &1013_u16.to_be_bytes()[..]));
    let dropped = usize::try_from(service.clients().dropped()).unwrap();
    assert!(dropped + came >= 1000 + FIT && dropped + came <= 1002 + FIT, "{dropped} {came}");
}

#[tokio::test(start_paused = true)]
async fn large_live_message_passes_behind_it() {
    let large = |_| Publication::new("x".repeat(3 << 20));
    let (service, mut raw) = behind(1, Limits::default(), large).await;
    expect(&mut raw, "missed", 0..1000).await;
    assert_eq!(raw.text().await.len(), 3 << 20);
    assert_eq!(service.clients().dropped(), 0);
}

// As in a queue: what waits makes room for a message that would fit into none.
#[tokio::test(start_paused = true)]
async fn large_live_message_takes_the_place_of_older_ones() {
    let publication = |number: usize| {
        let large = Publication::new("x".repeat(3 << 20));
        let publication = if number < 10 { live(number) } else { large };
        publication.slow_consumer(SlowConsumer::DropOldest)
    };
    let (service, mut raw) = behind(11, Limits::default(), publication).await;
    expect(&mut raw, "missed", 0..1000).await;
    assert_eq!(raw.text().await.len(), 3 << 20);
    assert_eq!(service.clients().dropped(), 10);
}

#[tokio::test(start_paused = true)]
async fn keys_conflate_among_live_messages_alone() {
    let service = service(Limits::default());
    let clients = service.clients();
    let (mut raw, client) = connected(&service, 4096).await;
    let keyed = missed(1000).into_iter().map(|publication| publication.key("same"));
    client.subscribe_after("room", keyed).unwrap();
    for number in 0..100 {
        clients.publish("room", live(number).key("same"));
        clients.publish("room", live(number).key("other"));
    }
    expect(&mut raw, "missed", 0..1000).await;
    expect(&mut raw, "live", 99..100).await;
    expect(&mut raw, "live", 99..100).await;
    raw.expect_only(&[]).await;
    assert_eq!(clients.dropped(), 198);
}

#[tokio::test(start_paused = true)]
async fn several_topics_are_refilled_in_turns() {
    let service = service(Limits::default());
    let (mut raw, client) = connected(&service, 4096).await;
    for name in ["a", "b"] {
        let missed = (0..300).map(|number| Publication::new(numbered(name, number)));
        client.subscribe_after(name, missed).unwrap();
    }
    let (mut a, mut b) = (0, 0);
    while a + b < 600 {
        let (name, number) = read(&raw.text().await);
        let counter = if name == "a" { &mut a } else { &mut b };
        assert_eq!(number, *counter);
        *counter += 1;
        // What was taken before the second came is ahead.
        assert!(a.abs_diff(b) < 80 || a + b > 500, "{a} {b}");
    }
}

/// A client takes 8 messages every 10 ms, and another topic has 6 for it: more than half.
#[tokio::test(start_paused = true)]
async fn busy_topic_is_not_brought_to_its_policy_by_the_refill_of_another() {
    const MISSED: usize = 2000;
    let limits = limits(|limits| limits.ping_interval = Duration::from_secs(3600));
    let service = service(limits);
    let clients = service.clients();
    let (mut raw, client) = connected(&service, 4096).await;
    client.subscribe("busy").unwrap();
    client.subscribe_after("room", missed(MISSED)).unwrap();
    let (mut published, mut busy, mut came) = (0, 0, 0);
    while came < MISSED {
        for _ in 0..6 {
            clients.publish("busy", numbered("busy", published));
            published += 1;
        }
        for _ in 0..8 {
            let (name, number) = read(&raw.text().await);
            let counter = if name == "busy" { &mut busy } else { &mut came };
            assert_eq!(number, *counter, "{name}");
            *counter += 1;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert!(published > 5000, "{published}");
    expect(&mut raw, "busy", busy..published).await;
    assert_eq!(clients.dropped(), 0);
}

/// A client that is sent large messages that it missed, while its handler sends without end.
#[tokio::test(start_paused = true)]
async fn large_missed_messages_leave_half_to_own_ones() {
    let service = service(Limits::default());
    let (mut raw, client) = connected(&service, 4096).await;
    let large = (0..20).map(|_| Publication::new("x".repeat(200_000)));
    client.subscribe_after("room", large).unwrap();
    let sender = client.sender();
    let sending = tokio::spawn(async move {
        for number in 0.. {
            sender.send(numbered("own", number)).await.unwrap();
        }
    });
    let (mut own, mut came) = (0, 0);
    while came < 20 {
        match raw.text().await.len() {
            1024 => own += 1,
            len => {
                assert_eq!(len, 200_000);
                came += 1;
            }
        }
    }
    assert!((3000..5000).contains(&own), "{own}");
    sending.abort();
}

#[tokio::test(start_paused = true)]
async fn messages_in_pieces_without_end_leave_half_to_missed_ones() {
    const MISSED: usize = 1000;
    let service = Server::new()
        .any(|mut ws: WebSocket| async move {
            ws.send("ready").await?;
            loop {
                let mut writer = ws.send_streaming(ws_server::MessageKind::Text);
                for _ in 0..100 {
                    writer.write("x".repeat(1024)).await?;
                }
                writer.finish().await?;
            }
        })
        .service()
        .unwrap();
    let (mut raw, client) = connected(&service, 4096).await;
    client.subscribe_after("room", missed(MISSED)).unwrap();
    let (mut pieces, mut came) = (0, 0);
    while came < MISSED {
        match raw.frame().await.unwrap() {
            (TEXT, payload) if !payload.starts_with(b"x") => {
                let text = std::str::from_utf8(&payload).unwrap();
                assert_eq!(read(text), ("missed".to_owned(), came));
                came += 1;
            }
            (first, _) if first & 0x0f <= 1 => pieces += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!((500..3000).contains(&pieces), "{pieces}");
}

#[tokio::test(start_paused = true)]
async fn unsubscribe_drops_the_rest_and_a_later_subscription_begins_anew() {
    let service = service(Limits::default());
    let clients = service.clients();
    let (mut raw, client) = connected(&service, 4096).await;
    client.subscribe_after("room", missed(1000)).unwrap();
    expect(&mut raw, "missed", 0..10).await;
    clients.publish("room", "never");
    assert!(client.unsubscribe("room"));
    client.subscribe_after("room", ["again".into()]).unwrap();
    clients.publish("room", "live");
    let mut came = 10;
    loop {
        match raw.text().await.as_str() {
            "again" => break,
            text => assert_eq!(read(text), ("missed".to_owned(), came)),
        }
        came += 1;
    }
    assert!(came < 200, "{came}");
    raw.expect_only(&["live"]).await;
    assert_eq!(clients.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn close_and_flush_do_not_wait_for_it() {
    let service = service(Limits::default());
    let (mut raw, client) = connected(&service, 4096).await;
    client.subscribe_after("room", missed(1000)).unwrap();
    sleep(Duration::from_millis(1)).await;
    client.sender().send("own").await.unwrap();
    let flushing = client.sender();
    let flushed = tokio::spawn(async move { flushing.flush().await });
    let mut came = 0;
    while raw.text().await != "own" {
        came += 1;
    }
    assert!(came < 200, "{came}");
    expect(&mut raw, "missed", came..came + 70).await;
    assert_eq!(timeout(Duration::from_secs(1), flushed).await.unwrap().unwrap(), Ok(()));
    client.sender().close(CloseCode::NORMAL, "").unwrap();
    assert_eq!(client.subscribe_after("news", missed(1)).unwrap_err(), SubscribeError::Closed);
    let mut more = 0;
    while raw.frame().await.unwrap().0 == TEXT {
        more += 1;
    }
    assert!(more < 200, "{more}");
    assert_eq!(service.clients().dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn client_that_subscribes_already_gets_it_after_what_was_queued() {
    let service = service(Limits::default());
    let clients = service.clients();
    let (mut raw, client) = connected(&service, 4096).await;
    client.subscribe("room").unwrap();
    for number in 0..100 {
        clients.publish("room", live(number));
    }
    client.subscribe_after("room", missed(50)).unwrap();
    clients.publish("room", numbered("then", 0));
    client.subscribe_after("room", missed(20)).unwrap();
    clients.publish("room", numbered("then", 1));
    assert_eq!(clients.subscribers("room"), 1);
    expect(&mut raw, "live", 0..100).await;
    expect(&mut raw, "missed", 0..50).await;
    expect(&mut raw, "then", 0..1).await;
    expect(&mut raw, "missed", 0..20).await;
    expect(&mut raw, "then", 1..2).await;
}

#[tokio::test(start_paused = true)]
async fn refused_subscription_sends_nothing_and_excepted_messages_are_left_out() {
    let limits = limits(|limits| (limits.max_topic, limits.max_subscriptions) = (4, 1));
    let service = service(limits);
    let (mut raw, client) = connected(&service, 4096).await;
    let (mut other, _) = connected(&service, 4096).await;
    let too_long = client.subscribe_after("a room", ["1".into()]).unwrap_err();
    assert!(matches!(too_long, SubscribeError::TopicTooLong { len: 6, limit: 4 }));
    client.subscribe("room").unwrap();
    let too_many = client.subscribe_after("news", ["2".into()]).unwrap_err();
    assert!(matches!(too_many, SubscribeError::TooMany { limit: 1 }));
    client.unsubscribe("room");
    let missed = [Publication::new("3").except(client.id()), "4".into()];
    client.subscribe_after("room", missed.clone()).unwrap();
    service.clients().list()[1].subscribe_after("room", missed).unwrap();
    raw.expect_only(&["4"]).await;
    other.expect_only(&["3", "4"]).await;
}

#[tokio::test(start_paused = true)]
async fn it_waits_for_the_end_of_a_message_in_pieces() {
    let service = Server::new()
        .any(|mut ws: WebSocket| async move {
            ws.send("ready").await?;
            let mut writer = ws.send_streaming(ws_server::MessageKind::Text);
            writer.write("one ").await?;
            sleep(Duration::from_secs(1)).await;
            writer.write("two").await?;
            writer.finish().await?;
            echo(ws).await
        })
        .service()
        .unwrap();
    let (mut raw, client) = connected(&service, 4096).await;
    sleep(Duration::from_millis(1)).await;
    client.subscribe_after("room", missed(20)).unwrap();
    raw.send(PING, b"?").await;
    let (mut text, mut last) = (Vec::new(), false);
    while !last {
        let (first, payload) = raw.frame().await.unwrap();
        match first & 0x0f {
            0xa => assert_eq!(payload, b"?"),
            _ => {
                text.extend_from_slice(&payload);
                last = first & 0x80 != 0;
            }
        }
    }
    assert_eq!(text, b"one two");
    expect(&mut raw, "missed", 0..20).await;
    raw.expect_only(&[]).await;
}

#[tokio::test(start_paused = true)]
async fn publisher_that_waits_waits_for_what_is_behind() {
    // It reads for far longer than `write_timeout`, without a word.
    let limits = limits(|limits| limits.ping_interval = Duration::from_secs(3600));
    let (service, mut raw) = behind(0, limits, live).await;
    let clients = service.clients();
    let publishing = tokio::spawn(async move {
        for number in 0..2000 {
            assert_eq!(clients.publish_wait("room", live(number)).await, Published::Here(1));
        }
    });
    for number in 0..1000 {
        expect(&mut raw, "missed", number..number + 1).await;
        sleep(Duration::from_millis(100)).await;
        let waiting = service.clients().metrics().queue_bytes;
        assert!(waiting <= Limits::default().send_buffer + 2048, "{waiting}");
    }
    assert!(!publishing.is_finished());
    expect(&mut raw, "live", 0..2000).await;
    publishing.await.unwrap();
    assert_eq!(service.clients().dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn connection_that_ends_in_the_middle_leaves_nothing() {
    let service = service(Limits::default());
    let clients = service.clients();
    let payload = ws_server::Bytes::from(vec![7; 4096]);
    let (raw, client) = connected(&service, 4096).await;
    let publication = Publication::new(payload.clone());
    client.subscribe_after("room", (0..1000).map(|_| publication.clone())).unwrap();
    drop(raw);
    client.sender().closed().await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!((clients.count(), clients.topic_count()), (0, 0));
    assert_eq!(clients.metrics().queue_bytes, 0);
    assert!(client.subscribe_after("room", [publication]).is_err());
    assert!(payload.is_unique(), "somebody keeps it");
}

#[tokio::test(start_paused = true)]
async fn clones_of_a_publication_are_encoded_once_for_all_who_get_them_at_any_time() {
    let counting = Counting::default();
    let service = Server::new().extension(counting.factory("x-counts")).any(ready);
    let service = service.service().unwrap();
    let clients = service.clients();
    let history = missed(10);
    let mut raws = Vec::new();
    for _ in 0..20 {
        let offer = "Sec-WebSocket-Extensions: x-counts\r\n";
        let (mut raw, _) = open_with(&service, "/", offer, 1 << 16).await;
        assert_eq!(raw.text().await, "ready");
        let client = clients.list().pop().unwrap();
        client.subscribe_after("room", history.iter().cloned()).unwrap();
        expect(&mut raw, "missed", 0..10).await;
        raws.push(raw);
    }
    assert_eq!(counting.encoded(), 10);
    let publication = Publication::new("to several topics");
    for topic in ["room", "nobody", "room"] {
        clients.publish(topic, publication.clone());
    }
    for raw in &mut raws {
        raw.expect_only(&["to several topics", "to several topics"]).await;
    }
    assert_eq!(counting.encoded(), 11);
}

#[derive(Clone, Debug)]
enum Act {
    /// So many of a topic.
    Missed(usize, usize),
    Live(usize, SlowConsumer),
    Own,
    Unsubscribe(usize),
    /// The client takes so many messages.
    Take(usize),
}

const TOPICS: [&str; 3] = ["a", "b", "c"];

fn act() -> impl Strategy<Value = Act> {
    let policy = prop_oneof![Just(SlowConsumer::DropOldest), Just(SlowConsumer::DropNewest)];
    prop_oneof![
        3 => (0..TOPICS.len(), 1..40_usize).prop_map(|(topic, count)| Act::Missed(topic, count)),
        8 => (0..TOPICS.len(), policy).prop_map(|(topic, policy)| Act::Live(topic, policy)),
        4 => Just(Act::Own),
        1 => (0..TOPICS.len()).prop_map(Act::Unsubscribe),
        4 => (1..20_usize).prop_map(Act::Take),
    ]
}

/// What was sent to a client of a topic, by number, and what became of it.
#[derive(Default)]
struct Sent {
    next: usize,
    missed: Vec<usize>,
    live: usize,
    came: Vec<usize>,
    /// Whether it was unsubscribed from, which may lose what waits.
    cut: bool,
}

async fn acts_as_promised(acts: &[Act]) {
    let limits = limits(|limits| (limits.send_buffer, limits.max_send_buffer) = (4096, 16_384));
    let service = service(limits);
    let clients = service.clients();
    let (mut raw, client) = connected(&service, 1024).await;
    let mut sent: [Sent; TOPICS.len()] = Default::default();
    let (mut own, mut own_came) = (0, 0);
    let mut note = |sent: &mut [Sent], payload: &[u8]| {
        let (name, number) = read(std::str::from_utf8(payload).unwrap());
        match TOPICS.iter().position(|topic| **topic == name) {
            Some(topic) => sent[topic].came.push(number),
            None => {
                assert_eq!((name.as_str(), number), ("own", own_came), "own messages in order");
                own_came += 1;
            }
        }
    };
    for act in acts {
        match *act {
            Act::Missed(topic, count) => {
                let of = &mut sent[topic];
                let numbers = of.next..of.next + count;
                of.next += count;
                of.missed.extend(numbers.clone());
                let missed = numbers.map(|number| numbered(TOPICS[topic], number).into());
                client.subscribe_after(TOPICS[topic], missed).unwrap();
            }
            Act::Live(topic, policy) => {
                let of = &mut sent[topic];
                let text = numbered(TOPICS[topic], of.next);
                let publication = Publication::new(text).slow_consumer(policy);
                if clients.subscribers(TOPICS[topic]) > 0 {
                    of.live += 1;
                    of.next += 1;
                }
                clients.publish(TOPICS[topic], publication);
            }
            Act::Own => {
                if client.sender().try_send(numbered("own", own)).is_ok() {
                    own += 1;
                }
            }
            Act::Unsubscribe(topic) => sent[topic].cut |= client.unsubscribe(TOPICS[topic]),
            Act::Take(count) => {
                for _ in 0..count {
                    match timeout(Duration::from_millis(1), raw.frame()).await {
                        Ok(frame) => note(&mut sent, &frame.unwrap().1),
                        Err(_) => break,
                    }
                }
            }
        }
        assert!(clients.metrics().queue_bytes <= 16_384 + 4096 + 1100);
    }
    while let Ok(frame) = timeout(Duration::from_secs(1), raw.frame()).await {
        note(&mut sent, &frame.unwrap().1);
    }
    assert_eq!(own_came, own, "no own message is lost");
    assert_eq!(
        (client.topics().is_empty(), clients.metrics().queue_bytes),
        (clients.topic_count() == 0, 0)
    );
    let mut lost = 0;
    for of in &sent {
        assert!(of.came.is_sorted_by(|a, b| a < b), "in order, none twice: {:?}", of.came);
        let missed = |number: &&usize| of.missed.binary_search(number).is_ok();
        let came = of.came.iter().filter(missed).count();
        assert!(of.cut || came == of.missed.len(), "{came} of {}", of.missed.len());
        lost += of.live - (of.came.len() - came);
    }
    let dropped = usize::try_from(clients.dropped()).unwrap();
    if sent.iter().any(|of| of.cut) {
        assert!(dropped <= lost, "{dropped} of {lost}");
    } else {
        assert_eq!(dropped, lost, "what does not come is counted");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_else_happens_it_comes_in_order_and_whole(acts in vec(act(), 0..80)) {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(acts_as_promised(&acts));
    }
}
