//! The stream that stores topics: it is made, or looked at.

mod facts;
mod refused;
mod shape;
mod wanted;

use std::{sync::Arc, time::Duration};

use async_nats::{Client, Event};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tracing::warn;

pub(crate) use self::facts::Facts;
use crate::{
    Config, ConnectError,
    api::{Api, ApiError},
    denied::Denied,
    options,
    subject::Subjects,
};

/// The answers of JetStream that have a meaning of their own.
mod code {
    /// JetStream has no leader yet.
    pub(super) const NOT_AVAILABLE: u64 = 10008;
    pub(super) const NO_MESSAGE: u64 = 10037;
    /// Another process has made the stream in the meantime, otherwise.
    pub(super) const NAME_IN_USE: u64 = 10058;
    pub(super) const NO_STREAM: u64 = 10059;
    /// A message for another stream.
    pub(super) const OTHER_STREAM: u64 = 10060;
}

/// Time before a question is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// What is known of NATS before the first link.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) facts: Facts,
    /// Octets of a message, headers included.
    pub(crate) max_payload: usize,
}

/// Checks the configuration, connects, makes the stream or looks at it, and checks what is permitted;
/// over a connection of its own.
///
/// # Cancel safety
/// What is cancelled may have made the stream.
pub(crate) async fn prepare(config: &Config) -> Result<Prepared, ConnectError> {
    config.check()?;
    let denied = Arc::new(watch::Sender::new(None));
    let told = Arc::clone(&denied);
    let options = options::of(config, "ws-nats check")?.event_callback(move |event: Event| {
        if let Some(denied) = Denied::by(&event) {
            // The first counts: it is the cause of what follows.
            told.send_if_modified(|first| first.is_none() && first.replace(denied).is_none());
        }
        async {}
    });
    // Each server has its own time, and one is tried after the other.
    let servers = options::servers(config);
    let client = options.connect(servers).await;
    let client = client.map_err(|error| options::failed(config, &error))?;
    let mut watched = denied.subscribe();
    let outcome = tokio::select! {
        biased;
        denied = first(&mut watched) => Err(denied.into()),
        outcome = checked(&client, config) => outcome,
    };
    // A client without handles closes by itself; its answers may be slow.
    let _ = timeout(Duration::from_secs(1), client.drain()).await;
    outcome
}

/// What the stream is by now.
pub(crate) async fn look(api: &Api, stream: &str) -> Result<Facts, ApiError> {
    let info = api.request(&format!("STREAM.INFO.{stream}"), &Value::Null).await?;
    Facts::of(&info).ok_or(ApiError::Unread)
}

