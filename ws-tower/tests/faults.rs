//! Everything that can go wrong with a stream below hyper, at every octet of a short conversation: over
//! HTTP/1.1 and HTTP/2, by the extractor and by the service. Afterwards a server holds what it held.
#![cfg(feature = "axum")]
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "a part of it is for ws-server")]
#[path = "../../ws-server/tests/faults/ledger.rs"]
mod ledger;
#[allow(dead_code, reason = "a part of it is for ws-server")]
#[path = "../../ws-server/tests/faults/scripted.rs"]
mod scripted;
mod support;

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, routing::any};
use ledger::{Handlers, Ledger};
use scripted::{Fault, KINDS, Pace, Says, Scripted, WHOLE, Waits, has_head, scripted};
use support::{
    CLOSE, PING, TEXT, echo,
    raw::{self, ACK, DATA, END_STREAM, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS},
};
use tokio::{runtime::Builder, sync::mpsc, time::timeout};
use ws_server::{
    CloseCode, ClosedBy, Handler, Immediate, Listener, Peer, Server, Service, WebSocket,
};
use ws_tests_support::{
    frame::{KEY, masked},
    handshake,
};
use ws_tower::WebSocketUpgrade;

/// Gives scripted streams.
struct Streams(mpsc::UnboundedReceiver<Scripted>);

impl Listener for Streams {
    type Pending = Immediate<Scripted>;

    async fn accept(&mut self) -> io::Result<(Self::Pending, Peer)> {
        match self.0.recv().await {
            Some(io) => Ok((Immediate(io), Peer::Tcp(SocketAddr::from(([192, 0, 2, 1], 7))))),
            None => std::future::pending().await,
        }
    }
}

/// A server, its WebSockets, and where they are.
struct Running {
    dial: mpsc::UnboundedSender<Scripted>,
    service: Service,
    handlers: Handlers,
}

fn start() -> Running {
    let handlers = Handlers::default();
    let service = Server::new().route("/service", handlers.count(echo)).service().unwrap();
    let handler = Arc::new(handlers.count(echo));
    let open = any(async move |upgrade: WebSocketUpgrade| {
        upgrade.on_upgrade(move |ws: WebSocket| handler.start(ws))
    });
    let app = Router::new()
        .route("/extractor", open)
        .with_state(service.clone())
        .route_service("/service", ws_tower::service(&service));
    let (dial, dialled) = mpsc::unbounded_channel();
    tokio::spawn(ws_tower::serve(Streams(dialled), app).run_until(std::future::pending()));
    Running { dial, service, handlers }
}

/// The ends that were counted.
type Ends = BTreeMap<(CloseCode, ClosedBy), u64>;

impl Running {
    /// One conversation, of which nothing is left. How many octets came, and how its WebSocket ended, if there
    /// was one.
    async fn converse(
        &self,
        says: &Says,
        pace: Pace,
        fault: Fault,
    ) -> (usize, Option<(CloseCode, ClosedBy)>) {
        let clients = self.service.clients();
        // The tasks of the server are there.
        tokio::task::yield_now().await;
        let ledger = Ledger::open(&clients, &self.handlers);
        let before = clients.metrics().closed;
        let (io, seen) = scripted(says.clone(), pace, fault);
        assert!(self.dial.send(io).is_ok());
        let ended = timeout(Duration::from_secs(3600), seen.dropped()).await;
        ended.unwrap_or_else(|_| panic!("it hangs: {fault:?} {pace:?}"));
        ledger.settled((fault, pace)).await;
        (seen.output().len(), difference(&before, &clients.metrics().closed))
    }
}

fn difference(before: &Ends, after: &Ends) -> Option<(CloseCode, ClosedBy)> {
    let count = |ends: &Ends| ends.values().sum::<u64>();
    assert!(count(after) - count(before) <= 1);
    after.iter().find(|(end, count)| before.get(end) != Some(*count)).map(|(end, _)| *end)
}

fn said() -> [Vec<u8>; 3] {
    [
        masked(TEXT, KEY, b"hello"),
        [masked(0x01, KEY, b"in "), masked(PING, KEY, b"p"), masked(0x80, KEY, b"two")].concat(),
        masked(CLOSE, KEY, &1000_u16.to_be_bytes()),
    ]
}

fn http1(path: &str) -> Says {
    let request = handshake::request(path, "").into_bytes();
    Says { request, rest: said().concat(), is_answered: has_head }
}

/// Whether HEADERS came for the stream.
fn has_headers(mut octets: &[u8]) -> bool {
    while octets.len() >= 9 {
        let len = u32::from_be_bytes([0, octets[0], octets[1], octets[2]]) as usize;
        if octets[3] == HEADERS {
            return octets.len() >= 9 + len;
        }
        octets = octets.get(9 + len..).unwrap_or_default();
    }
    false
}

