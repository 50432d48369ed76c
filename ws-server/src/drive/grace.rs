//! What becomes of a handler whose connection is over.

use std::{future::poll_fn, pin::pin};

use tokio::time::timeout;
use tracing::warn;

use super::handling::{self, Handling};
use crate::{open::admission::Place, outbox::Outbox};

/// Waits until the handler has returned and `hung_up` is done, at a server's end for
/// [`Limits::handler_grace`](crate::Limits::handler_grace) or, from `hung_up` on, until its place is
/// needed. Then the handler is dropped.
pub(super) async fn run(
    handling: Option<Handling>,
    mut place: Option<Place>,
    outbox: &Outbox,
    hung_up: impl Future<Output = ()>,
) {
    // In this order, for a handler that takes its time over its last turn.
    let Some(handling) = handling else {
        return hung_up.await;
    };
    let mut handler = Box::pin(returned(handling, outbox));
    let mut hung_up = pin!(hung_up);
    let mut returned = false;
    poll_fn(|cx| {
        let hung_up = hung_up.as_mut().poll(cx);
        returned = returned || handler.as_mut().poll(cx).is_ready();
        hung_up
    })
    .await;
    let needed = async {
        match &mut place {
            Some(place) => place.taken().await,
            None => std::future::pending().await,
        }
    };
    if !returned {
        tokio::select! {
            biased;
            () = &mut handler => {}
            () = needed => {
                drop(handler);
                dropped(outbox, "its place is needed");
            }
        }
    }
}

/// Waits until a handler has returned, or has not in time.
async fn returned(mut handling: Handling, outbox: &Outbox) {
    let ended = poll_fn(|cx| handling::poll(&mut handling, cx));
    if outbox.registry.is_none() {
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
    let Some(registry) = &outbox.registry else { return };
    registry.counters.handler_dropped();
    if let Some(left_out) = registry.failures.admit() {
        warn!(left_out, "dropped the handler of a connection that is over: {reason}");
    }
}
