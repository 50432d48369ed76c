//! The figures of one siege, as `ws-attack` says them.

use std::collections::BTreeMap;

use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// What the attacker wrote, in octets, and over how many connections.
    pub(crate) sent: f64,
    pub(crate) connections: f64,
    /// CPU time of the server for each octet that it had taken, in nanoseconds, without what the
    /// polite clients cost.
    pub(crate) cpu: f64,
    /// The share of a core that the attack took.
    pub(crate) core: f64,
    /// Resident memory of the server above that before the attack, at most, in bytes.
    pub(crate) memory: f64,
    /// In its sockets at the end of the attack, in bytes.
    pub(crate) kernel: f64,
    /// Waits of polite clients, in nanoseconds: before the attack, and during it.
    pub(crate) p99_before: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Of polite clients that came anew.
    pub(crate) newcomer_p99: f64,
    pub(crate) newcomers: f64,
    pub(crate) newcomers_refused: f64,
    pub(crate) lost: f64,
    pub(crate) is_alive: bool,
    /// Statuses and close codes, the most frequent first: `101: 50`.
    pub(crate) answers: BTreeMap<String, u64>,
}

impl Figures {
    /// What is missing counts as nothing.
    pub(crate) fn read(said: &Value) -> Self {
        let number = |path: &str| said.pointer(path).and_then(Value::as_f64).unwrap_or_default();
        let mut answers = BTreeMap::new();
        for of in ["/attacker/statuses", "/attacker/closes"] {
            for (code, times) in said.pointer(of).and_then(Value::as_object).into_iter().flatten() {
                answers.insert(code.clone(), times.as_u64().unwrap_or_default());
            }
        }
        Self {
            sent: number("/attacker/octets"),
            connections: number("/attacker/connections"),
            cpu: number("/server/cpu_ns_per_octet"),
            core: number("/server/cpu_seconds_more") / number("/seconds").max(f64::MIN_POSITIVE),
            memory: number("/server/grown"),
            kernel: number("/server/in_the_kernel"),
            p99_before: number("/polite/before/p99_ns"),
            p50: number("/polite/during/p50_ns"),
            p99: number("/polite/during/p99_ns"),
            newcomer_p99: number("/polite/newcomers/during/p99_ns"),
            newcomers: number("/polite/newcomers/during/count"),
            newcomers_refused: number("/polite/newcomers/refused"),
            lost: number("/polite/lost"),
            is_alive: said["server"]["alive"].as_bool().unwrap_or_default(),
            answers,
        }
    }

    /// Each figure is the median; of losses and the server's end the worst.
    pub(crate) fn median(rounds: &[Self]) -> Option<Self> {
        let middle = rounds.get(rounds.len() / 2)?;
        let of = |look: fn(&Self) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(look).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Some(Self {
            sent: of(|one| one.sent),
            connections: of(|one| one.connections),
            cpu: of(|one| one.cpu),
            core: of(|one| one.core),
            memory: of(|one| one.memory),
            kernel: of(|one| one.kernel),
            p99_before: of(|one| one.p99_before),
            p50: of(|one| one.p50),
            p99: of(|one| one.p99),
            newcomer_p99: of(|one| one.newcomer_p99),
            newcomers: of(|one| one.newcomers),
            newcomers_refused: of(|one| one.newcomers_refused),
            lost: rounds.iter().map(|one| one.lost).fold(0.0, f64::max),
            is_alive: rounds.iter().all(|one| one.is_alive),
            answers: middle.answers.clone(),
        })
    }

    /// `101 50, 1008 400`.
    pub(crate) fn answered(&self) -> String {
        let answers: Vec<String> =
            self.answers.iter().map(|(code, times)| format!("{code} {times}")).collect();
        if answers.is_empty() { "-".to_owned() } else { answers.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_read_and_their_medians_taken() {
        let said = |cpu: f64, lost: u64| {
            Figures::read(&json!({
                "seconds": 4.0,
                "attacker": {
                    "octets": 1000, "connections": 3,
                    "statuses": { "101": 3 }, "closes": { "1008": 2 },
                },
                "server": { "alive": true, "cpu_ns_per_octet": cpu, "cpu_seconds_more": 2.0 },
                "polite": { "lost": lost, "during": { "p99_ns": 5 } },
            }))
        };
        let one = said(3.0, 0);
        assert_eq!((one.cpu, one.core, one.p99, one.is_alive), (3.0, 0.5, 5.0, true));
        assert_eq!(one.answered(), "1008 2, 101 3");
        let all = Figures::median(&[said(9.0, 0), said(3.0, 1), said(4.0, 0)]).expect("three");
        assert_eq!((all.cpu, all.lost), (4.0, 1.0));
        assert_eq!(Figures::median(&[]), None);
    }
}
