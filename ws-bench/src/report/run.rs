//! The data of a report, read from the lines of JSON of `xtask/src/bench/record.rs`.

use serde_json::Value;

/// A run, as read from its lines.
#[derive(Debug, Default)]
pub struct Run {
    /// When it started, in seconds since 1970.
    pub time: u64,
    /// The arguments of `cargo xtask`.
    pub command: Vec<String>,
    /// The machine and the tools, as names and values.
    pub facts: Vec<(&'static str, String)>,
    /// Every server that could take part, and its version.
    pub servers: Vec<(String, String)>,
    /// The cases in the order of the measurement.
    pub cases: Vec<Case>,
}

/// A case and its results.
#[derive(Debug)]
pub struct Case {
    /// The name to type.
    pub name: String,
    /// The title.
    pub title: String,
    /// The meaning of the case, in a sentence.
    pub meaning: String,
    /// The unit that is counted: a message, a delivery.
    pub unit: String,
    /// Raised limits of ws-server, with their values.
    pub raised: Vec<(String, u64)>,
    /// The results, server by server.
    pub rows: Vec<Row>,
    /// The servers that failed.
    pub failures: Vec<Failure>,
}

/// The result of a server in a case.
#[derive(Debug)]
pub struct Row {
    /// The server.
    pub server: String,
    /// Its figures.
    pub figures: Figures,
}

/// The figures of a server in a case.
#[derive(Debug)]
pub enum Figures {
    /// Messages that went to and fro.
    Time(Box<Time>),
    /// Memory.
    Memory(Memory),
}

/// Medians over rounds; three values are the minimum, the median and the maximum.
#[derive(Debug)]
pub struct Time {
    /// Whether the cost is CPU time instead of elapsed time.
    pub is_cpu: bool,
    /// Nanoseconds per message.
    pub cost: [f64; 3],
    /// Messages per second.
    pub rate: [f64; 3],
    /// Bytes that the server sent per message.
    pub bytes: f64,
    /// The ratio of the cost to that of the cheapest peer.
    pub to_best: Option<f64>,
    /// The ratio of the cost to that of the raw echo.
    pub to_raw: Option<f64>,
    /// p50, p99 and p99.9, in nanoseconds.
    pub latency: [f64; 3],
    /// The number of rounds.
    pub rounds: u64,
    /// The number of rounds that stayed disturbed.
    pub disturbed: u64,
}

/// The memory of a server in bytes, for each connection or in total.
#[derive(Debug)]
pub struct Memory {
    /// The names of the samples.
    pub looks: [String; 3],
    /// The bytes at each sample.
    pub bytes: [f64; 3],
    /// All resident memory of the process.
    pub resident: f64,
}

/// A server that failed in a case.
#[derive(Debug)]
pub struct Failure {
    /// The server.
    pub server: String,
    /// The cause.
    pub what: String,
}

impl Run {
    /// Reads the lines of a run.
    ///
    /// # Errors
    /// If a line has another form; the error names it.
    pub fn read(lines: &str) -> Result<Self, String> {
        let mut run = Self::default();
        for (number, line) in (1..).zip(lines.lines()) {
            let value: Value =
                serde_json::from_str(line).map_err(|error| format!("line {number}: {error}"))?;
            run.take(&value).ok_or_else(|| format!("cannot read line {number}: {line}"))?;
        }
        if run.cases.is_empty() { Err("the file contains no case".to_owned()) } else { Ok(run) }
    }

