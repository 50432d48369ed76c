//! How often the list parsers look at an octet. For tests of their linearity; no stable API.

use crate::{Limits, Subprotocols, extension_header::parse_counting, list::Elements};

/// Looks that it takes to read one line of `Sec-WebSocket-Extensions`, and whether it is valid.
pub fn extensions(line: &[u8]) -> (usize, bool) {
    let (outcome, steps) = parse_counting([line], &unlimited());
    (steps, outcome.is_ok())
}

/// Looks that it takes to read one line of `Sec-WebSocket-Protocol`, and whether it is valid.
pub fn subprotocols(line: &[u8]) -> (usize, bool) {
    let (outcome, steps) = Subprotocols::parse([line], &unlimited());
    (steps, outcome.is_ok())
}

/// Looks that it takes to go through one line of `Connection` or `Upgrade`.
pub fn elements(line: &[u8]) -> usize {
    let mut elements = Elements::new(line);
    elements.by_ref().for_each(drop);
    elements.steps()
}

fn unlimited() -> Limits {
    Limits {
        max_offers: usize::MAX,
        max_parameters: usize::MAX,
        max_subprotocols: usize::MAX,
        max_empty_elements: usize::MAX,
        ..Limits::default()
    }
}
