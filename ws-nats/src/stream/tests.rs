//! Each way in which NATS can be misconfigured, with real servers.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::{
    Credentials, Storage,
    support::{Cluster, Dir, Proxy, Server, Setup, old_nats_server},
};

fn config(server: &Server) -> Config {
    Config::default().servers([server.url()])
}

async fn refused(config: &Config) -> ConnectError {
    match prepare(config).await {
        Ok(prepared) => panic!("{prepared:?} for {config:?}"),
        Err(error) => error,
    }
}

/// What makes the stream otherwise than it has to be, or than it is.
async fn make(server: &Server, change: impl FnOnce(&mut Value)) {
    let mut stream = wanted::stream(&Config::default());
    change(&mut stream);
    let name = stream["name"].as_str().unwrap().to_owned();
    let client = server.client().await;
    let api = Api::new(client, &Config::default());
    api.request(&format!("STREAM.CREATE.{name}"), &stream).await.unwrap();
}

#[tokio::test]
async fn stream_is_made_and_found_again() {
    let Some(server) = Server::start().await else { return };
    let config = config(&server).max_age(Duration::from_secs(3600)).max_bytes(1 << 20);
    let made = prepare(&config).await.unwrap();
    let found = prepare(&config).await.unwrap();
    assert_eq!(made.facts.epoch, found.facts.epoch);
    assert_eq!(found.facts.max_age, Some(Duration::from_secs(3600)));
    assert_eq!(found.facts.messages_per_topic, Some(10_000));
    assert_eq!((found.facts.last_sequence, found.max_payload), (0, 1 << 20));

    let context = server.jetstream().await;
    let stream = context.get_stream("WS").await.unwrap();
    let stored = &stream.cached_info().config;
    assert_eq!(stored.subjects, ["ws.h.>"]);
    assert_eq!(stored.max_bytes, 1 << 20);
    assert_eq!(stored.duplicate_window, Duration::from_secs(120));
    // The check stores nothing, and what is stored is republished.
    let client = server.client().await;
    let mut live = client.subscribe("ws.live.>").await.unwrap();
    crate::support::round_trip(&client).await;
    context.publish("ws.h.a", "x".into()).await.unwrap().await.unwrap();
    assert_eq!(live.next().await.unwrap().subject.as_str(), "ws.live.a");
    let found = prepare(&config).await.unwrap();
    assert_eq!((found.facts.first_sequence, found.facts.last_sequence), (1, 1));
}

#[tokio::test]
async fn unlimited_stream_in_memory_is_made() {
    let Some(server) = Server::start().await else { return };
    let config = config(&server)
        .storage(Storage::Memory)
        .max_age(Duration::MAX)
        .max_bytes(ws_server::UNLIMITED)
        .messages_per_topic(ws_server::UNLIMITED)
        .duplicate_window(Duration::MAX);
    let facts = prepare(&config).await.unwrap().facts;
    assert_eq!((facts.max_age, facts.messages_per_topic, facts.max_message), (None, None, None));
}

#[tokio::test]
async fn stream_made_anew_or_with_another_limit_has_another_epoch() {
    let Some(server) = Server::start().await else { return };
    let config = config(&server);
    let first = prepare(&config).await.unwrap().facts;
    let context = server.jetstream().await;
    let mut stream = context.get_stream("WS").await.unwrap().cached_info().config.clone();
    stream.description = Some("another".to_owned());
    context.update_stream(&stream).await.unwrap();
    let api = Api::new(server.client().await, &config);
    assert_eq!(look(&api, "WS").await.unwrap().epoch, first.epoch);
    stream.max_messages_per_subject = 5;
    context.update_stream(&stream).await.unwrap();
    let limited = look(&api, "WS").await.unwrap();
    assert_ne!(limited.epoch, first.epoch);
    assert_eq!(limited.messages_per_topic, Some(5));
    context.delete_stream("WS").await.unwrap();
    let error = look(&api, "WS").await.unwrap_err();
    assert!(matches!(error, ApiError::JetStream { code: code::NO_STREAM, .. }), "{error:?}");
    assert_ne!(prepare(&config).await.unwrap().facts.epoch, first.epoch);
}

#[tokio::test]
async fn many_nodes_make_one_stream() {
    let Some(server) = Server::start().await else { return };
    let nodes = (1..=8).map(|number| {
        // Each with limits of its own, so that all but one find another's.
        let config = config(&server).messages_per_topic(number);
        async move { prepare(&config).await.unwrap().facts.epoch }
    });
    let epochs = futures_util::future::join_all(nodes).await;
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0]), "{epochs:?}");
}

