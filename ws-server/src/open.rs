//! From a request to an accepted connection, whichever HTTP implementation parsed the one and owns the
//! stream of the other:
//! routes, gate, origin, decision, the [`Accepted`](accepted::Accepted) handshake, shutdown.
//!
//! Imports `drive`, `handles`, `registry`, `outbox` and `leaves`.

pub(crate) mod accepted;
pub(crate) mod admission;
pub(crate) mod decision;
pub(crate) mod endpoint;
pub(crate) mod gate;
pub(crate) mod handler;
pub(crate) mod inspected;
pub(crate) mod options;
pub(crate) mod outcome;
pub(crate) mod proxies;
pub(crate) mod route;
pub(crate) mod routes;
pub(crate) mod running;
pub(crate) mod service;
pub(crate) mod serving;
pub(crate) mod shared;
pub(crate) mod terms;
