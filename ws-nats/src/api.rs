//! Requests to JetStream.

use std::time::Duration;

use async_nats::{Client, RequestErrorKind, client::Request};
use serde_json::Value;

use crate::Config;

/// The API of JetStream, in the domain that is configured. async-nats' own has no batches, and drops
/// settings of streams that it does not know.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    client: Client,
    prefix: String,
    timeout: Duration,
}

/// Why a request has no good answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    /// Nobody serves it: no JetStream, or none in this domain.
    #[error("no JetStream answers")]
    NoResponders,
    /// None in time, or the connection is gone.
    #[error("JetStream gives no answer")]
    NoAnswer,
    /// Not what JetStream answers.
    #[error("the answer of JetStream cannot be read")]
    Unread,
    /// An error of JetStream.
    #[error("{description} (error {code})")]
    JetStream { code: u64, description: String },
}

impl Api {
    /// Each answer has as much time as [`Config::connect_timeout`](Config#structfield.connect_timeout).
    pub(crate) fn new(client: Client, config: &Config) -> Self {
        let prefix = match &config.domain {
            Some(domain) => format!("$JS.{domain}.API"),
            None => "$JS.API".to_owned(),
        };
        Self { client, prefix, timeout: config.connect_timeout }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The subject of a request such as `STREAM.INFO.NAME`.
    pub(crate) fn subject(&self, request: &str) -> String {
        format!("{}.{request}", self.prefix)
    }

    /// One request with one answer in JSON.
    pub(crate) async fn request(&self, request: &str, body: &Value) -> Result<Value, ApiError> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let sent = Request::new().payload(body.into()).timeout(Some(self.timeout));
        let answer = self.client.send_request(self.subject(request), sent).await;
        let answer = answer.map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => ApiError::NoResponders,
            _ => ApiError::NoAnswer,
        })?;
        let answer: Value =
            serde_json::from_slice(&answer.payload).map_err(|_| ApiError::Unread)?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(ApiError::JetStream {
                code: error["err_code"].as_u64().unwrap_or_default(),
                description: error["description"].as_str().unwrap_or("no description").to_owned(),
            }),
        }
    }
}
