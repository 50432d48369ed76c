//! What nodes tell each other: JSON, in pieces that fit the payload limit of NATS.

use std::{io, sync::Arc};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::config::is_node_name;

/// Room for what surrounds the entries of a piece, beside a topic.
const FRAME: usize = 512;

/// A message of a node: to all nodes, to those who follow a topic, or to one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Envelope {
    /// The sender's incarnation.
    #[serde(with = "hex")]
    pub(crate) from: u64,
    /// What the sender is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Arc<str>>,
    pub(crate) body: Body,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body {
    /// To all: the sender is there.
    Heartbeat,
    /// To all: the sender is gone.
    Goodbye,
    /// To all or to one: the sender was away, or does not know the receiver. It wants a digest.
    Hello,
    /// To all or to one: in which topics the sender has members.
    Digest(Digest),
    /// To those who follow a topic: its members of the sender have changed.
    Delta(Delta),
    /// To one: lists are wanted.
    Ask(Vec<Question>),
    /// To one: the answer.
    Lists(Vec<List>),
}

/// The topics in which a node has members, for a range of their hashes: a topic in the range that is
/// not named has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Digest {
    /// The node's last change when it looked.
    pub(crate) at: u64,
    #[serde(with = "hex")]
    pub(crate) low: u64,
    /// The last hash of the range.
    #[serde(with = "hex")]
    pub(crate) high: u64,
    /// Ascending by hash.
    pub(crate) topics: Vec<Summary>,
}

/// A topic's hash, and its last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Summary(#[serde(with = "hex")] pub(crate) u64, pub(crate) u64);

/// Changes of a topic's members on one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Delta {
    /// The change of this topic before these; 0 where there were no members.
    pub(crate) after: u64,
    /// The last of these.
    pub(crate) version: u64,
    /// By connection: who is here now, or `None`.
    pub(crate) changes: Vec<(u64, Option<Arc<str>>)>,
}

/// A topic whose list is wanted, unless this is its last change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Question(pub(crate) Arc<str>, pub(crate) u64);

/// A piece of the list of a topic's members on one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct List {
    pub(crate) topic: Arc<str>,
    /// The node's last change when it was made.
    pub(crate) version: u64,
    /// Which piece, from 0.
    pub(crate) piece: u32,
    /// Of how many; 0 says that `version` is what was asked with, and the list is not sent.
    pub(crate) pieces: u32,
    pub(crate) members: Vec<(u64, Arc<str>)>,
}

impl Envelope {
    pub(crate) fn encode(&self) -> Bytes {
        // The types have no maps with keys that JSON lacks.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let envelope: Self = serde_json::from_slice(payload).ok()?;
        // A name goes into logs and lists, and is kept.
        envelope.node.as_deref().is_none_or(is_node_name).then_some(envelope)
    }
}

/// Divides entries into pieces whose entries take `limit` octets at most, and have one at least.
pub(crate) fn pieces<T: Serialize>(
    entries: impl IntoIterator<Item = T>,
    limit: usize,
) -> Vec<Vec<T>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut size = 0;
    for entry in entries {
        let more = encoded_len(&entry) + 1;
        if size + more > limit && !piece.is_empty() {
            pieces.push(std::mem::take(&mut piece));
            size = 0;
        }
        size += more;
        piece.push(entry);
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

/// The octets of a message that entries about a topic may take.
pub(crate) fn room(limit: usize, topic: &str) -> usize {
    limit.saturating_sub(FRAME + encoded_len(&topic))
}

/// The octets of a member in a message.
pub(crate) fn entry_len(info: &str) -> usize {
    encoded_len(&(u64::MAX, info)) + 1
}

fn encoded_len(value: &impl Serialize) -> usize {
    let mut count = Count(0);
    serde_json::to_writer(&mut count, value).ok();
    count.0
}

struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0 += octets.len();
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// FNV-1a: the same in all nodes. Topics that collide cost a question that was not needed.
pub(crate) fn hash(topic: &str) -> u64 {
    topic.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Numbers of 64 bits as text: JSON has 53.
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(number: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{number:016x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        u64::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_documented_json() {
        let envelope = |body| Envelope { from: 0x1f, node: None, body };
        for (message, text) in [
            (
                Envelope { node: Some("a".into()), ..envelope(Body::Heartbeat) },
                r#"{"from":"000000000000001f","node":"a","body":"heartbeat"}"#,
            ),
            (
                envelope(Body::Delta(Delta {
                    after: 3,
                    version: 5,
                    changes: vec![(7, Some(r#"{"name":"ann"}"#.into())), (8, None)],
                })),
                r#"{"from":"000000000000001f","body":{"delta":{"after":3,"version":5,"changes":[[7,"{\"name\":\"ann\"}"],[8,null]]}}}"#,
            ),
            (
                envelope(Body::Ask(vec![Question("room".into(), 5)])),
                r#"{"from":"000000000000001f","body":{"ask":[["room",5]]}}"#,
            ),
            (
                envelope(Body::Lists(vec![List {
                    topic: "room".into(),
                    version: 5,
                    piece: 0,
                    pieces: 1,
                    members: vec![(7, "ann".into())],
                }])),
                r#"{"from":"000000000000001f","body":{"lists":[{"topic":"room","version":5,"piece":0,"pieces":1,"members":[[7,"ann"]]}]}}"#,
            ),
            (
                envelope(Body::Digest(Digest {
                    at: 5,
                    low: 0,
                    high: u64::MAX,
                    topics: vec![Summary(0x2a, 5)],
                })),
                r#"{"from":"000000000000001f","body":{"digest":{"at":5,"low":"0000000000000000","high":"ffffffffffffffff","topics":[["000000000000002a",5]]}}}"#,
            ),
        ] {
            assert_eq!(message.encode(), text);
            assert_eq!(Envelope::decode(text.as_bytes()), Some(message));
        }
    }

    #[test]
    fn other_texts_are_no_messages() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"from":"xyz","body":"heartbeat"}"#,
            r#"{"from":"1","body":"else"}"#,
            r#"{"from":"1","node":"a\nb","body":"heartbeat"}"#,
            &format!(r#"{{"from":"1","node":"{}","body":"heartbeat"}}"#, "x".repeat(129)),
        ] {
            assert_eq!(Envelope::decode(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn pieces_keep_to_the_limit_and_lose_nothing() {
        let entries: Vec<(u64, Arc<str>)> =
            (0..1000).map(|n| (n, "x".repeat(n as usize % 60).into())).collect();
        let pieces = pieces(entries.clone(), 500);
        assert!(pieces.iter().all(|piece| encoded_len(piece) <= 502));
        assert!(pieces.len() < 120);
        assert_eq!(pieces.concat(), entries);
    }
}
