//! Stages of a long command, several beside each other: each is a process of its own, so that its
//! output can be held back, and its processor time counted.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::process::{find_program, tied};
use crate::tally::Tally;
use crate::times::{Took, Watch};
use crate::workspace::Workspace;

/// Progress is printed after this long without output.
const STILL_THERE: Duration = Duration::from_secs(60);
/// How long a program that a stage has left behind may keep its output open.
const OUTPUT_ENDS: Duration = Duration::from_secs(3);

/// Set in stages that need not build examples as cargo's tests have them.
pub(crate) const BUILT: &str = "XTASK_BUILT";

/// Stages that run one after another.
pub(crate) struct Lane {
    pub(crate) stages: Vec<String>,
    /// Whether they leave the processors to the other lanes, whose tests have deadlines.
    pub(crate) nice: bool,
}

/// What became of a stage.
pub(crate) struct Outcome {
    pub(crate) name: String,
    /// `None` if it failed without a count.
    pub(crate) tally: Option<Tally>,
    pub(crate) took: Took,
}

/// Runs `xtask stage NAME` for each stage, by a copy of this program: a stage may build a new one.
pub(crate) struct Lanes {
    command: &'static str,
    program: PathBuf,
    verbose: bool,
    /// Whether cargo has built everything that tests need: then no stage waits for its lock, which a
    /// step of `ci` may hold for minutes.
    pub(crate) built: bool,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Drop for Lanes {
    fn drop(&mut self) {
        // It is below `target` and does no harm.
        let _ = fs::remove_file(&self.program);
    }
}

/// The last line of a stage.
pub(crate) fn last_line(tally: Tally, took: Took) -> String {
    format!("{LAST_LINE}{tally}; {:.2} s of CPU", took.cpu.unwrap_or(-1.0))
}

const LAST_LINE: &str = "xtask stage: ";

fn parse_last_line(line: &str) -> Option<(Tally, Option<f64>)> {
    let (tally, cpu) = line.strip_prefix(LAST_LINE)?.split_once("; ")?;
    let (passed, failed) = tally.split_once(" passed, ")?;
    let failed = failed.strip_suffix(" failed")?.parse().ok()?;
    let cpu: f64 = cpu.strip_suffix(" s of CPU")?.parse().ok()?;
    Some((Tally { passed: passed.parse().ok()?, failed }, (cpu >= 0.0).then_some(cpu)))
}

/// A stage that runs.
struct Stage {
    name: String,
    child: Child,
    watch: Watch,
    /// What it has printed, unless that is printed as it comes.
    held: Vec<String>,
    last: Option<(Tally, Option<f64>)>,
    /// Since when the process has ended, and its output has not.
    ended: Option<Instant>,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Both fail only for a child that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A line of a lane, or the end of its output.
type Line = (usize, Option<String>);

impl Lanes {
    pub(crate) fn new(workspace: &Workspace, command: &'static str, verbose: bool) -> Result<Self> {
        let failed = |error: &io::Error| Failure::system("copying this program", error);
        let own = std::env::current_exe().map_err(|error| failed(&error))?;
        let dir = workspace.target.join("xtask");
        fs::create_dir_all(&dir).map_err(|error| failed(&error))?;
        let name = format!("xtask-{}{}", process::id(), std::env::consts::EXE_SUFFIX);
        let program = dir.join(name);
        fs::copy(own, &program).map_err(|error| failed(&error))?;
        Ok(Self { command, program, verbose, built: false, outcomes: Vec::new() })
    }

    /// Runs the lanes beside each other, to the end of all. With several lanes, the output of a
    /// stage is printed when it has ended.
    pub(crate) fn run(&mut self, lanes: Vec<Lane>) -> Result<()> {
        let lanes: Vec<Lane> = lanes.into_iter().filter(|lane| !lane.stages.is_empty()).collect();
        // Everything that is wanted to be seen comes at once, and one after another.
        if self.verbose && lanes.len() > 1 {
            return lanes.into_iter().try_for_each(|lane| self.run(vec![lane]));
        }
        let (sender, lines) = channel();
        let at_once = lanes.len() == 1;
        let mut waiting: Vec<_> = lanes
            .iter()
            .map(|lane| lane.stages.iter().map(move |name| (name, lane.nice)))
            .collect();
        let mut running: Vec<Option<Stage>> = Vec::new();
        for (number, lane) in waiting.iter_mut().enumerate() {
            running.push(self.next(lane.next(), number, &sender)?);
        }
        while running.iter().any(Option::is_some) {
            for number in self.ended(&mut running, &lines, at_once) {
                if let Some(stage) = running[number].take() {
                    self.finish(stage);
                }
                running[number] = self.next(waiting[number].next(), number, &sender)?;
            }
        }
        Ok(())
    }

