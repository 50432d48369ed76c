//! Accepts connections until the server shuts down.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};
use tracing::error;
use ws_core::Closed;

use crate::{Backoff, Listener, Pending, Report, Service, listen::connection::serve};

/// The tasks of one listener's connections, which end when it is dropped.
pub(super) type Tasks = JoinSet<Option<Closed>>;

/// Serves the connections of `listener` until `closing` is set, then closes the listener and returns the
/// tasks that are left.
pub(super) async fn run<L: Listener>(
    mut listener: L,
    service: Service,
    closing: Arc<AtomicBool>,
) -> Tasks {
    let mut tasks = Tasks::new();
    let mut backoff = Backoff::default();
    loop {
        // Its setter polls this future once more.
        let closed = poll_fn(|_| match closing.load(Ordering::Acquire) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        tokio::select! {
            biased;
            () = closed => return tasks,
            Some(ended) = tasks.join_next() => log_panic(ended),
            (pending, peer) = backoff.accept(&mut listener) => match service.shared.enter(peer) {
                Ok(permit) => {
                    tasks.spawn(serve(Arc::clone(&service.shared), pending, peer, permit));
                }
                Err(_) => pending.refuse(),
            },
        }
    }
}

type Ended = Result<Option<Closed>, JoinError>;

/// Closes the open connections, waits for them, and aborts the rest.
pub(super) async fn close(mut tasks: Vec<Tasks>, service: &Service) -> Report {
    // Time for interrupted handshakes and aborted tasks to end. They do, unless a handler blocks its
    // thread.
    const ABORT: Duration = Duration::from_secs(1);

    let mut shutdown = pin!(service.shutdown());
    let report = loop {
        tokio::select! {
            Some(ended) = join_next(&mut tasks) => log_panic(ended),
            report = &mut shutdown => break report,
        }
    };
    let rest = async {
        while let Some(ended) = join_next(&mut tasks).await {
            log_panic(ended);
        }
    };
    timeout(ABORT, rest).await.ok();
    report
}

/// Waits for the next task to end, of all listeners; returns `None` if none is left.
///
/// # Cancel safety
/// Cancel safe.
async fn join_next(tasks: &mut Vec<Tasks>) -> Option<Ended> {
    poll_fn(|cx| {
        tasks.retain(|tasks| !tasks.is_empty());
        for tasks in tasks.iter_mut() {
            if let Poll::Ready(Some(ended)) = tasks.poll_join_next(cx) {
                return Poll::Ready(Some(ended));
            }
        }
        if tasks.is_empty() { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// A panic ends only its own connection.
fn log_panic(ended: Ended) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "the task of a connection panicked");
    }
}
