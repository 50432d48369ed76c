//! `cargo xtask new-extension`, as its user has it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// An empty directory of the test's own.
fn empty(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::remove_dir_all(&dir).ok();
    fs::create_dir_all(&dir).expect("a directory");
    dir
}

fn new_extension(name: &str, dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(["new-extension", name, "--dir"]).arg(dir).current_dir(root());
    command.output().expect("xtask starts")
}

#[test]
fn new_extension_builds_and_passes_the_kit() {
    let dir = empty("new-extension");
    let made = new_extension("x-sample", &dir);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let home = dir.join("ws-ext-x-sample");
    // The versions that the workspace was tested with, which are at hand.
    fs::copy(root().join("Cargo.lock"), home.join("Cargo.lock")).expect("a lock file");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut test = Command::new(cargo);
    test.args(["test", "--offline", "--target-dir"]).arg(target).current_dir(home);
    let output = test.output().expect("cargo starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("test contract_is_kept ... ok"), "{text}");
}

#[test]
fn refused_names_leave_nothing_and_say_what_to_take() {
    let dir = empty("new-extension-refused");
    for name in ["X", "a b", "../up", "permessage-deflate", "deflate"] {
        let refused = new_extension(name, &dir);
        assert!(!refused.status.success(), "{name}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("choose another name") || said.contains("x-gauge"), "{name}: {said}");
    }
    assert_eq!(fs::read_dir(&dir).expect("the directory").count(), 0);
}

#[test]
fn what_is_there_is_left_alone() {
    let dir = empty("new-extension-there");
    let file = dir.join("ws-ext-x-sample/mine");
    fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
    fs::write(&file, "of worth").expect("a file");
    let refused = new_extension("x-sample", &dir);
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("already exists"));
    assert_eq!(fs::read_to_string(&file).expect("the file"), "of worth");
    assert_eq!(fs::read_dir(dir.join("ws-ext-x-sample")).expect("it").count(), 1);
}
