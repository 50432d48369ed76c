//! `target/bench/RUN.jsonl`: a line for the run, and one for each case, measurement, row and
//! failure.
//!
//! `ws-report` of ws-bench makes the report from it; `ws-bench/src/report/run.rs` reads it.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::case::Case;
use super::cores::Cores;
use super::figures::{Memory, Spread};
use super::server::Server;
use super::table::Row;
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

pub(crate) struct Record {
    path: PathBuf,
    file: File,
}

impl Record {
    pub(crate) fn create(workspace: &Workspace, servers: &[Server], cores: &Cores) -> Result<Self> {
        let dir = workspace.target.join("bench");
        fs::create_dir_all(&dir)
            .map_err(|error| Failure::system(format!("creating {}", dir.display()), &error))?;
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let path = dir.join(format!("{time}.jsonl"));
        let file = File::create(&path)
            .map_err(|error| Failure::system(format!("creating {}", path.display()), &error))?;
        let mut record = Record { path, file };
        let load_average = fs::read_to_string("/proc/loadavg").ok();
        if let Some(average) = load_average.as_deref() {
            let minute = average.split_whitespace().next().unwrap_or_default();
            println!("xtask bench: the load average is {minute} before the first measurement");
        }
        let servers = servers.iter().map(|server| json!([server.name, server.version]));
        record.line(&json!({
            "kind": "run",
            "time": time,
            "command": std::env::args().skip(1).collect::<Vec<_>>(),
            "commit": commit(workspace),
            "processor": processor(),
            "processors": std::thread::available_parallelism().ok().map(usize::from),
            "kernel": kernel("kernel/osrelease"),
            "system": std::env::consts::OS,
            "rustc": rustc(),
            "congestion_control": kernel("net/ipv4/tcp_congestion_control"),
            "cores": cores.to_string(),
            "load_average": load_average.map(|text| text.trim().to_owned()),
            "servers": servers.collect::<Vec<_>>(),
        }))?;
        Ok(record)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Records the next case, with the limits that were `raised` above our defaults for it.
    pub(crate) fn case(&mut self, case: &Case, raised: &[(&str, u64)]) -> Result<()> {
        self.line(&json!({
            "kind": "case",
            "case": case.name,
            "title": case.in_words(),
            "meaning": case.meaning(),
            "unit": case.unit(),
            "raised": raised,
        }))
    }

    /// Records a result of the load, with its context.
    pub(crate) fn measurement(
        &mut self,
        case: &Case,
        server: &Server,
        round: u32,
        answer: &Value,
    ) -> Result<()> {
        let mut line = answer.clone();
        line["kind"] = "measurement".into();
        line["case"] = case.name.clone().into();
        line["server"] = server.name.clone().into();
        line["round"] = round.into();
        self.line(&line)
    }

    pub(crate) fn summary(&mut self, case: &Case, row: &Row) -> Result<()> {
        let spread = |spread: Spread| json!([spread.min, spread.median, spread.max]);
        self.line(&json!({
            "kind": "summary",
            "case": case.name,
            "server": row.name,
            "is_cpu": row.is_cpu,
            "per_second": spread(row.rate),
            "cost_ns": spread(row.cost),
            "load_cpu_ns": row.load_cpu.map(spread),
            "bytes": row.bytes,
            "to_best_peer": row.to_best,
            "to_raw": row.to_raw,
            "latency_ns": row.latency,
            "rounds": row.rounds,
            "disturbed": row.disturbed,
        }))
    }

    pub(crate) fn memory(&mut self, case: &Case, server: &Server, memory: &Memory) -> Result<()> {
        self.line(&json!({
            "kind": "memory",
            "case": case.name,
            "server": server.name,
            "looks": case.looks(),
            "bytes": memory.looks,
            "resident": memory.resident,
        }))
    }

    pub(crate) fn failure(&mut self, case: &Case, server: &Server, what: &str) -> Result<()> {
        self.line(&json!({
            "kind": "failure", "case": case.name, "server": server.name, "what": what,
        }))
    }

    fn line(&mut self, value: &Value) -> Result<()> {
        writeln!(self.file, "{value}")
            .map_err(|error| Failure::system(format!("writing {}", self.path.display()), &error))
    }
}

fn commit(workspace: &Workspace) -> Option<String> {
    let mut git = Command::new("git");
    git.args(["describe", "--always", "--dirty", "--abbrev=12"]).current_dir(&workspace.root);
    let output = git.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn rustc() -> Option<String> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(program).arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A setting of the Linux kernel.
fn kernel(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
    Some(text.trim().to_owned())
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(": ")?.1.to_owned())
}
