//! What becomes of a handler whose connection is over.

use std::{future::poll_fn, pin::pin};

use tokio::time::timeout;
use tracing::warn;

use super::{
    endpoint::Endpoint,
    handling::{self, Handling},
};
use crate::outbox::Outbox;

/// Waits until the handler has returned and `hung_up` is done, at a server's end for
/// [`Limits::handler_grace`](crate::Limits::handler_grace) or, from `hung_up` on, until its place is
/// needed. Then the handler is dropped.
pub(super) async fn run<E: Endpoint>(
    handling: Option<Handling<E::Handler>>,
    endpoint: &mut E,
    outbox: &Outbox,
    hung_up: impl Future<Output = ()>,
) {
    // In this order, for a handler that takes its time over its last turn.
    let Some(handling) = handling else {
        return hung_up.await;
    };
    let mut handler = Box::pin(returned::<E>(handling, outbox));
    let mut hung_up = pin!(hung_up);
    let mut returned = false;
    poll_fn(|cx| {
        let hung_up = hung_up.as_mut().poll(cx);
        returned = returned || handler.as_mut().poll(cx).is_ready();
        hung_up
    })
    .await;
    if !returned {
        tokio::select! {
            biased;
            () = &mut handler => {}
            () = endpoint.displaced() => {
                drop(handler);
                dropped(outbox, "its place is needed");
            }
        }
    }
}

/// Waits until a handler has returned, or has not in time.
async fn returned<E: Endpoint>(mut handling: Handling<E::Handler>, outbox: &Outbox) {
    let ended = poll_fn(|cx| handling::poll(&mut handling, cx));
    if !E::SERVER {
        // A client's end, whose application waits for it.
        return ended.await.log(outbox);
    }
    match timeout(outbox.limits.handler_grace, ended).await {
        Ok(ended) => ended.log(outbox),
        Err(_) => {
            drop(handling);
            dropped(outbox, "it had not returned within handler_grace");
        }
    }
}

/// Says so in the log, and counts it.
fn dropped(outbox: &Outbox, reason: &str) {
    let Some(stats) = &outbox.stats else { return };
    stats.counters.handler_dropped();
    if let Some(left_out) = stats.handler_log.admit() {
        warn!(left_out, "dropped the handler of a connection that is over: {reason}");
    }
}
