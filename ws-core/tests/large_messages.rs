//! Messages that are read into the buffer that they are handed on in.
#![allow(clippy::unwrap_used)]

use bytes::{BufMut, BytesMut};
use ws_core::{
    BufferSize, CloseCode, Config, Connection, Event, Message, Receive, UNLIMITED, extension::Scope,
};
use ws_tests_support::{
    engine::config,
    extension::{Reverse, only},
    frame::{BINARY, FIRST, LAST, TEXT, pattern},
    heap::{Counting, measured},
    side::{SIDES, Side},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FROM: usize = 32 * 1024;
const LEN: usize = 1 << 20;

/// Reads `wire` in reads of `step` bytes, into the message where that is offered. The events, and
/// how many bytes came that way.
fn read_by(ws: &mut Connection, mut wire: &[u8], step: usize) -> (Vec<Event>, usize) {
    let mut input = BytesMut::with_capacity(64 * 1024);
    let (mut events, mut direct) = (Vec::new(), 0);
    while !wire.is_empty() {
        let allocate = |size: BufferSize| BytesMut::with_capacity(size.needed);
        let taken = ws.read_payload(&input, allocate, |room| {
            let n = step.min(wire.len()).min(room.remaining_mut());
            room.put_slice(&wire[..n]);
            n
        });
        match taken {
            Some(n) => {
                direct += n;
                wire = &wire[n..];
            }
            None => {
                let n = step.min(wire.len());
                input.reserve(n);
                input.extend_from_slice(&wire[..n]);
                wire = &wire[n..];
            }
        }
        while let Some(event) = ws.poll_event(&mut input) {
            if event != Event::Yield {
                events.push(event);
            }
        }
    }
    (events, direct)
}

/// A connection that has received `received` bytes of a binary message of `len`.
fn begun(side: Side, len: usize, received: usize) -> (Connection, BytesMut) {
    let mut ws = side.connection(Config::default());
    let frame = side.incoming(BINARY, &pattern(len));
    let header = frame.len() - len;
    let mut input = BytesMut::from(&frame[..header + received]);
    while let Some(event) = ws.poll_event(&mut input) {
        assert_eq!(event, Event::Yield);
    }
    (ws, input)
}

#[test]
fn message_read_into_its_buffer_is_the_one_that_was_sent() {
    for side in SIDES {
        for len in [FROM, FROM + 1, 65_536, 100_000, LEN - 1, LEN] {
            for step in [1000, 16_384, 65_536, 1 << 21] {
                let mut ws = side.connection(Config::default());
                let wire = [
                    side.incoming(BINARY, &pattern(len)),
                    side.incoming(TEXT, b"behind"),
                    side.incoming(BINARY, &pattern(len)),
                ];
                let (events, direct) = read_by(&mut ws, &wire.concat(), step);
                let large = || Event::Message(Message::binary(pattern(len)));
                let behind = Event::Message(Message::text("behind"));
                assert!(events == [large(), behind, large()], "{side:?}, {len} by {step}");
                // The first reads go into the input, until there is enough.
                if 2 * step < len - FROM {
                    assert!(direct >= 2 * (len - FROM - step), "{direct} of {len} by {step}");
                }
                assert_eq!((ws.memory_usage(), ws.unfinished()), (0, None));
            }
        }
    }
}

#[test]
fn payload_that_was_read_into_a_buffer_stays_where_it_is() {
    for side in SIDES {
        let (mut ws, mut input) = begun(side, LEN, 40_000);
        let mut given = None;
        let frame = side.incoming(BINARY, &pattern(LEN));
        let rest = &frame[frame.len() - (LEN - 40_000)..];
        let allocate = |size: BufferSize| {
            assert_eq!((size.needed, size.announced), (80_000, LEN));
            let buffer = BytesMut::with_capacity(LEN);
            given = Some(buffer.as_ptr());
            buffer
        };
        ws.read_payload(&input, allocate, |room| {
            assert_eq!(room.remaining_mut(), rest.len(), "nothing behind the message is read");
            room.put_slice(rest);
        })
        .unwrap();
        let (heap, message) = measured(|| {
            loop {
                match ws.poll_event(&mut input).unwrap() {
                    Event::Message(message) => break message,
                    event => assert_eq!(event, Event::Yield),
                }
            }
        });
        assert_eq!(message.as_bytes().as_ptr(), given.unwrap());
        assert!(message.as_bytes() == pattern(LEN));
        assert!(heap.asked <= 128, "{heap:?}");
    }
}

#[test]
fn large_message_leaves_the_buffer_that_it_began_in() {
    for side in SIDES {
        let (mut ws, mut input) = begun(side, LEN, 40_000);
        let mut sizes = Vec::new();
        for _ in 0..2 {
            ws.detach_large(&input, |size| {
                sizes.push((size.needed, size.announced));
                // What lies in the new buffer does not matter.
                let mut buffer = BytesMut::with_capacity(size.needed);
                buffer.extend_from_slice(b"old");
                buffer
            });
        }
        assert_eq!(sizes, [(80_000, LEN)], "the second time there is room");
        let frame = side.incoming(BINARY, &pattern(LEN));
        input.extend_from_slice(&frame[frame.len() - (LEN - 40_000)..]);
        let message = loop {
            match ws.poll_event(&mut input).unwrap() {
                Event::Message(message) => break message,
                event => assert_eq!(event, Event::Yield),
            }
        };
        assert!(message.as_bytes() == pattern(LEN));

        let (mut ws, _) = begun(side, LEN, 40_000);
        ws.detach_large(&BytesMut::from(&b"x"[..]), |_| panic!("some of the input comes first"));
        let mut ws = side.connection(Config::default());
        ws.detach_large(&input, |_| panic!("no message is in progress"));
    }
}

#[test]
fn payload_is_read_into_the_message_only_where_nothing_can_stand_between() {
    let allocate = |size: BufferSize| BytesMut::with_capacity(size.needed);
    let offers =
        |ws: &mut Connection, input: &BytesMut| ws.read_payload(input, allocate, |_| ()).is_some();
    for side in SIDES {
        let (mut ws, input) = begun(side, LEN, FROM);
        assert!(offers(&mut ws, &input));
        assert!(!offers(&mut ws, &BytesMut::from(&b"x"[..])), "some of the input comes first");
        let (mut ws, input) = begun(side, LEN, FROM - 1);
        assert!(!offers(&mut ws, &input), "too little came");
        let mut ws = side.connection(Config::default());
        assert!(!offers(&mut ws, &input), "no message is in progress");

        // What came is not looked at whole before more is read.
        let mut ws = side.connection(Config::default());
        let frame = side.incoming(BINARY, &pattern(LEN));
        let mut input = BytesMut::from(&frame[..200_000]);
        assert_eq!(ws.poll_event(&mut input), Some(Event::Yield));
        assert!(!offers(&mut ws, &input));

        let (streaming, mut input) = (config(|config| config.receive = Receive::Streaming), input);
        let part = &frame[..100_000];
        let others = [
            (side.connection(streaming), part.to_vec(), "a stream"),
            (
                side.connection_with(
                    Config::default(),
                    only("reverse", Scope::WholeMessage, Reverse::messages()),
                ),
                part.to_vec(),
                "an extension",
            ),
            (
                side.connection(Config::default()),
                [side.incoming(FIRST, b"x"), side.incoming_header(LAST, 100_000), vec![7; 90_000]]
                    .concat(),
                "the last fragment",
            ),
            (
                side.connection(Config::default()),
                [side.incoming_header(FIRST, 100_000), vec![7; 90_000]].concat(),
                "the first fragment",
            ),
        ];
        for (mut ws, wire, name) in others {
            input.clear();
            input.extend_from_slice(&wire);
            while ws.poll_event(&mut input).is_some() {}
            assert!(ws.unfinished().is_some(), "{name}");
            assert!(!offers(&mut ws, &input), "{name}");
        }
    }
}

// R6455-8.1-b
#[test]
fn invalid_text_that_was_read_into_the_message_fails_at_the_read_that_proves_it() {
    for side in SIDES {
        let mut text = vec![b'a'; LEN];
        text[500_000] = 0xff;
        let frame = side.incoming(TEXT, &text);
        let mut ws = side.connection(Config::default());
        let (events, direct) = read_by(&mut ws, &frame, 10_000);
        assert!(direct > 400_000);
        let [Event::Closing, Event::Closed(closed)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(closed.code, CloseCode::INVALID_PAYLOAD);
        assert!(ws.memory_usage() < 4096, "no more than the Close");
        // It is told by the next poll.
        let header = frame.len() - LEN;
        let mut ws = side.connection(Config::default());
        read_by(&mut ws, &frame[..header + 500_000], 10_000);
        let mut input = BytesMut::new();
        let allocate = |size: BufferSize| BytesMut::with_capacity(size.needed);
        ws.read_payload(&input, allocate, |room| room.put_u8(frame[header + 500_000])).unwrap();
        assert_eq!(ws.poll_event(&mut input), Some(Event::Closing));
    }
}

// RT-13, RT-20
#[test]
fn rt_20_buffer_that_is_read_into_grows_by_what_came_and_not_by_what_was_announced() {
    let raised = config(|config| config.max_message = UNLIMITED);
    for side in SIDES {
        for announced in [LEN as u64, 1 << 40, (1 << 63) - 1] {
            let mut ws = side.connection(raised.clone());
            let mut input = BytesMut::from(&side.incoming_header(BINARY, announced)[..]);
            input.extend_from_slice(&[7; FROM]);
            let mut came = FROM;
            assert_eq!(ws.poll_event(&mut input), None);
            let (mut grown, mut moved) = (0, 0);
            while came < LEN - 5000 {
                let allocate = |BufferSize { needed, .. }: BufferSize| {
                    assert!(needed <= 2 * came, "{needed} bytes after {came}");
                    assert!(needed as u64 <= announced);
                    (grown, moved) = (grown + 1, moved + came);
                    BytesMut::with_capacity(needed)
                };
                let read = |room: &mut dyn BufMut| {
                    let n = room.remaining_mut().min(5000);
                    room.put_bytes(7, n);
                    n
                };
                came += ws.read_payload(&input, allocate, read).unwrap();
                assert_eq!(ws.poll_event(&mut input), None);
                assert_eq!(ws.unfinished().unwrap().message_received, came as u64);
                assert!(ws.memory_usage() <= 2 * came, "{}", ws.memory_usage());
            }
            assert!(grown <= 8 && moved <= 2 * LEN, "{grown} times, {moved} bytes moved");
        }
    }
}
