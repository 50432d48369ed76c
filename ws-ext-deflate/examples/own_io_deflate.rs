//! The echo server and client of `own_io`, the example of `ws-handshake`, with compression.
//!
//! ```text
//! $ cargo run --example own_io_deflate -- server 127.0.0.1:9001
//! listening on 127.0.0.1:9001
//! ```

#[path = "../../ws-handshake/examples/own_io.rs"]
#[allow(dead_code)]
mod own_io;

use ws_ext_deflate::Deflate;
use ws_handshake::ExtensionSet;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    own_io::run(&ExtensionSet::new().with(Deflate::default())?)
}