#[tokio::test]
async fn server_without_jetstream_is_refused() {
    let Some(server) = Server::with(Setup::default().without_jetstream()).await else { return };
    let error = refused(&config(&server)).await;
    assert!(matches!(error, ConnectError::NoJetStream { domain: None }), "{error:?}");
    assert!(error.to_string().contains("`-js`"), "{error}");
}

#[tokio::test]
async fn account_without_jetstream_is_refused() {
    let accounts = "accounts { A { jetstream: enabled, users: [{user: a, password: a}] }, B { users: [{user: b, password: b}] } }";
    let Some(server) = Server::with(Setup::default().text(accounts)).await else { return };
    let error = refused(&config(&server).credentials(Credentials::user("b", "b"))).await;
    assert!(matches!(error, ConnectError::NoJetStreamForAccount), "{error:?}");
    prepare(&config(&server).credentials(Credentials::user("a", "a"))).await.unwrap();
}

#[tokio::test]
async fn domain_that_is_none_is_refused() {
    let Some(server) = Server::with(Setup::default().jetstream("domain: hub")).await else {
        return;
    };
    let error = refused(&config(&server).domain("other")).await;
    assert!(matches!(&error, ConnectError::NoJetStream { domain: Some(name) } if name == "other"));
    assert!(error.to_string().contains("the domain \"other\""), "{error}");
    prepare(&config(&server).domain("hub")).await.unwrap();
}

#[tokio::test]
async fn leaf_reaches_the_stream_in_its_domain() {
    let port = crate::support::free_port();
    let hub = Setup::default()
        .name("hub")
        .jetstream("domain: hub")
        .text(format!("leafnodes {{ listen: \"127.0.0.1:{port}\" }}"));
    let Some(_hub) = Server::with(hub).await else { return };
    let leaf = Setup::default()
        .name("leaf")
        .without_jetstream()
        .text(format!("leafnodes {{ remotes: [{{ url: \"nats://127.0.0.1:{port}\" }}] }}"));
    let leaf = Server::with(leaf).await.unwrap();
    prepare(&config(&leaf).domain("hub")).await.unwrap();
}

#[tokio::test]
async fn stream_that_the_server_has_no_room_for_is_refused() {
    let setup = Setup::default().jetstream("max_file_store: 1MB, max_memory_store: 1MB");
    let Some(server) = Server::with(setup).await else { return };
    for storage in [Storage::File, Storage::Memory] {
        let error = refused(&config(&server).storage(storage)).await;
        assert!(matches!(error, ConnectError::NoRoom { .. }), "{error:?}");
        assert!(error.to_string().contains("Config::max_bytes"), "{error}");
    }
    prepare(&config(&server).max_bytes(1 << 19)).await.unwrap();
}

#[tokio::test]
async fn stream_that_the_account_has_no_room_for_is_refused() {
    for (limits, max_bytes) in [
        ("max_file: 1MB", 1 << 30),
        ("disk_max_stream_bytes: 1MB", 1 << 30),
        ("max_bytes_required: true", ws_server::UNLIMITED),
    ] {
        let accounts = format!(
            "accounts {{ A {{ jetstream {{ {limits} }}, users: [{{user: a, password: a}}] }} }}"
        );
        let Some(server) = Server::with(Setup::default().text(accounts)).await else { return };
        let config = config(&server).credentials(Credentials::user("a", "a"));
        let error = refused(&config.clone().max_bytes(max_bytes)).await;
        assert!(matches!(error, ConnectError::NoRoom { .. }), "{limits}: {error:?}");
        prepare(&config.max_bytes(1 << 19)).await.unwrap();
    }
}

#[tokio::test]
async fn second_stream_of_an_account_with_one_is_refused() {
    let accounts =
        "accounts { A { jetstream { max_streams: 1 }, users: [{user: a, password: a}] } }";
    let Some(server) = Server::with(Setup::default().text(accounts)).await else { return };
    let config = config(&server).credentials(Credentials::user("a", "a"));
    prepare(&config).await.unwrap();
    let error = refused(&config.prefix("other")).await;
    assert!(matches!(error, ConnectError::NoRoom { .. }), "{error:?}");
}

