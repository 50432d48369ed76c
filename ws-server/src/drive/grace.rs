//! The time that a handler has after its connection is over.

use std::{future::poll_fn, pin::pin};

use tokio::time::timeout;
use tracing::warn;

use super::{
    endpoint::Endpoint,
    handling::{self, Handling},
};
use crate::outbox::Outbox;

/// Waits until the handler has returned and `hung_up` is done. A server waits for
/// [`Limits::handler_grace`](crate::Limits::handler_grace) at most, or, once `hung_up` is done,
/// until another connection needs the permit. Then it drops the handler.
pub(super) async fn run<E: Endpoint>(
    handling: Option<Handling<E::Handler>>,
    endpoint: &mut E,
    outbox: &Outbox,
    hung_up: impl Future<Output = ()>,
) {
    // In this order, since the handler may block in its last turn.
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
                dropped(outbox, "another connection needs its permit");
            }
        }
    }
}

/// Waits until the handler has returned or its time is up.
async fn returned<E: Endpoint>(mut handling: Handling<E::Handler>, outbox: &Outbox) {
    let ended = poll_fn(|cx| handling::poll(&mut handling, cx));
    if !E::SERVER {
        // A client's application waits for its handler.
        return ended.await.log(outbox);
    }
    match timeout(outbox.limits.handler_grace, ended).await {
        Ok(ended) => ended.log(outbox),
        Err(_) => {
            drop(handling);
            dropped(outbox, "it did not return within handler_grace");
        }
    }
}

/// Logs and counts a dropped handler.
fn dropped(outbox: &Outbox, reason: &str) {
    let Some(stats) = &outbox.stats else { return };
    stats.counters.handler_dropped();
    if let Some(left_out) = stats.handler_log.admit() {
        warn!(left_out, "dropped the handler of a connection that is over: {reason}");
    }
}
