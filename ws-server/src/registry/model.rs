//! Models of subscribers that come and go while others publish, in every interleaving that shuttle
//! finds: see `outbox::model`.

mod interest;
mod missed;

use std::sync::Arc;

use shuttle::{check_random, future, thread};
use ws_core::{CloseCode, Closed, ClosedBy};

use super::{Entry, Registry};
use crate::{
    ClientId, Limits, Publication, Published, Request,
    outbox::{
        Outbox,
        model::harness::{Driver, ORDERS, Socket},
    },
};

/// Lists a connection.
fn listed(id: u64, registry: &Arc<Registry>) -> (Arc<Outbox>, Entry) {
    listed_with(id, registry, Limits::default())
}

fn listed_with(id: u64, registry: &Arc<Registry>, limits: Limits) -> (Arc<Outbox>, Entry) {
    let stats = Some(Arc::clone(&registry.stats));
    let outbox = Outbox::new(ClientId(id), Request::none(), Arc::new(limits), stats);
    let entry = registry.enter(&outbox);
    (outbox, entry)
}

fn publish(registry: &Arc<Registry>, topic: &str, text: String) -> Published {
    registry.publish(topic, Publication::new(text)).published
}

// Clients: "What is published after `subscribe` has returned reaches the subscriber", and "All
// subscribers of a topic see what is published to it in one order."
#[test]
fn subscribers_come_and_go_while_others_publish() {
    check_random(
        || {
            let registry = Arc::new(Registry::default());
            let sockets: Vec<_> = (0..2).map(|_| Arc::new(Socket::default())).collect();
            let tasks: Vec<_> = sockets
                .iter()
                .enumerate()
                .map(|(id, socket)| {
                    let (outbox, mut entry) = listed(id as u64, &registry);
                    let registry = Arc::clone(&registry);
                    let driver = future::spawn(Driver::new(&outbox, socket).run());
                    thread::spawn(move || {
                        registry.subscribe(&outbox, "topic").unwrap();
                        let published = publish(&registry, "topic", format!("from {id}"));
                        assert!(matches!(published, Published::Here(1 | 2) | Published::Handed));
                        outbox.close(CloseCode::NORMAL, "").unwrap();
                        future::block_on(driver).unwrap();
                        entry.close(&Closed::abnormal(ClosedBy::Local));
                        assert!(registry.subscribe(&outbox, "topic").is_err(), "it is over");
                        // If handed over, another task may have sent it after the Close.
                        published != Published::Handed
                    })
                })
                .collect();
            publish(&registry, "topic", "from outside".into());
            let own: Vec<_> = tasks.into_iter().map(|task| task.join().unwrap()).collect();
            assert_eq!((registry.topics.count(), registry.outboxes().len()), ((0, 0), 0));
            let written: Vec<_> = sockets.iter().map(|socket| socket.written()).collect();
            for (id, written) in written.iter().enumerate() {
                let has_own = written.contains(&format!("from {id}"));
                assert!(has_own || !own[id], "{written:?}");
            }
            let both = |at: usize| {
                let other = &written[1 - at];
                let both = written[at].iter().filter(|text| other.contains(text));
                both.cloned().collect::<Vec<_>>()
            };
            assert_eq!(both(0), both(1), "one order");
        },
        ORDERS,
    );
}

#[test]
fn publishers_that_meet_leave_no_message_behind() {
    check_random(
        || {
            let registry = Arc::new(Registry::default());
            let (outbox, mut entry) = listed(1, &registry);
            let socket = Arc::new(Socket::default());
            let driver = future::spawn(Driver::new(&outbox, &socket).run());
            registry.subscribe(&outbox, "topic").unwrap();
            let publishers: Vec<_> = ["p", "q", "r"]
                .into_iter()
                .map(|name| {
                    let registry = Arc::clone(&registry);
                    thread::spawn(move || {
                        for n in 0..2 {
                            let text = format!("{name}{n}");
                            let published = publish(&registry, "topic", text);
                            assert!(matches!(published, Published::Here(1) | Published::Handed));
                        }
                    })
                })
                .collect();
            for publisher in publishers {
                publisher.join().unwrap();
            }
            // Any delivering task has returned.
            outbox.close(CloseCode::NORMAL, "").unwrap();
            future::block_on(driver).unwrap();
            entry.close(&Closed::abnormal(ClosedBy::Local));
            let written = socket.written();
            assert_eq!(written.len(), 7, "{written:?}");
            for name in ["p", "q", "r"] {
                let of_one: Vec<_> = written.iter().filter(|text| text.starts_with(name)).collect();
                assert_eq!(of_one, [&format!("{name}0"), &format!("{name}1")]);
            }
        },
        ORDERS,
    );
}
