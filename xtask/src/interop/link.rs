//! Examples and Python's `websockets` on two machines, with a link in between that loses packets, is late and
//! changes their order.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use super::peer::Peer;
use crate::failure::Result;
use crate::process::{find_program, tied_words};
use crate::quiet::Log;
use crate::subject::{Profile, build_examples, example};
use crate::tally::Tally;
use crate::tools;
use crate::workspace::Workspace;

/// The examples, by the variable that tells the script how to start them.
const EXAMPLES: [(&str, &str); 3] =
    [("chat", "INTEROP_CHAT"), ("upload", "INTEROP_UPLOAD"), ("axum_echo", "INTEROP_AXUM_ECHO")];
/// One for each function of the script, and one for what a server reports at its end.
const CASES: usize = 6 + 1;

pub(super) fn all(workspace: &Workspace, scripts: &Path, log: Option<&Log>) -> Result<Tally> {
    if let Some(missing) = missing() {
        println!("  NOT RUN: {missing}");
        return Ok(Tally::default());
    }
    build_examples(workspace, Profile::Dev, EXAMPLES.map(|(name, _)| name))?;
    let peer = Peer {
        name: "Python websockets",
        program: tools::python_with_websockets(workspace)?,
        script: scripts.join("lossy_link.py"),
        variables: Vec::new(),
        log,
    };
    let mut command = peer.command();
    for (name, variable) in EXAMPLES {
        let words = tied_words(example(workspace, Profile::Dev, name));
        command.env(variable, words.join(OsStr::new("\n")));
    }
    peer.drive("chat, upload and axum_echo over a bad link", &mut command, CASES)
}

/// What this machine lacks for network namespaces of our own.
fn missing() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("network namespaces are Linux's");
    }
    if !find_program("ip") {
        return Some("`ip` is missing (Debian: iproute2)");
    }
    if !Path::new("/dev/net/tun").exists() {
        return Some("there is no /dev/net/tun");
    }
    if !is_permitted() {
        return Some("this process may not make network namespaces with a TUN device: root may");
    }
    None
}

/// Whether a namespace can be made, with a device in it.
fn is_permitted() -> bool {
    let name = format!("ws-link-probe-{}", std::process::id());
    let ip = |words: &[&str]| {
        let ran = Command::new("ip").args(words).stderr(Stdio::null()).status();
        ran.is_ok_and(|status| status.success())
    };
    let made = ip(&["netns", "add", &name])
        && ip(&["-n", &name, "tuntap", "add", "dev", "probe", "mode", "tun"])
        && ip(&["netns", "exec", &name, "true"]);
    ip(&["netns", "del", &name]);
    made
}
