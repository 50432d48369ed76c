//! What both ends of TLS need: keys and certificates as they lie in files, and what a connection knows
//! of its other end.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::rustls::{
    self, CommonState, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

/// Octets that rustls encrypts ahead of the socket: what the driver writes at once, 64 KiB and a message.
/// With rustls' own 64 KiB the last octets of four messages of 16 KiB, which are their headers, took a
/// record and a system call of their own.
pub(crate) const ENCRYPTED_AHEAD: usize = 96 * 1024;

/// The cryptography of both ends. Given to every configuration, and never taken from the process, which
/// another crate may have set.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// A configuration of TLS that cannot work, by the file or the name at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// A file, or a text that was given in place of one, has no certificate or key in PEM.
    #[error(
        "{from} has no {what} in PEM ({error}): it should have a part that begins with -----BEGIN"
    )]
    Pem {
        /// Where it should be: the path of a file, or "the text".
        from: Box<str>,
        /// What should be there: "certificate" or "private key".
        what: &'static str,
        /// What the parser says.
        error: pem::Error,
    },
    /// A certificate and a key that cannot be used, or do not belong together.
    #[error("{from} cannot be used: {error}")]
    Key {
        /// Where the certificate is from: the path of a file, or "the text".
        from: Box<str>,
        /// What rustls says.
        #[source]
        error: rustls::Error,
    },
    /// A name for a certificate that is no DNS name.
    #[error("{name:?} is no DNS name: clients name a host like chat.example, without a port")]
    Name {
        /// The name.
        name: Box<str>,
    },
    /// Certificates that clients, or servers, are to be verified by are none.
    #[error("{from} cannot verify anybody: {error}")]
    Roots {
        /// Where they are from: the path of a file, or "the text".
        from: Box<str>,
        /// What rustls says.
        error: Box<str>,
    },
    /// A configuration of the application's has its own certificates and verifier.
    #[error(
        "this TLS has a configuration of its own: add hosts and verify clients there, or make it by Tls::new"
    )]
    OwnConfig,
    /// The rest of a configuration.
    #[error("TLS cannot be configured: {_0}")]
    Config(#[source] rustls::Error),
}

/// Certificates or a key in PEM: the path of a file, which is read again on every reload, or its text.
#[derive(Clone)]
pub struct Pem(Text);

#[derive(Clone)]
enum Text {
    File(PathBuf),
    Here(Arc<[u8]>),
}

impl Pem {
    /// What a file has.
    pub fn file(path: impl AsRef<Path>) -> Self {
        Self(Text::File(path.as_ref().into()))
    }

    /// The text of such a file.
    pub fn text(pem: impl AsRef<[u8]>) -> Self {
        Self(Text::Here(pem.as_ref().into()))
    }

    /// What errors call it.
    pub(crate) fn origin(&self) -> Box<str> {
        match &self.0 {
            Text::File(path) => path.display().to_string().into(),
            Text::Here(_) => "the text".into(),
        }
    }

    fn read(&self) -> Result<Arc<[u8]>, TlsError> {
        match &self.0 {
            Text::Here(text) => Ok(Arc::clone(text)),
            Text::File(path) => match fs::read(path) {
                Ok(text) => Ok(text.into()),
                Err(error) => Err(TlsError::File { path: path.clone(), error }),
            },
        }
    }

    /// The certificates, at least one.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let failed = |error| TlsError::Pem { from: self.origin(), what: "certificate", error };
        let text = self.read()?;
        let all: Vec<_> =
            CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().map_err(failed)?;
        if all.is_empty() { Err(failed(pem::Error::NoItemsFound)) } else { Ok(all) }
    }

    /// The first private key.
    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(&self.read()?).map_err(|error| TlsError::Pem {
            from: self.origin(),
            what: "private key",
            error,
        })
    }

    /// The certificates, as those that others are verified by.
    pub(crate) fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates()? {
            roots.add(certificate).map_err(|error| TlsError::Roots {
                from: self.origin(),
                error: error.to_string().into(),
            })?;
        }
        Ok(roots)
    }
}

/// A path is that of a file.
impl<P: AsRef<Path>> From<P> for Pem {
    fn from(path: P) -> Self {
        Self::file(path)
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pem").field(&self.origin()).finish()
    }
}

/// What TLS knows of a connection and its other end.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsInfo {
    server_name: Option<Box<str>>,
    version: &'static str,
    cipher: &'static str,
    certificates: Vec<CertificateDer<'static>>,
}

impl TlsInfo {
    pub(crate) fn new(connection: &CommonState, server_name: Option<&str>) -> Self {
        Self {
            server_name: server_name.map(Into::into),
            version: connection
                .protocol_version()
                .and_then(|version| version.as_str())
                .unwrap_or(""),
            cipher: connection
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str())
                .unwrap_or(""),
            certificates: connection
                .peer_certificates()
                .unwrap_or_default()
                .iter()
                .map(|certificate| certificate.clone().into_owned())
                .collect(),
        }
    }

    /// The host that the client named in its handshake (SNI), in lower case.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The version of the protocol: `TLSv1_3`.
    pub fn version(&self) -> &str {
        self.version
    }

    /// The cipher suite: `TLS13_AES_256_GCM_SHA384`.
    pub fn cipher(&self) -> &str {
        self.cipher
    }

    /// The certificates of the other end, in DER, its own first. At a server: none, unless it asks
    /// clients for theirs. They are verified.
    pub fn certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.certificates.iter().map(AsRef::as_ref)
    }
}

impl fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsInfo")
            .field("server_name", &self.server_name)
            .field("version", &self.version)
            .field("cipher", &self.cipher)
            .field("certificates", &self.certificates.len())
            .finish()
    }
}
