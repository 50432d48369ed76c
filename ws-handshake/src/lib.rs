//! The WebSocket opening handshake (RFC 6455 §4), both sides.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod accept;
mod accept_key;
mod authority;
mod cause;
mod client;
mod client_response;
mod extension_header;
mod extension_set;
mod extra_headers;
mod head;
mod head_writer;
mod limits;
mod list;
mod negotiation;
mod origin;
mod rejection;
mod report;
mod request_reader;
mod response_error;
mod response_reader;
mod server;
#[doc(hidden)]
pub mod steps;
mod subprotocol;
mod uri;

pub use accept::{AcceptError, AcceptOptions, Accepted};
pub use accept_key::{accept_key, is_valid_key};
pub use authority::Authority;
pub use cause::Cause;
pub use client::{ClientHandshake, ClientOptions, RequestError};
pub use client_response::Connected;
pub use extension_header::{ExtensionHeaderError, Offer, parse_extensions};
pub use extension_set::{ExtensionSet, ExtensionSetError};
pub use extra_headers::InvalidHeader;
pub use head::HeadError;
pub use head_writer::{write_response, write_response_head};
pub use limits::Limits;
pub use negotiation::Negotiation;
pub use origin::{OriginError, OriginPolicy, OriginRefusal};
pub use rejection::Rejection;
pub use report::{Fault, Report, ReportEntry, Verdict};
pub use request_reader::RequestReader;
pub use response_error::{Refusal, ResponseError};
pub use response_reader::ResponseReader;
pub use server::Upgrade;
pub use subprotocol::{SubprotocolError, Subprotocols};
pub use uri::{UriError, WebSocketUri};
