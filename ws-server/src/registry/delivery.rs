//! Delivers broadcasts to all subscribers of a topic, in the same order for each.
//!
//! If several tasks publish to one topic at a time, one of them delivers for all: the others leave
//! their messages in its backlog and go on. So none of them waits, and no lock is held for longer
//! than it takes to look at a few subscribers.

use std::{collections::VecDeque, mem, sync::Arc};

use tokio::{runtime::Handle, sync::Notify, task::yield_now};

use super::Registry;
use crate::{
    ClientId, Published, Refused,
    leaves::{
        capacity::is_roomy,
        sync::{Mutex, MutexGuard, PoisonError},
    },
    outbox::{Dropped, Outbox, post::Post},
};

/// Subscribers visited under one lock.
pub(crate) const CHUNK: usize = 32;
/// Copies that a publisher queues for others before a task takes over.
const TURN: usize = 1024;
/// Octets that other publishers may leave to the one that delivers.
const BACKLOG: usize = 1024 * 1024;

/// The subscribers of a topic, and the messages being published to it.
#[derive(Default)]
pub(crate) struct Subscribers(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// Sorted by id. A delivering task shares it, and no task changes it then.
    members: Arc<Vec<Arc<Outbox>>>,
    /// The number of subscribers once the backlog is done.
    count: usize,
    /// Whether a task is delivering.
    delivering: bool,
    /// Jobs for that task. Boxed, since most of the time there are none.
    backlog: Option<Box<Backlog>>,
}

#[derive(Default)]
struct Backlog {
    jobs: VecDeque<Job>,
    bytes: usize,
    /// The number of tasks started to go on with it. Only the last one does.
    tasks: u64,
    /// Notified when the backlog becomes shorter.
    waiting: Option<Arc<Notify>>,
}

/// The outcome of a broadcast, and its publisher's work: copies that it queued, for others too, or
/// left to others.
#[derive(Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) published: Published,
    pub(crate) copies: usize,
}

/// A job of the backlog. Jobs are done in order, so that each subscriber gets the messages
/// published while it subscribed.
enum Job {
    Deliver(Post, To),
    Add(Arc<Outbox>),
    Remove(ClientId),
}

enum To {
    /// All subscribers, except one.
    Subscribers(Option<ClientId>),
    Picked(Vec<Arc<Outbox>>),
}

impl Inner {
    /// Whether a new job must wait its turn after others.
    fn is_busy(&self) -> bool {
        self.delivering || self.backlog.is_some()
    }

    fn backlog(&mut self) -> &mut Backlog {
        self.backlog.get_or_insert_default()
    }

    fn add(&mut self, outbox: Arc<Outbox>) {
        let members = Arc::make_mut(&mut self.members);
        if members.is_empty() {
            // Many topics never have a second subscriber.
            members.reserve_exact(1);
        }
        let index = members.partition_point(|member| member.id < outbox.id);
        members.insert(index, outbox);
    }

    fn remove(&mut self, id: ClientId) -> Option<Arc<Outbox>> {
        let members = Arc::make_mut(&mut self.members);
        let index = members.binary_search_by_key(&id, |member| member.id).ok()?;
        let removed = members.remove(index);
        if is_roomy(members.len(), members.capacity()) {
            let len = members.len();
            members.shrink_to(2 * len);
        }
        Some(removed)
    }
}

impl Subscribers {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // No code that may panic runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection that does not subscribe yet.
    pub(crate) fn add(&self, outbox: &Arc<Outbox>) {
        let mut inner = self.inner();
        inner.count += 1;
        if inner.is_busy() {
            inner.backlog().jobs.push_back(Job::Add(Arc::clone(outbox)));
        } else {
            inner.add(Arc::clone(outbox));
        }
    }

    /// Removes a subscriber. Returns how many are left.
    pub(crate) fn remove(&self, id: ClientId) -> usize {
        let mut inner = self.inner();
        inner.count -= 1;
        let count = inner.count;
        let removed = if inner.is_busy() {
            inner.backlog().jobs.push_back(Job::Remove(id));
            None
        } else {
            inner.remove(id)
        };
        drop(inner);
        drop(removed);
        count
    }

    pub(crate) fn count(&self) -> usize {
        self.inner().count
    }

