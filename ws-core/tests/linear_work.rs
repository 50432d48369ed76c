//! Work that grows with the input and no faster, counted and not timed.
#![allow(clippy::unwrap_used)]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::{Buf, BytesMut};
use ws_core::{
    Config, Connection, Event, Extensions, Fault, Message, MessageKind, Outgoing, Receive,
    UNLIMITED,
    extension::{Chunk, Progress, Scope, Sink},
};
use ws_tests_support::{
    engine::{config, events, written},
    extension::{Call, Counters, Inflate, RSV1, Reverse, RunLength, Stub, only},
    frame::{BINARY, FIRST, LAST, MORE, PING, TEXT, frames, pattern},
    heap::{Counting, Heap, measured},
    side::{SIDES, Side},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes of input or output that one call may work through.
const PER_CALL: usize = 64 * 1024;
/// Everything in one read.
const WHOLE: usize = 1 << 22;

fn raised() -> Config {
    config(|config| {
        config.max_message = UNLIMITED;
        (config.max_fragments, config.max_empty_fragments) = (UNLIMITED, UNLIMITED);
    })
}

fn streaming() -> Config {
    config(|config| {
        config.receive = Receive::Streaming;
        config.max_empty_fragments = UNLIMITED;
    })
}

fn inflating(times: usize) -> (Extensions, Counters) {
    let counters = Counters::default();
    (only("inflate", Scope::Message, Inflate::new(times, &counters)), counters)
}

/// A message of `n` fragments of one octet.
fn fragments(side: Side, first: u8, n: usize) -> Vec<u8> {
    let mut frames = side.incoming(first, b"x");
    let more = side.incoming(MORE, b"x");
    for _ in 2..n {
        frames.extend_from_slice(&more);
    }
    frames.extend(side.incoming(LAST, b"x"));
    frames
}

/// What it cost to receive something.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    polls: usize,
    yields: usize,
    /// Bytes that were asked of the allocator, and moved by it.
    heap: usize,
    data: usize,
    /// The most input that one call took.
    taken: usize,
}

/// Receives `bytes` in reads of `step` bytes; every `None` has to mean that more input is needed.
fn receive(ws: &mut Connection, bytes: &[u8], step: usize) -> Cost {
    let mut input = BytesMut::with_capacity(step + 64);
    let mut cost = Cost::default();
    let (heap, ()) = measured(|| {
        for read in bytes.chunks(step) {
            input.extend_from_slice(read);
            loop {
                cost.polls += 1;
                let before = input.len();
                match ws.poll_event(&mut input) {
                    Some(Event::Yield) => cost.yields += 1,
                    Some(Event::Message(message)) => cost.data += message.len(),
                    Some(Event::Chunk(chunk)) => {
                        assert!(chunk.len() <= PER_CALL);
                        cost.data += chunk.len();
                    }
                    Some(Event::Closed(closed)) => panic!("{closed:?}"),
                    Some(_) => {}
                    None => {
                        assert!(input.len() < 14, "None with {} bytes left", input.len());
                        break;
                    }
                }
                cost.taken = cost.taken.max(before - input.len());
            }
        }
    });
    cost.heap = heap.asked + heap.moved;
    cost
}

/// Twice as much costs at most 2.2 times as much, but for a constant.
#[track_caller]
fn assert_linear(once: usize, twice: usize, what: &str) {
    assert!(twice * 10 <= once * 22 + 10 * 256, "{what}: {once} for n, {twice} for 2n");
}

// R6455-10.4-a, RT-20
#[test]
fn rt_20_one_octet_fragments_cost_the_same_each() {
    const N: usize = 100_000;
    for side in SIDES {
        for config in [raised(), streaming()] {
            for step in [WHOLE, 7] {
                let cost = |n| {
                    let mut ws = side.connection(config.clone());
                    let cost = receive(&mut ws, &fragments(side, FIRST, n), step);
                    assert_eq!(cost.data, n);
                    assert_eq!(ws.memory_usage(), 0);
                    cost
                };
                let (once, twice) = (cost(N / 2), cost(N));
                assert_linear(once.polls, twice.polls, "polls");
                assert_linear(once.heap, twice.heap, "bytes on the heap");
            }
        }
    }
}

