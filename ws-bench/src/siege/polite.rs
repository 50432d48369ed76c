//! Clients that mean no harm, and how long they wait.

use std::io::{Error, ErrorKind, Result};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hdrhistogram::Histogram;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::frame::{BINARY, push_masked, unmasked_header};
use crate::hostile::{Target, request};

/// Clients that stay.
const CLIENTS: usize = 20;

/// Each asks so often, and rarely where all get the message.
const PAUSE: Duration = Duration::from_millis(10);
const BROADCAST_PAUSE: Duration = Duration::from_millis(100);

/// The pause between newcomers.
const NEWCOMERS: Duration = Duration::from_millis(200);

/// Who waits longer than this has lost its connection.
const PATIENCE: Duration = Duration::from_secs(10);

/// Octets in a message.
const MESSAGE: usize = 64;

/// Waiting times, in nanoseconds.
pub(super) type Waits = Histogram<u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Before,
    During,
    After,
    Over,
}

const PHASES: [Phase; 4] = [Phase::Before, Phase::During, Phase::After, Phase::Over];

/// What happened to them.
#[derive(Debug, Default)]
pub(super) struct Manners {
    phases: Vec<OfPhase>,
    /// Clients whose connection ended, or who waited for too long.
    pub(super) lost: u64,
}

/// What happened in a phase.
#[derive(Clone, Debug)]
pub(super) struct OfPhase {
    /// From when a message was due until its echo came. A message that had to wait for the echo of
    /// the one before it was due all the same.
    pub(super) echoes: Waits,
    /// From the connection to the echo, for newcomers.
    pub(super) openings: Waits,
    /// Newcomers that were not served.
    pub(super) refused: u64,
}

/// The clients, on a thread of their own.
pub(super) struct Polite {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

struct Shared {
    target: Target,
    pause: Duration,
    phase: AtomicU8,
    manners: Mutex<Manners>,
}

impl Polite {
    /// Opens all, and returns when each has had an echo.
    pub(super) fn start(target: Target, broadcast: bool) -> std::result::Result<Self, String> {
        let phases =
            PHASES.map(|_| OfPhase { echoes: histogram(), openings: histogram(), refused: 0 });
        let shared = Arc::new(Shared {
            target,
            pause: if broadcast { BROADCAST_PAUSE } else { PAUSE },
            phase: AtomicU8::new(Phase::Before as u8),
            manners: Mutex::new(Manners { phases: phases.to_vec(), lost: 0 }),
        });
        let (sender, opened) = mpsc::channel();
        let of_thread = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(all(of_thread, &sender));
        });
        match opened.recv() {
            Ok(Ok(())) => Ok(Self { shared, thread }),
            Ok(Err(error)) => Err(format!("a polite client: {error}")),
            Err(_) => Err("the polite clients have ended".to_owned()),
        }
    }

    pub(super) fn enter(&self, phase: Phase) {
        self.shared.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Waits for those that wait for an echo, and says what happened.
    pub(super) fn stop(self) -> Manners {
        self.enter(Phase::Over);
        // It has nothing to say but what is shared.
        let _ = self.thread.join();
        self.shared.manners(std::mem::take)
    }
}

impl Manners {
    pub(super) fn waits(&self, phase: Phase) -> &OfPhase {
        &self.phases[phase as usize]
    }
}

