//! Extensions (RFC 6455 §9), and the contract about the RSV bits, which the engine enforces.
//!
//! There are two traits: an immutable [`ExtensionFactory`] negotiates in the opening handshake, and the
//! [`Extension`] that it makes transforms the messages of one connection. An [`Extensions`] stack
//! holds those that were agreed, in the order of the response header.
//!
//! **To write one, read the [guide]**, from the first picture to a server that speaks it.
//!
//! | to know | see |
//! |---|---|
//! | how frames pass the stack, and in which order | [the idea in a picture](guide#the-idea-in-a-picture) |
//! | what a whole extension looks like, in 40 lines | [begin](guide#begin) |
//! | which RSV bits to claim, and who uses which | [which bits to claim](guide#which-bits-to-claim) |
//! | whether to see streams, messages or frames | [choose a scope](guide#choose-a-scope) |
//! | what [`Chunk`], [`Sink`] and [`Progress`] ask for | [budgets and progress](guide#budgets-and-progress) |
//! | how offers are answered and declined | [negotiate parameters](guide#negotiate-parameters) |
//! | whether yours keeps the contract | [test it](guide#test-it) |
//!
//! # Stability
//! Methods added to the traits later will have a default. [`Mark`], [`Progress`] and [`Compression`]
//! are closed: match all of their variants. What an extension returns ([`Scope`], [`RsvClaim`],
//! [`SharedForm`], [`Agreed`]), what it gets ([`MessageInfo`]) and errors may grow.
//!
//! # Cost
//! An empty stack costs nothing: no box, no virtual call, no copy. A message that lies in one frame
//! and passes one extension is copied once and allocates nothing of its own.

mod chain;
mod fixed;
pub mod guide;
mod layer;
mod params;
mod rsv;
mod sharing;
mod stack;
mod transfer;

use alloc::{borrow::Cow, boxed::Box, sync::Arc, vec, vec::Vec};
use core::fmt;

pub use crate::message::Compression;
use crate::{CloseCode, MessageKind};

pub(crate) use chain::{Chain, ChainStatus, Flow};
pub use fixed::FixedFactory;
pub(crate) use layer::{ChainError, Direction, Failure, Layer, keep_small};
pub use params::{Param, Params};
pub use rsv::{Rsv, RsvClaim};
pub use sharing::{SharedEncoder, SharedForm, SharedKey, Sharing};
pub use stack::{Extensions, StackError};
pub(crate) use transfer::{CallError, Called};
pub use transfer::{Chunk, Progress, Sink};

/// Negotiates one extension and makes an [`Extension`] for every connection that agreed on it.
///
/// One factory serves all connections of a server or client, so it is immutable. An extension without
/// parameters can use [`FixedFactory`].
pub trait ExtensionFactory: Send + Sync {
    /// The extension token in `Sec-WebSocket-Extensions`, compared exactly.
    fn name(&self) -> &str;

    /// The unit of every extension that this factory makes: always the same.
    ///
    /// The factory gives it, not the [`Extension`], because it is needed before any connection
    /// exists: a configuration in which an extension of message scope would follow one of frame
    /// scope is refused when it is made.
    fn scope(&self) -> Scope;

    /// Server: answers one offer. The offers of a request come in the client's order of preference,
    /// until one is accepted.
    ///
    /// `free` are the RSV bits that no extension accepted before has claimed. A claim outside `free` is
    /// not fatal: the offer counts as declined, and the next one is tried.
    ///
    /// # Errors
    /// Decline the offer, with a reason for the report. The handshake goes on.
    fn accept(&self, offer: &Params, free: Rsv) -> Result<Agreed, NegotiationError>;

    /// Client: the offers to send, in order of preference. They are alternatives, of which the server
    /// takes one at most.
    ///
    /// The default is one offer without parameters.
    fn offers(&self) -> Vec<Params> {
        vec![Params::new()]
    }

    /// Client: checks the parameters that the server agreed to, and makes the extension.
    ///
    /// `offers` are those that this handshake made of the extension. Most factories need only the
    /// response. The offers matter where a response means something only together with one of them,
    /// for example where each offer carries a fresh salt: a factory makes the offers of many
    /// connections and cannot remember them.
    ///
    /// # Errors
    /// A response that answers none of the offers fails the handshake.
    fn confirm(
        &self,
        response: &Params,
        offers: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError>;
}

/// A shared factory is a factory too, even an `Arc<dyn ExtensionFactory>`.
impl<F: ExtensionFactory + ?Sized> ExtensionFactory for Arc<F> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn scope(&self) -> Scope {
        (**self).scope()
    }

    fn accept(&self, offer: &Params, free: Rsv) -> Result<Agreed, NegotiationError> {
        (**self).accept(offer, free)
    }

    fn offers(&self) -> Vec<Params> {
        (**self).offers()
    }

    fn confirm(
        &self,
        response: &Params,
        offers: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        (**self).confirm(response, offers)
    }
}

/// A server's consent to an offer.
#[non_exhaustive]
pub struct Agreed {
    /// The parameters to answer with.
    pub response: Params,
    /// The extension for this connection.
    pub extension: Box<dyn Extension>,
}

impl Agreed {
    /// Accepts an offer with these response parameters and this extension.
    pub fn new(response: Params, extension: Box<dyn Extension>) -> Self {
        Self { response, extension }
    }
}

impl fmt::Debug for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agreed").field("response", &self.response).finish_non_exhaustive()
    }
}

/// Why a server declines an offer, or a client refuses a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiationError {
    parameter: Option<Box<str>>,
    reason: Cow<'static, str>,
}

impl NegotiationError {
    /// A reason about the extension as a whole.
    pub fn new(reason: impl Into<Cow<'static, str>>) -> Self {
        Self { parameter: None, reason: reason.into() }
    }