// R6455-10.4-a, RT-20
#[test]
fn rt_20_one_octet_fragments_through_an_extension_cost_the_same_each() {
    const N: usize = 50_000;
    for side in SIDES {
        for config in [raised(), streaming()] {
            for step in [WHOLE, 7] {
                let cost = |n| {
                    let (stack, counters) = inflating(3);
                    let mut ws = side.connection_with(config.clone(), stack);
                    let cost = receive(&mut ws, &fragments(side, FIRST | 0x40, n), step);
                    assert_eq!(cost.data, 3 * n);
                    (cost, counters)
                };
                let ((once, few), (twice, many)) = (cost(N / 2), cost(N));
                assert_linear(once.polls, twice.polls, "polls");
                assert_linear(once.heap, twice.heap, "bytes on the heap");
                assert_linear(few.calls(), many.calls(), "calls of the extension");
                assert_linear(few.shown(), many.shown(), "bytes shown to the extension");
                assert!(many.calls() <= 2 * N + 16, "{many:?}");
            }
        }
    }
}

// RT-20
#[test]
fn rt_20_one_octet_reads_cost_the_same_each() {
    const N: usize = 100_000;
    for side in SIDES {
        for (first, config) in [(TEXT, raised()), (BINARY, raised()), (TEXT, streaming())] {
            let cost = |n| {
                let mut ws = side.connection(config.clone());
                let cost = receive(&mut ws, &side.incoming(first, &vec![b'x'; n]), 1);
                assert_eq!(cost.data, n);
                cost
            };
            let (once, twice) = (cost(N / 2), cost(N));
            assert_linear(once.polls, twice.polls, "polls");
            assert_linear(once.heap, twice.heap, "bytes on the heap");
        }
        // An extension is called for every read, and sees every byte once.
        let cost = |n: usize, stack: Extensions, first: u8| {
            let mut ws = side.connection_with(raised(), stack);
            receive(&mut ws, &side.incoming(first, &pattern(n)), 1)
        };
        let ((few, count_few), (many, count_many)) = (inflating(1), inflating(1));
        let (once, twice) = (cost(N / 2, few, BINARY | 0x40), cost(N, many, BINARY | 0x40));
        assert_linear(once.heap, twice.heap, "bytes on the heap");
        assert_linear(count_few.calls(), count_many.calls(), "calls");
        assert_eq!(count_many.shown(), N);
        // One of whole messages gathers them.
        let stack = || only("reverse", Scope::WholeMessage, Reverse::messages());
        let (once, twice) = (cost(N / 2, stack(), BINARY), cost(N, stack(), BINARY));
        assert_eq!(twice.data, N);
        assert_linear(once.polls, twice.polls, "polls");
        assert_linear(once.heap, twice.heap, "bytes on the heap");
    }
}

#[test]
fn one_call_does_a_bounded_part_of_a_large_input() {
    const LEN: usize = 1 << 20;
    for side in SIDES {
        let whole = side.incoming(TEXT, &vec![b'x'; LEN]);
        let pieces = fragments(side, FIRST, LEN / 8);
        let mut few = side.incoming(FIRST, &pattern(LEN / 2));
        few.extend(side.incoming(LAST, &pattern(LEN / 2)));
        for config in [raised(), streaming()] {
            for (frames, data) in [(&whole, LEN), (&pieces, LEN / 8), (&few, LEN)] {
                let mut ws = side.connection(config.clone());
                let cost = receive(&mut ws, frames, WHOLE);
                assert_eq!(cost.data, data);
                if config.receive == Receive::Messages {
                    assert!(cost.yields >= frames.len() / PER_CALL - 1, "{cost:?}");
                }
                assert!(cost.polls >= frames.len() / PER_CALL, "{cost:?}");
                // A message that lies in one buffer is kept there, and looked at in steps.
                if config.receive == Receive::Streaming || frames != &whole {
                    assert!(cost.taken <= PER_CALL + 14, "{cost:?}");
                }
            }
        }
    }
}

