//! A bounded crowd of connections that are not open: in their opening handshake, or being answered.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    future::poll_fn,
    sync::Mutex,
    task::{Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use super::lock;
use crate::leaves::client::Client;

/// A member of this age gives way to a newcomer whose address has no more members.
const SLOW: Duration = Duration::from_secs(2);

/// Admits so many members at a time. Beyond that the address with the most members gives way: its
/// newest member, or the newcomer if it is from there. So a client that opens many connections competes
/// with itself, and the members nearest to their end go on: the crowd gets as much done under ten times
/// the load as under its own. If no address has more members than the newcomer's, the oldest member
/// gives way if it is [`SLOW`], and the newcomer if it is not.
///
/// A member without an address counts as the only one of its address.
pub(crate) struct Crowd {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// By age, the oldest first.
    members: BTreeMap<u64, Member>,
    /// The members of each address, by age.
    of_client: HashMap<Client, BTreeSet<u64>>,
    /// The addresses, by their number of members.
    sizes: BTreeSet<(usize, Client)>,
    closed: bool,
}

struct Member {
    client: Option<Client>,
    since: Instant,
    /// Woken when the member must give way: when it is no longer listed.
    waker: Waker,
}

impl Crowd {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    /// Admits a newcomer, and lets another member give way if needed. Returns `None` if there is no room.
    pub(crate) fn enter(&self, client: Option<Client>) -> Option<Membership<'_>> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        if state.closed {
            return None;
        }
        let mut removed = None;
        if state.members.len() >= self.limit {
            let key = state.who_gives_way(client, now)?;
            removed = state.remove(key);
        }
        let key = state.add(client, now);
        drop(state);
        if let Some(removed) = removed {
            removed.waker.wake();
        }
        Some(Membership { crowd: self, key })
    }

    /// Ends all memberships, and admits no more.
    pub(super) fn close(&self) {
        let mut state = lock(&self.state);
        let all = std::mem::take(&mut *state);
        state.closed = true;
        drop(state);
        all.members.into_values().for_each(|member| member.waker.wake());
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }
}

impl State {
    /// Finds the member that gives way to a newcomer; `None` if the newcomer does.
    fn who_gives_way(&self, client: Option<Client>, now: Instant) -> Option<u64> {
        let own = client.and_then(|client| self.of_client.get(&client));
        let with_newcomer = 1 + own.map_or(0, BTreeSet::len);
        // Equals must not keep pushing each other out: none would get anywhere.
        if let Some((most, largest)) = self.sizes.last()
            && *most > with_newcomer
        {
            return self.of_client.get(largest)?.last().copied();
        }
        let oldest = match own {
            Some(own) => own.first(),
            None => self.members.keys().next(),
        };
        oldest
            .copied()
            .filter(|key| self.members.get(key).is_some_and(|member| now - member.since >= SLOW))
    }

    fn add(&mut self, client: Option<Client>, since: Instant) -> u64 {
        let key = self.next;
        self.next += 1;
        self.members.insert(key, Member { client, since, waker: Waker::noop().clone() });
        if let Some(client) = client {
            let own = self.of_client.entry(client).or_default();
            self.sizes.remove(&(own.len(), client));
            own.insert(key);
            self.sizes.insert((own.len(), client));
        }
        key
    }

    fn remove(&mut self, key: u64) -> Option<Member> {
        let member = self.members.remove(&key)?;
        if let Some(client) = member.client
            && let Some(own) = self.of_client.get_mut(&client)
        {
            self.sizes.remove(&(own.len(), client));
            own.remove(&key);
            if own.is_empty() {
                self.of_client.remove(&client);
            } else {
                self.sizes.insert((own.len(), client));
            }
        }
        Some(member)
    }
}

/// A connection's membership, which ends when it is dropped.
pub(crate) struct Membership<'a> {
    crowd: &'a Crowd,
    key: u64,
}

