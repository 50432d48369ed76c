//! TLS to NATS.

use std::{path::Path, sync::Arc};

use async_nats::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;

use crate::{Config, ConnectError};

/// The configuration of TLS. The provider of its cryptography is given: the one of the process may be
/// missing, or not be decided.
///
/// `None` where the system's authorities cannot be had, and TLS was not asked for: a server that
/// wants it is then refused by async-nats, with its reason.
pub(super) fn client(config: &Config) -> Result<Option<ClientConfig>, ConnectError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| refused("tls", &error))?;
    let builder = match &config.tls_roots {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => match builder.with_platform_verifier() {
            Ok(builder) => builder,
            Err(error) if config.tls || config.tls_first => return Err(refused("tls", &error)),
            Err(_) => return Ok(None),
        },
    };
    let Some((certificate, key)) = &config.tls_certificate else {
        return Ok(Some(builder.with_no_client_auth()));
    };
    const FIELD: &str = "tls_certificate";
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| refused(FIELD, &error))?;
    let chain = certificates(FIELD, certificate)?;
    builder.with_client_auth_cert(chain, key).map(Some).map_err(|error| refused(FIELD, &error))
}

fn roots(path: &Path) -> Result<RootCertStore, ConnectError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls_roots", path)? {
        roots.add(certificate).map_err(|error| refused("tls_roots", &error))?;
    }
    Ok(roots)
}

fn certificates(
    field: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, ConnectError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = read.map_err(|error| refused(field, &error))?;
    if certificates.is_empty() {
        return Err(refused(field, &format!("no certificate is in {}", path.display())));
    }
    Ok(certificates)
}

fn refused(field: &'static str, reason: &dyn std::fmt::Display) -> ConnectError {
    ConnectError::Config { field, problem: format!("cannot be used: {reason}") }
}