    fn next(
        &self,
        stage: Option<(&String, bool)>,
        number: usize,
        lines: &Sender<Line>,
    ) -> Result<Option<Stage>> {
        let Some((name, nice)) = stage else { return Ok(None) };
        println!("xtask {}: {name} starts", self.command);
        let failed = |error: &io::Error| Failure::system(format!("starting {name}"), error);
        let (reader, writer) = io::pipe().map_err(|error| failed(&error))?;
        let mut command: Command;
        if nice && find_program("nice") {
            command = tied("nice");
            command.args(["-n", "19"]).arg(&self.program);
        } else {
            command = tied(&self.program);
        }
        command.args(["stage", name]).args(self.verbose.then_some("--verbose"));
        command.envs(self.built.then_some((BUILT, "1")));
        let copy = writer.try_clone().map_err(|error| failed(&error))?;
        command.stdin(Stdio::null()).stdout(copy).stderr(writer);
        let watch = Watch::start();
        let child = command.spawn().map_err(|error| failed(&error))?;
        let lines = lines.clone();
        thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if lines.send((number, Some(text))).is_err() {
                    return;
                }
                line.clear();
            }
            // Nobody listens any more if this process ends.
            let _ = lines.send((number, None));
        });
        let name = name.to_owned();
        Ok(Some(Stage { name, child, watch, held: Vec::new(), last: None, ended: None }))
    }

    /// Waits for the end of stages, and returns their lanes.
    fn ended(
        &self,
        running: &mut [Option<Stage>],
        lines: &Receiver<Line>,
        at_once: bool,
    ) -> Vec<usize> {
        let mut told = Instant::now();
        loop {
            match lines.recv_timeout(Duration::from_millis(500)) {
                Ok((number, line)) => {
                    let Some(stage) = running[number].as_mut() else { continue };
                    let Some(line) = line else { return vec![number] };
                    match parse_last_line(&line) {
                        Some(last) => stage.last = Some(last),
                        None if at_once => println!("{line}"),
                        None => stage.held.push(line),
                    }
                    if at_once {
                        told = Instant::now();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    let mut over = Vec::new();
                    for (number, stage) in running.iter_mut().enumerate() {
                        let Some(stage) = stage else { continue };
                        if !matches!(stage.child.try_wait(), Ok(None))
                            && stage.ended.get_or_insert_with(Instant::now).elapsed() > OUTPUT_ENDS
                        {
                            over.push(number);
                        }
                    }
                    if !over.is_empty() {
                        return over;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return (0..running.len()).filter(|n| running[*n].is_some()).collect();
                }
            }
            if told.elapsed() >= STILL_THERE {
                told = Instant::now();
                let now: Vec<String> = running.iter().flatten().map(Stage::progress).collect();
                println!("xtask {}: {}", self.command, now.join("; "));
            }
        }
    }

    fn finish(&mut self, mut stage: Stage) {
        let status = stage.child.wait();
        for line in stage.held.drain(..) {
            println!("{line}");
        }
        let mut took = stage.watch.took();
        let last = stage.last.filter(|_| status.as_ref().is_ok_and(process::ExitStatus::success));
        took.cpu = last.and_then(|(_, cpu)| cpu);
        let tally = last.map(|(tally, _)| tally);
        match tally {
            None => {
                let status = status.map_or_else(|error| error.to_string(), |it| it.to_string());
                println!("xtask {}: {} FAILED ({status}); {took}", self.command, stage.name);
            }
            // A stage that runs no tests.
            Some(tally) if tally == Tally::default() => {
                println!("xtask {}: {}: {took}", self.command, stage.name);
            }
            Some(tally) => {
                println!("xtask {}: {}: {tally}; {took}", self.command, stage.name);
            }
        }
        self.outcomes.push(Outcome { name: std::mem::take(&mut stage.name), tally, took });
    }
}

impl Stage {
    /// `interop for 120 s, HTTP/2`, with its last heading or line.
    fn progress(&self) -> String {
        let mut line = format!("{} for {}", self.name, self.watch.took().wall.round());
        line += " s";
        if let Some(last) = self.held.iter().rev().find(|line| !line.trim().is_empty()) {
            let last: String = last.trim().chars().take(70).collect();
            line += &format!(" ({last})");
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_line_of_a_stage_is_read() {
        let tally = Tally { passed: 12, failed: 3 };
        for cpu in [Some(44.25), None] {
            let line = last_line(tally, Took { wall: 1.0, cpu });
            assert_eq!(parse_last_line(&line), Some((tally, cpu)), "{line}");
        }
        assert_eq!(parse_last_line("xtask stage: something else"), None);
    }
}
