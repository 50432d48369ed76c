//! The example `client`, as a process, against a server of ours.
#![cfg(all(feature = "client", feature = "deflate"))]
#![allow(clippy::unwrap_used)]

mod support;

use std::{env, path::Path, time::Duration};

use support::echo;
use tokio::{process::Command, time::timeout};
use ws_server::Server;

/// Built by cargo, because `cargo test NAME` builds no examples and would leave us an old one.
///
/// With the features of the whole workspace, for which the dependencies are built already.
const BUILD: [&str; 7] =
    ["build", "--quiet", "--offline", "--all-features", "--workspace", "--example", "client"];

#[tokio::test]
async fn client_prints_the_answers_to_its_messages_and_closes() {
    let server = Server::new().any(echo).bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", server.local_addr().unwrap());
    tokio::spawn(server.serve());

    let built = Command::new(env::var_os("CARGO").unwrap()).args(BUILD).status().await.unwrap();
    assert!(built.success());
    // target/debug/deps/client_example-HASH is this test.
    let test = env::current_exe().unwrap();
    let target = test.parent().and_then(Path::parent).unwrap();
    let example = target.join(format!("examples/client{}", env::consts::EXE_SUFFIX));
    let mut client = Command::new(example);
    client.args([url.as_str(), "hello", "once more"]).kill_on_drop(true);
    let output = timeout(Duration::from_secs(600), client.output()).await.unwrap().unwrap();

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        "text: hello\ntext: once more\nclosed by Local: 1000 \n"
    );
}
