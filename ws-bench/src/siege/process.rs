//! What Linux knows about the server: CPU time, memory, and what waits in its sockets.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use crate::load::Usage;

/// The CPU time of a process, of user and system.
pub(super) fn cpu(process: u32) -> Option<Duration> {
    Usage::of(&process.to_string()).map(|usage| usage.running)
}

/// The resident memory of a process, in octets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Memory {
    pub(super) resident: u64,
    /// The most since the start or since [`forget_peak`].
    pub(super) peak: u64,
}

impl Memory {
    pub(super) fn of(process: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
    }

    fn parse(status: &str) -> Option<Self> {
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let octets =
            |name| Some(1024 * line(name)?.split_whitespace().next()?.parse::<u64>().ok()?);
        Some(Self { resident: octets("VmRSS:")?, peak: octets("VmHWM:")? })
    }
}

/// Lets the peak begin anew. Where that is not allowed, it is that of the whole life.
pub(super) fn forget_peak(process: u32) {
    let _ = fs::write(format!("/proc/{process}/clear_refs"), "5");
}

/// What is in the sockets of a server and its clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Queues {
    /// Sent by clients, and not read by the server.
    pub(super) unread: u64,
    /// In the server's own sockets, in both directions.
    pub(super) of_the_server: u64,
}

impl Queues {
    /// Of the server that listens at `address`; over IPv4 alone.
    pub(super) fn of(address: SocketAddr) -> Option<Self> {
        fs::read_to_string("/proc/net/tcp").ok().map(|table| Self::parse(&table, address.port()))
    }

    /// Columns: number, local address, remote address, state, `tx_queue:rx_queue`, in hexadecimal.
    fn parse(table: &str, port: u16) -> Self {
        const LISTENING: &str = "0A";
        let port = format!(":{port:04X}");
        let mut queues = Self { unread: 0, of_the_server: 0 };
        for line in table.lines().skip(1) {
            let columns: Vec<&str> = line.split_whitespace().take(5).collect();
            let [_, local, remote, state, waiting] = columns[..] else { continue };
            let Some((sent, received)) = waiting.split_once(':') else { continue };
            let octets = |hex| u64::from_str_radix(hex, 16).unwrap_or_default();
            if state == LISTENING {
                // Its queue counts connections.
            } else if local.ends_with(&port) {
                queues.unread += octets(received);
                queues.of_the_server += octets(sent) + octets(received);
            } else if remote.ends_with(&port) {
                queues.unread += octets(sent);
            }
        }
        queues
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_that_of_the_status() {
        let status = "Name:\ta\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n";
        let memory = Memory { resident: 1 << 20, peak: 2 << 20 };
        assert_eq!(Memory::parse(status), Some(memory));
        assert_eq!(Memory::parse("VmRSS: 1 kB"), None);
    }

    #[test]
    fn queues_are_those_of_both_ends() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when
   0: 0100007F:2329 00000000:0000 0A 00000000:00000080 00:00000000
   1: 0100007F:2329 0100427F:8000 01 00000010:00000020 00:00000000
   2: 0100427F:8000 0100007F:2329 01 00000003:00000400 00:00000000
   3: 0100007F:0050 0100427F:8001 01 00000100:00000100 00:00000000";
        assert_eq!(Queues::parse(table, 9001), Queues { unread: 0x23, of_the_server: 0x30 });
    }
}
