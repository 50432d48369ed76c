//! `cargo xtask attack`: what the attacks of SECURITY.md cost a server, ours beside others.

mod check;
mod figures;
mod programs;
mod subject;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::check::Bounds;
use self::figures::Figures;
use self::programs::Programs;
use self::subject::Subject;
use crate::bench::measurement::{free_port, wait_for};
use crate::bench::progress::Progress;
use crate::failure::{Failure, Result};
use crate::process::{Running, tied};
use crate::tally::Tally;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these attacks; --list names them
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only these servers: ours, ours-64m, or a part of a peer's name
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    servers: Vec<String>,
    /// How long each attack lasts
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=600), default_value_t = 4)]
    seconds: u32,
    /// Hostile clients, instead of the usual number of each attack
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=16_000))]
    connections: Option<u32>,
    /// Attack every server so often, in turns; the figures are the medians
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100), default_value_t = 1)]
    rounds: u32,
    /// Attack ours alone, and fail if it loses a polite client or takes more memory than it may
    #[arg(long, conflicts_with_all = ["servers", "rounds", "connections"])]
    check: bool,
    /// Only the attacks of the check that aim at memory, with two seconds each: half a minute
    #[arg(long, requires = "check", conflicts_with = "names")]
    quick: bool,
    /// Attack nothing, and make the tables from these reports of earlier runs
    #[arg(long, value_name = "REPORT", num_args = 1.., conflicts_with_all = ["check", "rounds"])]
    from: Vec<PathBuf>,
    /// List the attacks and servers
    #[arg(long)]
    list: bool,
}

/// An attack, as `ws-attack --list` says it.
pub(crate) struct Attack {
    pub(crate) name: String,
    pub(crate) what: String,
    needs: Needs,
}

/// What a server must be able to do.
#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Echo,
    Deflate,
    Broadcast,
}

/// Besides the attack itself: the start, the polite clients alone, the time after it.
const OVERHEAD: Duration = Duration::from_millis(2900);

/// The time that a program has to answer beyond what it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The attacks of the short check: those that aim at memory.
const SHORT: [&str; 6] = [
    "unfinished",
    "small-holders",
    "never-reading",
    "bombs-large",
    "pings-unread",
    "unread-broadcasts",
];

pub(crate) fn attack(workspace: &Workspace, options: &Options) -> Result<()> {
    if options.quick {
        return short(workspace)?.verdict("the attacks are named above");
    }
    if options.check {
        let seconds = Duration::from_secs(options.seconds.into());
        return check(workspace, &options.names, seconds)?.verdict("the attacks are named above");
    }
    let subjects = subject::chosen(workspace, &options.servers)?;
    if options.list {
        let programs = Programs::attacker_alone(workspace)?;
        for attack in attacks(&programs)? {
            println!("{:18} {}", attack.name, attack.what);
        }
        let names: Vec<&str> = subjects.iter().map(|subject| subject.name.as_str()).collect();
        println!("\nServers: {}", names.join(", "));
        return Ok(());
    }
    if !options.from.is_empty() {
        return from_reports(workspace, options, &subjects);
    }
    let programs = Programs::compared(workspace, &subjects)?;
    let attacks = chosen(attacks(&programs)?, &options.names)?;
    let run = Run {
        programs: &programs,
        logs: directory(workspace)?,
        time: Duration::from_secs(options.seconds.into()),
        connections: options.connections,
    };
    let sieges = |attack: &Attack| subjects.iter().filter(|one| one.can(attack)).count() as u32;
    let planned: u32 = attacks.iter().map(sieges).sum::<u32>() * options.rounds;
    println!(
        "xtask attack: {} attacks, {} servers: about {:.0} min; the load average is {}",
        attacks.len(),
        subjects.len(),
        (run.takes() * planned).as_secs_f64() / 60.0,
        load_average(),
    );
    let progress = Progress::new(run.takes() * planned);
    let mut report = Report::new(&run, &subjects);
    let mut rows = Vec::new();
    for (at, attack) in attacks.iter().enumerate() {
        let able: Vec<&Subject> = subjects.iter().filter(|one| one.can(attack)).collect();
        let mut measured: Vec<(&Subject, Vec<Figures>)> =
            able.iter().map(|&subject| (subject, Vec::new())).collect();
        for _ in 0..options.rounds {
            for (subject, figures) in &mut measured {
                let place = format!("[{}/{}] {}", at + 1, attacks.len(), attack.name);
                progress.at(format!("{place}: {}", subject.name));
                match run.siege(attack, subject) {
                    Ok(said) => {
                        figures.push(Figures::read(&said));
                        report.add(subject, said);
                    }
                    Err(failure) => {
                        progress.say(&format!("xtask attack: {place}: {failure}"));
                        report.failed(subject, attack, &failure);
                    }
                }
                progress.done(run.takes());
            }
            report.write(&run.logs.join("report.json"))?;
        }
        let row = table::Row::new(attack, &measured);
        progress.say(&row.shown());
        rows.push(row);
    }
    progress.finish();
    println!("{}", table::LEGEND);
    println!("Written: {}", workspace.short(&run.logs.join("report.json")));
    write_table(workspace, &rows)
}