#[tokio::test]
async fn replicas_without_a_cluster_are_refused() {
    let Some(server) = Server::start().await else { return };
    let error = refused(&config(&server).replicas(3)).await;
    assert!(matches!(error, ConnectError::Placement { replicas: 3, .. }), "{error:?}");
    assert!(error.to_string().contains("Config::replicas"), "{error}");
}

#[tokio::test]
async fn stream_is_placed_by_tags_in_a_cluster() {
    let Some(cluster) = Cluster::with(Setup::default().text("server_tags: [ssd]")).await else {
        return;
    };
    let config = Config::default().servers(cluster.urls()).replicas(3).placement_tags(["ssd"]);
    prepare(&config.clone().placement_cluster("test")).await.unwrap();
    let stream = cluster.servers[1].jetstream().await.get_stream("WS").await.unwrap();
    assert_eq!(stream.cached_info().config.num_replicas, 3);

    let error = refused(&config.clone().prefix("a").placement_tags(["tape"])).await;
    assert!(matches!(error, ConnectError::Placement { .. }), "{error:?}");
    let error = refused(&config.clone().prefix("b").placement_cluster("elsewhere")).await;
    assert!(matches!(error, ConnectError::Placement { .. }), "{error:?}");
    let error = refused(&config.prefix("c").replicas(5)).await;
    assert!(matches!(error, ConnectError::Placement { replicas: 5, .. }), "{error:?}");
}

#[tokio::test]
async fn cluster_without_a_majority_gives_no_answer() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let config = Config::default().servers([cluster.servers[0].url()]).replicas(3);
    let config = config.connect_timeout(Duration::from_secs(2));
    prepare(&config).await.unwrap();
    cluster.servers[1].kill();
    cluster.servers[2].kill();
    // The one that is left notices after a while that it leads nobody.
    crate::support::until("a leader steps down", async || match prepare(&config).await {
        Ok(_) => false,
        Err(error) => {
            assert!(matches!(error, ConnectError::NoAnswer { .. }), "{error:?}");
            true
        }
    })
    .await;
}

#[tokio::test]
async fn subjects_of_another_stream_are_refused() {
    let Some(server) = Server::start().await else { return };
    make(&server, |stream| {
        stream["name"] = json!("OTHER");
        stream["subjects"] = json!(["ws.h.room"]);
        stream["republish"] = json!(null);
    })
    .await;
    let error = refused(&config(&server)).await;
    assert!(matches!(error, ConnectError::Overlap { .. }), "{error:?}");
    assert!(error.to_string().contains("Config::prefix"), "{error}");
}

#[tokio::test]
async fn stream_of_another_shape_is_refused_and_its_setting_named() {
    let Some(server) = Server::start().await else { return };
    type Change = fn(&mut Value);
    let cases: [(&str, Change); 13] = [
        ("subjects", |stream| {
            stream["subjects"] = json!(["ws.h.a"]);
            stream["republish"] = json!(null);
        }),
        ("republish", |stream| stream["republish"] = json!(null)),
        ("republish", |stream| stream["republish"]["dest"] = json!("other.>")),
        ("republish", |stream| stream["republish"]["headers_only"] = json!(true)),
        ("retention", |stream| stream["retention"] = json!("interest")),
        ("discard", |stream| stream["discard"] = json!("new")),
        ("allow_direct", |stream| stream["allow_direct"] = json!(false)),
        ("no_ack", |stream| stream["no_ack"] = json!(true)),
        ("subject_transform", |stream| {
            stream["subject_transform"] = json!({ "src": "ws.h.>", "dest": "ws.h.x.>" });
        }),
        ("allow_rollup_hdrs", |stream| stream["allow_rollup_hdrs"] = json!(true)),
        ("allow_msg_ttl", |stream| stream["allow_msg_ttl"] = json!(true)),
        ("allow_msg_counter", |stream| stream["allow_msg_counter"] = json!(true)),
        ("mirror", |stream| {
            stream["mirror"] = json!({ "name": "ORIGIN" });
            stream["subjects"] = json!([]);
            stream["republish"] = json!(null);
        }),
    ];
    make(&server, |stream| {
        stream["name"] = json!("ORIGIN");
        stream["subjects"] = json!(["origin.>"]);
        stream["republish"] = json!(null);
    })
    .await;
    for (named, change) in cases {
        make(&server, change).await;
        let error = refused(&config(&server)).await;
        let text = error.to_string();
        assert!(matches!(error, ConnectError::Shape { setting, .. } if setting == named), "{text}");
        assert!(text.contains("nats stream "), "{text}");
        server.jetstream().await.delete_stream("WS").await.unwrap();
    }
    // Sealing is a change.
    make(&server, |_| {}).await;
    let api = Api::new(server.client().await, &Config::default());
    let mut sealed = wanted::stream(&Config::default());
    sealed["sealed"] = json!(true);
    api.request("STREAM.UPDATE.WS", &sealed).await.unwrap();
    let error = refused(&config(&server)).await;
    assert!(matches!(error, ConnectError::Shape { setting: "sealed", .. }), "{error:?}");
}

