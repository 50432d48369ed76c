//! `cargo xtask bench`: echo servers under the same load, one after the other, round by round.

mod build;
mod case;
mod cores;
mod figures;
mod measurement;
mod record;
mod server;
mod table;

use std::time::{Duration, Instant};

use self::build::Programs;
use self::case::Case;
use self::cores::Cores;
use self::figures::Figures;
use self::measurement::Measurement;
use self::record::Record;
use self::server::Server;
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Two minutes of measuring: 5 rounds of 1.2 s, in place of 15 rounds of 2.5 s
    #[arg(long)]
    quick: bool,
    /// What to send, as BYTESxCONNECTIONSxDEPTH; depth is what a connection keeps in flight
    #[arg(long, value_name = "CASE", value_delimiter = ',', default_values_t = case::all())]
    cases: Vec<Case>,
    /// Only these servers of the list below
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    servers: Vec<String>,
    /// All servers but this workspace's own
    #[arg(long, conflicts_with = "servers")]
    peers: bool,
    /// One more server, which echoes at /echo; the command runs without a shell
    #[arg(long, value_name = "NAME=COMMAND {port}")]
    server: Vec<String>,
    /// How often each server is measured in each case
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// How long each measurement takes
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(seconds @ 0.1..=600.0) => Ok(seconds),
        _ => Err("not a number of seconds between 0.1 and 600".to_owned()),
    }
}

/// What `--help` says behind the options.
pub(crate) fn after_help() -> String {
    format!(
        "Servers: {}.\n\n\
         Each round measures every server once, each time as a new process, so that whatever makes the\n\
         machine faster or slower meets them all. The server has one core and the load another, where\n\
         there are two and `taskset`. The figure to compare is the CPU time of the server per message;\n\
         ratios are the medians of the ratios within each round. Every octet of every reply is compared.\n\n\
         Examples:\n  \
         cargo xtask bench --quick\n  \
         cargo xtask bench --servers ws-server,raw --cases 1024x100x1 --rounds 5\n  \
         cargo xtask bench --peers --server 'mine=target/release/my-echo --port {{port}}'",
        server::names().join(", ")
    )
}

pub(crate) fn bench(workspace: &Workspace, options: &Options) -> Result<()> {
    let servers = chosen(workspace, options)?;
    let rounds = options.rounds.unwrap_or(if options.quick { 5 } else { 15 });
    let seconds = options.seconds.unwrap_or(if options.quick { 1.2 } else { 2.5 });
    let measuring = Measurement {
        cores: Cores::find(),
        warm_up: Duration::from_secs_f64(if options.quick { 0.3 } else { 0.5 }),
        seconds: Duration::from_secs_f64(seconds),
        programs: Programs::build(workspace, &servers)?,
    };

    let count = options.cases.len() * servers.len() * rounds as usize;
    let each = measuring.warm_up + measuring.seconds + measurement::OVERHEAD;
    println!(
        "xtask bench: {count} measurements, {} cases × {} servers × {rounds} rounds: about {}",
        options.cases.len(),
        servers.len(),
        minutes(each * count as u32)
    );
    println!("xtask bench: {}", measuring.cores);
    let mut record = Record::create(workspace, &servers, &measuring.cores)?;

    let started = Instant::now();
    let mut done = 0;
    for case in &options.cases {
        println!("\nxtask bench: {}", case.in_words());
        let mut figures: Vec<Vec<Figures>> = vec![Vec::new(); servers.len()];
        for round in 1..=rounds {
            for (server, figures) in servers.iter().zip(&mut figures) {
                let answer = measuring.run(server, case)?;
                let measured = Figures::from_load(&answer).ok_or_else(|| {
                    Failure::new(
                        format!("the load answered {answer}"),
                        "make src/load/outcome.rs of ws-bench and xtask agree",
                    )
                })?;
                record.measurement(case, server, round, &answer)?;
                done += 1;
                println!(
                    "[{done}/{count}, {}] round {round} {}: {measured}",
                    minutes(started.elapsed()),
                    server.name
                );
                figures.push(measured);
            }
        }
        let rows = table::rows(&servers, &figures);
        rows.iter().try_for_each(|row| record.summary(case, row))?;
        println!("\n{}\n{}", case.in_words(), table::show(&rows));
    }
    println!("{}\nEvery measurement: {}", table::LEGEND, workspace.short(record.path()));
    Ok(())
}

fn chosen(workspace: &Workspace, options: &Options) -> Result<Vec<Server>> {
    let mut servers = server::known(workspace)?;
    if let Some(stranger) =
        options.servers.iter().find(|name| !servers.iter().any(|server| server.name == **name))
    {
        return Err(Failure::new(
            format!("there is no server {stranger:?}"),
            format!(
                "the servers are {}; another one is `--server '{stranger}=COMMAND {{port}}'`",
                server::names().join(", ")
            ),
        ));
    }
    servers.retain(|server| {
        let is_named = options.servers.is_empty() || options.servers.contains(&server.name);
        is_named && !(options.peers && server.is_ours())
    });
    for text in &options.server {
        let added = Server::added(text)?;
        if servers.iter().any(|server| server.name == added.name) {
            return Err(Failure::new(
                format!("there are two servers {:?}", added.name),
                "give the one of --server another name",
            ));
        }
        servers.push(added);
    }
    Ok(servers)
}

fn minutes(time: Duration) -> String {
    let seconds = time.as_secs_f64().round() as u64;
    format!("{}:{:02} min", seconds / 60, seconds % 60)
}
