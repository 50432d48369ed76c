//! `target/bench/RUN.jsonl`: a line for the run, one for each measurement, one for each row.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::case::Case;
use super::cores::Cores;
use super::figures::Spread;
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
            "commit": commit(workspace),
            "processor": processor(),
            "kernel": kernel("kernel/osrelease"),
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

    /// What the load answered, with what it was about.
    pub(crate) fn measurement(
        &mut self,
        case: &Case,
        server: &Server,
        round: u32,
        answer: &Value,
    ) -> Result<()> {
        let mut line = answer.clone();
        line["kind"] = "measurement".into();
        line["case"] = case.to_string().into();
        line["server"] = server.name.clone().into();
        line["round"] = round.into();
        self.line(&line)
    }

    pub(crate) fn summary(&mut self, case: &Case, row: &Row) -> Result<()> {
        let spread = |spread: Spread| json!([spread.min, spread.median, spread.max]);
        self.line(&json!({
            "kind": "summary",
            "case": case.to_string(),
            "server": row.name,
            "messages_per_second": spread(row.rate),
            "server_cpu_ns_per_message": row.cpu.map(spread),
            "load_cpu_ns_per_message": row.load_cpu.map(spread),
            "cpu_to_best_peer": row.to_best,
            "cpu_to_raw": row.to_raw,
            "latency_ns": row.latency,
            "rounds": row.rounds,
            "disturbed": row.disturbed,
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

/// A setting of Linux.
fn kernel(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
    Some(text.trim().to_owned())
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(": ")?.1.to_owned())
}
