//! The PROXY protocol in front of a listener: a proxy says who its client is before the first octet.

use std::{io, net::SocketAddr};

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{ConfigError, Listener, Networks, Peer, Pending, Transport};

/// The signature of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest header of version 1, with its CRLF.
const MAX_V1: usize = 107;
/// The longest header of version 2 that is read: 216 octets of addresses, and what proxies add to them.
const MAX_V2: usize = 4096;

/// A [`Listener`] whose connections come from a proxy that speaks the
/// [PROXY protocol](https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt), in version 1 or 2:
/// HAProxy with `send-proxy`, nginx with `proxy_protocol on`, and most load balancers.
///
/// [`Request::peer`](crate::Request::peer) and the limit per address see the client that the proxy
/// names. A connection without such a header is closed. A peer that can connect here can name any
/// client: listen where only the proxy can connect, or name the proxy ([`only_from`](Self::only_from)).
/// TLS that the proxy passes on goes around it, `tls.listener(ProxyProtocol::new(..))`: a handshake counts
/// for its client from the header on, and a client beyond its limit is closed before it.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use ws_server::{ProxyProtocol, Server, Tcp, WebSocket};
///
/// let proxied = ProxyProtocol::new(Tcp::bind("10.0.0.5:9001").await?).only_from(["10.0.0.4"])?;
/// let server = Server::new().any(|_: WebSocket| async { Ok(()) }).listener(proxied)?;
/// server.serve().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ProxyProtocol<L> {
    listener: L,
    proxies: Option<Networks>,
}

impl<L: Listener> ProxyProtocol<L> {
    /// Reads a header from each connection that `listener` accepts.
    pub fn new(listener: L) -> Self {
        Self { listener, proxies: None }
    }

    /// Takes connections from these networks alone: `["10.0.0.0/8", "2001:db8::7"]`. Others are closed
    /// unread. Those of a Unix socket have no address and are taken.
    ///
    /// # Errors
    /// [`ConfigError::Network`] names an entry that is none.
    pub fn only_from<S: AsRef<str>>(
        mut self,
        proxies: impl IntoIterator<Item = S>,
    ) -> Result<Self, ConfigError> {
        self.proxies = Some(Networks::new(proxies)?);
        Ok(self)
    }
}

impl<L: Listener> Listener for ProxyProtocol<L> {
    type Pending = ProxyPending<L::Pending>;

    async fn accept(&mut self) -> io::Result<(Self::Pending, Peer)> {
        let (pending, proxy) = self.listener.accept().await?;
        let is_trusted = match (&self.proxies, proxy.address()) {
            (Some(proxies), Some(address)) => proxies.contains(address.ip()),
            _ => true,
        };
        // No client is counted yet: the proxy has many.
        Ok((ProxyPending { pending, proxy, is_trusted }, Peer::Other))
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection before its header of the PROXY protocol.
#[derive(Debug)]
pub struct ProxyPending<P> {
    pending: P,
    proxy: Peer,
    is_trusted: bool,
}

impl<P: Pending> Pending for ProxyPending<P> {
    type Io = P::Io;

    async fn finish(self) -> io::Result<Transport<P::Io>> {
        if !self.is_trusted {
            return Err(refused("its address is not one of ProxyProtocol::only_from"));
        }
        let mut transport = self.pending.finish().await?;
        let client = read_header(&mut transport.io).await?;
        // The proxy's own connection, a health check for example, counts as the proxy's.
        Ok(transport.peer(client.map_or(self.proxy, Peer::Tcp)))
    }
}

fn refused(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no PROXY protocol: {why}"))
}

/// Reads a header and not an octet more. `None`: the proxy says nothing of a client.
async fn read_header<Io: AsyncRead + Unpin>(io: &mut Io) -> io::Result<Option<SocketAddr>> {
    let mut header = vec![0; SIGNATURE.len()];
    io.read_exact(&mut header).await?;
    if header == SIGNATURE {
        read_v2(io, header).await
    } else if header.starts_with(b"PROXY ") {
        read_v1(io, header).await
    } else {
        Err(refused("the connection begins with something else"))
    }
}

async fn read_v1<Io: AsyncRead + Unpin>(
    io: &mut Io,
    mut header: Vec<u8>,
) -> io::Result<Option<SocketAddr>> {
    // The header ends at its first CRLF: the octets after it are the client's.
    while !header.ends_with(b"\r\n") {
        if header.len() >= MAX_V1 {
            return Err(refused("its line has no end within 107 octets"));
        }
        header.push(io.read_u8().await?);
    }
    let header = v1::Header::try_from(&*header)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    Ok(match header.addresses {
        v1::Addresses::Unknown => None,
        v1::Addresses::Tcp4(of) => Some((of.source_address, of.source_port).into()),
        v1::Addresses::Tcp6(of) => Some((of.source_address, of.source_port).into()),
    })
}

async fn read_v2<Io: AsyncRead + Unpin>(
    io: &mut Io,
    mut header: Vec<u8>,
) -> io::Result<Option<SocketAddr>> {
    let mut rest = [0; 4];
    io.read_exact(&mut rest).await?;
    header.extend_from_slice(&rest);
    let [_, _, high, low] = rest;
    let len = usize::from(u16::from_be_bytes([high, low]));
    if header.len() + len > MAX_V2 {
        return Err(refused("its header is longer than 4 KiB"));
    }
    let at = header.len();
    header.resize(at + len, 0);
    io.read_exact(&mut header[at..]).await?;
    let header = v2::Header::try_from(&*header)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
    if header.command == v2::Command::Local {
        return Ok(None);
    }
    Ok(match header.addresses {
        v2::Addresses::IPv4(of) => Some((of.source_address, of.source_port).into()),
        v2::Addresses::IPv6(of) => Some((of.source_address, of.source_port).into()),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    })
}
