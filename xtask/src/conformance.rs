//! `cargo xtask conformance`: Autobahn against every subject, as server and as client.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::autobahn::{Index, Run, Suite};
use crate::failure::{Failure, Result};
use crate::stages::Stages;
use crate::subject::{End, Ends, Program, SUBJECTS, Subject};
use crate::tally::Tally;
use crate::tools;
use crate::verdict::{CaseId, Verdict, passes_after_repetitions};
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Run only these cases: ids or the suite's patterns, quoted ('6.4.1' '6.*')
    #[arg(long, num_args = 1.., value_name = "PATTERN")]
    cases: Vec<String>,
    /// Test the subject only as server, under the suite's fuzzing client
    #[arg(long, conflicts_with = "client_only")]
    server_only: bool,
    /// Test the subject only as client of the suite's fuzzing server
    #[arg(long)]
    client_only: bool,
    /// Only this subject: own_io, own_io_deflate, demo and axum_echo (servers), client
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// Messages in each compression case; the suite's own number is 1000
    #[arg(long, value_name = "N")]
    deflate_count: Option<u32>,
    /// Run this program instead of the examples that are both ends, which are then not built; with
    /// --subject, instead of that one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

impl Options {
    /// All cases, with fewer messages than the suite's own number.
    pub(crate) fn everything() -> Self {
        Options {
            cases: vec![],
            server_only: false,
            client_only: false,
            subject: None,
            deflate_count: Some(50),
            binary: None,
        }
    }

    /// The requested ends of `subject`.
    fn ends(&self, subject: &Subject) -> Vec<End> {
        let asked = |end: &End| match end {
            End::Server => !self.client_only,
            End::Client => !self.server_only,
        };
        let ends = [End::Server, End::Client].into_iter();
        ends.filter(|end| subject.ends.has(*end)).filter(asked).collect()
    }

    /// The options that determine how long a run takes.
    fn variant(&self) -> String {
        format!(" {:?} {}", self.deflate_count, self.cases.join(" "))
    }

    /// Whether `subject` is requested.
    fn wants(&self, subject: &Subject) -> bool {
        match &self.subject {
            Some(name) => name == subject.name,
            None => self.binary.is_none() || subject.ends == Ends::Both,
        }
    }
}

/// The number of times that an unexpected case is repeated.
const REPETITIONS: usize = 3;
/// Beyond this many unexpected cases the fault lies elsewhere, and repetitions prove nothing.
const TOO_MANY: usize = 40;

pub(crate) fn conformance(workspace: &Workspace, options: &Options) -> Result<Tally> {
    let suite = Suite { wstest: tools::wstest(workspace)?, deflate_count: options.deflate_count };
    let out = fresh_directory(workspace)?;
    let runs: Vec<(&Subject, End)> = SUBJECTS
        .iter()
        .filter(|subject| options.wants(subject))
        .flat_map(|subject| options.ends(subject).into_iter().map(move |end| (subject, end)))
        .collect();
    let names: Vec<String> = runs.iter().map(|(subject, end)| run_name(subject, *end)).collect();
    // A run with 1000 messages takes about seven minutes, with 50 half a minute.
    let seconds = options
        .cases
        .is_empty()
        .then(|| 25.0 + 0.4 * f64::from(options.deflate_count.unwrap_or(1000)));
    let names: Vec<(&str, Option<f64>)> = names.iter().map(|name| (&**name, seconds)).collect();
    let mut stages = Stages::new(workspace, "conformance", &options.variant(), &names);
    let mut total = Tally::default();
    for (subject, end) in runs {
        total += stages.run(|| {
            let cases = select(&suite, subject, options, &out)?;
            let program =
                subject.build(workspace, options.binary.as_deref())?.with_autobahn_limits();
            judge(workspace, &suite, subject, &program, end, &cases, &out)
        })?;
    }
    if total == Tally::default() {
        let names: Vec<&str> = SUBJECTS.iter().map(|subject| subject.name).collect();
        return Err(Failure::new(
            "no subject was run",
            format!("the subjects are: {}", names.join(", ")),
        ));
    }
    Ok(total)
}

fn run_name(subject: &Subject, end: End) -> String {
    match end {
        End::Server => format!("{}-as-server", subject.name),
        End::Client => format!("{}-as-client", subject.name),
    }
}

