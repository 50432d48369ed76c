//! Connections whose sockets, senders and ends cross on two threads.
#![allow(clippy::unwrap_used)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use support::{BINARY, CLOSE, Raw, masked, open_with, service};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::yield_now,
    time::timeout,
};
use ws_server::{ClientId, CloseCode, HandlerError, Limits, SendError, Sender, WebSocket};

/// Far longer than the whole takes.
const LONG: Duration = Duration::from_secs(120);

const CONNECTIONS: u64 = 60;
const SENDERS: u8 = 3;
/// From each sender to each connection.
const MESSAGES: u32 = 60;
/// From the client.
const FROM_CLIENT: u32 = 300;

/// Who sent a message, which one it is, and as many octets more as it says.
fn message(from: u8, number: u32) -> Vec<u8> {
    let mut message = vec![from; 5 + number as usize % 300];
    message[1..5].copy_from_slice(&number.to_be_bytes());
    message
}

fn parse(message: &[u8]) -> (u8, u32) {
    let number = u32::from_be_bytes(message[1..5].try_into().unwrap());
    assert!(message == self::message(message[0], number), "a message is not whole");
    (message[0], number)
}

/// The server's own messages, the echoes, and what goes to all.
const ECHO: u8 = 100;
const BROADCAST: u8 = 101;

#[derive(Default)]
struct Counts {
    /// What the handlers received.
    received: AtomicU64,
    /// Sends that were taken.
    sent: AtomicU64,
}

/// Echoes a part of what comes and gives the socket on, from the handler's turn to tasks and back.
async fn wander(mut ws: WebSocket, counts: Arc<Counts>) -> Result<(), HandlerError> {
    let mut expected = 0;
    for round in 0_u64.. {
        let part = {
            let counts = Arc::clone(&counts);
            async move {
                for _ in 0..1 + (round * 7 + ws.id_number()) % 13 {
                    if round % 3 == 0 {
                        // Dropped, if it is not there yet.
                        let polled = tokio::select! {
                            biased;
                            message = ws.recv() => message,
                            () = yield_now() => continue,
                        };
                        if !echo(&mut ws, polled, &mut expected, &counts).await? {
                            return Ok((ws, expected, true));
                        }
                    } else {
                        let message = ws.recv().await;
                        if !echo(&mut ws, message, &mut expected, &counts).await? {
                            return Ok((ws, expected, true));
                        }
                    }
                }
                Ok::<_, HandlerError>((ws, expected, false))
            }
        };
        let over;
        (ws, expected, over) = if round % 2 == 0 { tokio::spawn(part).await? } else { part.await }?;
        if over {
            break;
        }
    }
    Ok(())
}

async fn echo(
    ws: &mut WebSocket,
    message: Option<ws_server::Message>,
    expected: &mut u32,
    counts: &Counts,
) -> Result<bool, HandlerError> {
    let Some(message) = message else {
        return Ok(false);
    };
    let (_, number) = parse(message.as_bytes());
    assert_eq!(number, *expected, "received in order and once");
    *expected += 1;
    counts.received.fetch_add(1, Ordering::Relaxed);
    match ws.send(self::message(ECHO, number)).await {
        Ok(()) => {
            counts.sent.fetch_add(1, Ordering::Relaxed);
        }
        // It goes on receiving.
        Err(error) => assert_eq!(error, SendError::Closed),
    }
    Ok(true)
}

trait Number {
    fn id_number(&self) -> u64;
}

impl Number for WebSocket {
    fn id_number(&self) -> u64 {
        self.id().to_string().parse().unwrap()
    }
}

/// Sends until it has sent all or the connection closes; how many were taken.
async fn send_all(sender: Sender, from: u8) -> u32 {
    for number in 0..MESSAGES {
        let sent = match number % 3 {
            0 => sender.send(message(from, number)).await.is_ok(),
            1 => loop {
                if sender.ready().await.is_err() {
                    break false;
                }
                match sender.try_send(message(from, number)) {
                    Ok(()) => break true,
                    Err(_) => yield_now().await,
                }
            },
            _ => {
                let sent = sender.send(message(from, number)).await.is_ok();
                sent && (number % 20 != 2 || sender.flush().await.is_ok())
            }
        };
        if !sent {
            return number;
        }
        if number % 7 == u32::from(from) {
            yield_now().await;
        }
    }
    MESSAGES
}

/// What a client saw of each sender.
struct Seen {
    next: [u32; 256],
    close: Option<u16>,
}

