//! Models of a backplane that is told who subscribes while that changes.

use std::sync::{Arc, Weak};

use shuttle::{check_random, sync::Mutex, thread};

use super::listed;
use crate::{Backplane, Publication, Refused, outbox::model::harness::ORDERS, registry::Registry};

/// Knows whether anybody subscribes, as a backplane that joins a network would.
struct Knowing {
    registry: Weak<Registry>,
    subscribed: Mutex<bool>,
}

impl Knowing {
    fn new(registry: &Arc<Registry>) -> Arc<Self> {
        Arc::new(Self { registry: Arc::downgrade(registry), subscribed: Mutex::new(false) })
    }
}

impl Backplane for Knowing {
    fn publish(&self, _topic: &str, _publication: Publication) -> Result<(), Refused> {
        Err(Refused::Away)
    }

    fn interest(&self, topic: &str) {
        let registry = self.registry.upgrade().unwrap();
        let mut subscribed = self.subscribed.lock().unwrap();
        *subscribed = registry.topics.find(topic).is_some();
    }
}

// Backplane::interest: the number has to be read under a lock, and is right after the last call.
#[test]
fn backplane_knows_in_the_end_whether_anybody_subscribes() {
    check_random(
        || {
            let registry = Arc::new(Registry::default());
            let early = listed(0, &registry);
            let backplane = Knowing::new(&registry);
            let set = {
                let (registry, backplane) = (Arc::clone(&registry), Arc::clone(&backplane));
                thread::spawn(move || assert!(registry.set_backplane(backplane)))
            };
            let others: Vec<_> = (1..3)
                .map(|id| {
                    let registry = Arc::clone(&registry);
                    thread::spawn(move || {
                        let (outbox, entry) = listed(id, &registry);
                        registry.subscribe(&outbox, "topic").unwrap();
                        assert!(registry.unsubscribe(&outbox, "topic"));
                        registry.subscribe(&outbox, "topic").unwrap();
                        drop(entry);
                    })
                })
                .collect();
            registry.subscribe(&early.0, "topic").unwrap();
            for other in others {
                other.join().unwrap();
            }
            set.join().unwrap();
            assert!(*backplane.subscribed.lock().unwrap());
            drop(early);
            assert!(!*backplane.subscribed.lock().unwrap());
        },
        ORDERS,
    );
}