fn http2(path: &str) -> Says {
    let settings = [raw::frame(SETTINGS, 0, 0, &[]), raw::frame(SETTINGS, ACK, 0, &[])].concat();
    let [first, second, close] = said();
    Says {
        request: [PREFACE, &settings, &raw::connect(path, 1)].concat(),
        rest: [
            raw::frame(DATA, 0, 1, &first),
            raw::frame(DATA, 0, 1, &second[..7]),
            raw::frame(DATA, 0, 1, &second[7..]),
            raw::frame(DATA, END_STREAM, 1, &close),
        ]
        .concat(),
        is_answered: has_headers,
    }
}

const PACES: [Pace; 4] = [
    WHOLE,
    Pace { read: 1, write: 3, vectored: true, waits: Waits::Never },
    Pace { read: 7, write: 1, vectored: false, waits: Waits::Yields },
    Pace { read: 50, write: 100, vectored: true, waits: Waits::Sleeps(Duration::from_millis(2)) },
];

fn virtually(work: impl Future<Output = ()>) {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().unwrap().block_on(work);
}

/// Each fault at every octet, at one of the paces. `whole` makes of a fault of none one that ends the
/// conversation.
fn at_every_octet(says: impl Fn(&str) -> Says, whole: impl Fn(&Says) -> Fault) {
    virtually(async {
        let running = start();
        let (mut written, mut nth) = (0, 0);
        for path in ["/extractor", "/service"] {
            for pace in PACES {
                let says = says(path);
                let (octets, end) = running.converse(&says, pace, whole(&says)).await;
                assert_eq!(end, Some((CloseCode::NORMAL, ClosedBy::Peer)), "{path} {pace:?}");
                written = written.max(octets);
            }
        }
        let both = [says("/extractor"), says("/service")];
        let mut next = || {
            nth += 1;
            (&both[nth % 2], PACES[nth / 2 % PACES.len()], KINDS[nth % KINDS.len()])
        };
        for at in 0..both[0].len().max(both[1].len()) {
            for fault in 0..3 {
                let (says, pace, kind) = next();
                let at = at.min(says.len() - 1);
                let fault =
                    [Fault::End(at), Fault::ReadFails(at, kind), Fault::ReadStalls(at)][fault];
                let (_, end) = running.converse(says, pace, fault).await;
                match (end, fault) {
                    (None, _) => assert!(at <= says.request.len(), "{fault:?}"),
                    (Some((code, ClosedBy::Local)), Fault::ReadStalls(_)) => {
                        assert!([1011, 1008].contains(&code.get()), "{fault:?} {code}");
                    }
                    (end, _) => {
                        assert_eq!(end, Some((CloseCode::ABNORMAL, ClosedBy::Peer)), "{fault:?}");
                    }
                }
            }
        }
        for at in 0..written {
            for fault in 0..3 {
                let (says, pace, kind) = next();
                let fault =
                    [Fault::WriteFails(at, kind), Fault::WritesNothing(at), Fault::WriteStalls(at)]
                        [fault];
                let (_, end) = running.converse(says, pace, fault).await;
                let fine = |(code, by)| match code {
                    CloseCode::ABNORMAL => true,
                    // Its Close was read before.
                    CloseCode::NORMAL => by == ClosedBy::Peer,
                    // It was taken for dead.
                    _ => code == CloseCode::INTERNAL_ERROR && by == ClosedBy::Local,
                };
                assert!(end.is_none_or(fine), "{fault:?} {end:?}");
            }
        }
    });
}

// T-B13, RT-37
#[test]
fn faults_at_every_octet_of_http_1_leave_nothing() {
    at_every_octet(http1, |_| Fault::None);
}

// T-B13, RT-37: the connection outlives its WebSocket until the client ends it.
#[test]
fn faults_at_every_octet_of_http_2_leave_nothing() {
    at_every_octet(http2, |says| Fault::End(says.len()));
}

// T-B13, RT-37, R8441-5-h: after each of its frames the client resets the stream, or says that it goes away.
#[test]
fn resets_and_goaways_between_any_frames_leave_nothing() {
    virtually(async {
        let running = start();
        for path in ["/extractor", "/service"] {
            let whole = http2(path);
            let mut ends = vec![0];
            while let Some(head) =
                whole.rest.get(*ends.last().unwrap()..).filter(|rest| !rest.is_empty())
            {
                let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                ends.push(ends.last().unwrap() + 9 + len);
            }
            assert_eq!(ends.len(), 5);
            let resets =
                [0_u32, 2, 5, 8, 11].map(|code| raw::frame(RST_STREAM, 0, 1, &code.to_be_bytes()));
            let goaway = raw::frame(GOAWAY, 0, 0, &[0; 8]);
            for (at, said) in resets
                .iter()
                .chain([&goaway])
                .flat_map(|said| ends.iter().map(move |at| (*at, said)))
            {
                for pace in PACES {
                    let mut says = whole.clone();
                    says.rest.truncate(at);
                    says.rest.extend(said);
                    let fault = Fault::End(says.len());
                    let (_, end) = running.converse(&says, pace, fault).await;
                    let (code, by) = end.expect("it was open");
                    assert_eq!(by, ClosedBy::Peer, "{at} {said:?}");
                    let read_close = at == whole.rest.len() && code == CloseCode::NORMAL;
                    assert!(read_close || code == CloseCode::ABNORMAL, "{at} {said:?} {code}");
                }
            }
        }
    });
}
