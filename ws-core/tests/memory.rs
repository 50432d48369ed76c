//! What is allocated, copied and kept.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use ws_core::{
    CloseCode, Config, Connection, Event, Extensions, Message, MessageKind, Receive, UNLIMITED,
    extension::{Chunk, Scope, Sink},
};
use ws_tests_support::{
    engine::{config, events, feed_alone, written},
    extension::{Counters, Inflate, RSV1, Reverse, Stub, only, progress},
    frame::{BINARY, CLOSE, FIRST, LAST, MORE, PING, PONG, TEXT, frames, pattern},
    heap::{Counting, Heap, measured},
    side::{SIDES, Side},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_allocator_counts() {
    let (heap, kept) = measured(|| {
        drop(vec![0_u8; 1000]);
        let mut kept = Vec::<u8>::with_capacity(100);
        kept.reserve_exact(300);
        kept
    });
    assert_eq!((heap.allocations, heap.reallocations), (3, 1));
    assert_eq!((heap.asked, heap.moved), (1400, 100));
    assert_eq!((heap.live, heap.peak), (300, 1000));
    drop(kept);
}

fn message(event: Option<Event>) -> Message {
    match event {
        Some(Event::Message(message)) => message,
        other => panic!("not a message, but {other:?}"),
    }
}

// R6455-5.2-j, RT-13
#[test]
fn rt_13_nothing_is_allocated_because_a_header_announced_it() {
    let unlimited = config(|config| config.max_message = UNLIMITED);
    let streaming = config(|config| config.receive = Receive::Streaming);
    for side in SIDES {
        for (config, len) in [
            (Config::default(), 1 << 20),
            (unlimited.clone(), 1 << 32),
            (unlimited.clone(), (1 << 63) - 1),
            (streaming.clone(), (1 << 63) - 1),
        ] {
            for first in [TEXT, BINARY, FIRST] {
                let mut ws = side.connection(config.clone());
                let mut input = BytesMut::from(side.incoming_header(first, len).as_slice());
                let (heap, told) = measured(|| {
                    let _ = ws.poll_event(&mut input);
                    ws.poll_event(&mut input)
                });
                assert_eq!(told, None);
                // What is known of the frame, and nothing for its payload.
                assert!(heap.allocations == 1 && heap.asked <= 192, "{len} announced: {heap:?}");
                assert_eq!(ws.unfinished().unwrap().frame_len, len);
                // The first octets of it take what they are, and no more.
                input.extend_from_slice(b"abcdefgh");
                let (heap, _) = measured(|| ws.poll_event(&mut input));
                assert!(heap.asked <= 256, "{heap:?}");
            }
        }
    }
}

// R6455-5.2-j, RT-13
#[test]
fn rt_13_refused_length_costs_no_more_than_the_refusal() {
    for side in SIDES {
        for len in [(1 << 63) - 1, 1 << 62, (1 << 32) + 1, (1 << 20) + 1, u64::MAX] {
            let mut ws = side.connection(Config::default());
            let mut input = BytesMut::from(side.incoming_announcement(BINARY, len).as_slice());
            let (heap, told) = measured(|| ws.poll_event(&mut input));
            assert_eq!(told, Some(Event::Closing));
            assert!(heap.asked < 512, "the reason as text: {heap:?}");
            // The Close frame lies in the first buffer of a burst.
            let (heap, _) = measured(|| ws.poll_event(&mut input));
            assert!(heap.asked < 4096 + 512, "{heap:?}");
        }
    }
}

// R6455-5.2-c, RT-15
#[test]
fn rt_15_frames_that_cannot_be_valid_allocate_no_payload() {
    for side in SIDES {
        for opcode in (0x3..=0x7).chain(0x8..=0xf) {
            for len in [126, 65_536, 1 << 40] {
                let mut ws = side.connection(Config::default());
                let header = side.incoming_announcement(0x80 | opcode, len);
                let mut input = BytesMut::from(header.as_slice());
                let (heap, told) = measured(|| ws.poll_event(&mut input));
                assert_eq!(told, Some(Event::Closing));
                assert!(heap.asked < 512, "{heap:?}");
            }
        }
    }
}

#[test]
fn frame_that_lies_in_one_read_reaches_the_application_without_a_copy() {
    for side in SIDES {
        for first in [TEXT, BINARY] {
            for len in [600, 4096, 65_535, 65_536, 65_537, 200_000, 1 << 20] {
                let mut ws = side.connection(Config::default());
                let frame = side.incoming(first, &vec![b'x'; len]);
                let mut input = BytesMut::with_capacity(frame.len() + 64);
                input.extend_from_slice(&frame);
                let at = input[frame.len() - len..].as_ptr();
                let (heap, event) = measured(|| {
                    loop {
                        match ws.poll_event(&mut input) {
                            Some(Event::Yield) => {}
                            event => break event,
                        }
                    }
                });
                let message = message(event);
                assert_eq!(message.as_bytes().as_ptr(), at, "{side:?}, {len} bytes");
                assert_eq!(message.as_bytes(), vec![b'x'; len]);
                // No more than the counters that make the buffer a shared one, and how far it came.
                assert!(heap.asked <= 256, "{len} bytes: {heap:?}");
                assert_eq!(Bytes::from(message.into_payload()).as_ptr(), at);
            }
        }
    }
}

#[test]
fn small_message_does_not_keep_a_large_read_alive() {
    for side in SIDES {
        for len in [1, 32, 33, 100, 500] {
            let mut ws = side.connection(Config::default());
            let frame = side.incoming(BINARY, &pattern(len));
            let mut input = BytesMut::with_capacity(1 << 16);
            input.extend_from_slice(&frame);
            let buffer = input.as_ptr() as usize..input.as_ptr() as usize + (1 << 16);
            let (heap, event) = measured(|| ws.poll_event(&mut input));
            let message = message(event);
            assert_eq!(message.as_bytes(), pattern(len));
            assert!(!buffer.contains(&(message.as_bytes().as_ptr() as usize)));
            assert!(heap.asked <= len + 64, "{len} bytes: {heap:?}");
            drop(input);
            assert_eq!(message.as_bytes(), pattern(len));
        }
    }
}

// R6455-10.4-a
#[test]
fn small_message_behind_a_header_that_came_before_does_not_keep_a_large_read_alive() {
    for side in SIDES {
        for len in [1, 32, 33, 100, 500] {
            let mut ws = side.connection(Config::default());
            let frame = side.incoming(BINARY, &pattern(len));
            let header = frame.len() - len;
            let mut input = BytesMut::from(&frame[..header]);
            assert_eq!(ws.poll_event(&mut input), None);
            let mut input = BytesMut::with_capacity(1 << 16);
            input.extend_from_slice(&frame[header..]);
            let buffer = input.as_ptr() as usize..input.as_ptr() as usize + (1 << 16);
            let (heap, event) = measured(|| ws.poll_event(&mut input));
            let message = message(event);
            assert_eq!(message.as_bytes(), pattern(len));
            assert!(!buffer.contains(&(message.as_bytes().as_ptr() as usize)));
            assert!(heap.asked <= len + 64, "{len} bytes: {heap:?}");
        }
    }
}

#[test]
fn large_payload_reaches_the_output_of_a_server_without_a_copy() {
    for len in [65_536, 1 << 20] {
        let mut ws = Side::Server.connection(Config::default());
        let payload = Bytes::from(vec![7; len]);
        let at = payload.as_ptr();
        let (heap, ()) = measured(|| {
            ws.send(Message::binary("before".as_bytes())).unwrap();
            ws.send(payload).unwrap();
            ws.send(Message::text("behind")).unwrap();
        });
        assert!(heap.asked <= 4096 + 16 * 1024 + 1024, "{len} bytes: {heap:?}");
        let Some(output) = ws.poll_output() else { panic!("nothing to write") };
        let mut slices = [std::io::IoSlice::new(&[]); 8];
        let n = output.chunks_vectored(&mut slices);
        let found = slices[..n].iter().find(|slice| slice.as_ptr() == at);
        assert_eq!(found.unwrap().len(), len);
        let frames = frames(
            &slices[..n].iter().flat_map(|slice| slice.iter().copied()).collect::<Vec<u8>>(),
        );
        assert_eq!(frames.len(), 3);
        assert_eq!(frames[1].payload, vec![7; len]);
    }
    // Cut into frames, the pieces are slices of the one buffer.
    let mut ws = Side::Server.connection(config(|config| config.max_sent_frame = 10_000));
    let payload = Bytes::from(pattern(35_000));
    let at = payload.as_ptr() as usize;
    ws.send(payload.clone()).unwrap();
    let Some(output) = ws.poll_output() else { panic!("nothing to write") };
    let mut slices = [std::io::IoSlice::new(&[]); 16];
    let n = output.chunks_vectored(&mut slices);
    for (i, len) in [10_000, 10_000, 10_000, 5000].into_iter().enumerate() {
        let place = at + 10_000 * i;
        assert!(slices[..n].iter().any(|s| s.as_ptr() as usize == place && s.len() == len));
    }
}

#[test]
fn queued_output_takes_little_more_than_its_bytes() {
    for side in SIDES {
        for sizes in [&[4096, 4096][..], &[20, 4096], &[20], &[4000], &[20, 70_000]] {
            let mut ws = side.connection(Config::default());
            let (heap, ()) = measured(|| {
                for size in sizes.iter().cycle().take(200) {
                    ws.send(vec![7; *size]).unwrap();
                }
            });
            let (unwritten, live) = (ws.unwritten(), heap.live as usize);
            println!("{side:?} {sizes:?}: {unwritten} unwritten, {live} on the heap");
            assert!(live <= unwritten + unwritten / 2 + 20 * 1024, "{sizes:?}: {live}");
            assert!(ws.memory_usage() <= live);
            assert!(ws.memory_usage() >= unwritten);
        }
    }
}

#[test]
fn burst_of_sixteen_messages_of_1_kib_is_written_in_one_piece() {
    for side in SIDES {
        let mut ws = side.connection(Config::default());
        for _ in 0..16 {
            ws.send(vec![7; 1024]).unwrap();
        }
        let unwritten = ws.unwritten();
        let Some(output) = ws.poll_output() else { panic!("nothing to write") };
        assert_eq!(output.chunk().len(), unwritten, "{side:?}");
    }
}

/// A read of 64 small messages, each of them sent back.
fn echo(ws: &mut Connection, input: &mut BytesMut, read: &[u8], wire: &mut Vec<u8>) -> usize {
    let mut echoed = 0;
    input.extend_from_slice(read);
    while let Some(event) = ws.poll_event(input) {
        if let Event::Message(message) = event {
            ws.send(message).unwrap();
            echoed += 1;
        }
    }
    while let Some(output) = ws.poll_output() {
        wire.extend_from_slice(output.chunk());
        let n = output.chunk().len();
        output.advance(n);
    }
    echoed
}

#[test]
fn small_messages_are_echoed_with_three_allocations_per_read() {
    for side in SIDES {
        for first in [TEXT, BINARY] {
            let mut ws = side.connection(Config::default());
            let read = side.incoming(first, &[b'a'; 20]).repeat(64);
            let mut input = BytesMut::with_capacity(64 * 1024);
            let mut wire = Vec::with_capacity(64 * 1024);
            echo(&mut ws, &mut input, &read, &mut wire);
            for _ in 0..10 {
                wire.clear();
                let (heap, echoed) = measured(|| echo(&mut ws, &mut input, &read, &mut wire));
                assert_eq!(echoed, 64);
                assert!(heap.allocations <= 3, "{side:?}: {heap:?}");
                assert_eq!(heap.live, 0);
            }
            assert_eq!(frames(&wire).len(), 64);
        }
    }
}

#[test]
fn small_messages_pass_an_extension_without_an_allocation_each() {
    for side in SIDES {
        let stack = only("x-same", Scope::Message, Inflate::new(1, &Counters::default()));
        let mut ws = side.connection_with(Config::default(), stack);
        let read = side.incoming(BINARY | 0x40, &[b'a'; 20]).repeat(64);
        let mut input = BytesMut::with_capacity(64 * 1024);
        let mut wire = Vec::with_capacity(64 * 1024);
        for _ in 0..10 {
            wire.clear();
            let (heap, echoed) = measured(|| echo(&mut ws, &mut input, &read, &mut wire));
            assert_eq!(echoed, 64);
            assert!(heap.allocations <= 8, "{side:?}: {heap:?}");
            assert_eq!((heap.live, ws.memory_usage()), (0, 0));
        }
        let sent = frames(&wire);
        assert!(
            sent.iter().all(|frame| frame.first == BINARY | 0x40 && frame.payload == [b'a'; 20])
        );
        assert_eq!(sent.len(), 64);
    }
}

#[test]
fn no_extension_and_a_new_connection_allocate_nothing() {
    let (heap, stack) = measured(Extensions::none);
    assert_eq!(heap, Heap::default());
    let config = Arc::new(Config::default());
    let (heap, ws) = measured(|| Side::Server.connection_with(Arc::clone(&config), stack));
    assert_eq!(heap, Heap::default());
    assert_eq!(ws.memory_usage(), 0);
    // A client holds the box of its key source, which is empty here.
    let (heap, _ws) = measured(|| Side::Client.connection_with(config, Extensions::none()));
    assert!(heap.live <= 8, "{heap:?}");
}

#[test]
fn connection_is_small() {
    let size = size_of::<Connection>();
    println!("Connection: {size} bytes");
    assert!(size <= 184, "{size} bytes");
}

/// Traffic of every kind, both ways, all of it written out.
fn traffic(side: Side, ws: &mut Connection) {
    let mut input = BytesMut::new();
    let mut come = |ws: &mut Connection, bytes: &[u8]| {
        input.extend_from_slice(bytes);
        for event in events(ws, &mut input) {
            if let Event::Message(message) = event {
                ws.send(message).unwrap();
            }
        }
        written(ws);
    };
    for len in [0, 1, 20, 32, 33, 125, 126, 4095, 4096, 65_536, 300_000] {
        for first in [TEXT, BINARY, PING, PONG] {
            if first & 0x8 == 0 || len <= 125 {
                let frame = side.incoming(first, &vec![b'x'; len]);
                come(ws, &frame);
                for piece in frame.chunks(1000) {
                    come(ws, piece);
                }
            }
        }
    }
    for first in [FIRST, MORE, PING, MORE, LAST] {
        come(ws, &side.incoming(first, &[b'x'; 100]));
    }
    for octet in side.incoming(BINARY, &[b'x'; 300]) {
        come(ws, &[octet]);
    }
    // So many Pings that one Pong is owed.
    ws.send(vec![0; 70_000]).unwrap();
    while ws.encoded() < 64 * 1024 {
        let _ = ws.poll_output_bounded();
    }
    let pings = side.incoming(PING, &[b'p'; 125]).repeat(10);
    events(ws, &mut BytesMut::from(pings.as_slice()));
    assert!(ws.is_pong_owed());
    written(ws);
    assert!(!ws.is_pong_owed());
    ws.ping(b"ping").unwrap();
    ws.start_message(MessageKind::Binary).unwrap();
    ws.send_chunk(vec![1; 5000]).unwrap();
    ws.finish_message(vec![1; 5000]).unwrap();
    written(ws);
}

#[test]
fn idle_connection_holds_no_heap_after_traffic() {
    let streaming = config(|config| config.receive = Receive::Streaming);
    let cut = config(|config| config.max_sent_frame = 1000);
    for side in SIDES {
        for config in [Config::default(), streaming.clone(), cut.clone()] {
            let mut ws = side.connection(config);
            let (heap, ()) = measured(|| traffic(side, &mut ws));
            assert_eq!(heap.live, 0, "{side:?}");
            assert!(heap.allocations > 10, "there was traffic: {heap:?}");
            assert_eq!(ws.memory_usage(), 0);
            assert_eq!(ws.unfinished(), None);
        }
    }
}

#[test]
fn idle_connection_with_an_extension_holds_only_the_extension() {
    for side in SIDES {
        let stack = only("inflate", Scope::Message, Inflate::new(1000, &Counters::default()));
        let mut ws = side.connection_with(Config::default(), stack);
        let (heap, ()) = measured(|| {
            traffic(side, &mut ws);
            let marked = side.incoming(BINARY | 0x40, &[7; 900]);
            assert_eq!(feed_alone(&mut ws, &marked).len(), 1);
            let mut input = BytesMut::new();
            for octet in marked {
                input.extend_from_slice(&[octet]);
                events(&mut ws, &mut input);
            }
            ws.send(vec![0; 300_000]).unwrap();
            written(&mut ws);
        });
        assert_eq!(heap.live, 0, "{side:?}");
        assert_eq!(ws.memory_usage(), 0);
    }
}

/// Asks for room as a decompressor does that does not know how much it will write.
fn roomy() -> Stub {
    let transform = |_, input: &mut Chunk<'_>, out: &mut Sink<'_>| {
        let n = out.fill(16 * 1024, |room| {
            let n = room.len().min(input.len());
            room[..n].copy_from_slice(&input.data()[..n]);
            n
        });
        input.consume(n);
        Ok(progress(input))
    };
    Stub::new(RSV1, transform)
}

// R6455-10.4-a
#[test]
fn decoded_message_does_not_keep_room_that_its_extension_did_not_fill() {
    for side in SIDES {
        for len in [33, 100, 5000, 50_000] {
            let mut ws =
                side.connection_with(Config::default(), only("roomy", Scope::Message, roomy()));
            let frame = side.incoming(BINARY | 0x40, &pattern(len));
            let (heap, events) = measured(|| feed_alone(&mut ws, &frame));
            assert!(heap.live < 4 * len as isize + 256, "{len} bytes: {heap:?}");
            assert_eq!(message(events.into_iter().next()).as_bytes(), pattern(len));
        }
    }
}

#[test]
fn connection_that_ended_keeps_nothing_of_an_unfinished_message() {
    for side in SIDES {
        for end in [side.incoming(CLOSE, b"\x03\xe8"), side.incoming(BINARY, b"not a continuation")]
        {
            let mut ws = side.connection(Config::default());
            let (heap, ()) = measured(|| {
                feed_alone(&mut ws, &side.incoming(FIRST, &pattern(500_000)));
                drop(feed_alone(&mut ws, &end));
                assert!(ws.memory_usage() < 10_000, "{} bytes held", ws.memory_usage());
                written(&mut ws);
            });
            assert_eq!(heap.live, 0);
            assert_eq!(ws.unfinished(), None, "nothing is awaited any more");
        }
        // Nor where the caller gives up, or the transport.
        let mut ws = side.connection(Config::default());
        feed_alone(&mut ws, &side.incoming(FIRST, &pattern(500_000)));
        ws.fail(CloseCode::POLICY_VIOLATION, "too slow").unwrap();
        feed_alone(&mut ws, b"");
        written(&mut ws);
        assert_eq!((ws.memory_usage(), ws.unfinished()), (0, None));
        let mut ws = side.connection(Config::default());
        feed_alone(&mut ws, &side.incoming(FIRST, &pattern(500_000)));
        ws.input_ended();
        feed_alone(&mut ws, b"");
        assert_eq!((ws.memory_usage(), ws.unfinished()), (0, None));
    }
}

#[test]
fn connection_that_failed_keeps_nothing_of_what_extensions_gathered() {
    for side in SIDES {
        let stack = only("reverse", Scope::WholeMessage, Reverse::messages());
        let mut ws = side.connection_with(Config::default(), stack);
        ws.start_message(MessageKind::Binary).unwrap();
        for _ in 0..10 {
            ws.send_chunk(pattern(50_000)).unwrap();
            written(&mut ws);
        }
        feed_alone(&mut ws, &side.incoming(FIRST, &pattern(500_000)));
        assert!(ws.memory_usage() >= 1_000_000, "both are gathered");
        ws.fail(CloseCode::GOING_AWAY, "").unwrap();
        feed_alone(&mut ws, b"");
        let frames = frames(&written(&mut ws));
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].first, CLOSE);
        assert_eq!(ws.memory_usage(), 0);
    }
}
