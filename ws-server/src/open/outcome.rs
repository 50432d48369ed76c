//! What the future of a handler may return.

use crate::HandlerError;

/// What a handler's future gives: nothing, or `Result<(), HandlerError>`.
///
/// After an error the connection closes with 1011, otherwise with 1000.
pub trait Outcome: Sealed + Send {
    #[doc(hidden)]
    fn into_result(self) -> Result<(), HandlerError>;
}

impl Outcome for () {
    fn into_result(self) -> Result<(), HandlerError> {
        Ok(())
    }
}

impl Outcome for Result<(), HandlerError> {
    fn into_result(self) -> Self {
        self
    }
}

/// A handler that never returns: its future may give `!`, which has no name in stable Rust, but by this
/// way round.
impl Outcome for Never {
    fn into_result(self) -> Result<(), HandlerError> {
        self
    }
}

type Never = <fn() -> ! as Returns>::Output;

#[doc(hidden)]
pub trait Returns {
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

/// Further outcomes are a decision of this crate.
pub trait Sealed {}
impl Sealed for () {}
impl Sealed for Never {}
impl Sealed for Result<(), HandlerError> {}
