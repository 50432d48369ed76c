//! A crate of one's own, outside of the workspace, into which the listings are pasted.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::{Mutex, OnceLock},
    thread,
    time::{Duration, Instant},
};

use crate::{LISTINGS, blocks, read, root};

/// What the README leaves to who takes it up: the opening handshake of `own_io`.
const MORE: &str = "ws-handshake = { path = \"../websocket/ws-handshake\" }\ngetrandom = \"0.4\"\n";

/// A listing whose text says where it listens.
const FIXED: &str = "127.0.0.1:9001";

/// Where the programs were built, and what keeps free the port of the one that has no option.
struct Newcomer {
    programs: PathBuf,
    port: Mutex<Option<TcpListener>>,
}

/// Held while a child is started, which for a moment has our sockets too: the port that is kept free
/// would stay taken.
static STARTING: Mutex<()> = Mutex::new(());

/// Builds it once for all tests.
fn newcomer() -> &'static Newcomer {
    static BUILT: OnceLock<Newcomer> = OnceLock::new();
    BUILT.get_or_init(|| {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = port.local_addr().expect("an address").to_string();
        let root = root();
        let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("newcomer");
        let sources = home.join("src/bin");
        fs::create_dir_all(&sources).expect("a directory");
        for listing in &LISTINGS {
            let file = Path::new(listing.example).file_name().expect("a name");
            let text = read(listing.example).replace(FIXED, &address);
            fs::write(sources.join(file), text).expect("a source");
        }
        let [dependencies] = blocks("toml").try_into().expect("one block of TOML");
        let clone = root.to_string_lossy().replace('\\', "/");
        let dependencies = (dependencies + MORE).replace("../websocket", &clone);
        let manifest = format!(
            "[package]\nname = \"newcomer\"\nedition = \"2024\"\n\n{dependencies}\n[workspace]\n"
        );
        fs::write(home.join("Cargo.toml"), manifest).expect("a manifest");
        // The versions that the workspace was tested with, which are at hand.
        fs::copy(root.join("Cargo.lock"), home.join("Cargo.lock")).expect("a lock file");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--quiet", "--offline", "--target-dir"]).arg(target).current_dir(home);
        assert!(build.status().expect("cargo").success(), "what the README says does not build");
        Newcomer { programs: target.join("debug"), port: Mutex::new(Some(port)) }
    })
}

/// A program that runs until it is dropped.
pub(crate) struct Program {
    child: Child,
    /// Open as long as it runs, since it may print.
    output: BufReader<ChildStdout>,
    pub(crate) address: String,
}

impl Program {
    /// Starts a program that says where it listens.
    pub(crate) fn start(name: &str, words: &[&str]) -> Self {
        let mut program = Self::spawn(name, words);
        let mut line = String::new();
        program.output.read_line(&mut line).expect("its output");
        let address = line.trim_end().strip_prefix("listening on ");
        program.address = address.unwrap_or_else(|| panic!("{name} printed {line:?}")).to_owned();
        program
    }

    /// Starts the program whose text says where it listens, and waits until it does.
    pub(crate) fn start_on_its_port(name: &str) -> Self {
        let port = newcomer().port.lock().expect("no panic").take().expect("it is started once");
        let address = port.local_addr().expect("an address").to_string();
        {
            let _nobody_starts = STARTING.lock().expect("no panic");
            drop(port);
        }
        let mut program = Self::spawn(name, &[]);
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(&address).is_err() {
            let ended = program.child.try_wait().expect("its status");
            assert!(
                ended.is_none() && Instant::now() < deadline,
                "{name} does not listen: {ended:?}"
            );
            thread::sleep(Duration::from_millis(10));
        }
        program.address = address;
        program
    }

    fn spawn(name: &str, words: &[&str]) -> Self {
        let file = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        let mut command = Command::new(newcomer().programs.join(file));
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = {
            let _one_at_a_time = STARTING.lock().expect("no panic");
            command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, output, address: String::new() }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Both fail only where it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
