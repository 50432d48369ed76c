//! `cargo xtask bench`: servers under the same load, one after the other, round by round.

pub(crate) mod build;
pub(crate) mod case;
mod cores;
mod count;
mod figures;
mod limits;
pub(crate) mod measurement;
// The page of `ws-bench` shows the same figures; a dependency on it would build its charts first.
#[path = "../../ws-bench/src/report/numbers.rs"]
pub(crate) mod numbers;
pub(crate) mod progress;
mod record;
mod rounds;
pub(crate) mod server;
pub(crate) mod table;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use self::build::{Programs, raised};
use self::case::Case;
use self::cores::Cores;
use self::measurement::Measurement;
use self::progress::Progress;
use self::record::Record;
use self::rounds::Runner;
use self::server::Server;
use crate::failure::{Failure, Result};
use crate::process::run;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Measure for two minutes instead of eleven: fewer cases, 3 rounds instead of 5, and 1,000
    /// idle connections
    #[arg(long)]
    quick: bool,
    /// Only these cases of the list below, or others of the same kinds
    #[arg(long, value_name = "CASE", value_delimiter = ',')]
    cases: Vec<Case>,
    /// Only these servers of the list below; those inside axum are measured only if they are named
    #[arg(long, alias = "servers", value_name = "NAME", value_delimiter = ',')]
    peers: Vec<String>,
    /// Add a server, with the paths /echo and /broadcast; the command runs without a shell. If it
    /// contains {mode}, which becomes echo, deflate or broadcast, it takes part in all cases
    #[arg(long, value_name = "NAME=COMMAND {port}")]
    server: Vec<String>,
    /// The number of measurements of each server in each case
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// The length of each measurement
    #[arg(long, value_parser = seconds)]
    seconds: Option<f64>,
    /// Count instructions and system calls per message instead, of our server unless --peers names
    /// others
    ///
    /// Each server runs under valgrind's callgrind, twice for each case; the difference of the two
    /// runs is the cost of a message. Other work on the machine hardly affects it. Takes a minute
    /// for each server.
    #[arg(long, conflicts_with_all = ["quick", "rounds", "seconds", "picture"])]
    count: bool,
    /// List the cases and servers
    #[arg(long)]
    list: bool,
    /// Also draw the most telling cases into this SVG, for a README
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(seconds @ 0.1..=600.0) => Ok(seconds),
        _ => Err("not a number of seconds between 0.1 and 600".to_owned()),
    }
}

/// The text of `--help` after the options.
pub(crate) fn after_help() -> String {
    format!(
        "{}\n\n\
         Each round measures every server once, each time as a new process, so that changes in the\n\
         machine's speed affect all of them; a measurement that other work disturbed is repeated. The\n\
         server and the load have a core each, if the machine has two cores and `taskset`. Compare the\n\
         CPU time of the server per message; ratios are the medians of the ratios within each round.\n\n\
         Examples:\n  \
         cargo xtask bench --quick\n  \
         cargo xtask bench --count --cases echo-20x1x1,echo-1kx1x16\n  \
         cargo xtask bench --peers ws-server,raw --cases echo-1kx100x1 --rounds 9\n  \
         cargo xtask bench --cases echo-1k --server 'mine=target/release/my-echo --port {{port}}'",
        list()
    )
}

fn list() -> String {
    let cases: Vec<String> =
        case::all().iter().map(|case| format!("  {:24} {}", case.name, case.in_words())).collect();
    format!(
        "Cases:\n{}\n  {}\n\nServers: {}",
        cases.join("\n"),
        case::GRAMMAR,
        server::names().join(", ")
    )
}