    /// Puts the next subscribers, with ids above `after`, into `chunk`. Returns the id to continue
    /// from if there are more.
    fn next_chunk(
        &self,
        after: Option<ClientId>,
        chunk: &mut Vec<Arc<Outbox>>,
    ) -> Option<ClientId> {
        let inner = self.inner();
        let members = &inner.members;
        let start = after.map_or(0, |after| members.partition_point(|member| member.id <= after));
        let rest = members.get(start..).unwrap_or_default();
        let these = rest.get(..CHUNK).unwrap_or(rest);
        chunk.extend(these.iter().cloned());
        these.last().filter(|_| these.len() < rest.len()).map(|last| last.id)
    }

    /// Returns all subscribers.
    pub(crate) fn outboxes(&self) -> Vec<Arc<Outbox>> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            after = self.next_chunk(after, &mut all);
            if after.is_none() {
                return all;
            }
        }
    }

    /// Queues a message for all subscribers.
    pub(crate) fn publish(
        self: &Arc<Self>,
        registry: &Arc<Registry>,
        post: Post,
        except: Option<ClientId>,
    ) -> Delivery {
        self.deliver(registry, post, To::Subscribers(except))
    }

    /// Queues a message for the picked connections.
    pub(crate) fn send(
        self: &Arc<Self>,
        registry: &Arc<Registry>,
        post: Post,
        picked: Vec<Arc<Outbox>>,
    ) -> Delivery {
        self.deliver(registry, post, To::Picked(picked))
    }

    fn deliver(self: &Arc<Self>, registry: &Arc<Registry>, post: Post, to: To) -> Delivery {
        let mut inner = self.inner();
        let busy = inner.is_busy();
        let first = !mem::replace(&mut inner.delivering, true);
        if !busy {
            let members = Arc::clone(&inner.members);
            drop(inner);
            let delivering = Delivering::begin(self, registry);
            let (queued, copies) = delivering.deliver(&post, &to, &members);
            // A task that changes the list now need not copy it.
            drop(members);
            let copies = copies + delivering.go_on();
            return Delivery { published: Published::Here(queued), copies };
        }
        let (published, mut copies) = if inner.backlog().is_full() && !post.waited {
            let reach = to.reach(inner.count);
            drop(inner);
            registry.stats.counters.broadcast(0, reach);
            (Published::Refused(Refused::Full), 0)
        } else {
            let reach = to.reach(inner.count);
            let backlog = inner.backlog();
            backlog.bytes += post.bytes();
            backlog.jobs.push_back(Job::Deliver(post, to));
            drop(inner);
            // Work left to others counts as work.
            (Published::Handed, reach)
        };
        if first {
            // The task that delivered before has stopped.
            copies += Delivering::begin(self, registry).go_on();
        }
        Delivery { published, copies }
    }

    /// Waits until every subscriber has room and the backlog is short. Returns whether it had to
    /// wait.
    pub(crate) async fn wait(&self, except: Option<ClientId>) -> bool {
        let mut waited = false;
        while let Some(shorter) = self.backlogged() {
            shorter.await;
            waited = true;
        }
        let (mut chunk, mut after) = (Vec::new(), None);
        loop {
            after = self.next_chunk(after, &mut chunk);
            for outbox in chunk.drain(..).filter(|outbox| Some(outbox.id) != except) {
                waited |= outbox.wait_for_broadcast_room().await;
            }
            if after.is_none() {
                return waited;
            }
        }
    }

    /// Returns a future to wait for if the backlog is full.
    fn backlogged(&self) -> Option<impl Future<Output = ()> + use<>> {
        let mut inner = self.inner();
        let backlog = inner.backlog.as_mut().filter(|backlog| backlog.is_full())?;
        // From here on no `notify_waiters` is missed.
        Some(Arc::clone(backlog.waiting.get_or_insert_default()).notified_owned())
    }
}

impl Backlog {
    fn is_full(&self) -> bool {
        self.bytes >= BACKLOG
    }
}

impl To {
    /// The number of targets, out of so many subscribers.
    fn reach(&self, subscribers: usize) -> usize {
        match self {
            Self::Subscribers(except) => {
                subscribers - usize::from(except.is_some()).min(subscribers)
            }
            Self::Picked(picked) => picked.len(),
        }
    }
}

/// Exclusive delivery to the subscribers of one topic.
struct Delivering {
    subscribers: Arc<Subscribers>,
    registry: Arc<Registry>,
    done: bool,
}

impl Delivering {
    fn begin(subscribers: &Arc<Subscribers>, registry: &Arc<Registry>) -> Self {
        Self { subscribers: Arc::clone(subscribers), registry: Arc::clone(registry), done: false }
    }

