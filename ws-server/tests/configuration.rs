//! A configuration that cannot work is a typed error when the server starts.
#![allow(clippy::unwrap_used)]

mod gate;

use std::time::Duration;

use gate::with_echo;
use ws_server::{
    ConfigError, HeadLimits, Limits, Route, ServeError, Server, ServerLimits, WebSocket,
};

async fn nothing(_: WebSocket) -> Result<(), ws_server::HandlerError> {
    Ok(())
}

fn mistake(server: Server) -> ConfigError {
    server.service().unwrap_err()
}

#[test]
fn route_added_twice_is_named() {
    let error =
        mistake(Server::new().route("/a", nothing).route("/b", nothing).route("/a", nothing));
    assert_eq!(error, ConfigError::DuplicateRoute { path: "/a".into() });
    assert!(error.to_string().contains("/a"));
}

#[test]
fn route_that_no_request_can_have_is_named() {
    for path in ["", "a", "*", "/a?b", "/a#b", "/a b", "/\u{e9}", "/\r", "/\0", "http://a/"] {
        let error = mistake(Server::new().route(path, nothing));
        assert_eq!(error, ConfigError::RoutePath { path: path.into() });
    }
    for path in ["/", "/a/b", "/%C3%A9", "/a;b=c", "/[x]|\"", "/~", "/a:b", "/2*3"] {
        Server::new().route(path, nothing).service().unwrap();
    }
}

#[test]
fn pattern_that_cannot_be_read_is_told_instead_of_matching_nothing() {
    for path in [
        "/room/:id",
        "/:id/x",
        "/files/*",
        "/*path",
        "/<id>",
        "/{}",
        "/{a}{b}",
        "/{*a}/b",
        "/{a",
        "/a}",
    ] {
        let error = mistake(Server::new().route(path, nothing));
        assert_eq!(error, ConfigError::RoutePattern { path: path.into() });
        assert!(
            error.to_string().contains(path) && error.to_string().contains("{name}"),
            "{error}"
        );
    }
}

#[test]
fn routes_that_match_the_same_paths_are_told() {
    let twice = Server::new().route("/room/{id}", nothing).route("/room/{id}", nothing);
    assert_eq!(mistake(twice), ConfigError::DuplicateRoute { path: "/room/{id}".into() });
    for (first, second) in [("/room/{id}", "/room/{name}"), ("/{*a}", "/{*b}")] {
        let error = mistake(Server::new().route(first, nothing).route(second, nothing));
        let (path, with) = (second.into(), first.into());
        assert_eq!(error, ConfigError::RouteConflict { path, with });
        assert!(error.to_string().contains(first) && error.to_string().contains(second), "{error}");
    }
    // What is written out goes before a parameter.
    let server =
        Server::new().route("/{a}", nothing).route("/x", nothing).route("/{a}/{b}", nothing);
    server.route("/x/{*rest}", nothing).service().unwrap();
}

#[test]
fn mistake_of_a_route_is_told_where_the_server_is_made() {
    let spoken = Route::new(nothing).subprotocols(["a b"]);
    assert!(matches!(mistake(Server::new().route("/", spoken)), ConfigError::Subprotocols(_)));
    let limited = Route::new(nothing).limits(Limits::default().max_message(0));
    let error = mistake(Server::new().any(limited));
    assert_eq!(error, ConfigError::ZeroLimit { field: "Limits::max_message" });
}

#[tokio::test]
async fn server_without_a_handler_does_not_listen() {
    let error = Server::new().bind("127.0.0.1:0").await.unwrap_err();
    assert!(matches!(error, ServeError::Config(ConfigError::NoRoute)), "{error}");
    // Handlers may come with the requests.
    Server::new().service().unwrap();
}

#[test]
fn first_mistake_is_told() {
    let server = Server::new().route("a", nothing).subprotocols(["b c"]);
    assert_eq!(mistake(server), ConfigError::RoutePath { path: "a".into() });
}

#[test]
fn subprotocols_that_cannot_be_are_told() {
    for names in [["a", "a"], ["", "a"], ["a,b", "c"]] {
        let error = mistake(with_echo(Server::new()).subprotocols(names));
        assert!(matches!(error, ConfigError::Subprotocols(_)), "{error}");
    }
}

#[test]
fn hosts_that_are_none_are_a_mistake_in_the_configuration() {
    for hosts in [&["https://a.example"][..], &["a.example", "*.example"], &[]] {
        let error = mistake(with_echo(Server::new()).hosts(hosts));
        assert!(matches!(error, ConfigError::Hosts(_)), "{error}");
    }
}

