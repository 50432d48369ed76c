//! Everything that can go wrong with a stream, at every octet of a short conversation with each example.

use std::{fmt, net::SocketAddr, time::Duration};

use tokio::{
    runtime::Builder,
    time::{Instant, timeout},
};
use ws_server::{CloseCode, Closed, ClosedBy, Peer};
use ws_tests_support::{
    frame::{CLOSE, Frame},
    heap::live,
};

use crate::{
    apps::{self, App},
    ledger::Ledger,
    scripted::{Fault, KINDS, Pace, WHOLE, Waits, scripted},
};

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A client that is gone is gone: what is left to be done takes no longer, in virtual time.
const SOON: Duration = secs(4);
/// Any deadline, and what comes after it.
const LATE: Duration = secs(120);

/// What a conversation came to.
pub(crate) struct Outcome {
    pub(crate) closed: Option<Closed>,
    pub(crate) head: String,
    pub(crate) frames: Vec<Frame>,
    /// Without the time that the stream slept.
    took: Duration,
    read: usize,
    pub(crate) written: usize,
}

/// One conversation, from which nothing is left.
pub(crate) async fn converse(app: &App, pace: Pace, fault: Fault) -> Outcome {
    let ledger = Ledger::open(&app.service.clients(), &app.handlers);
    let outcome = talk(app, pace, fault).await;
    ledger.settled((fault, pace)).await;
    assert_eq!(app.parts(), Vec::<std::path::PathBuf>::new(), "{fault:?}");
    outcome
}

/// One conversation.
async fn talk(app: &App, pace: Pace, fault: Fault) -> Outcome {
    let (io, seen) = scripted(app.says.clone(), pace, fault);
    let peer = Peer::Tcp(SocketAddr::from(([192, 0, 2, 1], 7)));
    let begun = Instant::now();
    let closed = timeout(secs(3600), app.service.serve_connection(io, peer)).await;
    let closed = closed.unwrap_or_else(|_| panic!("it hangs: {fault:?} {pace:?}"));
    let took = begun.elapsed().saturating_sub(seen.slept());
    let (head, frames) = seen.answer();
    Outcome { closed, head, frames, took, read: seen.read(), written: seen.output().len() }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { closed, head, frames, took, read, written } = self;
        let frames: Vec<_> =
            frames.iter().map(|frame| (frame.first, frame.payload.len())).collect();
        write!(f, "{closed:?} after {took:?}, {read} read, {written} written: {head:?} {frames:?}")
    }
}

impl Outcome {
    /// The code of the Close that the client got, which came last.
    pub(crate) fn close(&self) -> Option<u16> {
        let closes = self.frames.iter().filter(|frame| frame.first == CLOSE).count();
        assert!(closes <= 1, "{self}");
        let close = self.frames.last().filter(|frame| frame.first == CLOSE);
        assert_eq!(close.is_some(), closes == 1, "nothing comes after a Close: {self}");
        Some(u16::from_be_bytes(*close?.payload.first_chunk()?))
    }

    /// That it ended as it should after this fault.
    pub(crate) fn check(&self, app: &App, fault: Fault) {
        let clean = |closed: &Closed| {
            assert_eq!(
                (closed.by, closed.code),
                (ClosedBy::Peer, CloseCode::NORMAL),
                "{fault:?} {self}"
            );
        };
        let (whole, request) = (app.says.len(), app.says.request.len());
        let stalls =
            matches!(fault, Fault::ReadStalls(_) | Fault::WriteStalls(_) | Fault::ShutdownStalls);
        // A peer that is slow by the least rate may read for so long.
        let soon = if stalls { LATE + secs(self.written as u64 / 1024) } else { SOON };
        assert!(self.took <= soon, "{fault:?} {self}");
        match (fault, &self.closed) {
            (Fault::End(at) | Fault::ReadFails(at, _), None) => {
                // At the end of the request it leaves a gate that has not decided.
                assert!(at <= request, "{fault:?} {self}");
                assert_eq!(self.head, "", "{fault:?}");
            }
            (Fault::ReadStalls(at), None) => {
                assert!(at < request, "{fault:?} {self}");
                assert!(self.head.starts_with("HTTP/1.1 408 "), "{fault:?} {self}");
            }
            (_, None) => panic!("{fault:?} {self}"),
            (Fault::End(at) | Fault::ReadFails(at, _), Some(closed)) if at < whole => {
                assert!(at >= request, "{fault:?} {self}");
                assert_eq!(
                    (closed.by, closed.code),
                    (ClosedBy::Peer, CloseCode::ABNORMAL),
                    "{fault:?} {self}"
                );
                assert!(!closed.clean, "{fault:?} {self}");
                assert_eq!(self.close(), None, "{fault:?} {self}");
            }
            (Fault::ReadStalls(at), Some(closed)) if at < whole => {
                assert_eq!(closed.by, ClosedBy::Local, "{fault:?} {self}");
                match self.close() {
                    Some(code) if app.codes.contains(&code) => {
                        assert_eq!(closed.code, CloseCode::ABNORMAL, "{fault:?} {self}");
                    }
                    Some(code) => {
                        assert!([1008, 1011].contains(&code), "{fault:?} {self}");
                        assert_eq!(closed.code.get(), code, "{fault:?} {self}");
                    }
                    // Who does not answer a Ping is not waited for.
                    None => assert_eq!(closed.code.get(), 1011, "{fault:?} {self}"),
                }
            }
            (
                Fault::WriteFails(at, _) | Fault::WritesNothing(at) | Fault::WriteStalls(at),
                Some(closed),
            ) if self.written == at && self.close().is_none() => {
                // The client's Close may have been read before.
                if self.read < whole || closed.code != CloseCode::NORMAL {
                    let by = if matches!(fault, Fault::WriteStalls(_)) {
                        ClosedBy::Local
                    } else {
                        ClosedBy::Peer
                    };
                    assert_eq!(
                        (closed.by, closed.code),
                        (by, CloseCode::ABNORMAL),
                        "{fault:?} {self}"
                    );
                } else {
                    clean(closed);
                }
            }
            (_, Some(closed)) => {
                clean(closed);
                assert!(closed.clean, "{fault:?} {self}");
                assert_eq!(self.close(), Some(1000), "{fault:?} {self}");
            }
        }
    }
}

