//! The fate of each extension that a client offered, and why.

use std::fmt;

use ws_core::extension::{NegotiationError, Params, StackError};

use crate::ExtensionElement;

/// The outcome of a negotiation, offer by offer: the answer to "why not?".
///
/// Its text has one line per offer, in the client's order, and one for each extension that this end has
/// and the client did not offer. A server knows why:
///
/// ```text
/// permessage-deflate; server_max_window_bits=7: declined: parameter server_max_window_bits: a number from 8 to 15
/// permessage-deflate: taken as permessage-deflate; server_no_context_takeover
/// x-webkit-deflate-frame: unknown here
/// x-checksum: not offered by the client
/// ```
///
/// A client knows only what the answer tells: which extensions are in use, but neither which of several
/// offers of one was accepted, nor why another extension is not in use:
///
/// ```text
/// x-squeeze; level=9: this offer or another of it was taken, as x-squeeze; level=5
/// x-squeeze: this offer or another of it was taken, as x-squeeze; level=5
/// x-trace; id=7: taken as x-trace
/// x-checksum: not taken: the server does not say why
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub(crate) entries: Vec<ReportEntry>,
    pub(crate) not_offered: Vec<Box<str>>,
}

impl Report {
    /// The offers, in the client's order.
    pub fn entries(&self) -> &[ReportEntry] {
        &self.entries
    }

    /// The names of extensions that this end has and the client did not offer. On the client they are
    /// those without [`offers`](ws_core::ExtensionFactory::offers).
    pub fn not_offered(&self) -> impl ExactSizeIterator<Item = &str> {
        self.not_offered.iter().map(AsRef::as_ref)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for entry in &self.entries {
            write!(f, "{separator}{entry}")?;
            separator = "\n";
        }
        for name in &self.not_offered {
            write!(f, "{separator}{name}: not offered by the client")?;
            separator = "\n";
        }
        Ok(())
    }
}

/// One offer and its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportEntry {
    pub(crate) offer: ExtensionElement,
    pub(crate) verdict: Verdict,
}

impl ReportEntry {
    /// What the client offered.
    pub fn offer(&self) -> &ExtensionElement {
        &self.offer
    }

    /// Its fate.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }
}

impl fmt::Display for ReportEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.offer)?;
        match &self.verdict {
            Verdict::Taken { response } => write!(f, "taken as {}{response}", self.offer.name()),
            Verdict::Declined(reason) => write!(f, "declined: {reason}"),
            Verdict::Stack(error) => write!(f, "declined: {error}"),
            Verdict::Fault(fault) => write!(f, "declined: {fault}"),
            Verdict::Alternative => write!(f, "not needed: another offer of it was taken"),
            Verdict::Unknown => write!(f, "unknown here"),
            Verdict::OneOf { response } => write!(
                f,
                "this offer or another of it was taken, as {}{response}",
                self.offer.name()
            ),
            Verdict::NotTaken => write!(f, "not taken: the server does not say why"),
        }
    }
}

/// The fate of one offer.
///
/// A server reports the variants from [`Taken`](Self::Taken) to [`Unknown`](Self::Unknown); a client
/// reports `Taken`, [`OneOf`](Self::OneOf) and [`NotTaken`](Self::NotTaken).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is in use.
    Taken {
        /// The parameters of the response.
        response: Params,
    },
    /// The extension declined it.
    Declined(NegotiationError),
    /// It cannot be combined with an extension that was accepted before.
    Stack(StackError),
    /// The factory's answer is invalid.
    Fault(FactoryFault),
    /// Another offer of the same extension is in use, and the offers of one are alternatives.
    Alternative,
    /// The server has no extension of this name.
    Unknown,
    /// The extension is in use, by this offer or another one. The client made several, and a response
    /// names only the extension: its parameters may differ from those of the offer.
    OneOf {
        /// The parameters of the response.
        response: Params,
    },
    /// The server does not use the extension: it does not know it, or declined it.
    NotTaken,
}

/// What a factory did wrong. The handshake continues without the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum FactoryFault {
    /// It answered with a parameter whose name or value is not a token.
    #[error("fault in the extension: it answered with a parameter that is not a token")]
    Response,
}
