//! Placeholder until the engine lands.
#[derive(Default, Debug)]
pub(crate) struct Stage {
    pub(crate) input: alloc::vec::Vec<u8>,
}
impl Stage {
    pub(crate) fn capacity(&self) -> usize {
        self.input.capacity()
    }
}
pub(crate) struct Chain;
pub(crate) struct ChainError;
pub(crate) struct ChainStatus;
pub(crate) struct Direction;
