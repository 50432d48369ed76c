//! TLS in front of a server.
#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used)]

mod gate;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use gate::{Log, masked, read_exactly, read_head, upgrade, with_echo};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
    sync::mpsc,
    task::{JoinHandle, yield_now},
    time::{Instant, timeout},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        server::ResolvesServerCertUsingSni,
    },
};
use ws_server::{
    AdmissionLimit, BoundServer, Clients, CloseCode, Immediate, Listener, Peer, Pem, ProxyProtocol,
    Server, ServerLimits, Tcp, Tls, TlsError,
};

/// Issues certificates.
struct Issues {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Issues {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// A certificate for a host and its key, in PEM.
    fn issue(&self, host: &str) -> (String, String) {
        self.issue_until(host, 4096)
    }

    /// One that is valid to the end of a year.
    fn issue_until(&self, host: &str, year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 12, 31);
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }

    fn tls(&self, host: &str) -> Tls {
        let (certificate, key) = self.issue(host);
        Tls::new(Pem::text(certificate), Pem::text(key)).unwrap()
    }

    /// A client that trusts what is issued here, and shows a certificate if it has one.
    fn client(&self, own: Option<(String, String)>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(config))
    }
}

/// Gives streams in memory.
struct Channel(mpsc::UnboundedReceiver<DuplexStream>);

impl Listener for Channel {
    type Pending = Immediate<DuplexStream>;

    async fn accept(&mut self) -> io::Result<(Self::Pending, Peer)> {
        match self.0.recv().await {
            Some(io) => Ok((Immediate(io), Peer::Other)),
            None => std::future::pending().await,
        }
    }
}

/// A server behind TLS, over streams in memory.
struct Running {
    dial: mpsc::UnboundedSender<DuplexStream>,
    clients: Clients,
    _serving: JoinHandle<()>,
}

impl Running {
    fn new(tls: &Tls) -> Self {
        Self::with(Server::new(), tls)
    }

    fn with(server: Server, tls: &Tls) -> Self {
        let (dial, receive) = mpsc::unbounded_channel();
        let server: BoundServer =
            with_echo(server).listener(tls.listener(Channel(receive))).unwrap();
        let clients = server.clients();
        let serving = tokio::spawn(async { server.serve().await });
        Self { dial, clients, _serving: serving }
    }

    fn dial(&self) -> DuplexStream {
        let (client, server) = duplex(64 * 1024);
        self.dial.send(server).unwrap();
        client
    }

    async fn connect(&self, tls: &TlsConnector, host: &str) -> io::Result<TlsStream<DuplexStream>> {
        tls.connect(ServerName::try_from(host.to_owned()).unwrap(), self.dial()).await
    }

    async fn open(&self, tls: &TlsConnector, host: &str) -> TlsStream<DuplexStream> {
        let mut io = self.connect(tls, host).await.unwrap();
        io.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
        let head = read_head(&mut io).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        io
    }
}

async fn assert_echoes(io: &mut TlsStream<DuplexStream>) {
    io.write_all(&masked(0x81, b"hello")).await.unwrap();
    assert_eq!(read_exactly(io, 7).await, b"\x81\x05hello");
}

// R6455-10.6-a, R6455-4.2.2-a, R9112-9.8-a
#[tokio::test]
async fn everything_runs_inside_of_tls_and_ends_with_close_notify() {
    let issues = Issues::new();
    let running = Running::new(&issues.tls("chat.example"));
    let mut io = running.open(&issues.client(None), "chat.example").await;
    let (_, connection) = io.get_ref();
    assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_echoes(&mut io).await;
    let [client] = &running.clients.list()[..] else { panic!("{:?}", running.clients) };
    let tls = client.request().tls().unwrap();
    assert_eq!((tls.server_name(), tls.version()), (Some("chat.example"), "TLSv1_3"));
    assert!(tls.cipher().starts_with("TLS13_"), "{tls:?}");
    assert_eq!(tls.certificates().count(), 0);

    // Larger than a record of TLS.
    let large = vec![b'x'; 100_000];
    io.write_all(&masked(0x82, &large)).await.unwrap();
    io.flush().await.unwrap();
    assert_eq!(read_exactly(&mut io, 10 + large.len()).await[10..], large);

    io.write_all(&masked(0x88, &[3, 232])).await.unwrap();
    let mut rest = Vec::new();
    // Without close_notify this would be an error.
    io.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [0x88, 2, 3, 232]);
}

