//! Workloads that the benchmarks share, and the load for servers.
//!
//! The rivals live in the nested package `peers`, so that building or testing the workspace never
//! compiles them.
#![forbid(unsafe_code)]

pub mod engine;
<<<<<<< HEAD
pub mod pass_through;
=======
pub mod frame;
pub mod load;
>>>>>>> bench

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
mod readme {}
