//! `ws-load KIND --port PORT`: a load for a server on this machine, one line of JSON as its answer.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ws_bench::load::{self, Load, run};

/// Drives a server on 127.0.0.1 and prints one line of JSON
///
/// Each connection keeps DEPTH messages in flight, all different. Whatever comes back that should
/// not ends it with status 1. Every octet of every reply is compared, but with compression: there
/// every reply is inflated and compared during the warm-up, then those of one connection in 16.
#[derive(Parser)]
#[command(name = "ws-load")]
struct Cli {
    /// What to do
    #[arg(value_enum, default_value = "echo")]
    kind: Kind,
    /// The port of the server
    #[arg(long)]
    port: u16,
    /// The path to open
    #[arg(long, default_value = "/echo")]
    path: String,
    /// No handshake: the server echoes octets, not messages
    #[arg(long)]
    raw: bool,
    /// Text messages; not needed for JSON, which always is text
    #[arg(long)]
    text: bool,
    /// Idle connections with permessage-deflate, whose messages are JSON
    #[arg(long)]
    deflate: bool,
    /// Offer permessage-deflate without context takeover
    #[arg(long)]
    no_takeover: bool,
    /// Bytes in a message, at most 64 MiB
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(..=64 << 20))]
    size: u64,
    /// Connections; with fan-out those besides the one that sends, with handshakes those at a time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=50_000))]
    connections: u64,
    /// Messages that each connection keeps in flight
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    depth: u64,
    /// Seconds before anything is counted, with idle before memory is looked at; at most 3600
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,
    /// Seconds that idle connections rest after messages before memory is looked at; at most 3600
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    rest: Duration,
    /// Seconds to measure, at most 3600
    #[arg(long, default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Measure no more than about so many messages
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    messages: u64,
    /// The process whose CPU time and memory are to be counted (Linux)
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Messages that come back
    Echo,
    /// JSON that comes back, by permessage-deflate
    Deflate,
    /// The messages of one client go to all
    FanOut,
    /// Connections that open and close
    Handshake,
    /// Connections that rest: memory, open and after one and twenty messages each
    Idle,
    /// Echoes of all sizes, compression and handshakes at once, over connections that come and go:
    /// memory, every second from the end of the warm-up on. Sizes and numbers are its own
    Mixed,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 0.0..=3600.0) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number of seconds between 0 and 3600".to_owned()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let load = Load {
        kind: match cli.kind {
            Kind::Echo => load::Kind::Echo,
            Kind::Deflate => load::Kind::Deflate,
            Kind::FanOut => load::Kind::FanOut,
            Kind::Handshake => load::Kind::Handshake,
            Kind::Idle => load::Kind::Idle,
            Kind::Mixed => load::Kind::Mixed,
        },
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, cli.port)),
        path: cli.path,
        raw: cli.raw,
        text: cli.text,
        deflate: cli.deflate,
        no_takeover: cli.no_takeover,
        size: cli.size as usize,
        connections: cli.connections as usize,
        depth: cli.depth as usize,
        warm_up: cli.warm_up,
        rest: cli.rest,
        measure: cli.seconds,
        messages: cli.messages,
        server: cli.server_pid,
    };
    match run(&load) {
        Ok(outcome) => {
            println!("{}", outcome.json());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("ws-load: {failure}");
            ExitCode::FAILURE
        }
    }
}
