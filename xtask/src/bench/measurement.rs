//! One measurement: a new server process, a new load process, and its result.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::build::Programs;
use super::case::{Case, Kind, Mode};
use super::cores::Cores;
use super::server::Server;
use crate::failure::{Failure, Result};
use crate::process::Running;

/// An estimate for starting and stopping.
pub(crate) const OVERHEAD: Duration = Duration::from_millis(150);

/// An estimate for opening idle connections and sending over them.
pub(crate) const IDLE_OVERHEAD: Duration = Duration::from_secs(4);

/// The time that a server has to accept connections.
const START: Duration = Duration::from_secs(20);

/// The time that the load has in addition to its own.
const PATIENCE: Duration = Duration::from_secs(60);

/// Memory samples before the messages, and after.
pub(crate) const LOOKS: [u32; 2] = [2, 2];

/// How long connections with deflate rest after messages, so that memory is given back that a
/// server gives back late: ours parks its extensions after 10 s. The same for every server.
const DEFLATE_REST: Duration = Duration::from_secs(12);

pub(crate) struct Measurement {
    pub(crate) cores: Cores,
    pub(crate) warm_up: Duration,
    pub(crate) seconds: Duration,
    /// How long idle connections rest before their memory is sampled; with deflate, they rest
    /// longer after messages.
    pub(crate) rest: Duration,
    pub(crate) programs: Programs,
    /// The directory for the servers' error output.
    pub(crate) logs: PathBuf,
}

impl Measurement {
    /// An estimate for one measurement.
    pub(crate) fn takes(&self, case: &Case) -> Duration {
        let (warm_up, seconds) = self.times(case);
        match case.kind {
            Kind::Idle { .. } => {
                LOOKS[0] * warm_up + LOOKS[1] * self.rest_after(case) + IDLE_OVERHEAD
            }
            _ => warm_up + seconds + OVERHEAD,
        }
    }

    /// The times for the load: the delay before the measurement or each sample, and its length.
    fn times(&self, case: &Case) -> (Duration, Duration) {
        match case.kind {
            Kind::Idle { .. } => (self.rest, self.seconds),
            Kind::Mixed { seconds } => (self.warm_up, Duration::from_secs(seconds)),
            _ => (self.warm_up, self.seconds),
        }
    }

    fn rest_after(&self, case: &Case) -> Duration {
        match case.mode() {
            Mode::Deflate => DEFLATE_REST.max(self.rest),
            Mode::Echo | Mode::Broadcast => self.rest,
        }
    }

    /// Runs the load and returns its result, an object of JSON.
    pub(crate) fn run(&self, server: &Server, case: &Case) -> Result<Value> {
        let log = self.logs.join(format!("{}.log", server.name));
        let port = free_port()?;
        let words = self.programs.words(server, port, case);
        let mut command = self.cores.server(&words);
        let mut running = Running::start(&server.name, &mut command, Some(&log))?;
        wait_for(&mut running, server, port, &words)?;

        let load_log = self.logs.join("load.log");
        let complaints_before = fs::read_to_string(&load_log).unwrap_or_default().len();
        let mut words = vec![self.programs.load.to_string_lossy().into_owned()];
        words.extend(case.words());
        let mut say = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        let (warm_up, seconds) = self.times(case);
        say("port", port.to_string());
        say("warm-up", warm_up.as_secs_f64().to_string());
        say("rest", self.rest_after(case).as_secs_f64().to_string());
        say("seconds", seconds.as_secs_f64().to_string());
        say("server-pid", running.id().to_string());
        if server.is_raw() {
            words.push("--raw".to_owned());
        }
        let load = Running::start("the load", &mut self.cores.load(&words), Some(&load_log))?;
        let deadline = Instant::now() + self.takes(case) + PATIENCE;
        let line = load.line(deadline)?;
        let status = load.wait(deadline)?;
        if status.success()
            && let Some(answer) = line.and_then(|line| serde_json::from_str(&line).ok())
        {
            return Ok(answer);
        }
        let complaints = fs::read_to_string(&load_log).unwrap_or_default();
        let complaint = complaints.get(complaints_before..).unwrap_or_default().trim();
        let died = if running.is_running() { "" } else { "; the server has ended" };
        Err(Failure::new(
            format!("{}: {}{died}", server.name, complaint.trim_start_matches("ws-load: ")),
            format!("its output is in {}; the load was `{}`", log.display(), words.join(" ")),
        ))
    }
}

pub(crate) fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address
        .map(|address| address.port())
        .map_err(|error| Failure::system("looking for a free port", &error))
}

pub(crate) fn wait_for(
    running: &mut Running,
    server: &Server,
    port: u16,
    words: &[String],
) -> Result<()> {
    let deadline = Instant::now() + START;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        let what = if !running.is_running() {
            "ended before it listened"
        } else if Instant::now() > deadline {
            "did not listen in time"
        } else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        return Err(Failure::new(
            format!("{} {what} on port {port}", server.name),
            format!("run `{}` by hand", words.join(" ")),
        ));
    }
    Ok(())
}
