//! A TCP server after a WebSocket, as noVNC (`binary`) and MQTT (`mqtt`) want it: the payloads of
//! binary messages are the octets of the stream, whatever their boundaries. Either end slows down the
//! other. Whoever may connect reaches the TCP server: programs, and pages of the same host. `auth` shows
//! a gate, and `Route::origin` allows other pages.
//!
//! ```text
//! $ cargo run --example tcp_bridge -- 127.0.0.1:9001 127.0.0.1:1883     # before an MQTT broker
//! listening on 127.0.0.1:9001
//! $ npx mqtt sub -h 127.0.0.1 -p 9001 -l ws -t greetings -v
//! ```

// ANCHOR: tcp_bridge
use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use ws_server::{
    CloseCode, HandlerError, Limits, MessageKind, Route, ServeError, Server, WebSocket,
};

pub(crate) async fn bridge(mut ws: WebSocket, upstream: String) -> Result<(), HandlerError> {
    let Ok(tcp) = TcpStream::connect(upstream).await else {
        return Ok(ws.close(CloseCode::BAD_GATEWAY, "the TCP server is not there")?);
    };
    let (mut from_tcp, mut to_tcp) = tcp.into_split();
    let sender = ws.sender();
    let down = async {
        let mut read = BytesMut::new();
        loop {
            read.reserve(16 * 1024);
            if from_tcp.read_buf(&mut read).await? == 0 {
                return Ok(()); // closes with 1000
            }
            sender.send(read.split().freeze()).await?; // waits for a slow client
        }
    };
    let up = async {
        while let Some(mut message) = ws.recv_streaming().await {
            if message.kind() == MessageKind::Text {
                drop(message);
                return Ok(ws.close(CloseCode::UNSUPPORTED_DATA, "binary messages alone")?);
            }
            while let Some(octets) = message.chunk().await? {
                to_tcp.write_all(&octets).await?; // waits for a slow server, and so does the client
            }
        }
        Ok(to_tcp.shutdown().await?)
    };
    tokio::select! { ended = down => ended, ended = up => ended }
}

#[tokio::main]
async fn main() -> Result<(), ServeError> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:9001".into());
    let upstream = arguments.next().unwrap_or("127.0.0.1:1883".into());
    let route = Route::new(move |ws: WebSocket| bridge(ws, upstream.clone()));
    let route = route.subprotocols(["binary", "mqtt"]).limits(Limits::default().streaming(true)); // some clients write all they have at once
    let server = Server::new().any(route).bind(address).await?;
    println!("listening on {}", server.local_addr().expect("TCP"));
    server.serve().await
}
// ANCHOR_END: tcp_bridge
