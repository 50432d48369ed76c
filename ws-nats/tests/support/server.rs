//! One server.

use std::{
    fs::{self, File},
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{LONG, dir::Dir, nats_server, port, setup::Setup};

/// A nats-server. Dropping it kills it and removes its directory.
#[derive(Debug)]
pub(crate) struct Server {
    program: PathBuf,
    port: u16,
    dir: Dir,
    child: Option<Child>,
}

impl Server {
    /// Starts one with JetStream. `None` without the program.
    pub(crate) async fn start() -> Option<Self> {
        Self::with(Setup::default()).await
    }

    /// Starts one. `None` without the program.
    pub(crate) async fn with(setup: Setup) -> Option<Self> {
        let program = setup.program.clone().or_else(nats_server)?;
        let mut server = Self::prepare(program, &setup);
        server.run();
        server.wait().await;
        Some(server)
    }

    /// Writes its configuration.
    pub(super) fn prepare(program: PathBuf, setup: &Setup) -> Self {
        let (dir, port) = (Dir::new(), setup.port.unwrap_or_else(port::free));
        dir.write("nats.conf", setup.file(port, &dir));
        Self { program, port, dir, child: None }
    }

    /// Starts the process, without waiting for it.
    pub(super) fn run(&mut self) {
        let log = File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = tied(&self.program);
        command.arg("-c").arg(self.dir.path().join("nats.conf"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// Waits until it greets.
    pub(super) async fn wait(&mut self) {
        let started = Instant::now();
        while !self.greets() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().unwrap());
            assert!(
                ended.is_none() && started.elapsed() < LONG,
                "nats-server did not start:\n{}\n{}",
                fs::read_to_string(self.dir.path().join("nats.conf")).unwrap_or_default(),
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn greets(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(self.address()) else { return false };
        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
        let mut greeting = [0; 5];
        match stream.read_exact(&mut greeting) {
            Ok(()) => &greeting == b"INFO ",
            // With `handshake_first` it waits for TLS.
            Err(_) => {
                fs::read_to_string(self.log_path()).is_ok_and(|log| log.contains("Server is ready"))
            }
        }
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `nats://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// A client of the test's own.
    pub(crate) async fn client(&self) -> async_nats::Client {
        async_nats::connect(self.url()).await.unwrap()
    }

    /// Another client of the test's own, with JetStream.
    pub(crate) async fn jetstream(&self) -> async_nats::jetstream::Context {
        async_nats::jetstream::new(self.client().await)
    }

    /// Kills it (SIGKILL): nothing that it has not yet written survives.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again, after [`kill`](Self::kill), on the same port and in the same directory.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        self.run();
        self.wait().await;
    }

    /// Stops it (SIGSTOP) as a machine stops that hangs: its connections stay, and nothing moves.
    #[cfg(unix)]
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    /// Continues it (SIGCONT).
    #[cfg(unix)]
    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// Writes other settings; they count after the next start, or [`reload`](Self::reload).
    pub(crate) fn configure(&self, setup: &Setup) {
        self.dir.write("nats.conf", setup.file(self.port, &self.dir));
    }

    /// Lets it read its configuration again (SIGHUP).
    #[cfg(unix)]
    pub(crate) fn reload(&self) {
        self.signal("HUP");
    }

    #[cfg(unix)]
    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("it runs");
        let mut kill = Command::new("kill");
        assert!(
            kill.arg(format!("-{name}")).arg(child.id().to_string()).status().unwrap().success()
        );
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            // Shown with the failed test.
            println!("--- log of the nats-server at {}\n{}", self.address(), self.log());
        }
    }
}

/// A command that the kernel kills when the thread of the test ends in whatever way, where `setpriv`
/// (util-linux) is installed.
pub(crate) fn tied(program: &Path) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    if !cfg!(target_os = "linux") || !setpriv.is_file() {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}
