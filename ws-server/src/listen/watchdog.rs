//! Keeps a handler that blocks its thread from holding up the sockets of the others.
//!
//! One worker of a runtime at a time waits for the operating system. What it hears there for one
//! task alone it runs without waking another worker; if that task then blocks, nobody waits for the
//! operating system any more, and every socket of the runtime stalls. Whatever wakes another
//! worker from outside ends that, and this thread does, when it sees one that is at work for long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::JoinHandle,
};
use tracing::warn;

/// How often it looks, which is the longest that one blocked thread holds up the others.
const INTERVAL: Duration = Duration::from_millis(100);
/// Nothing was run for so many intervals: that is worth a line in the log.
const LONG: u32 = 10;

/// Watches the runtime until it is dropped.
pub(crate) struct Watchdog {
    over: Arc<AtomicBool>,
    thread: Thread,
}

impl Watchdog {
    /// `None` if there is no second worker that could go on.
    pub(crate) fn start() -> Option<Self> {
        let runtime = Handle::current();
        let workers = runtime.metrics().num_workers();
        if runtime.runtime_flavor() != RuntimeFlavor::MultiThread || workers < 2 {
            return None;
        }
        let over = Arc::new(AtomicBool::new(false));
        let watch = Watch {
            parked: vec![0; workers],
            runtime,
            over: Arc::clone(&over),
            probe: None,
            waited: 0,
        };
        match thread::Builder::new().name("ws-watchdog".into()).spawn(|| watch.run()) {
            Ok(thread) => Some(Self { over, thread: thread.thread().clone() }),
            Err(error) => {
                warn!(%error, "no thread to watch for handlers that block");
                None
            }
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

struct Watch {
    runtime: Handle,
    over: Arc<AtomicBool>,
    /// How often each worker went to rest or came back, when it was last seen.
    parked: Vec<u64>,
    /// Runs as soon as a worker has nothing better to do.
    probe: Option<JoinHandle<()>>,
    /// For so many intervals it has not.
    waited: u32,
}

impl Watch {
    fn run(mut self) {
        while !self.over.load(Ordering::Acquire) {
            thread::park_timeout(INTERVAL);
            self.look();
        }
    }

    fn look(&mut self) {
        if self.probe.as_ref().is_some_and(|probe| !probe.is_finished()) {
            self.waited += 1;
            if self.waited == LONG {
                warn!("no thread of the runtime is free: a handler blocks (see spawn_blocking)");
            }
            return;
        }
        (self.probe, self.waited) = (None, 0);
        if self.is_one_busy() {
            self.probe = Some(self.runtime.spawn(async {}));
        }
    }

    /// Whether a worker was at work all the time since this was last called.
    fn is_one_busy(&mut self) -> bool {
        let metrics = self.runtime.metrics();
        let mut busy = false;
        for (worker, before) in self.parked.iter_mut().enumerate() {
            let now = metrics.worker_park_unpark_count(worker);
            // Even while it is at work.
            busy |= now.is_multiple_of(2) && now == *before;
            *before = now;
        }
        busy
    }
}