// R6455-4.2.2-a, RT-50
#[tokio::test(start_paused = true)]
async fn rt_50_plain_text_gets_an_alert_and_no_http() {
    let (log, _guard) = Log::capture();
    let issues = Issues::new();
    let running = Running::new(&issues.tls("chat.example"));
    // RFC 8446 §6: an alert is a record of type 21. The last is a record of a handshake, and no client's.
    let cases = [
        (upgrade("/echo", "").into_bytes(), Some(&21)),
        (vec![0; 64], Some(&21)),
        (b"\x16\x03\x01\x00\x05hello".to_vec(), None),
    ];
    for (sent, first) in cases {
        let mut io = running.dial();
        io.write_all(&sent).await.unwrap();
        let mut answer = Vec::new();
        io.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.first(), first, "{answer:?}");
        drop(io);
        settle().await;
    }
    assert_eq!(running.clients.metrics().failed_transports, 3);
    assert_eq!(log.lines("the transport failed").len(), 3, "{}", log.text());
}

// RT-50
#[tokio::test(start_paused = true)]
async fn rt_50_handshake_in_single_octets_succeeds_and_one_that_stops_is_dropped_in_time() {
    let issues = Issues::new();
    let limits = ServerLimits::default().head_timeout(Duration::from_secs(4));
    let running = Running::with(Server::new().server_limits(limits), &issues.tls("chat.example"));
    let (client, mut relayed) = duplex(64 * 1024);
    let mut server = running.dial();
    tokio::spawn(async move {
        let (mut from_client, mut to_client) = tokio::io::split(&mut relayed);
        let (mut from_server, mut to_server) = tokio::io::split(&mut server);
        let up = async {
            while let Ok(octet) = from_client.read_u8().await {
                to_server.write_u8(octet).await.unwrap();
                yield_now().await;
            }
        };
        tokio::join!(up, tokio::io::copy(&mut from_server, &mut to_client))
    });
    let name = ServerName::try_from("chat.example").unwrap();
    let mut io = issues.client(None).connect(name, client).await.unwrap();
    io.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut io).await.starts_with("HTTP/1.1 101 "));

    for sent in [&b""[..], b"\x16\x03\x01\x02\x00\x01"] {
        let begun = Instant::now();
        let mut io = running.dial();
        io.write_all(sent).await.unwrap();
        assert_eq!(io.read(&mut [0]).await.unwrap(), 0);
        assert_eq!(begun.elapsed().as_secs(), 4);
    }
    // Closed in the middle, with close_notify and without.
    for sent in [&b"\x16\x03\x01\x02\x00\x01"[..], b"\x15\x03\x03\x00\x02\x01\x00"] {
        let begun = Instant::now();
        let mut io = running.dial();
        io.write_all(sent).await.unwrap();
        io.shutdown().await.unwrap();
        io.read_to_end(&mut Vec::new()).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), 0);
        settle().await;
    }
    assert_eq!(running.clients.metrics().failed_transports, 4);
}

/// Lets the server's tasks run.
async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}

// RT-50. What the client sends after its mistake must not destroy the alert.
#[tokio::test]
async fn rt_50_alert_arrives_whatever_else_the_client_sends() {
    let issues = Issues::new();
    let listener = issues.tls("chat.example").bind("127.0.0.1:0").await.unwrap();
    let server = with_echo(Server::new()).listener(listener).unwrap();
    let address = server.local_addr().unwrap();
    tokio::spawn(server.serve());
    for _ in 0..20 {
        let mut io = TcpStream::connect(address).await.unwrap();
        let mut request = upgrade("/echo", "").into_bytes();
        request.resize(32 * 1024, b'x');
        io.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        // A reset would be an error.
        io.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer.first(), Some(&21), "{answer:?}");
    }
}

