//! What must hold for ours with a small budget, under each attack.

use super::figures::Figures;
use super::subject::BUDGET;
use crate::bench::numbers::{bytes, time};

/// The bounds. Waits are told and not bounded: other work on the machine counts in them.
pub(crate) struct Bounds {
    /// The growth of resident memory, in bytes.
    memory: f64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { memory: 1.2 * BUDGET as f64 + 64.0 * 1024.0 * 1024.0 }
    }
}

impl Bounds {
    pub(crate) fn complaints(&self, figures: &Figures) -> Vec<String> {
        let mut complaints = Vec::new();
        if !figures.is_alive {
            complaints.push("the server has ended".to_owned());
        }
        if figures.lost > 0.0 {
            complaints.push(format!("{} of 20 polite clients lost their connection", figures.lost));
        }
        if figures.memory > self.memory {
            let [took, may] = [figures.memory, self.memory].map(bytes);
            complaints.push(format!("it took {took} of memory, and may take {may}"));
        }
        complaints
    }
}

/// The figures that are checked, and what the attacker has heard.
pub(crate) fn in_words(figures: &Figures) -> String {
    format!(
        "{} of memory; polite clients waited {} (p99), before {}, and {} were lost; the attacker sent \
         {} over {} connections, and heard {}",
        bytes(figures.memory),
        time(figures.p99),
        time(figures.p99_before),
        figures.lost,
        bytes(figures.sent),
        figures.connections,
        figures.answered(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_has_its_complaint() {
        let good = Figures { is_alive: true, memory: 140e6, p99: 1e9, ..Figures::default() };
        assert!(Bounds::default().complaints(&good).is_empty());
        let bad = Figures { lost: 1.0, memory: 150e6, ..Figures::default() };
        assert_eq!(Bounds::default().complaints(&bad).len(), 3);
    }
}
