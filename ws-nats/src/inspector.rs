//! The stream as its leader sees it. Many ask at a time, and one request serves all.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::oneshot;

use crate::{
    api::{Api, ApiError},
    stream::{self, Facts},
    track::View,
};

/// Messages that the stream may have taken since it was seen, for a start. A live message with a far
/// greater sequence is not believed before the stream is asked.
const SLACK: u64 = 100_000;
/// The same, for each second.
const PER_SECOND: u64 = 500_000;

/// The stream at a time.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) facts: Facts,
    pub(crate) view: View,
}

#[derive(Debug)]
pub(crate) struct Inspector {
    api: Api,
    stream: String,
    /// The last answer.
    latest: Mutex<Sight>,
    waiting: Mutex<Waiting>,
}

type Answer = Result<Sight, ApiError>;

#[derive(Debug, Default)]
struct Waiting {
    is_asking: bool,
    all: Vec<oneshot::Sender<Answer>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sight {
    fn new(facts: Facts, asked: Instant) -> Self {
        let view = View {
            first: facts.first_sequence,
            last: facts.last_sequence,
            time: facts.time,
            asked,
            got: Instant::now(),
            max_age: facts.max_age,
            per_topic: facts.messages_per_topic,
            room: facts.room,
        };
        Self { facts, view }
    }
}

impl Inspector {
    /// `facts` are from before any link.
    pub(crate) fn new(api: Api, stream: String, facts: Facts) -> Self {
        let latest = Mutex::new(Sight::new(facts, Instant::now()));
        Self { api, stream, latest, waiting: Mutex::default() }
    }

    /// What was seen last.
    pub(crate) fn latest(&self) -> Sight {
        lock(&self.latest).clone()
    }

    /// The epoch that was seen last.
    pub(crate) fn epoch(&self) -> u64 {
        lock(&self.latest).facts.epoch
    }

    /// The stream cannot have a greater sequence by now. Generous: it bounds what a forged message can
    /// claim.
    pub(crate) fn horizon(&self, now: Instant) -> u64 {
        let view = lock(&self.latest).view;
        let millis = now.saturating_duration_since(view.asked).as_millis();
        let millis = u64::try_from(millis).unwrap_or(u64::MAX);
        let grown = millis.saturating_mul(PER_SECOND / 1000).saturating_add(SLACK);
        view.last.saturating_add(grown)
    }

    /// The stream as it is now, or later.
    ///
    /// # Cancel safety
    /// The request goes on for others.
    pub(crate) async fn look(self: &Arc<Self>) -> Answer {
        let (sender, answer) = oneshot::channel();
        let asks = {
            let mut waiting = lock(&self.waiting);
            waiting.all.push(sender);
            !std::mem::replace(&mut waiting.is_asking, true)
        };
        if asks {
            tokio::spawn(Arc::clone(self).ask());
        }
        answer.await.unwrap_or(Err(ApiError::NoAnswer))
    }

    /// Asks until nobody waits. Whoever comes while a request is under way waits for the next one.
    async fn ask(self: Arc<Self>) {
        loop {
            let all = {
                let mut waiting = lock(&self.waiting);
                let all = std::mem::take(&mut waiting.all);
                waiting.is_asking = !all.is_empty();
                all
            };
            if all.is_empty() {
                return;
            }
            let asked = Instant::now();
            let facts = stream::look(&self.api, &self.stream).await;
            let answer = facts.map(|facts| Sight::new(facts, asked));
            if let Ok(sight) = &answer {
                *lock(&self.latest) = sight.clone();
            }
            for one in all {
                // It may wait no longer.
                one.send(answer.clone()).ok();
            }
        }
    }
}
