//! Orders to all nodes: close the connections of a user, or end the subscriptions of a topic.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_nats::Message;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tracing::warn;
use ws_server::{Clients, CloseCode};

use crate::{log_limiter::LogLimiter, metrics::Counters, presence::Roster, subject::Subjects};

/// Time for the other nodes to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest reason of a Close, in octets.
const MAX_REASON: usize = 123;

/// What an order came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Obeyed {
    /// The connections that it concerned, on all nodes that answered.
    pub connections: usize,
    /// The nodes that answered, this one included.
    pub nodes: usize,
    /// The nodes that are known and did not answer within 2 s, by their labels: they may have obeyed or
    /// not. Empty if all is well.
    pub silent_nodes: Vec<Arc<str>>,
    /// Whether this node is cut off from NATS. Then the order was obeyed here alone.
    pub is_cut_off: bool,
}

/// Why an order was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OrderError {
    /// A code that no endpoint may send.
    #[error("the close code {0} may not be sent: take 1000, or one from 3000 to 4999")]
    InvalidCloseCode(CloseCode),
    /// A reason that no Close has room for.
    #[error("the reason of a Close has {MAX_REASON} octets at most")]
    ReasonTooLong,
}

/// An order, as it travels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    Close { topic: Arc<str>, code: u16, reason: Arc<str> },
    Unsubscribe { topic: Arc<str> },
}

#[derive(Debug, Serialize, Deserialize)]
struct Given {
    from: String,
    order: Order,
}

#[derive(Debug, Serialize, Deserialize)]
struct Answer {
    from: String,
    connections: usize,
}

/// Gives orders, and obeys those of other nodes.
pub(crate) struct Orders {
    nats: async_nats::Client,
    subject: String,
    /// This node, as text.
    me: String,
    roster: Arc<Roster>,
    counters: Arc<Counters>,
    clients: Mutex<Option<Clients>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Order {
    /// # Errors
    /// [`OrderError`].
    pub(crate) fn close(topic: &str, code: CloseCode, reason: &str) -> Result<Self, OrderError> {
        if !code.is_sendable() {
            return Err(OrderError::InvalidCloseCode(code));
        }
        if reason.len() > MAX_REASON {
            return Err(OrderError::ReasonTooLong);
        }
        Ok(Self::Close { topic: topic.into(), code: code.get(), reason: reason.into() })
    }

    pub(crate) fn unsubscribe(topic: &str) -> Self {
        Self::Unsubscribe { topic: topic.into() }
    }

    /// Obeys. Returns the number of connections that it concerned; `None` for an order that cannot be
    /// given.
    fn obey(&self, clients: &Clients) -> Option<usize> {
        match self {
            Self::Close { topic, code, reason } => {
                let code = CloseCode::new(*code);
                let can_be_sent = code.is_sendable() && reason.len() <= MAX_REASON;
                can_be_sent.then(|| clients.close_subscribed(topic, code, reason))
            }
            Self::Unsubscribe { topic } => {
                let subscribed = clients.subscribed(topic);
                Some(subscribed.iter().filter(|client| client.unsubscribe(topic)).count())
            }
        }
    }
}

impl Orders {
    /// Begins to obey.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(crate) fn start(
        nats: async_nats::Client,
        subjects: &Subjects,
        roster: Arc<Roster>,
        clients: Clients,
        counters: Arc<Counters>,
    ) -> Self {
        let me = format!("{:016x}", roster.incarnation());
        let orders = Self {
            nats: nats.clone(),
            subject: subjects.orders(),
            me: me.clone(),
            roster,
            counters: Arc::clone(&counters),
            clients: Mutex::new(Some(clients.clone())),
            task: Mutex::default(),
        };
        let task = tokio::spawn(obey_others(nats, subjects.orders(), me, clients, counters));
        *orders.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        orders
    }

    /// Ends.
    pub(crate) fn stop(&self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Obeys here, gives the order to the other nodes, and waits for their answers.
    pub(crate) async fn give(&self, order: Order) -> Obeyed {
        let mut obeyed = Obeyed::default();
        let clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(clients) = clients {
            obeyed.connections = order.obey(&clients).unwrap_or(0);
            obeyed.nodes = 1;
        }
        self.counters.orders_sent.add(1);
        let mut others = self.roster.others();
        obeyed.is_cut_off = self.roster.is_cut_off();
        if !obeyed.is_cut_off {
            let given = Given { from: self.me.clone(), order };
            self.ask(&given, &mut others, &mut obeyed).await;
        }
        obeyed.silent_nodes = others.into_iter().map(|node| self.roster.name(node)).collect();
        obeyed.silent_nodes.sort_unstable();
        obeyed
    }

    /// Takes the answers of the nodes that are waited for, and of those who are not known yet.
    async fn ask(&self, given: &Given, others: &mut HashSet<u64>, obeyed: &mut Obeyed) {
        let until = Instant::now() + PATIENCE;
        let inbox = self.nats.new_inbox();
        let Ok(Ok(mut answers)) = timeout_at(until, self.nats.subscribe(inbox.clone())).await
        else {
            return;
        };
        let payload = serde_json::to_vec(given).unwrap_or_default();
        let sent = self.nats.publish_with_reply(self.subject.clone(), inbox, payload.into());
        if !matches!(timeout_at(until, sent).await, Ok(Ok(()))) {
            return;
        }
        while !others.is_empty()
            && let Ok(Some(message)) = timeout_at(until, answers.next()).await
        {
            let answer: Option<Answer> = serde_json::from_slice(&message.payload).ok();
            // An empty one, without a reader of orders, says that nobody is there.
            let Some(answer) = answer else { continue };
            let Ok(node) = u64::from_str_radix(&answer.from, 16) else { continue };
            if others.remove(&node) {
                obeyed.connections = obeyed.connections.saturating_add(answer.connections);
                obeyed.nodes += 1;
            }
        }
    }
}

async fn obey_others(
    nats: async_nats::Client,
    subject: String,
    me: String,
    clients: Clients,
    counters: Arc<Counters>,
) {
    let Ok(mut orders) = nats.subscribe(subject).await else { return };
    let log = LogLimiter::default();
    while let Some(message) = orders.next().await {
        let Some((given, connections)) = obey(&message, &me, &clients) else {
            counters.damaged.add(1);
            if let Some(left_out) = log.admit() {
                warn!(
                    left_out,
                    "an order of another node cannot be read, or cannot be obeyed: it is ignored"
                );
            }
            continue;
        };
        if given.from == me {
            continue;
        }
        counters.orders_obeyed.add(1);
        let Some(reply) = message.reply else { continue };
        let answer = Answer { from: me.clone(), connections };
        let payload = serde_json::to_vec(&answer).unwrap_or_default();
        timeout(PATIENCE, nats.publish(reply, payload.into())).await.ok();
    }
}

/// Obeys an order, unless it is this node's own, which has done so before it sent it.
fn obey(message: &Message, me: &str, clients: &Clients) -> Option<(Given, usize)> {
    let given: Given = serde_json::from_slice(&message.payload).ok()?;
    let connections = if given.from == me { 0 } else { given.order.obey(clients)? };
    Some((given, connections))
}
