//! What is tried on one link, and its expected outcome.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

/// The properties of a link.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Path {
    /// Bytes per second, each way.
    pub(super) rate: u64,
    /// The round trip time without the queue.
    pub(super) delay: Duration,
    /// The size of the queue, in bytes.
    pub(super) queue: u64,
    /// The share of packets that are lost in addition, 0 to 1.
    pub(super) loss: f64,
}

/// What the server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Route {
    /// A message of 3 MB, after which the client closes
    Big,
    /// A message of 5 MB as the handler returns, to a client that sends once a second
    Farewell,
    /// Messages for 75 seconds
    Stream,
    /// A message of 1 MB from the client, during which the server's process is stopped for 35
    /// seconds
    Paused,
}

/// One trial: a route over a path.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    pub(super) route: Route,
    pub(super) path: Path,
    /// The client reads at most this many bytes per second.
    pub(super) reads: Option<u64>,
    /// How long a stream is observed.
    pub(super) watched: Duration,
}

/// The outcome of a cell.
pub(super) struct Outcome {
    pub(super) answer: Value,
    /// The maximum held by the server's kernel, in bytes.
    pub(super) kernel: u64,
    /// Whether the outcome is the expected one.
    pub(super) is_kept: bool,
}

/// Longer than any deadline for progress, Pings and Pongs.
const PAUSE: Duration = Duration::from_secs(35);

/// The overhead of a link: headers of IP and TCP, and retransmissions.
const OVERHEAD: f64 = 1.15;

/// Time for faults and the end: a write or a Pong is awaited for 30 s at most.
const PATIENCE: Duration = Duration::from_secs(40);

impl Path {
    /// The arguments of the relay.
    pub(super) fn words(&self) -> [(&'static str, String); 4] {
        [
            ("--rate", self.rate.to_string()),
            ("--delay", self.delay.as_secs_f64().to_string()),
            ("--queue", self.queue.to_string()),
            ("--loss", self.loss.to_string()),
        ]
    }
}

impl Route {
    /// The payload that the server sends, if it is one message.
    fn size(self) -> Option<u64> {
        match self {
            Route::Big => Some(3_000_000),
            Route::Farewell => Some(5_000_000),
            Route::Paused => Some(1_000_000),
            Route::Stream => None,
        }
    }
}

impl Cell {
    /// The effective rate in bytes per second.
    pub(super) fn rate(&self) -> u64 {
        self.reads.map_or(self.path.rate, |reads| reads.min(self.path.rate))
    }

    /// An estimate of the time if all goes well.
    pub(super) fn takes(&self) -> Duration {
        match self.route.size() {
            Some(size) => {
                let sending = OVERHEAD * size as f64 / self.rate() as f64;
                Duration::from_secs_f64(sending)
                    + self.pause().map_or(Duration::ZERO, |(_, pause)| pause)
            }
            None => self.watched,
        }
    }

    /// When the server's process is stopped, and for how long.
    pub(super) fn pause(&self) -> Option<(Duration, Duration)> {
        let size = self.route.size().filter(|_| self.route == Route::Paused)?;
        let half = Duration::from_secs_f64(OVERHEAD * size as f64 / self.rate() as f64 / 2.0);
        // Two round trips pass before the first octet of the message leaves.
        Some((half + 3 * self.path.delay, PAUSE))
    }

    /// The time limit.
    pub(super) fn bound(&self) -> Duration {
        match self.route {
            Route::Stream => self.watched,
            _ => self.takes().mul_f64(1.2) + PATIENCE,
        }
    }

    pub(super) fn is_stream(&self) -> bool {
        self.route == Route::Stream
    }

    pub(super) fn client_words(&self) -> Vec<String> {
        let size = self.route.size().unwrap_or_default();
        let (path, more) = match self.route {
            Route::Big => {
                (format!("/big?{size}"), vec!["--close-after".to_owned(), size.to_string()])
            }
            Route::Farewell => (format!("/farewell?{size}"), vec!["--talks".to_owned()]),
            Route::Stream => ("/stream".to_owned(), Vec::new()),
            Route::Paused => {
                // A little less than the rate, so that data waits in the link's queue, not in the
                // client's.
                let rate = (self.rate() as f64 / OVERHEAD).round();
                let upload = ["--upload", &size.to_string(), "--upload-rate", &rate.to_string()];
                ("/upload".to_owned(), upload.map(str::to_owned).to_vec())
            }
        };
        let mut words = vec![path, "--seconds".to_owned(), self.bound().as_secs_f64().to_string()];
        words.extend(more);
        if let Some(reads) = self.reads {
            words.extend(["--reads".to_owned(), reads.to_string()]);
        }
        words
    }

    /// Whether the outcome is the expected one: a message arrives whole, followed by a Close with
    /// 1000; a stream continues and uses the whole rate.
    pub(super) fn judge(&self, answer: &Value) -> bool {
        match self.route {
            Route::Stream => {
                let full = self.rate() as f64 * self.watched.as_secs_f64() / OVERHEAD;
                answer["end"] == "time" && answer["octets"].as_f64() > Some(0.7 * full)
            }
            Route::Big | Route::Farewell | Route::Paused => {
                answer["messages"] == 1 && answer["code"] == 1000
            }
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rate, delay) = (self.rate() / 1000, self.path.delay.as_millis());
        write!(f, "{:?} at {rate} KB/s, {delay} ms", self.route)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cell(route: Route) -> Cell {
        let delay = Duration::from_millis(100);
        let path = Path { rate: 60_000, delay, queue: 64 * 1024, loss: 0.0 };
        Cell { route, path, reads: None, watched: Duration::from_secs(75) }
    }

    #[test]
    fn message_has_to_come_whole_and_the_close_behind_it() {
        for route in [Route::Big, Route::Farewell] {
            let judge = |messages: u64, code: Value| {
                cell(route).judge(&json!({"end": "FIN", "messages": messages, "code": code}))
            };
            assert!(judge(1, json!(1000)));
            assert!(!judge(0, json!(1000)) && !judge(1, Value::Null) && !judge(1, json!(1011)));
        }
    }

    #[test]
    fn stream_has_to_go_on_and_to_fill_the_path() {
        let judge = |end: &str, octets: u64| {
            cell(Route::Stream).judge(&json!({"end": end, "octets": octets}))
        };
        assert!(judge("time", 3_800_000));
        assert!(!judge("time", 1_000_000) && !judge("RST", 3_800_000));
    }

    #[test]
    fn slower_reader_takes_longer() {
        let slow = Cell { reads: Some(20_000), ..cell(Route::Big) };
        assert_eq!(slow.takes(), 3 * cell(Route::Big).takes());
        assert_eq!(slow.to_string(), "Big at 20 KB/s, 100 ms");
    }
}
