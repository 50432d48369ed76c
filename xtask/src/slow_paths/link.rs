//! A server and a client in their own network namespaces, and the link between them.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::cell::Cell;
use super::programs::Programs;
use crate::failure::{Failure, Result};
use crate::process::{Running, run, tied};

/// The addresses of the ends. Every pair of namespaces has its own.
const SERVER: &str = "10.99.0.1";
const CLIENT: &str = "10.99.0.2";
const PORT: u16 = 9001;

/// The default of most Linux systems; this one may differ.
const CONGESTION_CONTROL: &str = "cubic";

/// A server, a relay and a client, which end when this is dropped, with their namespaces and
/// devices.
pub(super) struct Link {
    pub(super) server: Running,
    pub(super) client: Running,
    _relay: Running,
}

impl Link {
    /// Starts all three for `cell`; `index` makes the names of its devices unique.
    pub(super) fn start(
        programs: &Programs,
        cell: &Cell,
        index: usize,
        log: &Path,
    ) -> Result<Self> {
        let devices = ["s", "c"].map(|end| format!("slow{index}{end}"));
        let mut relay = tied(&programs.python);
        relay.arg(&programs.relay).arg("--devices").args(&devices);
        for (name, value) in cell.path.words() {
            relay.arg(name).arg(value);
        }
        let relay = Running::start("the relay", &mut relay, Some(log))?;
        expect(&relay, "ready")?;

        let mut server = apart(&programs.server);
        server.arg(format!("0.0.0.0:{PORT}"));
        let server = Running::start("the server", &mut server, Some(log))?;
        server.address()?;

        let mut client = apart(&programs.client);
        client.arg(format!("{SERVER}:{PORT}")).args(cell.client_words());
        let client = Running::start("the client", &mut client, Some(log))?;
        expect(&client, "ready")?;

        attach(&devices[0], server.id(), SERVER)?;
        attach(&devices[1], client.id(), CLIENT)?;
        Ok(Link { server, client, _relay: relay })
    }

    /// The bytes that the server's kernel holds for the client: unsent, or sent but unacknowledged.
    pub(super) fn held_by_kernel(&self) -> u64 {
        let path = format!("/proc/{}/net/tcp", self.server.id());
        fs::read_to_string(path).map_or(0, |table| send_queues(&table))
    }
}

/// A command in its own network namespace; its process id is that of the program.
fn apart(program: &Path) -> Command {
    let mut command = tied("unshare");
    command.args(["--net", "--"]).arg(program);
    command
}

/// Moves `device` into the namespace of the process and gives it `address`.
fn attach(device: &str, process: u32, address: &str) -> Result<()> {
    let process = process.to_string();
    let mend = "run `cargo xtask slow-paths` as root, on a kernel with TUN and network namespaces";
    let mut link = Command::new("ip");
    run("ip link set", link.args(["link", "set", device, "netns", &process]), mend)?;
    let script = format!(
        "ip address add {address}/24 dev {device}; ip link set {device} up; \
         ip route replace 10.99.0.0/24 dev {device} congctl {CONGESTION_CONTROL}"
    );
    let mut inside = Command::new("nsenter");
    inside.args(["--net", "--target", &process, "sh", "-euc", &script]);
    run("setting up a device", &mut inside, mend)
}

fn expect(running: &Running, line: &str) -> Result<()> {
    match running.line(Instant::now() + Duration::from_secs(30))? {
        Some(said) if said == line => Ok(()),
        said => Err(Failure::new(
            format!("the program printed {said:?} instead of {line:?}"),
            "see the log of the cell in target/slow-paths",
        )),
    }
}

/// The send queues of the connections in a table like `/proc/net/tcp`.
fn send_queues(table: &str) -> u64 {
    let queue = |line: &str| {
        let mut fields = line.split_whitespace().skip(3);
        let state = fields.next()?;
        // The queues of a listener have another meaning.
        let (queue, _) = fields.next().filter(|_| state != "0A")?.split_once(':')?;
        u64::from_str_radix(queue, 16).ok()
    };
    table.lines().skip(1).filter_map(queue).sum()
}

/// Returns an error if this machine cannot do it.
pub(super) fn check() -> Result<()> {
    let cannot = |why: &str| {
        Failure::new(
            format!("slow-paths needs network namespaces and TUN devices, but {why}"),
            "run it on Linux as root",
        )
    };
    if !cfg!(target_os = "linux") {
        return Err(cannot("this is not Linux"));
    }
    match fs::File::options().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(cannot("there is no /dev/net/tun"));
        }
        Err(error) => return Err(cannot(&format!("opening /dev/net/tun failed: {error}"))),
    }
    let tried = Command::new("unshare").args(["--net", "--", "true"]).output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(cannot(String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(cannot(&format!("unshare (util-linux) does not start: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn send_queues_of_connections_are_summed_and_those_of_listeners_are_not() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n\
             0: 00000000:2329 00000000:0000 0A 00000007:00000000 00:00000000\n\
             1: 0100630A:2329 0200630A:C0DE 01 00010000:00000000 01:00000014\n\
             2: 0100630A:2329 0200630A:C0DF 04 0000000A:00000000 01:00000014\n";
        assert_eq!(send_queues(table), 0x10000 + 10);
    }
}
