//! Messages that are received in pieces: as they come, under back-pressure, and whatever ends them.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use support::{BINARY, CLOSE, Handled, PING, PONG, Raw, TEXT, masked, open, open_with, service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    task::yield_now,
    time::{sleep, timeout},
};
use ws_server::{
    CloseCode, Handler, HandlerError, Interrupted, Limits, MessageKind, MessageReader, Server,
    Service, WebSocket,
};

/// Data frames without FIN, and with it.
const TEXT_START: u8 = 0x01;
const BINARY_START: u8 = 0x02;
const MORE: u8 = 0x00;
const LAST: u8 = 0x80;

fn streaming() -> Limits {
    Limits::default().streaming(true)
}

/// What a handler saw.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Start(MessageKind),
    Chunk(Vec<u8>),
    End,
    Interrupted,
    /// No more messages.
    Over,
}

use Seen::{Chunk, End, Over, Start};

/// Where a handler receives.
#[derive(Clone, Copy, Debug)]
enum Place {
    Turn,
    Task,
    /// With a waker of its own, in the handler's turn.
    Unordered,
}

const PLACES: [Place; 3] = [Place::Turn, Place::Task, Place::Unordered];

async fn at<F>(place: Place, work: F) -> Handled
where
    F: Future<Output = Handled> + Send + 'static,
{
    match place {
        Place::Turn => work.await,
        Place::Task => tokio::spawn(work).await?,
        Place::Unordered => {
            let mut set: FuturesUnordered<_> = [Box::pin(work)].into_iter().collect();
            set.next().await.unwrap()
        }
    }
}

/// A service whose handler passes on all pieces.
fn seeing(limits: Limits, place: Place) -> (Service, UnboundedReceiver<Seen>) {
    let (handler, rx) = seer(place);
    (service(limits, handler), rx)
}

fn seer(place: Place) -> (impl Handler, UnboundedReceiver<Seen>) {
    let (tx, rx) = unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let tx = tx.clone();
        at(place, async move {
            while let Some(mut message) = ws.recv_streaming().await {
                tx.send(Start(message.kind()))?;
                loop {
                    match message.chunk().await {
                        Ok(Some(data)) => tx.send(Chunk(data.to_vec()))?,
                        Ok(None) => break tx.send(End)?,
                        Err(Interrupted { .. }) => break tx.send(Seen::Interrupted)?,
                    }
                }
            }
            tx.send(Over)?;
            Ok(())
        })
    };
    (handler, rx)
}

async fn next(seen: &mut UnboundedReceiver<Seen>) -> Seen {
    timeout(Duration::from_secs(3600), seen.recv()).await.expect("something").unwrap()
}

async fn expect(seen: &mut UnboundedReceiver<Seen>, expected: &[Seen]) {
    for expected in expected {
        assert_eq!(next(seen).await, *expected);
    }
}

fn chunk(data: &[u8]) -> Seen {
    Chunk(data.to_vec())
}

// R6455-5.4-j
#[tokio::test(start_paused = true)]
async fn pieces_come_as_they_arrive() {
    for place in PLACES {
        let (service, mut seen) = seeing(streaming(), place);
        let (mut raw, task) = open(&service).await;
        raw.send(TEXT_START, "gr\u{fc}n".as_bytes()).await;
        expect(&mut seen, &[Start(MessageKind::Text), chunk("gr\u{fc}n".as_bytes())]).await;
        // Control frames in the middle are none of the handler's business.
        raw.send(PING, b"there?").await;
        assert_eq!(raw.frame().await, Some((PONG, b"there?".to_vec())));
        // A code point that is cut.
        raw.send(MORE, b"\xe2\x82").await;
        expect(&mut seen, &[chunk(b"\xe2\x82")]).await;
        raw.send(LAST, b"\xac").await;
        expect(&mut seen, &[chunk(b"\xac"), End]).await;
        // Empty messages have a beginning and an end, too.
        raw.send(BINARY, b"").await;
        raw.send(TEXT, b"").await;
        expect(&mut seen, &[Start(MessageKind::Binary), End, Start(MessageKind::Text), End]).await;
        // A frame that comes in parts.
        let frame = masked(BINARY, &[7; 1000]);
        raw.io.write_all(&frame[..500]).await.unwrap();
        assert_eq!(next(&mut seen).await, Start(MessageKind::Binary));
        let Chunk(first) = next(&mut seen).await else { panic!("{place:?}") };
        assert_eq!(first, [7; 500 - 8]);
        raw.io.write_all(&frame[500..]).await.unwrap();
        expect(&mut seen, &[chunk(&[7; 508]), End]).await;
        raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
        assert_eq!(next(&mut seen).await, Over);
        raw.expect_close(1000).await;
        assert!(task.await.unwrap().unwrap().clean);
    }
}

