//! The page: the verdict, the lines over time, and how connections ended.

use std::fmt::Write;

use super::judge::{Check, judge, resident_bound};
use super::lines::{Chart, Line};
use super::record::Record;
use crate::report::{COLOURS, STYLE, bytes, escaped, time};

const OWN_STYLE: &str = include_str!("page.css");

const fn line(name: &'static str, path: &'static str, class: &'static str) -> Line {
    Line { name, path, class }
}

fn count(value: f64) -> String {
    format!("{value:.0}")
}

fn microseconds(value: f64) -> String {
    time(value * 1e3)
}

const CHARTS: [Chart; 5] = [
    Chart {
        title: "Memory",
        meaning: "Resident memory of the server; what its heap holds, counted by the allocator; and \
                  of that, what neither gauges of what clients hold nor pooled states of compression \
                  explain. The dashed line is 1.2 × the budget + 64 MiB.",
        lines: &[
            line("resident", "/server/rss", "first"),
            line("heap", "/server/heap", "second"),
            line("heap beside what gauges tell", "/server/heap_untold", "third"),
        ],
        told: bytes,
        logarithmic: false,
    },
    Chart {
        title: "Descriptors, connections, threads",
        meaning: "Over HTTP/2 several connections share a descriptor. In the shaded times all clients \
                  have left.",
        lines: &[
            line("descriptors", "/server/fds", "first"),
            line("connections", "/server/connections", "second"),
            line("threads", "/server/threads", "third"),
        ],
        told: count,
        logarithmic: false,
    },
    Chart {
        title: "Latency of good clients",
        meaning: "Round trips of echoes in each second, on a logarithmic scale.",
        lines: &[
            line("p50", "/clients/p50_us", "second"),
            line("p99", "/clients/p99_us", "first"),
            line("longest", "/clients/max_us", "third"),
        ],
        told: microseconds,
        logarithmic: true,
    },
    Chart {
        title: "Topics and subscriptions",
        meaning: "Topics with subscribers, and all subscriptions to them.",
        lines: &[
            line("subscriptions", "/server/subscriptions", "first"),
            line("topics", "/server/topics", "second"),
        ],
        told: count,
        logarithmic: false,
    },
    Chart {
        title: "Held for clients",
        meaning: "What counts for the budget, which is the dashed line, and of that what waits in queues to \
                  be sent.",
        lines: &[
            line("held in all", "/server/budget", "first"),
            line("queue_bytes", "/server/queue_bytes", "second"),
        ],
        told: bytes,
        logarithmic: false,
    },
];

/// A self-contained HTML document.
pub fn page(record: &Record) -> String {
    let checks = judge(record);
    let failed = checks.iter().filter(|check| !check.passed).count();
    let verdict = match failed {
        0 => "nothing is kept, nothing grows, and no good client saw an error".to_owned(),
        1 => "1 check failed".to_owned(),
        _ => format!("{failed} checks failed"),
    };
    let budget = record.about["max_memory"].as_f64();
    let charts: String = CHARTS
        .iter()
        .map(|chart| {
            let bound = match chart.title {
                "Memory" => budget.map(resident_bound),
                "Held for clients" => budget,
                _ => None,
            };
            format!(
                "<section class=\"card\"><h2>{}</h2><p class=\"meaning\">{}</p>{}{}</section>\n",
                escaped(chart.title),
                escaped(chart.meaning),
                chart.draw(record, bound),
                chart.key()
            )
        })
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Soak: {verdict}</title>\n<style>\n{COLOURS}{STYLE}{OWN_STYLE}</style>\n</head>\n\
         <body>\n<main>\n<h1>Soak: {verdict}</h1>\n<p class=\"lead\">{}</p>\n\
         <section class=\"card\">{}</section>\n<div class=\"cases soak\">\n{charts}</div>\n{}\
         <section class=\"card soak\"><h2>Repeat it</h2><pre><code>{}</code></pre></section>\n\
         </main>\n</body>\n</html>\n",
        escaped(&about(record)),
        table(&checks),
        ends(record),
        escaped(&format!(
            "cargo xtask soak --minutes {} --seed {}",
            record.about["seconds"].as_f64().unwrap_or(0.0) / 60.0,
            record.about["seed"]
        ))
    )
}

fn about(record: &Record) -> String {
    let of = |name: &str| record.about[name].as_str().unwrap_or("?").to_owned();
    let last = record.samples.last();
    let number = |path| last.and_then(|sample| sample.number(path)).unwrap_or(0.0);
    format!(
        "Good, slow and hostile clients over plain TCP, TLS, axum and HTTP/2, against one server \
         process, for {:.0} s on {} ({}). {:.0} connections were opened, {:.0} requests refused, {:.0} \
         messages received and {:.0} sent; the budget was {}.",
        last.map_or(0.0, |sample| sample.at),
        of("system"),
        of("profile"),
        number("/server/opened"),
        number("/server/rejected_in_all"),
        number("/server/received"),
        number("/server/sent"),
        bytes(record.about["max_memory"].as_f64().unwrap_or(0.0)),
    )
}

fn table(checks: &[Check]) -> String {
    let mut rows = String::new();
    for check in checks {
        let (class, mark) = if check.passed { ("passed", "ok") } else { ("failed", "FAIL") };
        let _ = writeln!(
            rows,
            "<tr class=\"{class}\"><td>{mark}</td><td>{}</td><td>{}</td></tr>",
            escaped(&check.what),
            escaped(&check.found)
        );
    }
    format!("<div class=\"scroll\"><table class=\"checks\"><tbody>\n{rows}</tbody></table></div>")
}

/// How connections ended and why requests were refused, as the server and the clients count them.
fn ends(record: &Record) -> String {
    let Some(last) = record.samples.last() else { return String::new() };
    let card = |title: &str, path: &str| {
        let mut counts = last.counts(path);
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rows: String = counts
            .iter()
            .map(|(name, count)| format!("<tr><td>{}</td><td>{count}</td></tr>\n", escaped(name)))
            .collect();
        format!(
            "<section class=\"card\"><h2>{title}</h2><table><tbody>\n{rows}</tbody></table></section>\n"
        )
    };
    format!(
        "<div class=\"about\">\n{}{}{}{}</div>\n",
        card("Connections by close code and who closed", "/server/closed"),
        card("Requests that were refused", "/server/rejected"),
        card("Lives of good clients", "/clients/lives"),
        card("How slow and hostile ones ended", "/clients/ends"),
    )
}
