//! A connection of an attacker: TCP, a handshake, octets of its choice.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::WriteHalf;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::answers::{Answer, Answers, Head};
use super::{Ledger, Target};
use crate::frame::push_masked;

/// What may lie in the attacker's own socket, in octets: what it wrote should have reached the
/// server.
const SEND_BUFFER: u32 = 64 * 1024;

/// What a client that does not read lets its system receive, in octets. The system doubles it.
const SMALL: u32 = 4 * 1024;

/// What a client that reads takes at a time, in octets.
const READ: usize = 16 * 1024;

/// The reads of a slow reader in a second.
const SLOW_READS: usize = 10;

/// How long an attacker looks for the last words of a server.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// The key of every frame. It is predictable, which harms proxies alone.
pub(super) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The first octet of a Pong.
pub(super) const PONG: u8 = 0x8a;

/// How much an attacker reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// All that comes.
    All,
    /// Nothing after the handshake, with a small receive buffer.
    Nothing,
    /// So many octets each second, with a small receive buffer.
    Slowly(usize),
}

pub(super) struct Wire {
    stream: TcpStream,
    reading: Reading,
    hearing: Hearing,
}

/// What the server said.
struct Hearing {
    answers: Answers,
    ledger: Ledger,
    head: Option<Head>,
    /// The Pongs that are due.
    pongs: Vec<u8>,
}

impl Wire {
    /// Connects from the `source`, or from wherever the system chooses.
    pub(super) async fn connect(
        target: &Target,
        source: Option<Ipv4Addr>,
        reading: Reading,
        ledger: &Ledger,
    ) -> Result<Self> {
        let connect = async {
            let (socket, is_v4) = match target.address {
                SocketAddr::V4(_) => (TcpSocket::new_v4()?, true),
                SocketAddr::V6(_) => (TcpSocket::new_v6()?, false),
            };
            if let Some(source) = source.filter(|_| is_v4 && cfg!(target_os = "linux")) {
                socket.bind(SocketAddr::from((source, 0)))?;
            }
            socket.set_send_buffer_size(SEND_BUFFER)?;
            if reading != Reading::All {
                socket.set_recv_buffer_size(SMALL)?;
            }
            let stream = socket.connect(target.address).await?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let stream = connect.await.inspect_err(|_: &Error| ledger.failed())?;
        ledger.connected();
        let hearing = Hearing {
            answers: Answers::default(),
            ledger: ledger.clone(),
            head: None,
            pongs: Vec::new(),
        };
        Ok(Self { stream, reading, hearing })
    }

    /// Asks for a WebSocket, and for the extension `offer`.
    ///
    /// # Errors
    /// If the server answers anything but 101, or does not agree to the offer.
    pub(super) async fn shake_hands(&mut self, target: &Target, offer: Option<&str>) -> Result<()> {
        self.send(request(target, offer).as_bytes()).await?;
        let mut chunk = [0; 1024];
        let head = loop {
            if let Some(head) = self.hearing.head {
                break head;
            }
            let n = self.stream.read(&mut chunk).await?;
            self.hearing.heard(&chunk[..n])?;
        };
        match head {
            Head { status: 101, deflate } if deflate || offer.is_none() => Ok(()),
            Head { status: 101, .. } => {
                Err(Error::new(ErrorKind::Unsupported, "no permessage-deflate"))
            }
            _ => Err(Error::new(ErrorKind::ConnectionRefused, "the status is not 101")),
        }
    }

    /// Writes all of it, and reads nothing meanwhile.
    pub(super) async fn send(&mut self, octets: &[u8]) -> Result<()> {
        let (_, mut to) = self.stream.split();
        write(&mut to, octets, &self.hearing.ledger).await
    }

    /// Writes the octets over and over until the connection ends.
    pub(super) async fn flood(&mut self, octets: &[u8]) -> Result<()> {
        self.pace(std::iter::repeat(octets), Duration::ZERO).await
    }

    /// Writes the pieces with a pause before each, then only reads until the connection ends.
    pub(super) async fn pace<'a>(
        &mut self,
        pieces: impl Iterator<Item = &'a [u8]>,
        pause: Duration,
    ) -> Result<()> {
        let Self { stream, reading, hearing } = self;
        let ledger = hearing.ledger.clone();
        let (mut from, mut to) = stream.split();
        let writing = async {
            for piece in pieces {
                if pause > Duration::ZERO {
                    sleep(pause).await;
                }
                write(&mut to, piece, &ledger).await?;
            }
            std::future::pending().await
        };
        let hearing = async {
            let (mut buffer, pause) = match *reading {
                Reading::All => (vec![0; READ], Duration::ZERO),
                Reading::Nothing => std::future::pending().await,
                Reading::Slowly(rate) => {
                    (vec![0; rate / SLOW_READS], Duration::from_secs(1) / SLOW_READS as u32)
                }
            };
            loop {
                let n = from.read(&mut buffer).await?;
                hearing.heard(&buffer[..n])?;
                if pause > Duration::ZERO {
                    sleep(pause).await;
                }
            }
        };
        let ended: Result<()> = tokio::select! {
            ended = writing => ended,
            ended = hearing => ended,
        };
        self.last_words().await;
        ended
    }

    /// Reads until the connection ends, and answers Pings, as an idle client does.
    pub(super) async fn rest(&mut self) -> Result<()> {
        // Small, as there may be thousands, and in the end it is this program that is measured.
        let mut buffer = [0; 256];
        loop {
            let n = self.stream.read(&mut buffer).await?;
            self.hearing.heard(&buffer[..n])?;
            let pongs = std::mem::take(&mut self.hearing.pongs);
            self.send(&pongs).await?;
        }
    }

    /// Reads what the server has said before the end, for a moment.
    async fn last_words(&mut self) {
        let Self { stream, hearing, .. } = self;
        let all = async {
            let mut buffer = vec![0; READ];
            while let Ok(n) = stream.read(&mut buffer).await
                && hearing.heard(&buffer[..n]).is_ok()
            {}
        };
        // However it ends, the words were counted.
        let _ = timeout(LAST_WORDS, all).await;
    }

    /// Ends with a reset, which leaves nothing on this machine: otherwise its ports would be used up.
    pub(super) fn reset(self) -> Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }
}

impl Hearing {
    /// Takes what was read; none is the end of the connection.
    fn heard(&mut self, octets: &[u8]) -> Result<()> {
        if octets.is_empty() {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let Self { answers, ledger, head, pongs } = self;
        answers.feed(octets, |answer| match answer {
            Answer::Head(came) => {
                ledger.status(came.status);
                *head = Some(came);
            }
            Answer::Close(code) => ledger.closed(code),
            // Those who do not answer would gather them.
            Answer::Ping(payload) => {
                pongs.clear();
                push_masked(pongs, PONG, &payload, KEY);
            }
        });
        Ok(())
    }
}

async fn write(to: &mut WriteHalf<'_>, octets: &[u8], ledger: &Ledger) -> Result<()> {
    let mut left = octets;
    while !left.is_empty() {
        let n = to.write(left).await?;
        ledger.wrote(n);
        left = &left[n..];
    }
    Ok(())
}

/// A request as short as it may be.
pub(crate) fn request(target: &Target, offer: Option<&str>) -> String {
    let Target { address, path } = target;
    let extensions =
        offer.map(|offer| format!("Sec-WebSocket-Extensions: {offer}\r\n")).unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         {extensions}\r\n"
    )
}
