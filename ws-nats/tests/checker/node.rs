//! A node: a process of its own, which is this test program again.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use ws_nats::{Config, Nats, Recovered, Since, Storage};
use ws_server::{Limits, Publication, Published, Refused, Server, ServerLimits, WebSocket};

use crate::support::tied;

/// Its settings, in the environment of the process that is a node.
const VARIABLE: &str = "WS_NATS_CHECKER_NODE";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Settings {
    pub(crate) servers: Vec<String>,
    pub(crate) node: String,
    pub(crate) replicas: usize,
    /// Milliseconds.
    pub(crate) audit: u64,
    /// Milliseconds.
    pub(crate) heartbeat: u64,
    /// Milliseconds; 0 is for ever.
    pub(crate) max_age: u64,
    pub(crate) messages_per_topic: usize,
    pub(crate) recent_messages: usize,
    pub(crate) deflate: bool,
    /// Put before the program, such as another clock.
    pub(crate) environment: Vec<(String, String)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            node: "node".to_owned(),
            replicas: 1,
            audit: 1000,
            heartbeat: 500,
            max_age: 0,
            messages_per_topic: 100_000,
            recent_messages: 128,
            deflate: false,
            environment: Vec::new(),
        }
    }
}

impl Settings {
    fn config(&self) -> Config {
        let max_age =
            if self.max_age == 0 { Duration::MAX } else { Duration::from_millis(self.max_age) };
        Config::default()
            .servers(self.servers.clone())
            .prefix("check")
            .node(&self.node)
            .replicas(self.replicas)
            .storage(Storage::File)
            .audit(Duration::from_millis(self.audit))
            .heartbeat(Duration::from_millis(self.heartbeat))
            .max_age(max_age)
            .messages_per_topic(self.messages_per_topic)
            .recent_messages(self.recent_messages)
            .recovery_messages(100_000)
            .recovery_bytes(64 << 20)
            .ephemeral("cursor.*")
            .stamp(|topic, position, message| {
                format!("m {topic} {position} {}", message.as_text().unwrap_or("?")).into()
            })
            .gap(|topic, gap| Some(format!("gap {topic} {} {}", gap.from, gap.to).into()))
    }
}

/// The process. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// One that may not listen yet.
pub(crate) struct Starting(Child);

impl Starting {
    /// From the thread of the test: the node ends with the thread.
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut command = tied(&env::current_exe().unwrap());
        command.args(["node::node_process", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(VARIABLE, serde_json::to_string(settings).unwrap());
        command.envs(settings.environment.iter().cloned());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Waits until it listens. NATS has to be reachable meanwhile.
    pub(crate) fn wait(self) -> Node {
        let Self(mut child) = self;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("a node ended before it listened").unwrap();
            if let Some((_, address)) = line.split_once("listening on ") {
                break address.parse().unwrap();
            }
        };
        // So that the node is never in want of room for what libtest says.
        std::thread::spawn(move || lines.for_each(drop));
        Node { child, address }
    }
}

impl Node {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/check", self.address)
    }

    /// Stops it as a machine stops that hangs.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn signal(&self, name: &str) {
        let mut kill = std::process::Command::new("kill");
        let status = kill.arg(format!("-{name}")).arg(self.pid().to_string()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Not a test: the processes of the others.
#[test]
fn node_process() {
    let Ok(settings) = env::var(VARIABLE) else { return };
    let settings: Settings = serde_json::from_str(&settings).unwrap();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(run(&settings));
}

async fn run(settings: &Settings) {
    let shared: Arc<OnceLock<Arc<Nats>>> = Arc::default();
    let for_handler = Arc::clone(&shared);
    let handler = move |ws: WebSocket| {
        let nats = Arc::clone(for_handler.get().unwrap());
        async move {
            serve(ws, nats).await;
            Ok(())
        }
    };
    let mut server = Server::new()
        .any(handler)
        .limits(Limits::default().send_buffer(4 << 20).max_send_buffer(16 << 20))
        .server_limits(
            ServerLimits::default().max_connections(30_000).max_per_ip(30_000).max_pending(30_000),
        );
    if settings.deflate {
        server = server.extension(ws_server::Deflate::default());
    }
    let nats = Nats::connect(settings.config(), server.clients()).await.unwrap();
    shared.set(Arc::clone(&nats)).unwrap();
    let bound = server.backplane(nats).bind("127.0.0.1:0").await.unwrap();
    println!("listening on {}", bound.local_addr().unwrap());
    std::io::stdout().flush().unwrap();
    // The end of the process that started this one ends its input.
    let ended = tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop));
    tokio::select! {
        _ = bound.serve_until(std::future::pending()) => {}
        _ = ended => {}
    }
    std::process::exit(0);
}

