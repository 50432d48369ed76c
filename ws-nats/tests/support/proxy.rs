//! A path to a server that a test can cut, hang, slow down, or let lose messages.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::{AbortHandle, JoinSet},
};

/// A way through the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// What clients publish.
    ToServer,
    /// What they are given.
    ToClient,
}

/// A TCP proxy on the loopback that knows the messages of NATS. Dropping it ends all its
/// connections.
pub(crate) struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    filter: Arc<Filter>,
    task: AbortHandle,
}

#[derive(Clone, Debug, Default)]
struct State {
    /// Cuts so far: a connection of before is over.
    cuts: u64,
    closed: bool,
    hung_to_server: bool,
    hung_to_client: bool,
    /// Octets per second.
    rate: Option<u64>,
}

type Keep = Box<dyn FnMut(Direction, &str, &[u8]) -> bool + Send>;

#[derive(Default)]
struct Filter {
    keep: Mutex<Option<Keep>>,
    dropped: Mutex<Vec<String>>,
}

impl Proxy {
    /// A proxy in front of `server`: `127.0.0.1:4222`.
    pub(crate) async fn to(server: impl Into<String>) -> Self {
        let server = server.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = watch::Sender::new(State::default());
        let filter = Arc::new(Filter::default());
        let (changes, shared) = (state.subscribe(), Arc::clone(&filter));
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if changes.borrow().closed {
                    continue;
                }
                let relayed = relay(client, server.clone(), changes.clone(), Arc::clone(&shared));
                connections.spawn(relayed);
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, state, filter, task: task.abort_handle() }
    }

    /// `nats://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Closes all connections. New ones pass.
    pub(crate) fn reset(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Closes all connections, and new ones at once, until [`heal`](Self::heal).
    pub(crate) fn cut(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.closed = true;
        });
    }

    /// Lets nothing through, and closes nothing, as a cable that is pulled: what is sent waits, and
    /// passes after [`heal`](Self::heal).
    pub(crate) fn hang(&self) {
        self.hang_one(Direction::ToServer);
        self.hang_one(Direction::ToClient);
    }

    /// As [`hang`](Self::hang), one direction alone.
    pub(crate) fn hang_one(&self, direction: Direction) {
        self.state.send_modify(|state| match direction {
            Direction::ToServer => state.hung_to_server = true,
            Direction::ToClient => state.hung_to_client = true,
        });
    }

    /// Lets through so many octets per second, in each direction of each connection.
    pub(crate) fn slow(&self, rate: u64) {
        self.state.send_modify(|state| state.rate = Some(rate.max(1)));
    }

    /// Ends cuts, hangs and slowness.
    pub(crate) fn heal(&self) {
        self.state.send_modify(|state| *state = State { cuts: state.cuts, ..State::default() });
    }

    /// Drops the messages for which `keep` is false: given their direction, subject and all that
    /// follows the protocol's line, headers included.
    pub(crate) fn filter(&self, keep: impl FnMut(Direction, &str, &[u8]) -> bool + Send + 'static) {
        *self.filter.keep.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(keep));
    }

    /// Drops the next `count` messages of a subject.
    pub(crate) fn drop_next(&self, direction: Direction, subject: &str, mut count: usize) {
        let subject = subject.to_owned();
        self.filter(move |way, of, _| {
            let dropped = count > 0 && way == direction && of == subject;
            count -= usize::from(dropped);
            !dropped
        });
    }

    /// The subjects of the messages that were dropped.
    pub(crate) fn dropped(&self) -> Vec<String> {
        self.filter.dropped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn hangs(&self, direction: Direction) -> bool {
        match direction {
            Direction::ToServer => self.hung_to_server,
            Direction::ToClient => self.hung_to_client,
        }
    }
}

impl Filter {
    fn keeps(&self, direction: Direction, subject: &str, rest: &[u8]) -> bool {
        let mut keep = self.keep.lock().unwrap_or_else(PoisonError::into_inner);
        let keeps = keep.as_mut().is_none_or(|keep| keep(direction, subject, rest));
        if !keeps {
            self.dropped.lock().unwrap_or_else(PoisonError::into_inner).push(subject.to_owned());
        }
        keeps
    }
}

async fn relay(
    client: TcpStream,
    server: String,
    mut changes: watch::Receiver<State>,
    filter: Arc<Filter>,
) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    for stream in [&client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let cuts = changes.borrow_and_update().cuts;
    let ((from_client, to_client), (from_server, to_server)) =
        (client.into_split(), server.into_split());
    let pump = |from, to, direction| Pump {
        from,
        to,
        direction,
        state: changes.clone(),
        filter: Arc::clone(&filter),
    };
    tokio::select! {
        () = pump(from_client, to_server, Direction::ToServer).run() => {}
        () = pump(from_server, to_client, Direction::ToClient).run() => {}
        _ = changes.wait_for(|state| state.cuts != cuts) => {}
    }
}

struct Pump {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    direction: Direction,
    state: watch::Receiver<State>,
    filter: Arc<Filter>,
}

impl Pump {
    async fn run(mut self) {
        let mut buffer = Vec::new();
        loop {
            if self.passes().await.is_none() {
                return;
            }
            let mut chunk = [0; 16 * 1024];
            match self.from.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(read) => buffer.extend_from_slice(&chunk[..read]),
            }
            while let Some(len) = frame(&buffer) {
                let rest = buffer.split_off(len);
                let whole = std::mem::replace(&mut buffer, rest);
                if self.is_kept(&whole) && self.write(&whole).await.is_none() {
                    return;
                }
            }
        }
    }

    /// Waits while this direction hangs.
    async fn passes(&mut self) -> Option<()> {
        let direction = self.direction;
        self.state.wait_for(|state| !state.hangs(direction)).await.ok().map(drop)
    }

    fn is_kept(&self, frame: &[u8]) -> bool {
        let Some((line, rest)) = split_line(frame) else { return true };
        let mut words = line.split_ascii_whitespace();
        let verb = words.next().unwrap_or_default().to_ascii_uppercase();
        match (verb.as_str(), words.next()) {
            ("MSG" | "HMSG" | "PUB" | "HPUB", Some(subject)) => {
                self.filter.keeps(self.direction, subject, rest)
            }
            _ => true,
        }
    }

    async fn write(&mut self, octets: &[u8]) -> Option<()> {
        for piece in octets.chunks(16 * 1024) {
            self.passes().await?;
            self.to.write_all(piece).await.ok()?;
            let rate = self.state.borrow().rate;
            if let Some(rate) = rate {
                tokio::time::sleep(Duration::from_secs_f64(piece.len() as f64 / rate as f64)).await;
            }
        }
        Some(())
    }
}

/// The length of the first frame: a line, and what its last number says where it is a message.
fn frame(buffer: &[u8]) -> Option<usize> {
    let (line, rest) = split_line(buffer)?;
    let head = buffer.len() - rest.len();
    let mut words = line.split_ascii_whitespace();
    let verb = words.next().unwrap_or_default().to_ascii_uppercase();
    let body = match verb.as_str() {
        "MSG" | "HMSG" | "PUB" | "HPUB" => {
            words.next_back().and_then(|size| size.parse::<usize>().ok()).unwrap_or(0) + 2
        }
        _ => 0,
    };
    (rest.len() >= body).then_some(head + body)
}

fn split_line(buffer: &[u8]) -> Option<(&str, &[u8])> {
    let end = buffer.windows(2).position(|pair| pair == b"\r\n")?;
    Some((std::str::from_utf8(&buffer[..end]).unwrap_or_default(), &buffer[end + 2..]))
}
