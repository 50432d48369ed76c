//! Where connections come from.
#![allow(clippy::unwrap_used)]

mod gate;

use std::{io, time::Duration};

use gate::{ask, read_all, read_head, status, upgrade, with_echo};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
    sync::{mpsc, oneshot},
    time::{Instant, sleep},
};
use ws_server::{Listener, Peer, Pending, Server, ServerLimits, Tcp, Transport};

async fn assert_open(io: &mut (impl AsyncRead + Unpin)) {
    let head = read_head(io).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

#[tokio::test]
async fn server_listens_at_several_places_and_closes_them_together() {
    let first = with_echo(Server::new()).bind("127.0.0.1:0").await.unwrap();
    let server = first.and(Tcp::bind("127.0.0.1:0").await.unwrap());
    let [one, other] = *server.local_addrs() else { panic!("{server:?}") };
    assert_eq!(server.local_addr(), Some(one));
    assert_ne!(one, other);
    let clients = server.clients();
    let (shutdown, until) = oneshot::channel::<()>();
    let serving = tokio::spawn(server.serve_until(async { until.await.unwrap_or_default() }));
    let mut open = Vec::new();
    for address in [one, other, one] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
        assert_open(&mut client).await;
        open.push(client);
    }
    assert_eq!(clients.count(), 3);
    shutdown.send(()).unwrap();
    for client in &mut open {
        // Our Close with 1001, then the end of the stream.
        client.write_all(&gate::masked(0x88, &[3, 233])).await.unwrap();
        assert!(!read_all(client).await.is_empty());
    }
    let report = serving.await.unwrap();
    assert_eq!((report.closed, report.aborted), (3, 0));
    for address in [one, other] {
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn unix_socket_has_its_mode_and_a_taken_path_is_told() {
    use std::os::unix::fs::PermissionsExt;

    use ws_server::Unix;

    let path = std::env::temp_dir().join(format!("ws-mode-{}", std::process::id()));
    for mode in [0o600, 0o660, 0o777] {
        let unix = Unix::bind_with_mode(&path, mode).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        let taken = Unix::bind_with_mode(&path, mode).unwrap_err().to_string();
        assert!(taken.contains("remove the file"), "{taken}");
        let serving = tokio::spawn(with_echo(Server::new()).listener(unix).unwrap().serve());
        let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
        client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
        assert_open(&mut client).await;
        serving.abort();
        std::fs::remove_file(&path).unwrap();
    }
    let nowhere = Unix::bind_with_mode(path.join("there"), 0o600).unwrap_err().to_string();
    assert!(nowhere.contains("unix:"), "{nowhere}");
}

/// Gives streams in memory.
struct Channel(mpsc::Receiver<Slow>);

/// Is a stream after a while.
struct Slow {
    io: DuplexStream,
    delay: Duration,
    outcome: io::Result<()>,
}

impl Listener for Channel {
    type Pending = Slow;

    async fn accept(&mut self) -> io::Result<(Slow, Peer)> {
        match self.0.recv().await {
            Some(slow) => Ok((slow, Peer::Other)),
            None => std::future::pending().await,
        }
    }
}

impl Pending for Slow {
    type Io = DuplexStream;

    async fn finish(self) -> io::Result<Transport<DuplexStream>> {
        sleep(self.delay).await;
        self.outcome?;
        Ok(Transport::new(self.io).peer(Peer::Tcp("192.0.2.7:7".parse().unwrap())))
    }
}

fn slow(delay: u64, outcome: io::Result<()>) -> (DuplexStream, Slow) {
    let (client, io) = duplex(4096);
    (client, Slow { io, delay: Duration::from_secs(delay), outcome })
}

#[tokio::test(start_paused = true)]
async fn second_stage_of_a_connection_holds_up_nobody_and_has_the_deadline_of_the_head() {
    let (send, receive) = mpsc::channel(8);
    let limits = ServerLimits::default().head_timeout(Duration::from_secs(5));
    let server = with_echo(Server::new().server_limits(limits));
    let server = server.listener(Channel(receive)).unwrap();
    assert_eq!(server.local_addr(), None);
    let clients = server.clients();
    tokio::spawn(server.serve());

    let (mut late, pending) = slow(60, Ok(()));
    send.send(pending).await.unwrap();
    let (mut failing, pending) = slow(1, Err(io::ErrorKind::InvalidData.into()));
    send.send(pending).await.unwrap();
    let (mut client, pending) = slow(2, Ok(()));
    send.send(pending).await.unwrap();
    client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    let begun = Instant::now();
    assert_open(&mut client).await;
    assert_eq!(begun.elapsed().as_secs(), 2);
    let [known] = &clients.list()[..] else { panic!("{clients:?}") };
    assert_eq!(known.request().peer().to_string(), "192.0.2.7:7");

    assert_eq!(read_all(&mut failing).await, "");
    assert_eq!(read_all(&mut late).await, "");
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(clients.metrics().failed_transports, 2);

    // What the second stage took is gone for the head.
    let (mut idle, pending) = slow(4, Ok(()));
    send.send(pending).await.unwrap();
    let begun = Instant::now();
    assert!(read_head(&mut idle).await.starts_with("HTTP/1.1 408 "));
    assert_eq!(begun.elapsed().as_secs(), 5);
}

// T-B1
#[tokio::test(start_paused = true)]
async fn second_stage_counts_as_pending() {
    let (send, receive) = mpsc::channel(8);
    let limits = ServerLimits::default().max_pending(2);
    let server = with_echo(Server::new().server_limits(limits));
    tokio::spawn(server.listener(Channel(receive)).unwrap().serve());
    let mut clients = Vec::new();
    for _ in 0..3 {
        let (client, pending) = slow(8, Ok(()));
        send.send(pending).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        clients.push(client);
    }
    let begun = Instant::now();
    assert_eq!(read_all(&mut clients[2]).await, "");
    assert_eq!(begun.elapsed().as_secs(), 0, "there is no room for a third");
    clients[1].write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    assert_open(&mut clients[1]).await;
}

#[tokio::test]
async fn listener_of_the_standard_kind_is_taken_as_it_is() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = with_echo(Server::new()).listener(Tcp::from(listener)).unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.serve());
    assert_eq!(status(&ask(address, &upgrade("/nothing", "")).await), 404);
}

#[tokio::test]
async fn shutdown_says_1001_to_all_however_much_its_task_had_done_before() {
    let server = with_echo(Server::new()).bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let (send, mut receive) = mpsc::unbounded_channel();
    // The last one comes with the last unit of the task's budget.
    let shutdown = async move {
        let mut count = 0;
        while count < 128 && receive.recv().await.is_some() {
            count += 1;
        }
    };
    let serving = tokio::spawn(server.serve_until(shutdown));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    assert_open(&mut client).await;
    for _ in 0..128 {
        send.send(()).unwrap();
    }
    assert_eq!(gate::read_exactly(&mut client, 4).await[2..], [3, 233]);
    client.write_all(&gate::masked(0x88, &[3, 233])).await.unwrap();
    assert_eq!(serving.await.unwrap().closed, 1);
}
