//! `cargo xtask interop`: foreign implementations against the subjects. Python `websockets` and npm
//! `ws` as clients and servers, and `websocat` as client; Python `websockets` with an extension of
//! ours; Python `websockets`, npm `ws`, `undici` and Chromium with compression against the demo;
//! `websockets` and Chromium with broadcasts in between; the demo's page in Chromium; the demo over TLS,
//! with `openssl s_client`, and behind nginx and HAProxy; HTTP/2 with Chromium, Node, Python `h2` and
//! HAProxy; examples over a link that loses packets; and the examples, each with a client of its own.

mod examples;
mod http2;
mod link;
mod peer;
mod proxies;

use std::path::{Path, PathBuf};

use self::peer::Peer;
use crate::failure::{Failure, Result};
use crate::quiet::Log;
use crate::stages::Stages;
use crate::subject::{DEMO, End, Ends, SUBJECTS, Subject};
use crate::tally::Tally;
use crate::tools;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run this program instead of the examples that are both ends, which are then not built;
    /// leaves out the demo, the client, and the cases of x-crc32c and compression
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Run only the examples: all, or those that are named
    #[arg(long, value_name = "NAME", num_args = 0.., conflicts_with = "binary")]
    examples: Option<Vec<String>>,
    /// Run only these groups, such as 'HTTP/2' or proxies
    #[arg(long, value_name = "GROUP", num_args = 1.., conflicts_with_all = ["binary", "examples"])]
    groups: Option<Vec<String>>,
    /// Print the output of the servers and clients under test, instead of writing it to
    /// target/interop
    #[arg(long)]
    verbose: bool,
}

impl Options {
    pub(crate) fn everything(verbose: bool) -> Self {
        Options { binary: None, examples: None, groups: None, verbose }
    }
}

/// Seven sizes of text and binary, whole and fragmented; four Pings; four ways to close.
const CASES: usize = 2 * 7 * 2 + 4 + 4;
/// The same, and one for the subprotocol.
const CLIENT_CASES: usize = CASES + 1;
/// Six sizes of text and binary, one of many messages, a Ping, a subprotocol, three ways to close.
const WEBSOCAT_CASES: usize = 2 * 6 + 1 + 1 + 1 + 3;
/// The server whose extension Python `websockets` speaks too.
const CHECKSUM: Subject =
    Subject { name: "x_crc32c", ends: Ends::Both, subprotocol: None, cases: &[], count: 0 };
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
const PAGE_CASES: usize = 26;

/// The programs that interop and conformance run optimized.
pub(crate) fn subjects() -> impl Iterator<Item = &'static str> {
    SUBJECTS.iter().chain([&CHECKSUM, &http2::PAGE]).map(|subject| subject.name)
}

pub(crate) fn interop(workspace: &Workspace, options: &Options) -> Result<Tally> {
    let scripts = workspace.xtask().join("interop");
    let log = Log::new(workspace.target.join("interop/programs.log"), options.verbose)?;
    let log = log.as_ref();
    if let Some(log) = log {
        println!("xtask interop: the output of the programs is in {}", workspace.short(log.path()));
    }
    if let Some(names) = &options.examples {
        return examples::only(workspace, &scripts, log, names);
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
            variables: modules(workspace)?,
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
    let asked =
        |name: &str| options.groups.as_ref().is_none_or(|all| all.iter().any(|one| one == name));
    let wanted = |subject: &&Subject| {
        asked(subject.name) && (options.binary.is_none() || subject.ends == Ends::Both)
    };
    let subjects: Vec<&Subject> = SUBJECTS.iter().filter(wanted).collect();
    let mut names: Vec<(&str, Option<f64>)> =
        subjects.iter().map(|subject| (subject.name, Some(8.0))).collect();
    let others: [(&str, Option<f64>, Group); 9] = [
        ("x_crc32c", Some(3.0), checksum),
        ("compression", Some(12.0), compression),
        ("broadcasts", Some(6.0), mixed),
        ("the page of the demo", Some(12.0), page),
        ("TLS", Some(20.0), proxies::tls),
        ("proxies", Some(30.0), proxies::proxies),
        ("HTTP/2", Some(40.0), http2::all),
        ("bad links", Some(35.0), link::all),
        ("examples", Some(30.0), examples::all),
    ];
    let mut others = others.to_vec();
    others.retain(|(name, ..)| asked(name) && options.binary.is_none());
    names.extend(others.iter().map(|&(name, seconds, _)| (name, seconds)));
    if names.is_empty() {
        return Err(Failure::new(
            "no such group",
            "the groups are the stages of `cargo xtask interop`",
        ));
    }
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
                    tally += peer.as_server_for(subject, &program, CASES)?;
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

/// Properties of this machine, as variables for scripts.
type Variables = Vec<(&'static str, PathBuf)>;

/// The packages from npm.
fn modules(workspace: &Workspace) -> Result<Variables> {
    Ok(vec![("INTEROP_MODULES", tools::node_modules(workspace)?)])
}

/// Chromium, and a directory for what it writes.
fn browser(workspace: &Workspace) -> Result<Variables> {
    Ok(vec![
        ("INTEROP_CHROMIUM", tools::chromium()?),
        ("INTEROP_PROFILE", workspace.target.join("interop/chromium")),
    ])
}

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
    let variables = [modules(workspace)?, browser(workspace)?].concat();
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
            variables: variables.clone(),
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
        variables: [modules(workspace)?, browser(workspace)?].concat(),
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
        variables: [
            modules(workspace)?,
            browser(workspace)?,
            vec![("INTEROP_SCREENSHOTS", pictures.clone())],
        ]
        .concat(),
        log,
    };
    let program = DEMO.build(workspace, None)?;
    let mut command = peer.command();
    command.args(program.start_words(End::Server));
    let tally = peer.drive(peer.name, &mut command, PAGE_CASES)?;
    println!("  screenshots: {}", pictures.display());
    Ok(tally)
}
