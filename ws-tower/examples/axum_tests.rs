//! How a router with WebSockets is tested, in process: no socket, and no real time.
//!
//! ```text
//! $ cargo test -p ws-tower --example axum_tests --features axum,client
//! ```

use axum::{Router, extract::Path, response::Response, routing::any};
use ws_server::{Server, Service, WebSocket};
use ws_tower::WebSocketUpgrade;

fn app(service: &Service) -> Router {
    Router::new().route("/room/{room}", any(room)).with_state(service.clone())
}

async fn room(Path(room): Path<String>, upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(async move |mut ws: WebSocket| {
        let topic = ws.subscribe(&room)?;
        ws.send(format!("welcome to {room}")).await?;
        while let Some(message) = ws.recv().await {
            topic.publish_to_others(message);
        }
        Ok(())
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = Server::new().service()?;
    let listener = ws_server::Tcp::bind("127.0.0.1:9001").await?;
    ws_tower::serve(listener, app(&service)).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::{body::Body, http::Request};
    use tokio::time::{sleep, timeout};
    use tower::ServiceExt;
    use ws_server::{CloseCode, ServerLimits};
    use ws_tower::test_client;

    use super::*;

    // ANCHOR: tests
    #[tokio::test(start_paused = true)]
    async fn what_one_says_the_others_in_the_room_hear() {
        let app = app(&Server::new().service().unwrap());
        let mut ann = test_client(app.clone(), "/room/blue").await.unwrap();
        let mut bob = test_client(app.clone(), "/room/blue").await.unwrap();
        let mut eve = test_client(app, "/room/red").await.unwrap();
        for client in [&mut ann, &mut bob, &mut eve] {
            let welcome = client.recv().await.unwrap();
            assert!(welcome.as_text().unwrap().starts_with("welcome to"));
        }
        ann.send("hello").await.unwrap();
        assert_eq!(bob.recv().await, Some("hello".into()));
        // The clock is paused: this takes no time.
        assert!(timeout(Duration::from_secs(3600), eve.recv()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn plain_request_is_told_what_to_do() {
        let app = app(&Server::new().service().unwrap());
        let request = Request::get("/room/blue").header("host", "test").body(Body::empty());
        let answer = app.oneshot(request.unwrap()).await.unwrap();
        assert_eq!(answer.status(), 426);
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_closes_with_1001() {
        let limits = ServerLimits::default().shutdown_spread(None);
        let service = Server::new().server_limits(limits).service().unwrap();
        let client = test_client(app(&service), "/room/blue").await.unwrap();
        while service.clients().count() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(service.shutdown().await.closed, 1);
        assert_eq!(client.closed().await.code, CloseCode::GOING_AWAY);
    }
    // ANCHOR_END: tests
}
