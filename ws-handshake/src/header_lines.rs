//! The lines of a header.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::list::trim_ows;

/// The values of all lines of a header, in order.
pub(crate) fn all<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'h [u8]> + use<'h> {
    headers.get_all(name).into_iter().map(HeaderValue::as_bytes)
}

/// The value of a header that must appear exactly once, without surrounding white space.
pub(crate) fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h [u8]> {
    let mut lines = all(headers, name);
    let value = lines.next()?;
    lines.next().is_none().then(|| trim_ows(value))
}
