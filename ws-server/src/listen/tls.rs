//! TLS in front of a listener.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::ToSocketAddrs,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        pki_types::DnsName,
        server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
        sign::CertifiedKey,
    },
    server::TlsStream,
};

use crate::{
    Listener, Peer, Pem, Pending, ServeError, Tcp, TlsError, TlsInfo, Transport,
    leaves::{
        linger::discard,
        tls::{ENCRYPTED_AHEAD, provider},
    },
};

/// TLS for the listeners of a server (`wss`): certificates, and whom clients are verified by. A handle:
/// clones share what [`reload`](Self::reload) changes.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use ws_server::{Server, Tls, WebSocket};
///
/// let tls = Tls::new("/etc/chat/fullchain.pem", "/etc/chat/key.pem")?;
/// let server = Server::new()
///     .any(|_: WebSocket| async { Ok(()) })
///     .listener(tls.bind("0.0.0.0:443").await?)?;
/// // When there is a new certificate: connections that are open remain, new ones see it.
/// tls.reload()?;
/// server.serve().await;
/// # Ok(())
/// # }
/// ```
///
/// TLS 1.3 and 1.2 with the safe defaults of rustls; the one protocol offered by ALPN is `http/1.1`.
/// The handshake has the deadline of the head
/// ([`ServerLimits::head_timeout`](crate::ServerLimits::head_timeout)) and counts as pending. A client
/// that speaks plain text gets a TLS alert and no HTTP.
// R6455-4.2.2-a, R6455-10.6-a
#[derive(Clone)]
pub struct Tls {
    shared: Arc<Shared>,
}

struct Shared {
    source: Source,
    current: RwLock<Arc<ServerConfig>>,
}

/// What a configuration is made of, again and again.
enum Source {
    Files(Files),
    /// The application's own, which it changes by its resolver.
    Given,
}

#[derive(Clone)]
struct Files {
    default: (Pem, Pem),
    by_name: Vec<(Box<str>, Pem, Pem)>,
    clients: Option<(Pem, bool)>,
    http2: bool,
}

impl Tls {
    /// A certificate, with those that lead to its root, and its key, both in PEM: the paths of files, or
    /// [`Pem::text`].
    ///
    /// # Errors
    /// [`TlsError`], which names the file: it cannot be read, has nothing in PEM, or the key does not
    /// fit.
    pub fn new(certificate: impl Into<Pem>, key: impl Into<Pem>) -> Result<Self, TlsError> {
        let default = (certificate.into(), key.into());
        Self::from_files(Files { default, by_name: Vec::new(), clients: None, http2: false })
    }

    /// Another certificate for clients that name this host (SNI); all others get the first.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`TlsError::Name`] for a name that is no DNS name, and
    /// [`TlsError::OwnConfig`] after [`from_config`](Self::from_config).
    pub fn host(
        self,
        name: &str,
        certificate: impl Into<Pem>,
        key: impl Into<Pem>,
    ) -> Result<Self, TlsError> {
        self.change(|files| {
            let name = name.to_ascii_lowercase().into();
            files.by_name.push((name, certificate.into(), key.into()));
        })
    }

    /// Asks clients for a certificate, and refuses those whose certificate was not issued by one of
    /// `roots`. [`TlsInfo::certificates`] has what a client showed.
    ///
    /// # Errors
    /// As [`host`](Self::host).
    pub fn require_client_certificates(self, roots: impl Into<Pem>) -> Result<Self, TlsError> {
        self.change(|files| files.clients = Some((roots.into(), true)))
    }

    /// As [`require_client_certificates`](Self::require_client_certificates), but a client may show
    /// none.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn ask_for_client_certificates(self, roots: impl Into<Pem>) -> Result<Self, TlsError> {
        self.change(|files| files.clients = Some((roots.into(), false)))
    }

    /// Offers HTTP/2 too, by ALPN: for a server that speaks both, as that of `ws-tower`. This crate's own
    /// speaks HTTP/1.1 alone.
    ///
    /// # Errors
    /// As [`host`](Self::host).
    pub fn http2(self) -> Result<Self, TlsError> {
        self.change(|files| files.http2 = true)
    }

    /// A configuration of the application's, with a resolver, another cryptography or other versions,
    /// say. Unless it says otherwise, `http/1.1` is the protocol by ALPN.
    pub fn from_config(mut config: ServerConfig) -> Self {
        if config.alpn_protocols.is_empty() {
            config.alpn_protocols = alpn(false);
        }
        let current = RwLock::new(Arc::new(config));
        Self { shared: Arc::new(Shared { source: Source::Given, current }) }
    }

    fn from_files(files: Files) -> Result<Self, TlsError> {
        let current = RwLock::new(Arc::new(files.config()?));
        Ok(Self { shared: Arc::new(Shared { source: Source::Files(files), current }) })
    }

    fn change(self, change: impl FnOnce(&mut Files)) -> Result<Self, TlsError> {
        let Source::Files(files) = &self.shared.source else {
            return Err(TlsError::OwnConfig);
        };
        let mut files = files.clone();
        change(&mut files);
        Self::from_files(files)
    }

    /// Reads all files again: new connections see what is there now, and open ones remain. Does nothing
    /// for a [configuration](Self::from_config) of the application's. Blocks while it reads.
    ///
    /// # Errors
    /// As [`new`](Self::new); then everything is as before.
    pub fn reload(&self) -> Result<(), TlsError> {
        if let Source::Files(files) = &self.shared.source {
            let config = Arc::new(files.config()?);
            *self.shared.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        }
        Ok(())
    }

    fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.shared.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Listens on an address of TCP, as [`Tcp::bind`] does.
    ///
    /// # Errors
    /// [`ServeError::Bind`].
    ///
    /// # Cancel safety
    /// Cancel safe: a dropped call listens on nothing.
    pub async fn bind(
        &self,
        address: impl ToSocketAddrs + fmt::Debug,
    ) -> Result<TlsListener<Tcp>, ServeError> {
        Ok(self.listener(Tcp::bind(address).await?))
    }

    /// Speaks TLS on what `listener` accepts.
    pub fn listener<L: Listener>(&self, listener: L) -> TlsListener<L> {
        TlsListener { listener, tls: self.clone() }
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Tls");
        if let Source::Files(files) = &self.shared.source {
            let names: Vec<&str> = files.by_name.iter().map(|(name, ..)| &**name).collect();
            debug.field("certificate", &files.default.0).field("hosts", &names);
        }
        debug.finish_non_exhaustive()
    }
}

