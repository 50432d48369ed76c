//! What is no valid opening handshake for a route is answered and closed.
#![allow(clippy::unwrap_used)]

mod gate;

use gate::{ask, connect, exchange, read_all, read_head, spawn, status, upgrade, with_echo};
use http::{HeaderValue, Method, Response, StatusCode};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use ws_server::{Bytes, OriginPolicy, Peer, Server};

const PLAIN: &str = "GET / HTTP/1.1\r\nHost: server.example\r\n\r\n";
const PLAIN_ON_ROUTE: &str = "GET /echo HTTP/1.1\r\nHost: server.example\r\n\r\n";

// D-1, RT-06, RT-12
#[tokio::test]
async fn rt_06_upgrade_on_a_path_without_a_route_gets_404() {
    let address = spawn(with_echo(Server::new()));
    let targets =
        ["/", "/ech", "/echo/", "/Echo", "/%65cho", "//echo", "/echo;x", "http://server.example/x"];
    for target in targets {
        let answer = ask(address, &upgrade(target, "")).await;
        assert_eq!(status(&answer), 404, "{target}: {answer}");
    }
    // The server lives.
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(upgrade("/echo", "").as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));
}

// RT-12: the same rules whatever the form of the target.
#[tokio::test]
async fn rt_12_absolute_form_and_query_reach_the_same_route() {
    let address = spawn(with_echo(Server::new()));
    for target in ["http://server.example/echo", "/echo?a=b", "http://server.example/echo?a=b"] {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(upgrade(target, "").as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "), "{target}");
        let refused = ask(address, &upgrade(target, "Origin: http://evil.example\r\n")).await;
        assert_eq!(status(&refused), 403, "{target}");
    }
}

// D-2, D-3, RT-06
#[tokio::test]
async fn rt_06_plain_request_gets_426_on_a_route_and_404_elsewhere() {
    let address = spawn(with_echo(Server::new()));
    let answer = ask(address, PLAIN_ON_ROUTE).await;
    assert_eq!(status(&answer), 426);
    assert!(answer.contains("\r\nSec-WebSocket-Version: 13\r\n"));
    assert!(answer.contains("\r\nUpgrade: websocket\r\n"));
    assert!(answer.contains("\r\nConnection: Upgrade, close\r\n"));
    assert_eq!(status(&ask(address, PLAIN).await), 404);
    for token in ["notupgrade", "websocketx", "xwebsocket", "h2c"] {
        let request =
            upgrade("/echo", "").replace("Upgrade: websocket", &format!("Upgrade: {token}"));
        assert_eq!(status(&ask(address, &request).await), 426, "{token}");
    }
}

// T-B25: a page chooses target, body and some headers, and none that begins with `Sec-`.
#[tokio::test]
async fn page_that_posts_to_the_port_gets_no_101_and_is_cut_off() {
    let address = spawn(with_echo(Server::new()));
    let hidden = upgrade("/echo", "");
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let post = format!(
        "POST /echo HTTP/1.1\r\nHost: server.example\r\nOrigin: https://evil.example\r\n\
         Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    let cases = [
        (405, post.clone()),
        (426, post.replace("POST ", "GET ")),
        (400, hidden.replace(key, "")),
        (400, hidden.replace(version, "")),
        (400, hidden.replace(key, "").replace(version, "")),
    ];
    for (expected, request) in cases {
        let answer = ask(address, &request).await;
        assert_eq!(status(&answer), expected, "{request}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "the body is no request: {answer}");
    }
}

// D-1, D-15
#[tokio::test]
async fn each_fault_has_its_status() {
    let address = spawn(with_echo(Server::new()));
    let good = upgrade("/echo", "");
    let cases = [
        (405, good.replace("GET ", "POST ")),
        (403, upgrade("/echo", "Origin: https://evil.example\r\n")),
        (403, upgrade("/echo", "Origin: null\r\n")),
        (400, good.replace("Sec-WebSocket-Key: dGhl", "Sec-WebSocket-Key: dGh")),
        (400, good.replace("HTTP/1.1", "HTTP/1.0")),
        (400, good.replace("Host: server.example\r\n", "")),
        (400, upgrade("/echo", "Content-Length: 5\r\n")),
        (426, good.replace("Version: 13", "Version: 8")),
        (431, upgrade("/echo", &format!("X: {}\r\n", "x".repeat(16 * 1024)))),
        (431, upgrade("/echo", &"X: y\r\n".repeat(64))),
        (414, upgrade(&format!("/{}", "x".repeat(8 * 1024)), "")),
        (505, good.replace("HTTP/1.1", "HTTP/3.0")),
        (400, "\u{16}\u{3}\u{1}\u{2}\r\n\r\n".into()),
    ];
    for (expected, request) in cases {
        let answer = ask(address, &request).await;
        assert_eq!(status(&answer), expected, "{:.200}", request);
    }
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let address = spawn(with_echo(Server::new()));
    for path in ["/echo", "/nothing"] {
        let answer = ask(address, &format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

// D-13, R6455-x-early, RT-09
#[tokio::test]
async fn rt_09_octets_behind_the_head_are_refused_and_never_answered() {
    let address = spawn(with_echo(Server::new()));
    let second = upgrade("/echo", "");
    for behind in [second.as_str(), PLAIN, "\u{1}", "\r\n"] {
        let answer = ask(address, &(upgrade("/echo", "") + behind)).await;
        assert_eq!(status(&answer), 400, "{behind:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1);
    }
    // Behind a refusal, and later.
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all((PLAIN_ON_ROUTE.to_owned() + PLAIN).as_bytes()).await.unwrap();
    let refused = read_head(&mut client).await;
    assert!(refused.starts_with("HTTP/1.1 426"));
    let rest = exchange(&mut client, &second).await;
    assert_eq!(rest, "Upgrade must list websocket\n");
}

// RT-12: the policy is the application's, the missing Origin of an allow list included.
#[tokio::test]
async fn origin_policy_replaces_the_default() {
    let listed = OriginPolicy::allow(["https://app.example"]).unwrap();
    let service = with_echo(Server::new()).origin(listed).service().unwrap();
    for (origin, expected) in [
        ("Origin: https://app.example\r\n", "101"),
        ("Origin: https://server.example\r\n", "403"),
        ("", "403"),
    ] {
        let (mut client, _) = connect(&service, Peer::Other);
        client.write_all(upgrade("/echo", origin).as_bytes()).await.unwrap();
        assert_eq!(&read_head(&mut client).await[9..12], expected, "{origin}");
    }
}

// R6455-10.2-a, RT-45: D-15, of native clients too.
#[tokio::test]
async fn rt_45_client_that_sends_its_own_url_as_origin_connects() {
    let address = spawn(with_echo(Server::new()));
    for origin in ["ws://server.example", "wss://server.example/", "http://server.example"] {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = upgrade("/echo", &format!("Origin: {origin}\r\n"));
        client.write_all(request.as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "), "{origin}");
    }
}

// T-B10
#[tokio::test]
async fn requests_for_other_hosts_get_421_plain_ones_too() {
    let server =
        with_echo(Server::new()).fallback(page).hosts(["server.example", "localhost:9001"]);
    let address = spawn(server);
    let to = |request: &str, host: &str| request.replacen("server.example", host, 1);
    for host in ["evil.example", "localhost", "localhost:80", "server.example.evil.example"] {
        for request in [upgrade("/echo", &format!("Origin: http://{host}\r\n")), PLAIN.into()] {
            let answer = ask(address, &to(&request, host)).await;
            assert_eq!(status(&answer), 421, "{host}: {answer}");
        }
    }
    for request in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n"] {
        assert_eq!(status(&ask(address, request).await), 421, "{request}");
    }
    let absolute = "GET http://evil.example/ HTTP/1.1\r\nHost: server.example\r\n\r\n";
    assert_eq!(status(&ask(address, absolute).await), 421);
    for host in ["server.example", "Server.Example:8080", "localhost:9001"] {
        assert_eq!(status(&ask(address, &to(PLAIN, host)).await), 200, "{host}");
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(to(&upgrade("/echo", ""), host).as_bytes()).await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "), "{host}");
    }
}

// R6455-10.1-a: who writes a header can write any.
#[tokio::test]
async fn forged_origin_opens_nothing_that_would_be_closed_without() {
    let address = spawn(with_echo(Server::new()));
    let forged = "Origin: http://server.example\r\n";
    for origin in ["", forged] {
        assert_eq!(status(&ask(address, &upgrade("/secret", origin)).await), 404);
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let request = upgrade("/echo", origin).replace(key, "");
        assert_eq!(status(&ask(address, &request).await), 400);
    }
}

fn page(request: &http::Request<()>, peer: Peer) -> Response<Bytes> {
    let answer = |status, body: &str| {
        let mut response = Response::new(Bytes::copy_from_slice(body.as_bytes()));
        *response.status_mut() = status;
        response
    };
    match request.uri().path() {
        "/" => answer(StatusCode::OK, &format!("{} {peer}", request.method())),
        "/none" => answer(StatusCode::NO_CONTENT, "left out"),
        "/101" => answer(StatusCode::SWITCHING_PROTOCOLS, ""),
        "/panic" => panic!("as the test wants it"),
        _ => answer(StatusCode::NOT_FOUND, "no page"),
    }
}

fn ask_plain(method: &Method, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: server.example\r\n\r\n")
}

#[tokio::test]
async fn fallback_answers_plain_requests_on_every_path() {
    let service = with_echo(Server::new()).fallback(page).service().unwrap();
    let answer = async |request: &str| {
        let (mut client, end) = connect(&service, Peer::Unix);
        let answer = exchange(&mut client, request).await;
        drop(client);
        assert!(end.await.unwrap().is_none());
        answer
    };
    assert_eq!(
        answer(&ask_plain(&Method::GET, "/")).await,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 8\r\n\r\nGET unix"
    );
    assert_eq!(
        answer(&ask_plain(&Method::HEAD, "/")).await,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\n"
    );
    assert_eq!(
        answer(&ask_plain(&Method::GET, "/none")).await,
        "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(status(&answer(&ask_plain(&Method::GET, "/echo")).await), 404);
    // What is not the application's to answer.
    assert_eq!(status(&answer(&upgrade("/", "")).await), 404);
    assert_eq!(status(&answer("GET / HTTP/1.1\r\n\r\n").await), 400);
    assert_eq!(status(&answer("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").await), 400);
    // An old client has no Host, and gets its page.
    assert_eq!(status(&answer("GET / HTTP/1.0\r\n\r\n").await), 200);
}

#[tokio::test]
async fn fallback_that_panics_or_gives_no_final_answer_costs_a_500() {
    let service = with_echo(Server::new()).fallback(page).service().unwrap();
    for path in ["/panic", "/101", "/panic"] {
        let (mut client, _) = connect(&service, Peer::Other);
        let answer = exchange(&mut client, &ask_plain(&Method::GET, path)).await;
        assert_eq!(status(&answer), 500, "{path}");
    }
}

#[tokio::test]
async fn fallback_cannot_frame_its_answer_otherwise() {
    let service = with_echo(Server::new())
        .fallback(|_, _| {
            let mut response = Response::new(Bytes::from_static(b"four"));
            for (name, value) in [
                ("connection", "keep-alive"),
                ("content-length", "9"),
                ("transfer-encoding", "chunked"),
            ] {
                response.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            response
        })
        .service()
        .unwrap();
    let (mut client, _) = connect(&service, Peer::Other);
    let answer = exchange(&mut client, PLAIN).await;
    let mut lines: Vec<&str> = answer.split("\r\n").collect();
    lines.sort_unstable();
    assert_eq!(lines, ["", "Connection: close", "Content-Length: 4", "HTTP/1.1 200 OK", "four"]);
}

// R6455-7.2.2-a
#[tokio::test]
async fn client_that_leaves_in_its_handshake_is_no_error() {
    let (log, _guard) = gate::Log::capture();
    let service = with_echo(Server::new()).service().unwrap();
    for sent in ["", "GET / HT"] {
        let (mut client, end) = connect(&service, Peer::Other);
        client.write_all(sent.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut client).await, "");
        assert!(end.await.unwrap().is_none());
    }
    assert!(!log.text().contains("ERROR") && !log.text().contains("WARN"), "{}", log.text());
}

#[cfg(unix)]
#[tokio::test]
async fn unix_socket_is_served_like_any_other() {
    let path = std::env::temp_dir().join(format!("ws-server-{}.sock", std::process::id()));
    let server = with_echo(Server::new()).bind_unix(&path).unwrap();
    assert_eq!(server.local_addr(), None);
    let taken = with_echo(Server::new()).bind_unix(&path).unwrap_err().to_string();
    assert!(taken.contains(path.to_str().unwrap()) && taken.contains("remove the file"), "{taken}");
    tokio::spawn(server.serve());
    let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(status(&exchange(&mut client, PLAIN_ON_ROUTE).await), 426);
}