// T-B8. Between the header of the PROXY protocol and the end of the TLS handshake.
#[tokio::test]
async fn unfinished_handshakes_count_for_the_client_that_the_proxy_names() {
    let issues = Issues::new();
    let limits = ServerLimits::default().max_per_ip(2).max_pending(5);
    let proxied = ProxyProtocol::new(Tcp::bind("127.0.0.1:0").await.unwrap());
    let listener = issues.tls("chat.example").listener(proxied);
    let server = with_echo(Server::new()).server_limits(limits).listener(listener).unwrap();
    let (address, clients) = (server.local_addr().unwrap(), server.clients());
    tokio::spawn(server.serve());
    let begin = async |client: &str| {
        let mut io = TcpStream::connect(address).await.unwrap();
        let header = format!("PROXY TCP4 {client} 10.0.0.1 4711 443\r\n");
        io.write_all(header.as_bytes()).await.unwrap();
        io.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
        io
    };
    let limited = |limit| {
        let rejected = clients.metrics().rejected;
        rejected.iter().filter(|it| it.limit == Some(limit)).map(|it| it.count).sum::<u64>()
    };
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(begin("192.0.2.1").await);
    }
    // The third of one client is turned away before its handshake is done.
    let mut third = begin("192.0.2.1").await;
    assert_eq!(timeout(gate::PATIENCE, third.read(&mut [0])).await.unwrap().unwrap_or(0), 0);
    assert_eq!(limited(AdmissionLimit::MaxPerIp), 1);
    // Where too many are pending, those of a client with several give way to others' first.
    for n in 2..=5 {
        held.push(begin(&format!("192.0.2.{n}")).await);
    }
    assert!(gate::eventually(|| limited(AdmissionLimit::MaxPending) == 1).await);
    let [one, two, ..] = &mut held[..] else { panic!("two and more are held") };
    let (mut octet, mut other) = ([0], [0]);
    let stays = timeout(gate::PATIENCE, async {
        tokio::select! {
            _ = one.read(&mut octet) => two,
            _ = two.read(&mut other) => one,
        }
    });
    let stays = stays.await.expect("one of the two of 192.0.2.1 gave way");
    timeout(Duration::from_millis(200), stays.read(&mut [0])).await.expect_err("and one stays");

    // And who finishes is served.
    drop(held);
    let mut io = TcpStream::connect(address).await.unwrap();
    io.write_all(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n").await.unwrap();
    let name = ServerName::try_from("chat.example").unwrap();
    let mut io = issues.client(None).connect(name, io).await.unwrap();
    io.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut io).await.starts_with("HTTP/1.1 101 "));
    let [client] = &clients.list()[..] else { panic!("{clients:?}") };
    assert_eq!(client.request().peer().to_string(), "192.0.2.1:4711");
    assert!(client.request().is_secure());
}

#[tokio::test]
async fn host_that_the_client_names_chooses_the_certificate() {
    let issues = Issues::new();
    let (certificate, key) = issues.issue("b.example");
    let tls = issues.tls("a.example");
    let tls = tls.host("B.example", Pem::text(certificate), Pem::text(key)).unwrap();
    let running = Running::new(&tls);
    let client = issues.client(None);
    for host in ["a.example", "b.example"] {
        assert_echoes(&mut running.open(&client, host).await).await;
    }
    let refused = running.connect(&client, "c.example").await.unwrap_err();
    assert!(refused.to_string().contains("not valid for name"), "{refused}");
    let stranger = Issues::new().client(None);
    let refused = running.connect(&stranger, "a.example").await.unwrap_err();
    assert!(refused.to_string().contains("invalid peer certificate"), "{refused}");
}

#[tokio::test]
async fn clients_are_verified_by_their_certificates() {
    let (issues, others) = (Issues::new(), Issues::new());
    let roots = Pem::text(&others.certificate);
    let tls = issues.tls("chat.example");
    let required = tls.clone().require_client_certificates(roots.clone()).unwrap();
    let own = issues.client(Some(others.issue("ann")));
    let running = Running::new(&required);
    assert_echoes(&mut running.open(&own, "chat.example").await).await;
    let list = running.clients.list();
    assert_eq!(list[0].request().tls().unwrap().certificates().count(), 1);
    // In TLS 1.3 a client learns of it when it reads.
    for client in [issues.client(None), issues.client(Some(issues.issue("eve")))] {
        let mut io = running.connect(&client, "chat.example").await.unwrap();
        io.write_all(upgrade("/echo", "").as_bytes()).await.ok();
        assert!(io.read_u8().await.is_err());
    }
    let running = Running::new(&tls.ask_for_client_certificates(roots).unwrap());
    assert_echoes(&mut running.open(&own, "chat.example").await).await;
    assert_echoes(&mut running.open(&issues.client(None), "chat.example").await).await;
}