#[test]
fn one_call_does_a_bounded_part_of_a_large_input_for_every_scope() {
    const LEN: usize = 1 << 20;
    for side in SIDES {
        for config in [raised(), streaming()] {
            let config = self::config(|changed| {
                *changed = config.clone();
                changed.max_message = 2 * LEN;
            });
            let run_length = || -> Vec<u8> { [1, b'x'].repeat(LEN / 2) };
            for (stack, first, payload, data) in [
                (only("runs", Scope::Message, RunLength::default()), 0xc2, run_length(), LEN / 2),
                (
                    only("reverse", Scope::WholeMessage, Reverse::messages()),
                    0x82,
                    pattern(LEN),
                    LEN,
                ),
                // Unmarked, so that nothing is turned and no checksum is missed.
                (only("frames", Scope::Frame, Reverse::frames()), 0x82, pattern(LEN), LEN),
                (only("frames", Scope::Frame, Reverse::frames()), 0x92, sealed(LEN), LEN - 1),
            ] {
                let mut ws = side.connection_with(config.clone(), stack);
                let frame = side.incoming(first, &payload);
                let cost = receive(&mut ws, &frame, WHOLE);
                assert_eq!(cost.data, data);
                assert!(cost.polls >= LEN / PER_CALL, "{first:x}: {cost:?}");
            }
        }
    }
}

/// The payload of a frame as a peer with the extension sends it.
fn sealed(len: usize) -> Vec<u8> {
    let cut = config(|config| config.max_sent_frame = UNLIMITED);
    let mut peer =
        Side::Server.connection_with(cut, only("frames", Scope::Frame, Reverse::frames()));
    peer.send(pattern(len - 1)).unwrap();
    let mut frames = frames(&written(&mut peer));
    assert_eq!(frames.len(), 1);
    frames.remove(0).payload
}

#[test]
fn bomb_yields_and_never_holds_more_than_the_budget_in_streaming_mode() {
    for side in SIDES {
        let (stack, counters) = inflating(10 << 20);
        let mut ws = side.connection_with(streaming(), stack);
        let mut input = BytesMut::from(side.incoming(BINARY | 0x40, b"ab").as_slice());
        let (mut data, mut polls, mut before) = (0, 0, 0);
        while let Some(event) = ws.poll_event(&mut input) {
            polls += 1;
            if let Event::Chunk(chunk) = &event {
                data += chunk.len();
            }
            assert!(counters.written() - before <= PER_CALL);
            before = counters.written();
            assert!(ws.memory_usage() <= 4 * PER_CALL, "{}", ws.memory_usage());
            if event == Event::End {
                break;
            }
        }
        assert_eq!(data, 20 << 20);
        assert!(polls >= data / PER_CALL);
    }
}

#[test]
fn bomb_yields_on_its_way_to_the_limit() {
    let limit = config(|config| config.max_message = 8 << 20);
    for side in SIDES {
        let (stack, counters) = inflating(100 << 20);
        let mut ws = side.connection_with(limit.clone(), stack);
        let mut input = BytesMut::from(side.incoming(BINARY | 0x40, b"a").as_slice());
        let (mut yields, mut before) = (0, 0);
        let end = loop {
            let event = ws.poll_event(&mut input).unwrap();
            assert!(counters.written() - before <= PER_CALL);
            before = counters.written();
            match event {
                Event::Yield => yields += 1,
                event => break event,
            }
        };
        assert_eq!(end, Event::Closing);
        assert!(yields >= (8 << 20) / PER_CALL - 1, "{yields}");
        let Some(Event::Closed(closed)) = ws.poll_event(&mut input) else {
            panic!("not closed");
        };
        let fault = Fault::MessageTooBig { limit: 8 << 20 };
        assert_eq!(closed.fault.as_deref(), Some(&fault));
        assert_eq!(counters.written(), (8 << 20) + 1);
    }
}

