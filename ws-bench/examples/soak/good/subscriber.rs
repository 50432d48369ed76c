//! Clients that hear what others say.

use std::{collections::HashMap, time::Duration};

use tokio::time::{Instant, sleep_until, timeout_at};
use ws_server::{Message, WebSocket};

use crate::{
    handlers::POLICIES,
    life::{Gone, Life, PATIENCE, send},
};

/// Rooms of the chat.
const ROOMS: usize = 6;

/// The words of a text.
fn words(message: &Message) -> Option<Vec<&str>> {
    match message {
        Message::Text(text) => Some(text.as_str().split(' ').collect()),
        Message::Binary(_) => None,
    }
}

/// Says `NAME NUMBER ..` in a room: nobody misses a number of anybody, nor hears one twice.
pub(crate) async fn chat(mut life: Life) -> Result<(), Gone> {
    let room = life.random.below(ROOMS);
    let mut ws = life.open(&format!("/chat/{room}")).await?;
    let name = format!("{:016x}", life.random.number());
    let mut heard = HashMap::from([(name.clone(), 0)]);
    let mut said = 0_u64;
    while !life.is_over() {
        send(
            &mut ws,
            format!("{name} {said} {}", "hello to all. ".repeat(said as usize % 9)).into(),
        )
        .await?;
        said += 1;
        let pause = Duration::from_millis(200 + life.random.below(1500) as u64);
        let next = life.until.min(Instant::now() + pause);
        listen(&life, &mut ws, &mut heard, next).await?;
    }
    // What it said itself comes back, too.
    let patience = Instant::now() + PATIENCE;
    while heard[&name] < said {
        if Instant::now() > patience {
            return Err(format!("said {said}, and heard {} of that", heard[&name]).into());
        }
        hear(&life.receive(&mut ws).await?, &mut heard)?;
    }
    life.close(ws).await
}

/// Until then.
async fn listen(
    life: &Life,
    ws: &mut WebSocket,
    heard: &mut HashMap<String, u64>,
    until: Instant,
) -> Result<(), String> {
    loop {
        match timeout_at(until, ws.recv()).await {
            Ok(Some(message)) => hear(&message, heard)?,
            Ok(None) => return Err(format!("the chat ended: {:?}", ws.closed().await)),
            Err(_) => return Ok(()),
        }
        life.world.tally.message();
    }
}

fn hear(message: &Message, heard: &mut HashMap<String, u64>) -> Result<(), String> {
    let words = words(message).unwrap_or_default();
    let [name, number, ..] = words[..] else { return Err(format!("not of a chat: {message:?}")) };
    let number: u64 = number.parse().map_err(|_| format!("not of a chat: {message:?}"))?;
    let next = heard.entry(name.to_owned()).or_insert(number);
    if *next != number {
        return Err(format!("{name} said {number}, and {next} was to come"));
    }
    *next += 1;
    Ok(())
}

/// Hears the news of one policy, each later than the one before.
pub(crate) async fn news(mut life: Life) -> Result<(), Gone> {
    let (policy, _) = POLICIES[life.random.below(POLICIES.len())];
    let mut ws = life.open(&format!("/news/{policy}")).await?;
    // By the last digit in base 4: keyed news keep their order only among those of a key.
    let mut last: [Option<u64>; 4] = [None; 4];
    let mut newest = None;
    while !life.is_over() {
        let message = tokio::select! {
            message = life.receive(&mut ws) => message?,
            () = sleep_until(life.until) => break,
        };
        let words = words(&message).unwrap_or_default();
        let number: u64 = words.first().and_then(|number| number.parse().ok()).ok_or("no news")?;
        let of_key = &mut last[number as usize % 4];
        if of_key.is_some_and(|last| last >= number) {
            return Err(format!("{policy}: {number} came after {of_key:?}").into());
        }
        *of_key = Some(number);
        let skips = newest.is_some_and(|newest: u64| newest + 1 != number);
        if policy == "close" && skips {
            return Err(format!("{policy}: {number} came after {newest:?}").into());
        }
        newest = Some(number);
        life.world.tally.message();
    }
    life.close(ws).await
}
