//! What the kit holds an extension to.

use std::fmt;

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $rule:ident: $says:literal, $mend:literal;)+) => {
        /// A rule of the contract that an extension can break.
        ///
        /// The kit tries them in this order, which is also that of [`Ord`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[doc = $doc])+ $rule,)+
        }

        impl Rule {
            /// Every rule, in the order in which they are tried.
            pub const ALL: &'static [Self] = &[$(Self::$rule),+];

            /// What it asks for, in a sentence.
            pub const fn says(self) -> &'static str {
                match self {
                    $(Self::$rule => $says,)+
                }
            }

            /// How an extension that breaks it is usually mended.
            pub const fn mend(self) -> &'static str {
                match self {
                    $(Self::$rule => $mend,)+
                }
            }
        }
    };
}

rules! {
    /// The name is a token, always the same.
    Name: "the name of an extension is a token (RFC 6455 §9.1) and never changes",
        "answer `name` with a constant of letters, digits and `-`";
    /// An own offer is accepted, and its response confirmed.
    Offers: "what a client offers its own server accepts, and the response to it is confirmed",
        "let `accept` take what `offers` makes and `confirm` what `accept` answers; names and values \
         are tokens";
    /// A factory names one scope, always the same.
    Scope: "a factory names the same scope whenever it is asked, at both ends",
        "answer `scope` with a constant";
    /// Both ends claim the same bits, always the same.
    Claim: "both ends of a connection claim the same bits on the same frames, whenever they are asked",
        "make `claim` of what was agreed, which both ends know: the parameters, or a constant";
    /// Parameters that nobody defined decline the offer, and no parameter panics.
    Parameters: "unknown parameters are declined, and no parameter makes a factory panic",
        "match every parameter and return a `NegotiationError` for the rest, in `accept` and `confirm`; \
         read numbers by `Param::number`, and other values without `unwrap`";
    /// A message comes back as it was, from client to server.
    RoundTrip: "what one end encodes the other decodes to the same message",
        "compare what `encode` writes with what `decode` reads, message by message: both ends go through \
         the same states in the same order; and look at what `accept` and `confirm` hand to the \
         extension for each direction";
    /// The same from server to client.
    Roles: "what holds from client to server holds from server to client",
        "look at what `accept` and `confirm` hand to the extension for each direction: what one end \
         sends with, the other receives with";
    /// Messages are marked, so that there is something to try.
    Marks: "an extension that claims bits marks some of the messages of at most 4096 octets that are \
            sent with `Compression::Always`",
        "answer `Marked` in `begin_encode`, or give `Kit::messages` some that it marks; where that cannot \
         be, leave the rule out by `Kit::without`, and see in the report what was not tried";
    /// Where bits are taken, it declines or both ends take the same others.
    Clash: "where its bits are taken an extension declines, or both ends use the same others",
        "decline in `accept` when `free` lacks the bits, or say in the response which ones were taken \
         and read that in `confirm`";
    /// An empty message, and an end that comes alone.
    Empty: "a message may be empty, and the last chunk of any message may be",
        "finish a unit when `input.is_last()` and the input is consumed, also if this call had no data; \
         write nothing only because there was nothing to read";
    /// Where the engine cuts a message cannot be seen.
    Cuts: "how a message of message scope is cut into chunks makes no difference to what is decoded",
        "keep what a unit needs (position, partial data, checksum) in `self` from call to call, begin \
         it anew in `begin_encode` and `begin_decode` alone, and end it where `input.is_last()`";
    /// Little room makes no difference, and progress is told truly.
    Budget: "little room for output makes no difference, and `Progress` tells the truth",
        "consume only what was written (`Sink::write` says how much that was), keep the rest for the \
         next call, say `Full` then and `Done` when all input is consumed and all output written";
    /// Connections do not touch.
    Isolation: "two connections share nothing, even within messages",
        "keep the state in the extension and not in the factory, a static or behind an `Arc`";
    /// Messages without its mark leave no trace.
    Unmarked: "messages that are not marked make no difference to those that are",
        "change nothing in `begin_encode` before it is clear that it answers `Marked`, and nothing in \
         `begin_unmarked`";
    /// The two directions of a connection do not touch.
    Duplex: "encoding and decoding on one connection may interleave, even within messages",
        "keep a state for each direction, and touch in `begin_encode` and `encode` nothing of the one \
         that receives, in `begin_decode` and `decode` nothing of the one that sends";
    /// Rest makes no difference.
    Park: "what follows `park` is encoded validly and decoded as if there had been no rest",
        "give back only what can be rebuilt or what the other end does not rely on: what it remembers of \
         earlier messages has to stay when decoding";
    /// Nothing that a peer sends takes the process with it.
    Garbage: "garbage, changed and truncated input is decoded or refused, and neither panics nor breaks \
              the contract",
        "read input by `get`, `first`, `split_first_chunk` and checked arithmetic, and return an \
         `ExtensionError` for what does not fit";
    /// What a peer did wrong is not told as a failure of this end.
    CloseCode: "an error about a peer's data carries a close code that says so",
        "use 1007 (`INVALID_PAYLOAD`) for data that cannot be decoded or 1008 (`POLICY_VIOLATION`), and \
         leave 1011 to what failed at this end; codes that may not be sent become 1011";
    /// Fragments and control frames between them make no difference.
    Fragments: "how a message is fragmented makes no difference, nor do control frames within it",
        "do not rely on `MessageInfo::len`, which is unknown for fragmented and streamed messages, nor \
         on a unit being the whole message in frame scope";
    /// Other extensions before and behind make no difference.
    Neighbours: "other extensions in the stack make no difference",
        "expect any bytes, lengths that are unknown, and `MessageInfo::marks` of others: the same marks \
         are told when a message is sent and when it is received";
    /// The shared form is what it promises.
    Shared: "a shared encoding depends on the message alone, is decoded like the extension's own, and \
             goes before and behind it",
        "put all that makes a difference to the output into the `SharedKey`, and let `Sharing::sent` do to \
         the sending state what decoding that message does to the receiving one";
}

impl Rule {
    /// Whether it says nothing about an extension that marked nothing.
    pub(super) const fn is_about_marked(self) -> bool {
        // Those decode what the kit made, and the shared form is marked by itself.
        !matches!(self, Self::Garbage | Self::CloseCode | Self::Shared)
    }
}

impl fmt::Display for Rule {
    /// The name of the rule, what it asks for and how it is mended.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}: {}\nto mend it: {}", self.says(), self.mend())
    }
}
