//! What the errors of JetStream mean.

use super::wanted;
use crate::{Config, ConnectError, api::ApiError};

/// What an error about the stream means.
pub(super) fn by(config: &Config, stream: &str, error: ApiError) -> ConnectError {
    let stream = stream.to_owned();
    let (code, reason) = match error {
        ApiError::NoResponders => {
            return ConnectError::NoJetStream { domain: config.domain.clone() };
        }
        ApiError::NoAnswer => {
            return ConnectError::NoAnswer { stream, waited: config.connect_timeout };
        }
        ApiError::Unread => (0, "its answer cannot be read".to_owned()),
        ApiError::JetStream { code, description } => (code, description),
    };
    match code {
        // JetStream: not enabled; not for this account.
        10076 => ConnectError::NoJetStream { domain: config.domain.clone() },
        10039 => ConnectError::NoJetStreamForAccount,
        super::code::NO_STREAM => {
            ConnectError::NoStream { stream, command: wanted::command(config) }
        }
        10065 => {
            let subjects = crate::subject::Subjects::new(&config.prefix).all_stored();
            ConnectError::Overlap { stream, subjects }
        }
        // Of the account: resources, streams, a limit that every stream needs, a limit of each
        // stream. Of the server: resources, memory, storage.
        10002 | 10027 | 10113 | 10122 | 10023 | 10028 | 10047 => {
            ConnectError::NoRoom { stream, reason }
        }
        // No suitable peers; not a cluster.
        10005 | 10074 => ConnectError::Placement { stream, replicas: config.replicas, reason },
        super::code::NOT_AVAILABLE => {
            ConnectError::NoAnswer { stream, waited: config.connect_timeout }
        }
        _ => ConnectError::Stream { stream, code, description: reason },
    }
}
