//! What this process publishes.
//!
//! Promise 3: acknowledged means that a quorum took it. Not acknowledged means unknown: counted,
//! and never sent again. Promise 7: refused means that it is never sent.

mod queue;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_nats::{HeaderMap, Message, StatusCode};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::{
    sync::{Notify, oneshot},
    time::{self, Instant},
};
use tracing::{debug, info, warn};
use ws_server::Refused;

use self::queue::Queue;
use crate::{
    PublishError,
    link::{PublishingLink, delay},
    metrics::Counters,
    own::Own,
    wire,
};

/// The stream has given no acknowledgement for so long: publishing stops until it does.
const STALLED: Duration = Duration::from_millis(2500);
/// How often the ages of unacknowledged publications are looked at.
const TICK: Duration = Duration::from_millis(100);
/// NATS, for a stream that has no leader, or no room.
const UNAVAILABLE: u64 = 503;
/// Octets that a publication takes beside its own.
const PER_MESSAGE: usize = 256;

/// A publication on its way.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) subject: String,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Bytes,
    /// `None`: nobody acknowledges it.
    pub(crate) outcome: Option<Outcome>,
}

/// Who wants to know what becomes of a publication.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) own: Option<Arc<Own>>,
    pub(crate) waits: Option<oneshot::Sender<Result<u64, PublishError>>>,
}

/// What a publication became.
#[derive(Clone, Debug)]
enum Fate {
    Stored(u64),
    Rejected {
        code: u64,
        description: String,
    },
    /// By NATS, in the place of a stream that cannot take any now.
    Unavailable {
        code: u64,
        description: String,
    },
    Unknown,
}

#[derive(Debug)]
pub(crate) struct Publisher {
    queue: Mutex<Queue>,
    wake: Notify,
    /// Notified when nothing waits any more.
    idle: Notify,
    /// Notified when publications are taken.
    came_up: Notify,
    counters: Arc<Counters>,
    max_bytes: usize,
    timeout: Duration,
    max_payload: usize,
}

#[derive(Deserialize)]
struct Ack {
    seq: Option<u64>,
    error: Option<AckError>,
}

