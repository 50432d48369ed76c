//! TLS to a server.

use std::{fmt, io, sync::Arc};

use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, ConfigBuilder, WantsVerifier, client::WantsClientCert, pki_types::ServerName,
    },
};

use crate::{
    Pem, TlsError, TlsInfo,
    leaves::tls::{ENCRYPTED_AHEAD, provider},
};

/// TLS of a client: whom it trusts, and what it shows of itself. A handle: cloning it is cheap, and
/// clones share their sessions. [`Connect::tls`](crate::Connect::tls) takes it; without one, `wss://`
/// trusts what the platform trusts.
// R6455C-4.1-g
#[derive(Clone)]
pub struct ClientTls(Arc<ClientConfig>);

impl ClientTls {
    /// Trusts what the platform trusts, and shows no certificate.
    ///
    /// # Errors
    /// [`TlsError::Config`].
    pub fn platform() -> Result<Self, TlsError> {
        let config = builder()?.with_platform_verifier().map_err(TlsError::Config)?;
        Ok(Self::anonymous(config))
    }

    /// Trusts the servers whose certificates were issued by one of these alone: a company's own, or one
    /// that a test made.
    ///
    /// # Errors
    /// [`TlsError`], which names the file.
    pub fn trusting(roots: impl Into<Pem>) -> Result<Self, TlsError> {
        let roots = roots.into().roots()?;
        Ok(Self::anonymous(builder()?.with_root_certificates(roots)))
    }

    /// As [`trusting`](Self::trusting), and shows a certificate to servers that ask for one.
    ///
    /// # Errors
    /// As [`trusting`](Self::trusting), and for a key that does not fit.
    pub fn with_certificate(
        roots: impl Into<Pem>,
        certificate: impl Into<Pem>,
        key: impl Into<Pem>,
    ) -> Result<Self, TlsError> {
        let (certificate, roots) = (certificate.into(), roots.into().roots()?);
        let from = certificate.origin();
        let config = builder()?
            .with_root_certificates(roots)
            .with_client_auth_cert(certificate.certificates()?, key.into().key()?)
            .map_err(|error| TlsError::Key { from, error })?;
        Ok(Self::from_config(config))
    }

    /// A configuration of the application's, with another verifier or another cryptography, say.
    pub fn from_config(config: ClientConfig) -> Self {
        Self(Arc::new(config))
    }

    fn anonymous(config: ConfigBuilder<ClientConfig, WantsClientCert>) -> Self {
        Self::from_config(config.with_no_client_auth())
    }

    /// Speaks TLS with `host` over `io`.
    pub(super) async fn connect(
        &self,
        host: &str,
        io: TcpStream,
    ) -> io::Result<(TlsStream<TcpStream>, Arc<TlsInfo>)> {
        // An IPv6 address stands in brackets in a URL.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        // R6455C-4.1-h: rustls names the host, unless it is an address.
        let io = TlsConnector::from(Arc::clone(&self.0))
            .connect_with(name, io, |tls| tls.set_buffer_limit(Some(ENCRYPTED_AHEAD)))
            .await?;
        let info = TlsInfo::new(io.get_ref().1, Some(host));
        Ok((io, Arc::new(info)))
    }
}

fn builder() -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, TlsError> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Config)
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls").finish_non_exhaustive()
    }
}