impl Shared {
    fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Ordering::Relaxed))]
    }

    fn manners<T>(&self, change: impl FnOnce(&mut Manners) -> T) -> T {
        change(&mut self.manners.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn count(&self, phase: Phase, change: impl FnOnce(&mut OfPhase)) {
        self.manners(|manners| change(&mut manners.phases[phase as usize]));
    }
}

fn histogram() -> Waits {
    // Nanoseconds, up to two minutes, to three digits.
    Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("bounds that are possible")
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

async fn all(shared: Arc<Shared>, opened: &mpsc::Sender<Result<()>>) {
    let mut clients = tokio::task::JoinSet::new();
    for index in 0..CLIENTS {
        let mut speaker = match Speaker::open(&shared.target, index as u64).await {
            Ok(speaker) => speaker,
            Err(error) => {
                let _ = opened.send(Err(error));
                return;
            }
        };
        let shared = Arc::clone(&shared);
        clients.spawn(async move {
            if speaker.stay(&shared).await.is_err() {
                shared.manners(|manners| manners.lost += 1);
            }
        });
    }
    let _ = opened.send(Ok(()));
    clients.spawn(newcomers(Arc::clone(&shared)));
    while clients.join_next().await.is_some() {}
}

/// One after another comes, has an echo, and goes.
async fn newcomers(shared: Arc<Shared>) {
    let mut number = CLIENTS as u64;
    let mut due = Instant::now();
    loop {
        due += NEWCOMERS;
        sleep_until(due).await;
        let phase = shared.phase();
        if phase == Phase::Over {
            return;
        }
        number += 1;
        let began = Instant::now();
        let served = async {
            let speaker = Speaker::open(&shared.target, number).await?;
            // With a reset, which leaves no port behind.
            SockRef::from(&speaker.stream).set_linger(Some(Duration::ZERO))
        };
        let served = timeout(PATIENCE, served).await.is_ok_and(|served| served.is_ok());
        let wait = nanoseconds(began.elapsed());
        shared.count(phase, |of| match served {
            true => of.openings.saturating_record(wait),
            false => of.refused += 1,
        });
        due = due.max(Instant::now());
    }
}

/// A connection with a message at a time.
struct Speaker {
    stream: TcpStream,
    input: Vec<u8>,
    index: u64,
    asked: u64,
}

impl Speaker {
    /// Opens it, and waits for a first echo.
    async fn open(target: &Target, index: u64) -> Result<Self> {
        let mut stream = TcpStream::connect(target.address()).await?;
        stream.set_nodelay(true)?;
        stream.write_all(request(target, None).as_bytes()).await?;
        let mut input = Vec::new();
        let end = loop {
            if let Some(at) = input.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut input).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        };
        if !input.starts_with(b"HTTP/1.1 101 ") {
            return Err(Error::new(ErrorKind::ConnectionRefused, "the status is not 101"));
        }
        input.drain(..end);
        let mut speaker = Self { stream, input, index, asked: 0 };
        timeout(PATIENCE, speaker.ask()).await??;
        Ok(speaker)
    }

    /// Asks at its rate until all is over.
    async fn stay(&mut self, shared: &Shared) -> Result<()> {
        // Not all at the same moment.
        let mut due = Instant::now() + shared.pause * self.index as u32 / CLIENTS as u32;
        loop {
            // A clock that wakes late is no fault of the server, an echo that came late is.
            let from = if due > Instant::now() {
                sleep_until(due).await;
                Instant::now()
            } else {
                due
            };
            let phase = shared.phase();
            if phase == Phase::Over {
                return Ok(());
            }
            let answered = timeout(PATIENCE, self.ask()).await;
            let wait = nanoseconds(from.elapsed());
            shared.count(phase, |of| of.echoes.saturating_record(wait));
            answered??;
            due += shared.pause;
        }
    }

    /// Sends a message, and reads until it comes back.
    async fn ask(&mut self) -> Result<()> {
        self.asked += 1;
        let mut message = [0; MESSAGE];
        message[..8].copy_from_slice(&self.index.to_be_bytes());
        message[8..16].copy_from_slice(&self.asked.to_be_bytes());
        let mut frame = Vec::with_capacity(MESSAGE + 6);
        push_masked(&mut frame, BINARY, &message, [0x5a, 0x11, 0xc3, 0x08]);
        self.stream.write_all(&frame).await?;
        loop {
            let mut at = 0;
            let mut came = false;
            while let Some((first, header, len)) = unmasked_header(&self.input[at..])
                && self.input.len() - at >= header + len
            {
                came |= first == BINARY && self.input[at + header..at + header + len] == message;
                at += header + len;
            }
            self.input.drain(..at);
            if came {
                return Ok(());
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }
}
