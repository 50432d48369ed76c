//! One connection to NATS that is known to be alive.
//!
//! A hung connection shows nothing for minutes. So each link is probed: what it publishes to itself has
//! to come back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use async_nats::{Client, ConnectOptions, Event, ServerAddr, connection::State};
use futures_util::StreamExt;
use tokio::{
    sync::{Notify, watch},
    time::{self, MissedTickBehavior},
};
use tracing::warn;

use crate::metrics::Counters;

/// Time between two probes.
const PROBE: Duration = Duration::from_millis(1000);
/// Publications that the client of a publishing link holds before it sends them: they are not in our
/// queue any more, which alone is bounded in octets.
const HANDED_OVER: usize = 16;
/// Time for a probe to come back. With `PROBE`, a hung connection is noticed within 3 s.
const PATIENCE: Duration = Duration::from_millis(1500);

/// Messages that wait for one subscription. NATS brings them in bursts; they are bounded by number
/// alone, since async-nats counts no octets. Beyond it the newest are lost: those of stored topics are
/// read from the stream.
const CAPACITY: usize = 8192;
/// As good as never.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// Whether a link is up, and how often it came up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Liveness {
    pub(crate) is_up: bool,
    /// Grows each time: whatever came in between may be lost.
    pub(crate) generation: u64,
}

/// The link that is read from: subscriptions, questions to the stream. It reconnects by itself, and
/// subscribes again.
#[derive(Debug)]
pub(crate) struct ReadingLink {
    client: Client,
    liveness: watch::Receiver<Liveness>,
    /// A subscription lost messages, since its reader was slow.
    slow: Arc<Notify>,
    /// It is not used any more.
    is_closed: Arc<AtomicBool>,
}

impl ReadingLink {
    /// Connects. `options` carry who this is.
    pub(crate) async fn connect(
        servers: Vec<ServerAddr>,
        options: ConnectOptions,
        counters: Arc<Counters>,
    ) -> Result<Self, async_nats::ConnectError> {
        let (sender, liveness) = watch::channel(Liveness { is_up: true, generation: 0 });
        let sender = Arc::new(sender);
        let slow = Arc::new(Notify::new());
        let is_closed = Arc::new(AtomicBool::new(false));
        let client = options
            .subscription_capacity(CAPACITY)
            .ping_interval(Duration::from_secs(1))
            .max_reconnects(None)
            .reconnect_delay_callback({
                let is_closed = Arc::clone(&is_closed);
                move |attempts| if is_closed.load(Relaxed) { NEVER } else { delay(attempts) }
            })
            .event_callback({
                let (sender, slow, counters) = (sender.clone(), slow.clone(), counters);
                move |event| {
                    match event {
                        Event::Connected => came_up(&sender),
                        Event::Disconnected => {
                            counters.disconnects.add(1);
                            went_away(&sender);
                        }
                        // The event can be lost as the message was. The audit finds both.
                        Event::SlowConsumer(_) => {
                            counters.overrun.add(1);
                            slow.notify_one();
                        }
                        _ => {}
                    }
                    std::future::ready(())
                }
            })
            .connect(servers)
            .await?;
        tokio::spawn(watch_over(client.clone(), sender));
        Ok(Self { client, liveness, slow, is_closed })
    }

    /// Ends the connection, at once or when it is there again.
    pub(crate) async fn close(&self) {
        self.is_closed.store(true, Relaxed);
        // Without a connection its commands may be full. Then it sleeps.
        time::timeout(PATIENCE, self.client.drain()).await.ok();
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn liveness(&self) -> watch::Receiver<Liveness> {
        self.liveness.clone()
    }

    pub(crate) fn is_up(&self) -> bool {
        self.liveness.borrow().is_up && self.client.connection_state() == State::Connected
    }

    /// Ready when a subscription lost messages.
    pub(crate) async fn lost_some(&self) {
        self.slow.notified().await;
    }
}

fn came_up(sender: &watch::Sender<Liveness>) {
    sender.send_if_modified(|liveness| {
        // The first connection was known by its result.
        let again = !liveness.is_up;
        liveness.is_up = true;
        liveness.generation += u64::from(again);
        again
    });
}

fn went_away(sender: &watch::Sender<Liveness>) {
    sender.send_if_modified(|liveness| std::mem::replace(&mut liveness.is_up, false));
}

/// Time before a connection is tried again.
pub(crate) fn delay(attempts: usize) -> Duration {
    let doubled = 20 << attempts.min(6);
    if attempts <= 1 { Duration::ZERO } else { Duration::from_millis(doubled) }
}

/// Ends with the link.
async fn watch_over(client: Client, sender: Arc<watch::Sender<Liveness>>) {
    let mut ticks = time::interval(PROBE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let inbox = client.new_inbox();
    let Ok(mut echoes) = client.subscribe(inbox.clone()).await else { return };
    loop {
        ticks.tick().await;
        if sender.receiver_count() == 0 {
            return;
        }
        if client.connection_state() != State::Connected {
            continue;
        }
        let echo = async {
            client.publish(inbox.clone(), "".into()).await.ok()?;
            echoes.next().await
        };
        match time::timeout(PATIENCE, echo).await {
            Ok(Some(_)) => came_up(&sender),
            Ok(None) => return,
            Err(_) => {
                went_away(&sender);
                warn!("the connection to NATS gives no answer: it is made anew");
                // It is taken only if there is room.
                time::timeout(PROBE, client.force_reconnect()).await.ok();
            }
        }
    }
}

/// A link that is published by. It never reconnects: what it had not sent when its connection was lost
/// is dropped with it.
///
/// Promise 7: what was refused is never sent, and what is unknown never again.
#[derive(Debug)]
pub(crate) struct PublishingLink {
    client: Client,
    is_over: watch::Receiver<bool>,
}

impl PublishingLink {
    pub(crate) async fn connect(
        servers: Vec<ServerAddr>,
        options: ConnectOptions,
        timeout: Duration,
    ) -> Result<Self, async_nats::Error> {
        let (over, is_over) = watch::channel(false);
        let connect = options
            // A hung connection misses three Pongs: after 2.4 s at most.
            .ping_interval(Duration::from_millis(800))
            // As many as it takes to try each server once; 0 would be without end.
            .max_reconnects(servers.len().max(1))
            .connection_timeout(timeout)
            .subscription_capacity(1 << 16)
            .client_capacity(HANDED_OVER)
            .event_callback(move |event| {
                if matches!(event, Event::Disconnected | Event::Closed) {
                    over.send_replace(true);
                }
                std::future::ready(())
            })
            .connect(servers);
        let client = time::timeout(timeout, connect).await??;
        // From here on there is no server to reconnect to: the client ends with its connection.
        client.set_server_pool("nats://127.0.0.1:0").await?;
        let link = Self { client, is_over };
        // That was not yet so when it was lost in between.
        if link.is_over() {
            return Err("the connection was lost at once".into());
        }
        Ok(link)
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.is_over.borrow() || self.client.connection_state() != State::Connected
    }

    /// Ready when the connection is lost.
    pub(crate) async fn over(&self) {
        let mut is_over = self.is_over.clone();
        // An error says that the client ended, too.
        is_over.wait_for(|over| *over).await.ok();
    }
}
