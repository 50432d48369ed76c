//! The most telling cases in one SVG, for a README.

use super::bars::{chart, height};
use super::run::{Case, Run};
use super::{COLOURS, escaped};

const WIDTH: usize = 880;
const MARGIN: usize = 24;
const GAP: usize = 40;
const COLUMN: usize = (WIDTH - 2 * MARGIN - GAP) / 2;

/// The kinds of cases, most telling first; the picture has the first of them.
const TELLING: [&str; 8] = [
    "echo-20x64x1",
    "echo-20x16x64",
    "echo-16k",
    "deflate-1k",
    "handshake",
    "idle",
    "fanout-1k-1000",
    "echo-1k",
];

/// Six cases at most, in two columns; the date and the machine at the bottom.
pub fn picture(run: &Run) -> String {
    let has_rows = |case: &&Case| !case.rows.is_empty();
    let by_name = |name: &&str| run.cases.iter().filter(has_rows).find(|case| case.name == **name);
    let mut cases: Vec<&Case> = TELLING.iter().filter_map(by_name).take(6).collect();
    if cases.is_empty() {
        cases = run.cases.iter().filter(has_rows).take(6).collect();
    }

    let mut body = String::new();
    let mut top = 24;
    for pair in cases.chunks(2) {
        for (column, case) in pair.iter().enumerate() {
            let x = MARGIN + column * (COLUMN + GAP);
            body += &format!(
                "<text class=\"title\" x=\"{x}\" y=\"{}\">{}</text>\n",
                top + 14,
                escaped(&case.title)
            );
            let place = format!("x=\"{x}\" y=\"{}\" width=\"{COLUMN}\"", top + 30);
            body += &chart(case, &place);
            body.push('\n');
        }
        top += 30 + pair.iter().map(|case| height(case)).max().unwrap_or(0) + 28;
    }
    let processor = run.facts.iter().find(|(what, _)| *what == "processor");
    let machine = processor.map(|(_, which)| format!(", {which}")).unwrap_or_default();
    let note = format!(
        "CPU time of the server per message (memory per idle connection: open · after 1 · after 20). \
         {}{machine}",
        run.date()
    );
    let height = top + 34;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-label=\"WebSocket servers side by side\">\n\
         <style>\n{COLOURS}svg text.title {{ font-weight: 650; font-size: 14px; }}\n</style>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"12\" style=\"fill: var(--card)\"/>\n{body}\
         <text class=\"note\" x=\"{MARGIN}\" y=\"{}\">{}</text>\n\
         <text class=\"note\" x=\"{MARGIN}\" y=\"{}\">{}</text>\n</svg>\n",
        top + 2,
        escaped(&note),
        top + 20,
        escaped(&run.reproduced_by())
    )
}
