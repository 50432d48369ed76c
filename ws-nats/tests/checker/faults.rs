//! One test for each fault.

use std::{path::Path, time::Duration};

use tokio::time::sleep;

use crate::{
    scenario::{Allowed, Engine, Options, Run, Size},
    support::{Dir, Direction},
    world::Mode,
};

const NONE: Allowed = Allowed { refused: false, unknown: false, lost: false, gaps: false };
/// NATS was away for a while.
const AWAY: Allowed = Allowed { refused: true, unknown: true, ..NONE };

macro_rules! start {
    ($name:expr, $engine:expr, $options:expr) => {
        match Run::start($name, $engine, Size::get(), $options).await {
            Some(run) => run,
            None => return,
        }
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steady() {
    let mut run = start!("steady", Engine::one().await, Options::default());
    run.pass(10).await;
    run.finish(NONE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn last_message_is_dropped() {
    let mut run = start!("last message dropped", Engine::one().await, Options::default());
    run.pass(5).await;
    run.say("one message of each topic is dropped on its way to node 1");
    let mut dropped = std::collections::HashSet::new();
    run.proxies[1][0].filter(move |way, subject, _| {
        way != Direction::ToClient
            || !subject.starts_with("check.live.")
            || !dropped.insert(subject.to_owned())
    });
    run.pass(4).await;
    run.say("nothing republished reaches node 1 any more");
    run.proxies[1][0].filter(|way, subject, _| {
        way != Direction::ToClient || !subject.starts_with("check.live.")
    });
    run.pass(1).await;
    run.finish(NONE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas() {
    let mut run = start!("three replicas", Engine::three().await, Options::default());
    run.pass(10).await;
    run.finish(NONE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_is_killed() {
    let mut run = start!("node killed", Engine::one().await, Options::default());
    run.pass(4).await;
    run.kill(1);
    run.pass(6).await;
    run.finish(Allowed { unknown: true, ..NONE }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_hangs_and_continues() {
    let mut run = start!("node hangs", Engine::one().await, Options::default());
    run.pass(3).await;
    let time = Duration::from_secs(if run.size.is_long { 12 } else { 4 });
    run.say("node 2 is stopped");
    run.nodes[2].as_ref().unwrap().pause();
    sleep(time).await;
    run.say("node 2 continues");
    run.nodes[2].as_ref().unwrap().resume();
    run.pass(5).await;
    run.finish(AWAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_is_killed_and_restarted() {
    let mut run = start!("NATS killed", Engine::one().await, Options::default());
    run.pass(4).await;
    run.say("NATS is killed");
    run.engine.servers()[0].kill();
    sleep(Duration::from_secs(if run.size.is_long { 5 } else { 1 })).await;
    run.engine.servers()[0].restart().await;
    run.say("NATS is back");
    run.pass(6).await;
    run.finish(AWAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leader_of_three_is_killed() {
    let mut run = start!("leader killed", Engine::three().await, Options::default());
    run.pass(4).await;
    let Engine::Three(cluster) = &mut run.engine else { unreachable!() };
    let leader = cluster.leader("CHECK").await;
    cluster.servers[leader].kill();
    run.say(&format!("server {leader} led the stream and is killed"));
    run.pass(4).await;
    run.engine.servers()[leader].restart().await;
    run.say("it is back");
    run.pass(2).await;
    run.finish(AWAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_hangs() {
    let mut run = start!("connection hangs", Engine::one().await, Options::default());
    run.pass(3).await;
    run.say("the connections of node 0 hang");
    run.proxies[0][0].hang();
    sleep(Duration::from_secs(if run.size.is_long { 12 } else { 4 })).await;
    run.say("they are healed");
    run.proxies[0][0].heal();
    run.pass(5).await;
    run.finish(AWAY).await;
}

async fn one_way(name: &'static str, direction: Direction) {
    let mut run = start!(name, Engine::one().await, Options::default());
    run.pass(3).await;
    run.say("node 0 is cut off in one direction");
    run.proxies[0][0].hang_one(direction);
    sleep(Duration::from_secs(if run.size.is_long { 12 } else { 4 })).await;
    run.say("it is healed");
    run.proxies[0][0].heal();
    run.pass(5).await;
    run.finish(AWAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_is_not_heard() {
    one_way("not heard", Direction::ToServer).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_does_not_hear() {
    one_way("does not hear", Direction::ToClient).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_is_cut_off() {
    let mut run = start!("cut off", Engine::one().await, Options::default());
    run.pass(3).await;
    run.say("node 0 is cut off");
    run.proxies[0][0].cut();
    sleep(Duration::from_secs(if run.size.is_long { 12 } else { 2 })).await;
    run.say("it is healed");
    run.proxies[0][0].heal();
    run.pass(3).await;
    run.proxies[1][0].reset();
    run.say("the connections of node 1 are reset");
    run.pass(2).await;
    run.finish(AWAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn link_is_slow() {
    let mut run = start!("slow link", Engine::one().await, Options::default());
    // 1 MB/s for what long runs need; a short one has less.
    let rate = if run.size.is_long { 1_000_000 } else { 200_000 };
    run.proxies[0][0].slow(rate);
    run.say(&format!("node 0 has {rate} octets per second"));
    run.pass(8).await;
    run.proxies[0][0].heal();
    run.pass(2).await;
    run.finish(AWAY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_trimmed_while_clients_are_away() {
    let settings = |of: &mut crate::node::Settings| {
        of.messages_per_topic = 20;
        of.recent_messages = 10;
    };
    let options = Options { settings: Some(Box::new(settings)), ..Options::default() };
    let mut run = start!("trimmed", Engine::one().await, options);
    run.pass(2).await;
    run.say("some clients go");
    run.world.mode.send_replace(Mode::SomeAway);
    run.pass(8).await;
    // The topics' share of what is published is more than is kept.
    sleep(Duration::from_secs(2)).await;
    run.world.mode.send_replace(Mode::Busy);
    run.say("they come back");
    run.pass(3).await;
    run.finish(Allowed { lost: true, ..NONE }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_is_made_anew() {
    let mut run = start!("made anew", Engine::one().await, Options::default());
    run.pass(4).await;
    run.say("the stream is deleted");
    let context = run.engine.servers()[0].jetstream().await;
    context.delete_stream("CHECK").await.unwrap();
    run.pass(6).await;
    // It has to be noticed before the run ends.
    sleep(Duration::from_millis(run.size.audit * 3 / 2)).await;
    run.finish(Allowed { lost: true, gaps: true, ..AWAY }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_have_one_name() {
    let settings = |of: &mut crate::node::Settings| of.node = "same".to_owned();
    let options = Options { settings: Some(Box::new(settings)), ..Options::default() };
    let mut run = start!("one name", Engine::one().await, options);
    run.pass(10).await;
    run.finish(NONE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_come_and_go_in_storms() {
    let plan = |plan: &mut crate::client::Plan| {
        plan.storm = Some(Duration::from_millis(60));
        plan.churn = Some(Duration::from_millis(1500));
    };
    let options = Options { plan: Some(Box::new(plan)), ..Options::default() };
    let mut run = start!("storms", Engine::one().await, options);
    run.pass(10).await;
    run.finish(NONE).await;
}

/// Nothing of a node goes by its clock: that of the server decides what is too old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_of_nodes_are_wrong() {
    let library = Path::new("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1");
    if !library.is_file() {
        eprintln!("NOT RUN: clocks_of_nodes_are_wrong: needs Debian's libfaketime");
        return;
    }
    let dir = Dir::new();
    let files: Vec<_> = ["+0", "+7200", "-7200"]
        .iter()
        .enumerate()
        .map(|(node, offset)| dir.write(&format!("{node}"), offset))
        .collect();
    let clocks = files.clone();
    let settings = move |of: &mut crate::node::Settings| {
        let node: usize = of.node.strip_prefix("node-").unwrap().parse().unwrap();
        of.max_age = 3_600_000;
        of.environment = vec![
            ("LD_PRELOAD".to_owned(), library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE".to_owned(), clocks[node].display().to_string()),
            ("FAKETIME_NO_CACHE".to_owned(), "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
        ];
    };
    let options = Options { settings: Some(Box::new(settings)), ..Options::default() };
    let mut run = start!("wrong clocks", Engine::one().await, options);
    for offset in ["+7200", "-7200", "+0"] {
        run.pass(3).await;
        run.say(&format!("the clock of node 0 is set to {offset} s"));
        std::fs::write(&files[0], offset).unwrap();
    }
    run.pass(1).await;
    run.finish(NONE).await;
}

/// Their node keeps next to nothing, so that many positions are served by one look into the stream.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_come_back_with_different_pasts() {
    let settings = |of: &mut crate::node::Settings| of.recent_messages = 1;
    let plan = |plan: &mut crate::client::Plan| {
        plan.can_be_away = plan.number.is_multiple_of(2);
        plan.storm = plan.number.is_multiple_of(2).then_some(Duration::from_millis(400));
        plan.churn = Some(Duration::from_millis(1500));
    };
    let options = Options { settings: Some(Box::new(settings)), plan: Some(Box::new(plan)) };
    let mut run = start!("different pasts", Engine::one().await, options);
    for _ in 0..2 {
        run.pass(3).await;
        run.say("half of the clients go");
        run.world.mode.send_replace(Mode::SomeAway);
        run.pass(2).await;
        run.world.mode.send_replace(Mode::Busy);
        run.say("they come back");
    }
    run.finish(NONE).await;
}
