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
use std::{io, path::PathBuf};

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

/// The file of an upload that is not whole. Nothing is left of it, however its handler ends.
struct Part(PathBuf);

impl Part {
    /// Without a wait, in which the handler might be dropped before the file is there to be removed.
    fn create(path: PathBuf) -> io::Result<(Self, fs::File)> {
        let file = std::fs::File::create(&path)?;
        Ok((Self(path), file.into()))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

/// Writes a message to a file. Returns its length and hash, or `None` for one that is too large.
async fn write(
    message: &mut MessageReader<'_>,
    mut file: fs::File,
    most: u64,
    client: &Sender,
) -> Result<Option<(u64, String)>, HandlerError> {
    let mut hash = Sha256::new();
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

pub(crate) async fn upload(
    mut ws: WebSocket,
    directory: PathBuf,
    most: u64,
) -> Result<(), HandlerError> {
    let name = ws.request().param("name").unwrap_or_default().to_owned();
    if !is_plain(&name) {
        return Ok(ws.close(CloseCode::POLICY_VIOLATION, "a name of letters, digits, ._-")?);
    }
    let (client, id) = (ws.sender(), ws.id());
    while let Some(mut message) = ws.recv_streaming().await {
        // Nobody sees half a file.
        let (part, file) = Part::create(directory.join(format!(".{name}.{id}.part")))?;
        let Some((octets, hash)) = write(&mut message, file, most, &client).await? else {
            return Ok(ws.close(CloseCode::MESSAGE_TOO_BIG, &format!("{most} octets at most"))?);
        };
        fs::rename(&part.0, directory.join(&name)).await?;
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
