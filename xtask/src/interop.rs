//! `cargo xtask interop`: foreign implementations against the subjects. Python `websockets` and npm
//! `ws` as clients and servers, and `websocat` as client; Python `websockets` with an extension of
//! ours; Python `websockets`, npm `ws`, `undici` and Chromium with compression against the demo;
//! `websockets` and Chromium with broadcasts in between; and the demo's page in Chromium.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};
use crate::process::{Running, tied};
use crate::quiet::Log;
use crate::stages::Stages;
use crate::subject::{DEMO, End, Ends, PATH, Program, SUBJECTS, Subject};
use crate::tally::Tally;
use crate::tools;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run this program instead of the examples that are both ends, which are then not built;
    /// leaves out the demo, the client, and the cases of x-crc32c and compression
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Print the output of the servers and clients under test, instead of writing it to
    /// target/interop
    #[arg(long)]
    verbose: bool,
}

impl Options {
    pub(crate) fn everything(verbose: bool) -> Self {
        Options { binary: None, verbose }
    }
}

/// Seven sizes of text and binary, whole and fragmented; four Pings; four ways to close.
const CASES: usize = 2 * 7 * 2 + 4 + 4;
/// The same, and one for the subprotocol.
const CLIENT_CASES: usize = CASES + 1;
/// Six sizes of text and binary, one of many messages, a Ping, a subprotocol, three ways to close.
const WEBSOCAT_CASES: usize = 2 * 6 + 1 + 1 + 1 + 3;
/// The server whose extension Python `websockets` speaks too.
const CHECKSUM: Subject = Subject {
    name: "x_crc32c",
    package: "ws-handshake",
    ends: Ends::Both,
    subprotocol: None,
    cases: &[],
    count: 0,
};
/// Seven sizes of text and binary, whole and fragmented; one of many messages; four ways to corrupt
/// a frame, whole and fragmented.
const CHECKSUM_CASES: usize = 2 * 7 * 2 + 1 + 4 * 2;
/// One for the negotiation, a hundred messages, two about the octets on the wire, one way to close.
const DEFLATE_CASES: usize = 1 + 100 + 2 + 1;
/// The same, and pages of two other origins.
const CHROMIUM_CASES: usize = DEFLATE_CASES + 2;
/// Two clients, with more than 10,000 messages each.
const MIXED_CASES: usize = 2;
/// Connections rest after such a short time that they do so constantly.
const MIXED_SERVER: [&str; 2] = ["--park-after", "0.02"];
/// The functions of the demo's page.
const PAGE_CASES: usize = 23;
/// The longest that a script may print nothing; it stops a case after 20 s itself.
const CASE: Duration = Duration::from_secs(60);

/// A script that tests the other end, and its interpreter.
struct Peer<'l> {
    name: &'static str,
    program: PathBuf,
    script: PathBuf,
    /// Properties of this machine that the script needs.
    variables: Vec<(&'static str, PathBuf)>,
    /// The log for its output and that of the other end.
    log: Option<&'l Log>,
}

pub(crate) fn interop(workspace: &Workspace, options: &Options) -> Result<Tally> {
    let scripts = workspace.xtask().join("interop");
    let log = Log::new(workspace.target.join("interop/programs.log"), options.verbose)?;
    let log = log.as_ref();
    if let Some(log) = log {
        println!("xtask interop: the output of the programs is in {}", workspace.short(log.path()));
    }
    let peers = [
        Peer {
            name: "Python websockets",
            program: tools::python_with_websockets(workspace)?,
            script: scripts.join("python_websockets.py"),
            variables: Vec::new(),
            log,
        },
        Peer {
            name: "npm ws",
            program: "node".into(),
            script: scripts.join("npm_ws.mjs"),
            variables: vec![("INTEROP_MODULES", tools::node_modules(workspace)?)],
            log,
        },
    ];
    let websocat = Peer {
        name: "websocat",
        program: tools::python_with_websockets(workspace)?,
        script: scripts.join("websocat.py"),
        variables: vec![("INTEROP_WEBSOCAT", tools::websocat(workspace)?)],
        log,
    };
    let wanted = |subject: &&Subject| options.binary.is_none() || subject.ends == Ends::Both;
    let subjects: Vec<&Subject> = SUBJECTS.iter().filter(wanted).collect();
    let mut names: Vec<(&str, Option<f64>)> =
        subjects.iter().map(|subject| (subject.name, Some(8.0))).collect();
    let others: [(&str, Option<f64>, Group); 4] = [
        ("x_crc32c", Some(3.0), checksum),
        ("compression", Some(12.0), compression),
        ("broadcasts", Some(6.0), mixed),
        ("the page of the demo", Some(12.0), page),
    ];
    let others = if options.binary.is_none() { &others[..] } else { &[] };
    names.extend(others.iter().map(|&(name, seconds, _)| (name, seconds)));
    let mut stages = Stages::new(workspace, "interop", "", &names);
    let mut total = Tally::default();
    for subject in subjects {
        total += stages.run(|| {
            let program = subject.build(workspace, options.binary.as_deref())?;
            // A program from the command line promises no subprotocol.
            let spoken = subject.subprotocol.filter(|_| options.binary.is_none());
            let mut tally = Tally::default();
            if subject.ends.has(End::Server) {
                tally += websocat.as_client_of(subject, &program, spoken, WEBSOCAT_CASES)?;
            }
            for peer in &peers {
                if subject.ends.has(End::Server) {
                    tally += peer.as_client_of(subject, &program, spoken, CLIENT_CASES)?;
                }
                if subject.ends.has(End::Client) {
                    tally += peer.as_server_for(subject, &program)?;
                }
            }
            Ok(tally)
        })?;
    }
    for (_, _, group) in others {
        total += stages.run(|| group(workspace, &scripts, log))?;
    }
    Ok(total)
}

