//! A server that speaks TLS, reads its certificate again on SIGHUP, and tells what it knows of a client.
//!
//! ```text
//! $ openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem \
//!     -subj /CN=localhost -addext subjectAltName=DNS:localhost \
//!     -addext basicConstraints=critical,CA:FALSE -days 30
//! $ cargo run --example tls --features tls -- 127.0.0.1:9001 cert.pem key.pem
//! listening on 127.0.0.1:9001
//! $ SSL_CERT_FILE=cert.pem websocat wss://localhost:9001/
//! TLSv1_3, TLS13_AES_256_GCM_SHA384, for localhost, and 0 certificates of yours
//! $ kill -HUP "$(pgrep -x tls)"              # once there is a new certificate
//! ```

use std::{env::args, error::Error};

use ws_server::{HandlerError, Server, Tls, WebSocket};

async fn greet(mut ws: WebSocket) -> Result<(), HandlerError> {
    let tls = ws.request().tls().ok_or("everybody comes by TLS")?;
    let name = tls.server_name().unwrap_or("nobody");
    let (version, cipher, own) = (tls.version(), tls.cipher(), tls.certificates().count());
    let facts = format!("{version}, {cipher}, for {name}, and {own} certificates of yours");
    ws.send(facts).await?;
    while let Some(message) = ws.recv().await {
        ws.send(message).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let [address, certificate, key] = [(1, "127.0.0.1:9001"), (2, "cert.pem"), (3, "key.pem")]
        .map(|(nth, default)| args().nth(nth).unwrap_or_else(|| default.into()));
    let mut tls = Tls::new(certificate, key)?;
    // A fourth argument names the roots that may issue certificates for clients.
    if let Some(roots) = args().nth(4) {
        tls = tls.ask_for_client_certificates(roots)?;
    }
    let server = Server::new().any(greet).listener(tls.bind(&*address).await?)?;
    println!("listening on {}", server.local_addr().ok_or("no address")?);
    #[cfg(unix)]
    tokio::spawn(reload_on_hang_up(tls));
    server.serve().await
}

#[cfg(unix)]
async fn reload_on_hang_up(tls: Tls) {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut hang_up) = signal(SignalKind::hangup()) else { return };
    while hang_up.recv().await.is_some() {
        match tls.reload() {
            Ok(()) => println!("new connections see the new certificate"),
            Err(error) => println!("the old certificate remains: {error}"),
        }
    }
}
