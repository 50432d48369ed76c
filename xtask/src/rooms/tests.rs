use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A folder of sources, removed after the test.
struct Tree(PathBuf);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("rooms-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let root = std::env::temp_dir().join(name);
        for (file, text) in files {
            let path = root.join("src").join(file);
            fs::create_dir_all(path.parent().expect("a folder")).expect("it is created");
            fs::write(path, text).expect("it is written");
        }
        Self(root)
    }

    fn breaches(&self) -> Vec<String> {
        breaches("it", &self.0.join("src/lib.rs")).expect("it is read")
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The findings for two rooms and a root.
fn found(root: &str, one: &str, two: &str) -> Vec<String> {
    Tree::new(&[("lib.rs", root), ("one.rs", one), ("two.rs", two)]).breaches()
}

const ROOT: &str = "mod one; mod two; pub use two::Two; pub use crate::one::{One, Uno as Ein};";

#[test]
fn rooms_that_import_each_other_are_named_with_a_line_of_each_arrow() {
    let found = found(ROOT, "\nuse crate::two::Two;\npub struct One;", "use crate::one::One;");
    assert_eq!(
        found,
        ["it: one and two import each other\n    \
          one -> two: src/one.rs:2: crate::two::Two\n    \
          two -> one: src/two.rs:1: crate::one::One"]
    );
}

#[test]
fn import_in_one_direction_is_no_circle() {
    assert_eq!(found(ROOT, "use crate::two::Two; pub struct One;", "pub struct Two;").len(), 0);
}

#[test]
fn name_at_the_root_counts_for_the_room_that_defines_it() {
    for back in [
        "use crate::One;",
        "use super::One;",
        "use crate::{Ein as Un};",
        "use crate::{self as root, One};",
    ] {
        let found = found(ROOT, "pub struct One; pub struct Uno; use crate::two::Two;", back);
        assert_eq!(found.len(), 1, "{back}");
    }
    // A room that re-exports a name does not define it.
    let passed_on = "mod one; mod two; pub use one::Two;";
    assert_eq!(
        found(passed_on, "pub use crate::two::Two;", "struct Two; use crate::Two as Own;").len(),
        0
    );
    let by_globs = "mod one; mod two; pub use one::*; pub use two::*;";
    assert_eq!(
        found(by_globs, "pub struct One; use crate::Two;", "pub struct Two; use crate::One;").len(),
        1
    );
}

#[test]
fn paths_in_code_types_and_macros_are_imports() {
    for back in [
        "fn f() { crate::one::f() }",
        "fn f() -> Option<super::one::One> { None }",
        "fn f() { assert!(g() == crate::one::f(), \"{}\", 1) }",
        "impl crate::one::Trait for Two {}",
        "fn f() { use super::one::f; }",
        "mod inner { fn f() { super::super::one::f() } }",
        "#[derive(Clone)] struct Two { one: Vec<crate::one::One> }",
    ] {
        assert_eq!(found(ROOT, "use crate::two::Two;", back).len(), 1, "{back}");
    }
}

#[test]
fn own_modules_other_crates_comments_and_visibilities_are_no_imports() {
    for back in [
        "// crate::one::One\n/// [`crate::one`]\nstruct Two;",
        "pub(in crate::one) struct Two;",
        "use one::One; use ::one::Two; fn f() { std::one::f() }",
        "mod inner { pub(super) struct One; } use self::inner::One; fn f() { crate::two::inner::f() }",
    ] {
        assert_eq!(found(ROOT, "use crate::two::Two;", back).len(), 0, "{back}");
    }
}

#[test]
fn tests_and_links_of_the_docs_do_not_count() {
    for back in [
        "#[cfg(test)] mod tests { use crate::one::One; }",
        "#[cfg(all(test, unix))] mod tests;",
        "#[cfg(test)] use crate::one::One;",
        "#[cfg(doc)] use crate::one::One;",
    ] {
        assert_eq!(found(ROOT, "use crate::two::Two;", back).len(), 0, "{back}");
    }
    assert_eq!(found(ROOT, "use crate::two::Two;", "#[cfg(unix)] use crate::one::One;").len(), 1);
}

#[test]
fn folder_is_one_room_and_files_within_it_may_know_each_other() {
    let files = [
        ("lib.rs", "mod one; mod two;"),
        ("one.rs", "mod left; mod right; #[path = \"odd.rs\"] mod named;"),
        ("one/left.rs", "use super::right::R; use crate::one::named::N;"),
        ("one/right/mod.rs", "use crate::one::left::L;"),
        ("odd.rs", "use super::left::L;"),
        ("two.rs", "use crate::one::left::L;"),
    ];
    assert_eq!(Tree::new(&files).breaches(), Vec::<String>::new());
    let mut deeper = files;
    deeper[3].1 = "use super::super::two::T;";
    let found = Tree::new(&deeper).breaches();
    assert!(found[0].contains("one -> two: src/one/right/mod.rs:1"), "{found:?}");
}

#[test]
fn longer_circle_is_found_once() {
    let tree = Tree::new(&[
        ("lib.rs", "mod a; mod b; mod c; mod d;"),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "use crate::c::C;"),
        ("c.rs", "use crate::a::A;"),
        ("d.rs", "use crate::a::A;"),
    ]);
    let found = tree.breaches();
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("it: a, b, c import each other in a circle\n"), "{found:?}");
}
