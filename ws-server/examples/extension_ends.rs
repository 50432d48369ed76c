//! An extension of one's own at both ends, beside compression: in the server and the client of this
//! crate, and by hand over `ws-handshake`. These are listings of the guide of `ws_core::extension`.
//!
//! ```text
//! $ cargo run --features client --example extension_ends
//! agreed on permessage-deflate; server_max_window_bits=12; client_max_window_bits=12, x-scramble
//! x-scramble; level=9: declined: parameter level: unknown
//! x-scramble: taken as x-scramble
//! x-stamp: unknown here
//! permessage-deflate: not offered by the client
//! ```

#[path = "custom_extension.rs"]
#[allow(dead_code)]
mod custom_extension;

use custom_extension::Scramble as XScramble;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("agreed on {}", both_ends().await?);
    println!("{}", why_not()?);
    // A fixed nonce suffices in memory; on a network it must be random.
    by_hand([7; 16]).map(drop)
}

// ANCHOR: both_ends
use std::error::Error;
use ws_server::{Connect, Deflate, Message, Server, WebSocket};

async fn both_ends() -> Result<String, Box<dyn Error>> {
    let echo = |mut ws: WebSocket| async move {
        while let Some(message) = ws.recv().await {
            ws.send(message).await?;
        }
        Ok(())
    };
    let server = Server::new()
        .extension(Deflate::default()) // nearer to the application: it compresses first
        .extension(XScramble) // nearer to the wire
        .any(echo)
        .bind("127.0.0.1:0")
        .await?;
    let url = format!("ws://{}/", server.local_addr().ok_or("no address")?);
    tokio::spawn(server.serve());

    let mut ws = Connect::new(&url)
        .extension(Deflate::default())
        .extension(XScramble)
        .require("x-scramble") // without it: an error here, 1010 there
        .connect()
        .await?;
    ws.send("hello").await?;
    assert_eq!(ws.recv().await, Some(Message::text("hello")));
    Ok(ws.request().extensions().unwrap_or("nothing").to_owned())
}
// ANCHOR_END: both_ends

#[allow(unreachable_pub)]
mod hands {
    use super::XScramble;

    // ANCHOR: by_hand
    use std::error::Error;
    use ws_core::{Config, Connection, Role};
    use ws_handshake::{AcceptOptions, ClientOptions, ExtensionSet, Upgrade};
    use ws_server::Deflate; // or of `ws_ext_deflate`

    /// Both ends of one connection. `nonce` must be random, as must a real client's masking keys.
    pub fn by_hand(nonce: [u8; 16]) -> Result<(Connection, Connection), Box<dyn Error>> {
        let set = ExtensionSet::new().with(Deflate::default())?.with(XScramble)?;
        // The client's request.
        let client = ClientOptions::new("ws://localhost/".parse()?).extensions(set.clone());
        let handshake = client.require("x-scramble").handshake(nonce)?;
        // The server's answer, a 101 even if it declines extensions.
        let options = AcceptOptions::default().extensions(set);
        let accepted = Upgrade::inspect(handshake.request())?.accept(&options)?;
        let answer = accepted.response();
        let server = Connection::new(Role::Server, Config::default(), accepted.extensions);
        // The client again.
        let connected = handshake.verify(&answer)?;
        if let Some((code, reason)) = connected.close_if_missing() {
            return Err(format!("closed with {code}: {reason}").into());
        }
        let keys = Role::client(|| [0; 4]);
        let client = Connection::new(keys, Config::default(), connected.extensions);
        Ok((client, server))
    }
    // ANCHOR_END: by_hand
}
use hands::by_hand;

fn why_not() -> Result<String, Box<dyn Error>> {
    // ANCHOR: why_not
    use ws_handshake::{ExtensionSet, Limits, parse_extensions};
    use ws_server::Deflate; // or of `ws_ext_deflate`

    let set = ExtensionSet::new().with(Deflate::default())?.with(XScramble)?;
    let offers = b"x-scramble; level=9, x-scramble, x-stamp";
    let offers = parse_extensions([&offers[..]], &Limits::default())?;
    let report = set.negotiate(offers).report.to_string();
    // ANCHOR_END: why_not
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_ends_agree_on_compression_and_the_extension() {
        let agreed = both_ends().await.unwrap();
        assert!(agreed.starts_with("permessage-deflate"), "{agreed}");
        assert!(agreed.ends_with(", x-scramble"), "{agreed}");
    }

    #[test]
    fn ends_made_by_hand_understand_each_other() {
        let (mut client, mut server) = by_hand([7; 16]).unwrap();
        client.send("hello").unwrap();
        let mut wire = Vec::new();
        client.write_to(&mut wire).unwrap();
        assert_eq!(wire[0] & 0x20, 0x20, "RSV2 marks it");
        let event = server.poll_event(&mut wire[..].into());
        assert_eq!(event, Some(ws_core::Event::Message(Message::text("hello"))));
    }

    #[test]
    fn report_says_of_each_offer_why() {
        assert_eq!(
            why_not().unwrap(),
            "x-scramble; level=9: declined: parameter level: unknown\n\
             x-scramble: taken as x-scramble\n\
             x-stamp: unknown here\n\
             permessage-deflate: not offered by the client"
        );
    }
}