/// Sends everything and reads until the server ends the stream.
async fn client(mut raw: Raw<DuplexStream>, closes_after: u32) -> Seen {
    let mut seen = Seen { next: [0; 256], close: None };
    let (mut reader, mut writer) = tokio::io::split(&mut raw.io);
    let writing = async {
        for number in 0..closes_after.min(FROM_CLIENT) {
            // Fails when the server was first.
            if writer.write_all(&masked(BINARY, &message(0, number))).await.is_err() {
                return;
            }
            if number % 16 == 0 {
                yield_now().await;
            }
        }
        if closes_after < FROM_CLIENT {
            writer.write_all(&masked(CLOSE, &[0x03, 0xe8])).await.ok();
        }
    };
    let reading = async {
        let mut input = Vec::new();
        loop {
            while let Some(((first, payload), len)) = support::parse(&input) {
                input.drain(..len);
                assert!(seen.close.is_none(), "nothing follows a Close");
                if first == CLOSE {
                    seen.close = Some(u16::from_be_bytes([payload[0], payload[1]]));
                    continue;
                }
                assert_eq!(first, BINARY);
                let (from, number) = parse(&payload);
                let next = &mut seen.next[usize::from(from)];
                // Broadcasts come from one task too; a client that joins later misses the first.
                if from == BROADCAST {
                    assert!(number >= *next, "a broadcast out of order");
                } else {
                    assert_eq!(number, *next, "in order and once, of sender {from}");
                }
                *next = number + 1;
            }
            if seen.close.is_some() || reader.read_buf(&mut input).await.unwrap_or(0) == 0 {
                return;
            }
        }
    };
    tokio::join!(writing, reading);
    // The answer to the server's Close.
    raw.io.write_all(&masked(CLOSE, &[0x03, 0xe8])).await.ok();
    let mut rest = Vec::new();
    raw.io.read_to_end(&mut rest).await.ok();
    assert!(rest.is_empty(), "nothing follows a Close");
    seen
}

// RT-34
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rt_34_sockets_senders_and_ends_cross() {
    let counts = Arc::<Counts>::default();
    let mut limits = Limits::default();
    // Small ones, so that they are met; but nobody is evicted.
    limits.receive_ahead = 3000;
    limits.receive_ahead_messages = 16;
    let kept = Arc::clone(&counts);
    let service = service(limits, move |ws| wander(ws, Arc::clone(&kept)));
    let clients = service.clients();

    let mut running = Vec::new();
    for i in 0..CONNECTIONS {
        let wire = if i % 2 == 0 { 512 } else { 64 * 1024 };
        let (raw, serving) = open_with(&service, "/", "", wire).await;
        let id = clients.list().last().unwrap().id();
        let sender = clients.get(id).unwrap().sender();
        let senders: Vec<_> =
            (1..=SENDERS).map(|from| tokio::spawn(send_all(sender.clone(), from))).collect();
        // A third each: the client closes, the server does at some moment, or it does in the end.
        let closes_after = if i % 3 == 0 { (i * 37 % 300) as u32 } else { FROM_CLIENT };
        let client = tokio::spawn(client(raw, closes_after));
        if i % 3 == 1 {
            tokio::spawn(async move {
                for _ in 0..i * 11 {
                    yield_now().await;
                }
                sender.close(CloseCode::new(4000), "enough").ok();
            });
        }
        running.push((i, id, client, serving, senders));
    }
    let broadcasting = {
        let clients = clients.clone();
        tokio::spawn(async move {
            for number in 0..100 {
                clients.send_all(message(BROADCAST, number));
                yield_now().await;
            }
        })
    };
    timeout(LONG, broadcasting).await.expect("broadcasts wait for nobody").unwrap();

    let mut first_to_last: Vec<(u64, ClientId)> = Vec::new();
    for (i, id, client, serving, senders) in running {
        let mut taken = Vec::new();
        let all = async {
            for sender in senders {
                taken.push(sender.await.unwrap());
            }
            if i % 3 == 2 {
                // It may be closing already.
                clients.close(id, CloseCode::new(4001), "the end").ok();
            }
            (client.await.unwrap(), serving.await.unwrap().unwrap())
        };
        let (seen, closed) = timeout(LONG, all).await.expect("it ends");
        for (from, taken) in (1..).zip(&taken) {
            let seen = seen.next[from];
            // What was taken is written before our Close, or lost if the client's came first.
            assert!(seen <= *taken, "connection {i}, sender {from}: {seen} of {taken}");
            if i % 3 == 2 {
                assert_eq!((seen, *taken), (MESSAGES, MESSAGES), "connection {i}, sender {from}");
            }
        }
        match i % 3 {
            1 => assert_eq!(seen.close, Some(4000), "connection {i}: {closed:?}"),
            2 => assert_eq!(seen.close, Some(4001), "connection {i}: {closed:?}"),
            _ => assert_eq!(seen.close, Some(1000), "connection {i}: {closed:?}"),
        }
        assert!(closed.clean, "connection {i}: {closed:?}");
        first_to_last.push((i, id));
    }
    assert!(first_to_last.is_sorted_by_key(|(_, id)| *id));
    assert_eq!(clients.count(), 0);
    assert_eq!(clients.dropped(), 0);
    assert!(counts.received.load(Ordering::Relaxed) >= counts.sent.load(Ordering::Relaxed));
}
