//! The ways to the server.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream},
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

use crate::{Outcome, http2::Http2};

/// A way to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Plain,
    Tls,
    Axum,
    Http2,
}

impl Transport {
    pub(crate) const ALL: [Self; 4] = [Self::Plain, Self::Tls, Self::Axum, Self::Http2];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain TCP",
            Self::Tls => "TLS",
            Self::Axum => "axum",
            Self::Http2 => "HTTP/2",
        }
    }
}

/// A stream of octets.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// Knows where the server is.
pub(crate) struct Server {
    plain: SocketAddr,
    tls: SocketAddr,
    axum: SocketAddr,
    pub(crate) http2: SocketAddr,
    wss: TlsConnector,
    h2: TlsConnector,
    /// Good clients share connections of HTTP/2 with good ones alone.
    pub(crate) good: Http2,
    pub(crate) others: Http2,
}

impl Server {
    /// From the first line that it prints.
    pub(crate) fn from_line(line: &Value) -> Outcome<Self> {
        let text = |name: &str| line[name].as_str().ok_or_else(|| format!("no {name}"));
        let connector = |protocol: &[u8]| -> Outcome<TlsConnector> {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(text("certificate")?.as_bytes())?)?;
            let mut config = ClientConfig::builder_with_provider(ring::default_provider().into())
                .with_safe_default_protocol_versions()?
                .with_root_certificates(roots)
                .with_no_client_auth();
            config.alpn_protocols = vec![protocol.to_vec()];
            Ok(TlsConnector::from(Arc::new(config)))
        };
        Ok(Self {
            plain: text("plain")?.parse()?,
            tls: text("tls")?.parse()?,
            axum: text("axum")?.parse()?,
            http2: text("http2")?.parse()?,
            wss: connector(b"http/1.1")?,
            h2: connector(b"h2")?,
            good: Http2::default(),
            others: Http2::default(),
        })
    }

    /// A stream on which HTTP/1.1 is spoken, from this address of the loopback network. `receive`
    /// bounds the octets that this system takes before anybody reads them.
    pub(crate) async fn dial(
        &self,
        over: Transport,
        from: Ipv4Addr,
        receive: Option<u32>,
        good: bool,
    ) -> io::Result<Box<dyn Io>> {
        match over {
            Transport::Plain => Ok(Box::new(tcp(self.plain, from, receive).await?)),
            Transport::Axum => Ok(Box::new(tcp(self.axum, from, receive).await?)),
            Transport::Tls => {
                let io = tcp(self.tls, from, receive).await?;
                Ok(Box::new(secure(&self.wss, io).await?))
            }
            Transport::Http2 => {
                let shared = if good { &self.good } else { &self.others };
                Ok(Box::new(shared.open(self, from).await?))
            }
        }
    }

    /// A connection of HTTP/2, not yet spoken on.
    pub(crate) async fn dial_http2(&self, from: Ipv4Addr) -> io::Result<TlsStream<TcpStream>> {
        secure(&self.h2, tcp(self.http2, from, None).await?).await
    }
}

async fn tcp(to: SocketAddr, from: Ipv4Addr, receive: Option<u32>) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if let Some(octets) = receive {
        socket.set_recv_buffer_size(octets)?;
    }
    socket.bind(SocketAddrV4::new(from, 0).into())?;
    let io = socket.connect(to).await?;
    io.set_nodelay(true)?;
    Ok(io)
}

async fn secure(by: &TlsConnector, io: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").expect("a name");
    by.connect(name, io).await
}
