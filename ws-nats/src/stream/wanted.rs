//! The stream as it has to be.

use std::time::Duration;

use serde_json::{Value, json};
use ws_server::UNLIMITED;

use crate::{Config, Storage, subject::Subjects};

/// The stream's configuration, as the API of JetStream takes it.
pub(super) fn stream(config: &Config) -> Value {
    let subjects = Subjects::new(&config.prefix);
    let mut stream = json!({
        "name": config.stream_name(),
        "description": "Topics of ws-nats",
        "subjects": [subjects.all_stored()],
        "republish": { "src": subjects.all_stored(), "dest": subjects.all_live() },
        "retention": "limits",
        "discard": "old",
        "allow_direct": true,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_msg_size": -1,
        "max_msgs_per_subject": limit(config.messages_per_topic),
        "max_bytes": limit(config.max_bytes),
        "max_age": nanos(config.max_age),
        "duplicate_window": nanos(window(config)),
        "num_replicas": config.replicas,
        "storage": match config.storage {
            Storage::File => "file",
            Storage::Memory => "memory",
        },
    });
    if config.placement_cluster.is_some() || !config.placement_tags.is_empty() {
        stream["placement"] = json!({
            "cluster": config.placement_cluster.as_deref().unwrap_or_default(),
            "tags": config.placement_tags,
        });
    }
    stream
}

/// The command of NATS' own tool that makes such a stream.
pub(super) fn command(config: &Config) -> String {
    let stream = stream(config);
    let subjects = Subjects::new(&config.prefix);
    let (stored, live) = (subjects.all_stored(), subjects.all_live());
    let seconds = |nanos: &Value| nanos.as_i64().unwrap_or_default() / 1_000_000_000;
    format!(
        "nats stream add {} --subjects '{stored}' --republish-source '{stored}' --republish-destination '{live}' \
         --allow-direct --retention limits --discard old --storage {} --replicas {} --max-age {}s \
         --max-msgs-per-subject {} --max-bytes {} --dupe-window {}s --defaults",
        config.stream_name(),
        stream["storage"].as_str().unwrap_or_default(),
        config.replicas,
        seconds(&stream["max_age"]),
        stream["max_msgs_per_subject"],
        stream["max_bytes"],
        seconds(&stream["duplicate_window"]),
    )
}

/// A server refuses a window that is longer than the life of messages.
fn window(config: &Config) -> Duration {
    const MOST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    config.duplicate_window.min(config.max_age).min(MOST)
}

fn limit(limit: usize) -> i64 {
    if limit == UNLIMITED { -1 } else { i64::try_from(limit).unwrap_or(i64::MAX) }
}

fn nanos(time: Duration) -> i64 {
    if time == Duration::MAX { 0 } else { i64::try_from(time.as_nanos()).unwrap_or(i64::MAX) }
}
