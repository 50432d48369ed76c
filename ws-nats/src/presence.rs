//! Who is here, on all nodes.

mod local;
#[cfg(test)]
mod model;
mod protocol;
mod state;
mod table;

pub use self::state::known::Presence;
