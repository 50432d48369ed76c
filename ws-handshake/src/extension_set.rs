//! The extensions of a server or client.

use std::{fmt, sync::Arc};

use ws_core::{
    ExtensionFactory,
    extension::{Params, Scope},
};

use crate::list::is_token;

/// Extension factories, in the order of their operations: the first is nearest to the application.
///
/// A server answers in this order, whatever the client's order, and earlier factories have priority for
/// the RSV bits. Cloning shares the factories.
///
/// ```
/// # use ws_core::ExtensionFactory;
/// use ws_handshake::ExtensionSet;
///
/// # fn build(counting: impl ExtensionFactory + 'static, deflate: impl ExtensionFactory + 'static)
/// #     -> Result<(), ws_handshake::ExtensionSetError> {
/// let set = ExtensionSet::new().with(counting)?.with(deflate)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Default)]
pub struct ExtensionSet {
    factories: Vec<Arc<dyn ExtensionFactory>>,
}

impl ExtensionSet {
    /// An empty set.
    pub const fn new() -> Self {
        Self { factories: Vec::new() }
    }

    /// Adds a factory after the others, nearer to the wire.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn with(
        mut self,
        factory: impl ExtensionFactory + 'static,
    ) -> Result<Self, ExtensionSetError> {
        self.push(factory)?;
        Ok(self)
    }

    /// As [`with`](Self::with), in place. An `Arc<dyn ExtensionFactory>` is a factory too.
    ///
    /// # Errors
    /// [`ExtensionSetError::Name`] for a name that is not a token, [`ExtensionSetError::Duplicate`] for
    /// one that the set has, [`ExtensionSetError::FrameScope`] for an extension that works on messages
    /// after one that works on frames. On error the set is unchanged.
    pub fn push(
        &mut self,
        factory: impl ExtensionFactory + 'static,
    ) -> Result<(), ExtensionSetError> {
        let name = factory.name();
        if !is_token(name.as_bytes()) {
            return Err(ExtensionSetError::Name { name: name.into() });
        }
        if self.get(name).is_some() {
            return Err(ExtensionSetError::Duplicate { name: name.into() });
        }
        if factory.scope() != Scope::Frame
            && let Some(frame) = self.iter().find(|other| other.scope() == Scope::Frame)
        {
            return Err(ExtensionSetError::FrameScope {
                frame: frame.name().into(),
                message: name.into(),
            });
        }
        self.factories.push(Arc::new(factory));
        Ok(())
    }

    /// The factory of this name, compared case-sensitively.
    pub fn get(&self, name: &str) -> Option<&dyn ExtensionFactory> {
        self.iter().find(|factory| factory.name() == name)
    }

    /// The factories, in order.
    pub fn iter(&self) -> impl Iterator<Item = &dyn ExtensionFactory> {
        self.factories.iter().map(|factory| &**factory)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.factories.is_empty()
    }
}

/// The names.
impl fmt::Debug for ExtensionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(ExtensionFactory::name)).finish()
    }
}

/// Whether `params` can be written in a header.
// RFC 6455 §9.1: "extension-param = token [ "=" (token | quoted-string) ]", and a quoted value
// is a token as well.
pub(crate) fn are_tokens(params: &Params) -> bool {
    params.iter().all(|param| {
        is_token(param.name().as_bytes())
            && param.value().is_none_or(|value| is_token(value.as_bytes()))
    })
}

/// Why an extension cannot be added to a set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExtensionSetError {
    /// The name is not a token.
    #[error("extension name {name:?} is not a token")]
    Name {
        /// The name.
        name: Box<str>,
    },
    /// The set has an extension of this name.
    #[error("extension {name} was added before")]
    Duplicate {
        /// The name.
        name: Box<str>,
    },
    /// An extension of frame scope must come after all those of message scope.
    #[error("extension {frame} works on frames: add it after {message}, which works on messages")]
    FrameScope {
        /// The extension of frame scope, which is in the set.
        frame: Box<str>,
        /// The extension of message scope, which was to be added.
        message: Box<str>,
    },
}
