//! Numbers with three digits. `xtask` uses this file too, so that table and page agree.

/// Nanoseconds.
pub(crate) fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        1e6.. => format!("{} ms", digits(nanoseconds / 1e6)),
        1e3.. => format!("{} µs", digits(nanoseconds / 1e3)),
        _ => format!("{} ns", digits(nanoseconds)),
    }
}

/// A rate per second.
pub(crate) fn rate(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", digits(value / 1e6)),
        1e3.. => format!("{} k", digits(value / 1e3)),
        _ => digits(value),
    }
}

/// Bytes.
pub(crate) fn bytes(value: f64) -> String {
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

#[cfg(test)]
mod tests {
    use super::{bytes, rate, time};

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([214.4, 6214.0, 1.25e7].map(time), ["214 ns", "6.21 µs", "12.5 ms"]);
        assert_eq!([99.96, 4.61e6, 152_000.0].map(rate), ["100", "4.61 M", "152 k"]);
        assert_eq!([500.4, 2048.0, 3e6].map(bytes), ["500 B", "2.00 KiB", "2.86 MiB"]);
    }
}
