//! A WebSocket to a node, and what is said on it.

use std::{collections::HashMap, time::Duration};

use tokio::time::timeout;
use ws_server::{Connect, Limits, WebSocket};

use crate::ledger::Place;

/// Where a client was, in the words of its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) text: String,
    pub(crate) place: Place,
}

impl Position {
    pub(crate) fn parse(text: &str) -> Self {
        let mut parts = text.split('.');
        let epoch = u64::from_str_radix(parts.next().unwrap(), 16).unwrap();
        let sequence = parts.next().unwrap().parse().unwrap();
        Self { text: text.to_owned(), place: Place { epoch, sequence } }
    }
}

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Message {
        topic: String,
        at: Position,
        body: String,
    },
    Gap {
        topic: String,
        from: Position,
        to: Position,
    },
    Answer {
        number: u64,
        words: String,
    },
    /// An ephemeral message, without a position.
    Plain(String),
}

impl Said {
    fn parse(text: &str) -> Self {
        let mut words = text.splitn(4, ' ');
        let mut word = || words.next().unwrap_or_default();
        match word() {
            "m" => {
                let (topic, at) = (word().to_owned(), Position::parse(word()));
                Self::Message { topic, at, body: word().to_owned() }
            }
            "gap" => {
                let topic = word().to_owned();
                Self::Gap { topic, from: Position::parse(word()), to: Position::parse(word()) }
            }
            "a" => {
                let number = word().parse().unwrap();
                let words = text.splitn(3, ' ').nth(2).unwrap_or_default().to_owned();
                Self::Answer { number, words }
            }
            _ => Self::Plain(text.to_owned()),
        }
    }
}

pub(crate) struct Connection {
    ws: WebSocket,
    number: u64,
    early: HashMap<u64, String>,
}

impl Connection {
    pub(crate) async fn open(url: &str) -> Option<Self> {
        let limits = Limits::default().receive_ahead(1 << 20);
        let connect = Connect::new(url).limits(limits).connect();
        let ws = timeout(Duration::from_secs(5), connect).await.ok()?.ok()?;
        Some(Self { ws, number: 0, early: HashMap::new() })
    }

    /// Says something that is answered with this number.
    pub(crate) async fn say(&mut self, command: &str, rest: &str) -> Option<u64> {
        self.number += 1;
        let number = self.number;
        self.ws.send(format!("{command} {number} {rest}")).await.ok()?;
        Some(number)
    }

    /// `None`: the connection is lost.
    pub(crate) async fn hear(&mut self) -> Option<Said> {
        let message = self.ws.recv().await?;
        message.as_text().map(Said::parse)
    }

    /// An answer; what else is said meanwhile is left out.
    pub(crate) async fn ask(&mut self, command: &str, rest: &str) -> Option<String> {
        let wanted = self.say(command, rest).await?;
        loop {
            if let Some(words) = self.early.remove(&wanted) {
                return Some(words);
            }
            if let Said::Answer { number, words } = self.hear().await? {
                self.early.insert(number, words);
            }
        }
    }
}