#[tokio::test]
async fn stream_with_other_limits_is_taken_as_it_is() {
    let Some(server) = Server::start().await else { return };
    make(&server, |stream| {
        stream["subjects"] = json!(["ws.h.>", "orders.>"]);
        stream["max_age"] = json!(60_000_000_000_i64);
        stream["max_msgs_per_subject"] = json!(3);
        stream["max_msg_size"] = json!(1000);
        stream["storage"] = json!("memory");
        stream["duplicate_window"] = json!(1_000_000_000);
        stream["metadata"] = json!({ "made-by": "an operator" });
    })
    .await;
    let prepared = prepare(&config(&server)).await.unwrap();
    assert_eq!(prepared.facts.max_age, Some(Duration::from_secs(60)));
    assert_eq!(prepared.facts.messages_per_topic, Some(3));
    assert_eq!(prepared.max_payload, 1000);
    // Nothing was changed.
    let stream = server.jetstream().await.get_stream("WS").await.unwrap();
    assert_eq!(stream.cached_info().config.max_messages_per_subject, 3);
}

#[test]
fn limits_that_differ_are_named_for_the_log() {
    let wanted = wanted::stream(&Config::default());
    assert_eq!(shape::other_limits(&wanted, &wanted), [""; 0]);
    let mut found = wanted.clone();
    found["max_age"] = json!(0);
    found["num_replicas"] = json!(3);
    found["storage"] = json!("memory");
    found["persist_mode"] = json!("async");
    assert_eq!(
        shape::other_limits(&found, &wanted),
        [
            "max_age = 0ns instead of 86400s",
            "num_replicas = 3 instead of 1",
            "storage = memory instead of file",
            "persist_mode = async instead of default"
        ]
    );
}

#[tokio::test]
async fn stream_that_an_operator_is_to_make_is_asked_for() {
    let Some(server) = Server::start().await else { return };
    let config = config(&server).create(false).prefix("chat.eu").stream("chat");
    let error = refused(&config).await;
    let ConnectError::NoStream { stream, command } = &error else { panic!("{error:?}") };
    assert_eq!(stream, "chat");
    assert!(command.starts_with("nats stream add chat --subjects 'chat.eu.h.>' "), "{command}");
    assert!(error.to_string().contains(command), "{error}");
    make(&server, |made| {
        *made = wanted::stream(&config);
    })
    .await;
    prepare(&config).await.unwrap();
}

#[tokio::test]
async fn old_server_is_refused() {
    let Some(program) = old_nats_server() else { return };
    let Some(server) = Server::with(Setup::default().program(program)).await else { return };
    let version = server.client().await.server_info().version;
    if !version.starts_with("2.9.") && !version.starts_with("2.10.") {
        // Of another system than Debian 12.
        return;
    }
    let error = refused(&config(&server)).await;
    assert!(
        matches!(&error, ConnectError::TooOld { version: told } if *told == version),
        "{error:?}"
    );
    assert!(error.to_string().contains("2.11"), "{error}");
}

