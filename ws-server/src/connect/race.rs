//! Tries the addresses of a host, several at a time (RFC 8305, "Happy Eyeballs").

use std::{future::poll_fn, io, net::SocketAddr, pin::Pin, task::Poll, time::Duration};

use tokio::time::timeout;

// RFC 8305 §8: "Connection Attempt Delay (Section 5): The time to wait between connection attempts in
// the absence of RTT data. Recommended to be 250 milliseconds."
const NEXT_AFTER: Duration = Duration::from_millis(250);

/// Returns the first connection, or the last error if all attempts fail. The next address is tried
/// 250 ms after the one before it, or as soon as an attempt has failed; slower attempts go on and
/// may win.
///
/// # Cancel safety
/// Dropping the future drops all attempts.
pub(super) async fn race<T, F>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut addresses = alternating(addresses).into_iter().peekable();
    let mut attempts: Vec<Pin<Box<F>>> = Vec::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host name has no address");
    loop {
        match addresses.next() {
            Some(address) => attempts.push(Box::pin(connect(address))),
            None if attempts.is_empty() => return Err(last),
            None => {}
        }
        let wait = if addresses.peek().is_some() { NEXT_AFTER } else { Duration::MAX };
        match timeout(wait, first_of(&mut attempts)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => last = error,
            Err(_) => {}
        }
    }
}

/// Waits for the first attempt to end, removes it and returns its outcome.
async fn first_of<F: Future>(attempts: &mut Vec<Pin<Box<F>>>) -> F::Output {
    poll_fn(|cx| {
        for at in 0..attempts.len() {
            if let Poll::Ready(outcome) = attempts[at].as_mut().poll(cx) {
                drop(attempts.remove(at));
                return Poll::Ready(outcome);
            }
        }
        Poll::Pending
    })
    .await
}

// RFC 8305 §4: "Whichever address family is first in the list should be followed by an address of the
// other address family".
fn alternating(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let addresses: Vec<SocketAddr> = addresses.into_iter().collect();
    let Some(first) = addresses.first().map(SocketAddr::is_ipv6) else {
        return addresses;
    };
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first);
    let mut all = Vec::with_capacity(one.len() + other.len());
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    loop {
        let before = all.len();
        all.extend(one.next());
        all.extend(other.next());
        if all.len() == before {
            return all;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, future::pending};

    use tokio::time::{Instant, sleep};

    use super::*;

    /// The outcome of an attempt, after so many milliseconds.
    #[derive(Clone, Copy)]
    enum Outcome {
        Connects(u64),
        Fails(u64),
        Hangs,
    }
    use Outcome::{Connects, Fails, Hangs};

    /// Returns which address won, after how many milliseconds, and when each was tried.
    async fn run(script: &[(&str, Outcome)]) -> (io::Result<usize>, u64, Vec<(usize, u64)>) {
        let start = Instant::now();
        let since = || start.elapsed().as_millis() as u64;
        let tried = RefCell::new(Vec::new());
        let addresses: Vec<SocketAddr> = script.iter().map(|(at, _)| at.parse().unwrap()).collect();
        let connect = |address| {
            let which = addresses.iter().position(|own| *own == address).unwrap();
            tried.borrow_mut().push((which, since()));
            async move {
                match script[which].1 {
                    Connects(after) => {
                        sleep(Duration::from_millis(after)).await;
                        Ok(which)
                    }
                    Fails(after) => {
                        sleep(Duration::from_millis(after)).await;
                        Err(io::Error::other(which.to_string()))
                    }
                    Hangs => pending().await,
                }
            }
        };
        let outcome = race(addresses.iter().copied(), connect).await;
        let tried = tried.borrow().clone();
        (outcome, since(), tried)
    }

    const SIX: &str = "[2001:db8::1]:80";
    const SIX_TOO: &str = "[2001:db8::2]:80";
    const SIX_AS_WELL: &str = "[2001:db8::3]:80";
    const FOUR: &str = "192.0.2.1:80";
    const FOUR_TOO: &str = "192.0.2.2:80";

    // R6455C-4.1-f
    #[tokio::test(start_paused = true)]
    async fn address_that_does_not_answer_delays_the_next_by_250_ms_alone() {
        let (outcome, after, tried) = run(&[(SIX, Hangs), (FOUR, Connects(30))]).await;
        assert_eq!(outcome.unwrap(), 1);
        assert!((280..290).contains(&after), "{after} ms");
        assert_eq!(tried.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_address_goes_on_and_may_win() {
        let (outcome, after, _) =
            run(&[(SIX, Connects(300)), (FOUR, Hangs), (FOUR_TOO, Hangs)]).await;
        assert_eq!(outcome.unwrap(), 0);
        assert!((300..310).contains(&after), "{after} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn quick_address_is_the_only_one_tried() {
        let (outcome, after, tried) = run(&[(SIX, Connects(200)), (FOUR, Connects(0))]).await;
        assert_eq!(outcome.unwrap(), 0);
        assert!((200..210).contains(&after), "{after} ms");
        assert_eq!(tried, [(0, 0)]);
    }

    #[tokio::test(start_paused = true)]
    async fn refusal_begins_the_next_at_once() {
        let (outcome, after, _) =
            run(&[(SIX, Fails(5)), (FOUR, Fails(5)), (SIX_TOO, Connects(5))]).await;
        assert_eq!(outcome.unwrap(), 2);
        assert!((15..25).contains(&after), "{after} ms");
    }

    #[tokio::test(start_paused = true)]
    async fn families_take_turns_beginning_with_the_first() {
        let script = [SIX, SIX_TOO, SIX_AS_WELL, FOUR, FOUR_TOO].map(|at| (at, Fails(0)));
        let (_, _, tried) = run(&script).await;
        let order: Vec<usize> = tried.iter().map(|(which, _)| *which).collect();
        assert_eq!(order, [0, 3, 1, 4, 2]);
        let script = [FOUR, FOUR_TOO, SIX].map(|at| (at, Fails(0)));
        let order: Vec<usize> = run(&script).await.2.iter().map(|(which, _)| *which).collect();
        assert_eq!(order, [0, 2, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn last_error_is_told_when_all_have_failed() {
        let (outcome, after, _) =
            run(&[(SIX, Fails(1000)), (FOUR, Fails(10)), (FOUR_TOO, Fails(10))]).await;
        assert_eq!(outcome.unwrap_err().to_string(), "0");
        assert!((1000..1010).contains(&after), "{after} ms");
        let (outcome, ..) = run(&[]).await;
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
