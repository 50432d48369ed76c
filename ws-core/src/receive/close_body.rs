//! The body of a Close frame (RFC 6455 §5.5.1).

use super::Received;
use crate::{CloseCode, Payload, Text, fault::Fault};

/// Code and reason, both absent where the body is empty.
pub(super) fn parse(body: &[u8]) -> Result<Received, Fault> {
    // RFC 6455 §5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte
    // unsigned integer (in network byte order) representing a status code".
    let Some((code, reason)) = body.split_first_chunk() else {
        return if body.is_empty() {
            Ok(Received::Close { code: None, reason: Text::default() })
        } else {
            Err(Fault::CloseBodyTooShort)
        };
    };
    let code = CloseCode::new(u16::from_be_bytes(*code));
    if !code.is_sendable() {
        return Err(Fault::InvalidCloseCode(code));
    }
    let reason = Text::try_from(Payload::from(reason)).map_err(|_| Fault::InvalidCloseReason)?;
    Ok(Received::Close { code: Some(code), reason })
}