/// A directory of its own, removed when it is dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("ws-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[tokio::test]
async fn reload_changes_what_new_connections_see_and_keeps_the_old_ones() {
    let (issues, renewed) = (Issues::new(), Issues::new());
    let directory = Directory::new("reload");
    let (certificate, key) = issues.issue("chat.example");
    let paths = (directory.write("cert.pem", &certificate), directory.write("key.pem", &key));
    let tls = Tls::new(&paths.0, &paths.1).unwrap();
    let running = Running::new(&tls);
    let mut open = running.open(&issues.client(None), "chat.example").await;

    // What cannot work leaves everything as it was.
    let (new_certificate, new_key) = renewed.issue("chat.example");
    directory.write("cert.pem", &new_certificate);
    let error = tls.reload().unwrap_err();
    assert!(matches!(error, TlsError::Key { .. }), "{error}");
    assert!(error.to_string().contains("cert.pem"), "{error}");
    assert_echoes(&mut running.open(&issues.client(None), "chat.example").await).await;

    directory.write("key.pem", &new_key);
    tls.reload().unwrap();
    assert_echoes(&mut running.open(&renewed.client(None), "chat.example").await).await;
    assert!(running.connect(&issues.client(None), "chat.example").await.is_err());
    assert_echoes(&mut open).await;
}

#[tokio::test]
async fn end_without_close_notify_is_1006() {
    let issues = Issues::new();
    let tls = issues.tls("chat.example");
    let (ended, mut ends) = mpsc::unbounded_channel();
    let handler = move |mut ws: ws_server::WebSocket| {
        let ended = ended.clone();
        async move {
            while ws.recv().await.is_some() {}
            ended.send(ws.closed().await).ok();
            Ok(())
        }
    };
    let running = Running::with(Server::new().route("/end", handler), &tls);
    let mut io = running.connect(&issues.client(None), "chat.example").await.unwrap();
    io.write_all(upgrade("/end", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut io).await.starts_with("HTTP/1.1 101 "));
    let (mut io, _) = io.into_inner();
    io.shutdown().await.unwrap();
    let closed = timeout(gate::PATIENCE, ends.recv()).await.unwrap().unwrap();
    assert_eq!((closed.code, closed.clean), (CloseCode::ABNORMAL, false));
}

#[test]
fn wrong_configuration_is_an_error_that_names_what_is_wrong() {
    let (issues, directory) = (Issues::new(), Directory::new("wrong"));
    let (certificate, key) = issues.issue("chat.example");
    let (_, other_key) = issues.issue("chat.example");
    let good = directory.write("good.pem", &certificate);
    let empty = directory.write("empty.pem", "no certificate\n");
    let text = |text: &str| Pem::text(text);
    let missing = directory.0.join("missing.pem");
    let error = |certificate: Pem, key: Pem| Tls::new(certificate, key).unwrap_err();

    let absent = error(Pem::file(&missing), text(&key));
    assert!(matches!(&absent, TlsError::File { path, .. } if *path == missing));
    assert!(absent.to_string().contains("missing.pem"), "{absent}");
    let nothing = error(Pem::file(&empty), text(&key));
    assert!(matches!(nothing, TlsError::Pem { what: "certificate", .. }), "{nothing}");
    let no_key = error(Pem::file(&good), Pem::file(&empty));
    assert!(matches!(no_key, TlsError::Pem { what: "private key", .. }), "{no_key}");
    let unfit = error(Pem::file(&good), text(&other_key));
    assert!(matches!(unfit, TlsError::Key { .. }) && unfit.to_string().contains("good.pem"));
    let tls = issues.tls("chat.example");
    let name = tls.clone().host("chat.example:443", Pem::file(&good), text(&key)).unwrap_err();
    assert!(matches!(name, TlsError::Name { .. }), "{name}");
    let roots = tls.require_client_certificates(Pem::file(&empty)).unwrap_err();
    assert!(matches!(roots, TlsError::Pem { .. }), "{roots}");
    assert!(!format!("{:?}", text(&key)).contains("BEGIN"), "keys stay out of logs");

    // Nobody thinks that clients are verified when they are not.
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
    let own = Tls::from_config(config).require_client_certificates(text(&certificate));
    assert!(matches!(own.unwrap_err(), TlsError::OwnConfig));
}