    /// A reason about one parameter.
    pub fn parameter(name: &str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { parameter: Some(name.into()), reason: reason.into() }
    }

    /// The parameter at fault, if it is one.
    pub fn parameter_name(&self) -> Option<&str> {
        self.parameter.as_deref()
    }
}

impl fmt::Display for NegotiationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parameter {
            Some(name) => write!(f, "parameter {name}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

impl core::error::Error for NegotiationError {}

/// Transforms the data messages of one connection, in both directions.
///
/// The engine calls, for every unit (a message, or a frame where the factory's
/// [scope](ExtensionFactory::scope) is [`Scope::Frame`]):
/// `begin_encode`, then `encode` until it returns [`Progress::Done`] for the chunk that
/// [ends the unit](Chunk::is_last); likewise `begin_decode` and `decode`, or `begin_unmarked` alone.
/// Encoding and decoding of one connection may interleave.
pub trait Extension: Send {
    /// The RSV bits of this accepted configuration. Called once, when the stack is built.
    fn claim(&self) -> RsvClaim;

    /// An outgoing unit begins: whether this extension will transform and mark it.
    ///
    /// If an extension that claims a bit returns [`Mark::Unmarked`], `encode` is not called for this
    /// unit. An extension that claims no bit always sees the data. With [`Scope::Frame`] and
    /// [`RsvClaim::FirstFrame`], called for a message's first frame only.
    ///
    /// The default marks every unit.
    ///
    /// # Errors
    /// Fail the connection with the code of the error.
    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        let _ = unit;
        Ok(Mark::Marked)
    }

    /// An incoming unit begins that this extension will decode.
    ///
    /// # Errors
    /// Fail the connection with the code of the error.
    fn begin_decode(&mut self, unit: &MessageInfo) -> Result<(), ExtensionError> {
        let _ = unit;
        Ok(())
    }

    /// An incoming unit begins that carries none of the claimed bits and will pass undecoded. Not
    /// called for [`RsvClaim::None`], nor for continuation frames if the claim is
    /// [`RsvClaim::FirstFrame`].
    ///
    /// The default lets it pass, which is right for an extension that marks some messages and not
    /// others. An extension that both ends apply to every unit, to sign or encrypt, must refuse it
    /// here: otherwise anyone who can clear a bit can switch the extension off.
    ///
    /// # Errors
    /// Fail the connection with the code of the error.
    fn begin_unmarked(&mut self, unit: &MessageInfo) -> Result<(), ExtensionError> {
        let _ = unit;
        Ok(())
    }

    /// Transforms outgoing data from `input` into `out`.
    ///
    /// [`Progress::Done`] says that `input` is consumed and all output for it written;
    /// [`Progress::Full`] asks for another call with the rest of the input and new room.
    ///
    /// # Errors
    /// Fail the connection with the code of the error.
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError>;

    /// Transforms incoming data from `input` into `out`, on the terms of [`encode`](Self::encode).
    ///
    /// # Errors
    /// Fail the connection with the code of the error.
    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError>;

    /// The connection rests: free what can be rebuilt or forgotten. Called only between messages.
    /// Afterwards, encoding must be valid, and decoding must go on as if there had been no rest.
    fn park(&mut self) {}

    /// Heap bytes that this extension holds now, excluding the extension itself.
    fn memory_usage(&self) -> usize {
        0
    }

    /// How this extension encodes a broadcast once for many connections.
    ///
    /// `None`, the default, encodes every message for each connection, which is always right.
    fn sharing(&mut self) -> Option<&mut dyn Sharing> {
        None
    }
}

/// The unit that an extension transforms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// A message as a stream of chunks, cut anywhere.
    Message,
    /// A message gathered into one chunk, bounded by the message limit.
    WholeMessage,
    /// The payload of one data frame, gathered into one chunk, bounded by the frame limit.
    Frame,
}

/// Whether the unit that begins carries the claimed RSV bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The claimed bits are set.
    Marked,
    /// The claimed bits are clear.
    Unmarked,
}

/// What is known about a unit when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MessageInfo {
    /// Text or binary.
    pub kind: MessageKind,
    /// Bytes that will enter this extension, if known. `None` for a message that is streamed or arrives
    /// in fragments, and after an extension that transforms the message.
    pub len: Option<u64>,
    /// Bits that extensions nearer to the application set on the unit's first frame.
    ///
    /// They say how to read the data that this extension transforms, and travel in the header, outside
    /// the data: an extension that authenticates has to cover them.
    pub marks: Rsv,
    /// The sender's hint, for outgoing messages; [`Compression::Auto`] for incoming ones.
    pub compression: Compression,
}

impl MessageInfo {
    /// For tests of an extension, and for an extension that wraps another.
    pub const fn new(kind: MessageKind, len: Option<u64>, compression: Compression) -> Self {
        Self { kind, len, marks: Rsv::NONE, compression }
    }
}

/// An extension's error, which fails the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionError(Box<Reason>);

/// Boxed, so that results without an error stay small.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reason {
    code: CloseCode,
    text: Cow<'static, str>,
}

impl ExtensionError {
    /// Fails the connection with `code`, for example [`CloseCode::INVALID_PAYLOAD`] for corrupt data. A
    /// code that must not be sent becomes [`CloseCode::INTERNAL_ERROR`]. The peer reads `reason`.
    pub fn new(code: CloseCode, reason: impl Into<Cow<'static, str>>) -> Self {
        let code = if code.is_sendable() { code } else { CloseCode::INTERNAL_ERROR };
        Self(Box::new(Reason { code, text: reason.into() }))
    }

    /// The close code.
    pub fn code(&self) -> CloseCode {
        self.0.code
    }
}

impl fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl core::error::Error for ExtensionError {}
