//! One attack on all servers side by side, and all attacks as a table in Markdown.

use std::fmt::Write;
use std::time::Duration;

use super::Attack;
use super::figures::Figures;
use super::subject::Subject;
use crate::bench::numbers::{bytes, time};
use crate::bench::table::aligned;

pub(crate) const LEGEND: &str = "\
CPU is the server's time, user and system, for each octet that it has taken from the attacker, and the
share of a core that it took; what the polite clients cost alone is taken off. Memory is the peak of
resident memory above that before the attack; sockets is what the kernel held for the server at the end.
p50 and p99 are waits of 20 polite clients that send 100 messages a second each, from when a message was
due; new is the p99 of clients that open a connection for one message, of which so many were refused.
The last column counts statuses and close codes that the attacker got.";

/// An attack, and the figures of each server that could take part and did not fail.
pub(crate) struct Row {
    name: String,
    what: String,
    servers: Vec<OfServer>,
}

struct OfServer {
    name: String,
    version: String,
    is_ours: bool,
    has_small_budget: bool,
    figures: Figures,
}

impl Row {
    pub(crate) fn new(attack: &Attack, measured: &[(&Subject, Vec<Figures>)]) -> Self {
        let servers = measured.iter().filter_map(|(subject, rounds)| {
            Some(OfServer {
                name: subject.name.clone(),
                version: subject.server.version.clone(),
                is_ours: subject.is_ours(),
                has_small_budget: subject.has_small_budget(),
                figures: Figures::median(rounds)?,
            })
        });
        Self { name: attack.name.clone(), what: attack.what.clone(), servers: servers.collect() }
    }

    /// For the terminal.
    pub(crate) fn shown(&self) -> String {
        let head = [
            "server", "version", "sent", "over", "CPU", "core", "memory", "sockets", "p50", "p99",
            "new", "refused", "lost", "heard",
        ];
        let cells = self.servers.iter().map(|server| {
            let of = &server.figures;
            vec![
                server.name.clone(),
                server.version.clone(),
                bytes(of.sent),
                format!("{:.0}", of.connections),
                time(of.cpu),
                percent(of.core),
                bytes(of.memory),
                bytes(of.kernel),
                time(of.p50),
                time(of.p99),
                time(of.newcomer_p99),
                format!("{:.0}/{:.0}", of.newcomers_refused, of.newcomers_refused + of.newcomers),
                if of.is_alive { format!("{:.0}", of.lost) } else { "it ended".to_owned() },
                of.answered(),
            ]
        });
        format!("\n{}: {}\n{}", self.name, self.what, aligned(&head, cells))
    }

    fn ours(&self, small: bool) -> Option<&Figures> {
        let ours = self.servers.iter().find(|one| one.is_ours && one.has_small_budget == small);
        ours.map(|one| &one.figures)
    }

    /// The best and the worst peer, with their names.
    fn peers(&self, look: fn(&Figures) -> f64, say: fn(f64) -> String) -> String {
        let mut peers: Vec<&OfServer> = self.servers.iter().filter(|one| !one.is_ours).collect();
        peers.sort_by(|one, other| look(&one.figures).total_cmp(&look(&other.figures)));
        let (Some(best), Some(worst)) = (peers.first(), peers.last()) else {
            return "-".to_owned();
        };
        let [low, high] = [best, worst].map(|one| say(look(&one.figures)));
        if peers.len() == 1 || low == high {
            return low;
        }
        format!("{low} ({}) – {high} ({})", best.name, worst.name)
    }

    /// Peers that lost polite clients, or ended.
    fn casualties(&self) -> String {
        let mut said = Vec::new();
        for one in &self.servers {
            if !one.figures.is_alive {
                said.push(format!("{} ended", one.name));
            } else if one.figures.lost > 0.0 {
                said.push(format!("{} {:.0}", one.name, one.figures.lost));
            }
        }
        if said.is_empty() { "none".to_owned() } else { said.join(", ") }
    }

    fn markdown(&self) -> Option<String> {
        let ours = self.ours(false)?;
        let small = self.ours(true);
        let of_both = |look: fn(&Figures) -> f64, say: fn(f64) -> String| match small {
            Some(small) => format!("{}; {}", say(look(ours)), say(look(small))),
            None => say(look(ours)),
        };
        let cell = |look: fn(&Figures) -> f64, say: fn(f64) -> String| {
            format!("{} | {}", say(look(ours)), self.peers(look, say))
        };
        Some(format!(
            "| {}: {} | {} over {:.0} | {} | {} | {} | {} | {} | {} | {} |\n",
            self.name,
            self.what,
            bytes(ours.sent),
            ours.connections,
            cell(|one| one.cpu, time),
            cell(|one| one.core, percent),
            of_both(|one| one.memory, bytes),
            self.peers(|one| one.memory, bytes),
            cell(|one| one.p99, time),
            self.casualties(),
            ours.answered(),
        ))
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share.max(0.0))
}

/// All attacks, for SECURITY.md.
pub(crate) fn markdown(rows: &[Row], lasts: Duration) -> String {
    let mut table = format!(
        "| attack | the attacker sent in {} s, over connections | CPU for an octet: ours | peers | of a \
         core: ours | peers | memory: ours; with 64 MiB | peers | p99 of polite clients: ours | peers | \
         polite clients lost | ours answered |\n",
        lasts.as_secs()
    );
    let _ = writeln!(table, "|{}", "---|".repeat(12));
    table.extend(rows.iter().filter_map(Row::markdown));
    table
}
