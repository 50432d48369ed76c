//! Clients that do what they may, check all that they get, and must see no error.

mod echo;
mod pieces;
mod subscriber;

pub(crate) use self::echo::{echo, idle, lazy, pausing, refused};
pub(crate) use self::pieces::{mirror, slow_upload, upload};
pub(crate) use self::subscriber::{chat, news};
