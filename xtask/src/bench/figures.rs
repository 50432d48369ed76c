//! What one measurement says, and what several say together.

use std::fmt;

use serde_json::Value;

/// A round is disturbed when the server had to wait for its core for more than this share of it.
const SERVER_WAITED: f64 = 0.02;
/// The same for the load, which leaves the server idle for as long.
const LOAD_WAITED: f64 = 0.05;
/// What the host of a virtual machine may take.
const STOLEN: f64 = 0.01;

#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// Messages per second.
    pub(crate) rate: f64,
    /// CPU time per message in nanoseconds, where the system tells it.
    pub(crate) server_cpu: Option<f64>,
    pub(crate) load_cpu: Option<f64>,
    /// Latencies in nanoseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) is_disturbed: bool,
}

impl Figures {
    pub(crate) fn from_load(answer: &Value) -> Option<Self> {
        let number = |name: &str| answer[name].as_f64();
        let latency = |name: &str| answer["latency_ns"][name].as_f64();
        let (messages, seconds) = (number("messages")?, number("seconds")?);
        let above = |name: &str, limit: f64| number(name).is_some_and(|share| share > limit);
        Some(Figures {
            rate: messages / seconds,
            server_cpu: number("server_cpu_ns").map(|time| time / messages),
            load_cpu: number("load_cpu_ns").map(|time| time / messages),
            p50: latency("p50")?,
            p99: latency("p99")?,
            p999: latency("p99.9")?,
            is_disturbed: above("server_waited_ns", SERVER_WAITED * seconds * 1e9)
                || above("load_waited_ns", LOAD_WAITED * seconds * 1e9)
                || above("stolen", STOLEN),
        })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} messages/s", rate(self.rate))?;
        if let Some(cpu) = self.server_cpu {
            write!(f, ", {} CPU per message", time(cpu))?;
        }
        if self.is_disturbed { write!(f, ", disturbed") } else { Ok(()) }
    }
}

/// The median of several values, and the span that they lie in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let (&min, &max) = (values.first()?, values.last()?);
        let upper = values[middle];
        let median = if values.len() % 2 == 1 { upper } else { (values[middle - 1] + upper) / 2.0 };
        Some(Spread { median, min, max })
    }
}

/// Messages per second, in three digits.
pub(crate) fn rate(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", digits(value / 1e6)),
        1e3.. => format!("{} k", digits(value / 1e3)),
        _ => digits(value),
    }
}

/// Nanoseconds, in three digits.
pub(crate) fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        1e6.. => format!("{} ms", digits(nanoseconds / 1e6)),
        1e3.. => format!("{} µs", digits(nanoseconds / 1e3)),
        _ => format!("{} ns", digits(nanoseconds)),
    }
}

fn digits(value: f64) -> String {
    match value {
        99.95.. => format!("{value:.0}"),
        9.995.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({
            "seconds": 2.0, "messages": 1000,
            "latency_ns": { "p50": 1000, "p99": 2000, "p99.9": 3000 },
            "server_cpu_ns": 5_000_000, "server_waited_ns": 1000,
            "load_cpu_ns": 4_000_000, "load_waited_ns": 1000, "stolen": 0.0,
        })
    }

    #[test]
    fn figures_are_per_second_and_per_message() {
        let figures = Figures::from_load(&answer()).expect("figures");
        assert_eq!((figures.rate, figures.server_cpu), (500.0, Some(5000.0)));
        assert!(!figures.is_disturbed);
        assert_eq!(figures.to_string(), "500 messages/s, 5.00 µs CPU per message");
    }

    #[test]
    fn waiting_and_stolen_time_disturb() {
        for (name, value) in [
            ("server_waited_ns", json!(50_000_000)),
            ("load_waited_ns", json!(200_000_000)),
            ("stolen", json!(0.02)),
        ] {
            let mut answer = answer();
            answer[name] = value;
            assert!(Figures::from_load(&answer).expect("figures").is_disturbed, "{name}");
        }
    }

    #[test]
    fn system_without_cpu_times_still_has_figures() {
        let mut answer = answer();
        for name in ["server_cpu_ns", "server_waited_ns", "load_cpu_ns", "load_waited_ns", "stolen"]
        {
            answer[name] = Value::Null;
        }
        let figures = Figures::from_load(&answer).expect("figures");
        assert_eq!((figures.server_cpu, figures.is_disturbed), (None, false));
    }

    #[test]
    fn median_of_an_even_number_lies_between() {
        let spread = Spread::of([4.0, 1.0, 2.0, 9.0]).expect("values");
        assert_eq!(spread, Spread { median: 3.0, min: 1.0, max: 9.0 });
        assert_eq!(Spread::of([7.0]).map(|spread| spread.median), Some(7.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([214.4, 6214.0, 1.25e7].map(time), ["214 ns", "6.21 µs", "12.5 ms"]);
        assert_eq!([99.96, 4.61e6, 152_000.0].map(rate), ["100", "4.61 M", "152 k"]);
    }
}