/// Does what a client says, in order: a word, a number that the answer repeats, and a topic.
async fn serve(mut ws: WebSocket, nats: Arc<Nats>) {
    let Some(clients) = ws.clients() else { return };
    let Some(client) = clients.get(ws.id()) else { return };
    while let Some(message) = ws.recv().await {
        let Some(text) = message.as_text() else { return };
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        let (command, number, topic, rest) = (word(), word(), word(), word());
        let answer = match command {
            "ping" => "pong".to_owned(),
            "join" => {
                let since = match rest {
                    "-" => None,
                    "latest" => Some(Since::Latest),
                    position => Some(Since::Position(position.parse().unwrap())),
                };
                match nats.join(&client, topic, since).await {
                    Ok(joined) => {
                        let past = match joined.recovered {
                            Recovered::Fresh => "fresh".to_owned(),
                            Recovered::All(count) => format!("all:{count}"),
                            _ => "lost".to_owned(),
                        };
                        let position = joined.position.map_or("-".to_owned(), |at| at.to_string());
                        format!("joined {position} {past}")
                    }
                    Err(error) => format!("failed {error}"),
                }
            }
            "subscribe" => match client.subscribe(topic) {
                Ok(_) => "subscribed".to_owned(),
                Err(error) => format!("failed {error}"),
            },
            "leave" => {
                client.unsubscribe(topic);
                "left".to_owned()
            }
            "publish" => published(clients.publish(topic, Publication::new(rest))),
            "here" => format!("{:?}", clients.publish_here(topic, rest)),
            "burst" => {
                let (count, size) = rest.split_once(' ').unwrap();
                let (count, size): (usize, usize) = (count.parse().unwrap(), size.parse().unwrap());
                let mut handed = 0;
                for number in 0..count {
                    let body = format!("{number} {}", "x".repeat(size));
                    // As fast as NATS takes it.
                    let published = loop {
                        match clients.publish(topic, &*body) {
                            Published::Refused(Refused::Full) => {
                                tokio::time::sleep(Duration::from_millis(1)).await;
                            }
                            published => break published,
                        }
                    };
                    handed += usize::from(published == Published::Handed);
                }
                format!("handed {handed}")
            }
            "acked" => {
                // It is queued here, and waited for elsewhere.
                let (nats, topic, body) = (Arc::clone(&nats), topic.to_owned(), rest.to_owned());
                let mut acked =
                    Box::pin(async move { nats.publish_acked(&topic, body, None).await });
                let first = futures_util::poll!(&mut acked);
                let (sender, number) = (ws.sender(), number.to_owned());
                tokio::spawn(async move {
                    let acked = match first {
                        std::task::Poll::Ready(acked) => acked,
                        std::task::Poll::Pending => acked.await,
                    };
                    let fate = match acked {
                        Ok(position) => format!("acked {position}"),
                        Err(ws_nats::PublishError::Unknown) => "unknown".to_owned(),
                        Err(error) => format!("refused {error}"),
                    };
                    sender.send(format!("a {number} {fate}")).await.ok();
                });
                continue;
            }
            "appear" => match nats.appear(&client, topic, rest) {
                Ok(()) => "appeared".to_owned(),
                Err(error) => format!("failed {error}"),
            },
            "who" => {
                let members = nats.presence(topic).await.members;
                members.iter().map(|member| &*member.info).collect::<Vec<_>>().join(",")
            }
            "counted" => counted(&nats),
            _ => panic!("no command: {text}"),
        };
        if ws.send(format!("a {number} {answer}")).await.is_err() {
            return;
        }
    }
}

fn published(published: Published) -> String {
    match published {
        Published::Handed => "handed".to_owned(),
        Published::Refused(Refused::Full) => "refused full".to_owned(),
        Published::Refused(Refused::Away) => "refused away".to_owned(),
        other => format!("refused {other:?}"),
    }
}

/// The numbers of the node, by name.
fn counted(nats: &Nats) -> String {
    let metrics = format!("{:?}", nats.metrics());
    // `Name { one: 1, other: 2 }`
    metrics
        .split(['{', '}', ','])
        .map(str::trim)
        .filter(|part| part.contains(": "))
        .collect::<Vec<_>>()
        .join(",")
}