/// The tables of what was measured before.
fn from_reports(workspace: &Workspace, options: &Options, subjects: &[Subject]) -> Result<()> {
    let attacks = chosen(attacks(&Programs::attacker_alone(workspace)?)?, &options.names)?;
    let mut measurements = Vec::new();
    for path in &options.from {
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::system(format!("reading {}", path.display()), &error))?;
        let mut report: Value = serde_json::from_str(&text).map_err(|error| {
            Failure::new(
                format!("{} is no report: {error}", path.display()),
                "name a report.json of `cargo xtask attack`",
            )
        })?;
        measurements.extend(report["measurements"].as_array_mut().map(std::mem::take));
    }
    let measurements = measurements.concat();
    let mut rows = Vec::new();
    for attack in &attacks {
        let of = |subject: &Subject| {
            let all = measurements.iter().filter(|said| {
                said["of"] == *subject.name
                    && said["attack"] == *attack.name
                    && said["failure"].is_null()
            });
            all.map(Figures::read).collect()
        };
        let measured: Vec<(&Subject, Vec<Figures>)> =
            subjects.iter().map(|subject| (subject, of(subject))).collect();
        let row = table::Row::new(attack, &measured);
        println!("{}", row.shown());
        rows.push(row);
    }
    write_table(workspace, &rows)
}

fn write_table(workspace: &Workspace, rows: &[table::Row]) -> Result<()> {
    let path = directory(workspace)?.join("table.md");
    write(&path, &table::markdown(rows))?;
    println!("Written: {}", workspace.short(&path));
    Ok(())
}

/// The check of `--quick`, half a minute.
pub(crate) fn short(workspace: &Workspace) -> Result<Tally> {
    check(workspace, &SHORT.map(str::to_owned), Duration::from_secs(2))
}

/// Every attack, or those that are named, on ours with a small budget.
fn check(workspace: &Workspace, names: &[String], time: Duration) -> Result<Tally> {
    let subject = subject::small(workspace)?;
    let programs = Programs::ours(workspace)?;
    let attacks = chosen(attacks(&programs)?, names)?;
    let run = Run { programs: &programs, logs: directory(workspace)?, time, connections: None };
    let mut tally = Tally::default();
    let started = Instant::now();
    for (at, attack) in attacks.iter().enumerate() {
        let left = (run.takes() * (attacks.len() - at) as u32).as_secs();
        let said = run.siege(attack, &subject)?;
        let figures = Figures::read(&said);
        let complaints = Bounds::default().complaints(&figures);
        let verdict = if complaints.is_empty() { "ok" } else { "FAIL" };
        println!(
            "xtask attack: [{}/{}, {left} s left] {verdict} {}: {}",
            at + 1,
            attacks.len(),
            attack.name,
            check::in_words(&figures)
        );
        for complaint in &complaints {
            println!("  {complaint}");
        }
        if complaints.is_empty() {
            tally.passed += 1;
        } else {
            tally.failed += 1;
        }
    }
    println!("xtask attack: {tally}; {:.0} s", started.elapsed().as_secs_f64());
    Ok(tally)
}

/// What all sieges of a run share.
struct Run<'a> {
    programs: &'a Programs,
    logs: PathBuf,
    time: Duration,
    connections: Option<u32>,
}