#[test]
fn small_messages_come_one_a_call_and_cost_the_same_each() {
    for side in SIDES {
        let cost = |n| {
            let mut ws = side.connection(Config::default());
            let frames = [side.incoming(TEXT, b"hello"), side.incoming(PING, b"p")].concat();
            let cost = receive(&mut ws, &frames.repeat(n), WHOLE);
            assert_eq!(cost.data, 5 * n);
            assert_eq!(cost.yields, 0, "a message is as good a pause");
            cost
        };
        let (once, twice) = (cost(500), cost(1000));
        assert_eq!(once.polls, 1001);
        assert_eq!(twice.polls, 2001);
        assert_linear(once.heap, twice.heap, "bytes on the heap");
    }
}

/// Writes out `step` bytes at a time; how often there was something, and how far ahead it was
/// encoded.
fn write_in_steps(ws: &mut Connection, step: usize) -> (usize, usize) {
    let (mut polls, mut most) = (0, 0);
    loop {
        if let Outgoing::Write(output) = ws.poll_output_bounded() {
            let n = step.min(output.remaining());
            most = most.max(output.remaining());
            output.advance(n);
        } else if !ws.has_more_to_encode() {
            return (polls, most);
        }
        polls += 1;
    }
}

#[test]
fn sending_costs_the_same_each_and_is_encoded_a_little_ahead() {
    for side in SIDES {
        let cost = |n: usize, make: &dyn Fn() -> Extensions| {
            let mut ws = side.connection_with(Config::default(), make());
            let (heap, (polls, most)) = measured(|| {
                ws.send(pattern(n)).unwrap();
                ws.start_message(MessageKind::Binary).unwrap();
                for _ in 0..n / 1000 {
                    ws.send_chunk(vec![7; 100]).unwrap();
                }
                ws.finish_message(vec![7; 100]).unwrap();
                write_in_steps(&mut ws, 10_000)
            });
            assert_eq!(ws.memory_usage(), 0);
            (heap.asked + heap.moved, polls, most)
        };
        for make in [&Extensions::none as &dyn Fn() -> Extensions, &|| inflating(1).0, &|| {
            only("runs", Scope::Message, RunLength::default())
        }] {
            let (once, twice) = (cost(500_000, make), cost(1_000_000, make));
            assert_linear(once.0, twice.0, "bytes on the heap");
            assert_linear(once.1, twice.1, "polls");
            if !make().is_empty() {
                assert!(twice.2 <= 4 * PER_CALL, "{} bytes ahead", twice.2);
            }
        }
    }
}

fn message_len(event: &Event) -> usize {
    match event {
        Event::Message(Message::Binary(data)) => data.len(),
        other => panic!("not a message, but {other:?}"),
    }
}

/// Feeds `frames` in reads of `step` bytes; what was done on the heap, and the longest it held.
fn fed_in_steps(side: Side, config: Config, frames: &[u8], step: usize) -> (Heap, usize) {
    let mut ws = side.connection(config);
    let mut input = BytesMut::with_capacity(2 * step + 64);
    let mut most = 0;
    let (heap, len) = measured(|| {
        let mut len = 0;
        for read in frames.chunks(step) {
            input.extend_from_slice(read);
            for event in events(&mut ws, &mut input) {
                len = message_len(&event);
            }
            most = most.max(ws.memory_usage());
        }
        len
    });
    assert!(len > 0, "the message came");
    (heap, most)
}

