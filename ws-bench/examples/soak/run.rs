//! The run: a server, a warm-up, a rest, the time that is judged, and another rest.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::{Instant, timeout},
};
use ws_bench::soak::{GAUGES, KEPT, Phase, Record, judge, page};

use crate::{
    Outcome,
    life::World,
    population::{KINDS, populate, stir},
    serve,
    tally::Tally,
    transport::Server,
};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How long clients come and go, in seconds, warm-up and rests included
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u64).range(60..=86_400))]
    seconds: u64,
    /// The same clients do the same for the same seed, as far as time allows
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to put the report
    #[arg(long, default_value = "target/soak")]
    out: PathBuf,
    #[command(flatten)]
    server: serve::ServerOptions,
}

/// A server that says nothing for so long is stuck.
const SILENCE: Duration = Duration::from_secs(30);
/// What a server may take until everything of the clients that left is gone: its longest limit for those
/// that left without a word, and as much again.
const REST: Duration = Duration::from_secs(30);
/// A rest takes so long in any case, so that what is late is seen.
const SHORTEST_REST: Duration = Duration::from_secs(8);
/// Of a rest, the last part is quite without clients.
const QUIET: Duration = Duration::from_secs(6);
const WARM_UP: Duration = Duration::from_secs(300);
const TELL: Duration = Duration::from_secs(10);

/// Returns whether all checks passed.
pub(crate) fn run(options: &Options) -> Outcome<bool> {
    fs::create_dir_all(&options.out)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let path = options.out.join("run.jsonl");
    runtime.block_on(soak(options, &path))?;
    let record = Record::read(&fs::read_to_string(&path)?)?;
    let report = options.out.join("report.html");
    fs::write(&report, page(&record))?;
    let checks = judge(&record);
    for check in &checks {
        let mark = if check.passed { "ok" } else { "FAIL" };
        println!("{mark} {}: {}", check.what, check.found);
    }
    let verdict: Vec<Value> = checks
        .iter()
        .map(|it| json!({ "what": it.what, "passed": it.passed, "found": it.found }))
        .collect();
    fs::write(options.out.join("verdict.json"), format!("{:#}\n", Value::from(verdict)))?;
    println!("soak: {}", report.display());
    let passed = checks.iter().filter(|check| check.passed).count();
    println!("soak: {passed} passed, {} failed", checks.len() - passed);
    Ok(passed == checks.len())
}

async fn soak(options: &Options, path: &Path) -> Outcome {
    let (mut server, mut lines) = start(options)?;
    let listening = next(&mut lines).await?;
    let tally = Tally::new(KINDS.iter().filter(|kind| kind.good).map(|kind| kind.name));
    let world = Arc::new(World { server: Server::from_line(&listening)?, tally });
    let total = Duration::from_secs(options.seconds);
    let mut run =
        Run { out: File::create(path)?, lines, world, started: Instant::now(), total, told: None };
    run.write(&json!({
        "kind": "soak",
        "seconds": options.seconds,
        "seed": options.seed,
        "max_memory": listening["max_memory"],
        "profile": if cfg!(debug_assertions) { "dev" } else { "optimized" },
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    }))?;

    run.sample(Phase::Before, |at, _| at >= Duration::from_secs(2)).await?;
    // A quarter, and not longer than it takes until the longest lives have ended.
    let warm_up = (total / 4).min(WARM_UP);
    run.populate(Phase::WarmUp, options.seed, warm_up).await?;
    let kept = run.rest(Phase::Rest, None).await?;
    let left = total.saturating_sub(run.started.elapsed()).saturating_sub(SHORTEST_REST);
    run.populate(Phase::Main, options.seed.wrapping_add(1), left.max(total / 3)).await?;
    run.rest(Phase::After, Some(kept)).await?;

    // The end of its input tells it to end.
    drop(server.stdin.take());
    loop {
        let Ok(line) = next(&mut run.lines).await else { break };
        if line["kind"] == "end" {
            run.write(&line)?;
            break;
        }
    }
    server.kill()?;
    server.wait()?;
    Ok(())
}

