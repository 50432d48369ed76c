//! The lines of a soak: what it is, a sample for each second, errors of good clients, and how it ended.

use serde_json::Value;

/// What is going on while a sample is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No client has come yet.
    Before,
    /// Clients come and go, and whatever is kept for good is made: pools, caches, threads.
    WarmUp,
    /// All clients of the warm-up have left.
    Rest,
    /// Clients come and go; this is judged.
    Main,
    /// All clients have left.
    After,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 5] = [Self::Before, Self::WarmUp, Self::Rest, Self::Main, Self::After];

    /// Its name in the lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Before => "before",
            Self::WarmUp => "warm-up",
            Self::Rest => "rest",
            Self::Main => "main",
            Self::After => "after",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.name() == name)
    }
}

/// What was seen in one second.
pub struct Sample {
    /// Seconds since the start.
    pub at: f64,
    /// What was going on.
    pub phase: Phase,
    line: Value,
}

impl Sample {
    /// A figure by its path in the line, such as `/server/rss`.
    pub fn number(&self, path: &str) -> Option<f64> {
        self.line.pointer(path)?.as_f64()
    }

    /// Figures that have names, such as how many connections ended with which code.
    pub fn counts(&self, path: &str) -> Vec<(&str, u64)> {
        let counts = self.line.pointer(path).and_then(Value::as_object);
        let counts = counts.into_iter().flatten();
        counts.filter_map(|(name, count)| Some((name.as_str(), count.as_u64()?))).collect()
    }
}

/// A whole run.
pub struct Record {
    /// The first line: seed, seconds, profile, machine.
    pub about: Value,
    /// In order.
    pub samples: Vec<Sample>,
    /// What good clients complained of.
    pub errors: Vec<String>,
    /// How the server ended: `None` if it did not say so.
    pub end: Option<Value>,
}

impl Record {
    /// Reads the lines.
    ///
    /// # Errors
    /// The number of a line that is not one of a soak.
    pub fn read(lines: &str) -> Result<Self, String> {
        let mut record =
            Self { about: Value::Null, samples: Vec::new(), errors: Vec::new(), end: None };
        for (nth, line) in lines.lines().enumerate() {
            record.take(line).ok_or_else(|| format!("line {}: not one of a soak", nth + 1))?;
        }
        match record.about {
            Value::Null => Err("no line says what was run".to_owned()),
            _ => Ok(record),
        }
    }

    fn take(&mut self, line: &str) -> Option<()> {
        let line: Value = serde_json::from_str(line).ok()?;
        match line["kind"].as_str()? {
            "soak" => self.about = line,
            "sample" => self.samples.push(Sample {
                at: line["at"].as_f64()?,
                phase: Phase::named(line["phase"].as_str()?)?,
                line,
            }),
            "error" => self.errors.push(line["what"].as_str()?.to_owned()),
            "end" => self.end = Some(line),
            _ => return None,
        }
        Some(())
    }

    /// A figure over a phase. Samples without it are left out.
    pub fn series(&self, phase: Phase, path: &str) -> Vec<(f64, f64)> {
        let samples = self.samples.iter().filter(|sample| sample.phase == phase);
        samples.filter_map(|sample| Some((sample.at, sample.number(path)?))).collect()
    }

    /// A figure at the end of a phase.
    pub fn last(&self, phase: Phase, path: &str) -> Option<f64> {
        self.series(phase, path).last().map(|(_, value)| *value)
    }
}
