//! The shutdown of a busy server.
#![cfg(all(feature = "client", feature = "tls"))]
#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, header::SEC_WEBSOCKET_KEY};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    sync::{Barrier, oneshot},
    time::{sleep, timeout},
};
use ws_server::{
    Bytes, ClientLimits, ClientTls, CloseCode, Connect, ConnectQueue, Limits, Peer, Pem, Server,
    ServerLimits, Service, Tls, WebSocket,
};

/// Connections of each kind: TCP, TLS, streams of the application's own, streams of another HTTP
/// implementation.
const EACH: usize = 500;
const ALL: usize = 4 * EACH;
/// This machine may be slow.
const LONG: Duration = Duration::from_secs(120);

/// What became of one connection's messages.
#[derive(Default)]
struct Counts {
    /// Messages that the handler's `send` accepted.
    accepted: AtomicU64,
    echoed: AtomicU64,
    published: AtomicU64,
}

/// Another HTTP implementation, as small as it can be: it reads the request, answers, and gives the
/// stream to the service.
async fn upgrade(service: Service, mut io: DuplexStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(io.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let target = lines.next().unwrap().split(' ').nth(1).unwrap();
    let mut request = Request::get(target);
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        request = request.header(name, value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    assert!(parts.headers.contains_key(SEC_WEBSOCKET_KEY));
    let accepted = service.upgrade(&parts, Peer::Other).await.unwrap();
    let mut answer = String::from("HTTP/1.1 101 Switching Protocols\r\n");
    for (name, value) in accepted.response().headers() {
        answer.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    io.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
    accepted.drive(io, Bytes::new()).await;
}

/// Sends and receives without a pause until the server closes.
async fn keep_busy(mut ws: WebSocket, counts: Arc<Counts>) -> CloseCode {
    let mut sends = true;
    loop {
        sends = sends && ws.send("to be echoed").await.is_ok();
        loop {
            match ws.recv().await {
                Some(message) if message.as_text() == Some("to be echoed") => {
                    counts.echoed.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Some(_) => {
                    counts.published.fetch_add(1, Ordering::Relaxed);
                }
                None => return ws.closed().await.code,
            }
        }
    }
}

fn client(url: &str) -> Connect {
    Connect::new(url).client_limits(ClientLimits::default().connect_timeout(LONG))
}

// RFC 6455 §7.1.1, T-B21: ended before its deadline, and every message that was accepted
// is delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_busy_connections_get_all_that_was_accepted_and_1001() {
    #[cfg(unix)]
    {
        const NEEDED: u64 = 2 * 2 * EACH as u64 + 200;
        let limit = rlimit::increase_nofile_limit(NEEDED).unwrap();
        assert!(limit >= NEEDED, "needs {NEEDED} file descriptors: raise `ulimit -Hn`");
    }
    let counts: Arc<Vec<Arc<Counts>>> = Arc::new((0..ALL).map(|_| Arc::default()).collect());
    let handler = {
        let counts = Arc::clone(&counts);
        move |mut ws: WebSocket| {
            let counts = Arc::clone(&counts);
            async move {
                let own = &counts[ws.request().query().unwrap().parse::<usize>()?];
                ws.subscribe("news")?;
                while let Some(message) = ws.recv().await {
                    ws.send(message).await?;
                    own.accepted.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        }
    };
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = Tls::new(Pem::text(cert.pem()), Pem::text(signing_key.serialize_pem())).unwrap();
    let trust = ClientTls::trusting(Pem::text(cert.pem())).unwrap();
    let limits =
        ServerLimits::default().max_per_ip(2 * ALL).shutdown_timeout(LONG).head_timeout(LONG);
    let server = Server::new()
        .any(handler)
        .limits(Limits::default().close_timeout(LONG).write_timeout(LONG))
        .server_limits(limits)
        .bind("127.0.0.1:0")
        .await
        .unwrap()
        .and(tls.bind("127.0.0.1:0").await.unwrap());
    let (tcp, wss) = (server.local_addrs()[0].port(), server.local_addrs()[1].port());
    let (service, clients) = (server.service(), server.clients());
    let (stop, stopped) = oneshot::channel();
    let serving = tokio::spawn(server.serve_until(async { stopped.await.unwrap() }));

    // One at a time, so that no handshake waits for long; then all are busy together.
    let (queue, begin) = (ConnectQueue::default(), Arc::new(Barrier::new(ALL)));
    let opening = (0..ALL).map(|number| {
        let (queue, trust, service) = (queue.clone(), trust.clone(), service.clone());
        let begin = Arc::clone(&begin);
        let counts = Arc::clone(&counts[number]);
        tokio::spawn(async move {
            let ws = match number % 4 {
                0 => {
                    let url = format!("ws://127.0.0.1:{tcp}/?{number}");
                    client(&url).queue(&queue).connect().await
                }
                1 => {
                    let url = format!("wss://localhost:{wss}/?{number}");
                    client(&url).queue(&queue).tls(&trust).connect().await
                }
                kind => {
                    let (ours, theirs) = duplex(16 * 1024);
                    tokio::spawn(async move {
                        if kind == 2 {
                            service.serve_connection(theirs, Peer::Other).await;
                        } else {
                            upgrade(service, theirs).await;
                        }
                    });
                    client(&format!("ws://brought/?{number}")).over(ours).await
                }
            };
            let ws = ws.unwrap();
            begin.wait().await;
            keep_busy(ws, counts).await
        })
    });
    let busy: Vec<_> = opening.collect();
    timeout(LONG, async {
        while counts.iter().any(|counts| counts.echoed.load(Ordering::Relaxed) < 2) {
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("all are open and busy");
    assert_eq!(clients.count(), ALL);

    let publishing = Arc::new(AtomicBool::new(true));
    let publisher = tokio::spawn({
        let (clients, publishing) = (clients.clone(), Arc::clone(&publishing));
        async move {
            let mut copies = 0;
            while publishing.load(Ordering::Relaxed) {
                copies += clients.publish_wait("news", "news").await.here() as u64;
                sleep(Duration::from_millis(20)).await;
            }
            copies
        }
    });
    sleep(Duration::from_millis(500)).await;
    stop.send(()).unwrap();
    let report = timeout(2 * LONG, serving).await.unwrap().unwrap();
    publishing.store(false, Ordering::Relaxed);
    assert_eq!((report.closed, report.aborted), (ALL, 0));
    for client in busy {
        assert_eq!(client.await.unwrap(), CloseCode::GOING_AWAY);
    }
    let copies = publisher.await.unwrap();
    let mut published = 0;
    for (number, counts) in counts.iter().enumerate() {
        let (accepted, echoed) =
            (counts.accepted.load(Ordering::Relaxed), counts.echoed.load(Ordering::Relaxed));
        assert_eq!(accepted, echoed, "of connection {number}");
        published += counts.published.load(Ordering::Relaxed);
    }
    assert_eq!((published, clients.dropped()), (copies, 0));
    assert!(copies > ALL as u64, "{copies}");
    assert_eq!((clients.count(), clients.topic_count()), (0, 0));
}