    /// Returns how many connections the message was queued for, and how many were visited.
    fn deliver(&self, post: &Post, to: &To, members: &[Arc<Outbox>]) -> (usize, usize) {
        let mut dropped = Dropped::default();
        let (outboxes, except) = match to {
            To::Subscribers(except) => (members, *except),
            To::Picked(picked) => (&picked[..], None),
        };
        let to_whom = outboxes.iter().filter(|outbox| Some(outbox.id) != except);
        let queued = to_whom.filter(|outbox| outbox.offer(post, &mut dropped)).count();
        self.registry.stats.counters.broadcast(queued, dropped.count);
        (queued, outboxes.len())
    }

    /// Delivers the jobs that others left; hands long work to a task. Returns how many connections
    /// were visited here.
    fn go_on(mut self) -> usize {
        let mut copies = 0;
        while !self.work(&mut copies) {
            // Prefers the runtime that drives the connections: the publisher's may stop, and a
            // thread without a runtime must not be kept busy by other publishers.
            let runtime = self.registry.runtime().or_else(|| Handle::try_current().ok());
            if let Some(runtime) = runtime {
                self.hand_on(&runtime);
                break;
            }
        }
        copies
    }

    /// Leaves the rest to a task. Between its turns others may deliver, since its runtime may have
    /// stopped.
    fn hand_on(self, runtime: &Handle) {
        let (subscribers, registry) = (Arc::clone(&self.subscribers), Arc::clone(&self.registry));
        let number = self.stop();
        runtime.spawn(async move {
            while let Some(delivering) = Self::resume(&subscribers, &registry, number) {
                if delivering.turn() {
                    return;
                }
                yield_now().await;
            }
        });
    }

    /// Lets others deliver. Returns the number of the task that continues if none does.
    fn stop(mut self) -> u64 {
        let mut inner = self.subscribers.inner();
        inner.delivering = false;
        self.done = true;
        let backlog = inner.backlog();
        backlog.tasks += 1;
        backlog.tasks
    }

    /// Resumes delivery, unless another task delivers or was started since.
    fn resume(
        subscribers: &Arc<Subscribers>,
        registry: &Arc<Registry>,
        number: u64,
    ) -> Option<Self> {
        let mut inner = subscribers.inner();
        let is_next = inner.backlog.as_ref().is_some_and(|backlog| backlog.tasks == number);
        if !is_next || mem::replace(&mut inner.delivering, true) {
            return None;
        }
        drop(inner);
        Some(Self::begin(subscribers, registry))
    }

    /// Delivers one batch and stops. Returns whether nothing is left.
    fn turn(mut self) -> bool {
        self.work(&mut 0)
    }

    /// Delivers one batch and counts the `copies`. Returns whether nothing is left.
    fn work(&mut self, copies: &mut usize) -> bool {
        let mut work = 0;
        while work < TURN {
            match self.next() {
                Next::Deliver(post, to, members) => {
                    let (_, looked_at) = self.deliver(&post, &to, &members);
                    work += looked_at;
                    *copies += looked_at;
                }
                Next::Changed(removed) => drop(removed),
                Next::Nothing => return true,
            }
            work += 1;
        }
        false
    }

    /// Takes the next job. If there is none, the next publisher delivers.
    fn next(&mut self) -> Next {
        let mut inner = self.subscribers.inner();
        let Some(backlog) = &mut inner.backlog else {
            inner.delivering = false;
            self.done = true;
            return Next::Nothing;
        };
        let job = backlog.jobs.pop_front();
        if let Some(Job::Deliver(post, _)) = &job {
            backlog.bytes -= post.bytes();
        }
        let waiting = if backlog.is_full() { None } else { backlog.waiting.take() };
        if backlog.jobs.is_empty() {
            inner.backlog = None;
        }
        let next = match job {
            Some(Job::Deliver(post, to)) => Next::Deliver(post, to, Arc::clone(&inner.members)),
            Some(Job::Remove(id)) => Next::Changed(inner.remove(id)),
            Some(Job::Add(outbox)) => {
                inner.add(outbox);
                Next::Changed(None)
            }
            None => Next::Changed(None),
        };
        drop(inner);
        if let Some(waiting) = waiting {
            waiting.notify_waiters();
        }
        next
    }
}

/// A job taken from the backlog.
enum Next {
    Deliver(Post, To, Arc<Vec<Arc<Outbox>>>),
    /// The subscribers were changed, perhaps by the end of a subscription.
    Changed(Option<Arc<Outbox>>),
    Nothing,
}

impl Drop for Delivering {
    fn drop(&mut self) {
        if !self.done {
            // The next publisher delivers the rest.
            self.subscribers.inner().delivering = false;
        }
    }
}
