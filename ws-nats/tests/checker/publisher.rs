//! Publishes through nodes, and writes down what became of it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    connection::{Connection, Said},
    ledger::{Fate, Id},
    world::{Mode, Random, World, body},
};

/// Time without an answer after which it goes to another node.
const PATIENCE: Duration = Duration::from_millis(7000);
/// Every so many are acknowledged.
const ACKED: u64 = 4;

pub(crate) struct Publisher {
    pub(crate) number: usize,
    pub(crate) home: usize,
    /// Between two publications.
    pub(crate) pause: Duration,
    pub(crate) world: Arc<World>,
}

impl Publisher {
    /// Ends when it is quiet and all is answered.
    pub(crate) async fn run(self) {
        let mut node = self.home;
        let mut random = Random::new(self.number as u64 + 1_000_000);
        while matches!(self.world.mode(), Mode::Busy | Mode::SomeAway) {
            let Some((found, url)) = self.world.node(node) else {
                sleep(self.pause).await;
                continue;
            };
            node = found;
            let Some(mut connection) = Connection::open(&url).await else {
                node += 1;
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            if self.publish(&mut connection, node, &mut random).await.is_some() {
                return;
            }
            node += 1;
        }
    }

    /// `None`: the connection is lost. What was not answered is unknown.
    async fn publish(
        &self,
        connection: &mut Connection,
        node: usize,
        random: &mut Random,
    ) -> Option<()> {
        let number = self.world.connection();
        let mut waiting: HashMap<u64, Id> = HashMap::new();
        let mut ticks = interval(self.pause);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                said = connection.hear() => {
                    heard = Instant::now();
                    if let Said::Answer { number, words } = said? {
                        let Some(id) = waiting.remove(&number) else { continue };
                        self.world.fate(id, fate(&words));
                    }
                }
                _ = ticks.tick() => {
                    if waiting.is_empty() {
                        heard = Instant::now();
                    } else if heard.elapsed() > PATIENCE {
                        return None;
                    }
                    if !matches!(self.world.mode(), Mode::Busy | Mode::SomeAway) {
                        if waiting.is_empty() {
                            return Some(());
                        }
                        continue;
                    }
                    if waiting.len() > 5000 {
                        continue;
                    }
                    let topic = random.below(self.world.topics.len() as u64) as usize;
                    let id = self.world.publication(topic, number, node);
                    let command = if id.is_multiple_of(ACKED) { "acked" } else { "publish" };
                    let said = format!("{} {}", self.world.topics[topic], body(id));
                    waiting.insert(connection.say(command, &said).await?, id);
                }
            }
        }
    }
}

fn fate(words: &str) -> Fate {
    let (word, rest) = words.split_once(' ').unwrap_or((words, ""));
    match word {
        "handed" => Fate::Handed,
        "acked" => Fate::Acked(rest.split('.').nth(1).unwrap().parse().unwrap()),
        "unknown" => Fate::Unknown,
        // JetStream may refuse what was sent: it does not have it, either.
        "refused" => Fate::Refused,
        _ => panic!("no fate: {words}"),
    }
}
