//! How a connection to NATS is made.

mod tls;

use std::{error::Error, io};

use async_nats::{ConnectErrorKind, ConnectOptions, ServerAddr, rustls};

use crate::{Config, ConnectError, config::Kind};

/// The options of a connection that servers list as `name`. What a link wants besides (events,
/// reconnects) it adds.
pub(crate) fn of(config: &Config, name: &str) -> Result<ConnectOptions, ConnectError> {
    let mut options = match &config.credentials.0 {
        Kind::None => ConnectOptions::new(),
        Kind::User { name, password } => {
            ConnectOptions::with_user_and_password(name.clone(), password.clone())
        }
        Kind::Token(token) => ConnectOptions::with_token(token.clone()),
        Kind::Nkey(seed) => ConnectOptions::with_nkey(seed.clone()),
        Kind::Text(text) => credentials(text, None)?,
        Kind::File(path) => {
            let text = std::fs::read_to_string(path);
            let name = path.display().to_string();
            let text = text.map_err(|error| no_credentials(Some(&name), &error))?;
            credentials(&text, Some(&name))?
        }
    };
    if config.tls_first {
        options = options.tls_first();
    }
    if let Some(tls) = tls::client(config)? {
        options = options.tls_client_config(tls);
    }
    Ok(options
        .require_tls(config.tls || config.tls_first)
        .name(name)
        .custom_inbox_prefix(&config.inbox_prefix)
        .connection_timeout(config.connect_timeout)
        .request_timeout(Some(config.connect_timeout)))
}

/// The addresses, which were [checked](Config::check).
pub(crate) fn servers(config: &Config) -> Vec<ServerAddr> {
    config.servers.iter().filter_map(|server| server.parse().ok()).collect()
}

/// What the failure of a connection means.
pub(crate) fn failed(config: &Config, error: &async_nats::ConnectError) -> ConnectError {
    let (servers, reason) = (config.servers.join(", "), error.to_string());
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
            ConnectError::Credentials { credentials: format!("{:?}", config.credentials), reason }
        }
        ConnectErrorKind::Tls => ConnectError::Tls { servers, reason },
        _ if is_tls(error) => ConnectError::Tls { servers, reason },
        _ => ConnectError::Unreachable { servers, reason },
    }
}

/// Whether TLS is at the bottom of an error of I/O.
fn is_tls(error: &(dyn Error + 'static)) -> bool {
    if error.is::<rustls::Error>() {
        return true;
    }
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.is_some_and(|inner| is_tls(inner)) || error.source().is_some_and(is_tls)
}

fn credentials(text: &str, file: Option<&str>) -> Result<ConnectOptions, ConnectError> {
    ConnectOptions::with_credentials(text).map_err(|error| no_credentials(file, &error))
}

fn no_credentials(file: Option<&str>, error: &io::Error) -> ConnectError {
    let what = file.unwrap_or("the text");
    let problem = format!("has no JWT and seed of a user in {what}: {error}");
    ConnectError::Config { field: "credentials", problem }
}
