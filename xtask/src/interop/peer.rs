//! A script that tests the other end.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::Variables;
use crate::failure::{Failure, Result};
use crate::process::{Running, tied};
use crate::quiet::Log;
use crate::subject::{End, PATH, Program, Subject};
use crate::tally::Tally;

/// The longest that a script may print nothing; it stops a case after 20 s itself.
const CASE: Duration = Duration::from_secs(60);

/// A script that tests the other end, and its interpreter.
pub(super) struct Peer<'l> {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    pub(super) script: PathBuf,
    /// Properties of this machine that the script needs.
    pub(super) variables: Variables,
    /// The log for its output and that of the other end.
    pub(super) log: Option<&'l Log>,
}

impl Peer<'_> {
    pub(super) fn as_client_of(
        &self,
        subject: &Subject,
        program: &Program,
        spoken: Option<&str>,
        cases: usize,
    ) -> Result<Tally> {
        let mut server =
            Running::start(subject.name, &mut program.server(), self.log.map(Log::path))?;
        let address = server.address()?;
        let mut command = self.command();
        command.arg("client").arg(format!("ws://{address}{PATH}")).args(spoken);
        let what = format!("{} as client of {}", self.name, subject.name);
        let tally = self.drive(&what, &mut command, cases)?;
        self.still_running(&mut server, subject.name)?;
        Ok(tally)
    }

    pub(super) fn still_running(&self, server: &mut Running, name: &str) -> Result<()> {
        if server.is_running() {
            return Ok(());
        }
        Err(Failure::new(format!("{name} ended during {}", self.name), self.where_to_look()))
    }

    pub(super) fn as_server_for(
        &self,
        subject: &Subject,
        program: &Program,
        cases: usize,
    ) -> Result<Tally> {
        let mut command = self.command();
        command.arg("server").args(program.start_words(End::Client));
        let what = format!("{} as server of {}", self.name, subject.name);
        self.drive(&what, &mut command, cases)
    }

    fn where_to_look(&self) -> String {
        match self.log {
            Some(log) => format!("its output is in {}", log.path().display()),
            None => "its messages are above".into(),
        }
    }

    pub(super) fn command(&self) -> Command {
        let mut command = tied(&self.program);
        command.arg(&self.script).envs(self.variables.iter().map(|(name, path)| (name, path)));
        // Otherwise Python writes beside the modules that scripts share.
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    pub(super) fn drive(&self, what: &str, command: &mut Command, cases: usize) -> Result<Tally> {
        let started = Instant::now();
        println!("interop: {what}, {cases} cases");
        let script = Running::start(what, command, self.log.map(Log::path))?;
        let mut tally = Tally::default();
        while let Some(line) = script.line(Instant::now() + CASE)? {
            match line.split_once(' ') {
                Some(("ok", _)) => tally.passed += 1,
                Some(("FAIL", why)) => {
                    println!("  FAIL {why}");
                    tally.failed += 1;
                }
                _ => println!("  {line}"),
            }
        }
        let status = script.wait(Instant::now() + CASE)?;
        let seconds = started.elapsed().as_secs_f64();
        println!("  {what}: {tally}; {seconds:.1} s");
        if tally.passed + tally.failed != cases || status.success() != (tally.failed == 0) {
            return Err(Failure::new(
                format!("{what}: {tally} ({status}), expected {cases} cases"),
                format!("{}; {} must run every case", self.where_to_look(), self.script.display()),
            ));
        }
        Ok(tally)
    }
}
