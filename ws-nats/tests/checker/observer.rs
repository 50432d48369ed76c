//! Reads what the stream takes, past the nodes and before anything is trimmed.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use async_nats::{Client, HeaderMap};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    ledger::{Id, Truth},
    world::{id, lock},
};

const STREAM: &str = "CHECK";
const PATIENCE: Duration = Duration::from_millis(1000);

pub(crate) struct Observer {
    client: Client,
    truth: Arc<Mutex<Truth>>,
    created: String,
    next: u64,
}

impl Observer {
    pub(crate) fn new(client: Client, truth: Arc<Mutex<Truth>>) -> Self {
        Self { client, truth, created: String::new(), next: 1 }
    }

    /// Until it is aborted.
    pub(crate) async fn run(mut self) {
        loop {
            let read = self.read().await;
            if !read.unwrap_or(false) {
                sleep(Duration::from_millis(30)).await;
            }
        }
    }

    /// Some more. Returns whether there may be others now.
    async fn read(&mut self) -> Option<bool> {
        let info = self.info().await?;
        let created = info["created"].as_str()?;
        if created != self.created {
            self.created = created.to_owned();
            self.next = 1;
            lock(&self.truth).begin();
        }
        if info["state"]["last_seq"].as_u64()? < self.next {
            return Some(false);
        }
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.ok()?;
        let request = json!({ "seq": self.next, "next_by_subj": "check.h.>", "batch": 256 });
        let subject = format!("$JS.API.DIRECT.GET.{STREAM}");
        self.client.publish_with_reply(subject, inbox, request.to_string().into()).await.ok()?;
        let before = self.next;
        loop {
            let message = timeout(PATIENCE, answers.next()).await.ok()??;
            if message.status.is_some() {
                return Some(self.next > before);
            }
            let headers = message.headers.as_ref()?;
            let sequence: u64 = header(headers, "Nats-Sequence")?.parse().ok()?;
            let topic = header(headers, "Nats-Subject")?.strip_prefix("check.h.t=2E");
            if sequence < self.next {
                continue;
            }
            self.next = sequence + 1;
            let Some(topic) = topic.and_then(|topic| topic.parse().ok()) else { continue };
            let text = std::str::from_utf8(&message.payload).ok();
            lock(&self.truth).take(topic, sequence, text.and_then(id).unwrap_or(Id::MAX));
        }
    }

    /// The last sequence of the stream, once all before it is read.
    pub(crate) async fn info(&self) -> Option<Value> {
        let request = self.client.request(format!("$JS.API.STREAM.INFO.{STREAM}"), "".into());
        let answer = timeout(PATIENCE, request).await.ok()?.ok()?;
        serde_json::from_slice(&answer.payload).ok()
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &'static str) -> Option<&'h str> {
    Some(headers.get(name)?.as_str())
}
