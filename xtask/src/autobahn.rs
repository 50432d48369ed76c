//! One run of wstest: a list of cases, a directory for its reports, and the index that it writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::failure::{Failure, Result};
use crate::process::{Running, tied};
use crate::subject::{End, PATH, Program};
use crate::verdict::{CaseId, Verdict, read_index};

pub(crate) type Index = BTreeMap<CaseId, Verdict>;

pub(crate) struct Suite {
    pub(crate) wstest: PathBuf,
    /// Messages in each case of groups 12 and 13, unless the suite's own 1000.
    pub(crate) deflate_count: Option<u32>,
}

pub(crate) struct Run<'a> {
    pub(crate) agent: &'a str,
    pub(crate) program: &'a Program,
    pub(crate) end: End,
    pub(crate) cases: &'a [CaseId],
    /// The directory of this run alone.
    pub(crate) outdir: PathBuf,
}

/// The longest time for one case; the slowest of the suite gives up after 100 s itself.
const CASE: Duration = Duration::from_secs(150);

impl Suite {
    /// The ids of the cases that `patterns` select, read from the suite.
    pub(crate) fn list(&self, patterns: &[String], scratch: &Path) -> Result<Vec<CaseId>> {
        let spec = scratch.join("list.json");
        write(&spec, &json!({ "cases": patterns }))?;
        let listing = Running::start(
            "wstest -m list",
            tied(&self.wstest).args(["-m", "list", "-s"]).arg(&spec),
            None,
        )?;
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut cases = Vec::new();
        while let Some(line) = listing.line(deadline)? {
            cases.extend(CaseId::parse(&line));
        }
        if !listing.wait(deadline)?.success() || cases.is_empty() {
            return Err(Failure::new(
                format!("no Autobahn case matches {}", patterns.join(" ")),
                "use ids such as 6.4.1 or patterns such as '6.*' (quoted)",
            ));
        }
        Ok(cases)
    }

    pub(crate) fn run(&self, run: &Run<'_>) -> Result<Index> {
        fs::create_dir_all(&run.outdir).map_err(|error| {
            Failure::system(format!("creating {}", run.outdir.display()), &error)
        })?;
        match run.end {
            End::Server => self.fuzz_server(run)?,
            End::Client => self.fuzz_client(run)?,
        }
        let path = run.outdir.join("index.json");
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::system(format!("reading {}", path.display()), &error))?;
        read_index(&text, run.agent).map_err(|why| {
            Failure::new(format!("cannot read {}: {why}", path.display()), "see the log beside it")
        })
    }

    fn fuzz_server(&self, run: &Run<'_>) -> Result<()> {
        let log = run.outdir.join("subject.log");
        let mut server = Running::start(run.agent, &mut run.program.server(), Some(&log))?;
        let address = server.address()?;
        let spec = run.spec(&json!({
            "servers": [{ "agent": run.agent, "url": format!("ws://{address}{PATH}") }],
        }))?;
        let client = self.start("fuzzingclient", &spec, &run.outdir)?;
        let mut progress = Progress::new(run);
        while let Some(line) = client.line(progress.deadline)? {
            if let Some(case) = line.strip_prefix("Running test case ID ") {
                progress.at(case.split(' ').next().and_then(CaseId::parse).as_ref());
            }
        }
        client.wait(progress.deadline)?;
        if server.is_running() {
            return Ok(());
        }
        Err(Failure::new(
            format!("{} ended before the suite had finished", run.agent),
            format!("see {}", log.display()),
        ))
    }

    fn fuzz_client(&self, run: &Run<'_>) -> Result<()> {
        let spec = run.spec(&json!({ "url": "ws://127.0.0.1:0" }))?;
        let server = self.start("fuzzingserver", &spec, &run.outdir)?;
        let address = server.address()?;
        let log = run.outdir.join("subject.log");
        let connect = |path: &str, deadline: Instant| -> Result<Vec<String>> {
            let url = format!("ws://{address}{path}");
            let client = Running::start(run.agent, &mut run.program.client(&url), Some(&log))?;
            let mut lines = Vec::new();
            while let Some(line) = client.line(deadline)? {
                // Only the count of the cases matters, and an echo may print much.
                if lines.len() < 8 {
                    lines.push(line);
                }
            }
            // A case may end in a failed connection: its verdict says whether that is right.
            client.wait(deadline)?;
            Ok(lines)
        };
        let mut progress = Progress::new(run);
        let count = connect("/getCaseCount", progress.deadline)?;
        let expected = format!("text: {}", run.cases.len());
        if !count.contains(&expected) {
            return Err(Failure::new(
                format!("{} printed {count:?} for /getCaseCount, not {expected:?}", run.agent),
                format!(
                    "run it as `client ws://...` against any server; its messages are in {}",
                    log.display()
                ),
            ));
        }
        for (number, case) in (1..).zip(run.cases) {
            progress.at(Some(case));
            connect(&format!("/runCase?case={number}&agent={}", run.agent), progress.deadline)?;
        }
        connect(&format!("/updateReports?agent={}", run.agent), progress.deadline)?;
        // The reports are written before that connection is closed.
        Ok(())
    }

    fn start(&self, mode: &str, spec: &Path, outdir: &Path) -> Result<Running> {
        let mut command = tied(&self.wstest);
        command.args(["-m", mode, "-s"]).arg(spec);
        if let Some(count) = self.deflate_count {
            // The port reads this variable: see port_wstest.py.
            command.env("WSTEST_DEFLATE_COUNT", count.to_string());
        }
        Running::start(&format!("wstest -m {mode}"), &mut command, Some(&outdir.join("wstest.log")))
    }
}

impl Run<'_> {
    fn spec(&self, more: &Value) -> Result<PathBuf> {
        let cases: Vec<String> = self.cases.iter().map(ToString::to_string).collect();
        let mut spec = json!({
            "outdir": self.outdir,
            "cases": cases,
            "exclude-cases": [],
            "exclude-agent-cases": {},
        });
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        let path = self.outdir.join("spec.json");
        write(&path, &spec)?;
        Ok(path)
    }
}

/// Prints the running group, and extends the deadline with each case.
struct Progress {
    label: String,
    total: usize,
    done: usize,
    group: Option<u32>,
    deadline: Instant,
}

impl Progress {
    fn new(run: &Run<'_>) -> Self {
        let end = match run.end {
            End::Server => "server",
            End::Client => "client",
        };
        Progress {
            label: format!("{} as {end}", run.agent),
            total: run.cases.len(),
            done: 0,
            group: None,
            deadline: Instant::now() + CASE,
        }
    }

    fn at(&mut self, case: Option<&CaseId>) {
        self.done += 1;
        self.deadline = Instant::now() + CASE;
        let group = case.map(CaseId::group);
        if group != self.group {
            self.group = group;
            let group = group.unwrap_or_default();
            println!("  {}: case {} of {}, group {group}", self.label, self.done, self.total);
        }
    }
}

fn write(path: &Path, value: &Value) -> Result<()> {
    fs::write(path, value.to_string())
        .map_err(|error| Failure::system(format!("writing {}", path.display()), &error))
}
