//! Who subscribes to a topic gets what is published to it, from then on and until the end.
#![allow(clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use support::{
    CLOSE, Raw, TEXT, echo, limits, open, open_with,
    order::{READERS, all_see_one_order},
    service,
};
use tokio::{
    io::AsyncWriteExt,
    sync::{Barrier, mpsc},
    time::{sleep, timeout},
};
use ws_server::{
    Client, Clients, CloseCode, Compression, Limits, Publication, Server, Service, SubscribeError,
    Topic, WebSocket,
};

/// Echoes, and subscribes to what the query says, which it tells the client.
async fn subscriber(mut ws: WebSocket) -> support::Handled {
    let topics = ws.request().query().unwrap_or_default().to_owned();
    for topic in topics.split('&').filter(|topic| !topic.is_empty()) {
        ws.subscribe(topic)?;
    }
    ws.send("ready").await?;
    echo(ws).await
}

async fn subscribed(service: &Service, topics: &str) -> Raw {
    let (mut raw, _) = open_with(service, &format!("/?{topics}"), "", 4096).await;
    assert_eq!(raw.text().await, "ready");
    raw
}

#[tokio::test(start_paused = true)]
async fn what_is_published_comes_to_the_subscribers_of_the_topic_and_to_nobody_else() {
    let service = service(Limits::default(), subscriber);
    let clients = service.clients();
    let mut ann = subscribed(&service, "news&sport").await;
    let mut bob = subscribed(&service, "news").await;
    let mut eve = subscribed(&service, "").await;
    assert_eq!(clients.publish("news", "1").here(), 2);
    assert_eq!(clients.publish("sport", "2").here(), 1);
    assert_eq!(clients.publish("new", "a part of a name is another topic").here(), 0);
    assert_eq!(clients.publish("", "nobody").here(), 0);
    let bob_is = clients.list()[1].id();
    assert_eq!(clients.publish("news", Publication::new("3").except(bob_is)).here(), 1);
    let hinted = Publication::new("4").compression(Compression::Never);
    assert_eq!(clients.publish("news", hinted).here(), 2);
    assert_eq!(clients.send_all(Publication::new("5").except(bob_is)).here(), 2);
    ann.expect_only(&["1", "2", "3", "4", "5"]).await;
    bob.expect_only(&["1", "4"]).await;
    eve.expect_only(&["5"]).await;
    assert_eq!(clients.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn topics_are_counted_and_listed_while_somebody_subscribes() {
    let service = service(Limits::default(), subscriber);
    let clients = service.clients();
    assert_eq!((clients.topic_count(), clients.topics()), (0, vec![]));
    let _ann = subscribed(&service, "news&sport").await;
    let bob = subscribed(&service, "news").await;
    assert_eq!((clients.subscribers("news"), clients.subscribers("sport")), (2, 1));
    assert_eq!(clients.subscribers("weather"), 0);
    let named = |topic: &str, count| (Arc::from(topic), count);
    assert_eq!(clients.topics(), [named("news", 2), named("sport", 1)]);
    assert_eq!(clients.topic_count(), 2);
    let list = clients.list();
    assert_eq!(list[0].topics(), [Arc::from("news"), Arc::from("sport")]);
    let ids: Vec<_> = clients.subscribed("news").iter().map(Client::id).collect();
    assert_eq!(ids, [list[0].id(), list[1].id()], "in the order in which they came");
    let metrics = clients.metrics();
    assert_eq!((metrics.topics, metrics.subscriptions), (2, 3));

    assert!(list[0].unsubscribe("sport"));
    assert!(!list[0].unsubscribe("sport"), "once");
    assert!(!list[0].unsubscribe("weather"));
    assert_eq!(clients.topics(), [named("news", 2)]);
    drop(bob);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(clients.topics(), [named("news", 1)]);
    assert_eq!(clients.metrics().subscriptions, 1);
}

#[tokio::test(start_paused = true)]
async fn handler_publishes_to_all_or_to_the_others() {
    let handler = |mut ws: WebSocket| async move {
        let room = ws.subscribe("room")?;
        assert_eq!(room.name(), "room");
        ws.send("ready").await?;
        while let Some(message) = ws.recv().await {
            match message.as_bytes() {
                b"last" => ws.send(message).await?,
                b"leave" => {
                    assert!(room.unsubscribe() && !room.unsubscribe());
                    assert_eq!(room.publish("from outside").here(), room.subscribers());
                }
                [b'o', ..] => assert_eq!(room.publish_to_others(message).here(), 1),
                _ => assert_eq!(room.publish(message).here(), 2),
            }
        }
        Ok(())
    };
    let service = service(Limits::default(), handler);
    let mut ann = subscribed(&service, "").await;
    let mut bob = subscribed(&service, "").await;
    ann.send(TEXT, b"all").await;
    ann.expect_only(&["all"]).await;
    ann.send(TEXT, b"others").await;
    ann.expect_only(&[]).await;
    bob.expect_only(&["all", "others"]).await;
    ann.send(TEXT, b"leave").await;
    ann.expect_only(&[]).await;
    bob.expect_only(&["from outside"]).await;
}

#[tokio::test(start_paused = true)]
async fn subscribing_twice_is_subscribing_once_and_dropping_the_handle_ends_nothing() {
    let handler = |ws: WebSocket| async move {
        drop((ws.subscribe("room")?, ws.subscribe("room")?));
        subscriber(ws).await
    };
    let service = service(Limits::default(), handler);
    let mut raw = subscribed(&service, "room").await;
    assert_eq!(service.clients().publish("room", "once").here(), 1);
    raw.expect_only(&["once"]).await;
    assert!(service.clients().list()[0].unsubscribe("room"));
    assert_eq!(service.clients().publish("room", "never").here(), 0);
    raw.expect_only(&[]).await;
}

// DESIGN §7.5: a tag is a topic.
#[tokio::test(start_paused = true)]
async fn connections_of_a_user_are_found_counted_and_reached_by_their_topic() {
    let service = service(Limits::default(), subscriber);
    let clients = service.clients();
    let mut phone = subscribed(&service, "user/ann").await;
    let mut laptop = subscribed(&service, "").await;
    let mut other = subscribed(&service, "user/bob").await;
    // From outside: by the entry in the list.
    let topic: Topic = clients.list()[1].subscribe("user/ann").unwrap();
    assert_eq!(topic.subscribers(), 2);
    assert_eq!(clients.subscribers("user/ann"), 2);
    assert_eq!(clients.publish("user/ann", "for Ann").here(), 2);
    phone.expect_only(&["for Ann"]).await;
    laptop.expect_only(&["for Ann"]).await;
    other.expect_only(&[]).await;
    for client in clients.subscribed("user/ann") {
        client.sender().close(CloseCode::new(4001), "signed out").unwrap();
    }
    phone.expect_close(4001).await;
    laptop.expect_close(4001).await;
    assert_eq!(clients.subscribers("user/ann"), 2, "until they are gone");
    assert_eq!(clients.publish("user/ann", "too late").here(), 0);
    other.expect_only(&[]).await;
}

// RT-52
#[tokio::test(start_paused = true)]
async fn rt_52_subscriptions_of_a_connection_and_names_of_topics_are_bounded() {
    let service = service(limits(|limits| limits.max_topic = 10), subscriber);
    let clients = service.clients();
    let _raw = subscribed(&service, "").await;
    let client = clients.list().remove(0);
    for i in 0..256 {
        client.subscribe(format!("topic {i}")).unwrap();
    }
    let full = client.subscribe("one more").unwrap_err();
    assert_eq!(full, SubscribeError::TooMany { limit: 256 });
    let remedy = "unsubscribe from one, or raise Limits::max_subscriptions";
    assert_eq!(
        full.to_string(),
        format!("a connection subscribes to at most 256 topics: {remedy}")
    );
    client.subscribe("topic 7").expect("one that it has");
    assert_eq!((clients.topic_count(), clients.metrics().subscriptions), (256, 256));
    assert!(client.unsubscribe("topic 7"));
    client.subscribe("0123456789").unwrap();
    assert!(client.unsubscribe("0123456789"));
    let long = client.subscribe("0123456789a").unwrap_err();
    assert_eq!(long, SubscribeError::TopicTooLong { len: 11, limit: 10 });
    assert_eq!(clients.topic_count(), 255);
}

/// The ways in which a connection ends.
const ENDS: [&str; 8] =
    ["close", "panic", "fail", "return", "fault", "vanish", "abort", "slow consumer"];

#[tokio::test(start_paused = true)]
async fn subscriptions_end_exactly_with_their_connection_whatever_ended_it() {
    let (told, mut late) = mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let told = told.clone();
        async move {
            ws.subscribe("room")?;
            ws.subscribe("another room")?;
            while let Some(message) = ws.recv().await {
                match message.as_bytes() {
                    b"panic" => panic!("as asked for"),
                    b"fail" => return Err("as asked for".into()),
                    b"return" => return Ok(()),
                    _ => ws.send(message).await?,
                }
            }
            // The connection is over, but the handler is not.
            told.send(ws.subscribe("late").unwrap_err())?;
            Ok(())
        }
    };
    let service = service(Limits::default(), handler);
    let clients = service.clients();
    for end in ENDS {
        let (mut raw, task) = open(&service).await;
        raw.expect_only(&[]).await;
        let topics: Vec<_> = clients.topics().into_iter().map(|(_, count)| count).collect();
        assert_eq!(topics, [1, 1], "{end}");
        let client = clients.list().remove(0);
        match end {
            "close" => raw.send(CLOSE, &1000_u16.to_be_bytes()).await,
            "fault" => raw.send(0x83, b"").await,
            "abort" => task.abort(),
            "slow consumer" => while clients.publish("room", vec![7; 10_000]).here() > 0 {},
            "vanish" => {}
            _ => raw.send(TEXT, end.as_bytes()).await,
        }
        if end == "vanish" {
            drop(raw);
        } else {
            loop {
                match raw.frame().await {
                    Some((CLOSE, code)) => {
                        let count = clients.subscribers("room");
                        assert!(end != "return" || count == 1, "the Close is not answered");
                        raw.io.write_all(&support::masked(CLOSE, &code[..2])).await.ok();
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            assert_eq!(clients.topic_count(), 0, "{end}: gone when the client sees the end");
            drop(raw);
        }
        assert_eq!(task.await.is_err(), end == "abort");
        assert_eq!((clients.count(), clients.topic_count()), (0, 0), "{end}");
        assert_eq!(clients.metrics().subscriptions, 0);
        assert_eq!(clients.publish("room", "nobody").here(), 0);
        assert_eq!(client.subscribe("room").unwrap_err(), SubscribeError::Closed, "{end}");
        if let Ok(error) = late.try_recv() {
            assert_eq!(error, SubscribeError::Closed);
        } else {
            assert!(matches!(end, "panic" | "fail" | "return" | "abort"), "{end}");
        }
        assert_eq!(clients.topic_count(), 0);
    }
}

/// Connections that subscribe, publish and leave at the same time: who has subscribed gets what is
/// published from then on.
async fn come_and_go() {
    const TASKS: usize = 8;
    const ROUNDS: usize = 50;
    let service = service(Limits::default(), subscriber);
    let barrier = Arc::new(Barrier::new(TASKS));
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let (service, barrier) = (service.clone(), Arc::clone(&barrier));
            tokio::spawn(async move {
                let clients = service.clients();
                let mut raw = subscribed(&service, "").await;
                let own = subscribed(&service, &format!("own-{task}")).await;
                let own_is = clients.subscribed(&format!("own-{task}"))[0].id();
                for round in 0..ROUNDS {
                    barrier.wait().await;
                    let client = clients.get(own_is).unwrap();
                    let topic = client.subscribe("all").unwrap();
                    let text = format!("{task} {round}");
                    topic.publish(text.as_str());
                    assert!(topic.unsubscribe());
                    assert!(clients.subscribers("all") < TASKS);
                }
                raw.expect_only(&[]).await;
                // What was handed over is there when all who delivered have returned.
                barrier.wait().await;
                let mut own = own;
                own.send(TEXT, b"last").await;
                let mut rounds: Vec<usize> = vec![];
                loop {
                    match own.text().await {
                        text if text == "last" => break,
                        text => {
                            let (from, round) = text.split_once(' ').unwrap();
                            if from.parse() == Ok(task) {
                                rounds.push(round.parse().unwrap());
                            }
                        }
                    }
                }
                assert_eq!(rounds, Vec::from_iter(0..ROUNDS), "each came once and in order");
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let gone = async {
        while service.clients().topic_count() > 0 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(Duration::from_secs(60), gone).await.expect("nothing is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_published_after_subscribing_comes_on_several_threads() {
    come_and_go().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_published_after_subscribing_comes_on_one_thread() {
    come_and_go().await;
}

// Clients::publish: "All subscribers of a topic see what is published to it in one order."
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_subscribers_see_one_order_of_what_several_tasks_publish() {
    let service = service(Limits::default(), subscriber);
    let clients: Clients = service.clients();
    let mut raws = Vec::new();
    for _ in 0..READERS {
        raws.push(subscribed(&service, "all").await);
    }
    let publishing = clients.clone();
    all_see_one_order(raws, move |_, text| publishing.publish("all", text)).await;
    assert_eq!(clients.dropped(), 0);
}

/// What an application attached may publish when it is dropped, which must not wait for itself.
#[tokio::test(start_paused = true)]
async fn attached_value_may_publish_when_it_is_dropped() {
    struct Farewell(Clients);
    impl Drop for Farewell {
        fn drop(&mut self) {
            self.0.publish("room", "farewell");
        }
    }
    let server = Server::new();
    let clients = server.clients();
    let handler = {
        let clients = clients.clone();
        move |ws: WebSocket| {
            ws.set_data(Farewell(clients.clone()));
            subscriber(ws)
        }
    };
    let service = server.route("/", handler).route("/plain", subscriber).service().unwrap();
    let (mut ann, _) = open_with(&service, "/plain?room", "", 4096).await;
    assert_eq!(ann.text().await, "ready");
    let (mut bob, task) = open_with(&service, "/?room", "", 4096).await;
    assert_eq!(bob.text().await, "ready");
    clients.publish("room", "hello");
    drop(bob);
    task.await.unwrap();
    ann.expect_only(&["hello", "farewell"]).await;
}

#[cfg(feature = "client")]
#[tokio::test(start_paused = true)]
async fn clients_end_has_no_topics() {
    let service = Server::new().any(subscriber).service().unwrap();
    let (ours, theirs) = tokio::io::duplex(4096);
    tokio::spawn(service.serve_connection(theirs, ws_server::Peer::Other));
    let ws = ws_server::Connect::new("ws://test/?room").over(ours).await.unwrap();
    assert_eq!(ws.subscribe("room").unwrap_err(), SubscribeError::ClientEnd);
    assert!(!ws.unsubscribe("room"));
    assert_eq!(ws.dropped(), 0);
}
