//! A backplane carries publications between servers, and is told who subscribes.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::{Arc, Mutex, OnceLock};

use support::{Raw, TEXT, echo, open_with};
use ws_server::{
    Admit, Backplane, Client, ClientId, Clients, Compression, ConfigError, Message, Opening,
    Publication, Published, Refused, Rejection, Route, Server, Service, SlowConsumer, WebSocket,
};

/// Subscribes to what the query says, and then echoes.
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

/// What it does with a publication.
type Publish = dyn Fn(&Clients, &str, Publication) -> Result<(), Refused> + Send + Sync;

/// Notes what it is called for.
struct Noting {
    clients: OnceLock<Clients>,
    publish: Box<Publish>,
    /// The topics of interest, each with its subscribers at the time of the call.
    told: Mutex<Vec<(String, usize)>>,
}

impl Noting {
    fn new(
        publish: impl Fn(&Clients, &str, Publication) -> Result<(), Refused> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let publish = Box::new(publish);
        Arc::new(Self { clients: OnceLock::new(), publish, told: Mutex::default() })
    }

    /// Delivers at once.
    fn at_once() -> Arc<Self> {
        Self::new(|clients, topic, publication| {
            clients.publish_here(topic, publication);
            Ok(())
        })
    }

    fn serve(self: &Arc<Self>) -> Service {
        let server = Server::new().any(subscriber);
        self.clients.set(server.clients()).unwrap();
        server.backplane(Arc::clone(self) as Arc<dyn Backplane>).service().unwrap()
    }

    fn told(&self) -> Vec<(String, usize)> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

impl Backplane for Noting {
    fn publish(&self, topic: &str, publication: Publication) -> Result<(), Refused> {
        (self.publish)(self.clients.get().unwrap(), topic, publication)
    }

    fn interest(&self, topic: &str) {
        let subscribers = self.clients.get().unwrap().subscribers(topic);
        self.told.lock().unwrap().push((topic.to_owned(), subscribers));
    }
}

fn told(topics: &[(&str, usize)]) -> Vec<(String, usize)> {
    topics.iter().map(|(topic, count)| ((*topic).to_owned(), *count)).collect()
}

/// Joins one of the servers of this process, by its index, to all.
struct Joined(usize, Arc<OnceLock<Vec<Clients>>>);

impl Backplane for Joined {
    fn publish(&self, topic: &str, publication: Publication) -> Result<(), Refused> {
        let Self(own, servers) = self;
        for (index, clients) in servers.get().ok_or(Refused::Away)?.iter().enumerate() {
            let mut copy = publication.clone();
            if index != *own {
                copy = copy.except(None);
            }
            clients.publish_here(topic, copy);
        }
        Ok(())
    }

