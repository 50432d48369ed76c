//! Which messages of a connection may take a short lane.

use crate::{Config, Payload, Receive, extension::Extensions};

/// Which messages may take a short lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// None: each message needs a look that the short lanes do not give it.
    General,
    /// All messages: there is no extension.
    Plain,
    /// Small messages: there is a single extension, and it works on messages.
    Single,
}

impl Route {
    /// The route of a connection with this configuration and these extensions. It is a short one only
    /// where no limit is so low that a short lane would have to check it.
    pub(super) fn new(config: &Config, stack: &Extensions) -> Self {
        let limits = config.whole_limit().min(config.max_sent_frame);
        if config.receive != Receive::Messages
            || config.max_fragments == 0
            || limits < Payload::INLINE
        {
            Self::General
        } else if stack.is_empty() {
            Self::Plain
        } else if stack.has_single() {
            Self::Single
        } else {
            Self::General
        }
    }
}
