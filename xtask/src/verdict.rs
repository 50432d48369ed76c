//! Autobahn's verdict on each case, and the expected one.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// The id of a case, in the order of the suite: `1.1.2` before `1.1.10`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CaseId(Vec<u32>);

/// The two verdicts of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) behavior: String,
    pub(crate) behavior_close: String,
}

/// Both verdicts of these are INFORMATIONAL: the suite only observes.
const INFORMATIONAL: [&str; 3] = ["7.1.6", "7.13.1", "7.13.2"];

/// In these cases, the echo of an earlier message may or may not go out before the failure.
const RACY: [&str; 10] =
    ["3.2", "3.3", "3.4", "4.1.3", "4.1.4", "4.1.5", "4.2.3", "4.2.4", "4.2.5", "5.15"];

impl CaseId {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.split('.').map(|number| number.parse().ok()).collect::<Option<_>>().map(CaseId)
    }

    pub(crate) fn group(&self) -> u32 {
        self.0.first().copied().unwrap_or_default()
    }

    fn is_one_of(&self, ids: &[&str]) -> bool {
        ids.contains(&self.to_string().as_str())
    }
}

impl fmt::Display for CaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

impl Verdict {
    /// Whether the case ended as it should: OK, or INFORMATIONAL for the cases of that kind.
    pub(crate) fn is_expected_of(&self, case: &CaseId) -> bool {
        let expected = if case.is_one_of(&INFORMATIONAL) { "INFORMATIONAL" } else { "OK" };
        self.behavior == expected && self.behavior_close == expected
    }

    fn is_non_strict(&self) -> bool {
        self.behavior == "NON-STRICT" && self.behavior_close == "OK"
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (close: {})", self.behavior, self.behavior_close)
    }
}

/// The verdicts of `agent` in the text of an `index.json`.
pub(crate) fn read_index(text: &str, agent: &str) -> Result<BTreeMap<CaseId, Verdict>, String> {
    let index: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let cases = index[agent].as_object().ok_or_else(|| format!("it has no agent {agent:?}"))?;
    let field = |case: &Value, name: &str| case[name].as_str().map(str::to_owned);
    cases
        .iter()
        .map(|(id, case)| {
            let verdict = || {
                Some(Verdict {
                    behavior: field(case, "behavior")?,
                    behavior_close: field(case, "behaviorClose")?,
                })
            };
            CaseId::parse(id).zip(verdict()).ok_or_else(|| format!("case {id:?} has another form"))
        })
        .collect()
}

/// Whether an unexpected case counts as passed after its repetitions.
///
/// A racy case may be NON-STRICT if most repetitions are as expected; any other fails.
pub(crate) fn passes_after_repetitions(
    case: &CaseId,
    first: &Verdict,
    repetitions: &[Option<Verdict>],
) -> bool {
    let expected =
        repetitions.iter().flatten().filter(|verdict| verdict.is_expected_of(case)).count();
    let tolerable = repetitions.iter().all(|verdict| {
        verdict.as_ref().is_some_and(|it| it.is_expected_of(case) || it.is_non_strict())
    });
    case.is_one_of(&RACY) && first.is_non_strict() && tolerable && expected * 2 > repetitions.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> CaseId {
        CaseId::parse(text).expect("a case id")
    }

    fn verdict(behavior: &str, behavior_close: &str) -> Verdict {
        Verdict { behavior: behavior.into(), behavior_close: behavior_close.into() }
    }

    #[test]
    fn cases_are_ordered_by_number() {
        assert!(id("1.1.2") < id("1.1.10"));
        assert!(id("9.8.6") < id("10.1.1"));
        assert_eq!(id("12.1.10").to_string(), "12.1.10");
        assert_eq!(CaseId::parse("1.x"), None);
    }

    #[test]
    fn index_gives_both_judgements_of_the_agent() {
        let text = r#"{"own_io": {"1.1.1": {"behavior": "OK", "behaviorClose": "UNCLEAN",
            "duration": 2, "remoteCloseCode": 1000, "reportfile": "own_io_case_1_1_1.json"}}}"#;
        let index = read_index(text, "own_io").expect("an index");
        assert_eq!(index[&id("1.1.1")], verdict("OK", "UNCLEAN"));
        assert_eq!(index.len(), 1);
        assert!(read_index(text, "other").is_err());
        assert!(read_index("{", "own_io").is_err());
        assert!(read_index(r#"{"own_io": {"1.1.1": {"behavior": "OK"}}}"#, "own_io").is_err());
    }

    #[test]
    fn an_unclean_close_is_not_as_expected() {
        assert!(verdict("OK", "OK").is_expected_of(&id("1.1.1")));
        assert!(!verdict("OK", "UNCLEAN").is_expected_of(&id("7.3.6")));
        assert!(!verdict("NON-STRICT", "OK").is_expected_of(&id("6.4.1")));
    }

    #[test]
    fn informational_is_expected_of_three_cases_only() {
        let informational = verdict("INFORMATIONAL", "INFORMATIONAL");
        for case in INFORMATIONAL {
            assert!(informational.is_expected_of(&id(case)));
            assert!(!verdict("OK", "OK").is_expected_of(&id(case)));
        }
        assert!(!informational.is_expected_of(&id("7.13.3")));
    }

    #[test]
    fn racy_case_stands_when_most_repetitions_are_ok() {
        let (ok, lax) = (verdict("OK", "OK"), verdict("NON-STRICT", "OK"));
        let of = |list: &[&Verdict]| list.iter().map(|it| Some((*it).clone())).collect::<Vec<_>>();
        assert!(passes_after_repetitions(&id("5.15"), &lax, &of(&[&ok, &lax, &ok])));
        assert!(!passes_after_repetitions(&id("5.15"), &lax, &of(&[&lax, &lax, &ok])));
        assert!(!passes_after_repetitions(
            &id("5.15"),
            &lax,
            &[Some(ok.clone()), Some(ok.clone()), None]
        ));
    }

    #[test]
    fn racy_case_falls_when_any_run_failed() {
        let (ok, bad) = (verdict("OK", "OK"), verdict("FAILED", "OK"));
        let repetitions = [Some(ok.clone()), Some(bad.clone()), Some(ok.clone())];
        assert!(!passes_after_repetitions(
            &id("3.2"),
            &bad,
            &[Some(ok.clone()), Some(ok.clone()), Some(ok.clone())]
        ));
        assert!(!passes_after_repetitions(&id("3.2"), &verdict("NON-STRICT", "OK"), &repetitions));
    }

    #[test]
    fn other_case_falls_whatever_its_repetitions_say() {
        let ok = Some(verdict("OK", "OK"));
        let lax = verdict("NON-STRICT", "OK");
        assert!(!passes_after_repetitions(&id("6.4.1"), &lax, &[ok.clone(), ok.clone(), ok]));
    }
}
