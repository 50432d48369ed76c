//! What a node counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Makes [`Counters`], which the node adds to, and [`Counted`], which the application reads, of one list.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a node adds to. Shared by its tasks.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        /// What a node has done since it started.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counted {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> Counted {
                Counted { $($name: self.$name.get(),)* }
            }

            /// With their names.
            #[cfg(all(test, feature = "prometheus"))]
            pub(crate) fn all(&self) -> Vec<(&str, &Counter)> {
                vec![$((stringify!($name), &self.$name)),*]
            }
        }
    };
}

counters! {
    /// Publications to stored topics that were taken to be sent.
    published,
    /// Those of them that the stream acknowledged.
    acknowledged,
    /// Those of them of which it is not known whether the stream has them: the connection was lost before
    /// the acknowledgement. They are never sent again.
    unknown,
    /// Those of them that the stream refused.
    rejected,
    /// Publications that were refused because too much waited.
    refused_full,
    /// Publications that were refused because NATS was away.
    refused_away,
    /// Publications that were refused because NATS takes no message of this size.
    refused_too_large,
    /// Publications to ephemeral topics that were sent.
    ephemeral_published,
    /// Publications to ephemeral topics that came.
    ephemeral_received,
    /// Publications of stored topics that came, live or refilled, and were delivered to local subscribers.
    delivered,
    /// Stored publications that came again, and were left out.
    duplicates,
    /// Republished messages that contradicted the stream, and were left out: it is asked.
    doubted,
    /// Messages that NATS brought faster than this node delivered them, and that were left out: those of
    /// stored topics are read from the stream.
    overrun,
    /// Messages on this node's subjects that could not be read, and were left out.
    damaged,
    /// Requests to the stream for publications that were missed, here or by clients that come back.
    refills,
    /// Publications that such requests brought.
    refilled,
    /// Gaps that could not be filled, and were told.
    gaps,
    /// Comparisons of this node's topics with the stream.
    audits,
    /// Comparisons that failed.
    audits_failed,
    /// Streams that were made anew, or whose limits changed, while this node ran.
    epochs,
    /// Joins that got everything since their position.
    joined_all,
    /// Joins without a position.
    joined_fresh,
    /// Joins whose position was too old, or of another epoch.
    joined_lost,
    /// Times that a connection to NATS was lost.
    disconnects,
    /// Orders that this node gave to all.
    orders_sent,
    /// Orders of other nodes that this node obeyed.
    orders_obeyed,
    /// Octets of presence that were sent.
    presence_bytes_sent,
    /// Octets of presence that came from other nodes.
    presence_bytes_received,
    /// Lists of members that were asked for.
    presence_asks,
    /// Times that two nodes were heard under one label.
    shared_labels,
}

/// What a node has done, and what it holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// What it has done since it started.
    pub counted: Counted,
    /// Whether NATS is there, to publish and to receive.
    pub is_up: bool,
    /// Octets of publications that wait to be sent or acknowledged.
    pub queue_bytes: usize,
    /// Stored topics that are followed, since they have subscribers here.
    pub topics: usize,
    /// Other nodes that are heard.
    pub nodes: usize,
    /// Whether this node hears nobody, not even itself.
    pub is_cut_off: bool,
    /// Members that are connected here, each counted once for each of its topics.
    pub members_here: usize,
    /// Members on other nodes that are known here.
    pub members_elsewhere: usize,
    /// Topics whose members on other nodes are followed.
    pub presence_topics: usize,
}
