//! Runs libFuzzer, and tells how far it came and what it found.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{build, corpus, make_folder, package, target};
use crate::failure::{Failure, Result};
use crate::process::{Running, tied};
use crate::tally::Tally;
use crate::workspace::Workspace;

/// Progress is printed after this long.
const STILL_THERE: Duration = Duration::from_secs(10);
/// Beyond its time: what reading the corpus and a last slow input may take.
const GRACE: Duration = Duration::from_secs(120);

/// A target that is being searched.
struct Search<'n> {
    name: &'n str,
    fuzzer: Running,
    log: PathBuf,
    ends: Instant,
    told: Instant,
}

/// Searches each target for a time, so many at once; with a seed, the same inputs in the same order
/// every time. A target without a find counts as passed.
pub(super) fn search(
    workspace: &Workspace,
    targets: &[&str],
    time: Duration,
    jobs: usize,
    seed: Option<u32>,
) -> Result<Tally> {
    let mut waiting = targets.iter();
    let mut searches: Vec<Search<'_>> = Vec::new();
    let mut tally = Tally::default();
    loop {
        while searches.len() < jobs
            && let Some(name) = waiting.next()
        {
            searches.push(start(workspace, name, time, seed)?);
        }
        if searches.is_empty() {
            return Ok(tally);
        }
        std::thread::sleep(Duration::from_millis(100));
        let mut at = 0;
        while let Some(search) = searches.get_mut(at) {
            if search.fuzzer.is_running() {
                search.tell();
                if Instant::now() < search.ends + GRACE {
                    at += 1;
                    continue;
                }
            }
            let search = searches.remove(at);
            tally += end(workspace, search)?;
        }
    }
}

fn start<'n>(
    workspace: &Workspace,
    name: &'n str,
    time: Duration,
    seed: Option<u32>,
) -> Result<Search<'n>> {
    let folder = corpus::unpack(workspace, name)?;
    let finds = target(workspace).join("finds").join(name);
    make_folder(&finds)?;
    let log = target(workspace).join(format!("{name}.log"));
    // What an earlier run found is in its folder of finds.
    let _ = fs::remove_file(&log);
    let mut command = tied(build::program(workspace, name)?);
    let dictionary = package(workspace).join(format!("dictionaries/{name}.dict"));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    if let Some(seed) = seed {
        command.arg(format!("-seed={seed}"));
    }
    command
        .arg(&folder)
        .arg(format!("-max_total_time={}", time.as_secs().max(1)))
        .arg(format!("-artifact_prefix={}/", finds.display()))
        .args(["-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .env("RUST_BACKTRACE", "0");
    println!("xtask fuzz: {name}, for {} s", time.as_secs().max(1));
    let fuzzer = Running::start(name, &mut command, Some(&log))?;
    let told = Instant::now();
    Ok(Search { name, fuzzer, log, ends: told + time, told })
}

impl Search<'_> {
    /// Prints how far it is, now and then.
    fn tell(&mut self) {
        if self.told.elapsed() >= STILL_THERE {
            self.told = Instant::now();
            let left = self.ends.saturating_duration_since(self.told).as_secs();
            println!("  {}: {}; {left} s to go", self.name, progress(&text(&self.log)));
        }
    }
}

fn text(log: &PathBuf) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

fn end(workspace: &Workspace, search: Search<'_>) -> Result<Tally> {
    let Search { name, fuzzer, log, .. } = search;
    let status = fuzzer.wait(Instant::now())?;
    let text = text(&log);
    println!("  {name}: {}", progress(&text));
    if status.success() {
        return Ok(Tally { passed: 1, failed: 0 });
    }
    let written = text.lines().find_map(|line| line.split_once("Test unit written to "));
    let Some((_, find)) = written else {
        return Err(Failure::new(
            format!("the search of {name} ended without a find ({status})"),
            format!("see {}", workspace.short(&log)),
        ));
    };
    for line in said(&text) {
        println!("    {line}");
    }
    let find = workspace.short(find.as_ref());
    println!("  {name}: FOUND {find}");
    println!("    to repeat it: cargo xtask fuzz {name} --replay {find}");
    Ok(Tally { passed: 0, failed: 1 })
}

/// `#4096 NEW cov: 12 ft: 34 corp: 5/6b ... exec/s: 78 ...` as `4096 runs, 12 edges, 5 inputs, 78/s`.
fn progress(text: &str) -> String {
    let last = text.lines().rev().find(|line| line.starts_with('#') && line.contains(" cov: "));
    let Some(last) = last else {
        return "reading the corpus".into();
    };
    let field = |name: &str| {
        let (_, rest) = last.split_once(name)?;
        rest.split_whitespace().next()
    };
    // The number of runs in the end is told apart.
    let done = text.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let runs = done.map_or_else(|| field("#").unwrap_or("0"), str::trim);
    let inputs = field("corp: ").and_then(|word| word.split('/').next());
    format!(
        "{runs} runs, {} edges, {} inputs, {}/s",
        field("cov: ").unwrap_or("0"),
        inputs.unwrap_or("0"),
        field("exec/s: ").unwrap_or("0"),
    )
}

/// What the target said when it failed, without libFuzzer's own words.
fn said(text: &str) -> Vec<&str> {
    let from = text.lines().skip_while(|line| !line.contains("panicked at"));
    let panic: Vec<&str> = from.take_while(|line| !line.starts_with("note: ")).take(20).collect();
    if panic.is_empty() {
        return text.lines().filter(|line| line.contains("ERROR: libFuzzer")).collect();
    }
    panic.into_iter().filter(|line| !line.starts_with("==")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_read_from_the_last_line() {
        let text = "INFO: seed\n#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 27Mb\n\
                    #4096\tpulse  cov: 12 ft: 34 corp: 5/6b lim: 4 exec/s: 78 rss: 30Mb\n\tNEW_FUNC[1/1]: 0x1\n";
        assert_eq!(progress(text), "4096 runs, 12 edges, 5 inputs, 78/s");
        let done = format!("{text}stat::number_of_executed_units: 5000\n");
        assert_eq!(progress(&done), "5000 runs, 12 edges, 5 inputs, 78/s");
        assert_eq!(progress("INFO: seed\n"), "reading the corpus");
    }

    #[test]
    fn panic_is_quoted_without_libfuzzers_words() {
        let text = "#1\tINITED\n\nthread '<unnamed>' (1) panicked at src/pair.rs:1:2:\nleft: 1\nnote: run with\n==1== ERROR: libFuzzer: deadly signal\n";
        assert_eq!(said(text), ["thread '<unnamed>' (1) panicked at src/pair.rs:1:2:", "left: 1"]);
        let text = "==1== ERROR: libFuzzer: timeout after 20 seconds\n";
        assert_eq!(said(text), ["==1== ERROR: libFuzzer: timeout after 20 seconds"]);
    }
}
