//! A connection as a `Stream` and a `Sink`, and a client in the same process.
#![cfg(all(feature = "client", feature = "futures"))]
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt, future::poll_immediate};
use tokio::time::{sleep, timeout};
use ws_server::{
    Admit, CloseCode, Connect, ConnectError, HandlerError, Limits, Message, Opening, Peer,
    Rejection, Route, Server, WebSocket,
};

async fn forward(ws: WebSocket) -> Result<(), HandlerError> {
    let (sink, stream) = ws.into_messages().split();
    stream.map(Ok).forward(sink).await?;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn stream_is_forwarded_into_the_sink() {
    let service = Server::new().route("/", forward).service().unwrap();
    let mut client = service.test_client("/").await.unwrap().into_messages();
    let messages = (0..1000).map(|n| Message::from(n.to_string()));
    client.send_all(&mut futures_util::stream::iter(messages.map(Ok))).await.unwrap();
    for n in 0..1000 {
        assert_eq!(client.next().await, Some(n.to_string().into()));
    }
    for _ in 0..2 {
        SinkExt::<Message>::close(&mut client).await.unwrap();
    }
    assert!(client.next().await.is_none());
    assert_eq!(client.into_inner().closed().await.code, CloseCode::NORMAL);
}

#[tokio::test(start_paused = true)]
async fn sink_waits_for_room_and_loses_nothing() {
    let (release, released) = tokio::sync::watch::channel(false);
    let slow = move |mut ws: WebSocket| {
        let mut released = released.clone();
        async move {
            released.wait_for(|go| *go).await?;
            while let Some(message) = ws.recv().await {
                ws.send(message.len().to_string()).await?;
            }
            Ok(())
        }
    };
    let service = Server::new().route("/", slow).service().unwrap();
    let limits = Limits::default().send_buffer(64 * 1024).write_timeout(Duration::from_secs(600));
    let connect = Connect::new("ws://test/").limits(limits);
    let client = service.test_client_with(connect, Peer::Other).await.unwrap();
    let (mut sink, mut stream) = client.into_messages().split();
    let mut sent = 0;
    loop {
        let mut send = sink.send(Message::from(vec![0_u8; 10_000]));
        if timeout(Duration::from_secs(1), &mut send).await.is_err() {
            break;
        }
        sent += 1;
        assert!(sent < 1000, "the sink must stop somewhere");
    }
    // The one that waited is still there, and goes first.
    release.send(true).unwrap();
    SinkExt::<Message>::flush(&mut sink).await.unwrap();
    sink.send("end".into()).await.unwrap();
    for _ in 0..=sent {
        assert_eq!(stream.next().await, Some("10000".into()));
    }
    assert_eq!(stream.next().await, Some("3".into()));
}

#[tokio::test(start_paused = true)]
async fn sink_of_a_closed_connection_is_an_error() {
    let over = |_: WebSocket| async { Ok(()) };
    let service = Server::new().route("/", over).service().unwrap();
    let mut client = service.test_client("/").await.unwrap().into_messages();
    assert!(client.next().await.is_none());
    sleep(Duration::from_secs(1)).await;
    client.send(Message::from("late")).await.unwrap_err();
    assert!(poll_immediate(client.next()).await.unwrap().is_none());
    assert_eq!(client.get_ref().closed().await.code, CloseCode::NORMAL);
}

#[tokio::test(start_paused = true)]
async fn test_client_goes_through_routes_gate_and_handshake() {
    let gate = |opening: Opening| async move {
        match opening.request().header("x-token") {
            Some("ann") => Ok(Admit::new().data(String::from("ann"))),
            _ => Err(Rejection::forbidden()),
        }
    };
    let handler = |mut ws: WebSocket| async move {
        let clients = ws.clients().ok_or("a server's end")?;
        let name = ws.data::<String>().ok_or("no name")?;
        let told = format!("{name} in {:?} of {}", ws.request().param("room"), clients.count());
        ws.send(told).await?;
        Ok(())
    };
    let route = Route::new(handler).gate(gate).require_subprotocol(["v1"]);
    let service = Server::new().route("/room/{room}", route).service().unwrap();
    let refused = service.test_client("/room/7").await.unwrap_err();
    assert!(matches!(refused, ConnectError::Refused(refusal) if refusal.status == 400));
    let connect = || Connect::new("ws://test/room/7").subprotocols(["v1"]);
    let refused = service.test_client_with(connect(), Peer::Other).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Refused(refusal) if refusal.status == 403));
    let connect = connect().header("X-Token", "ann");
    let mut ann = service.test_client_with(connect, Peer::Other).await.unwrap();
    assert_eq!(ann.request().subprotocol(), Some("v1"));
    assert!(ann.clients().is_none(), "a client's end has no server");
    assert_eq!(ann.recv().await, Some("ann in Some(\"7\") of 1".into()));
    assert!(service.test_client("/nothing").await.is_err());
}
