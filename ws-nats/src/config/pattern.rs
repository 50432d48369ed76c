//! Patterns of topics.

/// Whether `topic` matches `pattern`, in which `*` stands for any run of characters and every other
/// character for itself. Takes time in proportion to the product of the lengths at most.
pub(crate) fn matches(pattern: &str, topic: &str) -> bool {
    let (pattern, topic) = (pattern.as_bytes(), topic.as_bytes());
    let (mut p, mut t) = (0, 0);
    // The last star, and how far the topic is matched by what lies before and under it.
    let mut star = None;
    while t < topic.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(octet) if Some(octet) == topic.get(t) => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                (p, t) = (at + 1, taken + 1);
            }
        }
    }
    pattern.get(p..).is_none_or(|rest| rest.iter().all(|octet| *octet == b'*'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition.
    fn by_definition(pattern: &[char], topic: &[char]) -> bool {
        match pattern {
            [] => topic.is_empty(),
            ['*', rest @ ..] => (0..=topic.len()).any(|from| by_definition(rest, &topic[from..])),
            [first, rest @ ..] => topic.first() == Some(first) && by_definition(rest, &topic[1..]),
        }
    }

    proptest! {
        #[test]
        fn pattern_matches_by_definition(pattern in "[ab*é]{0,7}", topic in "[ab*é]{0,9}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &topic), by_definition(&chars(&pattern), &chars(&topic)));
        }
    }

    #[test]
    fn star_is_any_run_of_characters() {
        for (pattern, topic) in
            [("*", ""), ("*", "a.b"), ("cursor.*", "cursor."), ("*.typing", "a.b.typing")]
        {
            assert!(matches(pattern, topic), "{pattern:?} {topic:?}");
        }
        for (pattern, topic) in
            [("", "a"), ("cursor.*", "cursor"), ("*.typing", "typing"), ("a", "A")]
        {
            assert!(!matches(pattern, topic), "{pattern:?} {topic:?}");
        }
    }
}