/// The subject's cases, or the requested ones among them.
fn select(suite: &Suite, subject: &Subject, options: &Options, out: &Path) -> Result<Vec<CaseId>> {
    let patterns: Vec<String> = subject.cases.iter().map(ToString::to_string).collect();
    let mut cases = suite.list(&patterns, out)?;
    if cases.len() != subject.count {
        return Err(Failure::new(
            format!(
                "the suite has {} cases for {}, not {}",
                cases.len(),
                subject.name,
                subject.count
            ),
            "remove target/tools/autobahn and run again, or correct `count` in xtask/src/subject.rs",
        ));
    }
    if !options.cases.is_empty() {
        let asked = suite.list(&options.cases, out)?;
        cases.retain(|case| asked.contains(case));
    }
    if cases.is_empty() {
        return Err(Failure::new(
            format!("{} does not run the cases {}", subject.name, options.cases.join(" ")),
            format!("it runs {}", subject.cases.join(" ")),
        ));
    }
    Ok(cases)
}

fn judge(
    workspace: &Workspace,
    suite: &Suite,
    subject: &Subject,
    program: &Program,
    end: End,
    cases: &[CaseId],
    out: &Path,
) -> Result<Tally> {
    let started = Instant::now();
    let name = run_name(subject, end);
    let peer = match end {
        End::Server => "fuzzingclient",
        End::Client => "fuzzingserver",
    };
    println!("conformance: {name}, {} cases, against wstest -m {peer}", cases.len());
    let run = |cases: &[CaseId], outdir: PathBuf| {
        suite.run(&Run { agent: subject.name, program, end, cases, outdir })
    };
    let index = run(cases, out.join(&name))?;

    let strangers: Vec<String> =
        index.keys().filter(|id| !cases.contains(id)).map(ToString::to_string).collect();
    if !strangers.is_empty() {
        return Err(Failure::new(
            format!("the report contains cases that did not run: {}", strangers.join(" ")),
            format!("see {}", out.join(&name).display()),
        ));
    }
    let unexpected: Vec<CaseId> = cases
        .iter()
        .filter(|case| !index.get(case).is_some_and(|verdict| verdict.is_expected_of(case)))
        .cloned()
        .collect();
    let mut failed = unexpected.len();
    if unexpected.len() > TOO_MANY {
        println!("  {} unexpected verdicts; too many to repeat", unexpected.len());
        for case in &unexpected {
            println!("  case {case}: {}", shown(index.get(case)));
        }
    } else if !unexpected.is_empty() {
        println!("  unexpected: {}; repeating", joined(&unexpected));
        let mut rounds = Vec::new();
        for round in 1..=REPETITIONS {
            rounds.push(run(&unexpected, out.join(format!("{name}-again-{round}")))?);
        }
        for case in &unexpected {
            let repeated: Vec<Option<Verdict>> =
                rounds.iter().map(|round| round.get(case).cloned()).collect();
            let kept = index
                .get(case)
                .is_some_and(|first| passes_after_repetitions(case, first, &repeated));
            let shown_again: Vec<String> =
                repeated.iter().map(|verdict| shown(verdict.as_ref())).collect();
            println!(
                "  case {case}: {}; again: {}: {}",
                shown(index.get(case)),
                shown_again.join(", "),
                if kept { "passed (a racy case, OK in most repetitions)" } else { "FAILED" },
            );
            failed -= usize::from(kept);
        }
    }
    println!(
        "  {name}: {} of {} cases: {}; close: {}; {failed} failed; {:.1} s; reports in {}",
        index.len(),
        cases.len(),
        counts(&index, |verdict| &verdict.behavior),
        counts(&index, |verdict| &verdict.behavior_close),
        started.elapsed().as_secs_f64(),
        workspace.short(&out.join(&name)),
    );
    Ok(Tally { passed: cases.len() - failed, failed })
}

fn shown(verdict: Option<&Verdict>) -> String {
    verdict.map_or_else(|| "no verdict".to_owned(), ToString::to_string)
}

fn joined(cases: &[CaseId]) -> String {
    cases.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn counts<'i>(index: &'i Index, of: impl Fn(&'i Verdict) -> &'i String) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for verdict in index.values() {
        *counts.entry(of(verdict)).or_default() += 1;
    }
    counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
}

fn fresh_directory(workspace: &Workspace) -> Result<PathBuf> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let name = format!("{seconds}-{}", std::process::id());
    let dir = workspace.target.join("conformance").join(name);
    fs::create_dir_all(&dir)
        .map_err(|error| Failure::system(format!("creating {}", dir.display()), &error))?;
    Ok(dir)
}