pub(crate) fn bench(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.list {
        println!("{}", list());
        return Ok(());
    }
    let servers = chosen(workspace, options)?;
    if options.count {
        let cases = if options.cases.is_empty() { count::cases() } else { options.cases.clone() };
        return count::count(workspace, &cases, &servers);
    }
    let cases = cases(options);
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 5 });
    let seconds = options.seconds.unwrap_or(if options.quick { 0.6 } else { 0.45 });
    let dir = workspace.target.join("bench");
    let logs = dir.join("logs");
    fs::create_dir_all(&logs)
        .map_err(|error| Failure::system(format!("creating {}", logs.display()), &error))?;
    let measuring = Measurement {
        cores: Cores::find(),
        warm_up: Duration::from_secs_f64(0.2),
        seconds: Duration::from_secs_f64(seconds),
        rest: Duration::from_secs_f64(if options.quick { 0.5 } else { 1.0 }),
        programs: Programs::build(workspace, &servers)?,
        logs,
    };

    let able = |case: &Case| servers.iter().filter(|server| server.can(case)).collect::<Vec<_>>();
    let times = |case: &Case| if case.is_memory() { 1 } else { rounds };
    let planned: Duration = cases
        .iter()
        .map(|case| measuring.takes(case) * (able(case).len() as u32 * times(case)))
        .sum();
    println!(
        "xtask bench: {} cases, {} servers, {rounds} rounds: about {}, and up to a quarter more where \
         other work disturbs",
        cases.len(),
        servers.len(),
        minutes(planned)
    );
    println!("xtask bench: {}", measuring.cores);
    let mut record = Record::create(workspace, &servers, &measuring.cores)?;

    let progress = Progress::new(planned);
    let mut is_cpu = true;
    let mut runner = Runner {
        measuring: &measuring,
        rounds,
        progress: &progress,
        record: &mut record,
        failures: Vec::new(),
    };
    for case in &cases {
        let raised = raised(case);
        runner.record.case(case, &raised)?;
        let shown = if case.is_memory() {
            table::show_memory(case.looks(), &runner.memory(case, &able(case))?)
        } else {
            let rows = table::rows(&runner.time(case, &able(case))?);
            is_cpu &= rows.iter().all(|row| row.is_cpu);
            rows.iter().try_for_each(|row| runner.record.summary(case, row))?;
            table::show(&rows, case.unit())
        };
        let mut said = format!("\n{}: {}\n", case.name, case.in_words());
        for (name, value) in raised.iter().filter(|_| servers.iter().any(Server::is_ours)) {
            said += &format!("raised above the defaults of ws-server: --{name} {value}\n");
        }
        progress.say(&(said + &shown));
    }
    let failures = runner.failures;
    progress.finish();

    println!("{}\nEvery measurement: {}", table::legend(is_cpu), workspace.short(record.path()));
    let html = dir.join("report.html");
    let mut report = Command::new(&measuring.programs.report);
    report.arg(record.path()).arg("--html").arg(&html);
    if let Some(picture) = &options.picture {
        report.arg("--picture").arg(picture);
    }
    run("the report", &mut report, "run `target/release/ws-report RUN.jsonl` by hand")?;
    println!("The report: {}", workspace.short(&html));
    if failures.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        format!("failed and left out: {}", failures.join(", ")),
        "see why above, beside each",
    ))
}

/// The cases, reduced to the capacity of this machine.
fn cases(options: &Options) -> Vec<Case> {
    let mut cases = match (&options.cases[..], options.quick) {
        ([], true) => case::quick(),
        ([], false) => case::all(),
        (named, _) => named.to_vec(),
    };
    for case in &mut cases {
        if options.quick && case.is_memory() {
            case.connections = case.connections.min(1000);
        }
        if let Some(said) = limits::fit(case) {
            println!("xtask bench: {said}");
        }
    }
    cases
}

fn chosen(workspace: &Workspace, options: &Options) -> Result<Vec<Server>> {
    let mut servers = server::known(workspace)?;
    if let Some(stranger) =
        options.peers.iter().find(|name| !servers.iter().any(|server| server.name == **name))
    {
        return Err(Failure::new(
            format!("no server is called {stranger:?}"),
            format!(
                "the servers are {}; add another by `--server '{stranger}=COMMAND {{port}}'`",
                server::names().join(", ")
            ),
        ));
    }
    servers.retain(|server| match &options.peers[..] {
        [] if options.count => server.is_ours(),
        [] => !server.is_on_request(),
        peers => peers.contains(&server.name),
    });
    for text in &options.server {
        let added = Server::added(text)?;
        if servers.iter().any(|server| server.name == added.name) {
            return Err(Failure::new(
                format!("two servers are called {:?}", added.name),
                "give the server of --server another name",
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
