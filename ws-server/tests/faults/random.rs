//! Longer conversations at random, in which anything goes wrong anywhere.

use std::time::Duration;

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngSeed, TestRunner},
};
use ws_tests_support::frame::{BINARY, CLOSE, KEY, PING, PONG, TEXT, masked, pattern};

use crate::{
    apps::{self, App},
    offsets::{converse, virtually},
    scripted::{Fault, KINDS, Pace, Waits},
};

/// A message, in so many fragments and with a Ping between them, or a control frame.
#[derive(Clone, Debug)]
enum Said {
    Message { text: bool, len: usize, fragments: usize, pinged: bool },
    Ping(usize),
    Pong(usize),
}

impl Said {
    fn frames(&self) -> Vec<u8> {
        match *self {
            Self::Ping(len) => masked(PING, KEY, &vec![b'p'; len]),
            Self::Pong(len) => masked(PONG, KEY, &vec![b'p'; len]),
            Self::Message { text, len, fragments, pinged } => {
                let payload = if text { vec![b't'; len] } else { pattern(len) };
                let size = len.div_ceil(fragments).max(1);
                let mut chunks: Vec<&[u8]> = payload.chunks(size).collect();
                if chunks.is_empty() {
                    chunks.push(&[]);
                }
                let (mut octets, last) = (Vec::new(), chunks.len() - 1);
                for (n, chunk) in chunks.into_iter().enumerate() {
                    let opcode = if n > 0 {
                        0
                    } else if text {
                        TEXT & 0x0f
                    } else {
                        BINARY & 0x0f
                    };
                    octets.extend(masked(opcode | (u8::from(n == last) << 7), KEY, chunk));
                    if pinged && n < last {
                        octets.extend(masked(PING, KEY, b"between"));
                    }
                }
                octets
            }
        }
    }
}

fn said() -> impl Strategy<Value = Said> {
    let len = prop_oneof![4 => 0..200_usize, 2 => 200..5_000_usize, 1 => 5_000..100_000_usize];
    prop_oneof![
        6 => (any::<bool>(), len, 1..6_usize, any::<bool>())
            .prop_map(|(text, len, fragments, pinged)| Said::Message { text, len, fragments, pinged }),
        1 => (0..126_usize).prop_map(Said::Ping),
        1 => (0..126_usize).prop_map(Said::Pong),
    ]
}

/// Slow streams are wide enough for a conversation to end before any deadline.
fn pace() -> impl Strategy<Value = Pace> {
    let octets = || prop_oneof![100..500_usize, 500..20_000_usize, Just(usize::MAX)];
    let waits = prop_oneof![
        Just(Waits::Never),
        Just(Waits::Yields),
        (1..20_u64).prop_map(|ms| Waits::Sleeps(Duration::from_millis(ms))),
    ];
    (octets(), octets(), any::<bool>(), waits).prop_map(|(read, write, vectored, waits)| Pace {
        read,
        write,
        vectored,
        waits,
    })
}

/// What goes wrong, and at which part of what is said or answered.
#[derive(Clone, Copy, Debug)]
struct Wrong {
    kind: usize,
    error: std::io::ErrorKind,
    part: f64,
}

impl Wrong {
    fn fault(self, says: usize, written: usize) -> Fault {
        let of = |len: usize| (len as f64 * self.part) as usize;
        match self.kind {
            0 => Fault::None,
            1 => Fault::End(of(says)),
            2 => Fault::ReadFails(of(says), self.error),
            3 => Fault::ReadStalls(of(says)),
            4 => Fault::WriteFails(of(written), self.error),
            5 => Fault::WritesNothing(of(written)),
            6 => Fault::WriteStalls(of(written)),
            7 => Fault::ShutdownFails(self.error),
            _ => Fault::ShutdownStalls,
        }
    }
}

fn wrong() -> impl Strategy<Value = Wrong> {
    (0..9_usize, select(&KINDS[..]), 0.0..1.0_f64).prop_map(|(kind, error, part)| Wrong {
        kind,
        error,
        part,
    })
}

/// The same cases in every run.
fn run(cases: u32, app: fn() -> App) {
    let config = Config {
        cases,
        rng_seed: RngSeed::Fixed(19),
        failure_persistence: None,
        max_shrink_iters: 200,
        ..Config::default()
    };
    let conversation = (proptest::collection::vec(said(), 1..12), pace(), wrong());
    let tried = TestRunner::new(config).run(&conversation, |(said, pace, wrong)| {
        virtually(async {
            let mut app = app();
            app.says.rest = said.iter().flat_map(Said::frames).collect();
            app.says.rest.extend(masked(CLOSE, KEY, &1000_u16.to_be_bytes()));
            let fine = converse(&app, pace, Fault::None).await;
            fine.check(&app, Fault::None);
            let fault = wrong.fault(app.says.len(), fine.written);
            converse(&app, pace, fault).await.check(&app, fault);
        });
        Ok(())
    });
    if let Err(failure) = tried {
        panic!("{failure}");
    }
}

// T-B13, RT-37
#[test]
fn echo_gives_everything_back_after_any_conversation() {
    run(120, apps::echo);
}

// T-B13, RT-37
#[cfg(feature = "deflate")]
#[test]
fn compressed_echo_gives_everything_back_after_any_conversation() {
    run(80, apps::deflated);
}

// T-B13, RT-37
#[test]
fn upload_gives_everything_back_after_any_conversation() {
    run(40, apps::upload);
}

// T-B13, RT-37
#[cfg(feature = "client")]
#[test]
fn relay_gives_everything_back_after_any_conversation() {
    run(60, apps::relay);
}

// T-B13, RT-37
#[test]
fn topic_gives_everything_back_after_any_conversation() {
    run(60, apps::y_websocket);
}
