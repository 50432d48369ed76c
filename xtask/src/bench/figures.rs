//! The figures of one measurement, and of several together.

use serde_json::Value;

/// A round counts as disturbed if the server waited for its core for more than this share of it.
const SERVER_WAITED: f64 = 0.02;
/// The same for the load, whose waiting leaves the server idle.
const LOAD_WAITED: f64 = 0.05;
/// The share that the host of a virtual machine may take.
const STOLEN: f64 = 0.01;

#[derive(Clone, Debug)]
pub(crate) struct Figures {
    /// Messages per second.
    pub(crate) rate: f64,
    /// CPU time of the server per message in nanoseconds; elapsed time if the system does not
    /// report it.
    pub(crate) cost: f64,
    /// Whether `cost` is CPU time.
    pub(crate) is_cpu: bool,
    /// CPU time of the load per message in nanoseconds, if the system reports it.
    pub(crate) load_cpu: Option<f64>,
    /// Bytes that the server sent per message.
    pub(crate) bytes: f64,
    /// Latencies in nanoseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    /// The influence of other work; above 1 the round is disturbed.
    pub(crate) disturbance: f64,
}

impl Figures {
    pub(crate) fn from_load(answer: &Value) -> Option<Self> {
        let number = |name: &str| answer[name].as_f64();
        let latency = |name: &str| answer["latency_ns"][name].as_f64();
        let (messages, seconds) = (number("messages")?, number("seconds")?);
        let share = |name: &str, of: f64| number(name).map_or(0.0, |value| value / of);
        let nanoseconds = seconds * 1e9;
        Some(Figures {
            rate: messages / seconds,
            cost: number("server_cpu_ns").unwrap_or(nanoseconds) / messages,
            is_cpu: number("server_cpu_ns").is_some(),
            load_cpu: number("load_cpu_ns").map(|time| time / messages),
            bytes: number("reply_bytes")? / messages,
            p50: latency("p50")?,
            p99: latency("p99")?,
            p999: latency("p99.9")?,
            disturbance: [
                share("server_waited_ns", nanoseconds * SERVER_WAITED),
                share("load_waited_ns", nanoseconds * LOAD_WAITED),
                share("stolen", STOLEN),
            ]
            .into_iter()
            .fold(0.0, f64::max),
        })
    }

    pub(crate) fn is_disturbed(&self) -> bool {
        self.disturbance > 1.0
    }
}

/// The memory of a server, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Memory {
    /// At each sample of the [case](super::case::Case::looks): for each resting connection, or in
    /// total.
    pub(crate) looks: [f64; 3],
    /// All resident memory of the process, at the last sample.
    pub(crate) resident: f64,
}

impl Memory {
    pub(crate) fn from_load(answer: &Value) -> Option<Self> {
        let numbers = |name: &str| {
            answer[name].as_array()?.iter().map(Value::as_f64).collect::<Option<Vec<_>>>()
        };
        let resident = *numbers("resident")?.last()?;
        let looks = match numbers("bytes_per_connection") {
            Some(each) => each.try_into().ok()?,
            None => Self::over_time(&numbers("private")?)?,
        };
        Some(Memory { looks, resident })
    }

    /// From many samples during the work: the medians of the first tenth, the middle tenth and the
    /// last tenth.
    fn over_time(all: &[f64]) -> Option<[f64; 3]> {
        let tenth = (all.len() / 10).max(1);
        let around = |at: usize| {
            Some(Spread::of(all.iter().skip(at * all.len() / 10).take(tenth).copied())?.median)
        };
        Some([around(1)?, around(5)?, around(9)?])
    }
}

/// The median of several values, and their range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// `None` if there are no values.
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({
            "seconds": 2.0, "messages": 1000, "reply_bytes": 22_000,
            "latency_ns": { "p50": 1000, "p99": 2000, "p99.9": 3000 },
            "server_cpu_ns": 5_000_000, "server_waited_ns": 1000,
            "load_cpu_ns": 4_000_000, "load_waited_ns": 1000, "stolen": 0.0,
        })
    }

    #[test]
    fn figures_are_per_second_and_per_message() {
        let figures = Figures::from_load(&answer()).expect("figures");
        assert_eq!((figures.rate, figures.cost, figures.bytes), (500.0, 5000.0, 22.0));
        assert!(!figures.is_disturbed());
    }

    #[test]
    fn waiting_and_stolen_time_disturb_from_their_limits_on() {
        assert!(Figures::from_load(&answer()).expect("figures").disturbance < 0.1);
        for (name, value) in [
            ("server_waited_ns", json!(50_000_000)),
            ("load_waited_ns", json!(200_000_000)),
            ("stolen", json!(0.02)),
        ] {
            let mut answer = answer();
            answer[name] = value;
            assert!(Figures::from_load(&answer).expect("figures").is_disturbed(), "{name}");
        }
    }

    #[test]
    fn system_without_cpu_times_has_the_time_that_passed() {
        let mut answer = answer();
        for name in ["server_cpu_ns", "server_waited_ns", "load_cpu_ns", "load_waited_ns", "stolen"]
        {
            answer[name] = Value::Null;
        }
        let figures = Figures::from_load(&answer).expect("figures");
        assert_eq!((figures.cost, figures.is_cpu, figures.is_disturbed()), (2e6, false, false));
    }

    #[test]
    fn median_of_an_even_number_lies_between() {
        let spread = Spread::of([4.0, 1.0, 2.0, 9.0]).expect("values");
        assert_eq!(spread, Spread { median: 3.0, min: 1.0, max: 9.0 });
        assert_eq!(Spread::of([7.0]).map(|spread| spread.median), Some(7.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn memory_is_that_of_three_looks() {
        let answer = json!({
            "bytes_per_connection": [1024.0, 2048.0, 4096.0],
            "resident": [1, 2, 3_000_000],
        });
        let memory = Memory::from_load(&answer).expect("figures");
        assert_eq!((memory.looks[2], memory.resident), (4096.0, 3e6));
        assert_eq!(Memory::from_load(&json!({ "connections": 1 })), None);
    }

    #[test]
    fn memory_over_time_is_that_of_three_tenths_without_their_peaks() {
        let mut private: Vec<u64> = (0..60).collect();
        private[7] = 9999;
        let answer = json!({ "private": private, "resident": [1, 5] });
        let memory = Memory::from_load(&answer).expect("figures");
        assert_eq!(memory, Memory { looks: [9.5, 32.5, 56.5], resident: 5.0 });
    }
}
