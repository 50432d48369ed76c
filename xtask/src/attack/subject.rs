//! The servers under attack.

use super::{Attack, Needs};
use crate::bench::case::{Case, Kind};
use crate::bench::server::{self, Server};
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;

/// The small budget, in bytes.
pub(crate) const BUDGET: u64 = 64 << 20;

/// A server, and how it is started.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) server: Server,
    /// Words for its command line.
    pub(crate) more: Vec<String>,
}

impl Subject {
    pub(crate) fn is_ours(&self) -> bool {
        self.server.is_ours()
    }

    pub(crate) fn has_small_budget(&self) -> bool {
        !self.more.is_empty()
    }

    pub(crate) fn can(&self, attack: &Attack) -> bool {
        self.server.can(&case(attack))
    }
}

/// What the bench calls a server that can do what the attack needs.
pub(crate) fn case(attack: &Attack) -> Case {
    let kind = match attack.needs {
        Needs::Echo => Kind::Echo { text: false },
        Needs::Deflate => Kind::Deflate { takeover: true },
        Needs::Broadcast => Kind::FanOut,
    };
    // No limit is raised for one connection.
    Case { name: attack.name.clone(), kind, size: 1, connections: 1, depth: 1 }
}

/// Ours with its defaults, ours with a small budget, and the peers that are not inside axum; or
/// those whose names have one of `parts` in them.
pub(crate) fn chosen(workspace: &Workspace, parts: &[String]) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    for server in server::known(workspace)? {
        if server.is_ours() {
            subjects.push(small(workspace)?);
            subjects.insert(0, Subject { name: "ours".to_owned(), server, more: Vec::new() });
        } else if !server.is_raw() {
            subjects.push(Subject { name: server.name.clone(), server, more: Vec::new() });
        }
    }
    // A whole name means that server alone.
    let whole: Vec<String> = subjects.iter().map(|subject| subject.name.clone()).collect();
    let is = |subject: &Subject, part: &String| {
        if whole.contains(part) {
            subject.name == *part
        } else {
            subject.name.contains(part.as_str())
        }
    };
    if let Some(stranger) =
        parts.iter().find(|part| !subjects.iter().any(|subject| is(subject, part)))
    {
        return Err(Failure::new(
            format!("no server is called {stranger:?}"),
            "see `cargo xtask attack --list`",
        ));
    }
    subjects.retain(|subject| match parts {
        [] => !subject.server.is_on_request(),
        parts => parts.iter().any(|part| is(subject, part)),
    });
    Ok(subjects)
}

/// Ours with a small budget.
pub(crate) fn small(workspace: &Workspace) -> Result<Subject> {
    let ours = server::known(workspace)?.into_iter().find(Server::is_ours);
    let server = ours.ok_or_else(|| Failure::new("ours is not known", "see bench/server.rs"))?;
    let more = vec!["--max-memory".to_owned(), BUDGET.to_string()];
    Ok(Subject { name: "ours-64m".to_owned(), server, more })
}
