//! The page: a card for each case with a chart and its table, the machine, and the command to
//! repeat the run.

use std::fmt::Write;

use super::bars::{chart, class};
use super::numbers::{bytes, rate, time};
use super::run::{Case, Figures, Memory, Run, Time};
use super::scatter::scatter;
use super::{COLOURS, escaped};

/// The style of a page.
pub(crate) const STYLE: &str = include_str!("page.css");

/// A self-contained HTML document.
pub fn page(run: &Run) -> String {
    let is_cpu = run.cases.iter().flat_map(|case| &case.rows).all(|row| match &row.figures {
        Figures::Time(figures) => figures.is_cpu,
        Figures::Memory(_) => true,
    });
    let cost = if is_cpu {
        "Bars are the CPU time of the server for each message, as the operating system counts it"
    } else {
        "This system does not report the CPU time of a process: bars are the elapsed time for each \
         message"
    };
    let cases: String = run.cases.iter().map(card).collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>WebSocket servers side by side, {date}</title>\n\
         <style>\n{COLOURS}{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <h1>WebSocket servers side by side</h1>\n\
         <p class=\"lead\">One run on {date}: the same load on each server, in turns. {cost}; \
         shorter is cheaper.</p>\n\
         <ul class=\"key\"><li><i class=\"ours\"></i>this workspace</li><li><i></i>other \
         libraries</li><li><i class=\"raw\"></i>an echo of octets without WebSocket</li>\
         <li><i class=\"spread\"></i>the range over the rounds</li></ul>\n\
         <div class=\"cases\">\n{cases}</div>\n{about}</main>\n</body>\n</html>\n",
        date = run.date(),
        about = about(run),
    )
}

fn card(case: &Case) -> String {
    let mut html = format!(
        "<section class=\"card\" id=\"{name}\">\n<h2>{}</h2>\n<p class=\"name\"><code>{name}</code></p>\n\
         <p class=\"meaning\">{}</p>\n",
        escaped(&case.title),
        escaped(&case.meaning),
        name = escaped(&case.name),
    );
    if !case.rows.is_empty() {
        html += &chart(case, "width=\"100%\"");
        if case.is_compressed() {
            html += &scatter(case).unwrap_or_default();
        }
        html += &table(case);
    }
    for failure in &case.failures {
        let _ = writeln!(
            html,
            "<p class=\"failure\"><b>{}</b> failed: {}</p>",
            escaped(&failure.server),
            escaped(&failure.what)
        );
    }
    for (name, value) in &case.raised {
        let _ = writeln!(
            html,
            "<p class=\"name\">Raised above the defaults of ws-server: <code>{}</code> {value}</p>",
            escaped(name)
        );
    }
    html + "</section>\n"
}

fn table(case: &Case) -> String {
    let per_second = match case.unit.strip_suffix('y') {
        Some(stem) => format!("{stem}ies/s"),
        None => format!("{}s/s", case.unit),
    };
    let mut head: Vec<&str> = vec!["server"];
    let mut rows = String::new();
    for row in &case.rows {
        let cells = match &row.figures {
            Figures::Time(figures) => {
                head.truncate(1);
                head.extend([
                    if figures.is_cpu { "CPU" } else { "time" },
                    "least - most",
                    "× best peer",
                    "× raw",
                    "bytes",
                    &per_second,
                    "p50",
                    "p99",
                    "p99.9",
                    "disturbed",
                ]);
                time_cells(figures)
            }
            Figures::Memory(memory) => {
                head.truncate(1);
                head.extend(memory.looks.iter().map(String::as_str));
                head.push("resident in all");
                memory_cells(memory)
            }
        };
        let cells: String = cells.iter().map(|cell| format!("<td>{cell}</td>")).collect();
        let server = escaped(&row.server);
        let _ =
            writeln!(rows, "<tr class=\"{}\"><td>{server}</td>{cells}</tr>", class(&row.server));
    }
    let head: String = head.iter().map(|cell| format!("<th scope=\"col\">{cell}</th>")).collect();
    format!(
        "<details><summary>All figures</summary><div class=\"scroll\"><table>\n<thead><tr>{head}\
         </tr></thead>\n<tbody>\n{rows}</tbody></table></div></details>\n"
    )
}

fn time_cells(figures: &Time) -> Vec<String> {
    let ratio =
        |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
    let [least, median, most] = figures.cost;
    let mut cells = vec![
        time(median),
        format!("{} - {}", time(least), time(most)),
        ratio(figures.to_best),
        ratio(figures.to_raw),
        format!("{:.0}", figures.bytes),
        rate(figures.rate[1]),
    ];
    cells.extend(figures.latency.map(time));
    cells.push(format!("{}/{}", figures.disturbed, figures.rounds));
    cells
}

fn memory_cells(memory: &Memory) -> Vec<String> {
    let mut cells: Vec<String> = memory.bytes.map(bytes).into();
    cells.push(bytes(memory.resident));
    cells
}

fn about(run: &Run) -> String {
    let row = |(what, which): (&str, &str)| {
        format!("<tr><td>{}</td><td>{}</td></tr>\n", escaped(what), escaped(which))
    };
    let facts: String = run.facts.iter().map(|(what, which)| row((what, which))).collect();
    let servers: String = run
        .servers
        .iter()
        .map(|(name, version)| {
            row((name, if version.is_empty() { "this commit" } else { version }))
        })
        .collect();
    format!(
        "<div class=\"about\">\n\
         <section class=\"card\"><h2>The machine</h2><table><tbody>\n{facts}</tbody></table></section>\n\
         <section class=\"card\"><h2>The servers</h2><table><tbody>\n{servers}</tbody></table></section>\n\
         </div>\n<section class=\"card\" style=\"margin-top: 20px\"><h2>How to read and repeat this \
         run</h2>\n<p>Each round measures every server once, each time as a new process; bars are \
         medians, and ratios are medians of the ratios within each round. A round is disturbed if \
         other work took the server's or the load's core. It is repeated, twice at most; a round that \
         is still disturbed counts, and is marked. Latency is that of a closed loop, so it includes \
         the queue of messages in flight. Memory is the growth of the server's heap and stacks since \
         before the first connection. A library missing from a case lacks the feature that it \
         measures.</p>\n<pre><code>{}</code></pre></section>\n",
        escaped(&run.reproduced_by())
    )
}
