//! Numbers in three digits.

/// Nanoseconds.
pub(super) fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        1e6.. => format!("{} ms", digits(nanoseconds / 1e6)),
        1e3.. => format!("{} µs", digits(nanoseconds / 1e3)),
        _ => format!("{} ns", digits(nanoseconds)),
    }
}

/// How many, per second.
pub(super) fn rate(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", digits(value / 1e6)),
        1e3.. => format!("{} k", digits(value / 1e3)),
        _ => digits(value),
    }
}

/// Bytes.
pub(super) fn bytes(value: f64) -> String {
    match value {
        1_048_576.0.. => format!("{} MiB", digits(value / 1_048_576.0)),
        1024.0.. => format!("{} KiB", digits(value / 1024.0)),
        _ => format!("{value:.0} B"),
    }
}

fn digits(value: f64) -> String {
    match value {
        99.95.. => format!("{value:.0}"),
        9.995.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