#[derive(Deserialize)]
struct AckError {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Publisher {
    /// `max_payload`: octets of a message, if the server takes no less.
    pub(crate) fn new(
        max_bytes: usize,
        timeout: Duration,
        max_payload: usize,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            queue: Mutex::default(),
            wake: Notify::new(),
            idle: Notify::new(),
            came_up: Notify::new(),
            counters,
            max_bytes,
            timeout,
            max_payload,
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether publications are taken.
    pub(crate) fn is_up(&self) -> bool {
        self.queue().is_up()
    }

    /// Octets that wait to be sent or acknowledged.
    pub(crate) fn bytes(&self) -> usize {
        self.queue().bytes
    }

    /// The server's `max_payload`; 0 before the first connection.
    pub(crate) fn max_payload(&self) -> usize {
        self.queue().max_payload
    }

    /// Takes a publication. Never blocks.
    pub(crate) fn publish(&self, mut outgoing: Outgoing) -> Result<(), Refused> {
        let size = wire::size(&outgoing.headers, &outgoing.payload);
        let bytes = size + outgoing.subject.len() + PER_MESSAGE;
        let is_stored = outgoing.outcome.is_some();
        let taken = {
            let mut queue = self.queue();
            if !queue.is_up() {
                Err(Refused::Away)
            } else if size > queue.max_payload {
                Err(Refused::TooLarge)
            } else if queue.bytes > 0 && queue.bytes.saturating_add(bytes) > self.max_bytes {
                Err(Refused::Full)
            } else {
                if let Some(outcome) = &mut outgoing.outcome {
                    outcome.own = outcome.own.take().filter(|own| own.published());
                }
                queue.push(outgoing, bytes);
                Ok(())
            }
        };
        match &taken {
            Ok(()) => {
                self.wake.notify_one();
                let counter = if is_stored {
                    &self.counters.published
                } else {
                    &self.counters.ephemeral_published
                };
                counter.add(1);
            }
            Err(Refused::Full) => self.counters.refused_full.add(1),
            Err(Refused::TooLarge) => self.counters.refused_too_large.add(1),
            Err(_) => self.counters.refused_away.add(1),
        }
        taken
    }

    /// Takes no more.
    pub(crate) fn close(&self) {
        self.queue().is_closed = true;
    }

    /// Ready when publications are taken.
    pub(crate) async fn ready(&self) {
        let is_up = |queue: &Queue| queue.is_up();
        self.until(&self.came_up, is_up).await;
    }

    /// Ready when nothing waits.
    pub(crate) async fn drained(&self) {
        self.until(&self.idle, |queue| queue.bytes == 0).await;
    }

    async fn until(&self, notify: &Notify, is_so: impl Fn(&Queue) -> bool) {
        loop {
            let mut notified = std::pin::pin!(notify.notified());
            // From here on no notification is missed.
            notified.as_mut().enable();
            if is_so(&self.queue()) {
                return;
            }
            notified.await;
        }
    }

    /// Gives up what waits. Returns the number of publications whose outcome is unknown.
    pub(crate) fn give_up(&self) -> usize {
        let lost = self.queue().reset();
        let unknown = lost.len();
        for outcome in lost {
            self.settle(outcome, &Fate::Unknown);
        }
        self.idle.notify_waiters();
        unknown
    }

    fn settle(&self, outcome: Outcome, fate: &Fate) {
        let stored = match fate {
            Fate::Stored(sequence) => {
                self.counters.acknowledged.add(1);
                Some(*sequence)
            }
            Fate::Rejected { .. } | Fate::Unavailable { .. } => {
                self.counters.rejected.add(1);
                None
            }
            Fate::Unknown => {
                self.counters.unknown.add(1);
                None
            }
        };
        if let Some(own) = outcome.own {
            own.settled(stored);
        }
        if let Some(waits) = outcome.waits {
            let result = match fate.clone() {
                Fate::Stored(sequence) => Ok(sequence),
                Fate::Rejected { code, description } | Fate::Unavailable { code, description } => {
                    Err(PublishError::Refused { code, description })
                }
                Fate::Unknown => Err(PublishError::Unknown),
            };
            // Nobody waits any more.
            waits.send(result).ok();
        }
    }

    /// Uses one connection after the other. `connect` makes one; `first` is one already.
    pub(crate) async fn run<F>(&self, first: PublishingLink, connect: impl Fn() -> F)
    where
        F: Future<Output = Result<PublishingLink, async_nats::Error>>,
    {
        let mut next = Some(first);
        let mut attempts = 0;
        loop {
            let link = match next.take() {
                Some(link) => Ok(link),
                None => connect().await,
            };
            match link {
                Ok(link) => {
                    attempts = 0;
                    self.use_link(&link).await;
                    let unknown = self.give_up();
                    self.counters.disconnects.add(1);
                    warn!(unknown, "the connection for publications to NATS is lost");
                }
                Err(error) => {
                    attempts += 1;
                    debug!(%error, "no connection for publications to NATS");
                }
            }
            time::sleep(delay(attempts + 1)).await;
        }
    }

    /// Sends what waits until the connection is lost.
    async fn use_link(&self, link: &PublishingLink) {
        let client = link.client();
        let inbox = client.new_inbox();
        let Ok(acks) = client.subscribe(format!("{inbox}.*")).await else { return };
        let mut acks = acks;
        // The server knows the subscription before it is asked to acknowledge anything.
        let ready = async {
            client.publish(format!("{inbox}.ready"), "".into()).await.ok()?;
            acks.next().await
        };
        let is_ready = tokio::select! {
            ready = time::timeout(self.timeout, ready) => matches!(ready, Ok(Some(_))),
            () = link.over() => false,
        };
        if !is_ready {
            return;
        }
        self.queue().connected(client.clone(), self.max_payload);
        self.came_up.notify_waiters();
        info!("publications go to NATS");
        tokio::select! {
            () = self.send(link, &inbox) => {}
            () = self.acknowledge(&mut acks, &inbox) => {}
            () = self.watch_over() => {}
            () = link.over() => {}
        }
    }

    async fn send(&self, link: &PublishingLink, inbox: &str) {
        loop {
            let wake = self.wake.notified();
            let next = self.queue().next();
            let Some((number, outgoing)) = next else {
                wake.await;
                continue;
            };
            if link.is_over() {
                return;
            }
            let Outgoing { subject, headers, payload, .. } = outgoing;
            let client = link.client();
            let sent = match number {
                queue::Number::Stored(number) => {
                    let reply = format!("{inbox}.{number}");
                    client.publish_with_reply_and_headers(subject, reply, headers, payload).await
                }
                queue::Number::Ephemeral(bytes) => {
                    let sent = client.publish_with_headers(subject, headers, payload).await;
                    self.free(bytes);
                    sent
                }
            };
            if sent.is_err() {
                return;
            }
        }
    }

    fn free(&self, bytes: usize) {
        let mut queue = self.queue();
        // It was given up in the meantime.
        queue.bytes = queue.bytes.saturating_sub(bytes);
        if queue.bytes == 0 {
            self.idle.notify_waiters();
        }
    }

    async fn acknowledge(&self, acks: &mut async_nats::Subscriber, inbox: &str) {
        while let Some(message) = acks.next().await {
            let number = message.subject.strip_prefix(inbox);
            let number = number.and_then(|rest| rest.strip_prefix('.'));
            let Some(number) = number.and_then(|number| number.parse().ok()) else { continue };
            // More may have been waiting for an empty place than for octets.
            let taken = self.queue().acknowledged(number);
            if let Some(outcome) = taken {
                let fate = fate(&message);
                if let Fate::Unavailable { .. } = fate {
                    self.queue().unavailable();
                }
                self.settle(outcome, &fate);
                self.wake.notify_one();
                if self.queue().bytes == 0 {
                    self.idle.notify_waiters();
                }
            }
        }
    }

    /// Gives up what is too old. If the oldest waits for long, nothing new is taken until something is
    /// acknowledged: the connection is there, but the stream is not.
    async fn watch_over(&self) {
        let mut ticks = time::interval(TICK);
        ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            let expired = self.queue().expire(now, self.timeout, STALLED);
            for outcome in expired {
                self.settle(outcome, &Fate::Unknown);
            }
            if self.queue().bytes == 0 {
                self.idle.notify_waiters();
            }
        }
    }
}

fn fate(message: &Message) -> Fate {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        let description = "no stream takes this subject".to_owned();
        return Fate::Unavailable { code: UNAVAILABLE, description };
    }
    match serde_json::from_slice(&message.payload) {
        Ok(Ack { error: Some(error), .. }) => {
            let code = if error.err_code == 0 { error.code } else { error.err_code };
            let description = error.description;
            if error.code == UNAVAILABLE {
                Fate::Unavailable { code, description }
            } else {
                Fate::Rejected { code, description }
            }
        }
        Ok(Ack { seq: Some(sequence), .. }) => Fate::Stored(sequence),
        _ => Fate::Unknown,
    }
}
