//! WebSockets over TLS, by both versions of HTTP.
#![cfg(all(feature = "axum", feature = "tls"))]
#![allow(clippy::unwrap_used)]

mod support;

use std::{sync::Arc, time::Duration};

use axum::{Extension, Router, routing::any};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use support::{Http2, Running, TEXT, echo, run_on};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::Instant,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use ws_server::{Pem, Server, Service, Tls, TlsInfo, WebSocket};
use ws_tests_support::{
    frame::{masked, unmasked},
    handshake,
};
use ws_tower::WebSocketUpgrade;

struct Secured {
    running: Running,
    service: Service,
    certificate: String,
}

fn start() -> Secured {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let key = Pem::text(signing_key.serialize_pem());
    let tls = Tls::new(Pem::text(cert.pem()), key).unwrap().http2().unwrap();
    let service = Server::new().service().unwrap();
    let handler = async |Extension(tls): Extension<Arc<TlsInfo>>, upgrade: WebSocketUpgrade| {
        assert_eq!(tls.server_name(), Some("a.example"));
        upgrade.on_upgrade(async |ws: WebSocket| {
            assert!(ws.request().is_secure());
            assert_eq!(ws.request().tls().unwrap().server_name(), Some("a.example"));
            echo(ws).await
        })
    };
    let app = Router::new().route("/", any(handler)).with_state(service.clone());
    let running = run_on(|channel| tls.listener(channel), app);
    Secured { running, service, certificate: cert.pem() }
}

impl Secured {
    async fn connect(&self, alpn: &[&str]) -> TlsStream<DuplexStream> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("a.example").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, self.running.dial()).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn alpn_decides_and_both_versions_open_websockets() {
    let secured = start();
    let io = secured.connect(&["h2", "http/1.1"]).await;
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut http = Http2::over(io, 65_535).await;
    let mut streams = vec![http.open("/").await, http.open("/").await];
    for stream in &mut streams {
        stream.send(TEXT, b"hello");
        stream.expect(TEXT, b"hello").await;
    }
    // As browsers do for a WebSocket of their own, and clients without ALPN.
    for alpn in [&["http/1.1"][..], &[]] {
        let mut io = secured.connect(alpn).await;
        io.write_all(handshake::request("/", "").as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(io.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        io.write_all(&masked(TEXT, [1, 2, 3, 4], b"hello")).await.unwrap();
        let mut echo = vec![0; 7];
        io.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo, unmasked(TEXT, b"hello"));
    }
    assert_eq!(secured.service.clients().metrics().opened, 4);
}

// A client that never speaks costs the shutdown no time.
#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_no_tls_handshake() {
    let Secured { running, .. } = start();
    let _silent = running.dial();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let at = Instant::now();
    running.stop.send(()).unwrap();
    running.report.await.unwrap();
    assert!(at.elapsed() < Duration::from_secs(1), "{:?}", at.elapsed());
}
