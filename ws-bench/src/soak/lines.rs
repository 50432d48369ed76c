//! A chart of lines over time.

use std::fmt::Write;

use super::record::{Phase, Record};
use crate::report::escaped;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 220.0;
/// Space for the axis below, and for the figure of the highest line above.
const BELOW: f64 = 22.0;
const ABOVE: f64 = 18.0;

/// Seconds without a figure that interrupt a line.
const GAP: f64 = 4.0;

/// One line.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    /// The class of its colour.
    pub(super) class: &'static str,
}

/// What is drawn together, on one scale.
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) meaning: &'static str,
    pub(super) lines: &'static [Line],
    pub(super) told: fn(f64) -> String,
    /// Tenfold values are as far apart everywhere.
    pub(super) logarithmic: bool,
}

impl Chart {
    /// The chart, with `bound` as a dashed line. It says its figures to those who do not see it.
    pub(super) fn draw(&self, record: &Record, bound: Option<f64>) -> String {
        let series: Vec<(&Line, Vec<(f64, f64)>)> =
            self.lines.iter().map(|line| (line, all(record, line.path))).collect();
        let values = series.iter().flat_map(|(_, points)| points).map(|(_, value)| *value);
        let highest = values.chain(bound).fold(1.0, f64::max);
        let end = record.samples.last().map_or(1.0, |sample| sample.at.max(1.0));
        let x = |at: f64| WIDTH * at / end;
        let part = |value: f64| {
            if self.logarithmic {
                value.max(1.0).log10() / highest.log10().max(1.0)
            } else {
                value / highest
            }
        };
        let y = |value: f64| HEIGHT - BELOW - (HEIGHT - BELOW - ABOVE) * part(value);

        let said: Vec<String> = series
            .iter()
            .filter_map(|(line, points)| {
                let most = points.iter().map(|(_, value)| *value).fold(0.0, f64::max);
                let (_, last) = points.last()?;
                Some(format!(
                    "{} at most {}, in the end {}",
                    line.name,
                    (self.told)(most),
                    (self.told)(*last)
                ))
            })
            .collect();
        let mut svg = format!(
            "<svg class=\"chart\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {WIDTH} {HEIGHT}\">",
            escaped(&format!("{}: {}", self.title, said.join("; ")))
        );
        for (phase, from, to) in phases(record) {
            if matches!(phase, Phase::Before | Phase::Rest | Phase::After) {
                let _ = write!(
                    svg,
                    "<rect class=\"rest\" x=\"{:.1}\" y=\"0\" width=\"{:.1}\" height=\"{:.1}\"/>",
                    x(from),
                    x(to) - x(from),
                    HEIGHT - BELOW
                );
            }
        }
        let _ = write!(
            svg,
            "<line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{base}\" y2=\"{base}\"/>\
             <text class=\"note\" x=\"0\" y=\"{low}\">{}</text>\
             <text class=\"note\" x=\"{WIDTH}\" y=\"{low}\" text-anchor=\"end\">{}</text>\
             <text class=\"note\" x=\"0\" y=\"12\">{}</text>",
            if self.logarithmic { (self.told)(1.0) } else { "0".to_owned() },
            minutes(end),
            (self.told)(highest),
            base = HEIGHT - BELOW,
            low = HEIGHT - 6.0,
        );
        if let Some(bound) = bound {
            let y = y(bound);
            let _ = write!(
                svg,
                "<line class=\"bound\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"
            );
        }
        for (line, points) in &series {
            for part in points.chunk_by(|(at, _), (next, _)| next - at < GAP) {
                let part = thinned(part, points.len());
                let part: Vec<String> = part
                    .iter()
                    .map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value)))
                    .collect();
                let _ = write!(
                    svg,
                    "<polyline class=\"line {}\" points=\"{}\"/>",
                    line.class,
                    part.join(" ")
                );
            }
        }
        svg + "</svg>"
    }

    /// The names of the lines, with their colours.
    pub(super) fn key(&self) -> String {
        let entries = self.lines.iter();
        let entries: String = entries
            .map(|line| format!("<li><i class=\"{}\"></i>{}</li>", line.class, escaped(line.name)))
            .collect();
        format!("<ul class=\"key\">{entries}</ul>")
    }
}

fn all(record: &Record, path: &str) -> Vec<(f64, f64)> {
    record.samples.iter().filter_map(|sample| Some((sample.at, sample.number(path)?))).collect()
}

/// From when to when each lasted.
fn phases(record: &Record) -> Vec<(Phase, f64, f64)> {
    let mut phases: Vec<(Phase, f64, f64)> = Vec::new();
    for sample in &record.samples {
        match phases.last_mut() {
            Some((phase, _, to)) if *phase == sample.phase => *to = sample.at,
            last => {
                let from = last.map_or(0.0, |(_, _, to)| *to);
                phases.push((sample.phase, from, sample.at));
            }
        }
    }
    phases
}

/// A part of a line of so many points. At most two points for each unit of width: the least and the
/// most of those that fall together.
fn thinned(points: &[(f64, f64)], of: usize) -> Vec<(f64, f64)> {
    let together = of.div_ceil(WIDTH as usize);
    if together < 2 {
        return points.to_vec();
    }
    let by_value = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
    let mut thinned = Vec::new();
    for group in points.chunks(together) {
        let least = group.iter().min_by(by_value).copied();
        let most = group.iter().max_by(by_value).copied();
        let (first, second) = if least < most { (least, most) } else { (most, least) };
        thinned.extend(first.into_iter().chain(second));
    }
    thinned
}

fn minutes(seconds: f64) -> String {
    format!("{:.0}:{:02.0} min", (seconds / 60.0).floor(), seconds % 60.0)
}
