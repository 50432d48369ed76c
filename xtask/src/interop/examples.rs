//! The examples of `ws-server` and `ws-tower`, each with a foreign client: what a reader copies works.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Variables;
use super::peer::Peer;
use super::proxies::{front_ends, openssl};
use crate::failure::{Failure, Result};
use crate::process::{Running, tied, tied_words};
use crate::quiet::Log;
use crate::subject::{Profile, build_examples, example};
use crate::tally::Tally;
use crate::tools;
use crate::workspace::Workspace;

/// An example, and the script that tests it.
struct Example {
    name: &'static str,
    start: Start,
    /// `xtask/interop/examples/SCRIPT`, for Python (`.py`) or Node (`.mjs`).
    ///
    /// It prints `ok CASE` or `FAIL CASE: why` for each case, which `cases.py` and `cases.mjs` do
    /// for it. `INTEROP_SCRATCH` names an empty directory, and `INTEROP_MODULES` the packages from
    /// npm for Node.
    script: &'static str,
    /// The number of cases.
    cases: usize,
    /// What else the script needs of this machine.
    needs: &'static [fn(&Workspace) -> Result<Variables>],
}

/// Who starts the example.
enum Start {
    /// It is started with `127.0.0.1:0` and these arguments; the script gets `HOST:PORT`.
    Here(&'static [&'static str]),
    /// The script gets the words that start it, without arguments: it prepares something, or starts
    /// it several times.
    Script,
}

/// Every example that has a foreign client; another one is another entry.
const EXAMPLES: &[Example] = &[
    Example { name: "auth", start: Start::Here(&[]), script: "auth.py", cases: 8, needs: &[] },
    Example {
        name: "auth",
        start: Start::Here(&[]),
        script: "auth_page.mjs",
        cases: 3,
        needs: &[super::browser],
    },
    Example { name: "axum", start: Start::Here(&[]), script: "axum.py", cases: 7, needs: &[] },
    Example {
        name: "behind_nginx",
        start: Start::Script,
        script: "behind_nginx.py",
        cases: 3,
        needs: &[front_ends],
    },
    Example { name: "chat", start: Start::Here(&[]), script: "chat.py", cases: 2, needs: &[] },
    Example {
        name: "cluster",
        start: Start::Script,
        script: "cluster.py",
        cases: 8,
        needs: &[nats_server],
    },
    Example {
        name: "cluster",
        start: Start::Script,
        script: "cluster_page.mjs",
        cases: 2,
        needs: &[super::browser, nats_server],
    },
    Example {
        name: "graphql",
        start: Start::Here(&[]),
        script: "graphql.mjs",
        cases: 13,
        needs: &[],
    },
    Example { name: "hyper", start: Start::Here(&[]), script: "hyper.py", cases: 3, needs: &[] },
    Example {
        name: "metrics",
        start: Start::Here(&[]),
        script: "metrics.py",
        cases: 7,
        needs: &[],
    },
    Example {
        name: "nats_chat",
        start: Start::Script,
        script: "nats_chat.py",
        cases: 4,
        needs: &[nats_server],
    },
    Example { name: "relay", start: Start::Script, script: "relay.py", cases: 8, needs: &[] },
    Example { name: "rooms", start: Start::Here(&[]), script: "rooms.py", cases: 8, needs: &[] },
    Example { name: "rpc", start: Start::Here(&[]), script: "rpc.mjs", cases: 8, needs: &[] },
    Example {
        name: "socket_io",
        start: Start::Here(&[]),
        script: "socket_io.mjs",
        cases: 10,
        needs: &[],
    },
    Example {
        name: "tcp_bridge",
        start: Start::Script,
        script: "tcp_bridge.py",
        cases: 7,
        needs: &[],
    },
    Example {
        name: "tcp_bridge",
        start: Start::Script,
        script: "mqtt.mjs",
        cases: 8,
        needs: &[mosquitto],
    },
    Example {
        name: "tcp_bridge",
        start: Start::Script,
        script: "novnc.mjs",
        cases: 3,
        needs: &[super::browser, vnc_server],
    },
    Example { name: "tls", start: Start::Script, script: "tls.py", cases: 3, needs: &[openssl] },
    Example { name: "upload", start: Start::Script, script: "upload.py", cases: 6, needs: &[] },
    Example {
        name: "with_tonic",
        start: Start::Here(&[]),
        script: "with_tonic.py",
        cases: 4,
        needs: &[],
    },
    Example {
        name: "y_websocket",
        start: Start::Here(&[]),
        script: "y_websocket.mjs",
        cases: 8,
        needs: &[],
    },
];

