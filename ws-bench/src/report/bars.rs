//! A bar chart, cheapest first, as wide as its container.
//!
//! Lengths are in percent, heights and letters are absolute, so letters stay readable on a phone.

use super::escaped;
use super::numbers::{bytes, time};
use super::run::{Case, Figures};

const ROW: usize = 36;
const THIN: usize = 6;

struct Bar {
    server: String,
    /// The value that bars are sorted by and that appears on the right.
    value: f64,
    said: String,
    shape: Shape,
}

enum Shape {
    /// A bar up to the median, and a line over the range.
    Spread([f64; 3]),
    /// Three thin bars.
    Three([f64; 3]),
}

/// The CSS class of a server's marks.
pub(super) fn class(server: &str) -> &'static str {
    match server {
        "ws-server" => "ours",
        "raw" => "raw",
        _ => "peer",
    }
}

/// The height of the chart of `case`.
pub(super) fn height(case: &Case) -> usize {
    case.rows.len() * ROW
}

/// An SVG element without its namespace; `place` contains its attributes of place and size.
pub(super) fn chart(case: &Case, place: &str) -> String {
    let mut bars: Vec<Bar> =
        case.rows.iter().map(|row| bar(case, &row.server, &row.figures)).collect();
    bars.sort_by(|one, other| one.value.total_cmp(&other.value));
    let longest = bars.iter().map(|bar| match bar.shape {
        Shape::Spread(values) | Shape::Three(values) => values.into_iter().fold(0.0, f64::max),
    });
    let longest = longest.fold(f64::MIN_POSITIVE, f64::max);
    let percent = |value: f64| format!("{:.2}%", 100.0 * value / longest);

    let label = format!("{}: {}", case.title, summary(&bars));
    let mut svg = format!(
        "<svg class=\"chart\" role=\"img\" aria-label=\"{}\" height=\"{}\" {place}>",
        escaped(&label),
        height(case)
    );
    for (index, bar) in bars.iter().enumerate() {
        let top = index * ROW;
        let class = class(&bar.server);
        svg += &format!(
            "<text class=\"name {class}\" x=\"0\" y=\"{}\">{}</text>\
             <text class=\"value {class}\" x=\"100%\" y=\"{}\">{}</text>",
            top + 13,
            escaped(&bar.server),
            top + 13,
            bar.said
        );
        match bar.shape {
            Shape::Spread([least, median, most]) => {
                let middle = top + 23;
                svg += &format!(
                    "<rect class=\"track\" y=\"{}\" width=\"100%\" height=\"9\"/>\
                     <rect class=\"bar {class}\" y=\"{}\" width=\"{}\" height=\"9\"/>\
                     <line class=\"spread\" x1=\"{}\" x2=\"{}\" y1=\"{middle}.5\" y2=\"{middle}.5\"/>",
                    top + 19,
                    top + 19,
                    percent(median),
                    percent(least),
                    percent(most)
                );
            }
            Shape::Three(values) => {
                for (at, value) in values.into_iter().enumerate() {
                    svg += &format!(
                        "<rect class=\"bar {class} step{at}\" y=\"{}\" width=\"{}\" height=\"{}\"/>",
                        top + 17 + at * (THIN - 1),
                        percent(value),
                        THIN - 2
                    );
                }
            }
        }
    }
    svg + "</svg>"
}

fn bar(case: &Case, server: &str, figures: &Figures) -> Bar {
    let (value, said, shape) = match figures {
        Figures::Time(figures) => {
            // The cheapest peer may be the one that compresses least: the bytes tell.
            let ratio = figures.to_best.filter(|_| class(server) == "ours");
            let more = match ratio {
                _ if case.is_compressed() => format!(" · {}", bytes(figures.bytes)),
                Some(ratio) => format!(" · {ratio:.2} × best peer"),
                None => String::new(),
            };
            let said = format!("{}{more}", time(figures.cost[1]));
            (figures.cost[1], said, Shape::Spread(figures.cost))
        }
        Figures::Memory(memory) => {
            let said = memory.bytes.map(bytes).join(" · ");
            (memory.bytes[1], said, Shape::Three(memory.bytes))
        }
    };
    Bar { server: server.to_owned(), value, said, shape }
}

fn summary(bars: &[Bar]) -> String {
    let all: Vec<String> = bars.iter().map(|bar| format!("{} {}", bar.server, bar.said)).collect();
    all.join(", ")
}