/// A part that runs only for the workspace's own programs.
type Group = fn(&Workspace, &Path, Option<&Log>) -> Result<Tally>;

/// An extension of frame scope, in a foreign implementation.
fn checksum(workspace: &Workspace, scripts: &Path, log: Option<&Log>) -> Result<Tally> {
    let peer = Peer {
        name: "Python websockets with x-crc32c",
        program: tools::python_with_websockets(workspace)?,
        script: scripts.join("python_crc32c.py"),
        variables: Vec::new(),
        log,
    };
    let program = CHECKSUM.build(workspace, None)?;
    peer.as_client_of(&CHECKSUM, &program, None, CHECKSUM_CASES)
}

/// Clients that speak permessage-deflate, a browser among them.
fn compression(workspace: &Workspace, scripts: &Path, log: Option<&Log>) -> Result<Tally> {
    let modules = ("INTEROP_MODULES", tools::node_modules(workspace)?);
    let browser = [
        ("INTEROP_CHROMIUM", tools::chromium()?),
        ("INTEROP_PROFILE", workspace.target.join("interop/chromium")),
    ];
    let program = DEMO.build(workspace, None)?;
    let mut total = Tally::default();
    for (name, script, cases) in [
        ("npm ws with compression", "npm_ws_deflate.mjs", DEFLATE_CASES),
        ("npm undici with compression", "undici_deflate.mjs", DEFLATE_CASES),
        ("Chromium with compression", "chromium_deflate.mjs", CHROMIUM_CASES),
    ] {
        let peer = Peer {
            name,
            program: "node".into(),
            script: scripts.join(script),
            variables: [modules.clone()].into_iter().chain(browser.clone()).collect(),
            log,
        };
        total += peer.as_client_of(&DEMO, &program, None, cases)?;
    }
    let peer = Peer {
        name: "Python websockets with compression",
        program: tools::python_with_websockets(workspace)?,
        script: scripts.join("python_websockets.py"),
        variables: vec![("INTEROP_COMPRESSION", "deflate".into())],
        log,
    };
    total += peer.as_client_of(&DEMO, &program, None, CLIENT_CASES)?;
    Ok(total)
}

/// Own messages, broadcasts that are compressed once, and rests, in any order.
fn mixed(workspace: &Workspace, scripts: &Path, log: Option<&Log>) -> Result<Tally> {
    let program = DEMO.build(workspace, None)?.with_words(&MIXED_SERVER);
    let python = Peer {
        name: "Python websockets with broadcasts",
        program: tools::python_with_websockets(workspace)?,
        script: scripts.join("python_mixed.py"),
        variables: Vec::new(),
        log,
    };
    let chromium = Peer {
        name: "Chromium with broadcasts",
        program: "node".into(),
        script: scripts.join("chromium_mixed.mjs"),
        variables: vec![
            ("INTEROP_MODULES", tools::node_modules(workspace)?),
            ("INTEROP_CHROMIUM", tools::chromium()?),
            ("INTEROP_PROFILE", workspace.target.join("interop/chromium")),
        ],
        log,
    };
    let mut total = Tally::default();
    for peer in [python, chromium] {
        total += peer.as_client_of(&DEMO, &program, None, MIXED_CASES)?;
    }
    Ok(total)
}

/// The page of the demo. The script starts the demo and restarts it. Saves screenshots.
fn page(workspace: &Workspace, scripts: &Path, log: Option<&Log>) -> Result<Tally> {
    let pictures = workspace.target.join("interop/screenshots");
    let peer = Peer {
        name: "the page of the demo in Chromium",
        program: "node".into(),
        script: scripts.join("chromium_demo.mjs"),
        variables: vec![
            ("INTEROP_MODULES", tools::node_modules(workspace)?),
            ("INTEROP_CHROMIUM", tools::chromium()?),
            ("INTEROP_PROFILE", workspace.target.join("interop/chromium")),
            ("INTEROP_SCREENSHOTS", pictures.clone()),
        ],
        log,
    };
    let program = DEMO.build(workspace, None)?;
    let mut command = peer.command();
    command.args(program.start_words(End::Server));
    let tally = peer.drive(peer.name, &mut command, PAGE_CASES)?;
    println!("  screenshots: {}", pictures.display());
    Ok(tally)
}

impl Peer<'_> {
    fn as_client_of(
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
        if server.is_running() {
            return Ok(tally);
        }
        Err(Failure::new(
            format!("{} ended during {}", subject.name, self.name),
            self.where_to_look(),
        ))
    }

    fn as_server_for(&self, subject: &Subject, program: &Program) -> Result<Tally> {
        let mut command = self.command();
        command.arg("server").args(program.start_words(End::Client));
        self.drive(&format!("{} as server of {}", self.name, subject.name), &mut command, CASES)
    }

    fn where_to_look(&self) -> String {
        match self.log {
            Some(log) => format!("its output is in {}", log.path().display()),
            None => "its messages are above".into(),
        }
    }

    fn command(&self) -> Command {
        let mut command = tied(&self.program);
        command.arg(&self.script).envs(self.variables.iter().map(|(name, path)| (name, path)));
        command
    }

    fn drive(&self, what: &str, command: &mut Command, cases: usize) -> Result<Tally> {
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
