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
    // In whole milliseconds, as servers count them; 0 is no limit.
    let time = |nanos: &Value| match nanos.as_i64().unwrap_or_default() / 1_000_000 {
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    };
    let mut command = format!(
        "nats stream add {} --subjects '{stored}' --republish-source '{stored}' --republish-destination '{live}' \
         --allow-direct --retention limits --discard old --storage {} --replicas {} --max-age {} \
         --max-msgs-per-subject {} --max-bytes {} --dupe-window {}",
        config.stream_name(),
        stream["storage"].as_str().unwrap_or_default(),
        config.replicas,
        time(&stream["max_age"]),
        stream["max_msgs_per_subject"],
        stream["max_bytes"],
        time(&stream["duplicate_window"]),
    );
    let tags = config.placement_tags.iter().map(|tag| ("tag", tag));
    let cluster = config.placement_cluster.iter().map(|cluster| ("cluster", cluster));
    for (option, value) in tags.chain(cluster) {
        command += &format!(" --{option} '{}'", value.replace('\'', "'\\''"));
    }
    command + " --defaults"
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_has_all_that_the_configuration_says() {
        let config = Config::default()
            .duplicate_window(Duration::from_millis(500))
            .max_age(Duration::MAX)
            .max_bytes(UNLIMITED)
            .storage(Storage::Memory)
            .replicas(3)
            .placement_tags(["ssd", "o'hara"])
            .placement_cluster("east");
        assert_eq!(
            command(&config),
            "nats stream add WS --subjects 'ws.h.>' --republish-source 'ws.h.>' \
             --republish-destination 'ws.live.>' --allow-direct --retention limits --discard old \
             --storage memory --replicas 3 --max-age 0s --max-msgs-per-subject 10000 --max-bytes -1 \
             --dupe-window 500ms --tag 'ssd' --tag 'o'\\''hara' --cluster 'east' --defaults"
        );
        assert!(command(&Config::default()).contains(" --max-age 86400s "));
    }
}
