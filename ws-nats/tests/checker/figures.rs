//! How long and how much: printed by `cargo xtask nats-check figures`. What must hold on any machine is
//! asserted in the short runs, too.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    connection::{Connection, Position, Said},
    node::{Node, Settings, Starting},
    scenario::{Size, numbers},
    support::{LONG, Server, until},
};

struct Nodes {
    server: Server,
    nodes: Vec<Node>,
}

impl Nodes {
    async fn start(count: usize, adjust: impl Fn(&mut Settings)) -> Option<Self> {
        let server = Server::start().await?;
        let starting: Vec<_> = (0..count)
            .map(|node| {
                let (servers, node) = (vec![server.url()], format!("node-{node}"));
                let mut settings = Settings { servers, node, ..Settings::default() };
                adjust(&mut settings);
                Starting::new(&settings)
            })
            .collect();
        let nodes = starting.into_iter().map(Starting::wait).collect();
        Some(Self { server, nodes })
    }

    async fn open(&self, node: usize) -> Connection {
        Connection::open(&self.nodes[node].url()).await.unwrap()
    }

    async fn last_sequence(&self) -> u64 {
        let context = self.server.jetstream().await;
        context.get_stream("CHECK").await.unwrap().cached_info().state.last_sequence
    }
}

fn figure(text: &str) {
    println!("figure: {text}");
}

/// Joins, and tells the position and the past.
async fn join(connection: &mut Connection, topic: &str, since: &str) -> (Position, String) {
    let words = connection.ask("join", &format!("{topic} {since}")).await.unwrap();
    let words: Vec<_> = words.split(' ').collect();
    assert_eq!(words[0], "joined", "{words:?}");
    (Position::parse(words[1]), words[2].to_owned())
}

fn percentile(sorted: &[Duration], part: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * part).round() as usize]
}

