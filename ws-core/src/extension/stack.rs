//! The extensions of one connection, in the order of the response header.

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use super::{
    Extension, ExtensionFactory, Rsv, RsvClaim, Scope,
    layer::{Direction, Layer, Stage, keep_small},
};

/// The extensions of one connection: a stack that keeps the RSV contract.
///
/// Boxed, because there are many connections and most have no extension.
#[derive(Default)]
pub struct Extensions(Option<Box<Stack>>);

#[derive(Default)]
struct Stack {
    layers: Vec<Layer>,
    /// The number of layers, from the first on, that work on messages instead of frames.
    of_messages: u32,
    claimed: Rsv,
    /// An empty buffer for the stack's output, kept until the connection rests.
    spare: Vec<u8>,
}

impl Extensions {
    /// No extension. Allocates nothing.
    pub const fn none() -> Self {
        Self(None)
    }

    /// Adds an extension that `factory` made, nearest to the wire: outgoing messages pass it after
    /// all those already added. The factory gives its name and scope.
    ///
    /// # Errors
    /// [`StackError::Clash`] if one of its bits is taken, [`StackError::FrameScope`] if it works on
    /// messages and would follow one that works on frames. The stack does not change then.
    pub fn push(
        &mut self,
        factory: &dyn ExtensionFactory,
        extension: Box<dyn Extension>,
    ) -> Result<(), StackError> {
        self.push_as(factory.name(), factory.scope(), extension)
    }

    pub(crate) fn push_as(
        &mut self,
        name: &str,
        scope: Scope,
        extension: Box<dyn Extension>,
    ) -> Result<(), StackError> {
        let claim = match extension.claim() {
            claim if claim.bits().is_empty() => RsvClaim::None,
            claim => claim,
        };
        let clash = claim.bits().intersection(self.claimed());
        if let Some(first) =
            self.layers().iter().find(|layer| !layer.claim.bits().intersection(clash).is_empty())
        {
            return Err(StackError::Clash {
                bits: clash,
                first: first.name.clone(),
                second: name.into(),
            });
        }
        if scope != Scope::Frame
            && let Some(frame) = self.layers().iter().find(|layer| layer.scope == Scope::Frame)
        {
            return Err(StackError::FrameScope { frame: frame.name.clone(), message: name.into() });
        }
        let stack = self.0.get_or_insert_default();
        stack.claimed = stack.claimed | claim.bits();
        stack.of_messages += u32::from(scope != Scope::Frame);
        // A second one is rare, and spare capacity would cost memory on every connection.
        stack.layers.reserve_exact(1);
        stack.layers.push(Layer {
            name: name.into(),
            extension,
            claim,
            scope,
            debt: 0,
            encode: Stage::default(),
            decode: Stage::default(),
        });
        Ok(())
    }

    /// Whether the stack is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The number of extensions.
    pub fn len(&self) -> usize {
        self.layers().len()
    }

