//! What the server says of itself each second, from a thread of its own: it speaks even if all others
//! are blocked.

use std::{collections::BTreeMap, fs, thread, time::Duration};

use serde_json::json;
use ws_server::{Clients, DeflatePool};

use crate::{HEAP, serve::say};

pub(crate) fn sample(clients: &Clients, pool: &DeflatePool) {
    loop {
        thread::sleep(Duration::from_secs(1));
        let metrics = clients.metrics();
        let closed: BTreeMap<String, u64> = metrics
            .closed
            .iter()
            .map(|((code, by), count)| (format!("{} {by:?}", code.get()), *count))
            .collect();
        let rejected: BTreeMap<String, u64> = metrics
            .rejected
            .iter()
            .map(|it| (format!("{} {}", it.status, it.label()), it.count))
            .collect();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let (heap, resident) = (heap(), figure(&status, "VmRSS:").map(|kib| kib * 1024));
        // What is held for clients goes up and down with them, and returns to 0: it is judged by itself.
        let held = metrics.held.total().max(metrics.memory + metrics.queue_bytes);
        let told = held + pool.memory_usage();
        let line = json!({
            "kind": "server",
            "rss": resident,
            "rss_untold": resident.map(|resident| resident.saturating_sub(told as u64)),
            "heap_untold": heap.saturating_sub(told),
            "threads": figure(&status, "Threads:"),
            "fds": descriptors(),
            "heap": heap,
            "pool": pool.memory_usage(),
            "connections": metrics.connections,
            "topics": metrics.topics,
            "subscriptions": metrics.subscriptions,
            "queue_bytes": metrics.queue_bytes,
            "memory": metrics.memory,
            "budget": metrics.held.total(),
            "held": BTreeMap::from(metrics.held.by_kind()),
            "evicted": metrics.evicted,
            "opened": metrics.opened,
            "dropped": metrics.dropped,
            "handlers_dropped": metrics.handlers_dropped,
            "received": metrics.received.messages,
            "sent": metrics.sent.messages,
            "closed": closed,
            "rejected_in_all": metrics.rejected.iter().map(|it| it.count).sum::<u64>(),
            "rejected": rejected,
        });
        if say(&line).is_err() {
            // Nobody listens any more.
            return;
        }
    }
}

/// What was allocated and not freed.
fn heap() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// Open descriptors, but for the one that reads the directory.
fn descriptors() -> Option<usize> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1))
}

fn figure(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
