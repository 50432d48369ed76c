//! From a request to an accepted connection: routes, origin, admission, decision.

pub(crate) mod admission;
pub(crate) mod endpoint;
pub(crate) mod handler;
pub(crate) mod opening;
pub(crate) mod route;
pub(crate) mod service;