// RT-20
#[test]
fn rt_20_assembly_buffer_grows_geometrically_and_not_beyond_the_limit() {
    const LEN: usize = 1 << 20;
    for side in SIDES {
        let one_frame = side.incoming(BINARY, &pattern(LEN));
        let mut fragments = Vec::new();
        for (i, piece) in pattern(LEN).chunks(1000).enumerate() {
            let fin = if 1000 * (i + 1) >= LEN { 0x80 } else { 0 };
            fragments.extend(side.incoming(fin | if i == 0 { FIRST } else { MORE }, piece));
        }
        for (frames, name) in [(one_frame, "one frame"), (fragments, "fragments")] {
            let (heap, most) = fed_in_steps(side, Config::default(), &frames, 1024);
            // Every byte is copied into the buffer once, and again whenever it grows.
            let copied = heap.moved + LEN;
            println!(
                "{side:?}, {name}: {} reallocations, {:.2} bytes copied for each of the payload, {most} held",
                heap.reallocations,
                copied as f64 / LEN as f64
            );
            assert!(copied <= 4 * LEN, "{name}: {heap:?}");
            assert!((5..=24).contains(&heap.reallocations), "{name}: {heap:?}");
            assert!(most <= LEN + 1024, "{name}: {most} bytes held");
            assert!(heap.peak <= LEN as isize + 4096, "{name}: {heap:?}");
        }
    }
}

// RT-19
#[test]
fn rt_19_heap_of_a_message_in_progress_is_at_most_twice_its_payload() {
    let raised = config(|config| {
        config.max_fragments = UNLIMITED;
        config.max_empty_fragments = UNLIMITED;
    });
    for side in SIDES {
        for (piece, frames) in [(&b"x"[..], 200_000), (b"", 200_000), (b"abc", 50_000)] {
            let mut ws = side.connection(raised.clone());
            let frame = side.incoming(MORE, piece);
            let mut input = BytesMut::with_capacity(4096);
            input.extend_from_slice(&side.incoming(FIRST, b"first"));
            let (heap, ()) = measured(|| {
                let mut payload = 5;
                for _ in 0..frames {
                    assert_eq!(ws.poll_event(&mut input), None);
                    input.extend_from_slice(&frame);
                    assert!(ws.memory_usage() <= 2 * payload + 256);
                    payload += piece.len();
                }
            });
            let payload = 5 + piece.len() * frames;
            assert!(heap.peak as usize <= 2 * payload + 256, "{heap:?}");
        }
    }
}

/// Sends the length of a message in its place, and remembers the most that it was shown at once.
fn length_only(most: &Arc<AtomicUsize>) -> Stub {
    let (mut len, most) = (0, Arc::clone(most));
    let transform = move |call, input: &mut Chunk<'_>, out: &mut Sink<'_>| {
        assert_eq!(call, Call::Encode);
        most.fetch_max(input.len(), Ordering::Relaxed);
        len += input.len();
        input.consume(input.len());
        if input.is_last() {
            let _ = out.write(&[(len >> 20) as u8]);
        }
        Ok(Progress::Done)
    };
    Stub::new(RSV1, transform)
}

#[test]
fn large_message_is_encoded_64_kib_a_call_and_says_so() {
    for side in SIDES {
        let most = Arc::new(AtomicUsize::new(0));
        let stack = only("x-length", Scope::Message, length_only(&most));
        let mut ws = side.connection_with(Config::default(), stack);
        ws.send(vec![0; 5 << 20]).unwrap();
        assert!(most.load(Ordering::Relaxed) <= PER_CALL);
        let mut yields = 0;
        while matches!(ws.poll_output_bounded(), Outgoing::Yield) {
            yields += 1;
        }
        assert_eq!(yields, (5 << 20) / PER_CALL - 2, "one part when it was sent, one at the end");
        assert!(most.load(Ordering::Relaxed) <= PER_CALL);
        let frames = frames(&written(&mut ws));
        assert_eq!((frames.len(), &frames[0].payload[..]), (1, &[5][..]));
        assert!(matches!(ws.poll_output_bounded(), Outgoing::Idle));
    }
}
