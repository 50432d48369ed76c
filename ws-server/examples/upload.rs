//! Takes uploads, each a message, and writes them to a directory as they come. It counts the octets itself,
//! tells the client how far it is, and answers with the hash.
//!
//! ```text
//! $ cargo run --example upload -- 127.0.0.1:9001 /tmp 1000000000    # where to, and the most octets
//! listening on 127.0.0.1:9001
//! $ npx wscat -c ws://127.0.0.1:9001/upload/hello.txt
//! > hello
//! < 5 octets, sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
//! ```

// ANCHOR: upload
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::{fs, io::AsyncWriteExt};
use ws_server::{CloseCode, HandlerError, Limits, MessageReader, Route, Sender, Server, WebSocket};

/// Octets from one line of progress to the next.
const STEP: u64 = 1 << 20;

/// Whether it names a file in a directory, and no other.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !name.starts_with('.') && (1..=100).contains(&name.len()) && name.chars().all(plain)
}

/// Writes a message to a file. Returns its length and hash, or `None` for one that is too large.
async fn write(
    message: &mut MessageReader<'_>,
    path: &Path,
    most: u64,
    client: &Sender,
) -> Result<Option<(u64, String)>, HandlerError> {
    let (mut file, mut hash) = (fs::File::create(path).await?, Sha256::new());
    let (mut octets, mut told) = (0, 0);
    while let Some(piece) = message.chunk().await? {
        octets += piece.len() as u64;
        if octets > most {
            return Ok(None);
        }
        hash.update(&piece);
        file.write_all(&piece).await?;
        if octets - told >= STEP {
            told = octets;
            // Progress that a slow client cannot take is left out.
            client.try_send(format!("{octets} octets so far")).ok();
        }
    }
    file.flush().await?;
    let hash: String = hash.finalize().iter().map(|octet| format!("{octet:02x}")).collect();
    Ok(Some((octets, hash)))
}

async fn upload(mut ws: WebSocket, directory: PathBuf, most: u64) -> Result<(), HandlerError> {
    let name = ws.request().param("name").unwrap_or_default().to_owned();
    if !is_plain(&name) {
        return Ok(ws.close(CloseCode::POLICY_VIOLATION, "a name of letters, digits, ._-")?);
    }
    // Nobody sees half a file.
    let part = directory.join(format!(".{name}.{}.part", ws.id()));
    let client = ws.sender();
    while let Some(mut message) = ws.recv_streaming().await {
        let written = write(&mut message, &part, most, &client).await;
        let Ok(Some((octets, hash))) = written else {
            fs::remove_file(&part).await.ok();
            written?;
            return Ok(ws.close(CloseCode::MESSAGE_TOO_BIG, &format!("{most} octets at most"))?);
        };
        fs::rename(&part, directory.join(&name)).await?;
        println!("{name}: {octets} octets");
        ws.send(format!("{octets} octets, sha256 {hash}")).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:9001".into());
    let directory = PathBuf::from(arguments.next().unwrap_or(".".into()));
    let most = arguments.next().map_or(Ok(1 << 30), |most| most.parse())?;
    let handler = move |ws: WebSocket| upload(ws, directory.clone(), most);
    let route = Route::new(handler).limits(Limits::default().streaming(true));
    let server = Server::new().route("/upload/{name}", route).bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
// ANCHOR_END: upload
