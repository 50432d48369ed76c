//! Reads a topic from the stream: in batches from any replica, and from the leader where a replica may
//! lag.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_nats::{HeaderMap, Message, StatusCode, Subscriber, jetstream};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time};

use crate::{
    api::{Api, ApiError},
    inspector::Inspector,
    metrics::Counters,
    time::millis,
    track::{Batch, Entry, Place, Want},
};

/// Messages of one batch.
const BATCH: usize = 256;
/// Octets of one batch.
const BATCH_BYTES: usize = 4 << 20;
/// Messages that are asked of the leader one by one, before batches are tried again.
const FROM_LEADER: usize = 32;
/// Topics of one question for newest messages.
pub(crate) const TOPICS: usize = 256;
/// Batches that are read at a time: each holds `BATCH_BYTES` and the message beyond it.
const AT_A_TIME: usize = 16;
/// Time in which a replica that lags is asked again.
const PAUSE: Duration = Duration::from_millis(20);

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raw {
    pub(crate) headers: Option<HeaderMap>,
    pub(crate) payload: Bytes,
}

#[derive(Debug)]
pub(crate) struct Reader {
    api: Api,
    stream: String,
    /// The stream, for questions to its leader.
    leader: jetstream::stream::Stream<()>,
    inspector: Arc<Inspector>,
    counters: Arc<Counters>,
    turns: Semaphore,
    timeout: Duration,
}

/// What a server has of the stream.
struct Read {
    entries: Vec<Entry<Raw>>,
    remaining: u64,
    /// Where one is told: the server had the stream up to here.
    up_to: Option<u64>,
}

/// The newest messages of some topics, by the subjects that were asked for.
#[derive(Debug)]
pub(crate) struct Newests {
    pub(crate) found: Vec<(String, Place)>,
    /// The server had the stream up to here. `None` if it does not say: it has none of these subjects.
    pub(crate) through: Option<u64>,
}

impl Reader {
    pub(crate) fn new(
        api: Api,
        leader: jetstream::stream::Stream<()>,
        stream: String,
        inspector: Arc<Inspector>,
        counters: Arc<Counters>,
        timeout: Duration,
    ) -> Self {
        let turns = Semaphore::new(AT_A_TIME);
        Self { api, stream, leader, inspector, counters, turns, timeout }
    }

    /// Reads what a track wants, or the beginning of it.
    ///
    /// Promise 4: complete only when the message it ends at was read; what a replica does not
    /// have is asked again, and then of the leader.
    pub(crate) async fn read(&self, subject: &str, want: Want) -> Result<Batch<Raw>, ApiError> {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let asked = Instant::now();
        let mut read = self.direct(subject, want.after).await?;
        let reached = |read: &Read| {
            let last = read.entries.last().map_or(0, |entry| entry.place.sequence);
            read.remaining > 0 || last >= want.target
        };
        let is_ahead = |read: &Read| {
            read.entries.last().is_some_and(|entry| entry.place.sequence > want.after)
        };
        if !reached(&read) && !is_ahead(&read) && want.target != u64::MAX {
            time::sleep(PAUSE).await;
            read = self.direct(subject, want.after).await?;
        }
        let mut through = 0;
        let mut leader = false;
        if !reached(&read) {
            let sight = self.inspector.look().await?;
            let last = read.entries.last().map(|entry| entry.place.sequence);
            let more =
                self.of_leader(subject, last.unwrap_or(want.after.saturating_sub(1))).await?;
            read.remaining = more.remaining;
            read.entries.extend(more.entries);
            leader = true;
            if read.remaining == 0 {
                through = sight.view.last;
            }
        }
        let kept = read.entries.first().is_some_and(|entry| entry.place.sequence == want.after);
        if kept {
            read.entries.remove(0);
        }
        let view = if kept { None } else { Some(self.inspector.look().await?.view) };
        let last = read.entries.last().map_or(want.after, |entry| entry.place.sequence);
        self.counters.refilled.add(read.entries.len() as u64);
        Ok(Batch {
            after: want.after,
            entries: read.entries,
            kept,
            through: if kept { through.max(last) } else { through },
            remaining: read.remaining,
            view,
            leader,
            asked,
        })
    }

    /// The topic's messages from `from` on, by any replica.
    async fn direct(&self, subject: &str, from: u64) -> Result<Read, ApiError> {
        self.counters.refills.add(1);
        let request = json!({
            "seq": from.max(1),
            "next_by_subj": subject,
            "batch": BATCH,
            "max_bytes": BATCH_BYTES.max(self.api.client().max_payload().saturating_mul(2)),
        });
        let mut read = Read { entries: Vec::new(), remaining: 0, up_to: None };
        self.batch(&request, &mut read, |read, message| {
            read.entries.extend(entry(message));
        })
        .await?;
        Ok(read)
    }