fn alpn(http2: bool) -> Vec<Vec<u8>> {
    // In the order of preference.
    let names = http2.then_some("h2").into_iter().chain(["http/1.1"]);
    names.map(|name| name.as_bytes().to_vec()).collect()
}

impl Files {
    fn config(&self) -> Result<ServerConfig, TlsError> {
        let provider = provider();
        let key = |(certificate, key): (&Pem, &Pem)| {
            let from = certificate.origin();
            CertifiedKey::from_der(certificate.certificates()?, key.key()?, &provider)
                .map(Arc::new)
                .map_err(|error| TlsError::Key { from, error })
        };
        let mut by_name = HashMap::new();
        for (name, certificate, private) in &self.by_name {
            if DnsName::try_from(&**name).is_err() {
                return Err(TlsError::Name { name: name.clone() });
            }
            by_name.insert(name.clone(), key((certificate, private))?);
        }
        let certificates =
            Certificates { default: key((&self.default.0, &self.default.1))?, by_name };
        let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Config)?;
        let config = match &self.clients {
            None => config.with_no_client_auth(),
            Some((roots, required)) => {
                let store: RootCertStore = roots.roots()?;
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider);
                let verifier = if *required { verifier } else { verifier.allow_unauthenticated() };
                let failed = |error: &dyn fmt::Display| TlsError::Roots {
                    from: roots.origin(),
                    error: error.to_string().into(),
                };
                config.with_client_cert_verifier(verifier.build().map_err(|error| failed(&error))?)
            }
        };
        let mut config = config.with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = alpn(self.http2);
        Ok(config)
    }
}

/// A certificate for each name, and one for all others.
#[derive(Debug)]
struct Certificates {
    default: Arc<CertifiedKey>,
    by_name: HashMap<Box<str>, Arc<CertifiedKey>>,
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| self.by_name.get(name));
        Some(Arc::clone(named.unwrap_or(&self.default)))
    }
}

/// A [`Listener`] that speaks TLS on what another one accepts. Made by [`Tls::bind`] and
/// [`Tls::listener`].
#[derive(Debug)]
pub struct TlsListener<L> {
    listener: L,
    tls: Tls,
}

impl<L: Listener> Listener for TlsListener<L> {
    type Pending = TlsPending<L::Pending>;

    async fn accept(&mut self) -> io::Result<(Self::Pending, Peer)> {
        let (pending, peer) = self.listener.accept().await?;
        Ok((TlsPending { pending, tls: self.tls.clone() }, peer))
    }

    fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection before its TLS handshake.
#[derive(Debug)]
pub struct TlsPending<P> {
    pending: P,
    tls: Tls,
}

impl<P: Pending> Pending for TlsPending<P> {
    type Io = TlsStream<P::Io>;

    fn finish(self) -> impl Future<Output = io::Result<Transport<Self::Io>>> + Send {
        self.finish_telling(&|_| ())
    }

    async fn finish_telling(self, tell: &(dyn Fn(Peer) + Sync)) -> io::Result<Transport<Self::Io>> {
        let Transport { io, peer, .. } = self.pending.finish_telling(tell).await?;
        if let Some(peer) = peer {
            tell(peer);
        }
        // What is configured when the connection begins counts.
        let accepted = TlsAcceptor::from(self.tls.current())
            .accept_with(io, |tls| tls.set_buffer_limit(Some(ENCRYPTED_AHEAD)))
            .into_fallible()
            .await;
        let io = match accepted {
            Ok(io) => io,
            Err((error, io)) => {
                // Boxed: most handshakes succeed.
                Box::pin(close_after_alert(io)).await;
                return Err(error);
            }
        };
        let (_, connection) = io.get_ref();
        let info = TlsInfo::new(connection, connection.server_name());
        Ok(Transport { io, peer, tls: Some(Arc::new(info)) })
    }
}

/// Closes in stages: a reset, for octets that were not read, may destroy the alert that was sent.
async fn close_after_alert<Io: AsyncRead + AsyncWrite + Unpin>(mut io: Io) {
    const MOST: usize = 64 * 1024;
    const LONGEST: Duration = Duration::from_secs(1);

    let stages = async {
        io.shutdown().await?;
        discard(&mut io, MOST).await
    };
    // However it ends, the connection is closed next.
    timeout(LONGEST, stages).await.ok();
}
