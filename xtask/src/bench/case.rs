//! The cases, each with a name that can be typed.

use std::fmt;
use std::str::FromStr;

/// The behaviour of the clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Echo {
        text: bool,
    },
    Deflate {
        takeover: bool,
    },
    FanOut,
    Handshake,
    Idle {
        deflate: bool,
    },
    /// A mix of all kinds, for so many seconds.
    Mixed {
        seconds: u64,
    },
}

/// How a server must be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Echo,
    Deflate,
    Broadcast,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) connections: u64,
    pub(crate) depth: u64,
}

/// The cases with a short name of their own, in their order: name, kind, size, connections, depth.
const NAMED: &[(&str, Kind, u64, u64, u64)] = &[
    ("echo-20x64x1", BINARY, 20, 64, 1),
    ("echo-20x16x64", BINARY, 20, 16, 64),
    ("echo-1k", BINARY, 1024, 16, 16),
    ("echo-16k", BINARY, 16 * 1024, 16, 1),
    ("text-16k", Kind::Echo { text: true }, 16 * 1024, 16, 1),
    ("echo-64k", BINARY, 64 * 1024, 16, 1),
    ("echo-1m", BINARY, 1024 * 1024, 4, 1),
    ("deflate-1k", Kind::Deflate { takeover: true }, 1024, 64, 1),
    ("deflate-1k-no-takeover", Kind::Deflate { takeover: false }, 1024, 64, 1),
    ("deflate-16k", Kind::Deflate { takeover: true }, 16 * 1024, 16, 1),
    ("fanout-1k-1000", Kind::FanOut, 1024, 1000, 1),
    ("handshake", Kind::Handshake, 0, 16, 1),
    ("idle", Kind::Idle { deflate: false }, 1024, IDLE, 1),
    ("idle-deflate", Kind::Idle { deflate: true }, 1024, IDLE, 1),
];

/// Only measured on request, because it takes long.
const LONG: Kind = Kind::Mixed { seconds: 600 };

const BINARY: Kind = Kind::Echo { text: false };

/// About the number of connections that `ws-load mixed` has open at a time.
const MIXED: u64 = 150;

/// Idle connections, if a process may have so many descriptors.
pub(crate) const IDLE: u64 = 10_000;

const QUICK: [&str; 5] = ["echo-20x64x1", "echo-20x16x64", "echo-16k", "deflate-1k", "idle"];

pub(crate) fn all() -> Vec<Case> {
    NAMED
        .iter()
        .map(|&(name, kind, size, connections, depth)| Case {
            name: name.to_owned(),
            kind,
            size,
            connections,
            depth,
        })
        .collect()
}

/// The cases of `--quick`.
pub(crate) fn quick() -> Vec<Case> {
    all().into_iter().filter(|case| QUICK.contains(&case.name.as_str())).collect()
}

/// The grammar of cases without a short name.
pub(crate) const GRAMMAR: &str = "\
others are echo-, text- or deflate-SIZExCONNECTIONSxDEPTH (deflate also with -no-takeover), \
fanout-SIZE-CLIENTS, handshake-AT_A_TIME, idle-CONNECTIONS and idle-deflate-CONNECTIONS, and mixed, which takes ten \
minutes for each server, or mixed-SECONDS; SIZE is in bytes, or ends with k or m";

impl Case {
    pub(crate) fn mode(&self) -> Mode {
        match self.kind {
            Kind::Deflate { .. } | Kind::Idle { deflate: true } | Kind::Mixed { .. } => {
                Mode::Deflate
            }
            Kind::FanOut => Mode::Broadcast,
            _ => Mode::Echo,
        }
    }

    /// Whether the case measures memory instead of time.
    pub(crate) fn is_memory(&self) -> bool {
        matches!(self.kind, Kind::Idle { .. } | Kind::Mixed { .. })
    }

    /// When memory is sampled.
    pub(crate) fn looks(&self) -> [&'static str; 3] {
        match self.kind {
            Kind::Mixed { .. } => ["after a tenth", "half way", "at the end"],
            _ => ["open", "after 1", "after 20"],
        }
    }

    /// Whether a raw echo of octets can take part.
    pub(crate) fn is_raw(&self) -> bool {
        matches!(self.kind, Kind::Echo { .. })
    }

    /// The number of connections that a server has at a time.
    pub(crate) fn connections_at_a_time(&self) -> u64 {
        match self.kind {
            Kind::FanOut => self.connections + 1,
            // Closed connections may still be counted for a while.
            Kind::Handshake => 4 * self.connections,
            Kind::Mixed { .. } => 2 * self.connections,
            Kind::Idle { .. } => self.connections + 16,
            _ => self.connections,
        }
    }

