//! What a stream is at a time.

use std::time::Duration;

use serde_json::Value;

use crate::time;

/// What a stream is at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Names the life of the stream and the limits that can lose messages: another one has other
    /// sequences, or lost messages that this one would have kept.
    pub(crate) epoch: u64,
    /// Names the life of the stream alone: sequences of another one do not compare.
    pub(crate) life: u64,
    /// When the stream was made, in milliseconds since 1970; 0 if that cannot be read.
    pub(crate) created: u64,
    /// The server's clock, in milliseconds since 1970; 0 if it does not tell.
    pub(crate) time: u64,
    /// Messages that it takes at least before it drops any because it is full. An estimate: half of
    /// what fits by its limits, by the size that messages have on average.
    pub(crate) room: u64,
    pub(crate) first_sequence: u64,
    pub(crate) last_sequence: u64,
    /// `None` without limit.
    pub(crate) max_age: Option<Duration>,
    /// `None` without limit.
    pub(crate) messages_per_topic: Option<u64>,
    /// Octets of a message; `None` without limit.
    pub(crate) max_message: Option<usize>,
}

impl Facts {
    /// From an answer to `STREAM.INFO` or `STREAM.CREATE`.
    pub(super) fn of(info: &Value) -> Option<Self> {
        let (config, state) = (&info["config"], &info["state"]);
        // Limits are positive; 0 and -1 are none.
        let limit = |name: &str| config[name].as_i64().filter(|limit| *limit > 0);
        let max_age = limit("max_age");
        let of_topic = limit("max_msgs_per_subject");
        let created = info["created"].as_str()?;
        let limits = [max_age, of_topic, limit("max_bytes"), limit("max_msgs")];
        let mut epoch = Fnv::new();
        epoch.add(created.as_bytes());
        let life = epoch.0;
        for limit in limits {
            epoch.add(&limit.unwrap_or(-1).to_be_bytes());
        }
        Some(Self {
            epoch: epoch.0,
            life,
            created: time::millis(created).unwrap_or(0),
            time: info["ts"].as_str().and_then(time::millis).unwrap_or(0),
            room: room(config, state),
            first_sequence: state["first_seq"].as_u64()?,
            last_sequence: state["last_seq"].as_u64()?,
            max_age: max_age.and_then(|nanos| nanos.try_into().ok()).map(Duration::from_nanos),
            messages_per_topic: of_topic.and_then(|messages| messages.try_into().ok()),
            max_message: limit("max_msg_size").and_then(|octets| octets.try_into().ok()),
        })
    }
}

fn room(config: &Value, state: &Value) -> u64 {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let limit = |name: &str| config[name].as_u64().filter(|limit| *limit > 0);
    let (messages, bytes) = (number(&state["messages"]), number(&state["bytes"]));
    let average = bytes.checked_div(messages).unwrap_or(0) + 512;
    let by_number = limit("max_msgs").map(|most| most.saturating_sub(messages) / 2);
    let by_size = limit("max_bytes").map(|most| most.saturating_sub(bytes) / average / 2);
    by_number.into_iter().chain(by_size).min().unwrap_or(u64::MAX)
}

/// FNV-1a, the same in every version of this crate and on every machine.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, octets: &[u8]) {
        for octet in octets {
            self.0 = (self.0 ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn info(created: &str, max_age: i64) -> Value {
        json!({
            "created": created,
            "config": { "max_age": max_age, "max_msgs_per_subject": -1, "max_bytes": 1024, "max_msgs": -1 },
            "state": { "first_seq": 3, "last_seq": 9 },
        })
    }

    #[test]
    fn epoch_is_that_of_the_stream_and_its_limits() {
        let one = Facts::of(&info("2026-11-30T13:00:00.1Z", 5_000_000_000)).unwrap();
        assert_eq!((one.first_sequence, one.last_sequence), (3, 9));
        assert_eq!(one.max_age, Some(Duration::from_secs(5)));
        assert_eq!((one.messages_per_topic, one.max_message), (None, None));
        // Whoever changes this number loses all positions.
        assert_eq!(one.epoch, 17_082_973_199_026_758_785);
        let mut later = info("2026-11-30T13:00:00.1Z", 5_000_000_000);
        later["state"]["last_seq"] = json!(10);
        later["config"]["num_replicas"] = json!(3);
        assert_eq!(Facts::of(&later).unwrap().epoch, one.epoch);
        for other in
            [info("2026-11-30T13:00:00.2Z", 5_000_000_000), info("2026-11-30T13:00:00.1Z", 0)]
        {
            assert_ne!(Facts::of(&other).unwrap().epoch, one.epoch);
        }
        assert_eq!(Facts::of(&json!({})), None);
    }
}
