//! Times as JetStream writes them.

/// Milliseconds since 1970 of `2026-11-30T13:57:41.650800864Z`, in UTC. JetStream writes no other form.
pub(crate) fn millis(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z')?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (date, time) = seconds.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut time = time.splitn(3, ':').map(|part| part.parse::<i64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let is_date =
        (0..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let is_time =
        (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    if !is_date || !is_time || !fraction.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let mut millis = 0;
    for index in 0..3 {
        let digit = fraction.as_bytes().get(index).map_or(0, |digit| digit - b'0');
        millis = millis * 10 + i64::from(digit);
    }
    // Days since 1970 in the Gregorian calendar; a year begins with March.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * month + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    u64::try_from(seconds * 1000 + millis).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_jetstream_are_read() {
        for (text, millis_since_1970) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-11-30T13:57:41.650800864Z", 1_796_047_061_650),
            ("2024-02-29T23:59:59.5Z", 1_709_251_199_500),
            ("2000-03-01T00:00:00.001Z", 951_868_800_001),
        ] {
            assert_eq!(millis(text), Some(millis_since_1970), "{text}");
        }
    }

    #[test]
    fn other_times_are_none() {
        for text in [
            "",
            "Z",
            "2026-11-30",
            "2026-13-01T00:00:00Z",
            "2026-11-30T13:57:41.6x0Z",
            "0001-01-01T00:00:00Z",
            "99999999999999999999-01-01T00:00:00Z",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
