//! What an application may choose.

use core::{error, fmt};

use crate::{level::Level, pool::Pool, window::Window};

/// permessage-deflate, ready to be offered by a client and accepted by a server.
///
/// Implements [`ExtensionFactory`](ws_core::ExtensionFactory): give it to whatever negotiates.
///
/// ```
/// use ws_ext_deflate::Deflate;
///
/// let usual = Deflate::default();
/// let thrifty = Deflate::builder()
///     .level(1)
///     .server_max_window_bits(10)
///     .client_no_context_takeover(true)
///     .build()?;
/// # Ok::<(), ws_ext_deflate::OptionsError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deflate {
    pub(crate) level: Level,
    pub(crate) threshold: usize,
    pub(crate) history: usize,
    pub(crate) pool: Pool,
    pub(crate) server_window: Window,
    /// Whether the application chose it: then a server says it in every answer, and a client gives
    /// up where the server does not limit its window.
    pub(crate) server_window_chosen: bool,
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
            server_window_chosen: false,
            client_window: Window::PROPOSED,
            client_window_offered: false,
            server_no_context_takeover: false,
            client_no_context_takeover: false,
        }
    }
}

const DEFAULT_THRESHOLD: usize = 128;
const DEFAULT_HISTORY: usize = 4096;

impl Deflate {
    /// Everything that can be chosen, at its defaults.
    pub fn builder() -> DeflateBuilder {
        DeflateBuilder::default()
    }
}

/// Options of [`Deflate`].
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is made before `build`"]
pub struct DeflateBuilder {
    level: Option<u8>,
    threshold: Option<usize>,
    history: Option<usize>,
    pool: Option<Pool>,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<u8>,
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
}

impl DeflateBuilder {
    /// How hard to compress, from 1 (fast) to 9 (small). By default 7 for messages of at most 4096
    /// bytes, and 6 for longer ones and those whose length is not known when they begin.
    ///
    /// A level costs short messages little, since most of their time goes to what none of them
    /// spares. Of 16 KiB of JSON, 7 makes 1 % to 6 % less than 6 in 1.1 to 1.4 times the time, and 1
    /// half more in a quarter.
    ///
    /// Whatever is chosen, a connection that makes us inflate far more than it sends is compressed at
    /// level 1: from more than 16 times on, over 64 KiB and more, until it is 8 times or less. Else a
    /// few octets that inflate to what is hard to compress would keep an echo busy a thousand times as
    /// long as plain ones do. Broadcasts, which are compressed once, keep their level.
    pub fn level(mut self, level: u8) -> Self {
        self.level = Some(level);
        self
    }

    /// Messages of fewer bytes go out uncompressed, unless their sender asks for compression.
    /// Default 128; 0 compresses everything.
    ///
    /// Does not apply to messages whose length is not known when they begin.
    pub fn threshold(mut self, bytes: usize) -> Self {
        self.threshold = Some(bytes);
        self
    }

    /// Bytes of what was sent that are kept for a connection, so that the next message may refer to
    /// them, with [context takeover](Self::server_no_context_takeover). Default 4096; never more
    /// than the window; 0 compresses every message on its own.
    ///
    /// 256 of them are kept while the connection [rests](ws_core::Connection::park) or many others
    /// are busy, and none while the [`pool`](Self::pool) is at its limit. A connection that goes on
    /// alone refers to all of its window. Of JSON in messages of 1 KiB, 4096, which is a window of 12
    /// bits, spare 32 % of what goes out, 2048 spare 30 %, and 256 spare 16 %. Every KiB takes a
    /// microsecond of each message, so that fewer are worth more the shorter messages are.
    pub fn history(mut self, bytes: usize) -> Self {
        self.history = Some(bytes);
        self
    }

    /// Where the connections have their states from, and the limit on the bytes that all of them
    /// hold. Default is the pool that all share, [`Pool::default`], with a limit of 256 MiB.
    pub fn pool(mut self, pool: Pool) -> Self {
        self.pool = Some(pool);
        self
    }