    /// The unit that is counted.
    pub(crate) fn unit(&self) -> &'static str {
        match self.kind {
            Kind::FanOut => "delivery",
            Kind::Handshake => "handshake",
            Kind::Idle { .. } | Kind::Mixed { .. } => "connection",
            _ => "message",
        }
    }

    /// The arguments for `ws-load`.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut words = vec![
            match self.kind {
                Kind::Echo { .. } => "echo",
                Kind::Deflate { .. } => "deflate",
                Kind::FanOut => "fan-out",
                Kind::Handshake => "handshake",
                Kind::Idle { .. } => "idle",
                Kind::Mixed { .. } => "mixed",
            }
            .to_owned(),
        ];
        match self.kind {
            Kind::Echo { text: true } => words.push("--text".to_owned()),
            Kind::Deflate { takeover: false } => words.push("--no-takeover".to_owned()),
            Kind::Idle { deflate: true } => words.push("--deflate".to_owned()),
            Kind::FanOut => words.extend(["--path", "/broadcast"].map(str::to_owned)),
            // It has its own sizes and numbers.
            Kind::Mixed { .. } => return words,
            _ => {}
        }
        let numbers =
            [("size", self.size), ("connections", self.connections), ("depth", self.depth)];
        words.extend(numbers.iter().flat_map(|(name, n)| [format!("--{name}"), n.to_string()]));
        words
    }

    /// The title: `Echo: 20 B × 16 connections × depth 64`.
    pub(crate) fn in_words(&self) -> String {
        let (size, connections) = (bytes(self.size), grouped(self.connections));
        let what = match self.kind {
            Kind::Echo { text: false } => "Echo",
            Kind::Echo { text: true } => "Echo of text",
            Kind::Deflate { takeover: true } => "Deflate echo",
            Kind::Deflate { takeover: false } => "Deflate echo without takeover",
            Kind::FanOut => return format!("Fan-out: {size} to {connections} clients"),
            Kind::Handshake => return format!("Handshakes, {connections} at a time"),
            Kind::Idle { deflate: false } => return format!("{connections} idle connections"),
            Kind::Idle { deflate: true } => {
                return format!("{connections} idle connections with deflate");
            }
            Kind::Mixed { seconds } => {
                return format!("Everything at once for {}", duration(seconds));
            }
        };
        format!("{what}: {size} × {connections} connections × depth {}", self.depth)
    }

    /// The meaning of the case, in a sentence.
    pub(crate) fn meaning(&self) -> &'static str {
        match self.kind {
            Kind::Echo { text: true } => {
                "Echo of text with letters of one to three bytes, which the server checks as UTF-8."
            }
            Kind::Echo { .. } if self.size <= 1024 && self.depth > 1 => {
                "Messages come in batches: the cost of the library itself, with few system calls."
            }
            Kind::Echo { .. } if self.size <= 1024 => {
                "Every message comes alone, so that each costs a read and a write of the kernel."
            }
            Kind::Echo { .. } => {
                "Large binary messages: the cost of reading, unmasking and copying."
            }
            Kind::Deflate { takeover: true } => {
                "JSON through permessage-deflate as browsers offer it, on the defaults of each \
                 library: some refer back to earlier messages and send less, some do not."
            }
            Kind::Deflate { takeover: false } => {
                "JSON through permessage-deflate where no message refers back to earlier ones."
            }
            Kind::FanOut => {
                "One client sends, all receive, then the next message follows: a chat or a ticker."
            }
            Kind::Handshake => {
                "A client connects, sends a handshake with a browser's headers, gets the answer and closes."
            }
            Kind::Idle { deflate: false } => {
                "Heap and stacks of the server for each resting connection: just opened, after one \
                 message of 1 KiB, after twenty."
            }
            Kind::Idle { deflate: true } => {
                "The same with permessage-deflate, 12 s after compressed JSON of 1 KiB, so that what is \
                 given back late is given back: a library that keeps its compressor holds hundreds of \
                 KiB for it."
            }
            Kind::Mixed { .. } => {
                "Heap and stacks of the server in all, under echoes of 20 B to 1 MiB, compression and \
                 handshakes at once, over connections that come and go: what leaks or falls to pieces \
                 grows."
            }
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(named) = all().into_iter().find(|case| case.name == text) {
            return Ok(named);
        }
        parse(text).ok_or_else(|| {
            let names: Vec<&str> = NAMED.iter().map(|(name, ..)| *name).collect();
            format!("no case has this name; the cases are {}; {GRAMMAR}", names.join(", "))
        })
    }
}