#[cfg(feature = "deflate")]
#[test]
fn extension_added_twice_is_told() {
    use ws_server::Deflate;
    let error = mistake(
        with_echo(Server::new()).extension(Deflate::default()).extension(Deflate::default()),
    );
    assert!(matches!(error, ConfigError::Extensions(_)));
    assert!(error.to_string().contains("permessage-deflate"), "{error}");
}

#[tokio::test]
async fn mistakes_are_told_by_bind_too() {
    let error = Server::new().route("a", nothing).bind("127.0.0.1:0").await.unwrap_err();
    assert!(matches!(error, ServeError::Config(ConfigError::RoutePath { .. })));
}

#[tokio::test]
async fn address_in_use_is_named() {
    let first = with_echo(Server::new()).bind("127.0.0.1:0").await.unwrap();
    let address = first.local_addr().unwrap();
    let error = with_echo(Server::new()).bind(address).await.unwrap_err();
    let ServeError::Bind { address: named, .. } = &error else { panic!("{error}") };
    assert_eq!(**named, *address.to_string());
    assert!(error.to_string().contains("another port"), "{error}");
    let error = with_echo(Server::new()).bind(address.to_string().as_str()).await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
}

#[tokio::test]
async fn address_that_is_none_is_named_with_an_example() {
    for address in ["nonsense", "127.0.0.1", "127.0.0.1:", ":x"] {
        let error = with_echo(Server::new()).bind(address).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("cannot listen on {address}: ")), "{error}");
        assert!(error.contains("127.0.0.1:9001"), "{error}");
    }
}

macro_rules! limits {
    ($limits:ident: $($field:ident = $zero:expr),* $(,)?) => {
        [$((
            concat!(stringify!($limits), "::", stringify!($field)),
            $limits::default().$field($zero),
        )),*]
    };
}

/// Every field of `ServerLimits` but the head, made zero.
fn zeroed_of_the_server() -> Vec<(&'static str, ServerLimits)> {
    limits![
        ServerLimits:
        max_connections = 0,
        max_per_ip = 0,
        max_pending = 0,
        max_memory = Some(0),
        head_timeout = Duration::ZERO,
        gate_timeout = Duration::ZERO,
        shutdown_spread = Some(Duration::ZERO),
        shutdown_timeout = Duration::ZERO,
    ]
    .into()
}

