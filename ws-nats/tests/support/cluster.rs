//! Three servers that replicate.

use super::{LONG, nats_server, port, server::Server, setup::Setup, until};

/// A cluster. Clients are not told of the others, so that they stay where a test puts them.
pub(crate) struct Cluster {
    pub(crate) servers: Vec<Server>,
}

impl Cluster {
    /// Starts three servers, and waits until JetStream is ready. `None` without the program.
    pub(crate) async fn start() -> Option<Self> {
        Self::with(Setup::default()).await
    }

    /// As [`start`](Self::start); `setup` is that of each.
    pub(crate) async fn with(setup: Setup) -> Option<Self> {
        let program = nats_server()?;
        let ports = [port::free(), port::free(), port::free()];
        let routes = ports.map(|port| format!("nats://127.0.0.1:{port}")).join(", ");
        let servers = (1..).zip(ports).map(|(number, port)| {
            let setup = setup.clone().name(format!("test{number}")).text(format!(
                "cluster {{ name: test, listen: \"127.0.0.1:{port}\", no_advertise: true, routes: [{routes}] }}"
            ));
            let mut server = Server::prepare(program.clone(), &setup);
            server.run();
            server
        });
        let mut cluster = Self { servers: servers.collect() };
        for server in &mut cluster.servers {
            server.wait().await;
        }
        cluster.ready().await;
        Some(cluster)
    }

    /// Waits until each server that runs knows a leader of JetStream.
    pub(crate) async fn ready(&self) {
        for server in &self.servers {
            until("JetStream has a leader", async || {
                let connected = async_nats::connect(server.url()).await;
                let Ok(client) = connected else { return false };
                async_nats::jetstream::new(client).query_account().await.is_ok()
            })
            .await;
        }
    }

    /// The addresses of all, with a comma between two.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(Server::url).collect()
    }

    /// The place in `servers` of the one that leads the stream. Waits until there is one.
    pub(crate) async fn leader(&self, stream: &str) -> usize {
        let started = std::time::Instant::now();
        loop {
            for server in &self.servers {
                let Ok(client) = async_nats::connect(server.url()).await else { continue };
                let context = async_nats::jetstream::new(client);
                let Ok(stream) = context.get_stream(stream).await else { continue };
                let cluster = stream.cached_info().cluster.as_ref();
                let leader = cluster.and_then(|cluster| cluster.leader.as_deref());
                let number =
                    leader.and_then(|name| name.strip_prefix("test")?.parse::<usize>().ok());
                if let Some(number) = number {
                    return number - 1;
                }
            }
            assert!(started.elapsed() < LONG, "no server leads the stream {stream}");
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}
