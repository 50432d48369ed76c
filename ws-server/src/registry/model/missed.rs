//! Models of clients that are sent what they missed while others publish.

use std::sync::{Arc, atomic::Ordering};

use shuttle::{check_random, future, sync::Mutex, thread};
use ws_core::{CloseCode, Closed, ClosedBy};

use super::{listed, listed_with, publish};
use crate::{
    Limits, Publication, Published,
    outbox::model::harness::{Driver, ORDERS, Socket, queued},
    registry::Registry,
};

fn missed(texts: &[&str]) -> Vec<Publication> {
    texts.iter().map(|text| Publication::new(*text)).collect()
}

// `Client::subscribe_after`: under one lock with `publish_here`, each message is either among the missed
// ones or published after them.
#[test]
fn who_joins_while_others_publish_gets_everything_once_and_in_order() {
    check_random(
        || {
            let registry = Arc::new(Registry::default());
            let log = Arc::new(Mutex::new(missed(&["before"])));
            let publishers: Vec<_> = ["p", "q"]
                .into_iter()
                .map(|name| {
                    let (registry, log) = (Arc::clone(&registry), Arc::clone(&log));
                    thread::spawn(move || {
                        for n in 0..2 {
                            let publication = Publication::new(format!("{name}{n}"));
                            let mut log = log.lock().unwrap();
                            log.push(publication.clone());
                            registry.publish_here("topic", publication);
                        }
                    })
                })
                .collect();
            let sockets: Vec<_> = (0..2).map(|_| Arc::new(Socket::default())).collect();
            let joiners: Vec<_> = sockets
                .iter()
                .enumerate()
                .map(|(id, socket)| {
                    let (outbox, mut entry) = listed(id as u64, &registry);
                    socket.full.store(id == 1, Ordering::SeqCst);
                    let driver = future::spawn(Driver::new(&outbox, socket).run());
                    let (registry, log) = (Arc::clone(&registry), Arc::clone(&log));
                    let socket = Arc::clone(socket);
                    thread::spawn(move || {
                        {
                            let log = log.lock().unwrap();
                            registry.subscribe_after(&outbox, "topic", log.clone()).unwrap();
                        }
                        socket.empty();
                        let written = socket.wait_until(|written| written.len() == 5);
                        outbox.close(CloseCode::NORMAL, "").unwrap();
                        future::block_on(driver).unwrap();
                        entry.close(&Closed::abnormal(ClosedBy::Local));
                        written
                    })
                })
                .collect();
            for publisher in publishers {
                publisher.join().unwrap();
            }
            let all: Vec<_> = log
                .lock()
                .unwrap()
                .iter()
                .map(|it| it.parts().message.as_text().unwrap().to_owned())
                .collect();
            for joiner in joiners {
                assert_eq!(joiner.join().unwrap(), all);
            }
            assert_eq!(registry.topics.count(), (0, 0));
        },
        ORDERS,
    );
}

#[test]
fn own_messages_and_publishers_that_wait_pass_a_refill_and_it_passes_them() {
    check_random(
        || {
            let registry = Arc::new(Registry::default());
            let narrow = Limits { send_buffer: 1, ..Limits::default() };
            let (outbox, mut entry) = listed_with(1, &registry, narrow);
            let socket = Arc::new(Socket::default());
            socket.full.store(true, Ordering::SeqCst);
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            registry.subscribe_after(&outbox, "topic", missed(&["m0", "m1"])).unwrap();
            let sender = {
                let outbox = Arc::clone(&outbox);
                thread::spawn(move || {
                    future::block_on(async {
                        for text in ["o0", "o1"] {
                            outbox.send(&mut queued(text), 0).await.unwrap();
                        }
                    });
                })
            };
            let publisher = {
                let registry = Arc::clone(&registry);
                thread::spawn(move || {
                    for text in ["l0", "l1"] {
                        let publish = registry.publish_wait("topic", Publication::new(text));
                        assert_eq!(future::block_on(publish).published, Published::Here(1));
                    }
                })
            };
            socket.empty();
            let written = socket.wait_until(|written| written.len() == 6);
            sender.join().unwrap();
            publisher.join().unwrap();
            outbox.close(CloseCode::NORMAL, "").unwrap();
            future::block_on(driver).unwrap();
            entry.close(&Closed::abnormal(ClosedBy::Local));
            let (own, topic): (Vec<&str>, Vec<&str>) =
                written.iter().map(String::as_str).partition(|text| text.starts_with('o'));
            assert_eq!((own, topic), (vec!["o0", "o1"], vec!["m0", "m1", "l0", "l1"]));
            assert_eq!(registry.stats.counters.dropped(), 0);
        },
        ORDERS,
    );
}

#[test]
fn subscription_that_ends_in_the_middle_of_a_refill_stops_nobody() {
    check_random(
        || {
            let registry = Arc::new(Registry::default());
            let (outbox, mut entry) = listed(1, &registry);
            let socket = Arc::new(Socket::default());
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            let publisher = {
                let registry = Arc::clone(&registry);
                thread::spawn(move || {
                    for n in 0..2 {
                        publish(&registry, "topic", format!("l{n}"));
                    }
                })
            };
            let subscriber = {
                let (registry, outbox) = (Arc::clone(&registry), Arc::clone(&outbox));
                thread::spawn(move || {
                    registry.subscribe_after(&outbox, "topic", missed(&["m0", "m1"])).unwrap();
                    assert!(registry.unsubscribe(&outbox, "topic"));
                    registry.subscribe_after(&outbox, "topic", missed(&["n0", "n1"])).unwrap();
                })
            };
            publisher.join().unwrap();
            subscriber.join().unwrap();
            publish(&registry, "topic", "end".into());
            socket.wait_until(|written| written.contains(&"end".to_owned()));
            outbox.close(CloseCode::NORMAL, "").unwrap();
            future::block_on(driver).unwrap();
            entry.close(&Closed::abnormal(ClosedBy::Local));
            let written = socket.written();
            let end = &written[written.len() - 2..];
            assert_eq!(end, ["end", "close 1000"], "{written:?}");
            for name in ["m", "n", "l"] {
                let of_one: Vec<_> = written.iter().filter(|text| text.starts_with(name)).collect();
                assert!(of_one.is_sorted(), "{written:?}");
                assert!(name != "n" || of_one.len() == 2, "{written:?}");
            }
            assert_eq!(registry.topics.count(), (0, 0));
        },
        ORDERS,
    );
}

/// An end while it is sent: nothing waits for ever, and nothing is left.
#[test]
fn connection_that_ends_in_the_middle_of_a_refill_ends() {
    check_random(
        || {
            let registry = Arc::new(Registry::default());
            let (outbox, mut entry) = listed(1, &registry);
            let socket = Arc::new(Socket::default());
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            let subscriber = {
                let (registry, outbox) = (Arc::clone(&registry), Arc::clone(&outbox));
                thread::spawn(move || {
                    registry.subscribe_after(&outbox, "topic", missed(&["m0", "m1"])).ok();
                    publish(&registry, "topic", "l0".into());
                })
            };
            outbox.close(CloseCode::NORMAL, "").unwrap();
            future::block_on(driver).unwrap();
            entry.close(&Closed::abnormal(ClosedBy::Local));
            subscriber.join().unwrap();
            let written = socket.written();
            let (last, before) = written.split_last().unwrap();
            assert_eq!(last, "close 1000");
            assert!(["m0", "m1", "l0"].iter().zip(before).all(|(a, b)| a == b), "{written:?}");
            assert_eq!((registry.topics.count(), outbox.queue_bytes()), ((0, 0), 0));
        },
        ORDERS,
    );
}
