//! The README as a newcomer meets it: its listings are the examples, are as short as it says, and
//! do what they should when they are pasted into a crate that has the README's dependencies.
//!
//! A listing lies in its example between `// ANCHOR: NAME` and `// ANCHOR_END: NAME`.

#[path = "readme/client.rs"]
mod client;
#[path = "readme/newcomer.rs"]
mod newcomer;

use std::{
    fs,
    path::{Path, PathBuf},
};

use client::{CLOSE, Client, PING, PONG, RSV2, TEXT};
use newcomer::Program;

struct Listing {
    example: &'static str,
    name: &'static str,
    /// The most lines that it may have. Every line counts that is not blank: `use`, comments and
    /// lone brackets too.
    lines: usize,
}

const LISTINGS: [Listing; 4] = [
    Listing { example: "ws-server/examples/echo.rs", name: "echo", lines: 10 },
    Listing { example: "ws-server/examples/chat.rs", name: "chat", lines: 30 },
    Listing { example: "ws-handshake/examples/own_io.rs", name: "own_io", lines: 25 },
    Listing { example: "ws-server/examples/custom_extension.rs", name: "extension", lines: 40 },
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The text between the anchors of a listing.
fn listing(listing: &Listing) -> String {
    let source = read(listing.example);
    let (_, rest) =
        source.split_once(&format!("// ANCHOR: {}\n", listing.name)).expect("an anchor");
    let (text, _) =
        rest.split_once(&format!("// ANCHOR_END: {}\n", listing.name)).expect("its end");
    text.to_owned()
}

/// The code blocks of the README in `language`.
fn blocks(language: &str) -> Vec<String> {
    let readme = read("README.md");
    let fenced = readme.split("```").skip(1).step_by(2);
    fenced
        .filter_map(|block| block.split_once('\n'))
        .filter(|(info, _)| info.split(',').next() == Some(language))
        .map(|(_, text)| text.to_owned())
        .collect()
}

#[test]
fn listings_are_those_of_the_examples() {
    let listings: Vec<String> = LISTINGS.iter().map(listing).collect();
    assert_eq!(blocks("rust"), listings, "the README shows what lies between the anchors");
}

#[test]
fn listings_are_as_short_as_promised() {
    for each in &LISTINGS {
        let lines = listing(each).lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines <= each.lines, "{} has {lines} lines, not {}", each.example, each.lines);
    }
}

#[test]
fn pasted_echo_echoes() {
    // It has no room for an option: its port is exchanged in the text.
    let server = Program::start_on_its_port("echo");
    let (mut client, _) = Client::open(&server.address, "/", "");
    client.send(TEXT, b"hello");
    assert_eq!(client.frame(), (TEXT, b"hello".to_vec()));
    client.send(PING, b"still there?");
    assert_eq!(client.frame(), (PONG, b"still there?".to_vec()));
    client.close();
}

#[test]
fn pasted_chat_passes_messages_on() {
    let server = Program::start("chat", &["127.0.0.1:0"]);
    let (mut ann, _) = Client::open(&server.address, "/chat", "");
    ann.expect(TEXT, "guest 1 came");
    let (mut bob, _) = Client::open(&server.address, "/chat", "");
    for guest in [&mut ann, &mut bob] {
        guest.expect(TEXT, "guest 2 came");
    }
    ann.send(TEXT, b"hello");
    for guest in [&mut ann, &mut bob] {
        guest.expect(TEXT, "guest 1: hello");
    }
    ann.close();
    bob.expect(TEXT, "guest 1 left");
}

#[test]
fn pasted_extension_is_negotiated_and_transforms() {
    let server = Program::start("custom_extension", &["127.0.0.1:0"]);
    let scrambled: Vec<u8> = b"hello".iter().map(|octet| !octet).collect();
    let offer = "Sec-WebSocket-Extensions: x-scramble\r\n";
    let (mut client, head) = Client::open(&server.address, "/", offer);
    assert!(head.contains("\r\nsec-websocket-extensions: x-scramble\r\n"), "{head}");
    client.send(TEXT | RSV2, &scrambled);
    assert_eq!(client.frame(), (TEXT | RSV2, scrambled));
    client.close();

    for offer in ["", "Sec-WebSocket-Extensions: x-scramble; level=9\r\n"] {
        let (mut client, head) = Client::open(&server.address, "/", offer);
        assert!(!head.contains("x-scramble"), "{head}");
        client.send(TEXT, b"hello");
        client.expect(TEXT, "hello");
        // Nobody claimed the bit.
        client.send(TEXT | RSV2, b"hello");
        let (first, body) = client.frame();
        assert_eq!((first, &body[..2]), (CLOSE, &1002_u16.to_be_bytes()[..]));
    }
}

#[test]
fn pasted_own_io_echoes() {
    let server = Program::start("own_io", &["server", "127.0.0.1:0"]);
    let (mut client, _) = Client::open(&server.address, "/", "");
    client.send(TEXT, b"hello");
    client.expect(TEXT, "hello");
    client.close();
}
