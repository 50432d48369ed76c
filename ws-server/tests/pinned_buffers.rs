//! What a queue keeps alive is what it counts.
#![allow(clippy::unwrap_used)]

mod support;

use std::{alloc::System, time::Duration};

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{BINARY, Raw, echo, masked, open_with};
use tokio::{io::AsyncWriteExt, time::sleep};
use ws_server::{Message, Server, ServerLimits, Service, SlowConsumer, WebSocket};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn held(region: &Region<'_, System>) -> isize {
    let change = region.change();
    change.bytes_allocated as isize - change.bytes_deallocated as isize
}

fn service() -> Service {
    let deaf = |ws: WebSocket| async move {
        sleep(Duration::from_secs(60)).await;
        echo(ws).await
    };
    let elsewhere = |mut ws: WebSocket| async move {
        let task = tokio::spawn(async move {
            ws.recv().await;
            sleep(Duration::from_secs(60)).await;
            ws.recv().await
        });
        task.await?;
        Ok(())
    };
    let tasks = |mut ws: WebSocket| async move {
        while let Some(message) = ws.recv().await {
            let sender = ws.sender();
            tokio::spawn(async move { sender.send(message).await });
        }
        Ok(())
    };
    let topic = |mut ws: WebSocket| async move {
        let topic = ws.subscribe("topic")?;
        while let Some(message) = ws.recv().await {
            topic.publish(message);
        }
        Ok(())
    };
    Server::new()
        .slow_consumer(SlowConsumer::DropOldest)
        .server_limits(ServerLimits::default().max_per_ip(1000))
        .route("/echo", echo)
        .route("/deaf", deaf)
        .route("/elsewhere", elsewhere)
        .route("/tasks", tasks)
        .route("/topic", topic)
        .service()
        .unwrap()
}

/// Uses the thread's read buffer up, so that what is in it next is alone there.
async fn use_up(other: &mut Raw) {
    let burst: Vec<u8> = masked(BINARY, &[9; 600]).repeat(100);
    other.io.write_all(&burst).await.unwrap();
    for _ in 0..100 {
        other.frame().await.unwrap();
    }
}

/// One thread, as the buffer that is read into is one of the thread.
fn run(test: impl Future<Output = ()>) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().start_paused(true).build().unwrap().block_on(test);
}

// One test, since the allocator counts for all.
#[test]
fn small_messages_that_wait_keep_no_read_buffer_alive() {
    // The limits are 64 KiB ahead and 256 KiB to be sent, each with 64 bytes for a message or more.
    for (path, len, most) in [
        ("/deaf", 560, 300),
        ("/deaf", 5000, 300),
        ("/elsewhere", 560, 300),
        ("/echo", 560, 700),
        ("/echo", 5000, 700),
        // Those that wait for room are not bounded by the limits.
        ("/tasks", 560, 3000),
        ("/topic", 560, 700),
        ("/topic", 5000, 700),
    ] {
        run(async {
            let service = service();
            let (mut other, _) = open_with(&service, "/echo", "", 1 << 17).await;
            let (mut raw, _) = open_with(&service, path, "", 1024).await;
            raw.send(BINARY, b"first").await;
            use_up(&mut other).await;
            let frame = masked(BINARY, &vec![7; len]);
            let region = Region::new(ALLOCATOR);
            // It reads nothing of what it is sent, and writes until it is not read either.
            let mut sent = 0;
            while sent < 700 * 1024 {
                let write = raw.io.write_all(&frame);
                if tokio::time::timeout(Duration::from_millis(10), write).await.is_err() {
                    break;
                }
                sent += len;
                use_up(&mut other).await;
            }
            let held = held(&region);
            println!("{path}: {held} bytes are held of {sent} in messages of {len}");
            assert!(sent > 60 * 1024, "{sent}");
            assert!(held < most * 1024, "{held} bytes are held for {sent} at {path}");
        });
    }
}

#[test]
fn application_can_keep_messages_without_the_buffer_that_they_came_in() {
    run(async {
        let (told, mut tell) = tokio::sync::mpsc::unbounded_channel::<Message>();
        let service = Server::new()
            .route("/", move |mut ws: WebSocket| {
                let told = told.clone();
                async move {
                    while let Some(message) = ws.recv().await {
                        told.send(message).ok();
                    }
                    Ok(())
                }
            })
            .service()
            .unwrap();
        let (mut raw, _) = support::open(&service).await;
        raw.send(BINARY, &[7; 2000]).await;
        let message = tell.recv().await.unwrap();
        let at = message.as_bytes().as_ptr();
        let kept = message.clone().detached();
        assert_eq!(kept, message);
        assert_ne!(kept.as_bytes().as_ptr(), at, "it is a copy");
        assert_eq!(kept.clone().detached().as_bytes().as_ptr(), kept.as_bytes().as_ptr());
    });
}
