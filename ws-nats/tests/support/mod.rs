//! NATS servers for tests: each has a free loopback port and a directory of its own, and is stopped
//! when it is dropped.
//!
//! They need the program `nats-server` 2.11 or newer, by its path in `WS_NATS_SERVER`, which
//! `cargo xtask test` installs and sets. Without it a test says that it did not run, and passes:
//!
//! ```ignore
//! #[tokio::test]
//! async fn something_is_observed() {
//!     let Some(server) = Server::start().await else { return };
//!     let client = server.client().await;
//! }
//! ```
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod dir;
mod port;
mod proxy;
mod server;
mod setup;

pub(crate) use self::{
    cluster::Cluster,
    dir::Dir,
    port::free as free_port,
    proxy::{Direction, Proxy},
    server::{Server, tied},
    setup::Setup,
};

use std::{
    env,
    io::{Write, stderr},
    path::PathBuf,
    thread,
    time::Duration,
};

use futures_util::StreamExt;

/// Far longer than anything takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The path of nats-server. Without one, this says that the running test does not run, and how it
/// would.
pub(crate) fn nats_server() -> Option<PathBuf> {
    let how = "`WS_NATS_SERVER=PATH cargo test -p ws-nats`, where `cargo xtask nats-server` prints the PATH";
    program("WS_NATS_SERVER", "nats-server 2.11 or newer", how)
}

/// As [`nats_server`], one that is too old.
pub(crate) fn old_nats_server() -> Option<PathBuf> {
    let how = "`WS_NATS_OLD_SERVER=PATH cargo test -p ws-nats`";
    program("WS_NATS_OLD_SERVER", "a nats-server older than 2.11", how)
}

fn program(variable: &str, what: &str, how: &str) -> Option<PathBuf> {
    if let Some(path) = env::var_os(variable).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "{variable} names {}, which is no file", path.display());
        return Some(path);
    }
    let thread = thread::current();
    let test = thread.name().unwrap_or("a test");
    // Not by a macro: that output is shown for failed tests alone.
    let _ = writeln!(stderr(), "NOT RUN: {test}: needs {what}. Run `cargo xtask test`, or {how}",);
    None
}

/// Waits until the server has done all that `client` asked before, subscriptions for example.
pub(crate) async fn round_trip(client: &async_nats::Client) {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.unwrap();
    client.publish(inbox, "".into()).await.unwrap();
    let answer = tokio::time::timeout(LONG, answers.next()).await;
    assert!(answer.is_ok_and(|message| message.is_some()), "the server is gone");
}

/// Polls `ready` until it is true. Panics with `what` after a [`LONG`] time.
pub(crate) async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(LONG, async {
        while !ready().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "in vain: {what}");
}
