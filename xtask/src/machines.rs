//! Other machines: 32 bits and big-endian under emulation, and whether it compiles for other systems.
//!
//! Debian's Rust brings the sources of the standard library of the same version, from which cargo builds
//! it for each target. No other toolchain is needed.

use std::process::Command;

use crate::failure::Result;
use crate::process::run;
use crate::tools;
use crate::workspace::{Workspace, cargo};

/// A machine that is emulated.
struct Machine {
    /// `ARCHITECTURE-unknown-linux-gnu`.
    architecture: &'static str,
    /// What is different there.
    what: &'static str,
    emulator: &'static str,
    /// The prefix of the linker, and the folder of its C library below `/usr`.
    gnu: &'static str,
}

const MACHINES: [Machine; 3] = [
    Machine { architecture: "i686", what: "32 bits", emulator: "qemu-i386", gnu: "i686-linux-gnu" },
    Machine {
        architecture: "aarch64",
        what: "another instruction set",
        emulator: "qemu-aarch64",
        gnu: "aarch64-linux-gnu",
    },
    Machine {
        architecture: "s390x",
        what: "big-endian",
        emulator: "qemu-s390x",
        gnu: "s390x-linux-gnu",
    },
];

/// Other systems, for which the libraries are only checked.
const CHECKED: [&str; 2] = ["x86_64-pc-windows-msvc", "aarch64-apple-darwin"];

/// What is tested: crates with the tests in which octets, lengths and limits decide. Those that count
/// work and memory take too long under emulation.
const TESTED: [(&str, &[&str]); 2] = [
    (
        "ws-core",
        &[
            "frame_header",
            "framing",
            "fragmentation",
            "text",
            "control",
            "close_codes",
            "closing",
            "limits",
            "rsv",
            "sending",
            "streaming",
            "reference",
        ],
    ),
    ("ws-handshake", &[]),
];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these: i686, aarch64, s390x, windows, darwin
    machines: Vec<String>,
}

impl Options {
    fn includes(&self, target: &str) -> bool {
        self.machines.is_empty() || self.machines.iter().any(|name| target.contains(name))
    }
}

pub(crate) fn machines(workspace: &Workspace, options: &Options) -> Result<()> {
    let rustc = tools::rustc_with_sources(workspace)?;
    let cargo = |words: &[&str], target: &str| {
        let mut cargo = cargo();
        cargo.args(words).args(["--locked", "-Zbuild-std", "--target", target]);
        cargo.current_dir(&workspace.root).env("RUSTC", &rustc).env("RUSTC_BOOTSTRAP", "1");
        cargo.env("CARGO_TARGET_DIR", workspace.target.join("machines"));
        cargo.env("CARGO_PROFILE_DEV_OPT_LEVEL", "1").env("CARGO_PROFILE_DEV_DEBUG", "0");
        cargo.env_remove("RUSTFLAGS").env_remove("RUSTC_WRAPPER");
        cargo
    };
    for machine in MACHINES {
        let target = format!("{}-unknown-linux-gnu", machine.architecture);
        if options.includes(&target) {
            tools::emulated(machine.gnu, machine.emulator)?;
            println!("xtask machines: {target} ({}): tests", machine.what);
            for (package, tests) in TESTED {
                let mut test = cargo(&["test", "-p", package, "--lib"], &target);
                for name in tests {
                    test.args(["--test", name]);
                }
                emulate(&mut test, &target, &machine);
                let mend = format!("see above; `cargo xtask machines {}`", machine.architecture);
                run(&format!("the tests of {package} on {target}"), &mut test, &mend)?;
            }
        }
    }
    for target in CHECKED.into_iter().filter(|target| options.includes(target)) {
        println!("xtask machines: {target}: check");
        let crates =
            ["-p", "ws-core", "-p", "ws-handshake", "-p", "ws-ext-deflate", "-p", "ws-server"];
        let mut check = cargo(&["check", "--lib"], target);
        run(&format!("cargo check for {target}"), check.args(crates), "see the message above")?;
    }
    println!(
        "xtask machines: NOT RUN: macOS and Windows themselves, wss and ws-nats elsewhere, Miri"
    );
    Ok(())
}

/// Links by the cross compiler, and runs under the emulator.
fn emulate(cargo: &mut Command, target: &str, machine: &Machine) {
    let variable = |what: &str| {
        format!("CARGO_TARGET_{}_{what}", target.to_ascii_uppercase().replace('-', "_"))
    };
    cargo.env(variable("LINKER"), format!("{}-gcc", machine.gnu));
    cargo.env(variable("RUNNER"), format!("{} -L /usr/{}", machine.emulator, machine.gnu));
    cargo.env("PROPTEST_CASES", "64");
}
