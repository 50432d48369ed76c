//! Messages that come back.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use ws_server::{ConnectError, Message};

use crate::{
    content,
    life::{Gone, Life, send},
    transport::Transport,
};

/// Messages of all sizes, one after the other, and now and then many at once.
pub(crate) async fn echo(mut life: Life) -> Result<(), Gone> {
    let within = matches!(life.over, Transport::Axum | Transport::Http2);
    let path = if within && life.random.below(2) == 0 { "/extracted" } else { "/echo" };
    let mut ws = life.open(path).await?;
    while !life.is_over() {
        let most = if life.random.below(40) == 0 { 512 * 1024 } else { 16 * 1024 };
        let size = content::size(&mut life.random, 1, most);
        let message = content::message(&mut life.random, size);
        let sent = Instant::now();
        life.echo(&mut ws, message).await?;
        if size <= 16 * 1024 {
            life.world.tally.round_trip(sent.elapsed());
        }
        if life.random.below(10) == 0 {
            let burst: Vec<Message> =
                (0..20).map(|_| content::message(&mut life.random, 200)).collect();
            for message in &burst {
                send(&mut ws, message.clone()).await?;
            }
            for message in &burst {
                if life.receive(&mut ws).await? != *message {
                    return Err("a burst came back in another order, or with other content".into());
                }
                life.world.tally.message();
            }
        }
        life.pause(300).await;
    }
    life.close(ws).await
}

/// Says something now and then; the server parks it in between, and pings it.
pub(crate) async fn idle(mut life: Life) -> Result<(), Gone> {
    let mut ws = life.open("/echo").await?;
    while !life.is_over() {
        let message = content::message(&mut life.random, 1024);
        life.echo(&mut ws, message).await?;
        life.world.tally.message();
        life.pause(9000).await;
    }
    life.close(ws).await
}

/// The handler is slower than the client.
pub(crate) async fn lazy(mut life: Life) -> Result<(), Gone> {
    let mut ws = life.open("/lazy").await?;
    while !life.is_over() {
        let many: Vec<Message> =
            (0..30).map(|_| content::message(&mut life.random, 8 * 1024)).collect();
        for message in &many {
            send(&mut ws, message.clone()).await?;
        }
        for message in &many {
            if life.receive(&mut ws).await? != *message {
                return Err("a slow handler's answers are not what was sent".into());
            }
            life.world.tally.message();
        }
        life.pause(2000).await;
    }
    life.close(ws).await
}

/// Sends much, does not read for some seconds, and then reads all of it.
pub(crate) async fn pausing(mut life: Life) -> Result<(), Gone> {
    let mut ws = life.open("/echo").await?;
    let sender = ws.sender();
    while !life.is_over() {
        let many: Vec<Message> =
            (0..100).map(|_| content::message(&mut life.random, 4 * 1024)).collect();
        let sent = async {
            for message in &many {
                sender.send(message.clone()).await.map_err(|error| format!("sending: {error}"))?;
            }
            Ok::<_, String>(())
        };
        let pause = Duration::from_millis(life.random.below(3000) as u64);
        let received = async {
            sleep(pause).await;
            for message in &many {
                if life.receive(&mut ws).await? != *message {
                    return Err("what waited came in another order, or with other content".into());
                }
                life.world.tally.message();
            }
            Ok(())
        };
        tokio::try_join!(sent, received)?;
        life.pause(2000).await;
    }
    life.close(ws).await
}

/// Knocks where nobody is let in.
pub(crate) async fn refused(mut life: Life) -> Result<(), Gone> {
    let request = life.request("/refused");
    match life.connect(request).await {
        Err(ConnectError::Refused(refusal)) if refusal.status == 403 => Ok(()),
        Err(ConnectError::Refused(refusal)) if refusal.status == 503 => Err(Gone::TurnedAway),
        Err(error) => Err(format!("refused otherwise than with 403: {error}").into()),
        Ok(_) => Err("let in where nobody is".into()),
    }
}
