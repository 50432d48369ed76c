//! What a server holds, taken before something goes wrong and compared after it.

use std::{
    collections::BTreeMap,
    fmt::Write,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};
use ws_server::{Clients, Handler, WebSocket};

/// Handlers that have not returned and were not dropped.
#[derive(Clone, Default)]
pub(crate) struct Handlers(Arc<Shared>);

#[derive(Default)]
struct Shared {
    alive: AtomicUsize,
    /// How often the newest was polled.
    polls: AtomicUsize,
    /// The poll in which it panics.
    panics_at: AtomicUsize,
}

struct Counted(Handlers);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Handlers {
    /// Counts the calls of `handler` while they last, dropped futures included.
    pub(crate) fn count<H: Handler>(&self, handler: H) -> impl Handler + use<H> {
        let (handlers, handler) = (self.clone(), Arc::new(handler));
        move |ws: WebSocket| {
            handlers.0.alive.fetch_add(1, Ordering::Relaxed);
            handlers.0.polls.store(0, Ordering::Relaxed);
            let (counted, handler) = (Counted(handlers.clone()), Arc::clone(&handler));
            async move {
                let shared = Arc::clone(&counted.0.0);
                let _counted = counted;
                let mut handled = handler.start(ws);
                poll_fn(|cx| {
                    let nth = shared.polls.fetch_add(1, Ordering::Relaxed) + 1;
                    if nth == shared.panics_at.load(Ordering::Relaxed) {
                        unwind();
                    }
                    handled.as_mut().poll(cx)
                })
                .await
            }
        }
    }

    /// From now on each handler panics in its poll of this number, counted from 1.
    pub(crate) fn panic_at(&self, poll: usize) {
        self.0.panics_at.store(poll, Ordering::Relaxed);
    }

    /// How often the newest was polled.
    pub(crate) fn polls(&self) -> usize {
        self.0.polls.load(Ordering::Relaxed)
    }
}

/// Panics, without a line on standard error and without a backtrace, which takes longer than all else.
pub(crate) fn unwind() -> ! {
    std::panic::resume_unwind(Box::new("as the test wants it"))
}

/// Figures by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Figures(pub(crate) BTreeMap<String, i64>);

impl Figures {
    /// What this server holds now. All but the connections of the last two are gauges.
    pub(crate) fn of(clients: &Clients, handlers: &Handlers) -> Self {
        let metrics = clients.metrics();
        let ended = metrics.closed.values().sum::<u64>()
            + metrics.closed_by_clients_3xxx
            + metrics.closed_by_clients_4xxx;
        let figures = [
            ("connections", metrics.connections as i64),
            ("listed", clients.list().len() as i64),
            ("topics", metrics.topics as i64),
            ("subscriptions", metrics.subscriptions as i64),
            ("queue_bytes", metrics.queue_bytes as i64),
            ("memory", metrics.memory as i64),
            ("handlers", handlers.0.alive.load(Ordering::Relaxed) as i64),
            ("opened, not ended", metrics.opened as i64 - ended as i64),
            ("opened, of no duration", (metrics.opened - metrics.durations.count()) as i64),
        ];
        Self(figures.map(|(name, figure)| (name.to_owned(), figure)).into())
    }

    /// As text, one to a line.
    pub(crate) fn write(&self) -> String {
        let mut text = String::new();
        for (name, figure) in &self.0 {
            writeln!(text, "{name}={figure}").unwrap();
        }
        text
    }

    pub(crate) fn read(text: &str) -> Self {
        let figure = |line: &str| {
            let (name, figure) = line.split_once('=').unwrap_or_else(|| panic!("{text}"));
            (name.to_owned(), figure.parse().unwrap())
        };
        Self(text.lines().map(figure).collect())
    }
}

/// The figures of a server in this process.
pub(crate) struct Ledger {
    clients: Clients,
    handlers: Handlers,
    tasks: usize,
    before: Figures,
}

impl Ledger {
    pub(crate) fn open(clients: &Clients, handlers: &Handlers) -> Self {
        Self {
            before: Figures::of(clients, handlers),
            tasks: Handle::current().metrics().num_alive_tasks(),
            clients: clients.clone(),
            handlers: handlers.clone(),
        }
    }

    /// That everything is as it was.
    #[track_caller]
    pub(crate) fn check(&self, what: impl std::fmt::Debug) {
        let after = Figures::of(&self.clients, &self.handlers);
        assert_eq!(after, self.before, "{what:?}");
        let tasks = Handle::current().metrics().num_alive_tasks();
        assert_eq!(tasks, self.tasks, "tasks: {what:?}");
    }

    /// That everything is soon as it was, while tasks that nobody waits for come to their end.
    pub(crate) async fn settled(&self, what: impl std::fmt::Debug) {
        let is_so = || {
            Figures::of(&self.clients, &self.handlers) == self.before
                && Handle::current().metrics().num_alive_tasks() == self.tasks
        };
        let settled = async {
            while !is_so() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(Duration::from_secs(600), settled).await.ok();
        self.check(what);
    }
}
