//! One connection against a peer that sends anything, and a caller that commands anything.
//!
//! The octets decide on role, limits, mode, extensions and a list of operations. These are run with the
//! input as it comes and, where the caller polls until `None` after every read, once more in pieces:
//! events, end and output are the same.

mod checks;
mod command;
mod operations;
mod run;

use ws_core::{Config, Receive, UNLIMITED};

use crate::{input::Input, is_shown, stack::StackSpec};
use operations::{Op, operations};
use run::Run;

#[derive(Debug)]
struct Setup {
    server: bool,
    config: Config,
    stack: StackSpec,
    /// After every read the caller polls until `None`.
    polls_all: bool,
    observed: bool,
    /// What the caller does at `Event::Closing`, by bits.
    on_closing: u8,
    /// Whether the transport ends.
    ends: bool,
}

pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let setup = setup(&mut input);
    let ops = operations(&setup, &mut input);
    if is_shown() {
        eprintln!("{setup:?}");
        ops.iter().for_each(|op| eprintln!("{:.300}", format!("{op:02x?}")));
    }
    let whole = Run::new(&setup).all(&ops, usize::MAX);
    if setup.polls_all {
        let fed: usize =
            ops.iter().map(|op| if let Op::Feed(bytes) = op { bytes.len() } else { 0 }).sum();
        for step in if fed > 10_000 { [1013, 4099] } else { [1, 3] } {
            let pieces = Run::new(&setup).all(&ops, step);
            assert_eq!(whole.0, pieces.0, "events in pieces of {step}");
            if setup.stack.pool_kib == 0 {
                assert!(whole.1 == pieces.1, "output in pieces of {step}");
            }
        }
    }
}

fn setup(input: &mut Input<'_>) -> Setup {
    const SIZES: [usize; 20] = [
        1 << 20,
        0,
        1,
        2,
        5,
        31,
        32,
        33,
        64,
        125,
        126,
        127,
        1000,
        4095,
        4096,
        65535,
        65536,
        66000,
        5000,
        300,
    ];
    let flags = input.byte();
    let mut config = Config::default();
    if flags & 2 == 2 {
        config.max_frame = Some(input.pick(&SIZES));
        config.max_message = input.pick(&SIZES);
        config.max_sent_frame = input.pick(&[
            UNLIMITED, 0, 1, 2, 31, 32, 33, 125, 126, 127, 128, 1000, 4095, 4096, 65535, 65536,
        ]);
        config.max_fragments = input.pick(&[4096, 0, 1, 2, 3, 5]);
        config.max_empty_fragments = input.pick(&[64, 0, 1, 2, UNLIMITED]);
    } else {
        config.max_message = 1 << 17;
    }
    if flags & 4 == 4 {
        config.receive = Receive::Streaming;
    }
    Setup {
        server: flags & 1 == 1,
        config,
        polls_all: flags & 8 == 0,
        observed: flags & 48 == 48,
        ends: flags & 64 == 0,
        on_closing: if flags & 128 == 128 { input.byte() } else { 0 },
        stack: StackSpec::read(input),
    }
}
