//! The rules that the kit checks.

use std::fmt;

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $rule:ident: $text:literal, $remedy:literal;)+) => {
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

            /// The rule, in a sentence.
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$rule => $text,)+
                }
            }

            /// How to fix an extension that breaks it, usually.
            pub const fn remedy(self) -> &'static str {
                match self {
                    $(Self::$rule => $remedy,)+
                }
            }
        }
    };
}

rules! {
    /// The name is a token, always the same.
    Name: "the name of an extension is a token (RFC 6455 §9.1) and never changes",
        "answer `name` with a constant of letters, digits and `-`";
    /// The server accepts the factory's own offer, and the client confirms the response.
    Offers: "a server accepts what a client of the same factory offers, and the client confirms the response",
        "let `accept` take what `offers` makes, and `confirm` what `accept` answers; names and values \
         have to be tokens";
    /// A factory always gives the same scope.
    Scope: "a factory always gives the same scope, at both ends",
        "answer `scope` with a constant";
    /// Both ends claim the same bits, always the same.
    Claim: "both ends of a connection always claim the same bits on the same frames",
        "derive `claim` from what both ends know: the agreed parameters, or a constant";
    /// Unknown parameters decline the offer, and no parameter panics.
    Parameters: "unknown parameters are declined, and no parameter makes a factory panic",
        "read parameters by `Params::get` in `accept` and `confirm`, numbers by `Param::number`, and \
         other values without `unwrap`";
    /// A message comes back as it was, from client to server.
    RoundTrip: "the other end decodes what one end encodes to the same message",
        "compare what `encode` writes with what `decode` reads, message by message: both ends go through \
         the same states in the same order; and check what `accept` and `confirm` give the extension \
         for each direction";
    /// The same from server to client.
    Roles: "what holds from client to server holds from server to client",
        "check what `accept` and `confirm` give the extension for each direction: one end receives with \
         what the other sends with";
    /// Messages are marked, so that there is something to try.
    Marks: "an extension that claims bits marks some of the messages of at most 4096 octets that are \
            sent with `Compression::Always`",
        "return `Marked` from `begin_encode`, or give `Kit::messages` some that it marks; if neither is \
         possible, leave the rule out by `Kit::without`, and see in the report what was not tried";
    /// If its bits are taken, it declines, or both ends take the same other bits.
    Clash: "if its bits are taken, an extension declines, or both ends use the same other bits",
        "decline in `accept` if `free` lacks the bits, or name the ones taken in the response and read \
         that in `confirm`";
    /// A message may be empty, and so may the last chunk.
    Empty: "a message may be empty, and the last chunk of any message may be",
        "finish a unit when `input.is_last()` and the input is consumed, even if this call had no data";
    /// The cuts between chunks make no difference.
    Cuts: "in message scope, the cuts between chunks make no difference to what is decoded",
        "keep the state of a unit (position, partial data, checksum) in `self` from call to call, reset \
         it only in `begin_encode` and `begin_decode`, and finish it when `input.is_last()`";
    /// Little room makes no difference, and `Progress` is true.
    Budget: "little room for output makes no difference, and `Progress` tells the truth",
        "consume only input whose output was written (`Sink::write` returns how much fitted), keep the \
         rest for the next call, return `Full` then, and `Done` when all input is consumed and all \
         output written";
    /// Connections are independent.
    Isolation: "two connections share nothing, even within messages",
        "keep the state in the extension, and not in the factory, a static or an `Arc`";
    /// Messages without its mark leave no trace.
    Unmarked: "unmarked messages make no difference to marked ones",
        "in `begin_encode` change nothing before it is clear that it returns `Marked`, and in \
         `begin_unmarked` change nothing at all";
    /// The two directions of a connection are independent.
    Duplex: "encoding and decoding on one connection may interleave, even within messages",
        "keep a state for each direction: `begin_encode` and `encode` must not touch that for receiving, \
         nor `begin_decode` and `decode` that for sending";
    /// Rest makes no difference.
    Park: "after `park`, encoding is valid and decoding goes on as if there had been no rest",
        "free only what can be rebuilt and what the other end does not rely on: `decode` has to keep \
         what it remembers of earlier messages";
    /// No input from a peer panics.
    Garbage: "garbage, changed and truncated input is decoded or refused, and neither panics nor breaks \
              the contract",
        "read input with `get`, `first`, `split_first_chunk` and checked arithmetic, and return an \
         `ExtensionError` for malformed data";
    /// A peer's fault is not reported as a failure of this end.
    CloseCode: "an error about a peer's data carries a close code that says so",
        "use 1007 (`INVALID_PAYLOAD`) for data that cannot be decoded, or 1008 (`POLICY_VIOLATION`), and \
         1011 only for failures of this end; codes that must not be sent become 1011";
    /// Fragments and control frames between them make no difference.
    Fragments: "neither fragments nor control frames between them make a difference",
        "do not rely on `MessageInfo::len`, which is unknown for fragmented and streamed messages; in \
         frame scope, do not take a unit for the whole message";
    /// Other extensions before and after it make no difference.
    Neighbours: "other extensions in the stack make no difference",
        "expect arbitrary bytes, unknown lengths, and `MessageInfo::marks` of others, which are the same \
         when a message is sent and when it is received";
    /// The shared form is what it promises.
    Shared: "a shared encoding depends on the message alone, decodes like the extension's own, and can \
             come before and after it",
        "put everything that makes a difference to the output into the `SharedKey`, and let \
         `Sharing::sent` change the sending state as decoding changes the receiving one";
}

impl Rule {
    /// Whether the rule proves nothing about an extension that marked nothing.
    pub(super) const fn is_about_marked(self) -> bool {
        // These rules decode the kit's input; the shared form has its own mark.
        !matches!(self, Self::Garbage | Self::CloseCode | Self::Shared)
    }
}

impl fmt::Display for Rule {
    /// The rule's name, its text, and how to fix an extension that breaks it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}: {}\nto fix it: {}", self.text(), self.remedy())
    }
}
