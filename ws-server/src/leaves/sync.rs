//! The locks and atomics of what connections share with other tasks: the standard ones, or those of
//! shuttle, which tries the orders in which threads can come to them (`outbox::model`).

#[cfg(not(all(test, shuttle)))]
pub(crate) use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU8},
};

#[cfg(all(test, shuttle))]
pub(crate) use shuttle::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU8},
};
#[cfg(all(test, shuttle))]
pub(crate) use std::sync::PoisonError;
