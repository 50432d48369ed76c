//! gRPC and WebSockets on one port.
//!
//! ```text
//! $ cargo run -p ws-tower --example with_tonic --features axum
//! listening on 127.0.0.1:9001
//! $ npx wscat -c ws://127.0.0.1:9001/echo
//! $ grpcurl -plaintext 127.0.0.1:9001 grpc.health.v1.Health/Check    # with the proto of grpc.health.v1
//! ```
//!
//! tonic's own server upgrades nothing, so its services go into a router.

use std::error::Error;

use tonic::service::Routes;
use tonic_health::server::health_reporter;
use ws_server::{Server, Tcp, WebSocket};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:9001".into());
    let echo = |mut ws: WebSocket| async move {
        while let Some(message) = ws.recv().await {
            ws.send(message).await?;
        }
        Ok(())
    };
    let service = Server::new().route("/echo", echo).service()?;
    let (_reporter, health) = health_reporter();
    let router = Routes::new(health)
        .prepare()
        .into_axum_router()
        .route_service("/echo", ws_tower::service(&service));
    let listener = Tcp::bind(&*address).await?;
    println!("listening on {}", ws_server::Listener::local_addr(&listener).ok_or("no address")?);
    ws_tower::serve(listener, router).await?;
    Ok(())
}