impl Membership<'_> {
    /// Waits until this member must give way.
    pub(crate) async fn ended(&self) {
        poll_fn(|cx| match lock(&self.crowd.state).members.get_mut(&self.key) {
            Some(member) => {
                member.waker.clone_from(cx.waker());
                Poll::Pending
            }
            None => Poll::Ready(()),
        })
        .await;
    }
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        let removed = lock(&self.crowd.state).remove(self.key);
        // The waker is dropped outside of the lock.
        drop(removed);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::Ipv4Addr,
        pin::pin,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::{Context, Wake},
    };

    use tokio::time::advance;

    use super::*;

    fn client(n: u32) -> Option<Client> {
        Some(Client::V4(Ipv4Addr::from_bits(n)))
    }

    fn is_ended(member: &Membership<'_>) -> bool {
        pin!(member.ended()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    /// Which of the members are still there.
    fn left(members: &[Membership<'_>]) -> Vec<usize> {
        (0..members.len()).filter(|&at| !is_ended(&members[at])).collect()
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn member_is_woken_when_it_has_to_give_way_and_not_when_it_leaves() {
        let crowd = Crowd::new(2);
        let wakes = Arc::new(Wakes::default());
        let wait = |member: &Membership<'_>| {
            let waker = Arc::clone(&wakes).into();
            pin!(member.ended()).poll(&mut Context::from_waker(&waker)).is_ready()
        };
        let first = crowd.enter(client(1)).unwrap();
        assert!(!wait(&first));
        drop(first);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);

        let [first, second] = [1, 1].map(|n| crowd.enter(client(n)).unwrap());
        assert!(!wait(&first) && !wait(&second));
        let third = crowd.enter(client(2)).unwrap();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(wait(&second) && !wait(&first) && !wait(&third));
        crowd.close();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 3);
        assert!(wait(&first) && wait(&third) && crowd.enter(client(3)).is_none());
    }

    // T-B1
    #[tokio::test(start_paused = true)]
    async fn newest_of_the_address_with_most_gives_way() {
        let crowd = Crowd::new(6);
        let members: Vec<_> =
            [1, 2, 1, 1, 3, 2].map(|n| crowd.enter(client(n)).unwrap()).into_iter().collect();
        assert!(crowd.enter(client(1)).is_none(), "the newcomer is of that address");
        assert!(crowd.enter(client(2)).is_none(), "they would only change places");
        assert_eq!(left(&members).len(), 6);
        let _fourth = crowd.enter(client(4)).unwrap();
        assert_eq!(left(&members), [0, 1, 2, 4, 5]);
        let _fifth = crowd.enter(client(5)).unwrap();
        assert_eq!(left(&members).len(), 4);
        let _none = crowd.enter(None).expect("without an address it is alone");
        assert_eq!(left(&members), [0, 1, 4]);
    }

    // T-B1
    #[tokio::test(start_paused = true)]
    async fn among_equals_the_oldest_gives_way_once_it_is_slow() {
        for addresses in [[1, 2, 3], [1, 1, 1], [0; 3]] {
            let who = |n: u32| if n == 0 { None } else { client(n) };
            let crowd = Crowd::new(3);
            let mut members = Vec::new();
            for n in addresses {
                members.push(crowd.enter(who(n)).unwrap());
                advance(Duration::from_millis(900)).await;
            }
            // Here for 2.7, 1.8 and 0.9 s.
            let newcomer = if addresses[0] == addresses[1] { addresses[0] } else { 4 };
            let _fourth = crowd.enter(who(newcomer)).unwrap();
            assert_eq!(left(&members), [1, 2]);
            assert!(crowd.enter(who(newcomer)).is_none());
            advance(Duration::from_millis(200)).await;
            let _fifth = crowd.enter(who(if newcomer == 4 { 5 } else { newcomer })).unwrap();
            assert_eq!(left(&members), [2]);
        }
    }

    #[test]
    fn nothing_is_kept_of_those_who_left() {
        let crowd = Crowd::new(100);
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
            for round in 0..300 {
                let members: Vec<_> = (0..150).map(|n| crowd.enter(client(n % 7))).collect();
                assert_eq!(members.iter().flatten().count(), 100, "round {round}");
            }
        });
        let state = lock(&crowd.state);
        assert!(state.members.is_empty() && state.of_client.is_empty() && state.sizes.is_empty());
    }
}
