//! Which hosts a server answers for (RFC 9110 §15.5.20).
#![allow(clippy::unwrap_used)]

mod support;

use support::{HOST, REQUEST, inspect, replacing, serve, serve_with};
use ws_handshake::{AcceptOptions, Cause, Hosts, HostsError};

fn status(hosts: &Hosts, host: &str) -> u16 {
    let request = replacing(HOST, &format!("Host: {host}\r\nOrigin: http://{host}"));
    // As far as the origin is concerned each of them is the server's own.
    assert_eq!(serve(&request).status, 101, "{host}");
    let reply = serve_with(&request, &AcceptOptions::default().hosts(hosts.clone()));
    if reply.status != 101 {
        reply.assert_rejected(421);
        assert_eq!(
            reply.body(),
            "this server does not answer for this host: if it should, add the host to .hosts([..])\n"
        );
    }
    reply.status
}

// R6455-10.2-a, R9110-15.5.20-a, D-15, T-B10
#[test]
fn dns_rebinding_is_answered_with_421() {
    let hosts = Hosts::new(["chat.example", "localhost", "127.0.0.1", "[::1]"]).unwrap();
    for host in [
        "chat.example",
        "CHAT.example",
        "chat.example:9001",
        "localhost:9001",
        "127.0.0.1",
        "127.0.0.1:9001",
        "[::1]",
        "[0:0:0::1]:9001",
    ] {
        assert_eq!(status(&hosts, host), 101, "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:9001",
        "chat.example.evil.example",
        "x.chat.example",
        "evilchat.example",
        "chat.example.",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "127.1",
        "[::2]",
        "[::ffff:127.0.0.1]",
        "local%68ost",
    ] {
        assert_eq!(status(&hosts, host), 421, "{host}");
    }
}

#[test]
fn entry_with_a_port_stands_for_that_port() {
    let hosts = Hosts::new(["a.example:9001", "b.example:443", "[::1]:80"]).unwrap();
    for host in ["a.example:9001", "b.example", "b.example:443", "[::1]", "[::1]:80"] {
        assert_eq!(status(&hosts, host), 101, "{host}");
    }
    for host in ["a.example", "a.example:443", "a.example:9002", "b.example:80", "[::1]:443"] {
        assert_eq!(status(&hosts, host), 421, "{host}");
    }
}

// RFC 9112 §3.2.2
#[test]
fn host_of_an_absolute_target_is_what_counts() {
    let hosts = Hosts::new(["server.example.com"]).unwrap();
    let options = || AcceptOptions::default().hosts(hosts.clone());
    for (target, status) in [("http://server.example.com/x", 101), ("http://evil.example/x", 421)] {
        let request = REQUEST.replacen("GET /chat HTTP/1.1", &format!("GET {target} HTTP/1.1"), 1);
        assert_eq!(serve_with(request.as_bytes(), &options()).status, status);
    }
}

#[test]
fn gate_may_ask_for_the_host_before_it_works() {
    let upgrade = inspect(REQUEST.as_bytes()).unwrap();
    let rejection = upgrade.check_host(&Hosts::new(["a.example"]).unwrap()).unwrap_err();
    assert_eq!((rejection.status().as_u16(), rejection.cause()), (421, Cause::OtherHost));
    assert!(upgrade.check_host(&Hosts::new(["server.example.com"]).unwrap()).is_ok());
}

#[test]
fn list_takes_nothing_but_hosts() {
    for host in ["", "https://a.example", "a.example/", "*.example", "*", "a b", "a:0", "::1"] {
        let error = Hosts::new(["a.example", host]).unwrap_err();
        assert_eq!(error, HostsError::Host(host.into()));
        assert!(error.to_string().contains(&format!("{host:?}")), "{error}");
    }
    assert_eq!(Hosts::new([""; 0]), Err(HostsError::Empty));
}