    fn interest(&self, _topic: &str) {}
}

#[tokio::test(start_paused = true)]
async fn topic_spans_two_servers() {
    let all = Arc::new(OnceLock::new());
    let servers = [0, 1].map(|index| {
        Server::new().any(subscriber).backplane(Arc::new(Joined(index, Arc::clone(&all))))
    });
    let clients = servers.each_ref().map(Server::clients);
    assert_eq!(clients[0].publish("room", "0").refused(), Some(Refused::Away));
    all.set(clients.to_vec()).ok().unwrap();
    let services = servers.map(|server| server.service().unwrap());
    let mut ann = subscribed(&services[0], "room").await;
    let mut bob = subscribed(&services[1], "room&other").await;
    assert_eq!(clients[0].publish("room", "1"), Published::Handed);
    assert_eq!(clients[1].publish("room", "2"), Published::Handed);
    assert_eq!(clients[1].publish_wait("room", "3").await, Published::Handed);
    assert_eq!(clients[0].publish("other", "4"), Published::Handed);
    let topic = clients[0].list()[0].subscribe("room").unwrap();
    assert_eq!(topic.publish("5"), Published::Handed);
    assert_eq!(topic.publish_wait("6").await, Published::Handed);
    assert_eq!(clients[0].publish_here("room", "7"), Published::Here(1));
    assert_eq!(clients[0].send_all("8"), Published::Here(1), "it stays here");
    // Ann and Bob have the same id, each in a server.
    let [of_ann, of_bob] = [0, 1].map(|index| clients[index].list().remove(0));
    assert_eq!(of_ann.id(), of_bob.id());
    assert_eq!(topic.publish_to_others("9"), Published::Handed);
    assert_eq!(of_bob.subscribe("room").unwrap().publish_to_others("10"), Published::Handed);
    ann.expect_only(&["1", "2", "3", "5", "6", "7", "8", "10"]).await;
    bob.expect_only(&["1", "2", "3", "4", "5", "6", "9"]).await;
}

#[tokio::test(start_paused = true)]
async fn everything_that_a_publication_says_reaches_the_backplane() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let backplane = Noting::new(move |_, topic, publication| {
        let parts = publication.parts();
        // As one that carries it elsewhere would: what comes out is made anew.
        let mut again = Publication::new(parts.message.clone()).compression(parts.compression);
        if let Some(id) = parts.except {
            again = again.except(ClientId::new(id.get()));
        }
        if let Some(key) = parts.key {
            again = again.key(key);
        }
        if let Some(policy) = parts.slow_consumer {
            again = again.slow_consumer(policy);
        }
        assert_eq!(again.parts(), parts);
        noted.lock().unwrap().push((topic.to_owned(), again));
        Ok(())
    });
    let service = backplane.serve();
    let _ann = subscribed(&service, "room").await;
    let ann = service.clients().list().remove(0);
    service.clients().publish("nobody is here", "1");
    let publication = Publication::new(vec![1, 2])
        .compression(Compression::Never)
        .key("k")
        .slow_consumer(SlowConsumer::DropOldest);
    ann.subscribe("room").unwrap().publish_to_others(publication);
    let seen = seen.lock().unwrap();
    let [(nobody, first), (room, second)] = &seen[..] else { panic!("{seen:?}") };
    assert_eq!((nobody.as_str(), room.as_str()), ("nobody is here", "room"));
    let parts = first.parts();
    assert_eq!((parts.message, parts.compression), (&Message::from("1"), Compression::Auto));
    assert_eq!((parts.except, parts.key, parts.slow_consumer), (None, None, None));
    let parts = second.parts();
    assert_eq!((parts.message.as_bytes(), parts.compression), (&[1, 2][..], Compression::Never));
    assert_eq!((parts.except, parts.key), (Some(ann.id()), Some("k")));
    assert_eq!(parts.slow_consumer, Some(SlowConsumer::DropOldest));
}

