//! Keeps a handler that blocks its thread from stalling the sockets of other connections.
//!
//! One worker of a runtime at a time waits for events of the operating system. If it gets an event
//! for a single task, it runs this task without waking another worker. If that task then blocks, no
//! worker waits for events any more, and every socket of the runtime stalls. Waking another worker
//! from outside ends the stall. This thread does so when it sees a worker that has been busy for
//! long.

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

/// How often the thread checks, and so how long one blocked thread stalls the others at most.
const INTERVAL: Duration = Duration::from_millis(100);
/// If no task ran for this many intervals, a line is logged.
const LONG: u32 = 10;

/// Watches the runtime until it is dropped.
pub(crate) struct Watchdog {
    over: Arc<AtomicBool>,
    thread: Thread,
}

impl Watchdog {
    /// Returns `None` if there is no second worker to take over.
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
                warn!(%error, "cannot start the thread that watches for blocking handlers");
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
    /// For each worker, how often it had parked or unparked at the last check.
    parked: Vec<u64>,
    /// Runs as soon as a worker is free.
    probe: Option<JoinHandle<()>>,
    /// Intervals that the probe has waited.
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
                warn!(
                    "no worker thread is free: a handler blocks its thread; use tokio::task::spawn_blocking"
                );
            }
            return;
        }
        (self.probe, self.waited) = (None, 0);
        if self.is_any_busy() {
            self.probe = Some(self.runtime.spawn(async {}));
        }
    }

    /// Whether a worker was busy all the time since the last call.
    fn is_any_busy(&mut self) -> bool {
        let metrics = self.runtime.metrics();
        let mut busy = false;
        for (worker, before) in self.parked.iter_mut().enumerate() {
            let now = metrics.worker_park_unpark_count(worker);
            // The count is even while the worker is busy.
            busy |= now.is_multiple_of(2) && now == *before;
            *before = now;
        }
        busy
    }
}