impl Run<'_> {
    fn takes(&self) -> Duration {
        self.time + OVERHEAD
    }

    /// Starts the server, has it attacked, and stops it, however that ends.
    fn siege(&self, attack: &Attack, subject: &Subject) -> Result<Value> {
        let log = self.logs.join(format!("{}.log", subject.name));
        let port = free_port()?;
        let words = self.programs.words(subject, port, attack);
        let mut command = tied(&words[0]);
        command.args(&words[1..]);
        let mut server = Running::start(&subject.name, &mut command, Some(&log))?;
        wait_for(&mut server, &subject.server, port, &words)?;

        let mut command = tied(self.programs.attacker());
        let seconds = self.time.as_secs_f64().to_string();
        command.arg(&attack.name).args(["--port", &port.to_string(), "--seconds", &seconds]);
        command.args(["--server-pid", &server.id().to_string()]);
        if let Some(connections) = self.connections {
            command.args(["--connections", &connections.to_string()]);
        }
        let attacker_log = self.logs.join("attacker.log");
        let attacker = Running::start("ws-attack", &mut command, Some(&attacker_log))?;
        let deadline = Instant::now() + self.takes() + PATIENCE;
        let line = attacker.line(deadline)?;
        attacker.wait(deadline)?;
        let mut said: Value =
            line.and_then(|line| serde_json::from_str(&line).ok()).ok_or_else(|| {
                Failure::new(
                    format!("{}: the attacker has no figures", subject.name),
                    format!("see {} and {}", attacker_log.display(), log.display()),
                )
            })?;
        said["server"]["alive"] = json!(server.is_running());
        said["load_average"] = json!(load_average());
        // What a server leaves in the kernel goes before the next one comes.
        drop(server);
        thread::sleep(Duration::from_millis(100));
        Ok(said)
    }
}

/// `report.json`: every measurement.
struct Report {
    about: Value,
    measurements: Vec<Value>,
}

impl Report {
    fn new(run: &Run<'_>, subjects: &[Subject]) -> Self {
        let servers: Vec<_> =
            subjects.iter().map(|one| json!([one.name, one.server.version])).collect();
        let about = json!({
            "command": std::env::args().skip(1).collect::<Vec<_>>(),
            "seconds": run.time.as_secs_f64(),
            "servers": servers,
            "processors": thread::available_parallelism().ok().map(usize::from),
        });
        Self { about, measurements: Vec::new() }
    }

    fn add(&mut self, subject: &Subject, mut said: Value) {
        said["of"] = json!(subject.name);
        self.measurements.push(said);
    }

    fn failed(&mut self, subject: &Subject, attack: &Attack, failure: &Failure) {
        let failure = failure.to_string();
        self.measurements.push(json!({
            "of": subject.name, "attack": attack.name, "failure": failure
        }));
    }

    fn write(&self, path: &Path) -> Result<()> {
        let report = json!({ "run": self.about, "measurements": self.measurements });
        write(path, &format!("{report:#}\n"))
    }
}

fn attacks(programs: &Programs) -> Result<Vec<Attack>> {
    let mut command = tied(programs.attacker());
    let list = Running::start("ws-attack", command.arg("--list"), None)?;
    let mut attacks = Vec::new();
    while let Some(line) = list.line(Instant::now() + PATIENCE)? {
        let attack = serde_json::from_str(&line).ok().and_then(|said| Attack::read(&said));
        attacks.push(attack.ok_or_else(|| {
            Failure::new(
                format!("ws-attack says {line:?}"),
                "make ws-bench/src/bin/attack.rs and xtask/src/attack.rs agree",
            )
        })?);
    }
    Ok(attacks)
}

impl Attack {
    fn read(said: &Value) -> Option<Self> {
        Some(Self {
            name: said["name"].as_str()?.to_owned(),
            what: said["what"].as_str()?.to_owned(),
            needs: match said["needs"].as_str()? {
                "echo" => Needs::Echo,
                "deflate" => Needs::Deflate,
                "broadcast" => Needs::Broadcast,
                _ => return None,
            },
        })
    }
}

fn chosen(mut attacks: Vec<Attack>, names: &[String]) -> Result<Vec<Attack>> {
    if let Some(stranger) = names.iter().find(|name| attacks.iter().all(|one| one.name != **name)) {
        return Err(Failure::new(
            format!("no attack is called {stranger:?}"),
            "see `cargo xtask attack --list`",
        ));
    }
    attacks.retain(|attack| names.is_empty() || names.contains(&attack.name));
    Ok(attacks)
}

fn directory(workspace: &Workspace) -> Result<PathBuf> {
    let dir = workspace.target.join("attack");
    fs::create_dir_all(&dir)
        .map_err(|error| Failure::system(format!("creating {}", dir.display()), &error))?;
    Ok(dir)
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)
        .map_err(|error| Failure::system(format!("writing {}", path.display()), &error))
}

/// Of the last minute.
fn load_average() -> String {
    let average = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    average.split_whitespace().next().unwrap_or("unknown").to_owned()
}
