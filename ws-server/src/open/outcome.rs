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

/// Further outcomes are a decision of this crate.
pub trait Sealed {}
impl Sealed for () {}
impl Sealed for Result<(), HandlerError> {}
