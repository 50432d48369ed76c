//! What became of each extension that a client offered, and why.

use std::fmt;

use ws_core::extension::{NegotiationError, Params, StackError};

use crate::Offer;

/// The outcome of a negotiation, offer by offer: the answer to "why not?".
///
/// As text it is one line an offer, in the client's order, and one for each extension that the
/// server has and the client did not ask for:
///
/// ```text
/// permessage-deflate; server_max_window_bits=8: declined: parameter server_max_window_bits: 9 to 15
/// permessage-deflate: taken as permessage-deflate; server_no_context_takeover
/// x-webkit-deflate-frame: unknown here
/// x-checksum: not offered by the client
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

    /// The names of extensions that the server has and the client did not offer.
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

/// One offer and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportEntry {
    pub(crate) offer: Offer,
    pub(crate) verdict: Verdict,
}

impl ReportEntry {
    /// What the client offered.
    pub fn offer(&self) -> &Offer {
        &self.offer
    }

    /// What became of it.
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
        }
    }
}

/// What became of one offer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It is in use.
    Taken {
        /// The parameters that it was answered with.
        response: Params,
    },
    /// The extension declined it.
    Declined(NegotiationError),
    /// It cannot stand together with an extension that was accepted before.
    Stack(StackError),
    /// The extension answered in a way that its own factory does not allow.
    Fault(FactoryFault),
    /// Another offer of the same extension is in use, and the offers of one are alternatives.
    Alternative,
    /// The server has no extension of this name.
    Unknown,
}

/// What a factory did wrong. The handshake goes on without the extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FactoryFault {
    /// It answered with a parameter whose name or value is no token.
    Response,
    /// Its extension has another scope than it announced.
    Scope,
}

impl fmt::Display for FactoryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Response => {
                "fault in the extension: it answered with a parameter that is no token"
            }
            Self::Scope => {
                "fault in the extension: its scope is not the one that its factory announced"
            }
        })
    }
}
