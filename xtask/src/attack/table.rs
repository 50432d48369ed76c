//! One attack on all servers side by side, and all attacks as a table in Markdown.

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

    /// Ours, and the best and the worst peer with their names.
    fn compared(&self, look: fn(&Figures) -> f64, say: fn(f64) -> String) -> String {
        let ours = self.ours(false).map_or_else(|| "-".to_owned(), |ours| say(look(ours)));
        let mut peers: Vec<(f64, &str)> = self
            .servers
            .iter()
            .filter(|one| !one.is_ours)
            .map(|one| (look(&one.figures), one.name.as_str()))
            .collect();
        peers.sort_by(|one, other| one.0.total_cmp(&other.0));
        match peers[..] {
            [] => format!("**{ours}**"),
            [(only, name)] => format!("**{ours}**; {} {name}", say(only)),
            [(best, name), .., (worst, last)] => {
                format!("**{ours}**; {} {name} – {} {last}", say(best), say(worst))
            }
        }
    }

    /// Servers that lost polite clients, or ended.
    fn casualties(&self) -> String {
        let lost = self.servers.iter().filter_map(|one| match &one.figures {
            figures if !figures.is_alive => Some(format!("{} ended", one.name)),
            figures if figures.lost > 0.0 => Some(format!("{:.0} {}", figures.lost, one.name)),
            _ => None,
        });
        let lost: Vec<String> = lost.collect();
        if lost.is_empty() { "none".to_owned() } else { lost.join(", ") }
    }

    fn markdown(&self) -> Option<String> {
        let ours = self.ours(false)?;
        let small = self.ours(true).map_or_else(|| "-".to_owned(), |small| bytes(small.memory));
        Some(format!(
            "| `{}` | {}, {:.0} | {} | {} | {} | {small} | {} | {} | {} |\n",
            self.name,
            bytes(ours.sent),
            ours.connections,
            self.compared(|one| one.cpu, time),
            self.compared(|one| one.core, percent),
            self.compared(|one| one.memory, bytes),
            self.compared(|one| one.p99, time),
            self.casualties(),
            ours.answered(),
        ))
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share.max(0.0))
}

/// All attacks, for SECURITY.md.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut table = "\
| attack | octets, connections | CPU for an octet | of a core | memory | with 64 MiB | p99 of polite clients \
| lost | ours answered |
|---|---|---|---|---|---|---|---|---|
"
    .to_owned();
    table.extend(rows.iter().filter_map(Row::markdown));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str, is_ours: bool, has_small_budget: bool, memory: f64) -> OfServer {
        let figures = Figures { memory, is_alive: true, ..Figures::default() };
        OfServer { name: name.into(), version: String::new(), is_ours, has_small_budget, figures }
    }

    #[test]
    fn row_compares_ours_with_the_best_and_the_worst_peer() {
        let row = Row {
            name: "pings".into(),
            what: "Pings".into(),
            servers: vec![
                server("ours", true, false, 1024.0),
                server("ours-64m", true, true, 512.0),
                server("one", false, false, 4096.0),
                server("two", false, false, 2048.0),
            ],
        };
        let line = row.markdown().expect("ours took part");
        assert!(line.contains("| **1.00 KiB**; 2.00 KiB two – 4.00 KiB one | 512 B |"), "{line}");
        assert!(line.contains("| none |"), "{line}");
        let head = markdown(&[row]);
        let columns: Vec<usize> = head.lines().map(|line| line.matches('|').count()).collect();
        assert_eq!(columns, [10, 10, 10]);
        let nobody = Row { name: String::new(), what: String::new(), servers: Vec::new() };
        assert_eq!(nobody.markdown(), None);
    }
}