fn parse(text: &str) -> Option<Case> {
    let made = |kind, size, connections, depth| {
        let name = text.to_owned();
        (connections > 0 && depth > 0).then_some(Case { name, kind, size, connections, depth })
    };
    if text == "mixed" {
        return made(LONG, 0, MIXED, 1);
    }
    if let Some(seconds) = text.strip_prefix("mixed-") {
        let seconds = seconds.parse().ok().filter(|seconds| (10..=3600).contains(seconds))?;
        return made(Kind::Mixed { seconds }, 0, MIXED, 1);
    }
    if let Some(count) = text.strip_prefix("handshake-") {
        return made(Kind::Handshake, 0, count.parse().ok()?, 1);
    }
    if let Some(count) = text.strip_prefix("idle-deflate-") {
        return made(Kind::Idle { deflate: true }, 1024, count.parse().ok()?, 1);
    }
    if let Some(count) = text.strip_prefix("idle-") {
        return made(Kind::Idle { deflate: false }, 1024, count.parse().ok()?, 1);
    }
    if let Some(rest) = text.strip_prefix("fanout-") {
        let (size, clients) = rest.split_once('-')?;
        return made(Kind::FanOut, size_of(size)?, clients.parse().ok()?, 1);
    }
    let (kind, shape) = if let Some(rest) = text.strip_prefix("text-") {
        (Kind::Echo { text: true }, rest)
    } else if let Some(rest) = text.strip_prefix("deflate-") {
        match rest.strip_suffix("-no-takeover") {
            Some(rest) => (Kind::Deflate { takeover: false }, rest),
            None => (Kind::Deflate { takeover: true }, rest),
        }
    } else {
        (BINARY, text.strip_prefix("echo-").unwrap_or(text))
    };
    let mut parts = shape.split('x');
    let size = size_of(parts.next()?)?;
    if matches!(kind, Kind::Deflate { .. }) && size < 64 {
        return None;
    }
    let connections = parts.next()?.parse().ok()?;
    let depth = parts.next()?.parse().ok()?;
    if parts.next().is_some() { None } else { made(kind, size, connections, depth) }
}

/// `20`, `16k`, `1m`.
fn size_of(text: &str) -> Option<u64> {
    let (digits, unit) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1024),
        None => text.strip_suffix('m').map_or((text, 1), |digits| (digits, 1024 * 1024)),
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

fn bytes(size: u64) -> String {
    match size {
        size if size >= 1 << 20 && size % (1 << 20) == 0 => format!("{} MiB", size >> 20),
        size if size >= 1024 && size % 1024 == 0 => format!("{} KiB", size / 1024),
        size => format!("{size} B"),
    }
}

fn duration(seconds: u64) -> String {
    match seconds {
        seconds if seconds % 60 == 0 => format!("{} minutes", seconds / 60),
        seconds => format!("{seconds} seconds"),
    }
}

/// `10,000`
fn grouped(number: u64) -> String {
    if number < 1000 {
        number.to_string()
    } else {
        format!("{},{:03}", number / 1000, number % 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_read_as_it_is_written() {
        for case in all() {
            assert_eq!(case.to_string().parse(), Ok(case));
        }
        assert_eq!(quick().len(), QUICK.len());
    }

    #[test]
    fn cases_of_any_size_can_be_typed() {
        let case = |text: &str| {
            text.parse::<Case>().map(|case| (case.kind, case.size, case.connections, case.depth))
        };
        assert_eq!(case("20x16x64"), Ok((BINARY, 20, 16, 64)));
        assert_eq!(case("echo-2kx8x4"), Ok((BINARY, 2048, 8, 4)));
        assert_eq!(case("text-1mx1x1"), Ok((Kind::Echo { text: true }, 1 << 20, 1, 1)));
        let deflate = Kind::Deflate { takeover: false };
        assert_eq!(case("deflate-4kx2x1-no-takeover"), Ok((deflate, 4096, 2, 1)));
        assert_eq!(case("fanout-100-20"), Ok((Kind::FanOut, 100, 20, 1)));
        assert_eq!(case("handshake-4"), Ok((Kind::Handshake, 0, 4, 1)));
        assert_eq!(case("mixed"), case("mixed-600"));
        assert_eq!(case("idle-deflate-50"), Ok((Kind::Idle { deflate: true }, 1024, 50, 1)));
    }

    #[test]
    fn other_words_are_no_cases_and_say_which_there_are() {
        for text in [
            "",
            "20",
            "20x16",
            "20x0x1",
            "20x16x0",
            "20x16x64x1",
            "20 x16x64",
            "x16x64",
            "echo",
            "deflate-2x1x1",
            "fanout-1k",
            "fanout-1k-0",
            "idle-",
            "handshake-x",
            "mixed-9",
            "echo-9m9x1x1",
        ] {
            let refused = text.parse::<Case>().expect_err(text);
            assert!(refused.contains("echo-20x64x1, ") && refused.contains("idle-deflate"));
        }
    }

    #[test]
    fn sizes_are_said_in_the_largest_unit_that_is_whole() {
        let words = |name: &str| name.parse::<Case>().expect("a case").in_words();
        assert_eq!(words("echo-20x16x64"), "Echo: 20 B × 16 connections × depth 64");
        assert_eq!(words("mixed"), "Everything at once for 10 minutes");
        assert_eq!(words("echo-1m"), "Echo: 1 MiB × 4 connections × depth 1");
        assert_eq!(words("fanout-1k-1000"), "Fan-out: 1 KiB to 1,000 clients");
    }
}
