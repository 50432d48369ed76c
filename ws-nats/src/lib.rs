//! Topics, history and presence of [`ws_server`] over several machines, on NATS with JetStream.

#![forbid(unsafe_code)]