/// How fast the stream is, in turn.
const PACES: [Pace; 6] = [
    WHOLE,
    Pace { read: 1, write: 1, vectored: true, waits: Waits::Never },
    Pace { read: 7, write: 3, vectored: false, waits: Waits::Yields },
    Pace { read: usize::MAX, write: 1, vectored: true, waits: Waits::Yields },
    Pace { read: 5, write: 100, vectored: true, waits: Waits::Sleeps(Duration::from_millis(3)) },
    Pace {
        read: 1000,
        write: usize::MAX,
        vectored: false,
        waits: Waits::Sleeps(Duration::from_millis(1)),
    },
];

/// All kinds of faults at every octet, each at one of the paces.
async fn every_offset(app: &App, written: usize) {
    let pace = |nth: usize| PACES[nth % PACES.len()];
    let kind = |nth: usize| KINDS[nth % KINDS.len()];
    let mut nth = 0;
    let mut run = async |fault| {
        nth += 1;
        converse(app, pace(nth), fault).await.check(app, fault);
    };
    for at in 0..=app.says.len() {
        run(Fault::End(at)).await;
        run(Fault::ReadFails(at, kind(at))).await;
        run(Fault::ReadStalls(at)).await;
    }
    for at in 0..written {
        run(Fault::WriteFails(at, kind(at))).await;
        run(Fault::WritesNothing(at)).await;
        run(Fault::WriteStalls(at)).await;
    }
    for kind in KINDS {
        run(Fault::ShutdownFails(kind)).await;
    }
    run(Fault::ShutdownStalls).await;
}

/// What may be left of thousands of connections: entries of counters, of the log's limits and of pools.
const LEFT: isize = 32 * 1024;

/// In a runtime whose time is virtual.
pub(crate) fn virtually<T>(work: impl Future<Output = T>) -> T {
    let mut runtime = Builder::new_current_thread();
    runtime.enable_all().start_paused(true).build().unwrap().block_on(work)
}

fn exhaust(app: impl FnOnce() -> App) {
    virtually(async {
        let app = app();
        let mut written = 0;
        for pace in PACES {
            let outcome = converse(&app, pace, Fault::None).await;
            outcome.check(&app, Fault::None);
            written = written.max(outcome.written);
        }
        for kind in KINDS {
            for at in [0, 30, app.says.request.len(), app.says.len()] {
                let fault = Fault::ReadFails(at, kind);
                converse(&app, WHOLE, fault).await.check(&app, fault);
            }
        }
        let before = live();
        every_offset(&app, written).await;
        let left = live() - before;
        // The harness keeps what an example prints.
        assert!(left <= LEFT || app.writes_files(), "{left} bytes are left");
    });
}

macro_rules! every_fault_at_every_octet {
    ($($(#[$cfg:meta])? $name:ident,)*) => {$(
        // T-B13, RT-37, RT-35
        $(#[$cfg])?
        #[test]
        fn $name() {
            exhaust(apps::$name);
        }
    )*};
}

every_fault_at_every_octet! {
    echo,
    #[cfg(feature = "deflate")]
    deflated,
    custom_extension,
    behind_nginx,
    chat,
    rooms,
    rpc,
    socket_io,
    y_websocket,
    upload,
    #[cfg(feature = "auth")]
    auth,
    #[cfg(feature = "futures")]
    graphql,
    #[cfg(feature = "client")]
    relay,
}
