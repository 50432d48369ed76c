//! Whether something grows, told so that neither noise nor a few outliers decide.

/// How a figure went on over the phase that is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Trend {
    /// The median of the second third.
    pub(super) middle: f64,
    /// The median of the last third.
    pub(super) last: f64,
    /// The median of the slopes between any two samples (Theil and Sen), for each hour.
    pub(super) per_hour: f64,
}

/// `None` for less than nine samples, of which nobody can tell.
pub(super) fn trend(series: &[(f64, f64)]) -> Option<Trend> {
    if series.len() < 9 {
        return None;
    }
    let third = series.len() / 3;
    let values = |part: &[(f64, f64)]| part.iter().map(|(_, value)| *value).collect::<Vec<_>>();
    let last = series.len() - third;
    Some(Trend {
        middle: median(values(&series[last - third..last])),
        last: median(values(&series[last..])),
        per_hour: 3600.0 * slope(series),
    })
}

/// The middle one, or the mean of the two in the middle. `values` is not empty.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    if values.len() % 2 == 1 { values[half] } else { f64::midpoint(values[half - 1], values[half]) }
}

/// Of many samples, as many are taken as make half a million pairs.
fn slope(series: &[(f64, f64)]) -> f64 {
    let step = series.len().div_ceil(1000);
    let some: Vec<_> = series.iter().step_by(step).collect();
    let pairs = some.iter().enumerate().flat_map(|(nth, (x, y))| {
        some[nth + 1..].iter().map(move |(later, then)| (then - y) / (later - x))
    });
    median(pairs.filter(|slope| slope.is_finite()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(of: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..90).map(|second| (f64::from(second), of(f64::from(second)))).collect()
    }

    #[test]
    fn growth_is_seen_through_noise_and_outliers() {
        let noise = |x: f64| (x * 12.9898).sin() * 50.0 + if x % 17.0 == 0.0 { 1e6 } else { 0.0 };
        let still = trend(&series(|x| 1000.0 + noise(x))).expect("a trend");
        assert!((still.last - still.middle).abs() < 40.0, "{still:?}");
        let grows = trend(&series(|x| 1000.0 + 10.0 * x + noise(x))).expect("a trend");
        assert!(grows.last - grows.middle > 250.0, "{grows:?}");
        assert!((grows.per_hour / 3600.0 - 10.0).abs() < 1.0, "{grows:?}");
    }

    #[test]
    fn few_samples_have_no_trend() {
        assert_eq!(trend(&series(|x| x)[..8]), None);
    }
}
