//! What connections share: the states that compress and inflate, and a count of bytes.

use core::fmt;
use std::{
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    deflater::{Deflater, Stamp},
    inflater::Inflater,
    window::Window,
};

/// The limit of the pool that is used unless another one is given.
const LIMIT: usize = 256 << 20;
/// The share of the limit, one in so many, that is for long records of what was sent.
const EXTRA: usize = 256;
/// States of either sort that are kept for one thread.
const KEPT: usize = 4;

/// What connections share: states to compress and to inflate with, and a limit on bytes.
///
/// A state is lent to a connection for one message. Between messages a connection holds records of
/// the last plaintext alone, from which any state goes on, so that a few states serve thousands of
/// connections and stay in the processor's cache. Nothing that one connection sent or received can be
/// referred to by another: a state forgets everything before it serves, unless a deflater serves the
/// connection again that it served last.
///
/// Nobody waits for a state: where none is free a new one is made. Kept for later are four to
/// compress and four to inflate for each processor at most.
///
/// All connections use one pool, with a limit of 256 MiB, unless
/// [`DeflateBuilder::pool`](crate::DeflateBuilder::pool) says otherwise. A clone is the same pool.
///
/// ```
/// use ws_ext_deflate::{Deflate, Pool};
///
/// let pool = Pool::new(64 << 20);
/// let deflate = Deflate::builder().pool(pool.clone()).build()?;
/// assert_eq!(pool.held(), 0);
/// # Ok::<(), ws_ext_deflate::OptionsError>(())
/// ```
///
/// # At the limit
/// Counted are the states, lent or free, and the records of all connections. While they are more
/// than the limit,
/// - what is sent is not recorded, and the record of what was sent is given back with the next
///   message or [rest](ws_core::Connection::park) of its connection: messages become larger, as
///   without context takeover;
/// - one state of each sort is kept for each processor, and no more.
///
/// A record of what was received cannot be forgotten, because the peer may refer to it: to bound
/// those bound the connections, or the window, by
/// [`client_max_window_bits`](crate::DeflateBuilder::client_max_window_bits) and
/// [`client_no_context_takeover`](crate::DeflateBuilder::client_no_context_takeover). So the limit
/// fails no connection, and bounds what can be done without.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    limit: usize,
    held: AtomicUsize,
    /// Bytes of those that connections recorded of what they sent beyond what each may.
    extra: AtomicUsize,
    /// One for each processor, so that threads rarely meet at one.
    shelves: Box<[Shelf]>,
}

/// Alone in its cache lines.
#[derive(Default)]
#[repr(align(128))]
struct Shelf(Mutex<Free>);

/// States that wait, the one that was used last behind the others.
#[derive(Default)]
struct Free {
    inflaters: Vec<Inflater>,
    #[expect(clippy::vec_box, reason = "they move between here and the connections")]
    deflaters: Vec<Box<Deflater>>,
}

/// What there is for records that can be done without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Plenty,
    /// For the little that every connection may have.
    Little,
    /// Everything is to be given back that can be.
    None,
}

/// Something that is counted.
pub(crate) trait Counted {
    /// Heap bytes that it holds.
    fn bytes(&self) -> usize;
}

impl Pool {
    /// A pool that is shared by whom it is given to, with a limit in bytes.
    pub fn new(limit: usize) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let shelves = (0..processors).map(|_| Shelf::default()).collect();
        Self(Arc::new(Shared {
            limit,
            held: AtomicUsize::new(0),
            extra: AtomicUsize::new(0),
            shelves,
        }))
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Bytes that the states, lent and free, and the records of all connections hold now.
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Relaxed)
    }

    /// What there is for what can be done without.
    pub(crate) fn room(&self) -> Room {
        if self.held() > self.0.limit {
            Room::None
        } else if self.0.extra.load(Ordering::Relaxed) >= self.0.limit / EXTRA {
            Room::Little
        } else {
            Room::Plenty
        }
    }

    /// Extra bytes of one connection became more or less.
    pub(crate) fn recount_extra(&self, before: usize, after: usize) {
        if before != after {
            self.0.extra.fetch_add(after, Ordering::Relaxed);
            self.0.extra.fetch_sub(before, Ordering::Relaxed);
        }
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.0.held.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn subtract(&self, bytes: usize) {
        self.0.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// An inflater that saw anything before.
    pub(crate) fn inflater(&self) -> Inflater {
        let free = self.shelf().and_then(|mut free| free.inflaters.pop());
        free.unwrap_or_else(|| self.counted(Inflater::new()))
    }

    pub(crate) fn give_inflater(&self, inflater: Inflater) {
        self.keep(inflater, |free| &mut free.inflaters);
    }

    /// A deflater that saw anything before, if possible the one that stands where `stamp` says.
    pub(crate) fn deflater(&self, window: Window, stamp: Stamp) -> Box<Deflater> {
        let free = self.shelf().and_then(|mut free| {
            let place = |is: &dyn Fn(&Deflater) -> bool| {
                let fits = |deflater: &Deflater| deflater.window() == window && is(deflater);
                free.deflaters.iter().rposition(|deflater| fits(deflater))
            };
            let place =
                place(&|deflater| deflater.stands_at(stamp)).or_else(|| place(&|_| true))?;
            Some(free.deflaters.remove(place))
        });
        free.unwrap_or_else(|| self.counted(Box::new(Deflater::new(window))))
    }

    pub(crate) fn give_deflater(&self, deflater: Box<Deflater>) {
        self.keep(deflater, |free| &mut free.deflaters);
    }

    fn counted<T: Counted>(&self, state: T) -> T {
        self.add(state.bytes());
        state
    }

    /// Ends a state.
    pub(crate) fn discard<T: Counted>(&self, state: T) {
        self.subtract(state.bytes());
        drop(state);
    }

    /// Keeps a state, in the place of those that nobody has used for longer.
    fn keep<T: Counted>(&self, state: T, sort: impl Fn(&mut Free) -> &mut Vec<T>) {
        let most = if self.room() == Room::None { 1 } else { KEPT };
        let Some(mut free) = self.shelf() else {
            self.discard(state);
            return;
        };
        let states = sort(&mut free);
        states.push(state);
        let surplus = states.len().saturating_sub(most);
        let ended: Vec<T> = states.drain(..surplus).collect();
        drop(free);
        ended.into_iter().for_each(|state| self.discard(state));
    }

    /// What is free for this thread, unless another one is just looking.
    fn shelf(&self) -> Option<impl core::ops::DerefMut<Target = Free> + '_> {
        self.0.shelves.get(thread_number() % self.0.shelves.len())?.0.try_lock().ok()
    }
}

impl Default for Pool {
    /// The one that all share.
    fn default() -> Self {
        static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::new(LIMIT));
        POOL.clone()
    }
}

/// Whether they are the same pool.
impl PartialEq for Pool {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Pool {}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("limit", &self.limit())
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}

/// Numbers the threads that use a pool, from 0 on.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // A thread that ends shares with the first.
    NUMBER.try_with(|number| *number).unwrap_or_default()
}