/// Those of its head.
fn zeroed_heads() -> [(&'static str, ServerLimits); 4] {
    let head = |change: fn(&mut HeadLimits)| {
        let mut limits = ServerLimits::default();
        change(&mut limits.head);
        limits
    };
    [
        ("HeadLimits::max_head", head(|head| head.max_head = 0)),
        ("HeadLimits::max_headers", head(|head| head.max_headers = 0)),
        ("HeadLimits::max_response_headers", head(|head| head.max_response_headers = 0)),
        ("HeadLimits::max_target", head(|head| head.max_target = 0)),
    ]
}

/// Every field of `Limits`, made zero.
fn zeroed() -> Vec<(&'static str, Limits)> {
    let zero = Duration::ZERO;
    limits![
        Limits:
        max_message = 0,
        max_frame = Some(0),
        max_fragments = 0,
        max_empty_fragments = 0,
        message_timeout = zero,
        min_rate = 0,
        progress_timeout = zero,
        control_rate = 0,
        control_burst = 0,
        receive_ahead = 0,
        receive_ahead_messages = 0,
        send_buffer = 0,
        max_send_buffer = 0,
        max_subscriptions = 0,
        max_topic = 0,
        write_timeout = zero,
        min_write_rate = 0,
        ping_interval = zero,
        pong_timeout = zero,
        park_after = zero,
        close_turn = zero,
        close_timeout = zero,
        linger_timeout = zero,
        linger_bytes = 0,
        handler_grace = zero,
    ]
    .into()
}

/// The fields of limits and what they are.
fn fields(limits: &impl std::fmt::Debug) -> Vec<(String, String)> {
    // One that may be lifted is shown over three lines.
    let shown = format!("{limits:#?}").replace("Some(\n", "");
    shown
        .lines()
        .filter_map(|line| line.trim().trim_end_matches(',').split_once(": "))
        // Neither a part nor a mode is a limit.
        .filter(|(_, value)| !value.ends_with('{') && !value.starts_with("false"))
        .map(|(field, value)| (field.to_owned(), value.trim().to_owned()))
        .collect()
}

// RT-57
#[test]
fn rt_57_every_limit_is_finite_and_none_takes_zero_for_unlimited() {
    let (of_server, of_each) = (fields(&ServerLimits::default()), fields(&Limits::default()));
    for (field, value) in of_server.iter().chain(&of_each) {
        match (&**field, &**value) {
            // As large as `max_message` says.
            ("max_frame", "None") => continue,
            // A quarter of what the process may use.
            ("max_memory", "None") => continue,
            _ => {}
        }
        // A duration is shown as `10s` or `50ms`.
        let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: f64 = digits.parse().unwrap_or_else(|_| panic!("{field}: {value}"));
        assert!(number > 0.0 && number < 1e9, "{field}: {value}");
    }
    let (zeroed_of_the_server, zeroed) = (zeroed_of_the_server(), zeroed());
    // Of `head`, four say how much of a list is looked at and one how much of a body is kept: they may
    // be zero.
    assert_eq!(
        of_server.len(),
        zeroed_of_the_server.len() + 4 + 5,
        "one is missing: {of_server:?}"
    );
    assert_eq!(of_each.len(), zeroed.len(), "a field is missing here: {of_each:?}");
    let of_server = zeroed_of_the_server.into_iter().chain(zeroed_heads());
    let of_server = of_server.map(|(field, limits)| (field, Server::new().server_limits(limits)));
    let of_each = zeroed.into_iter().map(|(field, limits)| (field, Server::new().limits(limits)));
    for (field, server) in of_server.chain(of_each) {
        let error = mistake(with_echo(server));
        let ConfigError::ZeroLimit { field: named } = error else { panic!("{error}") };
        assert_eq!(named, field);
        assert!(error.to_string().contains(field));
    }
}

#[test]
fn send_buffers_have_an_order() {
    let mut limits = Limits::default();
    limits.max_send_buffer = limits.send_buffer - 1;
    assert_eq!(mistake(with_echo(Server::new()).limits(limits)), ConfigError::SendBuffers);
}

// The largest values are no overflow.
#[tokio::test(start_paused = true)]
async fn limits_can_be_lifted() {
    use tokio::io::AsyncWriteExt;
    use ws_server::{Peer, UNLIMITED};
    let (mut limits, mut of_server) = (Limits::default(), ServerLimits::default());
    for time in [
        &mut of_server.head_timeout,
        &mut of_server.shutdown_timeout,
        &mut limits.message_timeout,
        &mut limits.progress_timeout,
        &mut limits.write_timeout,
        &mut limits.ping_interval,
        &mut limits.pong_timeout,
        &mut limits.park_after,
        &mut limits.close_turn,
        &mut limits.close_timeout,
        &mut limits.linger_timeout,
        &mut limits.handler_grace,
    ] {
        *time = Duration::MAX;
    }
    for size in [
        &mut of_server.max_connections,
        &mut of_server.max_per_ip,
        &mut of_server.max_pending,
        &mut of_server.head.max_head,
        &mut of_server.head.max_headers,
        &mut of_server.head.max_response_headers,
        &mut of_server.head.max_refusal_body,
        &mut of_server.head.max_target,
        &mut limits.max_message,
        &mut limits.max_fragments,
        &mut limits.max_empty_fragments,
        &mut limits.min_rate,
        &mut limits.control_rate,
        &mut limits.control_burst,
        &mut limits.receive_ahead,
        &mut limits.receive_ahead_messages,
        &mut limits.send_buffer,
        &mut limits.max_send_buffer,
        &mut limits.linger_bytes,
        &mut limits.min_write_rate,
    ] {
        *size = UNLIMITED;
    }
    let service =
        with_echo(Server::new().limits(limits).server_limits(of_server)).service().unwrap();
    let (mut client, _end) = gate::connect(&service, Peer::Other);
    client.write_all(gate::upgrade("/echo", "").as_bytes()).await.unwrap();
    assert!(gate::read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
    client.write_all(&gate::masked(0x81, b"hi")).await.unwrap();
    assert_eq!(gate::read_exactly(&mut client, 4).await, gate::frame(0x81, b"hi"));
    client.write_all(&gate::masked(0x88, b"\x03\xe8")).await.unwrap();
    assert_eq!(gate::read_exactly(&mut client, 4).await, gate::frame(0x88, b"\x03\xe8"));
}
