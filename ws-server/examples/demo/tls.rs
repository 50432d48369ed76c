//! The demo over TLS: certificates from files, or one that it signs itself.

use std::{error::Error, path::PathBuf};

use clap::Args;
use ws_server::{Pem, Tls};

#[derive(Args)]
pub(crate) struct TlsOptions {
    /// Serve https:// and wss:// with this certificate and those that lead to its root, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate, in PEM. On SIGHUP both files are read again
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Serve https:// and wss:// with a certificate for localhost that browsers warn about
    #[arg(long, conflicts_with = "tls_cert")]
    tls_self_signed: bool,
}

impl TlsOptions {
    pub(crate) fn is_asked(&self) -> bool {
        self.tls_cert.is_some() || self.tls_self_signed
    }

    /// TLS, if it was asked for.
    pub(crate) fn tls(&self) -> Result<Option<Tls>, Box<dyn Error + Send + Sync>> {
        if let (Some(certificate), Some(key)) = (&self.tls_cert, &self.tls_key) {
            return Ok(Some(Tls::new(certificate, key)?));
        }
        if !self.tls_self_signed {
            return Ok(None);
        }
        let names = ["localhost", "127.0.0.1", "::1"].map(String::from);
        let signed = rcgen::generate_simple_self_signed(names)?;
        let (certificate, key) = (signed.cert.pem(), signed.signing_key.serialize_pem());
        Ok(Some(Tls::new(Pem::text(certificate), Pem::text(key))?))
    }
}

/// Reads the files again on every SIGHUP.
#[cfg(unix)]
pub(crate) async fn reload_on_signal(tls: Tls) {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut hang_up) = signal(SignalKind::hangup()) else { return };
    while hang_up.recv().await.is_some() {
        match tls.reload() {
            Ok(()) => eprintln!("certificates were read again"),
            Err(error) => eprintln!("the old certificates remain: {error}"),
        }
    }
}
