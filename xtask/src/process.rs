//! Child processes that never outlive this one: each is stopped by its id, however this one ends.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Result};

/// A running child whose standard output is read line by line. Dropping it kills it.
pub(crate) struct Running {
    what: String,
    child: Child,
    lines: Receiver<String>,
}

/// A command that the kernel kills when this process dies, if `setpriv` (util-linux) is installed.
///
/// Drop covers every ordinary exit, and ctrl-C reaches the whole process group; this covers SIGKILL
/// and SIGTERM. It is tied to the thread that starts the child, so children are started from the
/// main thread.
pub(crate) fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut words = tied_words(program);
    let mut command = Command::new(words.remove(0));
    command.args(words);
    command
}

/// The words of [`tied`], for a script that starts the program itself.
pub(crate) fn tied_words(program: impl AsRef<OsStr>) -> Vec<std::ffi::OsString> {
    let program = program.as_ref().to_owned();
    if cfg!(target_os = "linux") && find_program("setpriv") {
        vec!["setpriv".into(), "--pdeathsig".into(), "KILL".into(), "--".into(), program]
    } else {
        vec![program]
    }
}

/// Whether `PATH` contains this program.
pub(crate) fn find_program(name: &str) -> bool {
    program_path(name).is_some()
}

/// The path of a program in `PATH`.
pub(crate) fn program_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = [name.to_owned(), format!("{name}{}", std::env::consts::EXE_SUFFIX)];
    std::env::split_paths(&path)
        .flat_map(|dir| names.each_ref().map(|name| dir.join(name)))
        .find(|file| file.is_file())
}

impl Running {
    /// Starts `command` without standard input. Its standard error goes to `log`, or is passed on
    /// without one.
    pub(crate) fn start(what: &str, command: &mut Command, log: Option<&Path>) -> Result<Self> {
        let stderr = match log {
            Some(path) => File::options()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|error| Failure::system(format!("opening {}", path.display()), &error))?
                .into(),
            None => Stdio::inherit(),
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|error| Failure::system(format!("starting {what}"), &error))?;
        let (sender, lines) = channel();
        if let Some(stdout) = child.stdout.take() {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stdout);
                let mut line = Vec::new();
                while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    if sender.send(text).is_err() {
                        break;
                    }
                    line.clear();
                }
            });
        }
        Ok(Running { what: what.to_owned(), child, lines })
    }

    /// The next line of output; `None` when it has ended.
    pub(crate) fn line(&self, deadline: Instant) -> Result<Option<String>> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(Failure::new(
                format!("{} made no progress in time and was stopped", self.what),
                "see its log; on a slow machine, raise the deadline in xtask",
            )),
        }
    }

    /// Waits for the line `listening on ADDRESS` and returns the address.
    pub(crate) fn address(&self) -> Result<String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while let Some(line) = self.line(deadline)? {
            if let Some(address) = line.strip_prefix("listening on ") {
                return Ok(address.to_owned());
            }
        }
        Err(Failure::new(
            format!("{} ended before it printed `listening on ADDRESS`", self.what),
            "run it by hand to see why; its output is above or in the log",
        ))
    }

    /// Waits for its end; at the deadline it is killed, which is a failure.
    pub(crate) fn wait(mut self, deadline: Instant) -> Result<ExitStatus> {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Ok(status),
                Ok(None) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(None) => {
                    return Err(Failure::new(
                        format!("{} did not end in time and was stopped", self.what),
                        "see its log",
                    ));
                }
                Err(error) => {
                    return Err(Failure::system(format!("waiting for {}", self.what), &error));
                }
            }
        }
    }

    /// The id of the process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only for a child that has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs `command` to its end with its output passed on; any status but success is a failure.
pub(crate) fn run(what: &str, command: &mut Command, mend: &str) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| Failure::system(format!("starting {what}"), &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("{what} failed ({status})"), mend))
    }
}