/// The MQTT broker.
fn mosquitto(_: &Workspace) -> Result<Variables> {
    Ok(vec![("INTEROP_MOSQUITTO", tools::mosquitto()?)])
}

/// The NATS server, which the example starts.
fn nats_server(workspace: &Workspace) -> Result<Variables> {
    Ok(vec![("WS_NATS_SERVER", tools::nats_server(workspace)?)])
}

/// The VNC server.
fn vnc_server(_: &Workspace) -> Result<Variables> {
    Ok(vec![("INTEROP_VNC", tools::vnc_server()?)])
}

/// All examples.
pub(super) fn all(workspace: &Workspace, scripts: &Path, log: Option<&Log>) -> Result<Tally> {
    only(workspace, scripts, log, &[])
}

/// The examples of these names; without a name, all.
pub(super) fn only(
    workspace: &Workspace,
    scripts: &Path,
    log: Option<&Log>,
    names: &[String],
) -> Result<Tally> {
    if let Some(name) = names.iter().find(|name| EXAMPLES.iter().all(|known| known.name != **name))
    {
        let known: Vec<_> = EXAMPLES.iter().map(|example| example.name).collect();
        return Err(Failure::new(
            format!("no example `{name}` has a script"),
            format!("these have one: {}", known.join(", ")),
        ));
    }
    let wanted =
        |example: &&Example| names.is_empty() || names.iter().any(|name| name == example.name);
    let examples: Vec<&Example> = EXAMPLES.iter().filter(wanted).collect();
    build(workspace, &examples)?;
    let mut total = Tally::default();
    for example in examples {
        total += example.run(workspace, scripts, log)?;
    }
    Ok(total)
}

/// In one command, so that cargo builds several at once.
fn build(workspace: &Workspace, examples: &[&Example]) -> Result<()> {
    let started = Instant::now();
    let names: BTreeSet<_> = examples.iter().map(|example| example.name).collect();
    build_examples(workspace, Profile::Dev, names)?;
    println!("  built in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

impl Example {
    fn run(&self, workspace: &Workspace, scripts: &Path, log: Option<&Log>) -> Result<Tally> {
        let program = example(workspace, Profile::Dev, self.name);
        let script = scripts.join("examples").join(self.script);
        let mut variables = vec![("INTEROP_SCRATCH", self.scratch(workspace)?)];
        let interpreter = if script.extension().is_some_and(|extension| extension == "py") {
            tools::python_with_websockets(workspace)?
        } else {
            variables.extend(super::modules(workspace)?);
            "node".into()
        };
        for need in self.needs {
            variables.extend(need(workspace)?);
        }
        let peer = Peer { name: self.script, program: interpreter, script, variables, log };
        let what = format!("the example {} with {}", self.name, self.script);
        let mut command = peer.command();
        match self.start {
            Start::Script => {
                command.args(tied_words(program));
                peer.drive(&what, &mut command, self.cases)
            }
            Start::Here(arguments) => {
                let mut server = tied(program);
                server.arg("127.0.0.1:0").args(arguments);
                let mut server = Running::start(self.name, &mut server, log.map(Log::path))?;
                command.arg(server.address()?);
                let tally = peer.drive(&what, &mut command, self.cases)?;
                peer.still_running(&mut server, self.name)?;
                Ok(tally)
            }
        }
    }

    /// An empty directory for what the script writes.
    fn scratch(&self, workspace: &Workspace) -> Result<PathBuf> {
        let scratch = workspace.target.join("interop/examples").join(self.script);
        if scratch.exists() {
            fs::remove_dir_all(&scratch).map_err(|error| {
                Failure::system(format!("removing {}", scratch.display()), &error)
            })?;
        }
        fs::create_dir_all(&scratch)
            .map_err(|error| Failure::system(format!("creating {}", scratch.display()), &error))?;
        Ok(scratch)
    }
}
