//! Workloads that the benchmarks share, and the load for servers.
//!
//! The peers are in the nested package `peers`, so that building or testing the workspace never
//! compiles them.
#![forbid(unsafe_code)]

pub mod engine;
pub mod frame;
pub mod hostile;
pub mod json;
pub mod load;
pub mod pass_through;
pub mod report;
pub mod siege;
pub mod soak;

/// The snippets of the tour, which use every crate.
#[cfg(doctest)]
#[doc = include_str!("../../docs/tour.md")]
mod tour {}
