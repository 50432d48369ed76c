//! The report of a run: a page and a picture, from the lines of JSON of `cargo xtask bench`.

mod bars;
mod numbers;
mod page;
mod picture;
mod run;
mod scatter;

pub(crate) use self::numbers::{bytes, time};
pub(crate) use self::page::STYLE;
pub use self::page::page;
pub use self::picture::picture;
pub use self::run::{Case, Failure, Figures, Memory, Row, Run, Time};

/// The style of every chart and the page, light and dark.
pub(crate) const COLOURS: &str = include_str!("report/colours.css");

/// Escapes text for HTML and SVG.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