/// Starts the server as a process of its own, whose log goes into a file.
fn start(options: &Options) -> Outcome<(Child, UnboundedReceiver<String>)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["serve", "--max-memory", &options.server.max_memory.to_string()]);
    if let Some(leak) = options.server.leak {
        let leak = clap::ValueEnum::to_possible_value(&leak).ok_or("a leak")?;
        command.args(["--leak", leak.get_name()]);
    }
    let log = File::create(options.out.join("server.log"))?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
    let mut server = command.spawn()?;
    let out = server.stdout.take().ok_or("no output")?;
    let (to, lines) = unbounded_channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if to.send(line).is_err() {
                break;
            }
        }
    });
    Ok((server, lines))
}

async fn next(lines: &mut UnboundedReceiver<String>) -> Outcome<Value> {
    let line = timeout(SILENCE, lines.recv()).await.map_err(|_| "the server says nothing")?;
    let line = line.ok_or("the server has ended: see server.log")?;
    Ok(serde_json::from_str(&line)?)
}

struct Run {
    out: File,
    lines: UnboundedReceiver<String>,
    world: Arc<World>,
    started: Instant,
    total: Duration,
    told: Option<Instant>,
}

impl Run {
    fn write(&mut self, line: &Value) -> Outcome {
        Ok(writeln!(self.out, "{line}")?)
    }

    /// Writes down every second of a phase until `is_over`, by the time in the phase and the sample.
    async fn sample(
        &mut self,
        phase: Phase,
        mut is_over: impl FnMut(Duration, &Value) -> bool,
    ) -> Outcome {
        let began = Instant::now();
        loop {
            let server = next(&mut self.lines).await?;
            let (clients, errors) = self.world.tally.take();
            for what in errors {
                println!("soak: a good client complains: {what}");
                self.write(&json!({ "kind": "error", "what": what }))?;
            }
            let at = self.started.elapsed().as_secs_f64();
            let sample = json!({
                "kind": "sample", "at": at, "phase": phase.name(), "server": server, "clients": clients,
            });
            self.write(&sample)?;
            self.tell(phase, &sample);
            if is_over(began.elapsed(), &sample["server"]) {
                return Ok(());
            }
        }
    }

    async fn populate(&mut self, phase: Phase, seed: u64, time: Duration) -> Outcome {
        let world = Arc::clone(&self.world);
        let living = tokio::spawn(populate(world, seed, Instant::now() + time));
        self.sample(phase, |_, _| living.is_finished()).await?;
        Ok(living.await?)
    }

    /// Until everything of the clients is gone, or will not go. Returns what the heap holds then, at
    /// least; with `like`, what it held in the rest before, it waits until it holds as little again.
    async fn rest(&mut self, phase: Phase, like: Option<f64>) -> Outcome<f64> {
        let stirring = tokio::spawn(stir(Arc::clone(&self.world), Instant::now() + REST - QUIET));
        let is_zero = |server: &Value, name: &str| server[name].as_u64() == Some(0);
        let mut least = f64::INFINITY;
        self.sample(phase, |time, server| {
            least = least.min(server["heap_untold"].as_f64().unwrap_or(0.0));
            let gone = GAUGES.iter().all(|name| is_zero(server, name));
            let little = like.is_none_or(|like| least <= like + KEPT);
            time >= REST || gone && little && time >= SHORTEST_REST
        })
        .await?;
        stirring.abort();
        Ok(least)
    }

    /// A line now and then, and at each new phase.
    fn tell(&mut self, phase: Phase, sample: &Value) {
        if self.told.is_some_and(|told| told.elapsed() < TELL) {
            return;
        }
        self.told = Some(Instant::now());
        let left = self.total.saturating_sub(self.started.elapsed());
        let (server, clients) = (&sample["server"], &sample["clients"]);
        let mib = |bytes: &Value| bytes.as_f64().unwrap_or(0.0) / f64::from(1 << 20);
        println!(
            "soak: [{}/5] {}: {:.0} s; {:.1} MiB resident, {:.1} MiB heap, {} descriptors, {} connections, \
             p99 {:.1} ms, {} opened, {} errors; about {:.0} s to go",
            Phase::ALL.iter().position(|it| *it == phase).unwrap_or(0) + 1,
            phase.name(),
            self.started.elapsed().as_secs_f64(),
            mib(&server["rss"]),
            mib(&server["heap"]),
            server["fds"],
            server["connections"],
            clients["p99_us"].as_f64().unwrap_or(0.0) / 1e3,
            server["opened"],
            clients["errors"],
            left.as_secs_f64(),
        );
    }
}