async fn first(denied: &mut watch::Receiver<Option<Denied>>) -> Denied {
    loop {
        let found = denied.borrow_and_update().clone();
        if let Some(denied) = found {
            return denied;
        }
        if denied.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

async fn checked(client: &Client, config: &Config) -> Result<Prepared, ConnectError> {
    let server = client.server_info();
    if !client.is_server_compatible(2, 11, 0) {
        return Err(ConnectError::TooOld { version: server.version });
    }
    let (api, stream) = (Api::new(client.clone(), config), config.stream_name());
    let info = found_or_made(&api, config, &stream).await?;
    let wanted = wanted::stream(config);
    if let Some(misfit) = shape::misfit(&info["config"], &wanted) {
        return Err(misfit.of(stream));
    }
    let other = shape::other_limits(&info["config"], &wanted);
    if !other.is_empty() {
        let other = other.join(", ");
        warn!(
            %stream,
            "the stream has limits of its own, which count: {other}; change Config, or the stream by `nats stream edit`"
        );
    }
    permitted(client, config, &api, &stream).await?;
    let facts = Facts::of(&info).ok_or_else(|| refused::by(config, &stream, ApiError::Unread))?;
    let max_payload = facts.max_message.unwrap_or(usize::MAX).min(server.max_payload);
    Ok(Prepared { facts, max_payload })
}

/// The stream's description. JetStream may need a while after its start.
async fn found_or_made(api: &Api, config: &Config, stream: &str) -> Result<Value, ConnectError> {
    let started = Instant::now();
    let (look, make) = (format!("STREAM.INFO.{stream}"), format!("STREAM.CREATE.{stream}"));
    loop {
        let found = match ask(api, config, &look, &Value::Null).await {
            Err(ApiError::JetStream { code: code::NO_STREAM, .. }) if config.create => {
                ask(api, config, &make, &wanted::stream(config)).await
            }
            found => found,
        };
        let patience = match &found {
            Ok(_) => return found.map_err(|error| refused::by(config, stream, error)),
            Err(
                ApiError::JetStream { code: code::NAME_IN_USE | code::NOT_AVAILABLE, .. }
                | ApiError::NoAnswer,
            ) => config.connect_timeout,
            Err(ApiError::NoResponders) => config.connect_timeout.min(Duration::from_secs(1)),
            Err(_) => Duration::ZERO,
        };
        if started.elapsed() >= patience {
            return found.map_err(|error| refused::by(config, stream, error));
        }
        sleep(PAUSE).await;
    }
}

/// One question. A stream of several replicas that is being made, by another process perhaps, drops
/// all of them until it has a leader: so nobody waits long, and they are asked again.
async fn ask(api: &Api, config: &Config, request: &str, body: &Value) -> Result<Value, ApiError> {
    const ANSWER: Duration = Duration::from_secs(1);
    let answer = timeout(ANSWER.min(config.connect_timeout), api.request(request, body)).await;
    answer.unwrap_or(Err(ApiError::NoAnswer))
}

/// Uses each subject that this process will use, so that what is missing shows now. Nothing is stored,
/// and no other process is told anything.
async fn permitted(
    client: &Client,
    config: &Config,
    api: &Api,
    stream: &str,
) -> Result<(), ConnectError> {
    let no_answer = || refused::by(config, stream, ApiError::NoAnswer);
    let subjects = Subjects::new(&config.prefix);
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|_| no_answer())?;
    let mut subscribed = Vec::new();
    for subject in subjects.heard() {
        subscribed.push(client.subscribe(subject).await.map_err(|_| no_answer())?);
    }
    // The server has refused what it refuses when this is back.
    client.publish(inbox, "".into()).await.map_err(|_| no_answer())?;
    timeout(config.connect_timeout, answers.next()).await.map_err(|_| no_answer())?;
    drop(subscribed);

    let last = serde_json::json!({ "last_by_subj": subjects.stored("") });
    let (get, started) = (format!("STREAM.MSG.GET.{stream}"), Instant::now());
    loop {
        match ask(api, config, &get, &last).await {
            Ok(_) | Err(ApiError::JetStream { code: code::NO_MESSAGE, .. }) => break,
            Err(ApiError::NoAnswer) if started.elapsed() < config.connect_timeout => {}
            Err(error) => return Err(refused::by(config, stream, error)),
        }
        sleep(PAUSE).await;
    }
    // Its answer is a message, or the status that there is none.
    let request = async_nats::client::Request::new().payload(last.to_string().into());
    let direct = api.subject(&format!("DIRECT.GET.{stream}"));
    client.send_request(direct, request).await.map_err(|_| no_answer())?;

    // A message for a stream of another name: refused, and by the stream itself.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Expected-Stream", format!("{stream}-"));
    let request = async_nats::client::Request::new().headers(headers).payload("".into());
    let answer =
        client.send_request(subjects.stored(""), request).await.map_err(|_| no_answer())?;
    let answer: Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
    match answer["error"]["err_code"].as_u64() {
        Some(code::OTHER_STREAM) => Ok(()),
        other => {
            let description =
                format!("a message to {:?} was answered by {answer}", subjects.stored(""));
            let code = other.unwrap_or_default();
            Err(ConnectError::Stream { stream: stream.to_owned(), code, description })
        }
    }
}

#[cfg(test)]
mod tests;
