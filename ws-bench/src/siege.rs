//! A server under attack: what it spends, and what its polite clients notice.
//!
//! Twenty polite clients echo small messages at a fixed rate, and another one comes anew all the
//! time. After a while without the attack, as the measure, the attack begins beside them.

mod polite;
mod process;

use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use serde_json::{Value, json};

use self::polite::{Phase, Polite, Waits};
use self::process::{Memory, Queues, cpu};
use crate::hostile::{Attack, Cost, Ledger, Needs, Scale, Target};

/// How long the polite clients are alone before the attack.
const ALONE: Duration = Duration::from_millis(1500);

/// How long the server has after the attack before its memory is looked at again.
const AFTER: Duration = Duration::from_secs(2);

/// What to do to which server.
#[derive(Clone, Copy, Debug)]
pub struct Siege {
    /// The attack.
    pub attack: &'static Attack,
    /// Where the server listens.
    pub address: SocketAddr,
    /// The process of the server. Its CPU time and memory are known on Linux.
    pub server: u32,
    /// The number of hostile clients; `None` for what is usual for the attack.
    pub connections: Option<usize>,
    /// How long the attack lasts.
    pub time: Duration,
}

impl Siege {
    /// Runs it, and returns the figures as an object of JSON.
    ///
    /// # Errors
    /// In words, if the polite clients cannot connect even without the attack, or the address is
    /// not of the loopback interface.
    pub fn run(&self) -> Result<Value, String> {
        let broadcast = self.attack.needs == Needs::Broadcast;
        let path = if broadcast { "/broadcast" } else { "/echo" };
        let target =
            Target::new(self.address, path).ok_or("attacks reach loopback addresses alone")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let polite = Polite::start(target.clone(), broadcast)?;
        let figures = runtime.block_on(self.measure(&target, &polite));
        let manners = polite.stop();
        let [before, during] = [Phase::Before, Phase::During].map(|phase| manners.waits(phase));
        let mut figures = figures;
        figures["polite"] = json!({
            "before": said(&before.echoes),
            "during": said(&during.echoes),
            "lost": manners.lost,
            "newcomers": {
                "before": said(&before.openings),
                "during": said(&during.openings),
                "refused": during.refused,
            },
        });
        Ok(figures)
    }

    async fn measure(&self, target: &Target, polite: &Polite) -> Value {
        let pid = self.server;
        // The first allocations of the server are over after a moment.
        tokio::time::sleep(ALONE / 3).await;
        let cpu_first = cpu(pid);
        tokio::time::sleep(ALONE).await;
        let cpu_before = cpu(pid);
        let idle = Memory::of(pid);
        process::forget_peak(pid);

        polite.enter(Phase::During);
        let ledger = Ledger::default();
        let scale = match self.connections {
            Some(connections) => Scale::with(connections, 2 * self.time),
            None => Scale::of(self.attack, 2 * self.time),
        };
        // All is counted at one moment, while the connections are still there.
        let (cost, queues, cpu_after, peak) = {
            let mut attack = pin!(self.attack.run_with(target, scale, &ledger));
            tokio::select! {
                () = &mut attack => {}
                () = tokio::time::sleep(self.time) => {}
            }
            let cpu_after = cpu(pid);
            (ledger.cost(), Queues::of(self.address), cpu_after, Memory::of(pid))
        };
        polite.enter(Phase::After);
        tokio::time::sleep(AFTER).await;
        let after = Memory::of(pid);

        let alone = cpu_first.zip(cpu_before).map(|(first, before)| before.saturating_sub(first));
        let attacked =
            cpu_before.zip(cpu_after).map(|(before, after)| after.saturating_sub(before));
        let more = attacked.zip(alone).map(|(attacked, alone)| {
            attacked.as_secs_f64()
                - alone.as_secs_f64() / ALONE.as_secs_f64() * self.time.as_secs_f64()
        });
        let taken = cost.octets.saturating_sub(queues.as_ref().map_or(0, |queues| queues.unread));
        let grown = |memory: Option<Memory>, look: fn(Memory) -> u64| {
            Some(look(memory?).saturating_sub(idle?.resident))
        };
        json!({
            "attack": self.attack.name,
            "connections": scale.connections,
            "seconds": self.time.as_secs_f64(),
            "attacker": attacker(&cost, taken),
            "server": {
                "alive": after.is_some() || !cfg!(target_os = "linux"),
                "cpu_seconds": attacked.map(|time| time.as_secs_f64()),
                "cpu_seconds_more": more,
                "cpu_ns_per_octet": more.map(|more| 1e9 * more.max(0.0) / taken.max(1) as f64),
                "idle": idle.map(|idle| idle.resident),
                "grown": grown(peak, |peak| peak.peak),
                "grown_after": grown(after, |after| after.resident),
                "in_the_kernel": queues.map(|queues| queues.of_the_server),
            },
        })
    }
}

fn attacker(cost: &Cost, taken: u64) -> Value {
    let named = |counts: &std::collections::BTreeMap<u16, u64>| {
        counts.iter().map(|(number, times)| (number.to_string(), json!(times))).collect::<Value>()
    };
    json!({
        "octets": cost.octets,
        "octets_taken": taken,
        "connections": cost.connections,
        "failed": cost.failed,
        "statuses": named(&cost.statuses),
        "closes": named(&cost.closes),
    })
}

fn said(waits: &Waits) -> Value {
    json!({
        "count": waits.len(),
        "p50_ns": waits.value_at_quantile(0.5),
        "p99_ns": waits.value_at_quantile(0.99),
        "max_ns": waits.max(),
    })
}
