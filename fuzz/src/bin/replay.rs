//! Runs inputs through the targets without searching for new ones, in a build of any kind.
//!
//! ```text
//! replay                            the corpus, every target
//! replay TARGET                     the corpus of one
//! replay TARGET FILE_OR_FOLDER...   these inputs; SHOW=1 tells what they do
//! replay unpack TARGET FOLDER       the corpus as files, for libFuzzer
//! replay pack TARGET FOLDER         files as the corpus
//! replay verdicts                   on standard input, for against_websockets.py
//! ```

// What is built with coverage needs the runtime that counts it.
#[cfg(feature = "libfuzzer")]
use libfuzzer_sys as _;

use std::{
    env, fs,
    io::{self, Read, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use ws_fuzz::{TARGETS, Target, corpus, is_shown, verdict::verdict};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match *words {
        [] => TARGETS.iter().try_fold(true, |good, &(name, target)| {
            Ok(replay(name, target, corpus::read(name)?) && good)
        }),
        ["unpack", name, folder] => corpus::unpack(name, folder.as_ref()).map(|()| true),
        ["pack", name, folder] => pack(name, folder.as_ref()).map(|()| true),
        ["verdicts"] => verdicts().map(|()| true),
        [name, ref paths @ ..] => one(name, paths),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("replay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn one(name: &str, paths: &[&str]) -> io::Result<bool> {
    let Some(&(name, target)) = TARGETS.iter().find(|(own, _)| *own == name) else {
        let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        return Err(io::Error::other(format!("{name} is none of {}", names.join(", "))));
    };
    let mut inputs = if paths.is_empty() { corpus::read(name)? } else { Vec::new() };
    for path in paths {
        inputs.extend(corpus::files(path.as_ref())?);
    }
    Ok(replay(name, target, inputs))
}

/// Runs all of them, and tells which failed.
fn replay(name: &str, target: Target, inputs: Vec<corpus::Input>) -> bool {
    let (began, mut slowest, mut failed) = (Instant::now(), Duration::ZERO, 0);
    let (mut slow, count) = (String::new(), inputs.len());
    for input in inputs {
        if is_shown() {
            eprintln!("{}", input.name);
        }
        let began = Instant::now();
        if catch_unwind(AssertUnwindSafe(|| target(&input.octets))).is_err() {
            failed += 1;
            tell(name, &input);
        }
        if began.elapsed() > slowest {
            (slowest, slow) = (began.elapsed(), input.name);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let slowest = slowest.as_millis();
    println!(
        "{name}: {count} inputs, {failed} failed; {seconds:.1} s, the slowest {slowest} ms ({slow})"
    );
    failed == 0
}

/// Where a failed input is, as a file.
fn tell(name: &str, input: &corpus::Input) {
    let path = match &input.path {
        Some(path) => path.clone(),
        None => {
            let path = env::temp_dir().join(format!("{name}-{}", input.name));
            if let Err(error) = fs::write(&path, &input.octets) {
                println!("{name} fails; writing {}: {error}", path.display());
            }
            path
        }
    };
    println!("{name} fails with {}", path.display());
    println!("  to repeat it: cargo xtask fuzz {name} --replay {}", path.display());
}

fn pack(name: &str, folder: &Path) -> io::Result<()> {
    let inputs = corpus::files(folder)?;
    let path: PathBuf = corpus::write(name, &inputs)?;
    let octets: usize = inputs.iter().map(|input| input.octets.len()).sum();
    let packed = fs::metadata(&path)?.len();
    println!("{name}: {} inputs of {octets} octets, {packed} packed", inputs.len());
    Ok(())
}

/// Reads sequences of frames, each behind its length in four octets, flags first; prints a line for each.
fn verdicts() -> io::Result<()> {
    let mut octets = Vec::new();
    io::stdin().read_to_end(&mut octets)?;
    let (mut rest, mut out) = (&octets[..], io::stdout().lock());
    while let Some((len, behind)) = rest.split_first_chunk() {
        let Some((case, behind)) = behind.split_at_checked(u32::from_be_bytes(*len) as usize)
        else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if let Some((flags, frames)) = case.split_first() {
            writeln!(out, "{}", verdict(*flags, frames))?;
        }
        rest = behind;
    }
    Ok(())
}
