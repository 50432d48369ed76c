//! Who is connected.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use ws_core::{CloseCode, Message, extension::Compression};

use crate::{Request, Sender, link::Link};

/// Names a connection of a server, and is never used again by it. The connections that a process
/// makes as a client are counted on their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(crate) u64);

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The connections of a server. A handle: cloning it is cheap.
///
/// A connection is listed from its opening handshake until it is closed, exactly.
///
/// A message to many is queued for each without waiting. Where
/// [`Limits::send_buffer`](crate::Limits::send_buffer) is reached it is dropped, with what waits
/// before it, and that connection is closed with 1013, so that a client that does not keep up harms
/// nobody else; [`dropped`](Self::dropped) counts those messages. The payload is shared, not copied,
/// from 4 KiB on.
#[derive(Clone, Default)]
pub struct Clients {
    registry: Arc<Registry>,
}

#[derive(Default)]
struct Registry {
    links: Mutex<HashMap<ClientId, Arc<Link>>>,
    ids: AtomicU64,
    dropped: AtomicU64,
}

impl Clients {
    /// Lists a connection until the entry is dropped.
    pub(crate) fn enter(&self, link: &Arc<Link>) -> Entry {
        self.links().insert(link.id, Arc::clone(link));
        Entry { clients: self.clone(), id: link.id }
    }

    /// An id for a new connection.
    pub(crate) fn next_id(&self) -> ClientId {
        ClientId(1 + self.registry.ids.fetch_add(1, Ordering::Relaxed))
    }

    fn links(&self) -> MutexGuard<'_, HashMap<ClientId, Arc<Link>>> {
        // Nothing that may panic runs under the lock, but for predicates, which only look.
        self.registry.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are connected.
    pub fn count(&self) -> usize {
        self.links().len()
    }

    /// The connection of this id, if it is still there.
    pub fn get(&self, id: ClientId) -> Option<Client> {
        self.links().get(&id).map(|link| Client { link: Arc::clone(link) })
    }

    /// All of them, in the order in which they came.
    pub fn list(&self) -> Vec<Client> {
        let mut clients: Vec<Client> =
            self.links().values().map(|link| Client { link: Arc::clone(link) }).collect();
        clients.sort_by_key(Client::id);
        clients
    }

    /// Sends to one. Whether it is there and had room.
    pub fn send(&self, id: ClientId, message: impl Into<Message>) -> bool {
        self.get(id)
            .is_some_and(|client| client.link.try_send(message.into(), Compression::Auto).is_ok())
    }

    /// Sends to all.
    pub fn send_all(&self, message: impl Into<Message>) {
        self.send_where(message, |_| true);
    }

    /// Sends to all whose request was for `path`.
    pub fn send_path(&self, path: &str, message: impl Into<Message>) {
        self.send_where(message, |client| client.request().path() == path);
    }

    /// Sends to all that `predicate` picks. It is called while the list is locked: it must not
    /// connect or close anything, and should be quick.
    pub fn send_where(
        &self,
        message: impl Into<Message>,
        mut predicate: impl FnMut(&Client) -> bool,
    ) {
        let message = message.into();
        let picked: Vec<Arc<Link>> = {
            let links = self.links();
            let mut client;
            let mut picked = Vec::with_capacity(links.len());
            for link in links.values() {
                client = Client { link: Arc::clone(link) };
                if predicate(&client) {
                    picked.push(client.link);
                }
            }
            picked
        };
        let dropped: usize =
            picked.iter().map(|link| link.offer(&message, Compression::Auto)).sum();
        self.registry.dropped.fetch_add(dropped as u64, Ordering::Relaxed);
    }

    /// Starts to close one. Whether it is there.
    pub fn close(&self, id: ClientId, code: CloseCode, reason: &str) -> bool {
        self.get(id).is_some_and(|client| client.link.close(code, reason).is_ok())
    }

    /// Starts to close all.
    pub fn close_all(&self, code: CloseCode, reason: &str) {
        for client in self.list() {
            // Those that are closing already need no second Close.
            client.link.close(code, reason).ok();
        }
    }

    /// How many messages to many were dropped so far, for clients that did not keep up.
    pub fn dropped(&self) -> u64 {
        self.registry.dropped.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").field("count", &self.count()).finish_non_exhaustive()
    }
}

/// A place in the list, given up when it is dropped.
pub(crate) struct Entry {
    clients: Clients,
    id: ClientId,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let link = self.clients.links().remove(&self.id);
        // Outside of the lock, because it may be the last reference.
        drop(link);
    }
}

/// A connection in the list of its server.
#[derive(Clone)]
pub struct Client {
    link: Arc<Link>,
}

impl Client {
    /// Which one.
    pub fn id(&self) -> ClientId {
        self.link.id
    }

    /// What is known from the opening handshake: path, peer, since when, subprotocol.
    pub fn request(&self) -> &Request {
        &self.link.request
    }

    /// The value that the application [attached](crate::WebSocket::set_data), if it has this type.
    pub fn data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.link.data.get()?).downcast().ok()
    }

    /// A handle for sending.
    pub fn sender(&self) -> Sender {
        Sender::new(Arc::clone(&self.link))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.link.id)
            .field("path", &self.link.request.path())
            .field("peer", &self.link.request.peer())
            .finish_non_exhaustive()
    }
}