#[tokio::test(start_paused = true)]
async fn what_the_backplane_refuses_goes_to_nobody() {
    for reason in [Refused::Full, Refused::Away, Refused::TooLarge] {
        let backplane = Noting::new(move |_, _, _| Err(reason));
        let service = backplane.serve();
        let clients = service.clients();
        let mut ann = subscribed(&service, "room").await;
        assert_eq!(clients.publish("room", "1"), Published::Refused(reason));
        assert_eq!(clients.publish_wait("room", "2").await, Published::Refused(reason));
        let topic = clients.list()[0].subscribe("room").unwrap();
        assert_eq!(topic.publish("3").refused(), Some(reason));
        clients.publish_here("room", "4");
        ann.expect_only(&["4"]).await;
        assert_eq!(clients.dropped(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn first_and_last_subscriber_of_a_topic_are_told_and_no_other() {
    let backplane = Noting::at_once();
    let service = backplane.serve();
    let clients = service.clients();
    let ann = subscribed(&service, "room&news").await;
    assert_eq!(backplane.told(), told(&[("room", 1), ("news", 1)]));
    let bob = subscribed(&service, "room").await;
    let listening = clients.listen("room").unwrap();
    let of_ann = clients.list().remove(0);
    of_ann.subscribe("room").unwrap();
    assert!(!of_ann.unsubscribe("elsewhere"));
    assert_eq!(backplane.told(), []);
    assert!(of_ann.unsubscribe("news"));
    assert!(!of_ann.unsubscribe("news"));
    assert_eq!(backplane.told(), told(&[("news", 0)]));
    of_ann.subscribe("news").unwrap();
    assert_eq!(backplane.told(), told(&[("news", 1)]));
    drop(ann);
    ended(&of_ann).await;
    assert_eq!(backplane.told(), told(&[("news", 0)]));
    drop(listening);
    let of_bob = clients.list().remove(0);
    drop(bob);
    ended(&of_bob).await;
    assert_eq!(backplane.told(), told(&[("room", 0)]));
    let listening = clients.listen("room").unwrap();
    assert_eq!(backplane.told(), told(&[("room", 1)]));
    drop(listening);
    assert_eq!(backplane.told(), told(&[("room", 0)]));
    // None of these changes anything.
    assert!(of_ann.subscribe("room").is_err());
    assert!(clients.listen(&"x".repeat(257)).is_err());
    clients.publish("room", "to nobody");
    assert_eq!(backplane.told(), []);
}

/// Waits until a connection is not listed any more.
async fn ended(client: &Client) {
    client.sender().closed().await;
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn topics_that_a_gate_gives_are_told() {
    let backplane = Noting::at_once();
    let admit = |_: Opening| async { Ok::<_, Rejection>(Admit::new().subscribe("user/ann")) };
    let server = Server::new().any(Route::new(subscriber).gate(admit));
    backplane.clients.set(server.clients()).unwrap();
    let service = server.backplane(Arc::clone(&backplane) as Arc<dyn Backplane>).service().unwrap();
    let raw = subscribed(&service, "").await;
    assert_eq!(backplane.told(), told(&[("user/ann", 1)]));
    let client = service.clients().list().remove(0);
    drop(raw);
    ended(&client).await;
    assert_eq!(backplane.told(), told(&[("user/ann", 0)]));
}

#[tokio::test(start_paused = true)]
async fn backplane_learns_of_the_topics_that_were_there_before_it() {
    let server = Server::new().any(subscriber);
    let clients = server.clients();
    let mut early = clients.listen("early").unwrap();
    drop(clients.listen("over").unwrap());
    assert_eq!(clients.publish("early", "by itself"), Published::Here(1));
    let backplane = Noting::at_once();
    backplane.clients.set(clients.clone()).unwrap();
    let server = server.backplane(Arc::clone(&backplane) as Arc<dyn Backplane>);
    assert_eq!(backplane.told(), told(&[("early", 1)]));
    assert_eq!(clients.publish("early", "by the backplane"), Published::Handed);
    assert_eq!(early.recv().await.unwrap(), "by itself".into());
    assert_eq!(early.recv().await.unwrap(), "by the backplane".into());
    let second = server.backplane(Noting::at_once()).service();
    assert_eq!(second.unwrap_err(), ConfigError::SecondBackplane);
    assert_eq!(clients.publish("early", "by the first one"), Published::Handed);
    assert_eq!(early.recv().await.unwrap(), "by the first one".into());
}

/// Calls everything that it may from within its own calls.
#[derive(Default)]
struct Reentrant(OnceLock<Clients>);

impl Reentrant {
    fn use_all(&self, topic: &str) {
        let clients = self.0.get().unwrap();
        clients.topics();
        clients.metrics();
        clients.subscribers(topic);
        for client in clients.subscribed(topic).into_iter().chain(clients.list()) {
            client.topics();
            client.sender().try_send("seen").ok();
            if topic == "room" {
                client.subscribe("by the backplane").ok();
                client.unsubscribe("by the backplane");
            }
        }
        clients.publish_here(topic, "here");
    }
}

impl Backplane for Reentrant {
    fn publish(&self, topic: &str, publication: Publication) -> Result<(), Refused> {
        self.use_all(topic);
        if topic == "room" {
            self.0.get().unwrap().publish("again", "by the backplane");
        }
        self.0.get().unwrap().publish_here(topic, publication);
        Ok(())
    }

    fn interest(&self, topic: &str) {
        self.use_all(topic);
    }
}

#[tokio::test]
async fn backplane_that_calls_back_stops_nothing() {
    let backplane = Arc::new(Reentrant::default());
    let server = Server::new().any(subscriber);
    backplane.0.set(server.clients()).ok().unwrap();
    let service = server.backplane(backplane).service().unwrap();
    let clients = service.clients();
    let (mut raw, task) = open_with(&service, "/?room&again", "", 1 << 20).await;
    clients.publish("room", "last");
    while raw.frame().await.unwrap() != (TEXT, b"last".to_vec()) {}
    drop(raw);
    task.await.unwrap();
    assert_eq!((clients.count(), clients.topic_count()), (0, 0));
}

struct Panicking;

impl Backplane for Panicking {
    fn publish(&self, _topic: &str, _publication: Publication) -> Result<(), Refused> {
        panic!("a fault of the backplane");
    }

    fn interest(&self, _topic: &str) {
        panic!("a fault of the backplane");
    }
}

#[tokio::test(start_paused = true)]
async fn backplane_that_panics_costs_no_connection() {
    let service = Server::new().any(subscriber).backplane(Arc::new(Panicking)).service().unwrap();
    let clients = service.clients();
    let mut ann = subscribed(&service, "room").await;
    assert_eq!(clients.publish("room", "1").refused(), Some(Refused::Away));
    clients.publish_here("room", "2");
    ann.expect_only(&["2"]).await;
    let client = clients.list().remove(0);
    drop(ann);
    ended(&client).await;
    assert_eq!((clients.count(), clients.topic_count()), (0, 0));
}
