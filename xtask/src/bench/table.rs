//! The servers of one case side by side.

use super::figures::{Figures, Memory, Spread};
use super::numbers::{bytes, rate, time};
use super::server::Server;

/// The text after all tables; `is_cpu` says whether CPU times are known here.
pub(crate) fn legend(is_cpu: bool) -> String {
    let cost = if is_cpu {
        "CPU is the server's time per message"
    } else {
        "This system does not report the CPU time of a process: time is elapsed time per message"
    };
    format!(
        "\
Each figure is the median over the rounds, followed by the range. {cost};
its ratios compare within each round, with the cheapest other WebSocket server and with raw, an echo of
octets without WebSocket. Latency is that of a closed loop: it includes the queue of DEPTH messages.
A round is disturbed if the server waited for its core for 2 % of it, the load for 5 %, or the host of
a virtual machine took 1 %. It is repeated, twice at most; a round that is still disturbed counts, and is
marked. Memory is the growth of the server's heap and stacks since before the first connection."
    )
}

/// The results of a server over all rounds of a case.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) rate: Spread,
    pub(crate) cost: Spread,
    /// Whether `cost` is CPU time instead of elapsed time.
    pub(crate) is_cpu: bool,
    pub(crate) load_cpu: Option<Spread>,
    pub(crate) bytes: f64,
    pub(crate) to_best: Option<f64>,
    pub(crate) to_raw: Option<f64>,
    /// p50, p99 and p99.9, each the median over the rounds.
    pub(crate) latency: [f64; 3],
    pub(crate) disturbed: usize,
    pub(crate) rounds: usize,
}

/// One row for each server with complete rounds.
pub(crate) fn rows(measured: &[(&Server, Vec<Figures>)]) -> Vec<Row> {
    let raw = measured.iter().find(|(server, _)| server.is_raw()).map(|(_, rounds)| rounds);
    let others: Vec<&Vec<Figures>> = measured
        .iter()
        .filter(|(server, _)| !server.is_raw() && !server.is_ours())
        .map(|(_, rounds)| rounds)
        .collect();
    // Compared within rounds here too, so that changes in the machine's speed do not decide.
    let dearest = |rounds: &[Figures]| {
        let ratios = others.iter().filter_map(|other| ratio(rounds, other));
        ratios.fold(0.0, f64::max)
    };
    let best = others.iter().min_by(|one, other| dearest(one).total_cmp(&dearest(other)));
    measured
        .iter()
        .filter_map(|(server, rounds)| {
            let of = |value: fn(&Figures) -> f64| Spread::of(rounds.iter().map(value));
            Some(Row {
                name: server.name.clone(),
                version: server.version.clone(),
                rate: of(|round| round.rate)?,
                cost: of(|round| round.cost)?,
                is_cpu: rounds.iter().all(|round| round.is_cpu),
                load_cpu: Spread::of(rounds.iter().filter_map(|round| round.load_cpu)),
                bytes: of(|round| round.bytes)?.median,
                to_best: best.and_then(|best| ratio(rounds, best)),
                to_raw: raw.and_then(|raw| ratio(rounds, raw)),
                latency: [
                    of(|round| round.p50)?.median,
                    of(|round| round.p99)?.median,
                    of(|round| round.p999)?.median,
                ],
                disturbed: rounds.iter().filter(|round| round.is_disturbed()).count(),
                rounds: rounds.len(),
            })
        })
        .collect()
}

/// The ratio of two costs per message: the median over the rounds.
fn ratio(one: &[Figures], other: &[Figures]) -> Option<f64> {
    let pairs = one.iter().zip(other);
    Spread::of(pairs.map(|(one, other)| one.cost / other.cost)).map(|spread| spread.median)
}

/// The table of a case that measures time.
pub(crate) fn show(rows: &[Row], unit: &str) -> String {
    let is_cpu = rows.iter().all(|row| row.is_cpu);
    let per_second = format!("{}/s", plural(unit));
    let span = |spread: &Spread, say: fn(f64) -> String| {
        format!("{} - {}", say(spread.min), say(spread.max))
    };
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let ratio = |value: Option<f64>| or_none(value.map(|value| format!("{value:.2}")));
    let head = [
        "server",
        "version",
        if is_cpu { "CPU" } else { "time" },
        "",
        "× best",
        "× raw",
        "bytes",
        &per_second,
        "p50",
        "p99",
        "p99.9",
        "load CPU",
        "disturbed",
    ];
    let cells = rows.iter().map(|row| {
        let [p50, p99, p999] = row.latency.map(time);
        vec![
            row.name.clone(),
            row.version.clone(),
            time(row.cost.median),
            span(&row.cost, time),
            ratio(row.to_best),
            ratio(row.to_raw),
            format!("{:.0}", row.bytes),
            rate(row.rate.median),
            p50,
            p99,
            p999,
            or_none(row.load_cpu.map(|cpu| time(cpu.median))),
            format!("{}/{}", row.disturbed, row.rounds),
        ]
    });
    aligned(&head, cells)
}

