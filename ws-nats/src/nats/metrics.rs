//! What a node counts, as the application reads it.

use crate::{Metrics, Nats};

impl Nats {
    /// What this node has done, and what it holds now. Cheap enough to read every second.
    pub fn metrics(&self) -> Metrics {
        let (nodes, members_here, members_elsewhere, presence_topics) = self.roster.sizes();
        Metrics {
            counted: self.node.counters.read(),
            is_up: self.is_up(),
            queue_bytes: self.publisher.bytes(),
            topics: self.tracks.count(),
            nodes,
            is_cut_off: self.roster.is_cut_off(),
            members_here,
            members_elsewhere,
            presence_topics,
        }
    }

    /// The [`metrics`](Self::metrics) in Prometheus' text format, in the feature `prometheus`. Together
    /// with what the server itself counts, by one registry: [`collector`](Self::collector).
    ///
    /// | metric | is |
    /// |---|---|
    /// | `ws_nats_connected` | [`Metrics::is_up`], 0 or 1 |
    /// | `ws_nats_disconnects_total` | [`Counted::disconnects`](crate::Counted::disconnects) |
    /// | `ws_nats_published_total{kind}` | `stored`, `ephemeral` |
    /// | `ws_nats_acknowledged_total`, `ws_nats_unknown_total`, `ws_nats_rejected_total` | what became of the stored ones |
    /// | `ws_nats_refused_total{reason}` | `full`, `away`, `too_large` |
    /// | `ws_nats_queue_bytes` | [`Metrics::queue_bytes`] |
    /// | `ws_nats_delivered_total{kind}` | `stored`, `ephemeral` |
    /// | `ws_nats_duplicates_total`, `ws_nats_doubted_total`, `ws_nats_damaged_total` | what was left out |
    /// | `ws_nats_refills_total`, `ws_nats_refilled_total`, `ws_nats_gaps_total` | what was missed |
    /// | `ws_nats_audits_total`, `ws_nats_audits_failed_total`, `ws_nats_epochs_total` | looks at the stream |
    /// | `ws_nats_joins_total{recovered}` | `all`, `fresh`, `lost` |
    /// | `ws_nats_topics` | [`Metrics::topics`] |
    /// | `ws_nats_nodes`, `ws_nats_cut_off`, `ws_nats_shared_labels_total` | other nodes |
    /// | `ws_nats_members_here`, `ws_nats_members_elsewhere`, `ws_nats_presence_topics` | members |
    /// | `ws_nats_presence_bytes_total{direction}`, `ws_nats_presence_asks_total` | what members cost |
    /// | `ws_nats_orders_total{given}` | `here`, `elsewhere` |
    ///
    /// The value of every label is from a fixed set: nothing that a client or another node sends becomes
    /// one.
    #[cfg(feature = "prometheus")]
    pub fn prometheus(self: &std::sync::Arc<Self>) -> String {
        crate::prometheus::page(self.collector())
    }

    /// The same for a registry of the application, of the crate `ws_server::prometheus_client`. It
    /// keeps nothing alive: once this is dropped, all values are 0.
    #[cfg(feature = "prometheus")]
    pub fn collector(
        self: &std::sync::Arc<Self>,
    ) -> impl prometheus_client::collector::Collector + use<> {
        let nats = std::sync::Arc::downgrade(self);
        crate::prometheus::Source(move || {
            nats.upgrade().map(|nats| nats.metrics()).unwrap_or_default()
        })
    }
}