/// Processor time and memory of a process.
fn usage(pid: u32) -> (Duration, u64) {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    (Duration::from_millis(ticks * 10), kib * 1024)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_gets_a_thousand_missed_messages() {
    let Some(nodes) = Nodes::start(2, |_| {}).await else { return };
    let mut publisher = nodes.open(0).await;
    let mut times = Vec::new();
    for round in 0..10 {
        let topic = format!("t.{round}");
        let mut client = nodes.open(0).await;
        let (position, past) = join(&mut client, &topic, "-").await;
        assert_eq!(past, "fresh");
        drop(client);
        assert_eq!(
            publisher.ask("burst", &format!("{topic} 1000 100")).await.unwrap(),
            "handed 1000"
        );
        publisher.ask("acked", &format!("{topic} last")).await.unwrap();
        // Another node, which does not follow the topic.
        let mut client = nodes.open(1).await;
        let started = Instant::now();
        let number = client.say("join", &format!("{topic} {}", position.text)).await.unwrap();
        let (mut got, mut answer) = (0, None);
        while got < 1001 || answer.is_none() {
            match timeout(LONG, client.hear()).await.unwrap().unwrap() {
                Said::Message { body, .. } => {
                    let expected = if got == 1000 { "last".to_owned() } else { format!("{got} ") };
                    assert!(body.starts_with(&expected), "{body} is not {expected}");
                    got += 1;
                }
                Said::Answer { number: answered, words } => {
                    assert_eq!(answered, number);
                    answer = Some(words);
                }
                other => panic!("{other:?}"),
            }
        }
        times.push(started.elapsed());
        assert!(answer.unwrap().ends_with("all:1001"));
    }
    times.sort_unstable();
    figure(&format!(
        "1,001 missed messages of 100 octets, read from the stream by another node: p50 {:?}, worst of 10 {:?}",
        percentile(&times, 0.5),
        times[times.len() - 1]
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_clients_of_a_dead_node_come_back() {
    const TOPICS: usize = 50;
    // For each topic and node: a batch of a replica, and what the leader has beyond it. And the
    // comparisons of all topics with the stream, which go on.
    const ALLOWED: u64 = TOPICS as u64 * 2 * 2 + 10;
    let clients = if Size::get().is_long { 10_000 } else { 400 };
    let Some(mut nodes) = Nodes::start(3, |of| of.audit = 60_000).await else { return };
    let urls: Arc<Vec<String>> = Arc::new(nodes.nodes.iter().map(Node::url).collect());
    let mut there = JoinSet::new();
    for number in 0..clients {
        let urls = Arc::clone(&urls);
        there.spawn(async move {
            // 10,000 at once are more than a loopback's queue of connections.
            sleep(Duration::from_micros(number as u64 * 400)).await;
            let topic = format!("t.{}", number / 2 % TOPICS);
            let mut client = Connection::open(&urls[2]).await.unwrap();
            let (position, _) = join(&mut client, &topic, "-").await;
            (number, topic, client, position)
        });
    }
    let there = there.join_all().await;
    let mut publisher = nodes.open(0).await;
    // Each misses ten messages; what comes before its node dies is not looked at.
    for topic in 0..TOPICS {
        publisher.ask("burst", &format!("t.{topic} 10 100")).await.unwrap();
        publisher.ask("acked", &format!("t.{topic} last")).await.unwrap();
    }
    let before = [count(&nodes, 0).await, count(&nodes, 1).await];
    let killed = Instant::now();
    nodes.nodes[2].kill();
    let mut back = JoinSet::new();
    for (number, topic, mut old, position) in there {
        let urls = Arc::clone(&urls);
        back.spawn(async move {
            while old.hear().await.is_some() {}
            let mut client = loop {
                match Connection::open(&urls[number % 2]).await {
                    Some(client) => break client,
                    None => sleep(Duration::from_millis(50)).await,
                }
            };
            let (_, past) = join(&mut client, &topic, &position.text).await;
            (killed.elapsed(), past, client, number % 2, topic, position)
        });
    }
    let back = timeout(LONG * 2, back.join_all()).await.unwrap();
    let mut times: Vec<_> = back.iter().map(|back| back.0).collect();
    times.sort_unstable();
    assert!(back.iter().all(|back| back.1 == "all:11"), "{:?}", back[0].1);
    let mut requests = 0;
    for (node, before) in before.iter().enumerate() {
        requests += count(&nodes, node).await["refills"] - before["refills"];
    }
    figure(&format!(
        "{clients} clients of a dead node come back to two others, {TOPICS} topics: live again p50 {:?}, p99 {:?}, last {:?}; {requests} requests to the stream, at most {} allowed",
        percentile(&times, 0.5),
        percentile(&times, 0.99),
        times[times.len() - 1],
        ALLOWED
    ));
    assert!(requests <= ALLOWED, "{requests} requests");
    // Those who come later find it at the node.
    let before = [count(&nodes, 0).await, count(&nodes, 1).await];
    for (.., node, topic, position) in back.iter().take(100) {
        let mut late = nodes.open(*node).await;
        assert_eq!(join(&mut late, topic, &position.text).await.1, "all:11");
    }
    for (node, before) in before.iter().enumerate() {
        assert_eq!(count(&nodes, node).await["refills"], before["refills"]);
    }
}

async fn count(nodes: &Nodes, node: usize) -> std::collections::HashMap<String, u64> {
    numbers(&nodes.open(node).await.ask("counted", "").await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latency_through_nats_and_without() {
    let Some(nodes) = Nodes::start(2, |_| {}).await else { return };
    let rounds = if Size::get().is_long { 5000 } else { 100 };
    let body = "x".repeat(1024);
    for (what, command, from) in [
        ("on the same node, without NATS", "here", 1),
        ("on the same node, through NATS", "publish", 1),
        ("on another node, through NATS", "publish", 0),
    ] {
        let (mut publisher, mut client) = (nodes.open(from).await, nodes.open(1).await);
        join(&mut client, "t.0", "-").await;
        let mut times = Vec::new();
        for _ in 0..rounds {
            let started = Instant::now();
            publisher.say(command, &format!("t.0 {body}")).await.unwrap();
            loop {
                let said = timeout(LONG, client.hear()).await.unwrap().unwrap();
                if !matches!(said, Said::Answer { .. }) {
                    break;
                }
            }
            times.push(started.elapsed());
            // Its answer.
            publisher.hear().await.unwrap();
        }
        times.sort_unstable();
        figure(&format!(
            "1 KiB to a subscriber {what}, from send to receipt: p50 {:?}, p99 {:?}",
            percentile(&times, 0.5),
            percentile(&times, 0.99)
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throughput_of_one_stream() {
    let Some(nodes) = Nodes::start(3, |_| {}).await else { return };
    let each = if Size::get().is_long { 50_000 } else { 1000 };
    let mut client = nodes.open(0).await;
    for topic in 0..3 {
        join(&mut client, &format!("t.{topic}"), "-").await;
    }
    let started = Instant::now();
    let mut bursts = JoinSet::new();
    for node in 0..3 {
        let mut publisher = nodes.open(node).await;
        bursts.spawn(async move {
            let burst = format!("t.{node} {each} 1020");
            assert_eq!(publisher.ask("burst", &burst).await.unwrap(), format!("handed {each}"));
        });
    }
    let mut got = 0;
    while got < each * 3 {
        let said = timeout(LONG, client.hear()).await.unwrap();
        got += usize::from(matches!(said.unwrap(), Said::Message { .. }));
    }
    let time = started.elapsed();
    bursts.join_all().await;
    figure(&format!(
        "{} messages of 1 KiB from three nodes through one stream to one client: {:.0} per second",
        each * 3,
        (each * 3) as f64 / time.as_secs_f64()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cost_of_topics_of_interest() {
    let (topics, time) = if Size::get().is_long { (10_000, 20) } else { (500, 1) };
    let Some(nodes) = Nodes::start(1, |of| of.audit = 10_000).await else { return };
    let pid = nodes.nodes[0].pid();
    let mut clients = Vec::new();
    for _ in 0..topics / 250 {
        clients.push(nodes.open(0).await);
    }
    let (_, before) = usage(pid);
    let started = Instant::now();
    for topic in 0..topics {
        let client = &mut clients[topic / 250];
        client.say("join", &format!("t.{topic} -")).await.unwrap();
    }
    for client in &mut clients {
        client.ask("ping", "").await.unwrap();
    }
    let joined = started.elapsed();
    sleep(Duration::from_secs(2)).await;
    let (busy, after) = usage(pid);
    sleep(Duration::from_secs(time)).await;
    let (later, _) = usage(pid);
    let counted = count(&nodes, 0).await;
    figure(&format!(
        "{topics} topics of interest at one node: joined in {joined:?} one after the other, {} octets each, {:.2} % of one processor without messages ({} looks at the stream)",
        after.saturating_sub(before) / topics as u64,
        (later - busy).as_secs_f64() / time as f64 * 100.0,
        counted["audits"]
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ephemeral_messages_do_not_grow_the_stream() {
    let Some(nodes) = Nodes::start(2, |_| {}).await else { return };
    let seconds = if Size::get().is_long { 10 } else { 1 };
    let (mut publisher, mut client) = (nodes.open(0).await, nodes.open(1).await);
    assert_eq!(client.ask("subscribe", "cursor.1").await.unwrap(), "subscribed");
    let before = nodes.last_sequence().await;
    // Interest takes a round trip.
    until("the topic is followed", async || {
        publisher.say("publish", "cursor.1 first").await.unwrap();
        timeout(Duration::from_millis(100), client.hear()).await.is_ok()
    })
    .await;
    while timeout(Duration::from_millis(200), client.hear()).await.is_ok() {}
    let receiving = tokio::spawn(async move {
        let mut got = 0u64;
        while let Ok(Some(_)) = timeout(Duration::from_secs(2), client.hear()).await {
            got += 1;
        }
        got
    });
    let started = Instant::now();
    let mut handed = 0;
    for tick in 0..seconds * 50 {
        let words = publisher.ask("burst", "cursor.1 400 40").await.unwrap();
        handed += words.strip_prefix("handed ").unwrap().parse::<u64>().unwrap();
        let next = Duration::from_millis(20) * (tick + 1);
        sleep(next.saturating_sub(started.elapsed())).await;
    }
    let time = started.elapsed();
    let got = receiving.await.unwrap();
    let after = nodes.last_sequence().await;
    assert_eq!(before, after);
    figure(&format!(
        "{handed} ephemeral messages, {:.0} per second: {got} came, and the stream grew by {}",
        handed as f64 / time.as_secs_f64(),
        after - before
    ));
    assert!(got > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quiet_topic_is_not_lost_on_a_node_that_kept_interest() {
    let Some(nodes) = Nodes::start(2, |of| {
        of.max_age = 1500;
        of.audit = 300;
    })
    .await
    else {
        return;
    };
    let (mut stays, mut goes) = (nodes.open(0).await, nodes.open(0).await);
    join(&mut stays, "t.0", "-").await;
    join(&mut goes, "t.0", "-").await;
    let mut publisher = nodes.open(1).await;
    publisher.ask("publish", "t.0 first").await.unwrap();
    let said = timeout(LONG, goes.hear()).await.unwrap().unwrap();
    let Said::Message { at, .. } = said else { panic!("{said:?}") };
    drop(goes);
    // The stream goes on, and forgets this as well: whether it was of the same topic nobody can tell who
    // did not hear it.
    publisher.ask("acked", "t.1 other").await.unwrap();
    sleep(Duration::from_secs(4)).await;
    let mut back = nodes.open(0).await;
    assert_eq!(join(&mut back, "t.0", &at.text).await.1, "all:0");
    // A node that had no interest cannot know it.
    let mut elsewhere = nodes.open(1).await;
    assert_eq!(join(&mut elsewhere, "t.0", &at.text).await.1, "lost");
    // What comes is live, after a silence longer than the stream remembers.
    publisher.ask("publish", "t.0 second").await.unwrap();
    for client in [&mut stays, &mut back, &mut elsewhere] {
        loop {
            match timeout(LONG, client.hear()).await.unwrap().unwrap() {
                Said::Message { body, .. } if body == "second" => break,
                Said::Message { body, .. } => assert_eq!(body, "first"),
                Said::Gap { .. } => panic!("a gap is told where nothing is missing"),
                _ => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latest_message_comes_first() {
    let Some(nodes) = Nodes::start(2, |_| {}).await else { return };
    let mut publisher = nodes.open(0).await;
    for body in ["one", "two"] {
        publisher.ask("acked", &format!("t.0 {body}")).await.unwrap();
    }
    let mut client = nodes.open(1).await;
    client.say("join", "t.0 latest").await.unwrap();
    client.say("join", "t.1 latest").await.unwrap();
    let (mut bodies, mut answers) = (Vec::new(), Vec::new());
    while bodies.is_empty() || answers.len() < 2 {
        match timeout(LONG, client.hear()).await.unwrap().unwrap() {
            Said::Message { body, .. } => bodies.push(body),
            Said::Answer { words, .. } => answers.push(words),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(bodies, ["two"]);
    assert!(answers[0].ends_with(" all:1") && answers[1].ends_with(" all:0"), "{answers:?}");
}
