//! The outcomes of the cells, side by side.

use serde_json::{Value, json};

use super::cell::{Cell, Outcome};
use crate::bench::table::aligned;
use crate::failure::Result;

const MEGA: f64 = 1e6;

/// One line for each cell.
pub(super) fn show(cells: &[Cell], outcomes: &[Result<Outcome>]) -> String {
    let head = [
        "route",
        "",
        "KB/s",
        "delay",
        "s",
        "MB",
        "KB/s in the 2nd half",
        "kernel MB",
        "longest silence",
        "ended by",
    ];
    let rows = cells.iter().zip(outcomes).map(|(cell, outcome)| {
        let mut row = vec![
            format!("{:?}", cell.route),
            String::new(),
            (cell.rate() / 1000).to_string(),
            format!("{} ms", cell.path.delay.as_millis()),
        ];
        let Ok(outcome) = outcome else {
            row[1] = "NOT RUN".to_owned();
            row.resize(head.len(), String::new());
            return row;
        };
        row[1] = if outcome.is_kept { "passed" } else { "FAILED" }.to_owned();
        let answer = &outcome.answer;
        let number = |name: &str| answer[name].as_f64().unwrap_or_default();
        let late = number("late_octets") / (cell.bound().as_secs_f64() / 2.0);
        let is_stream = cell.is_stream();
        row.extend([
            format!("{:.1}", number("seconds")),
            format!("{:.2}", number("octets") / MEGA),
            if is_stream { format!("{:.0}", late / 1000.0) } else { String::new() },
            format!("{:.2}", outcome.kernel as f64 / MEGA),
            format!("{:.1} s", number("silence")),
            ending(answer),
        ]);
        row
    });
    aligned(&head, rows)
}

/// `Close 1000 "", FIN`
fn ending(answer: &Value) -> String {
    let end = answer["end"].as_str().unwrap_or_default();
    match (answer["code"].as_u64(), answer["reason"].as_str()) {
        (Some(code), Some("") | None) => format!("Close {code}, {end}"),
        (Some(code), Some(reason)) => format!("Close {code} {reason:?}, {end}"),
        (None, _) => end.to_owned(),
    }
}

pub(super) fn json(cells: &[Cell], outcomes: &[Result<Outcome>]) -> Value {
    let one = |(cell, outcome): (&Cell, &Result<Outcome>)| {
        let known = outcome.as_ref().ok();
        json!({
            "cell": cell.to_string(),
            "loss": cell.path.loss,
            "queue": cell.path.queue,
            "kept": known.map(|outcome| outcome.is_kept),
            "kernel_bytes": known.map(|outcome| outcome.kernel),
            "client": known.map(|outcome| &outcome.answer),
            "failure": outcome.as_ref().err().map(ToString::to_string),
        })
    };
    cells.iter().zip(outcomes).map(one).collect()
}
