//! Every attack, small and short, on a server of this workspace: it does what it says, and the
//! server goes on.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ws_bench::hostile::{ATTACKS, Attack, Cost, Needs, Scale, Target, named};
use ws_server::{Connect, Deflate, HandlerError, Message, Server, WebSocket};

const CLIENTS: usize = 4;
const TIME: Duration = Duration::from_secs(4);

async fn echo(mut ws: WebSocket) -> Result<(), HandlerError> {
    while let Some(message) = ws.recv().await {
        ws.send(message).await?;
    }
    Ok(())
}

async fn broadcast(mut ws: WebSocket) -> Result<(), HandlerError> {
    let everyone = ws.subscribe("broadcast")?;
    while let Some(message) = ws.recv().await {
        everyone.publish(message);
    }
    Ok(())
}

/// A server that lasts as long as the test, on a thread of its own.
fn server() -> SocketAddr {
    let (sender, address) = mpsc::channel();
    thread::spawn(move || {
        on_a_runtime(async {
            let server = Server::new()
                .route("/echo", echo)
                .route("/broadcast", broadcast)
                .extension(Deflate::default());
            let server = server.bind("127.0.0.1:0").await.expect("a port");
            sender.send(server.local_addr().expect("an address")).expect("the test waits");
            server.serve().await
        });
    });
    let address = address.recv().expect("an address");
    address.to_string().parse().expect("an address of TCP")
}

fn target(address: SocketAddr, attack: &Attack) -> Target {
    let path = if attack.needs == Needs::Broadcast { "/broadcast" } else { "/echo" };
    Target::new(address, path).expect("loopback")
}

fn on_a_runtime<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test)
}

async fn cost(name: &str) -> Cost {
    let attack = named(name).expect("an attack");
    let address = server();
    let scale = Scale::with(CLIENTS, TIME);
    let cost = attack.run(&target(address, attack), scale).await;
    // Whatever it suffered, it serves.
    let mut ws =
        Connect::new(&format!("ws://{address}/echo")).connect().await.expect("a WebSocket");
    ws.send("still here").await.expect("open");
    assert_eq!(ws.recv().await, Some(Message::from("still here")), "{name}");
    cost
}

#[test]
fn every_attack_connects_and_sends_and_the_server_goes_on() {
    on_a_runtime(async {
        let mut attacks = tokio::task::JoinSet::new();
        for attack in ATTACKS {
            attacks.spawn(async { (attack.name, cost(attack.name).await) });
        }
        for (name, cost) in attacks.join_all().await {
            assert!(cost.connections > 0, "{name}: {cost:?}");
            assert!(cost.octets > 0, "{name}: {cost:?}");
            assert_eq!(cost.failed, 0, "{name}: {cost:?}");
            assert!(cost.time >= TIME, "{name}: {cost:?}");
            let opened = cost.statuses.get(&101).copied().unwrap_or_default();
            let without = ["slow-heads", "large-heads"].contains(&name);
            assert_eq!(opened == 0, without, "{name}: {cost:?}");
        }
    });
}

#[test]
fn attackers_are_told_why_they_are_refused() {
    on_a_runtime(async {
        let told = async |name, code: u16| {
            let cost = cost(name).await;
            assert!(cost.closes.get(&code).is_some_and(|times| *times > 0), "{name}: {cost:?}");
        };
        tokio::join!(
            told("pings", 1008),
            told("tiny-fragments", 1008),
            told("empty-fragments", 1008),
            told("bombs-large", 1009),
            told("garbage", 1002),
            async {
                let cost = cost("large-heads").await;
                assert!(cost.statuses.contains_key(&431), "{cost:?}");
            },
        );
    });
}

#[test]
fn attackers_come_from_many_addresses_of_this_machine_alone() {
    assert!(Target::new(SocketAddr::from(([192, 0, 2, 1], 80)), "/").is_none());
    let scale = Scale::with(1000, Duration::from_secs(1));
    assert_eq!((scale.connections, scale.addresses), (1000, 8));
}
