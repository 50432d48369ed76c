//! The extensions of one connection, in the order of the response header.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use super::{Direction, Extension, Rsv, RsvClaim, Scope, chain::Stage};

/// What was agreed for one connection: a stack of extensions that keeps the RSV contract.
#[derive(Default)]
pub struct Extensions {
    pub(crate) layers: Vec<Layer>,
    claimed: Rsv,
}

pub(crate) struct Layer {
    pub(crate) name: Box<str>,
    pub(crate) extension: Box<dyn Extension>,
    pub(crate) claim: RsvClaim,
    pub(crate) scope: Scope,
    pub(crate) encode: Stage,
    pub(crate) decode: Stage,
}

impl Extensions {
    /// No extension. Allocates nothing.
    pub const fn none() -> Self {
        Self { layers: Vec::new(), claimed: Rsv::NONE }
    }

    /// Adds an extension nearest to the wire: behind those already there when sending.
    ///
    /// # Errors
    /// [`StackError::Clash`] if one of its bits is taken, [`StackError::FrameScope`] if it works on
    /// messages behind one that works on frames. The stack is unchanged then.
    pub fn push(&mut self, name: &str, extension: Box<dyn Extension>) -> Result<(), StackError> {
        let scope = extension.scope();
        let claim = match extension.claim() {
            claim if claim.bits().is_empty() => RsvClaim::None,
            claim => claim,
        };
        let clash = claim.bits().intersection(self.claimed);
        if let Some(first) =
            self.layers.iter().find(|layer| !layer.claim.bits().intersection(clash).is_empty())
        {
            return Err(StackError::Clash {
                bits: clash,
                first: first.name.clone(),
                second: name.into(),
            });
        }
        if scope != Scope::Frame
            && let Some(frame) = self.layers.iter().find(|layer| layer.scope == Scope::Frame)
        {
            return Err(StackError::FrameScope { frame: frame.name.clone(), message: name.into() });
        }
        self.claimed = self.claimed | claim.bits();
        self.layers.push(Layer {
            name: name.into(),
            extension,
            claim,
            scope,
            encode: Stage::default(),
            decode: Stage::default(),
        });
        Ok(())
    }

    /// Whether no extension was agreed.
    pub fn is_empty(&self) -> bool {
        self.layers.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.layers.len()
    }

    /// The names, in the order of the response header.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layers.iter().map(|layer| &*layer.name)
    }

    /// The bits that are in use.
    pub fn claimed(&self) -> Rsv {
        self.claimed
    }

    /// Heap bytes that the extensions and the engine's buffers between them hold.
    pub fn memory_usage(&self) -> usize {
        self.layers
            .iter()
            .map(|layer| {
                layer.extension.memory_usage() + layer.encode.capacity() + layer.decode.capacity()
            })
            .sum()
    }

    /// Whether an extension has to see whole frames.
    pub(crate) fn gathers_frames(&self) -> bool {
        self.layers.last().is_some_and(|layer| layer.scope == Scope::Frame)
    }

    /// The layers of message scope, and behind them those of frame scope.
    pub(crate) fn split(&mut self) -> (&mut [Layer], &mut [Layer]) {
        let messages = self.layers.iter().take_while(|layer| layer.scope != Scope::Frame).count();
        self.layers.split_at_mut(messages)
    }

    /// Gives back what lies between the extensions of a message that will not be completed.
    pub(crate) fn drop_unit(&mut self, direction: Direction) {
        for layer in &mut self.layers {
            layer.stage(direction).begin(false);
        }
    }

    pub(crate) fn park(&mut self) {
        for layer in &mut self.layers {
            layer.extension.park();
        }
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Why extensions cannot stand together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackError {
    /// Two extensions claim the same RSV bits.
    Clash {
        /// The contested bits.
        bits: Rsv,
        /// Who had them.
        first: Box<str>,
        /// Who wanted them.
        second: Box<str>,
    },
    /// An extension of frame scope has to stand nearer the wire than one of message scope.
    FrameScope {
        /// The extension of frame scope.
        frame: Box<str>,
        /// The extension of message scope that would stand behind it.
        message: Box<str>,
    },
}

impl fmt::Display for StackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clash { bits, first, second } => {
                write!(f, "extensions {first} and {second} both claim {bits}")
            }
            Self::FrameScope { frame, message } => write!(
                f,
                "extension {frame} works on frames and has to come behind {message}, which works on messages"
            ),
        }
    }
}

impl core::error::Error for StackError {}
