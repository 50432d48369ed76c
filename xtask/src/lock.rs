//! Reads `Cargo.lock`.

/// The locked packages, each with its version.
pub(crate) fn locked(lock: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = lock.lines().zip(lock.lines().skip(1));
    pairs.filter_map(|(line, next)| Some((quoted(line, "name")?, quoted(next, "version")?)))
}

fn quoted<'l>(line: &'l str, key: &str) -> Option<&'l str> {
    line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_locked_package_is_read() {
        let lock = "version = 4\n\n[[package]]\nname = \"bytes\"\nversion = \"1.11.0\"\n\
            source = \"registry\"\n\n[[package]]\nname = \"tokio\"\nversion = \"1.100.0\"\n\
            dependencies = [\n \"bytes\",\n]\n";
        assert_eq!(locked(lock).collect::<Vec<_>>(), [("bytes", "1.11.0"), ("tokio", "1.100.0")]);
    }
}
