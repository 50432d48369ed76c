//! The pool that connections share: deflaters and inflaters, and a count of all bytes held.

use core::fmt;
use std::{
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    deflater::{Deflater, Position},
    inflater::Inflater,
    window::Window,
};

/// The limit of the default pool.
const LIMIT: usize = 256 << 20;
/// The divisor of the limit that gives the share for long records of sent plaintext.
const EXTRA: usize = 256;
/// Free states of each kind that a shelf keeps.
const KEPT: usize = 4;

/// What connections share: states (deflaters and inflaters), and a limit on bytes.
///
/// A connection borrows a state for one message. Between messages it holds only records of the last
/// plaintext, from which any state can go on, so a few states serve thousands of connections and stay
/// in the processor's cache. No connection can refer to what another one sent or received: a state
/// forgets everything before it serves, unless a deflater serves the same connection as last time.
///
/// No connection waits for a state: if none is free, the pool makes a new one. It keeps at most four
/// free deflaters and four free inflaters for each processor.
///
/// All connections use one pool, with a limit of 256 MiB, unless
/// [`Deflate::pool`](crate::Deflate::pool) gives them another. A clone is the same pool.
///
/// ```
/// use ws_ext_deflate::{Deflate, Pool};
///
/// let pool = Pool::new(64 << 20);
/// let deflate = Deflate::default().pool(pool.clone());
/// assert_eq!(pool.memory_usage(), 0);
/// ```
///
/// # At the limit
/// The limit counts the states, borrowed or free, and the records of all connections. While they
/// exceed it,
/// - sent plaintext is not recorded, and a connection frees its record of sent plaintext with its
///   next message or [rest](ws_core::Connection::park): messages become larger, as without context
///   takeover;
/// - the pool keeps one free state of each kind for each processor.
///
/// A record of received plaintext has to stay, because the peer may refer to it. To bound these
/// records, bound the number of connections, or the window, by
/// [`client_max_window_bits`](crate::Deflate::client_max_window_bits) and
/// [`client_no_context_takeover`](crate::Deflate::client_no_context_takeover). So the limit fails no
/// connection; it bounds the memory that connections can do without.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    limit: usize,
    used: AtomicUsize,
    /// The bytes of them in records of sent plaintext, beyond the share of every connection.
    extra: AtomicUsize,
    /// One for each processor, so that threads rarely contend for one.
    shelves: Box<[Shelf]>,
}

/// Aligned to its own cache lines.
#[derive(Default)]
#[repr(align(128))]
struct Shelf(Mutex<Free>);

/// Free states, the most recently used last.
#[derive(Default)]
pub(crate) struct Free {
    inflaters: Vec<Inflater>,
    #[expect(clippy::vec_box, reason = "they move between here and the connections")]
    deflaters: Vec<Box<Deflater>>,
}

/// The room for records of sent plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Plenty,
    /// Only the share of every connection.
    Little,
    /// None: free what can be freed.
    None,
}

/// A state that the pool stores and counts.
pub(crate) trait State: Sized {
    /// Heap bytes of the state.
    fn bytes(&self) -> usize;
    /// The free states of this kind.
    fn among(free: &mut Free) -> &mut Vec<Self>;
}

impl State for Inflater {
    fn bytes(&self) -> usize {
        Inflater::bytes(self)
    }

    fn among(free: &mut Free) -> &mut Vec<Self> {
        &mut free.inflaters
    }
}

impl State for Box<Deflater> {
    fn bytes(&self) -> usize {
        Deflater::bytes(self)
    }

    fn among(free: &mut Free) -> &mut Vec<Self> {
        &mut free.deflaters
    }
}

impl Pool {
    /// Makes a pool with a limit in bytes for the connections that use it.
    pub fn new(limit: usize) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let shelves = (0..processors).map(|_| Shelf::default()).collect();
        Self(Arc::new(Shared {
            limit,
            used: AtomicUsize::new(0),
            extra: AtomicUsize::new(0),
            shelves,
        }))
    }

    /// The limit in bytes.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Bytes that the states, borrowed and free, and the records of all connections hold now.
    pub fn memory_usage(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The room for records of sent plaintext.
    pub(crate) fn room(&self) -> Room {
        if self.memory_usage() > self.0.limit {
            Room::None
        } else if self.0.extra.load(Ordering::Relaxed) >= self.0.limit / EXTRA {
            Room::Little
        } else {
            Room::Plenty
        }
    }

    /// Counts a connection's record that grew or shrank.
    pub(crate) fn recount(&self, before: usize, after: usize) {
        shift(&self.0.used, before, after);
    }

    /// Counts a connection's extra bytes that became more or fewer.
    pub(crate) fn recount_extra(&self, before: usize, after: usize) {
        shift(&self.0.extra, before, after);
    }

    /// Returns an inflater, possibly used before.
    pub(crate) fn inflater(&self) -> Inflater {
        let free = self.shelf().and_then(|mut free| free.inflaters.pop());
        free.unwrap_or_else(|| self.counted(Inflater::new()))
    }

    /// Returns a deflater, possibly used before; preferably the one at `position`.
    pub(crate) fn deflater(&self, window: Window, position: Position) -> Box<Deflater> {
        let free = self.shelf().and_then(|mut free| {
            let place = |is: &dyn Fn(&Deflater) -> bool| {
                let fits = |deflater: &Deflater| deflater.window() == window && is(deflater);
                free.deflaters.iter().rposition(|deflater| fits(deflater))
            };
            let place = place(&|deflater| deflater.is_at(position)).or_else(|| place(&|_| true))?;
            Some(free.deflaters.remove(place))
        });
        free.unwrap_or_else(|| self.counted(Box::new(Deflater::new(window))))
    }

    fn counted<S: State>(&self, state: S) -> S {
        self.recount(0, state.bytes());
        state
    }

    /// Frees a state.
    pub(crate) fn discard<S: State>(&self, state: S) {
        self.recount(state.bytes(), 0);
        drop(state);
    }

    /// Takes a state back. If there are too many, frees those unused for longest.
    pub(crate) fn give_back<S: State>(&self, state: S) {
        let most = if self.room() == Room::None { 1 } else { KEPT };
        let Some(mut free) = self.shelf() else {
            self.discard(state);
            return;
        };
        let states = S::among(&mut free);
        states.push(state);
        let surplus = states.len().saturating_sub(most);
        let ended: Vec<S> = states.drain(..surplus).collect();
        drop(free);
        ended.into_iter().for_each(|state| self.discard(state));
    }

    /// The free states for this thread, unless another thread has locked them.
    fn shelf(&self) -> Option<impl core::ops::DerefMut<Target = Free> + '_> {
        self.0.shelves.get(thread_number() % self.0.shelves.len())?.0.try_lock().ok()
    }
}

impl Default for Pool {
    /// The pool that the whole process shares.
    fn default() -> Self {
        static POOL: LazyLock<Pool> = LazyLock::new(|| Pool::new(LIMIT));
        POOL.clone()
    }
}

/// Whether both are the same pool.
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
            .field("memory_usage", &self.memory_usage())
            .finish_non_exhaustive()
    }
}

/// Replaces one part of a count.
fn shift(count: &AtomicUsize, before: usize, after: usize) {
    if after > before {
        count.fetch_add(after - before, Ordering::Relaxed);
    } else if after < before {
        count.fetch_sub(before - after, Ordering::Relaxed);
    }
}

/// Numbers the threads that use a pool, from 0 on.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // A thread that is ending shares the first one's.
    NUMBER.try_with(|number| *number).unwrap_or_default()
}
