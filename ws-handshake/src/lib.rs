//! The WebSocket opening handshake (RFC 6455 §4), both sides.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod accept_key;
mod authority;
mod extension_header;
mod extension_set;
mod limits;
mod list;
mod negotiation;
mod origin;
mod report;
#[doc(hidden)]
pub mod steps;
mod subprotocol;
mod uri;

pub use accept_key::{accept_key, is_valid_key};
pub use authority::Authority;
pub use extension_header::{ExtensionHeaderError, Offer, parse_extensions};
pub use extension_set::{ExtensionSet, ExtensionSetError};
pub use limits::Limits;
pub use negotiation::Negotiation;
pub use origin::{OriginError, OriginPolicy, OriginRefusal};
pub use report::{Fault, Report, ReportEntry, Verdict};
pub use subprotocol::{SubprotocolError, Subprotocols};
pub use uri::{UriError, WebSocketUri};
