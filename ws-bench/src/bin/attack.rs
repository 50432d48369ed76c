//! `ws-attack ATTACK --port PORT --server-pid PID`: attacks a server of this machine beside polite
//! clients, and prints the figures as one line of JSON.

#![forbid(unsafe_code)]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ws_bench::hostile::{ATTACKS, Needs, named};
use ws_bench::siege::Siege;

/// Attack a server on 127.0.0.1 beside polite clients, and print one line of JSON
#[derive(Parser)]
#[command(name = "ws-attack")]
struct Cli {
    /// The name of the attack
    #[arg(required_unless_present = "list")]
    attack: Option<String>,
    /// The port of the server, with the paths /echo and /broadcast
    #[arg(long, required_unless_present = "list")]
    port: Option<u16>,
    /// The process whose CPU time and memory are measured (Linux)
    #[arg(long, value_name = "PID", required_unless_present = "list")]
    server_pid: Option<u32>,
    /// Hostile clients, instead of the usual number
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=16_000))]
    connections: Option<u64>,
    /// How long it attacks, at most 600
    #[arg(long, default_value = "5", value_parser = seconds)]
    seconds: Duration,
    /// Print the attacks instead, each as a line of JSON
    #[arg(long)]
    list: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds @ 0.1..=600.0) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("not a number of seconds between 0.1 and 600".to_owned()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let (Some(name), Some(port), Some(server)) = (cli.attack, cli.port, cli.server_pid) else {
        for attack in ATTACKS {
            let needs = match attack.needs {
                Needs::Echo => "echo",
                Needs::Deflate => "deflate",
                Needs::Broadcast => "broadcast",
            };
            let line = serde_json::json!({
                "name": attack.name,
                "what": attack.what,
                "needs": needs,
                "connections": attack.connections,
            });
            println!("{line}");
        }
        return ExitCode::SUCCESS;
    };
    let Some(attack) = named(&name) else {
        eprintln!("ws-attack: no attack is called {name:?}; see --list");
        return ExitCode::FAILURE;
    };
    let siege = Siege {
        attack,
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        server,
        connections: cli.connections.map(|connections| connections as usize),
        time: cli.seconds,
    };
    match siege.run() {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("ws-attack: {why}");
            ExitCode::FAILURE
        }
    }
}