    /// The largest window with which the server compresses, in bits: 8 to 15, for 256 bytes to
    /// 32 KiB ([RFC 7692 §7.1.2.1](https://www.rfc-editor.org/rfc/rfc7692#section-7.1.2.1)).
    /// Default 12. Each bit more makes messages of 16 KiB 3 % to 6 % smaller, and slower by as much or
    /// by several times that; shorter ones have something of it where [`history`](Self::history)
    /// grows as well.
    ///
    /// A server keeps to it, or to less where the client asks for less. It says so where the client
    /// names a window in its offer, or where one of less than 15 bits is set here; the default it
    /// keeps to itself, because strict clients fail over a parameter that they did not offer
    /// (`websocket-sharp`, as used in Unity).
    ///
    /// A client asks for it. What is set here it insists on: with a server that declines there is no
    /// compression. The default is a proposal, followed by an offer that leaves the choice to the
    /// server. 15 asks for nothing.
    pub fn server_max_window_bits(mut self, bits: u8) -> Self {
        self.server_max_window_bits = Some(bits);
        self
    }

    /// The largest window with which the client compresses, in bits: 8 to 15
    /// ([RFC 7692 §7.1.2.2](https://www.rfc-editor.org/rfc/rfc7692#section-7.1.2.2)). Default 12.
    ///
    /// A client keeps to it. What is set here, and is less than 15, it also says in its offer, and a
    /// server that answers with more fails the handshake; the default it keeps to itself. A server
    /// asks for it where the client says that it can be asked, as browsers do; other clients use 15
    /// bits.
    pub fn client_max_window_bits(mut self, bits: u8) -> Self {
        self.client_max_window_bits = Some(bits);
        self
    }

    /// Whether the server compresses every message on its own
    /// ([RFC 7692 §7.1.1.1](https://www.rfc-editor.org/rfc/rfc7692#section-7.1.1.1)).
    /// Default `false`.
    ///
    /// Costs most of the compression of small messages. A client insists on it; a server does it
    /// anyway where the client asks.
    pub fn server_no_context_takeover(mut self, yes: bool) -> Self {
        self.server_no_context_takeover = yes;
        self
    }

    /// Whether the client compresses every message on its own
    /// ([RFC 7692 §7.1.1.2](https://www.rfc-editor.org/rfc/rfc7692#section-7.1.1.2)).
    /// Default `false`.
    ///
    /// A server asks for it, and every client has to obey. A client says so and does it.
    pub fn client_no_context_takeover(mut self, yes: bool) -> Self {
        self.client_no_context_takeover = yes;
        self
    }

    /// Checks the options.
    ///
    /// # Errors
    /// [`OptionsError`] names the option that is out of its range.
    pub fn build(self) -> Result<Deflate, OptionsError> {
        let level = match self.level {
            None => Level::default(),
            Some(level) => Level::new(level).ok_or(OptionsError::Level(level))?,
        };
        let window = |bits: Option<u8>, error: fn(u8) -> OptionsError| match bits {
            None => Ok(Window::PROPOSED),
            Some(bits) => Window::new(bits).ok_or(error(bits)),
        };
        Ok(Deflate {
            level,
            threshold: self.threshold.unwrap_or(DEFAULT_THRESHOLD),
            history: self.history.unwrap_or(DEFAULT_HISTORY),
            pool: self.pool.unwrap_or_default(),
            server_window: window(self.server_max_window_bits, OptionsError::ServerMaxWindowBits)?,
            server_window_chosen: self.server_max_window_bits.is_some(),
            client_window: window(self.client_max_window_bits, OptionsError::ClientMaxWindowBits)?,
            client_window_offered: self.client_max_window_bits.is_some_and(|bits| bits < 15),
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
        })
    }
}

/// An option out of its range, with the value that it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionsError {
    /// The level is not one of 1 to 9.
    Level(u8),
    /// `server_max_window_bits` is not one of 8 to 15.
    ServerMaxWindowBits(u8),
    /// `client_max_window_bits` is not one of 8 to 15.
    ClientMaxWindowBits(u8),
}

impl fmt::Display for OptionsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Level(level) => write!(f, "level {level} is not one of 1 to 9"),
            Self::ServerMaxWindowBits(bits) => {
                write!(f, "server_max_window_bits {bits} is not one of 8 to 15")
            }
            Self::ClientMaxWindowBits(bits) => {
                write!(f, "client_max_window_bits {bits} is not one of 8 to 15")
            }
        }
    }
}

impl error::Error for OptionsError {}
