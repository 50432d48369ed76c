//! `ws-load KIND --port PORT`: puts a load on a server of this machine, and prints the result as
//! one line of JSON.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ws_bench::load::{self, Load, run};

/// Drive a server on 127.0.0.1 and print one line of JSON
///
/// Each connection keeps DEPTH messages in flight, all different. An unexpected reply ends the
/// program with status 1. It compares every octet of every reply, except with compression: then it
/// inflates and compares every reply during the warm-up, and later those of one connection in 16.
#[derive(Parser)]
#[command(name = "ws-load")]
struct Cli {
    /// The behaviour of the clients
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
    /// Text messages; JSON is text without this option
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
    /// Connections; with fan-out besides the sender, with handshakes at a time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=50_000))]
    connections: u64,
    /// Messages that each connection keeps in flight
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    depth: u64,
    /// Seconds before anything is counted, with idle before memory is sampled; at most 3600
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,
    /// Seconds that idle connections rest after messages before memory is sampled; at most 3600
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    rest: Duration,
    /// Seconds to measure, at most 3600
    #[arg(long, default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Measure about this many messages at most
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    messages: u64,
    /// The process whose CPU time and memory are measured (Linux)
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Messages are echoed
    Echo,
    /// JSON is echoed, through permessage-deflate
    Deflate,
    /// All clients receive the messages of one
    FanOut,
    /// Connections that open and close
    Handshake,
    /// Connections rest: memory when open, and after one and twenty messages each
    Idle,
    /// Echoes of all sizes, compression and handshakes at once, over connections that come and go:
    /// memory, every second after the warm-up. It has its own sizes and numbers
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