#[tokio::test]
async fn wrong_credentials_are_refused() {
    let setup = Setup::default().text("authorization { user: ann, password: secret }");
    let Some(server) = Server::with(setup).await else { return };
    let config = config(&server);
    for credentials in [
        Credentials::none(),
        Credentials::user("ann", "wrong"),
        Credentials::token("wrong"),
        // A seed that nobody knows.
        Credentials::nkey("SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"),
    ] {
        let error = refused(&config.clone().credentials(credentials)).await;
        assert!(matches!(error, ConnectError::Credentials { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("Config::credentials") && !text.contains("wrong"), "{text}");
    }
    prepare(&config.credentials(Credentials::user("ann", "secret"))).await.unwrap();
}

#[tokio::test]
async fn token_and_nkey_are_taken() {
    for (authorization, credentials) in [
        ("{ token: abc }", Credentials::token("abc")),
        (
            "{ users: [ { nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4 } ] }",
            Credentials::nkey("SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"),
        ),
    ] {
        let setup = Setup::default().text(format!("authorization {authorization}"));
        let Some(server) = Server::with(setup).await else { return };
        prepare(&config(&server).credentials(credentials)).await.unwrap();
    }
}

#[tokio::test]
async fn credentials_that_are_none_name_their_field() {
    let dir = Dir::new();
    let file = dir.write("x.creds", "no credentials");
    for credentials in [Credentials::file(&file), Credentials::text("no credentials")] {
        let error = refused(&Config::default().credentials(credentials)).await;
        assert!(matches!(error, ConnectError::Config { field: "credentials", .. }), "{error:?}");
    }
}

#[tokio::test]
async fn nobody_at_the_address_is_unreachable() {
    let address = format!("127.0.0.1:{}", crate::support::free_port());
    let error = refused(&Config::default().servers([&address])).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&address), "{error}");
    // Not of NATS, and silent.
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::to(server.address()).await;
    proxy.hang();
    let config = Config::default().servers([proxy.url()]);
    let error = refused(&config.connect_timeout(Duration::from_millis(200))).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn second_server_is_tried() {
    let Some(server) = Server::start().await else { return };
    let nobody = format!("127.0.0.1:{}", crate::support::free_port());
    prepare(&Config::default().servers([nobody, server.url()])).await.unwrap();
}

/// An authority, a certificate of 127.0.0.1 and one of a client, as PEM files in a directory.
fn certificates(dir: &Dir) {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    dir.write("ca.pem", authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    for (name, of) in [("server", "127.0.0.1"), ("client", "node.example")] {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([of.to_owned()]).unwrap();
        dir.write(&format!("{name}.pem"), params.signed_by(&key, &issuer).unwrap().pem());
        dir.write(&format!("{name}.key"), key.serialize_pem());
    }
}

#[tokio::test]
async fn tls_is_spoken_and_its_failures_say_so() {
    let (dir, other) = (Dir::new(), Dir::new());
    certificates(&dir);
    certificates(&other);
    let file = |name: &str| dir.path().join(name);
    let tls = |more: &str| {
        Setup::default().text(format!(
            "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, timeout: 5, {more} }}",
            file("server.pem"),
            file("server.key"),
            file("ca.pem")
        ))
    };
    let Some(server) = Server::with(tls("")).await else { return };
    let config = |server: &Server| config(server).tls_roots(file("ca.pem"));
    prepare(&config(&server)).await.unwrap();
    prepare(&config(&server).tls(true)).await.unwrap();
    prepare(&config(&server).servers([format!("tls://{}", server.address())])).await.unwrap();
    // An authority that did not sign it: another one, or those of the system.
    let strangers = config(&server).tls_roots(other.path().join("ca.pem"));
    for config in [strangers, Config::default().servers([server.url()])] {
        let error = refused(&config).await;
        assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
        assert!(error.to_string().contains("Config::tls_roots"), "{error}");
    }

    let verifying = Server::with(tls("verify: true")).await.unwrap();
    let error = refused(&config(&verifying)).await;
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");
    let client = (file("client.pem"), file("client.key"));
    prepare(&config(&verifying).tls_certificate(client.clone())).await.unwrap();

    let first = Server::with(tls("handshake_first: true")).await.unwrap();
    prepare(&config(&first).tls_first(true)).await.unwrap();
    let config_first = config(&first).connect_timeout(Duration::from_millis(500));
    let error = refused(&config_first).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");

    let plain = Server::start().await.unwrap();
    let error = refused(&config(&plain).tls(true)).await;
    assert!(matches!(error, ConnectError::Tls { .. }), "{error:?}");

    // What is no certificate names its field.
    let none = dir.write("none.pem", "none");
    let error = refused(&config(&server).tls_roots(&none)).await;
    assert!(matches!(error, ConnectError::Config { field: "tls_roots", .. }), "{error:?}");
    for pair in [(none.clone(), client.1.clone()), (client.0, none)] {
        let error = refused(&config(&server).tls_certificate(pair)).await;
        assert!(
            matches!(error, ConnectError::Config { field: "tls_certificate", .. }),
            "{error:?}"
        );
    }
}

/// The permissions that the README lists, for the prefix `ws` and the stream `WS`.
const PUBLISH: [&str; 11] = [
    "ws.h.>",
    "ws.e.>",
    "ws.p.>",
    "ws.pq.>",
    "ws.n",
    "ws.c",
    "_INBOX.>",
    "$JS.API.STREAM.INFO.WS",
    "$JS.API.STREAM.MSG.GET.WS",
    "$JS.API.DIRECT.GET.WS",
    "$JS.API.STREAM.CREATE.WS",
];
const SUBSCRIBE: [&str; 7] =
    ["ws.live.>", "ws.e.>", "ws.p.>", "ws.pq.>", "ws.n", "ws.c", "_INBOX.>"];

/// A server whose user may do that alone.
fn permitting(publish: &[&str], subscribe: &[&str]) -> Setup {
    Setup::default().text(format!(
        "authorization {{ users: [ {{ user: ann, password: secret, permissions: {{ publish: {publish:?}, subscribe: {subscribe:?} }} }} ] }}"
    ))
}

fn without<'s>(all: &[&'s str], one: &str) -> Vec<&'s str> {
    all.iter().copied().filter(|subject| *subject != one).collect()
}