    /// A batch of Direct Get.
    async fn batch(
        &self,
        request: &Value,
        read: &mut Read,
        mut take: impl FnMut(&mut Read, Message),
    ) -> Result<(), ApiError> {
        let client = self.api.client();
        let inbox = client.new_inbox();
        let answers = client.subscribe(inbox.clone()).await;
        let mut answers = answers.map_err(|_| ApiError::NoAnswer)?;
        let subject = self.api.subject(&format!("DIRECT.GET.{}", self.stream));
        let asked = client.publish_with_reply(subject, inbox, request.to_string().into()).await;
        asked.map_err(|_| ApiError::NoAnswer)?;
        // Each tells the one before it, and so does the end: one that is lost on the way, as by a
        // reconnect, would be missed in silence.
        let mut before = 0;
        loop {
            let message = self.next(&mut answers).await?;
            let number = |name| header(message.headers.as_ref(), name)?.parse::<u64>().ok();
            let last = number("Nats-Last-Sequence");
            if last.is_some_and(|last| last != before) {
                return Err(ApiError::Unread);
            }
            match message.status {
                None => {
                    before = number("Nats-Sequence").ok_or(ApiError::Unread)?;
                    take(read, message);
                }
                Some(StatusCode::NO_RESPONDERS) => return Err(ApiError::NoResponders),
                // 204: the end. 404: there is none.
                Some(status) if matches!(status.as_u16(), 204 | 404) => {
                    read.remaining = number("Nats-Num-Pending").unwrap_or(0);
                    read.up_to = number("Nats-UpTo-Sequence");
                    return Ok(());
                }
                Some(_) => return Err(ApiError::Unread),
            }
        }
    }

    async fn next(&self, answers: &mut Subscriber) -> Result<Message, ApiError> {
        let answer = time::timeout(self.timeout, answers.next()).await;
        answer.ok().flatten().ok_or(ApiError::NoAnswer)
    }

    /// The topic's messages after `after`, by the leader.
    async fn of_leader(&self, subject: &str, after: u64) -> Result<Read, ApiError> {
        let mut entries = Vec::new();
        let mut from = after.saturating_add(1);
        for _ in 0..FROM_LEADER {
            let Some(entry) = self.first_of_leader(subject, from).await? else {
                return Ok(Read { entries, remaining: 0, up_to: None });
            };
            from = entry.place.sequence.saturating_add(1);
            entries.push(entry);
        }
        // There may be none.
        Ok(Read { entries, remaining: 1, up_to: None })
    }

    async fn first_of_leader(
        &self,
        subject: &str,
        from: u64,
    ) -> Result<Option<Entry<Raw>>, ApiError> {
        let request = self.leader.raw_message_builder().sequence(from).next_by_subject(subject);
        self.counters.refills.add(1);
        found(time::timeout(self.timeout, request.send()).await)
    }

    /// The topic's last message, by the leader.
    pub(crate) async fn last(&self, subject: &str) -> Result<Option<Entry<Raw>>, ApiError> {
        let request = self.leader.raw_message_builder().last_by_subject(subject);
        found(time::timeout(self.timeout, request.send()).await)
    }

    /// The subject of the stream's last message, by the leader.
    pub(crate) async fn last_subject(&self, all: &str) -> Result<Option<String>, ApiError> {
        let request = self.leader.raw_message_builder().last_by_subject(all);
        message(time::timeout(self.timeout, request.send()).await)
            .map(|message| message.map(|message| message.subject.to_string()))
    }

    /// The newest messages of at most [`TOPICS`] topics, if they come after `after`.
    pub(crate) async fn newest(
        &self,
        subjects: &[String],
        after: u64,
    ) -> Result<Newests, ApiError> {
        let mut found = Vec::new();
        let mut from = after.saturating_add(1);
        let mut through: Option<u64> = None;
        loop {
            let request = json!({ "multi_last": subjects, "seq": from, "batch": TOPICS });
            let mut read = Read { entries: Vec::new(), remaining: 0, up_to: None };
            let mut last = 0;
            self.batch(&request, &mut read, |_, message| {
                let headers = message.headers.as_ref();
                let sequence = header(headers, "Nats-Sequence").and_then(|text| text.parse().ok());
                let time = header(headers, "Nats-Time-Stamp").and_then(millis).unwrap_or(0);
                let subject = header(headers, "Nats-Subject");
                if let (Some(subject), Some(sequence)) = (subject, sequence) {
                    last = sequence;
                    found.push((subject.to_owned(), Place { sequence, time }));
                }
            })
            .await?;
            // Another server may answer the rest.
            through = match (through, read.up_to) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
            if read.remaining == 0 || last < from {
                return Ok(Newests { found, through });
            }
            from = last + 1;
        }
    }
}

pub(crate) fn header<'h>(headers: Option<&'h HeaderMap>, name: &'static str) -> Option<&'h str> {
    Some(headers?.get(name)?.as_str())
}

/// A message of a batch. The server made its headers.
fn entry(message: Message) -> Option<Entry<Raw>> {
    let headers = message.headers.as_ref();
    let sequence = header(headers, "Nats-Sequence")?.parse().ok()?;
    let time = header(headers, "Nats-Time-Stamp").and_then(millis).unwrap_or(0);
    Some(Entry {
        place: Place { sequence, time },
        bytes: message.length,
        message: Raw { headers: message.headers, payload: message.payload },
    })
}

type RawAnswer = Result<
    Result<jetstream::message::StreamMessage, jetstream::stream::RawMessageError>,
    time::error::Elapsed,
>;

fn message(answer: RawAnswer) -> Result<Option<jetstream::message::StreamMessage>, ApiError> {
    match answer.map_err(|_| ApiError::NoAnswer)? {
        Ok(message) => Ok(Some(message)),
        Err(error) => {
            let none = jetstream::stream::RawMessageErrorKind::NoMessageFound;
            if error.kind() == none { Ok(None) } else { Err(ApiError::NoAnswer) }
        }
    }
}

fn found(answer: RawAnswer) -> Result<Option<Entry<Raw>>, ApiError> {
    let Some(message) = message(answer)? else { return Ok(None) };
    let time = u64::try_from(message.time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    let headers = Some(message.headers).filter(|headers| !headers.is_empty());
    Ok(Some(Entry {
        place: Place { sequence: message.sequence, time },
        bytes: message.payload.len(),
        message: Raw { headers, payload: message.payload },
    }))
}