#[cfg(feature = "client")]
mod client {
    use tokio::net::TcpListener;
    use ws_server::{ClientTls, Connect, ConnectError};

    use super::*;

    async fn serve(tls: &Tls) -> (u16, Clients) {
        let server = with_echo(Server::new()).listener(tls.bind("127.0.0.1:0").await.unwrap());
        let server = server.unwrap();
        let (port, clients) = (server.local_addr().unwrap().port(), server.clients());
        tokio::spawn(server.serve());
        (port, clients)
    }

    // R6455-10.6-a, R6455C-4.1-g, R6455C-4.1-h
    #[tokio::test]
    async fn client_speaks_tls_first_and_names_the_host() {
        let issues = Issues::new();
        let (port, clients) = serve(&issues.tls("localhost")).await;
        let tls = ClientTls::trusting(Pem::text(&issues.certificate)).unwrap();
        let url = format!("wss://localhost:{port}/echo");
        let mut ws = Connect::new(&url).tls(&tls).connect().await.unwrap();
        ws.send("hello").await.unwrap();
        assert_eq!(ws.recv().await.unwrap(), "hello".into());
        let list = clients.list();
        assert_eq!(list[0].request().tls().unwrap().server_name(), Some("localhost"));
        let own = ws.request().tls().unwrap();
        assert_eq!((own.version(), own.certificates().count()), ("TLSv1_3", 1));
        ws.close(CloseCode::NORMAL, "").unwrap();
        assert!(ws.closed().await.clean);
    }

    // R6455C-4.1-g, RT-49
    #[tokio::test]
    async fn rt_49_certificate_that_does_not_verify_fails_the_connection_before_the_request() {
        let issues = Issues::new();
        let (port, clients) = serve(&issues.tls("other.example")).await;
        let other = Issues::new();
        let trusting =
            |issues: &Issues| ClientTls::trusting(Pem::text(&issues.certificate)).unwrap();
        let url = format!("wss://localhost:{port}/echo");
        for (what, connect) in [
            ("wrong host", Connect::new(&url).tls(&trusting(&issues))),
            ("stranger", Connect::new(&url).tls(&trusting(&other))),
            ("unknown to the platform", Connect::new(&url)),
        ] {
            let error = connect.connect().await.unwrap_err();
            assert!(matches!(error, ConnectError::Tls { .. }), "{what}: {error}");
            assert!(error.to_string().contains("localhost"), "{error}");
        }
        let metrics = clients.metrics();
        assert_eq!((metrics.opened, metrics.rejected.len()), (0, 0));

        let (certificate, key) = issues.issue_until("localhost", 2001);
        let expired = Tls::new(Pem::text(certificate), Pem::text(key)).unwrap();
        let (port, _) = serve(&expired).await;
        let url = format!("wss://localhost:{port}/echo");
        let error = Connect::new(&url).tls(&trusting(&issues)).connect().await.unwrap_err();
        assert!(error.to_string().contains("expired"), "{error}");
    }

    #[tokio::test]
    async fn client_shows_its_certificate_to_a_server_that_asks() {
        let issues = Issues::new();
        let roots = Pem::text(&issues.certificate);
        let tls = issues.tls("localhost").require_client_certificates(roots.clone()).unwrap();
        let (port, clients) = serve(&tls).await;
        let (certificate, key) = issues.issue("ann");
        let own =
            ClientTls::with_certificate(roots, Pem::text(certificate), Pem::text(key)).unwrap();
        let url = format!("wss://localhost:{port}/echo");
        let _ws = Connect::new(&url).tls(&own).connect().await.unwrap();
        assert_eq!(clients.list()[0].request().tls().unwrap().certificates().count(), 1);
        let none = ClientTls::trusting(Pem::text(&issues.certificate)).unwrap();
        Connect::new(&url).tls(&none).connect().await.unwrap_err();
    }

    #[tokio::test]
    async fn server_that_speaks_no_tls_is_told_apart() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut io, _) = listener.accept().await.unwrap();
            io.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        });
        let tls = ClientTls::trusting(Pem::text(Issues::new().certificate)).unwrap();
        let connect = Connect::new(&format!("wss://127.0.0.1:{port}/")).tls(&tls);
        let error = connect.connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::Tls { .. }), "{error}");
    }
}
