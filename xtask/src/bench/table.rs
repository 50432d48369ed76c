//! The servers of one case side by side.

use super::figures::{Figures, Spread, rate, time};
use super::server::Server;

pub(crate) const LEGEND: &str = "\
Medians over the rounds, with the least and the most behind them. CPU is the server's time per message;
its ratios compare within each round, with the cheapest other WebSocket server and with raw, an echo of
octets without WebSocket. Latency is that of a closed loop: it contains the queue of DEPTH messages.
A round is disturbed when the server waited for its core for 2 % of it, the load for 5 %, or the host of
a virtual machine took 1 %; disturbed rounds are counted in, and cost more CPU.";

/// What a server did in all rounds of a case.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) rate: Spread,
    pub(crate) cpu: Option<Spread>,
    pub(crate) load_cpu: Option<Spread>,
    pub(crate) to_best: Option<f64>,
    pub(crate) to_raw: Option<f64>,
    /// p50, p99 and p99.9, each the median of the rounds.
    pub(crate) latency: [f64; 3],
    pub(crate) disturbed: usize,
    pub(crate) rounds: usize,
}

/// One row for each server; `figures` has the rounds of each.
pub(crate) fn rows(servers: &[Server], figures: &[Vec<Figures>]) -> Vec<Row> {
    let cpu = |rounds: &[Figures]| Spread::of(rounds.iter().filter_map(|round| round.server_cpu));
    let all = || servers.iter().zip(figures);
    let raw = all().find(|(server, _)| server.is_raw()).map(|(_, rounds)| rounds);
    let others: Vec<&Vec<Figures>> = all()
        .filter(|(server, _)| !server.is_raw() && !server.is_ours())
        .map(|(_, rounds)| rounds)
        .collect();
    // Compared within rounds here too, or the machine's moods could choose.
    let dearest = |rounds: &[Figures]| {
        let ratios = others.iter().filter_map(|other| ratio(rounds, other));
        ratios.fold(0.0, f64::max)
    };
    let best = others.iter().min_by(|one, other| dearest(one).total_cmp(&dearest(other)));
    all()
        .filter_map(|(server, rounds)| {
            let of = |value: fn(&Figures) -> f64| Spread::of(rounds.iter().map(value));
            Some(Row {
                name: server.name.clone(),
                version: server.version.clone(),
                rate: of(|round| round.rate)?,
                cpu: cpu(rounds),
                load_cpu: Spread::of(rounds.iter().filter_map(|round| round.load_cpu)),
                to_best: best.and_then(|best| ratio(rounds, best)),
                to_raw: raw.and_then(|raw| ratio(rounds, raw)),
                latency: [
                    of(|round| round.p50)?.median,
                    of(|round| round.p99)?.median,
                    of(|round| round.p999)?.median,
                ],
                disturbed: rounds.iter().filter(|round| round.is_disturbed).count(),
                rounds: rounds.len(),
            })
        })
        .collect()
}

/// The CPU per message of one in that of the other: the median of the rounds.
fn ratio(one: &[Figures], other: &[Figures]) -> Option<f64> {
    let pairs = one.iter().zip(other);
    let ratios = pairs.filter_map(|(one, other)| Some(one.server_cpu? / other.server_cpu?));
    Spread::of(ratios).map(|spread| spread.median)
}

const HEAD: [&str; 13] = [
    "server",
    "version",
    "messages/s",
    "",
    "CPU",
    "",
    "× best",
    "× raw",
    "p50",
    "p99",
    "p99.9",
    "load CPU",
    "disturbed",
];

/// How many columns are text, which stands on the left.
const TEXT: usize = 2;

pub(crate) fn show(rows: &[Row]) -> String {
    let span = |spread: &Spread, say: fn(f64) -> String| {
        format!("{} - {}", say(spread.min), say(spread.max))
    };
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let ratio = |value: Option<f64>| or_none(value.map(|value| format!("{value:.2}")));
    let cells = rows.iter().map(|row| {
        let [p50, p99, p999] = row.latency.map(time);
        [
            row.name.clone(),
            row.version.clone(),
            rate(row.rate.median),
            span(&row.rate, rate),
            or_none(row.cpu.map(|cpu| time(cpu.median))),
            or_none(row.cpu.map(|cpu| span(&cpu, time))),
            ratio(row.to_best),
            ratio(row.to_raw),
            p50,
            p99,
            p999,
            or_none(row.load_cpu.map(|cpu| time(cpu.median))),
            format!("{}/{}", row.disturbed, row.rounds),
        ]
    });
    let lines: Vec<[String; 13]> = std::iter::once(HEAD.map(str::to_owned)).chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: [usize; 13] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let line = |cells: &[String; 13]| {
        let padded = cells.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column < TEXT { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::server::Program;
    use super::*;

    fn server(name: &str, program: Program) -> Server {
        Server { name: name.into(), version: "1".into(), program }
    }

    fn rounds(cpu: [f64; 3]) -> Vec<Figures> {
        cpu.map(|cpu| Figures {
            rate: 1e9 / cpu,
            server_cpu: Some(cpu),
            load_cpu: Some(50.0),
            p50: 1e3,
            p99: 2e3,
            p999: 3e3,
            is_disturbed: cpu > 500.0,
        })
        .into()
    }

    #[test]
    fn ratios_compare_within_rounds_with_the_cheapest_peer_and_with_raw() {
        let servers = [
            server("ours", Program::Ours),
            server("raw", Program::Raw),
            server("slow", Program::Peer { binary: "slow" }),
            server("quick", Program::Peer { binary: "quick" }),
        ];
        // The machine gets slower from round to round.
        let figures = [
            rounds([80.0, 160.0, 640.0]),
            rounds([50.0, 100.0, 400.0]),
            rounds([150.0, 300.0, 1200.0]),
            rounds([100.0, 200.0, 800.0]),
        ];
        let rows = rows(&servers, &figures);
        let ratios = rows.iter().map(|row| (row.to_best.unwrap(), row.to_raw.unwrap()));
        assert_eq!(ratios.collect::<Vec<_>>(), [(0.8, 1.6), (0.5, 1.0), (1.5, 3.0), (1.0, 2.0)]);
        assert_eq!((rows[0].disturbed, rows[1].disturbed), (1, 0));

        let shown = show(&rows);
        let widths: Vec<_> = shown.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{shown}");
        assert!(shown.contains("160 ns"), "{shown}");
    }

    #[test]
    fn without_peers_there_is_no_ratio() {
        let rows = rows(&[server("ours", Program::Ours)], &[rounds([80.0, 160.0, 640.0])]);
        assert_eq!((rows[0].to_best, rows[0].to_raw), (None, None));
    }
}
