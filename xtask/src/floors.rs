//! The oldest versions that `Cargo.lock` may hold: below them lie published vulnerabilities.

/// RT-56.
const FLOORS: &[(&str, [u64; 3])] = &[
    ("bytes", [1, 11, 1]),
    ("h2", [0, 4, 18]),
    ("rustls", [0, 23, 46]),
    ("tokio", [1, 44, 2]),
    ("zlib-rs", [0, 4, 0]),
];

/// The packages of a `Cargo.lock`, each with its version.
pub(crate) fn locked(lock: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = lock.lines().zip(lock.lines().skip(1));
    pairs.filter_map(|(line, next)| Some((quoted(line, "name")?, quoted(next, "version")?)))
}

fn quoted<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')
}

/// What lies below its floor, one line each.
pub(crate) fn sunken<'l>(locked: impl Iterator<Item = (&'l str, &'l str)>) -> Vec<String> {
    locked
        .filter_map(|(name, version)| {
            let (_, floor) = FLOORS.iter().find(|(floored, _)| *floored == name)?;
            let [major, minor, patch] = floor;
            (numbers(version) < *floor).then(|| {
                format!("{name} {version} is locked, below {major}.{minor}.{patch}: `cargo update -p {name}`")
            })
        })
        .collect()
}

/// Major, minor, patch.
fn numbers(version: &str) -> [u64; 3] {
    let release = version.split(['-', '+']).next().unwrap_or_default();
    let mut parts = release.split('.').map(|part| part.parse().unwrap_or(0));
    [(); 3].map(|()| parts.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"version = 4

[[package]]
name = "bytes"
version = "1.11.0"
source = "registry"

[[package]]
name = "tokio"
version = "1.100.0"
dependencies = [
 "bytes",
]
"#;

    #[test]
    fn every_locked_package_is_read() {
        assert_eq!(locked(LOCK).collect::<Vec<_>>(), [("bytes", "1.11.0"), ("tokio", "1.100.0")]);
    }

    #[test]
    fn version_below_its_floor_is_named() {
        let found = sunken(locked(LOCK));
        assert_eq!(found, ["bytes 1.11.0 is locked, below 1.11.1: `cargo update -p bytes`"]);
    }

    #[test]
    fn versions_are_compared_by_number() {
        assert!(
            sunken([("bytes", "1.11.1"), ("tokio", "1.44.10"), ("other", "0.0.1")].into_iter())
                .is_empty()
        );
        assert_eq!(sunken([("h2", "0.4.9")].into_iter()).len(), 1);
    }
}