#[tokio::test(start_paused = true)]
async fn message_larger_than_all_limits_passes() {
    for place in PLACES {
        let limits = streaming().max_message(1000).max_frame(1000).max_fragments(2);
        let (service, mut seen) = seeing(limits, place);
        let (mut raw, _task) = open(&service).await;
        let send = async {
            raw.send(BINARY_START, &[7; 100_000]).await;
            for _ in 0..9 {
                raw.send(MORE, &[7; 100_000]).await;
            }
            raw.send(LAST, b"").await;
        };
        let receive = async {
            assert_eq!(next(&mut seen).await, Start(MessageKind::Binary));
            let mut octets = 0;
            loop {
                match next(&mut seen).await {
                    Chunk(data) => {
                        assert!(data.len() <= 64 * 1024 && data.iter().all(|octet| *octet == 7));
                        octets += data.len();
                    }
                    End => break octets,
                    other => panic!("{other:?}"),
                }
            }
        };
        assert_eq!(tokio::join!(send, receive).1, 1_000_000);
    }
}

#[tokio::test(start_paused = true)]
async fn recv_gathers_up_to_max_message() {
    for place in PLACES {
        let handler = move |ws| at(place, support::echo(ws));
        let (mut raw, task) = open(&service(streaming().max_message(1000), handler)).await;
        raw.send(TEXT_START, b"one ").await;
        raw.send(MORE, b"and ").await;
        raw.send(LAST, b"two").await;
        assert_eq!(raw.text().await, "one and two");
        raw.send(BINARY, &[7; 1000]).await;
        assert_eq!(raw.frame().await.unwrap(), (BINARY, vec![7; 1000]));
        raw.send(BINARY, b"").await;
        assert_eq!(raw.frame().await.unwrap(), (BINARY, vec![]));
        raw.send(BINARY_START, &[7; 1000]).await;
        raw.send(MORE, b"7").await;
        raw.expect_close(1009).await;
        let closed = task.await.unwrap().unwrap();
        assert_eq!(
            (closed.code.get(), closed.reason.as_str()),
            (1009, "a message of more than 1000 bytes")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn whole_messages_are_one_piece() {
    for place in PLACES {
        let (service, mut seen) = seeing(Limits::default(), place);
        let (mut raw, _task) = open(&service).await;
        raw.send(TEXT_START, b"one ").await;
        raw.send(LAST, b"two").await;
        raw.send(BINARY, &vec![7; 300_000]).await;
        raw.send(BINARY, b"").await;
        expect(&mut seen, &[Start(MessageKind::Text), chunk(b"one two"), End]).await;
        expect(&mut seen, &[Start(MessageKind::Binary), chunk(&[7; 300_000]), End]).await;
        expect(&mut seen, &[Start(MessageKind::Binary), End]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_reader_leaves_is_skipped() {
    for place in PLACES {
        let handler = move |mut ws: WebSocket| {
            at(place, async move {
                let mut reader = ws.recv_streaming().await.unwrap();
                assert_eq!(&*reader.chunk().await?.unwrap(), b"first");
                drop(reader);
                ws.send("dropped").await?;
                assert_eq!(ws.recv().await, Some("third".into()));
                // One of which nothing was read.
                drop(ws.recv_streaming().await.unwrap());
                let mut reader = ws.recv_streaming().await.unwrap();
                assert_eq!(&*reader.chunk().await?.unwrap(), b"fifth");
                assert_eq!(reader.chunk().await?, None);
                assert_eq!(reader.chunk().await?, None);
                ws.send("done").await?;
                Ok(())
            })
        };
        let (mut raw, _task) = open(&service(streaming(), handler)).await;
        raw.send(BINARY_START, b"first").await;
        assert_eq!(raw.text().await, "dropped");
        raw.send(MORE, &[7; 200_000]).await;
        raw.send(LAST, b"second").await;
        raw.send(TEXT, b"third").await;
        raw.send(BINARY, b"fourth").await;
        raw.send(BINARY, b"fifth").await;
        assert_eq!(raw.text().await, "done");
    }
}

/// How a message ends before its end.
#[derive(Clone, Copy, Debug)]
enum Fate {
    InvalidText,
    Close,
    Eof,
    BadFrame,
}

#[tokio::test(start_paused = true)]
async fn message_that_does_not_end_is_interrupted() {
    for place in PLACES {
        for fate in [Fate::InvalidText, Fate::Close, Fate::Eof, Fate::BadFrame] {
            let (service, mut seen) = seeing(streaming(), place);
            let (mut raw, task) = open(&service).await;
            raw.send(TEXT_START, b"begun").await;
            expect(&mut seen, &[Start(MessageKind::Text), chunk(b"begun")]).await;
            let code = match fate {
                // R6455-8.1-b
                Fate::InvalidText => {
                    raw.send(MORE, b"\xff").await;
                    1007
                }
                Fate::Close => {
                    raw.send(CLOSE, &3000_u16.to_be_bytes()).await;
                    3000
                }
                Fate::Eof => 1006,
                Fate::BadFrame => {
                    raw.send(TEXT, b"another").await;
                    1002
                }
            };
            if let Fate::Eof = fate {
                raw.io.shutdown().await.unwrap();
            }
            expect(&mut seen, &[Seen::Interrupted, Over]).await;
            if code != 1006 {
                raw.expect_close(code).await;
            }
            drop(raw);
            assert_eq!(task.await.unwrap().unwrap().code.get(), code, "{fate:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn reader_stays_interrupted_and_recv_finds_the_end() {
    for place in PLACES {
        let handler = move |mut ws: WebSocket| {
            at(place, async move {
                let mut reader = ws.recv_streaming().await.unwrap();
                reader.chunk().await?;
                assert!(reader.chunk().await.is_err() && reader.chunk().await.is_err());
                assert!(reader.read_u8().await.is_err());
                assert_eq!(ws.recv().await, None);
                assert!(ws.recv_streaming().await.is_none());
                Ok(())
            })
        };
        let (mut raw, task) = open(&service(streaming(), handler)).await;
        raw.send(BINARY_START, b"begun").await;
        drop(raw);
        assert_eq!(task.await.unwrap().unwrap().code.get(), 1006);
    }
}

#[tokio::test(start_paused = true)]
async fn unread_message_pauses_its_sender() {
    for place in PLACES {
        let (go, gone) = tokio::sync::watch::channel(false);
        let handler = move |mut ws: WebSocket| {
            let mut gone = gone.clone();
            at(place, async move {
                let mut reader = ws.recv_streaming().await.unwrap();
                gone.wait_for(|gone| *gone).await?;
                let mut octets = 0;
                while let Some(data) = reader.chunk().await? {
                    octets += data.len();
                }
                ws.send(octets.to_string()).await?;
                Ok(())
            })
        };
        let (raw, _task) = open_with(&service(streaming(), handler), "/", "", 4096).await;
        let (mut reading, mut writing) = tokio::io::split(raw.io);
        let mut raw = Raw::new(tokio::io::join(&mut reading, tokio::io::sink()));
        let sent = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&sent);
        let flood = tokio::spawn(async move {
            writing.write_all(&masked(BINARY_START, b"")).await.unwrap();
            for _ in 0..1000 {
                writing.write_all(&masked(MORE, &[7; 1000])).await.unwrap();
                *counted.lock().unwrap() += 1000;
            }
            writing.write_all(&masked(LAST, b"")).await.unwrap();
            writing
        });
        // Longer than the time without progress: a slow handler is not the peer's fault.
        sleep(Duration::from_secs(35)).await;
        let ahead = *sent.lock().unwrap();
        assert!((64 * 1024..160 * 1024).contains(&ahead), "{place:?}: {ahead} octets ahead");
        go.send(true).unwrap();
        let _writing = flood.await.unwrap();
        loop {
            match raw.frame().await.unwrap() {
                (PING, _) => {}
                (TEXT, text) => break assert_eq!(text, b"1000000"),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn only_progress_has_a_deadline() {
    for place in PLACES {
        let (service, mut seen) = seeing(streaming(), place);
        let (mut raw, task) = open(&service).await;
        raw.send(BINARY_START, b"7").await;
        expect(&mut seen, &[Start(MessageKind::Binary), chunk(b"7")]).await;
        // Ten minutes at far less than `min_rate`.
        for _ in 0..30 {
            sleep(Duration::from_secs(19)).await;
            raw.send(MORE, b"7").await;
            assert_eq!(next(&mut seen).await, chunk(b"7"));
        }
        // Pings are answered, but nothing comes of the message.
        let mut pongs = 0;
        loop {
            match raw.frame().await.unwrap() {
                (PING, payload) => {
                    pongs += 1;
                    raw.send(PONG, &payload).await;
                }
                (CLOSE, body) => break assert_eq!(body[..2], 1008_u16.to_be_bytes()),
                other => panic!("{other:?}"),
            }
            assert!(pongs < 10, "no deadline");
        }
        expect(&mut seen, &[Seen::Interrupted, Over]).await;
        drop(raw);
        assert_eq!(task.await.unwrap().unwrap().code.get(), 1008);
    }
}

/// Polls once, and drops.
async fn once<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test(start_paused = true)]
async fn dropped_calls_lose_nothing() {
    for place in PLACES {
        let handler = move |mut ws: WebSocket| {
            at(place, async move {
                for round in 0.. {
                    // A `recv` that is dropped in the middle leaves the message to what is next.
                    for _ in 0..round % 7 {
                        match once(ws.recv()).await {
                            Poll::Ready(None) => return Ok(()),
                            Poll::Ready(Some(message)) => {
                                ws.send(format!("whole {}", message.len())).await?;
                            }
                            Poll::Pending => yield_now().await,
                        }
                    }
                    let octets = loop {
                        match once(ws.recv_streaming()).await {
                            Poll::Pending => yield_now().await,
                            Poll::Ready(None) => return Ok(()),
                            Poll::Ready(Some(mut reader)) => break read(&mut reader).await?,
                        }
                    };
                    ws.send(format!("pieces {octets}")).await?;
                }
                Ok(())
            })
        };
        let (mut raw, task) = open(&service(streaming(), handler)).await;
        let data: Vec<u8> = (0..20_000_usize).map(|i| (i % 251) as u8).collect();
        let mut frames = Vec::new();
        for round in 0..12 {
            let len = 1000 * (round + 1);
            frames.extend(masked(BINARY_START, &data[..len / 2]));
            frames.extend(masked(PING, b""));
            frames.extend(masked(MORE, &data[len / 2..len / 2 + 17]));
            frames.extend(masked(LAST, &data[len / 2 + 17..len]));
        }
        frames.extend(masked(CLOSE, &1000_u16.to_be_bytes()));
        for piece in frames.chunks(97) {
            raw.io.write_all(piece).await.unwrap();
            yield_now().await;
        }
        // Every message comes whole, and once.
        let mut told = 0;
        loop {
            match raw.frame().await.unwrap() {
                (PONG, _) => {}
                (TEXT, text) => {
                    let text = String::from_utf8(text).unwrap();
                    let octets: usize = text.split_once(' ').unwrap().1.parse().unwrap();
                    told += 1;
                    assert_eq!(octets, 1000 * told, "{text}");
                }
                (CLOSE, _) => break,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(told, 12);
        assert!(task.await.unwrap().unwrap().clean);
    }
}

/// Reads to the end by calls that are dropped while they wait.
async fn read(reader: &mut MessageReader<'_>) -> Result<usize, Interrupted> {
    let mut octets = 0;
    loop {
        match once(reader.chunk()).await {
            Poll::Pending => yield_now().await,
            Poll::Ready(data) => {
                let Some(data) = data? else { return Ok(octets) };
                for octet in &*data {
                    assert_eq!(usize::from(*octet), octets % 251);
                    octets += 1;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_recv_goes_on_with_its_message() {
    for place in PLACES {
        let handler = move |mut ws: WebSocket| {
            at(place, async move {
                // Once with `recv` to the end, once with a reader for the rest.
                loop {
                    match once(ws.recv()).await {
                        Poll::Ready(message) => break assert_eq!(message, Some("one two".into())),
                        Poll::Pending => yield_now().await,
                    }
                }
                ws.send("next").await?;
                let begun = timeout(Duration::from_secs(1), ws.recv()).await;
                assert!(begun.is_err());
                let mut reader = ws.recv_streaming().await.unwrap();
                assert_eq!(reader.kind(), MessageKind::Text);
                assert_eq!(&*reader.chunk().await?.unwrap(), b"three ");
                let mut rest = String::new();
                reader.read_to_string(&mut rest).await?;
                assert_eq!(rest, "four");
                ws.send("done").await?;
                Ok(())
            })
        };
        let (mut raw, _task) = open(&service(streaming(), handler)).await;
        raw.send(TEXT_START, b"one ").await;
        yield_now().await;
        raw.send(LAST, b"two").await;
        assert_eq!(raw.text().await, "next");
        raw.send(TEXT_START, b"three ").await;
        sleep(Duration::from_secs(2)).await;
        raw.send(MORE, b"fo").await;
        raw.send(LAST, b"ur").await;
        assert_eq!(raw.text().await, "done");
    }
}

#[tokio::test(start_paused = true)]
async fn reader_is_copied_by_tokio() {
    for place in PLACES {
        let handler = move |mut ws: WebSocket| {
            at(place, async move {
                let mut reader = ws.recv_streaming().await.unwrap();
                let mut octets = Vec::new();
                // A few octets, the rest of that piece, and what follows.
                let mut few = [0; 3];
                reader.read_exact(&mut few).await?;
                octets.extend_from_slice(&few);
                octets.extend_from_slice(&reader.chunk().await?.unwrap());
                tokio::io::copy(&mut reader, &mut octets).await?;
                assert!(octets.iter().all(|octet| *octet == 7));
                ws.send(octets.len().to_string()).await?;
                Ok(())
            })
        };
        let (mut raw, _task) = open(&service(streaming(), handler)).await;
        raw.send(BINARY_START, &[7; 100]).await;
        raw.send(MORE, &[7; 100_000]).await;
        raw.send(LAST, &[7]).await;
        assert_eq!(raw.text().await, "100101");
    }
}

#[tokio::test(start_paused = true)]
async fn many_tiny_pieces_leave_others_their_turns() {
    let (service, mut seen) = seeing(streaming(), Place::Turn);
    let (mut raw, _task) = open_with(&service, "/", "", 1 << 20).await;
    let mut frames = masked(BINARY_START, b"7");
    for _ in 0..20_000 {
        frames.extend(masked(MORE, b"7"));
    }
    frames.extend(masked(LAST, b"7"));
    raw.io.write_all(&frames).await.unwrap();
    // Another task has a turn after each of the connection's.
    let turns = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&turns);
    let other = tokio::spawn(async move {
        loop {
            counted.fetch_add(1, Ordering::Relaxed);
            yield_now().await;
        }
    });
    while next(&mut seen).await != End {}
    other.abort();
    let turns = turns.load(Ordering::Relaxed);
    assert!(turns >= 20, "{turns} turns");
}

#[tokio::test(start_paused = true)]
async fn message_after_one_that_is_too_large_is_received_while_we_close() {
    let (tx, mut rx) = unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let tx = tx.clone();
        async move {
            ws.close(CloseCode::GOING_AWAY, "")?;
            while let Some(message) = ws.recv().await {
                tx.send(message)?;
            }
            Ok(())
        }
    };
    let (mut raw, _task) = open(&service(streaming().max_message(1000), handler)).await;
    raw.expect_close(1001).await;
    raw.send(BINARY, &[7; 2000]).await;
    raw.send(TEXT, b"last words").await;
    raw.send(CLOSE, &1001_u16.to_be_bytes()).await;
    assert_eq!(rx.recv().await, Some("last words".into()));
}

#[tokio::test(start_paused = true)]
async fn metrics_count_messages_and_not_pieces() {
    let handler = |mut ws: WebSocket| async move {
        while let Some(mut reader) = ws.recv_streaming().await {
            while reader.chunk().await?.is_some() {}
        }
        Ok::<_, HandlerError>(())
    };
    let server = Server::new().limits(streaming()).any(handler).service().unwrap();
    let (mut raw, task) = open(&server).await;
    raw.send(BINARY_START, &[7; 1000]).await;
    raw.send(MORE, &[7; 1000]).await;
    raw.send(LAST, &[7; 1000]).await;
    raw.send(TEXT, b"text").await;
    raw.send(CLOSE, &1000_u16.to_be_bytes()).await;
    raw.expect_close(1000).await;
    task.await.unwrap();
    let received = server.clients().metrics().received;
    assert_eq!((received.messages, received.texts, received.payload), (2, 1, 3004));
}

#[cfg(feature = "deflate")]
mod with_deflate {
    use support::engine::open_deflate;
    use ws_core::Event;
    use ws_server::Deflate;

    use super::*;

    fn seeing_deflate(place: Place) -> (Service, UnboundedReceiver<Seen>) {
        let (handler, rx) = seer(place);
        let server = Server::new().limits(streaming().max_message(1000));
        (server.extension(Deflate::default()).any(handler).service().unwrap(), rx)
    }

    async fn whole(seen: &mut UnboundedReceiver<Seen>) -> Vec<u8> {
        assert!(matches!(next(seen).await, Start(_)));
        let mut data = Vec::new();
        loop {
            match next(seen).await {
                Chunk(chunk) => {
                    assert!(chunk.len() <= 64 * 1024);
                    data.extend(chunk);
                }
                End => return data,
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn compressed_messages_are_inflated_in_pieces() {
        for place in PLACES {
            let (service, mut seen) = seeing_deflate(place);
            let (mut client, _task) = open_deflate(&service, 64 * 1024).await;
            // Compresses to a thousandth: many pieces of one read.
            let zeros = vec![0; 3 << 20];
            let mixed: Vec<u8> =
                (0..1_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            for data in [zeros, mixed, b"short".to_vec(), Vec::new()] {
                let (_, received) = tokio::join!(client.send(data.clone()), whole(&mut seen));
                assert!(received == data, "{place:?}, {}", data.len());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn invalid_text_of_compressed_pieces_is_1007() {
        for place in PLACES {
            let (service, mut seen) = seeing_deflate(place);
            let (mut client, task) = open_deflate(&service, 64 * 1024).await;
            client.ws.start_message(MessageKind::Binary).unwrap();
            client.ws.send_chunk(vec![0; 200_000]).unwrap();
            client.ws.send_chunk(vec![0xff; 1000]).unwrap();
            client.ws.finish_message("").unwrap();
            let mut frames = client.encoded();
            // The same as text: the opcode is in the first octet.
            assert_eq!(frames[0] & 0x0f, 2);
            frames[0] ^= 3;
            client.io.write_all(&frames).await.unwrap();
            assert_eq!(next(&mut seen).await, Start(MessageKind::Text));
            let end = loop {
                match next(&mut seen).await {
                    Chunk(data) => assert!(data.iter().all(|octet| *octet == 0)),
                    other => break other,
                }
            };
            assert_eq!(end, Seen::Interrupted);
            loop {
                if let Event::Closed(closed) = client.event().await.expect("an end") {
                    break assert_eq!(closed.code.get(), 1007);
                }
            }
            drop(client);
            assert_eq!(task.await.unwrap().unwrap().code.get(), 1007);
        }
    }
}
