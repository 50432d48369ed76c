//! The demo behind nginx and HAProxy, and over TLS.

use std::fs;
use std::path::Path;

use super::peer::Peer;
use super::{CLIENT_CASES, Variables, browser, modules};
use crate::failure::{Failure, Result};
use crate::quiet::Log;
use crate::subject::{DEMO, End};
use crate::tally::Tally;
use crate::tools;
use crate::workspace::Workspace;

/// Five for each of six ways in which a front end names its clients, three of Chromium, nginx that ends
/// TLS, and three about timeouts.
const PROXY_CASES: usize = 6 * 5 + 3 + 1 + 3;
/// Nine of handshakes, a certificate that is renewed, and all of Python `websockets` over wss.
const TLS_CASES: usize = 9 + 1 + CLIENT_CASES + 1;

/// A script that starts the demo itself, and more.
struct Script {
    name: &'static str,
    file: &'static str,
    variables: Variables,
    cases: usize,
}

/// Real front ends, with the configurations of the guide, and Chromium over wss.
pub(super) fn proxies(workspace: &Workspace, scripts: &Path, log: Option<&Log>) -> Result<Tally> {
    let guide = ("INTEROP_GUIDE", workspace.root.join("docs/proxies.md"));
    let variables =
        [front_ends(workspace)?, modules(workspace)?, browser(workspace)?, vec![guide]].concat();
    let name = "nginx, HAProxy and Chromium";
    Script { name, file: "proxies.py", variables, cases: PROXY_CASES }.run(workspace, scripts, log)
}

/// Handshakes that are odd or broken, and a certificate that changes.
pub(super) fn tls(workspace: &Workspace, scripts: &Path, log: Option<&Log>) -> Result<Tally> {
    tools::openssl()?;
    let (name, variables) = ("openssl and Python over TLS", Vec::new());
    Script { name, file: "tls_peers.py", variables, cases: TLS_CASES }.run(workspace, scripts, log)
}

/// nginx, HAProxy, openssl, and the configuration beside the example `behind_nginx`.
pub(super) fn front_ends(workspace: &Workspace) -> Result<Variables> {
    tools::openssl()?;
    Ok(vec![
        ("INTEROP_NGINX", tools::nginx()?),
        ("INTEROP_HAPROXY", tools::haproxy()?),
        ("INTEROP_CONF", workspace.root.join("ws-server/examples/behind_nginx.conf")),
    ])
}

/// openssl, for certificates.
pub(super) fn openssl(_: &Workspace) -> Result<Variables> {
    tools::openssl()?;
    Ok(Vec::new())
}

impl Script {
    fn run(self, workspace: &Workspace, scripts: &Path, log: Option<&Log>) -> Result<Tally> {
        let scratch = workspace.target.join("interop").join(self.file);
        // It has a configuration for each port.
        if scratch.exists() {
            fs::remove_dir_all(&scratch).map_err(|error| {
                Failure::system(format!("removing {}", scratch.display()), &error)
            })?;
        }
        fs::create_dir_all(&scratch)
            .map_err(|error| Failure::system(format!("creating {}", scratch.display()), &error))?;
        let mut variables = vec![("INTEROP_SCRATCH", scratch)];
        variables.extend(self.variables);
        let peer = Peer {
            name: self.name,
            program: tools::python_with_websockets(workspace)?,
            script: scripts.join(self.file),
            variables,
            log,
        };
        let program = DEMO.build(workspace, None)?;
        let mut command = peer.command();
        command.args(program.start_words(End::Server));
        peer.drive(self.name, &mut command, self.cases)
    }
}
