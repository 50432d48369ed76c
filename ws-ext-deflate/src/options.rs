//! What an application may choose.

use crate::{level::Level, pool::Pool, window::Window};

const DEFAULT_THRESHOLD: usize = 128;
const DEFAULT_HISTORY: usize = 4096;

/// permessage-deflate, ready to be offered by a client and accepted by a server.
///
/// Implements [`ExtensionFactory`](ws_core::ExtensionFactory): give it to whatever negotiates. Each
/// option has a setter that takes the value and returns the factory. A number outside the range of an
/// option counts as the nearest one inside.
///
/// ```
/// use ws_ext_deflate::Deflate;
///
/// let usual = Deflate::default();
/// let thrifty = Deflate::default()
///     .level(1)
///     .server_max_window_bits(10)
///     .client_no_context_takeover(true);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it does nothing until a server or client negotiates it"]
pub struct Deflate {
    pub(crate) level: Level,
    pub(crate) threshold: usize,
    pub(crate) history: usize,
    pub(crate) pool: Pool,
    pub(crate) server_window: Window,
    /// Whether the application set it: a server then names it in every response, and a client gives
    /// up if the server does not limit its window.
    pub(crate) server_window_set: bool,
    pub(crate) client_window: Window,
    /// Whether a client tells the server its window.
    pub(crate) client_window_offered: bool,
    pub(crate) server_no_context_takeover: bool,
    pub(crate) client_no_context_takeover: bool,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            level: Level::default(),
            threshold: DEFAULT_THRESHOLD,
            history: DEFAULT_HISTORY,
            pool: Pool::default(),
            server_window: Window::PROPOSED,
            server_window_set: false,
            client_window: Window::PROPOSED,
            client_window_offered: false,
            server_no_context_takeover: false,
            client_no_context_takeover: false,
        }
    }
}

impl Deflate {
    /// How hard to compress, from 1 (fast) to 9 (small). Default: 7 for messages of at most 4096
    /// bytes, 6 for longer ones and those whose length is not known when they begin.
    ///
    /// For short messages the level costs little, because most of their time goes to what is the same
    /// at every level. Of 16 KiB of JSON, level 7 makes 1 % to 6 % less than 6 in 1.1 to 1.4 times the
    /// time, and level 1 makes half as much again in a quarter of it.
    ///
    /// A connection that makes us inflate far more than it sends is always compressed at level 1: from
    /// more than 16 times on, measured over at least 64 KiB, until the factor is 8 or less. Otherwise a
    /// few octets that inflate to data that is hard to compress would keep an echo busy a thousand
    /// times as long as plain ones do. Broadcasts, which are compressed once, keep their level.
    pub fn level(mut self, level: u8) -> Self {
        self.level = Level::nearest(level);
        self
    }

    /// Messages of fewer bytes go out uncompressed, unless their sender asks for compression.
    /// Default 128; 0 compresses everything.
    ///
    /// Does not apply to messages whose length is not known when they begin.
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = bytes;
        self
    }

    /// Bytes of sent plaintext to keep for a connection, so that its next message can refer back to
    /// them, with [context takeover](Self::server_no_context_takeover). Default 4096; never more
    /// than the window; 0 compresses every message on its own.
    ///
    /// While the connection [rests](ws_core::Connection::park) or many others are busy, 256 bytes are
    /// kept; while the [`pool`](Self::pool) is at its limit, none. A connection that is busy alone
    /// refers back to all of its window. On JSON in messages of 1 KiB, 4096 bytes (a whole window of
    /// 12 bits) save 32 % of the output, 2048 save 30 %, and 256 save 16 %. Every KiB takes a
    /// microsecond of each message, so the shorter the messages, the fewer bytes pay off.
    pub fn history(mut self, bytes: usize) -> Self {
        self.history = bytes;
        self
    }

    /// The pool that connections draw deflaters and inflaters from, with the limit on the bytes that
    /// all of them hold. Default: [`Pool::default`], which the whole process shares, with 256 MiB.
    pub fn pool(mut self, pool: Pool) -> Self {
        self.pool = pool;
        self
    }

    /// The largest window with which the server compresses, in bits: 8 to 15, for 256 bytes to
    /// 32 KiB ([RFC 7692 §7.1.2.1](https://www.rfc-editor.org/rfc/rfc7692#section-7.1.2.1)).
    /// Default 12. Each further bit makes messages of 16 KiB 3 % to 6 % smaller, and slower by as much
    /// or by several times that; shorter messages benefit if [`history`](Self::history) grows as well.
    ///
    /// A server keeps to it, or to less if the client asks for less. It names the window in its
    /// response if the client named one in its offer, or if one of less than 15 bits is set here. It
    /// does not mention the default, because strict clients fail on a parameter that they did not
    /// offer (`websocket-sharp`, as used in Unity).
    ///
    /// A client asks for it. It insists on a window that is set here: if the server declines, there is
    /// no compression. The default is only a proposal, followed by an offer that leaves the choice to
    /// the server. 15 asks for nothing.
    pub fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.server_window = Window::nearest(bits);
        self.server_window_set = true;
        self
    }

    /// The largest window with which the client compresses, in bits: 8 to 15
    /// ([RFC 7692 §7.1.2.2](https://www.rfc-editor.org/rfc/rfc7692#section-7.1.2.2)). Default 12.
    ///
    /// A client keeps to it. If less than 15 is set here, it also names it in its offer, and fails the
    /// handshake if the server answers with more; it does not mention the default. A server asks for
    /// it if the client allows that, as browsers do; other clients use 15 bits.
    pub fn client_max_window_bits(mut self, bits: u8) -> Self {
        self.client_window = Window::nearest(bits);
        self.client_window_offered = self.client_window < Window::MAX;
        self
    }

    /// Whether the server compresses every message on its own
    /// ([RFC 7692 §7.1.1.1](https://www.rfc-editor.org/rfc/rfc7692#section-7.1.1.1)).
    /// Default `false`.
    ///
    /// Loses most of the compression of small messages. A client insists on it; a server does it
    /// anyway if the client asks.
    pub fn server_no_context_takeover(mut self, yes: bool) -> Self {
        self.server_no_context_takeover = yes;
        self
    }

    /// Whether the client compresses every message on its own
    /// ([RFC 7692 §7.1.1.2](https://www.rfc-editor.org/rfc/rfc7692#section-7.1.1.2)).
    /// Default `false`.
    ///
    /// A server asks for it, and every client has to obey. A client says so in its offer and does it.
    pub fn client_no_context_takeover(mut self, yes: bool) -> Self {
        self.client_no_context_takeover = yes;
        self
    }
}