#[tokio::test]
async fn permissions_of_the_readme_are_enough() {
    let Some(server) = Server::with(permitting(&PUBLISH, &SUBSCRIBE)).await else { return };
    let config = config(&server).credentials(Credentials::user("ann", "secret"));
    prepare(&config).await.unwrap();
    // Once the stream is there, nobody has to make it.
    let publish = without(&PUBLISH, "$JS.API.STREAM.CREATE.WS");
    server.configure(&permitting(&publish, &SUBSCRIBE));
    server.reload();
    prepare(&config.create(false)).await.unwrap();
}

#[tokio::test]
async fn subject_that_is_not_permitted_is_named() {
    let create = "$JS.API.STREAM.CREATE.WS";
    let setup = permitting(&without(&PUBLISH, create), &SUBSCRIBE);
    let Some(server) = Server::with(setup).await else { return };
    let config = config(&server).credentials(Credentials::user("ann", "secret"));
    // The last permissions may count a little longer.
    let named = async |setup: &Setup, expected: &str, start: &str| {
        server.configure(setup);
        server.reload();
        let is_named = async || match prepare(&config).await {
            Err(ConnectError::Permission { action, subject }) => {
                action == expected && subject.starts_with(start)
            }
            _ => false,
        };
        crate::support::until(&format!("may not {expected} {start}"), is_named).await;
    };
    for missing in [create, "$JS.API.STREAM.INFO.WS"] {
        named(&permitting(&without(&PUBLISH, missing), &SUBSCRIBE), "publish to", missing).await;
    }
    server.configure(&permitting(&PUBLISH, &SUBSCRIBE));
    server.reload();
    crate::support::until("all is permitted", async || prepare(&config).await.is_ok()).await;
    for (missing, asked) in [
        ("$JS.API.STREAM.MSG.GET.WS", "$JS.API.STREAM.MSG.GET.WS"),
        ("$JS.API.DIRECT.GET.WS", "$JS.API.DIRECT.GET.WS"),
        ("ws.h.>", "ws.h.="),
    ] {
        named(&permitting(&without(&PUBLISH, missing), &SUBSCRIBE), "publish to", asked).await;
    }
    for (missing, asked) in [
        ("ws.live.>", "ws.live.="),
        ("ws.e.>", "ws.e.="),
        ("ws.p.>", "ws.p.="),
        ("ws.pq.>", "ws.pq.0000000000000000"),
        ("ws.n", "ws.n"),
        ("ws.c", "ws.c"),
        ("_INBOX.>", "_INBOX."),
    ] {
        named(&permitting(&PUBLISH, &without(&SUBSCRIBE, missing)), "subscribe to", asked).await;
    }
}

#[tokio::test]
async fn inbox_of_another_prefix_is_used() {
    let subscribe = [without(&SUBSCRIBE, "_INBOX.>"), vec!["_INBOX_ann.>"]].concat();
    let publish = [without(&PUBLISH, "_INBOX.>"), vec!["_INBOX_ann.>"]].concat();
    let Some(server) = Server::with(permitting(&publish, &subscribe)).await else { return };
    let config = config(&server).credentials(Credentials::user("ann", "secret"));
    prepare(&config.inbox_prefix("_INBOX_ann")).await.unwrap();
}
