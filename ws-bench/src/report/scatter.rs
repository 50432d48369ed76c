//! CPU time against bytes: the cost of compression, and its saving.

use super::bars::class;
use super::escaped;
use super::numbers::{bytes, time};
use super::run::{Case, Figures};

const HEIGHT: f64 = 240.0;
/// Space for the axis below, and above the highest mark.
const BELOW: f64 = 34.0;
const ABOVE: f64 = 22.0;

/// `None` if all servers send the same number of bytes.
pub(super) fn scatter(case: &Case) -> Option<String> {
    let points: Vec<(&str, f64, f64)> = case
        .rows
        .iter()
        .filter_map(|row| match &row.figures {
            Figures::Time(figures) => Some((row.server.as_str(), figures.bytes, figures.cost[1])),
            Figures::Memory(_) => None,
        })
        .collect();
    let most = |of: fn(&(&str, f64, f64)) -> f64| points.iter().map(of).fold(0.0, f64::max);
    let (widest, highest) = (most(|point| point.1), most(|point| point.2));
    if points.iter().all(|point| point.1 == widest) {
        return None;
    }
    // Both axes begin at zero, so that distances are proportional.
    let x = |value: f64| 84.0 * value / (widest * 1.02);
    let y = |value: f64| HEIGHT - BELOW - (HEIGHT - BELOW - ABOVE) * value / highest;
    let said: Vec<String> = points
        .iter()
        .map(|(server, sent, cost)| format!("{server} {} at {}", time(*cost), bytes(*sent)))
        .collect();
    let base = HEIGHT - BELOW;
    let mut svg = format!(
        "<svg class=\"chart\" role=\"img\" aria-label=\"{}\" width=\"100%\" height=\"{HEIGHT}\">\
         <line class=\"axis\" x1=\"0\" x2=\"100%\" y1=\"{base}\" y2=\"{base}\"/>\
         <line class=\"axis\" x1=\"0\" x2=\"0\" y1=\"0\" y2=\"{base}\"/>\
         <text class=\"note\" x=\"100%\" y=\"{}\" text-anchor=\"end\">bytes sent, up to {} →</text>\
         <text class=\"note\" x=\"6\" y=\"11\">↑ time, up to {}</text>",
        escaped(&format!("{}: {}", case.title, said.join(", "))),
        HEIGHT - 10.0,
        bytes(widest),
        time(highest)
    );
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for (server, sent, cost) in points {
        let (x, y) = (x(sent), y(cost));
        // The name of a mark on the right goes to its left; a name that would hide another moves
        // down.
        let is_left = x > 45.0;
        let mut text = y + 4.0;
        while taken.iter().any(|(tx, ty)| (tx - x).abs() < 30.0 && (ty - text).abs() < 14.0) {
            text += 14.0;
        }
        taken.push((x, text));
        let (shift, anchor) = if is_left { (-9, "end") } else { (9, "start") };
        let class = class(server);
        svg += &format!(
            "<circle class=\"mark {class}\" cx=\"{x:.2}%\" cy=\"{y:.1}\" r=\"5\"/>\
             <text class=\"name {class}\" x=\"{x:.2}%\" y=\"{text:.1}\" dx=\"{shift}\" \
             text-anchor=\"{anchor}\">{}</text>",
            escaped(server)
        );
    }
    Some(svg + "</svg>")
}