    fn take(&mut self, line: &Value) -> Option<()> {
        match line["kind"].as_str()? {
            "run" => {
                self.time = line["time"].as_u64()?;
                self.command = strings(&line["command"])?;
                let servers = line["servers"].as_array()?;
                self.servers = servers
                    .iter()
                    .map(|pair| Some((text(&pair[0])?, text(&pair[1])?)))
                    .collect::<Option<_>>()?;
                self.facts = facts(line);
            }
            "case" => self.cases.push(Case {
                name: text(&line["case"])?,
                title: text(&line["title"])?,
                meaning: text(&line["meaning"])?,
                unit: text(&line["unit"])?,
                raised: line["raised"]
                    .as_array()?
                    .iter()
                    .map(|pair| Some((text(&pair[0])?, pair[1].as_u64()?)))
                    .collect::<Option<_>>()?,
                rows: Vec::new(),
                failures: Vec::new(),
            }),
            "summary" => {
                let time = Time {
                    is_cpu: line["is_cpu"].as_bool()?,
                    cost: three(&line["cost_ns"])?,
                    rate: three(&line["per_second"])?,
                    bytes: line["bytes"].as_f64()?,
                    to_best: line["to_best_peer"].as_f64(),
                    to_raw: line["to_raw"].as_f64(),
                    latency: three(&line["latency_ns"])?,
                    rounds: line["rounds"].as_u64()?,
                    disturbed: line["disturbed"].as_u64()?,
                };
                let server = text(&line["server"])?;
                self.case(line)?.rows.push(Row { server, figures: Figures::Time(Box::new(time)) });
            }
            "memory" => {
                let figures = Figures::Memory(Memory {
                    looks: strings(&line["looks"])?.try_into().ok()?,
                    bytes: three(&line["bytes"])?,
                    resident: line["resident"].as_f64()?,
                });
                let server = text(&line["server"])?;
                self.case(line)?.rows.push(Row { server, figures });
            }
            "failure" => {
                let failure =
                    Failure { server: text(&line["server"])?, what: text(&line["what"])? };
                self.case(line)?.failures.push(failure);
            }
            "measurement" => {}
            _ => return None,
        }
        Some(())
    }

    fn case(&mut self, line: &Value) -> Option<&mut Case> {
        let name = line["case"].as_str()?;
        self.cases.iter_mut().find(|case| case.name == name)
    }

    /// The date, as `2026-01-31`.
    pub fn date(&self) -> String {
        // The civil calendar by the days of its 400-year cycle, which begins on 1 March.
        let days = self.time / 86_400 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (year, month) = match month {
            0..=9 => (era * 400 + year, month + 3),
            _ => (era * 400 + year + 1, month - 9),
        };
        format!("{year}-{month:02}-{day:02}")
    }

    /// The command that repeats the run, without the picture.
    pub fn reproduced_by(&self) -> String {
        let quoted = |word: &String| {
            if word.contains([' ', '{']) { format!("'{word}'") } else { word.clone() }
        };
        let mut words: Vec<String> = self.command.iter().map(quoted).collect();
        if let Some(at) = words.iter().position(|word| word == "--picture") {
            words.drain(at..words.len().min(at + 2));
        }
        format!("cargo xtask {}", words.join(" "))
    }
}

impl Case {
    /// Whether the servers' output depends on how they compress.
    pub fn is_compressed(&self) -> bool {
        self.name.starts_with("deflate")
    }
}

fn facts(line: &Value) -> Vec<(&'static str, String)> {
    let number = |name: &str| line[name].as_u64().map(|number| number.to_string());
    [
        ("processor", text(&line["processor"])),
        ("processors", number("processors")),
        ("system", text(&line["system"])),
        ("kernel", text(&line["kernel"])),
        ("pinned", text(&line["cores"])),
        ("load average before", text(&line["load_average"])),
        ("TCP congestion control", text(&line["congestion_control"])),
        ("compiler", text(&line["rustc"])),
        ("commit", text(&line["commit"])),
    ]
    .into_iter()
    .filter_map(|(what, which)| Some((what, which?)))
    .collect()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn strings(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(text).collect()
}

fn three(value: &Value) -> Option<[f64; 3]> {
    let numbers: Vec<f64> = value.as_array()?.iter().map(Value::as_f64).collect::<Option<_>>()?;
    numbers.try_into().ok()
}
