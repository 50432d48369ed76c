//! One measurement: a new process of the server, one of the load, and its answer.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::build::Programs;
use super::case::Case;
use super::cores::Cores;
use super::server::Server;
use crate::failure::{Failure, Result};
use crate::process::Running;

/// About what starting and stopping takes.
pub(crate) const OVERHEAD: Duration = Duration::from_millis(100);

/// For a server to take connections, and for the load beyond its own time.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Measurement {
    pub(crate) cores: Cores,
    pub(crate) warm_up: Duration,
    pub(crate) seconds: Duration,
    pub(crate) programs: Programs,
}

impl Measurement {
    /// What the load says, which is one object of JSON.
    pub(crate) fn run(&self, server: &Server, case: &Case) -> Result<Value> {
        let port = free_port()?;
        let words = self.programs.words(server, port);
        let mut command = self.cores.server(&words);
        let mut running = Running::start(&server.name, &mut command, None)?;
        wait_for(&mut running, server, port, &words)?;

        let mut words = vec![self.programs.load.to_string_lossy().into_owned()];
        let mut say = |name: &str, value: String| words.extend([format!("--{name}"), value]);
        say("port", port.to_string());
        say("size", case.size.to_string());
        say("connections", case.connections.to_string());
        say("depth", case.depth.to_string());
        say("warm-up", self.warm_up.as_secs_f64().to_string());
        say("seconds", self.seconds.as_secs_f64().to_string());
        say("server-pid", running.id().to_string());
        if server.is_raw() {
            words.push("--raw".to_owned());
        }
        let load = Running::start("the load", &mut self.cores.load(&words), None)?;
        let deadline = Instant::now() + self.warm_up + self.seconds + PATIENCE;
        let line = load.line(deadline)?;
        let status = load.wait(deadline)?;
        let answer = line.and_then(|line| serde_json::from_str(&line).ok());
        match answer {
            Some(answer) if status.success() => Ok(answer),
            _ => Err(Failure::new(
                format!("the load on {} failed ({status}) in {case}, see above", server.name),
                "start the server by hand, and `target/release/ws-load --port PORT` beside it",
            )),
        }
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    address
        .map(|address| address.port())
        .map_err(|error| Failure::system("looking for a free port", &error))
}

fn wait_for(running: &mut Running, server: &Server, port: u16, words: &[String]) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        let what = if !running.is_running() {
            "ended"
        } else if Instant::now() > deadline {
            "did not listen in its time"
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