/// The table of a case that measures memory; the best peer has the least at the second sample.
pub(crate) fn show_memory(looks: [&str; 3], rows: &[(&Server, Memory)]) -> String {
    let peers = rows.iter().filter(|(server, _)| !server.is_ours());
    let best = peers.map(|(_, memory)| memory.looks[1]).min_by(f64::total_cmp);
    let [first, second, third] = looks;
    let head = ["server", "version", first, second, third, "× best", "resident"];
    let cells = rows.iter().map(|(server, memory)| {
        let [first, second, third] = memory.looks.map(bytes);
        vec![
            server.name.clone(),
            server.version.clone(),
            first,
            second,
            third,
            best.map_or_else(|| "-".to_owned(), |best| format!("{:.2}", memory.looks[1] / best)),
            bytes(memory.resident),
        ]
    });
    aligned(&head, cells)
}

pub(crate) fn plural(unit: &str) -> String {
    match unit.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None => format!("{unit}s"),
    }
}

/// The number of text columns, which are aligned left.
const TEXT: usize = 2;

/// Columns with the heading `head`, each as wide as its widest cell.
pub(crate) fn aligned(head: &[&str], cells: impl Iterator<Item = Vec<String>>) -> String {
    let head = head.iter().map(|&cell| cell.to_owned()).collect();
    let lines: Vec<Vec<String>> = std::iter::once(head).chain(cells).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..lines[0].len()).filter_map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
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

    fn added(name: &str) -> Server {
        server(name, Program::Added(Vec::new()))
    }

    fn rounds(cost: [f64; 3]) -> Vec<Figures> {
        cost.map(|cost| Figures {
            rate: 1e9 / cost,
            cost,
            is_cpu: true,
            load_cpu: Some(50.0),
            bytes: 22.0,
            p50: 1e3,
            p99: 2e3,
            p999: 3e3,
            disturbance: cost / 500.0,
        })
        .into()
    }

    #[test]
    fn ratios_compare_within_rounds_with_the_cheapest_peer_and_with_raw() {
        let servers = [
            server("ours", Program::Ours),
            server("raw", Program::Raw),
            added("slow"),
            added("quick"),
        ];
        // The machine becomes slower from round to round.
        let figures = [
            rounds([80.0, 160.0, 640.0]),
            rounds([50.0, 100.0, 400.0]),
            rounds([150.0, 300.0, 1200.0]),
            rounds([100.0, 200.0, 800.0]),
        ];
        let rows = rows(&servers.iter().zip(figures).collect::<Vec<_>>());
        let ratios = rows.iter().map(|row| (row.to_best.unwrap(), row.to_raw.unwrap()));
        assert_eq!(ratios.collect::<Vec<_>>(), [(0.8, 1.6), (0.5, 1.0), (1.5, 3.0), (1.0, 2.0)]);
        assert_eq!((rows[0].disturbed, rows[1].disturbed), (1, 0));

        let shown = show(&rows, "delivery");
        let widths: Vec<_> = shown.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{shown}");
        assert!(shown.contains("160 ns") && shown.contains("deliveries/s"), "{shown}");
    }

    #[test]
    fn without_peers_there_is_no_ratio() {
        let ours = server("ours", Program::Ours);
        let rows = rows(&[(&ours, rounds([80.0, 160.0, 640.0]))]);
        assert_eq!((rows[0].to_best, rows[0].to_raw), (None, None));
    }

    #[test]
    fn memory_compares_with_the_peer_that_has_least_at_the_second_look() {
        let (ours, peer) = (server("ours", Program::Ours), added("peer"));
        let memory = |one: f64| Memory { looks: [1.0, one, 3.0], resident: 1e6 };
        let shown =
            show_memory(["a", "b", "c"], &[(&ours, memory(1024.0)), (&peer, memory(2048.0))]);
        assert!(shown.contains("0.50") && shown.contains("1.00 KiB"), "{shown}");
    }
}
