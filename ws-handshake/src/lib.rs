//! The WebSocket opening handshake.
#![forbid(unsafe_code)]
