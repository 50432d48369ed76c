//! The example `demo` as a program: where it cannot listen, and what it answers.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used)]

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Output, Stdio},
    sync::OnceLock,
};

/// Built by cargo, because `cargo test NAME` builds no examples and would leave us an old one.
///
/// With the features of the whole workspace, for which the dependencies are built already.
const BUILD: [&str; 7] =
    ["build", "--quiet", "--offline", "--all-features", "--workspace", "--example", "demo"];

fn demo() -> Command {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    Command::new(PROGRAM.get_or_init(|| {
        let built = Command::new(env::var_os("CARGO").unwrap()).args(BUILD).status().unwrap();
        assert!(built.success());
        // target/debug/deps/demo-HASH is this test.
        let test = env::current_exe().unwrap();
        let target = test.parent().and_then(Path::parent).unwrap();
        target.join(format!("examples/demo{}", env::consts::EXE_SUFFIX))
    }))
}

fn refused(listen: &str) -> String {
    let Output { status, stderr, stdout } = demo().args(["--listen", listen]).output().unwrap();
    assert!(!status.success());
    assert!(stdout.is_empty(), "{}", String::from_utf8_lossy(&stdout));
    String::from_utf8(stderr).unwrap()
}

#[test]
fn busy_port_is_named_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let said = refused(&taken.local_addr().unwrap().to_string());
    assert!(said.contains("another program uses this port"), "{said}");
    assert!(said.contains("--listen 127.0.0.1:0"), "{said}");
}

#[test]
fn address_that_is_none_is_named_with_what_to_do() {
    for listen in ["nonsense", "127.0.0.1", "127.0.0.1:port", "192.0.2.1:9001"] {
        let said = refused(listen);
        assert!(said.contains(&format!("cannot listen on {listen}")), "{said}");
        assert!(said.contains("127.0.0.1"), "{said}");
    }
}

#[test]
fn unknown_flag_is_named() {
    let Output { status, stderr, .. } = demo().arg("--port").output().unwrap();
    assert_eq!(status.code(), Some(2));
    assert!(String::from_utf8(stderr).unwrap().contains("--port"));
}

/// A running one, killed in the end.
struct Running {
    child: Child,
    address: String,
    /// Open as long as it runs, since it may print.
    _output: BufReader<ChildStdout>,
}

impl Running {
    fn start() -> Self {
        let mut command = demo();
        command.args(["--listen", "127.0.0.1:0", "--quiet"]).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("listening on ").unwrap().to_owned();
        Self { child, address, _output: output }
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn page_comes_with_a_policy_that_lets_it_run_only_what_it_brings() {
    let demo = Running::start();
    let page = demo.get("/");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    assert!(
        page.contains("content-security-policy: default-src 'none'; script-src 'sha256-")
            || page.contains("Content-Security-Policy: default-src 'none'; script-src 'sha256-")
    );
    assert!(page.trim_end().ends_with("</html>"));
    for from_elsewhere in ["http://", "https://"] {
        let body = page.split("\r\n\r\n").nth(1).unwrap();
        let named = body.replace("http://www.w3.org/", "");
        assert!(!named.contains(from_elsewhere), "{from_elsewhere} in the page");
    }
}

#[test]
fn other_plain_requests_are_told_where_to_go() {
    let demo = Running::start();
    assert!(demo.get("/nowhere").starts_with("HTTP/1.1 404 "));
    let metrics = demo.get("/metrics");
    assert!(metrics.starts_with("HTTP/1.1 200 "), "{metrics}");
    assert!(metrics.contains("\nwebsocket_connections 0\n"), "{metrics}");
    let answer = demo.get("/echo");
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
    assert!(answer.contains("use a WebSocket client"), "{answer}");
}
