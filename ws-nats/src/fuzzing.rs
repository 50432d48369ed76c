//! A door to what is read from NATS, for the fuzz target `nats` and in its builds alone.

use async_nats::HeaderMap;
use bytes::Bytes;

use crate::{presence::Envelope, subject::Subjects, wire};

/// The topic of a subject of presence below `prefix`, and the subject of that topic.
pub fn presence_topic(prefix: &str, subject: &str) -> Option<(String, String)> {
    let subjects = Subjects::new(prefix);
    let topic = subjects.presence_topic(subject)?;
    let again = subjects.presence(&topic);
    Some((topic, again))
}

/// The subject of a stored topic below `prefix`, and the topic of its presence, read back.
pub fn stored_and_back(prefix: &str, topic: &str) -> (String, Option<String>) {
    let subjects = Subjects::new(prefix);
    (subjects.stored(topic), subjects.presence_topic(&subjects.presence(topic)))
}

/// A message as the node `incarnation` reads it, and as it would send it. `None`: damaged.
pub fn reread(
    headers: &HeaderMap,
    payload: Bytes,
    incarnation: u64,
) -> Option<(HeaderMap, Bytes, usize)> {
    let received = wire::decode(Some(headers), payload, incarnation).ok()?;
    let (headers, payload) = wire::encode(&received.publication, incarnation, None);
    let size = wire::size(&headers, &payload);
    Some((headers, payload, size))
}

/// What a node tells the others, read and written again.
pub fn envelope(payload: &[u8]) -> Option<Bytes> {
    Some(Envelope::decode(payload)?.encode())
}