    /// The names, in the order of the response header.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.layers().iter().map(|layer| &*layer.name)
    }

    /// The RSV bits in use.
    pub fn claimed(&self) -> Rsv {
        self.0.as_ref().map_or(Rsv::NONE, |stack| stack.claimed)
    }

    /// Heap bytes held by the extensions and by the engine's buffers between them.
    pub fn memory_usage(&self) -> usize {
        let layers = self.layers().iter().map(|layer| {
            let buffers = layer.encode.capacity() + layer.decode.capacity();
            layer.extension.memory_usage().saturating_add(buffers)
        });
        let spare = self.0.as_ref().map_or(0, |stack| stack.spare.capacity());
        layers.fold(spare, usize::saturating_add)
    }

    /// Bytes of the current unit that wait before extensions.
    pub(crate) fn pending(&self, direction: Direction) -> usize {
        self.layers().iter().map(|layer| layer.pending(direction)).sum()
    }

    /// Whether an extension needs whole frames.
    pub(crate) fn gathers_frames(&self) -> bool {
        self.layers().last().is_some_and(|layer| layer.scope == Scope::Frame)
    }

    pub(crate) fn layers(&self) -> &[Layer] {
        self.0.as_ref().map_or(&[], |stack| &stack.layers)
    }

    pub(crate) fn layers_mut(&mut self) -> &mut [Layer] {
        self.0.as_mut().map_or(&mut [], |stack| &mut stack.layers)
    }

    /// The layers of message scope, then those of frame scope.
    pub(crate) fn split(&mut self) -> (&mut [Layer], &mut [Layer]) {
        match &mut self.0 {
            Some(stack) => stack.layers.split_at_mut(stack.of_messages as usize),
            None => (&mut [], &mut []),
        }
    }

    /// The layers, how many of them are of message scope, and an empty buffer for what they decode.
    #[inline(always)]
    pub(crate) fn with_spare(&mut self) -> Option<(&mut [Layer], usize, &mut Vec<u8>)> {
        let Stack { layers, of_messages, spare, .. } = &mut **self.0.as_mut()?;
        spare.clear();
        Some((layers, *of_messages as usize, spare))
    }

    /// Whether the stack is a single extension that works on messages.
    pub(crate) fn has_single(&self) -> bool {
        self.0.as_ref().is_some_and(|stack| stack.layers.len() == 1 && stack.of_messages == 1)
    }

    /// The extension, if the stack is a single one that works on messages, and an empty buffer for
    /// its output.
    #[inline]
    pub(crate) fn single(&mut self) -> Option<(&mut Layer, &mut Vec<u8>)> {
        let Stack { layers, of_messages: 1, spare, .. } = &mut **self.0.as_mut()? else {
            return None;
        };
        match &mut **layers {
            [layer] => {
                spare.clear();
                Some((layer, spare))
            }
            _ => None,
        }
    }

    /// Takes the spare buffer, which is empty.
    pub(crate) fn take_spare(&mut self) -> Vec<u8> {
        self.0.as_mut().map(|stack| core::mem::take(&mut stack.spare)).unwrap_or_default()
    }

    /// Keeps a buffer for the next message, if it is small.
    pub(crate) fn keep_spare(&mut self, mut buffer: Vec<u8>) {
        if let Some(stack) = &mut self.0 {
            keep_small(&mut buffer);
            stack.spare = buffer;
        }
    }

    /// Whether extensions did so much work that produced no message that other tasks must have
    /// their turn.
    #[inline]
    pub(crate) fn is_tired(&self) -> bool {
        self.layers().iter().any(Layer::is_tired)
    }

    /// Whether the stack [is tired](Self::is_tired). Clears the count then.
    pub(crate) fn clear_debt(&mut self) -> bool {
        let tired = self.is_tired();
        if tired {
            self.layers_mut().iter_mut().for_each(|layer| layer.debt = 0);
        }
        tired
    }

    /// Frees the data between extensions of a message that will not be completed.
    pub(crate) fn drop_unit(&mut self, direction: Direction) {
        for layer in self.layers_mut() {
            layer.stage(direction).begin(false);
        }
        self.release(direction);
    }

    /// Frees the buffers kept for the next unit.
    pub(crate) fn release(&mut self, direction: Direction) {
        if let Some(stack) = &mut self.0 {
            stack.spare = Vec::new();
            for layer in &mut stack.layers {
                layer.stage(direction).release();
            }
        }
    }

    pub(crate) fn park(&mut self) {
        for layer in self.layers_mut() {
            layer.extension.park();
        }
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Why extensions cannot be in one stack.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StackError {
    /// Two extensions claim the same RSV bits.
    Clash {
        /// The contested bits.
        bits: Rsv,
        /// The extension that has them.
        first: Box<str>,
        /// The extension that also claims them.
        second: Box<str>,
    },
    /// An extension of frame scope must be nearer to the wire than all extensions of message scope.
    FrameScope {
        /// The extension of frame scope.
        frame: Box<str>,
        /// The extension of message scope that would follow it.
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
                "extension {frame} works on frames and has to come after {message}, which works on messages"
            ),
        }
    }
}

impl core::error::Error for StackError {}
