//! Many clients that do the same, each again and again, until the time is over.

use std::io::Result;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::wire::{Reading, Wire};
use super::{Ledger, Scale, Target};

/// The most connections at a time, whatever the scale says.
const MOST: usize = 16_000;

/// How long a client waits before it comes back after a connection that could not be opened.
const REFUSED: Duration = Duration::from_millis(100);

/// What all clients of an attack share.
#[derive(Clone)]
pub(super) struct Scene(Arc<Parts>);

struct Parts {
    target: Target,
    scale: Scale,
    ledger: Ledger,
    ends: Instant,
    seeds: AtomicU64,
}

/// One client.
#[derive(Clone)]
pub(super) struct Client {
    scene: Scene,
    /// 0 and the following.
    pub(super) index: usize,
    reading: Reading,
}

/// When the clients come.
#[derive(Clone, Copy)]
pub(super) struct Rhythm {
    /// They begin one after another within this share of the time.
    pub(super) ramp: f64,
    /// The pause of each before it comes back.
    pub(super) pause: Duration,
}

impl Rhythm {
    /// In the first quarter, and back 100 ms after the end of a connection.
    pub(super) const USUAL: Self = Self { ramp: 0.25, pause: Duration::from_millis(100) };
    /// All at once, and back immediately.
    pub(super) const RUSH: Self = Self { ramp: 0.0, pause: Duration::ZERO };
}

impl Scene {
    pub(super) fn new(target: Target, scale: Scale, ledger: Ledger) -> Self {
        let ends = Instant::now() + scale.time;
        Self(Arc::new(Parts { target, scale, ledger, ends, seeds: AtomicU64::new(0) }))
    }

    /// Runs `act` for each client, again and again, and stops all when the time is over.
    pub(super) async fn crowd<F>(
        self,
        reading: Reading,
        rhythm: Rhythm,
        act: impl Fn(Client) -> F + Copy + Send + 'static,
    ) where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let Scale { connections, time, .. } = self.0.scale;
        let connections = connections.min(MOST);
        let step = time.mul_f64(rhythm.ramp) / connections.max(1) as u32;
        // Dropped, it aborts every client.
        let mut clients = JoinSet::new();
        for index in 0..connections {
            let client = Client { scene: self.clone(), index, reading };
            clients.spawn(async move {
                sleep(step * index as u32).await;
                loop {
                    let began = Instant::now();
                    let ended = act(client.clone()).await;
                    // One that was refused at once would do nothing but come back.
                    let refused = ended.is_err() && began.elapsed() < REFUSED;
                    sleep(if refused { rhythm.pause.max(REFUSED) } else { rhythm.pause }).await;
                    // Where nothing waits, the others have their turn.
                    tokio::task::yield_now().await;
                }
            });
        }
        sleep_until(self.0.ends).await;
    }
}

impl Client {
    pub(super) fn target(&self) -> &Target {
        &self.scene.0.target
    }

    /// A number that no other connection of the attack gets.
    pub(super) fn seed(&self) -> u64 {
        self.scene.0.seeds.fetch_add(1, Ordering::Relaxed)
    }

    /// TCP alone.
    pub(super) async fn connect(&self) -> Result<Wire> {
        self.connect_to_read(self.reading).await
    }

    /// An open WebSocket.
    pub(super) async fn open(&self) -> Result<Wire> {
        self.open_with(None).await
    }

    /// An open WebSocket with an extension.
    pub(super) async fn open_with(&self, offer: Option<&str>) -> Result<Wire> {
        let mut wire = self.connect().await?;
        wire.shake_hands(self.target(), offer).await?;
        Ok(wire)
    }

    /// An open WebSocket that reads otherwise than the rest.
    pub(super) async fn open_to_read(&self, reading: Reading) -> Result<Wire> {
        let mut wire = self.connect_to_read(reading).await?;
        wire.shake_hands(self.target(), None).await?;
        Ok(wire)
    }

    async fn connect_to_read(&self, reading: Reading) -> Result<Wire> {
        let Parts { target, ledger, .. } = &*self.scene.0;
        Wire::connect(target, self.source(), reading, ledger).await
    }

    fn source(&self) -> Option<Ipv4Addr> {
        let addresses = self.scene.0.scale.addresses.min(250 * 250);
        let at = self.index.checked_rem(addresses)?;
        Some(Ipv4Addr::new(127, 66, (at / 250) as u8, (1 + at % 250) as u8))
    }
}
