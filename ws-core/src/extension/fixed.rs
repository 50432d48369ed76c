//! The factory of an extension without parameters.

use alloc::boxed::Box;
use core::fmt;

use super::{Agreed, Extension, ExtensionFactory, NegotiationError, Params, Rsv, Scope};

/// Negotiates an extension that has no parameters: a name, a scope, and a function that makes it.
///
/// It offers the bare name, and declines an offer with any parameter.
///
/// ```
/// # use ws_core::{Extensions, extension::*};
/// # struct Inverted;
/// # impl Extension for Inverted {
/// #     fn claim(&self) -> RsvClaim { RsvClaim::FirstFrame(Rsv::RSV2) }
/// #     fn encode(&mut self, input: &mut Chunk, out: &mut Sink) -> Result<Progress, ExtensionError> {
/// #         out.write_from(input);
/// #         Ok(if input.is_empty() { Progress::Done } else { Progress::Full })
/// #     }
/// #     fn decode(&mut self, input: &mut Chunk, out: &mut Sink) -> Result<Progress, ExtensionError> {
/// #         self.encode(input, out)
/// #     }
/// # }
/// let factory = FixedFactory::new("x-inverted", Scope::Message, || Box::new(Inverted));
///
/// // Without a handshake, where both ends know what they speak:
/// let mut extensions = Extensions::none();
/// extensions.push(&factory, factory.make())?;
/// # Ok::<(), StackError>(())
/// ```
#[derive(Clone)]
pub struct FixedFactory<F> {
    name: Box<str>,
    scope: Scope,
    make: F,
}

impl<F: Fn() -> Box<dyn Extension> + Send + Sync> FixedFactory<F> {
    /// A factory of this name and scope. `make` makes the extension of each connection.
    pub fn new(name: &str, scope: Scope, make: F) -> Self {
        Self { name: name.into(), scope, make }
    }

    /// Makes the extension of one connection.
    pub fn make(&self) -> Box<dyn Extension> {
        (self.make)()
    }
}

impl<F: Fn() -> Box<dyn Extension> + Send + Sync> ExtensionFactory for FixedFactory<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn accept(&self, offer: &Params, _free: Rsv) -> Result<Agreed, NegotiationError> {
        offer.refuse_any()?;
        Ok(Agreed::new(Params::new(), self.make()))
    }

    fn confirm(
        &self,
        response: &Params,
        _offers: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        response.refuse_any()?;
        Ok(self.make())
    }
}

impl<F> fmt::Debug for FixedFactory<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedFactory")
            .field("name", &self.name)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}
