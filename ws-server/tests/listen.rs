//! Tasks of the application that receive a topic.
#![allow(clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use support::{Raw, limits, open, service};
use tokio::{
    sync::Barrier,
    task::{JoinHandle, unconstrained},
    time::timeout,
};
use ws_server::{
    Clients, Lagged, Limits, Message, Publication, Server, Service, SlowConsumer, SubscribeError,
    Subscription, WebSocket,
};

/// A server whose clients only wait.
fn quiet(limits: Limits) -> Service {
    service(limits, |mut ws: WebSocket| async move {
        while ws.recv().await.is_some() {}
        Ok(())
    })
}

async fn texts(topic: &mut Subscription, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        texts.push(topic.recv().await.unwrap().as_text().unwrap().to_owned());
    }
    texts
}

/// Nothing waits.
async fn is_empty(topic: &mut Subscription) -> bool {
    timeout(Duration::from_secs(1), topic.recv()).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn task_gets_what_is_published_while_it_listens_in_order() {
    let clients = quiet(Limits::default()).clients();
    assert_eq!(clients.publish("news", "before").here(), 0);
    let mut news = clients.listen("news").unwrap();
    assert_eq!((news.topic(), clients.subscribers("news")), ("news", 1));
    for text in ["1", "2", "3"] {
        assert_eq!(clients.publish("news", text).here(), 1);
    }
    clients.publish("sport", "another topic");
    assert_eq!(clients.publish("news", Publication::new("mine").except(news.id())).here(), 0);
    assert_eq!(texts(&mut news, 3).await, ["1", "2", "3"]);
    assert!(is_empty(&mut news).await);
    clients.publish("news", "4");
    assert_eq!(texts(&mut news, 1).await, ["4"]);
    drop(news);
    assert_eq!((clients.subscribers("news"), clients.topic_count()), (0, 0));
    assert_eq!(clients.publish("news", "after").here(), 0);
}

// Beside the connections of the topic, which see the same order.
#[tokio::test(start_paused = true)]
async fn task_is_a_subscriber_and_no_connection() {
    let service = service(Limits::default(), |mut ws: WebSocket| async move {
        ws.subscribe("room")?;
        ws.send("ready").await?;
        while ws.recv().await.is_some() {}
        Ok(())
    });
    let clients = service.clients();
    let mut room = clients.listen("room").unwrap();
    let mut client: Raw = open(&service).await.0;
    assert_eq!(client.text().await, "ready");
    assert_eq!((clients.subscribers("room"), clients.subscribed("room").len()), (2, 1));
    assert_eq!((clients.count(), clients.metrics().subscriptions), (1, 2));
    assert_eq!(clients.publish("room", "hello").here(), 2);
    assert_eq!(client.text().await, "hello");
    assert_eq!(texts(&mut room, 1).await, ["hello"]);
    clients.send_all("to all connections");
    assert_eq!(client.text().await, "to all connections");
    assert!(is_empty(&mut room).await);
}

// `SlowConsumer`, as for a client: by default what builds on what was dropped does not come.
#[tokio::test(start_paused = true)]
async fn task_that_does_not_keep_up_meets_the_policy() {
    let small = limits(|limits| (limits.send_buffer, limits.max_send_buffer) = (1000, 4000));
    let clients = quiet(small).clients();
    let large = |n: usize| Publication::new(format!("{n:>1000}"));

    let mut oldest = clients.listen("drop-oldest").unwrap();
    for n in 0..10 {
        clients.publish("drop-oldest", large(n).slow_consumer(SlowConsumer::DropOldest));
    }
    let kept = 10 - oldest.dropped() as usize;
    assert!((3..=5).contains(&kept), "{kept}");
    let got = texts(&mut oldest, kept).await;
    assert_eq!(got.last().unwrap().trim(), "9");
    assert!(is_empty(&mut oldest).await);

    let mut newest = clients.listen("drop-newest").unwrap();
    for n in 0..10 {
        clients.publish("drop-newest", large(n).slow_consumer(SlowConsumer::DropNewest));
    }
    let kept = 10 - newest.dropped() as usize;
    assert_eq!(texts(&mut newest, kept).await.last().unwrap().trim(), (kept - 1).to_string());

    let mut keyed = clients.listen("keyed").unwrap();
    for n in 0..1000 {
        clients.publish("keyed", large(n).key("price"));
    }
    assert_eq!(texts(&mut keyed, 1).await[0].trim(), "999", "the newest alone waits");

    let mut closed = clients.listen("close").unwrap();
    for n in 0..10 {
        clients.publish("close", large(n));
    }
    assert_eq!(closed.recv().await, Err(Lagged));
    assert_eq!(closed.recv().await, Err(Lagged));
    assert_eq!(clients.subscribers("close"), 0);
    assert_eq!(clients.publish("close", "gone").here(), 0);
    assert!(closed.dropped() >= 5, "{}", closed.dropped());
}

#[tokio::test(start_paused = true)]
async fn publisher_that_waits_loses_nothing() {
    let small = limits(|limits| (limits.send_buffer, limits.max_send_buffer) = (1000, 4000));
    let clients = quiet(small).clients();
    let mut topic = clients.listen("topic").unwrap();
    let publisher: JoinHandle<()> = tokio::spawn({
        let clients = clients.clone();
        async move {
            for n in 0..200 {
                clients.publish_wait("topic", format!("{n:>1000}")).await;
            }
        }
    });
    let got = texts(&mut topic, 200).await;
    assert!(got.iter().enumerate().all(|(n, text)| text.trim() == n.to_string()));
    assert_eq!(topic.dropped(), 0);
    publisher.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn publisher_that_waits_passes_over_a_task_that_does_not_receive() {
    let service = quiet(limits(|limits| limits.send_buffer = 1000));
    let clients = service.clients();
    let mut topic = clients.listen("topic").unwrap();
    // Its own messages, for example.
    for text in ["a", "b", "c"] {
        let wait = clients.publish_wait("topic", text.repeat(1000));
        assert!(timeout(Duration::from_secs(21), wait).await.is_ok(), "{text}");
    }
    for text in ["a", "b", "c"] {
        assert_eq!(texts(&mut topic, 1).await, [text.repeat(1000)]);
    }
}

// Dropped at every point at which it waits.
#[tokio::test]
async fn dropped_recv_loses_no_message() {
    let clients = quiet(Limits::default()).clients();
    let mut topic = clients.listen("topic").unwrap();
    for n in 0..1000 {
        let early = timeout(Duration::ZERO, unconstrained(topic.recv())).await;
        assert!(early.is_err(), "nothing is there");
        clients.publish("topic", n.to_string());
        assert_eq!(texts(&mut topic, 1).await, [n.to_string()]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost_between_threads() {
    const EACH: usize = 20_000;
    let clients = quiet(Limits::default()).clients();
    let start = Arc::new(Barrier::new(3));
    let listener = tokio::spawn({
        let mut topic = clients.listen("topic").unwrap();
        let start = Arc::clone(&start);
        async move {
            start.wait().await;
            let mut last = [None::<usize>; 2];
            for _ in 0..2 * EACH {
                let message = topic.recv().await.unwrap();
                let (who, n) = message.as_text().unwrap().split_once(' ').unwrap();
                let (who, n): (usize, usize) = (who.parse().unwrap(), n.parse().unwrap());
                assert!(last[who].is_none_or(|last| last < n), "in order");
                last[who] = Some(n);
            }
        }
    });
    let publish = |who: usize| {
        let (clients, start): (Clients, _) = (clients.clone(), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            for n in 0..EACH {
                clients.publish_wait("topic", format!("{who} {n}")).await;
            }
        })
    };
    let publishers = [publish(0), publish(1)];
    timeout(Duration::from_secs(60), listener).await.expect("it is woken").unwrap();
    for publisher in publishers {
        publisher.await.unwrap();
    }
}

#[test]
fn mistakes_are_told_and_no_runtime_is_needed() {
    let server = Server::new().limits(Limits::default().max_topic(4));
    let clients = server.service().unwrap().clients();
    let error = clients.listen("topics").unwrap_err();
    assert_eq!(error, SubscribeError::TopicTooLong { len: 6, limit: 4 });
    let mut topic = clients.listen("four").unwrap();
    clients.publish("four", "1");
    let mut recv = Box::pin(topic.recv());
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = recv.as_mut().poll(&mut cx);
    assert_eq!(polled, std::task::Poll::Ready(Ok(Message::from("1"))));
}

#[cfg(feature = "futures")]
#[tokio::test(start_paused = true)]
async fn subscription_is_a_stream_that_ends_after_it_lagged() {
    use futures_util::StreamExt;
    let small = limits(|limits| (limits.send_buffer, limits.max_send_buffer) = (10, 10));
    let clients = quiet(small).clients();
    let mut topic = clients.listen("topic").unwrap();
    clients.publish("topic", "1");
    assert_eq!(topic.next().await, Some(Ok("1".into())));
    for _ in 0..3 {
        clients.publish("topic", "more than there is room for");
    }
    assert_eq!(topic.next().await, Some(Err(Lagged)));
    assert_eq!(topic.next().await, None);
}
