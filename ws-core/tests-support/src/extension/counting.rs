//! An extension that counts what it encodes for many.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use ws_core::{
    Extension, ExtensionFactory,
    extension::{
        Chunk, ExtensionError, FixedFactory, MessageInfo, Progress, RsvClaim, Scope, SharedEncoder,
        SharedForm, SharedKey, Sharing, Sink,
    },
};

use super::pass;

/// Changes nothing, and counts the encoders of broadcasts: one for each that is encoded. Clones share
/// the count.
#[derive(Clone, Default)]
pub struct Counting(Arc<AtomicUsize>);

impl Counting {
    /// Registers it under a name.
    pub fn factory(&self, name: &str) -> impl ExtensionFactory + use<> {
        let counting = self.clone();
        let new = move || -> Box<dyn Extension> { Box::new(counting.clone()) };
        FixedFactory::new(name, Scope::Message, new)
    }

    /// Broadcasts that were encoded.
    pub fn encoded(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Extension for Counting {
    fn claim(&self) -> RsvClaim {
        RsvClaim::None
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        pass(input, out)
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        pass(input, out)
    }

    fn sharing(&mut self) -> Option<&mut dyn Sharing> {
        Some(self)
    }
}

impl Sharing for Counting {
    fn form(&self, _: &MessageInfo) -> Option<SharedForm> {
        Some(SharedForm::Encoded(SharedKey::new::<Self>(0)))
    }

    fn encoder(&self, _: &MessageInfo) -> Option<Box<dyn SharedEncoder>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(Once))
    }
}

struct Once;

impl SharedEncoder for Once {
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        pass(input, out)
    }
}
