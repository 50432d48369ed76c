//! Two examples of `ws-tower` over HTTP/2: with Chromium, with clients by hand, and behind HAProxy; and
//! with curl, over both versions of HTTP.

use std::fs;
use std::path::Path;

use super::peer::Peer;
use super::{Variables, browser, modules};
use crate::failure::{Failure, Result};
use crate::process::{Running, tied};
use crate::quiet::Log;
use crate::subject::{AXUM, Ends, Subject};
use crate::tally::Tally;
use crate::tools;
use crate::workspace::Workspace;

/// Several WebSockets on one connection over TLS, and a page that opens them.
pub(super) const PAGE: Subject =
    Subject { name: "http2", ends: Ends::Server, subprotocol: None, cases: &[], count: 0 };

/// The page, 100 messages, 50 WebSockets of which two stand still, and that these go on.
const CHROMIUM_CASES: usize = 4;
const NODE_CASES: usize = 12;
const PYTHON_CASES: usize = 16;
const HAPROXY_CASES: usize = 9;
const HAPROXY_TLS_CASES: usize = HAPROXY_CASES + 1;
const CURL_CASES: usize = 7;

/// All of them, each with a server of its own.
pub(super) fn all(workspace: &Workspace, scripts: &Path, log: Option<&Log>) -> Result<Tally> {
    let scratch = workspace.target.join("interop/http2");
    fs::create_dir_all(&scratch)
        .map_err(|error| Failure::system(format!("creating {}", scratch.display()), &error))?;
    let page = PAGE.build(workspace, None)?;
    let echo = AXUM.build(workspace, None)?;
    let node = [modules(workspace)?, browser(workspace)?].concat();
    let haproxy = vec![("INTEROP_HAPROXY", tools::haproxy()?)];
    let haproxy_tls = [haproxy.clone(), vec![("INTEROP_TLS", "1".into())]].concat();
    tools::curl()?;
    let python = || tools::python_with_websockets(workspace);
    let mut total = Tally::default();
    for (name, program, file, variables, cases) in [
        ("Chromium over HTTP/2", "node".into(), "chromium_http2.mjs", node.clone(), CHROMIUM_CASES),
        ("Node's http2", "node".into(), "node_http2.mjs", node, NODE_CASES),
        ("Python h2", python()?, "python_http2.py", Variables::new(), PYTHON_CASES),
        ("HAProxy with HTTP/2", python()?, "haproxy_http2.py", haproxy, HAPROXY_CASES),
        ("HAProxy over TLS", python()?, "haproxy_http2.py", haproxy_tls, HAPROXY_TLS_CASES),
        ("curl", python()?, "curl.py", Variables::new(), CURL_CASES),
    ] {
        let mut variables: Variables = variables;
        let is_tls =
            file.ends_with(".mjs") || variables.iter().any(|(name, _)| *name == "INTEROP_TLS");
        variables.push(("INTEROP_SCRATCH", scratch.clone()));
        let peer = Peer { name, program, script: scripts.join(file), variables, log };
        // The one that speaks TLS takes the address alone.
        let (name, mut server) = if is_tls {
            let mut server = tied(page.path());
            server.arg("127.0.0.1:0");
            (PAGE.name, server)
        } else {
            (AXUM.name, echo.server())
        };
        let mut server = Running::start(name, &mut server, log.map(Log::path))?;
        let mut command = peer.command();
        command.arg(server.address()?);
        let what = format!("{} with {name}", peer.name);
        total += peer.drive(&what, &mut command, cases)?;
        peer.still_running(&mut server, name)?;
    }
    Ok(total)
}
