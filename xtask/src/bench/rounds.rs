//! The rounds of one case: each measures every server once, so that changes in the machine's speed
//! affect all of them.

use serde_json::Value;

use super::case::Case;
use super::figures::{Figures, Memory};
use super::measurement::Measurement;
use super::progress::Progress;
use super::record::Record;
use super::server::Server;
use crate::failure::{Failure, Result};

/// The number of times that a disturbed measurement is repeated.
const REPEATS: u32 = 2;

/// One measurement in this many may be repeated, in each case.
const REPEATED: u32 = 4;

pub(crate) struct Runner<'a> {
    pub(crate) measuring: &'a Measurement,
    pub(crate) rounds: u32,
    pub(crate) progress: &'a Progress,
    pub(crate) record: &'a mut Record,
    /// The failures: the case, the server and the cause.
    pub(crate) failures: Vec<String>,
}

impl Runner<'_> {
    /// The figures of every round, of those servers that completed all of them.
    pub(crate) fn time<'s>(
        &mut self,
        case: &Case,
        servers: &[&'s Server],
    ) -> Result<Vec<(&'s Server, Vec<Figures>)>> {
        let mut measured: Vec<(&Server, Option<Vec<Figures>>)> =
            servers.iter().map(|&server| (server, Some(Vec::new()))).collect();
        // If other work never ends, repeating everything would only take long.
        let mut spare = (self.rounds * servers.len() as u32).div_ceil(REPEATED);
        for round in 1..=self.rounds {
            for (server, figures) in &mut measured {
                if let Some(so_far) = figures {
                    let of_rounds = format!("{case}, round {round} of {}", self.rounds);
                    self.progress.at(format!("{of_rounds}: {}", server.name));
                    match self.undisturbed(case, server, round, &mut spare)? {
                        Some(one) => so_far.push(one),
                        None => *figures = None,
                    }
                }
                self.progress.done(self.measuring.takes(case));
            }
        }
        Ok(measured.into_iter().filter_map(|(server, all)| Some((server, all?))).collect())
    }

    /// The memory of each server that completed the case.
    pub(crate) fn memory<'s>(
        &mut self,
        case: &Case,
        servers: &[&'s Server],
    ) -> Result<Vec<(&'s Server, Memory)>> {
        let mut measured = Vec::new();
        for server in servers {
            self.progress.at(format!("{case}: {}", server.name));
            if let Some(answer) = self.measure(case, server, 1)? {
                let memory = Memory::from_load(&answer).ok_or_else(|| disagree(&answer))?;
                self.record.memory(case, server, &memory)?;
                measured.push((*server, memory));
            }
            self.progress.done(self.measuring.takes(case));
        }
        Ok(measured)
    }

    /// Repeats a disturbed measurement, and takes the least disturbed one.
    fn undisturbed(
        &mut self,
        case: &Case,
        server: &Server,
        round: u32,
        spare: &mut u32,
    ) -> Result<Option<Figures>> {
        let takes = self.measuring.takes(case);
        let mut best: Option<Figures> = None;
        for attempt in 0..=REPEATS {
            if attempt > 0 {
                if *spare == 0 {
                    break;
                }
                *spare -= 1;
                self.progress.more(takes);
            }
            let answer = self.measure(case, server, round)?;
            if attempt > 0 {
                self.progress.done(takes);
            }
            let Some(answer) = answer else {
                return Ok(None);
            };
            let figures = Figures::from_load(&answer).ok_or_else(|| disagree(&answer))?;
            let calmer = best.as_ref().is_none_or(|best| figures.disturbance < best.disturbance);
            let is_disturbed = figures.is_disturbed();
            if calmer {
                best = Some(figures);
            }
            if !is_disturbed {
                break;
            }
        }
        Ok(best)
    }

    /// Returns `None` if the server failed, which is printed and recorded.
    fn measure(&mut self, case: &Case, server: &Server, round: u32) -> Result<Option<Value>> {
        match self.measuring.run(server, case) {
            Ok(answer) => {
                self.record.measurement(case, server, round, &answer)?;
                Ok(Some(answer))
            }
            Err(failure) => {
                self.progress.say(&format!("xtask bench: {case}: FAILED, left out: {failure}"));
                self.record.failure(case, server, &failure.to_string())?;
                self.failures.push(format!("{} in {case}", server.name));
                Ok(None)
            }
        }
    }
}

fn disagree(answer: &Value) -> Failure {
    Failure::new(
        format!("the load answered {answer}"),
        "make ws-bench/src/load/outcome.rs and xtask agree",
    )
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Duration;

    use super::super::build::Programs;
    use super::super::cores::Cores;
    use super::super::server::Program;
    use super::*;
    use crate::workspace::Workspace;

    #[test]
    fn servers_that_do_not_start_are_named_and_the_others_go_on() {
        let target = std::env::temp_dir().join(format!("xtask-bench-{}", std::process::id()));
        let workspace =
            Workspace { root: target.clone(), target: target.clone(), packages: vec![] };
        let server = |name: &str| Server {
            name: name.into(),
            version: String::new(),
            program: Program::Added(vec!["false".into(), "{port}".into()]),
        };
        let (one, other) = (server("one"), server("other"));
        let measuring = Measurement {
            cores: Cores::Free("a test"),
            warm_up: Duration::ZERO,
            seconds: Duration::ZERO,
            rest: Duration::ZERO,
            programs: Programs::none(),
            logs: target.join("bench"),
        };
        let mut record = Record::create(&workspace, &[], &measuring.cores).expect("a record");
        let mut runner = Runner {
            measuring: &measuring,
            rounds: 3,
            progress: &Progress::new(Duration::from_secs(1)),
            record: &mut record,
            failures: Vec::new(),
        };
        let case: Case = "handshake".parse().expect("a case");
        let measured = runner.time(&case, &[&one, &other]).expect("no failure of the run");
        assert!(measured.is_empty());
        // Once each: a server that failed in the first round is not measured again.
        assert_eq!(runner.failures, ["one in handshake", "other in handshake"]);
        let lines = std::fs::read_to_string(record.path()).expect("the record");
        assert_eq!(lines.matches(r#""kind":"failure""#).count(), 2, "{lines}");
        std::fs::remove_dir_all(target).expect("its directory");
    }
}
