//! What a topic's task waits for while it goes on to receive: one answer of the stream at a time.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::time;
use tracing::debug;

use super::{Audited, Follower, history::History};
use crate::{
    api::ApiError,
    inspector::Sight,
    node::Node,
    own::Own,
    refill::Raw,
    track::{Batch, Entry, Newest, Want},
};

/// Time before a question that had no answer is asked again.
const AGAIN: Duration = Duration::from_millis(200);
/// Time between two looks at what this process published.
const SETTLING: Duration = Duration::from_millis(2);

pub(super) type Work = Pin<Box<dyn Future<Output = Outcome> + Send>>;

pub(super) enum Outcome {
    /// The stream as it was once live messages came, and what this process published.
    Started(Sight, Option<(u64, u64)>),
    Refilled(Batch<Raw>),
    Audited(Audited),
    History(History),
    Latest(Option<Entry<Raw>>),
    Failed,
}

/// Waits for the work, forever if there is none.
pub(super) async fn finish(work: &mut Option<Work>) -> Outcome {
    let Some(running) = work else { return std::future::pending().await };
    let outcome = running.await;
    *work = None;
    outcome
}

/// An answer, or a pause after none.
async fn answer<T>(
    question: impl Future<Output = Result<T, ApiError>>,
    outcome: impl FnOnce(T) -> Outcome,
) -> Outcome {
    match question.await {
        Ok(answer) => outcome(answer),
        Err(error) => {
            debug!(%error, "a question to the stream has no answer");
            time::sleep(AGAIN).await;
            Outcome::Failed
        }
    }
}

impl Follower {
    /// What has to be asked next.
    pub(super) fn next_work(&mut self) -> Option<Work> {
        let node = Arc::clone(&self.node);
        let subject = self.stored.clone();
        if !self.track.is_started() {
            let own = Arc::clone(&self.topic.own);
            return Some(Box::pin(async move {
                let started = |(sight, own)| Outcome::Started(sight, own);
                answer(start(&node, &own), started).await
            }));
        }
        if let Some(want) = self.track.wants() {
            return Some(Box::pin(async move {
                answer(node.reader.read(&subject, want), Outcome::Refilled).await
            }));
        }
        if self.doubts() || self.joins_ahead() {
            let (after, position) = (self.track.verified(), self.track.position());
            return Some(Box::pin(async move {
                answer(audit(&node, &subject, after, position), Outcome::Audited).await
            }));
        }
        if let Some(from) = self.joins_from() {
            let (messages, bytes) = (node.config.recovery_messages, node.config.recovery_bytes);
            self.ring.pin(bytes);
            return Some(Box::pin(async move {
                answer(history(&node, &subject, from, messages, bytes), Outcome::History).await
            }));
        }
        self.joins_latest().then(|| -> Work {
            Box::pin(async move { answer(node.reader.last(&subject), Outcome::Latest).await })
        })
    }
}

/// Where the stream is, once live messages come; and what this process published until then.
async fn start(node: &Node, own: &Own) -> Result<(Sight, Option<(u64, u64)>), ApiError> {
    let sight = node.inspector.look().await?;
    // What is published from now on comes after that.
    own.close();
    let settled = async {
        while !own.is_settled() {
            time::sleep(SETTLING).await;
        }
    };
    // Beyond it, it is unknown whether the stream has it.
    time::timeout(node.config.publish_timeout, settled).await.ok();
    Ok((sight, own.stored()))
}

/// Asks the leader about one topic.
async fn audit(node: &Node, subject: &str, after: u64, position: u64) -> Result<Audited, ApiError> {
    let sight = node.inspector.look().await?;
    let place = node.reader.last(subject).await?.map(|entry| entry.place);
    let sequence = place.map(|place| place.sequence).filter(|sequence| *sequence > after);
    let (through, view) = (sight.view.last, sight.view);
    Ok(sight.audited(Newest { after, sequence, through, position, view }, place))
}

/// Reads all of a topic after `from`, within limits.
async fn history(
    node: &Node,
    subject: &str,
    from: u64,
    messages: usize,
    bytes: usize,
) -> Result<History, ApiError> {
    let mut history = History { from, ..History::default() };
    let mut after = from;
    let mut read = 0;
    loop {
        let batch = node.reader.read(subject, Want { after, target: u64::MAX }).await?;
        if after == from {
            history.kept = batch.kept;
            history.view = batch.view;
        }
        let last = batch.entries.last().map(|entry| entry.place.sequence);
        read += batch.entries.iter().map(|entry| entry.bytes).sum::<usize>();
        history.entries.extend(batch.entries);
        let count = usize::try_from(batch.remaining).unwrap_or(usize::MAX);
        let count = history.entries.len().saturating_add(count);
        if count > messages || read > bytes {
            let (entries, is_too_much) = (Vec::new(), true);
            return Ok(History { entries, is_too_much, ..history });
        }
        match last {
            Some(last) if batch.remaining > 0 => after = last,
            last => {
                history.through = batch.through.max(last.unwrap_or(0));
                return Ok(history);
            }
        }
    }
}
