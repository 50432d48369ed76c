//! `ws-load --port PORT`: a load for an echo server on this machine, one line of JSON as its answer.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ws_bench::load::{Load, run};

/// Drives an echo server on 127.0.0.1 and prints one line of JSON
///
/// Each connection keeps DEPTH binary messages in flight, all different, and compares every octet
/// that comes back; anything but the echo, each in one frame, ends it with status 1.
#[derive(Parser)]
#[command(name = "ws-load")]
struct Cli {
    /// The port of the server
    #[arg(long)]
    port: u16,
    /// The path to open
    #[arg(long, default_value = "/echo")]
    path: String,
    /// No handshake: the server echoes octets, not messages
    #[arg(long)]
    raw: bool,
    /// Bytes in a message, at most 64 MiB
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(..=64 << 20))]
    size: u64,
    /// Connections
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=50_000))]
    connections: u64,
    /// Messages that each connection keeps in flight
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    depth: u64,
    /// Seconds before anything is counted, at most 3600
    #[arg(long, default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,
    /// Seconds to measure, at most 3600
    #[arg(long, default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// Measure no more than about so many messages
    #[arg(long, default_value_t = u64::MAX, hide_default_value = true)]
    messages: u64,
    /// The process whose CPU time is to be counted (Linux)
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
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
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, cli.port)),
        path: cli.path,
        raw: cli.raw,
        size: cli.size as usize,
        connections: cli.connections as usize,
        depth: cli.depth as usize,
        warm_up: cli.warm_up,
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
