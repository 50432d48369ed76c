//! Which topics are stored.

use super::pattern;

/// What becomes of what is published to a topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TopicKind {
    /// Kept in the stream: one order, history, positions.
    #[default]
    Stored,
    /// Kept nowhere: to whoever is there.
    Ephemeral,
}

/// Topics by a pattern. See [`Config::stored`](crate::Config::stored).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern {
    /// `*` stands for any run of characters.
    pub pattern: String,
    /// What the topics are that it matches.
    pub kind: TopicKind,
}

/// By the last pattern that matches.
pub(super) fn kind(patterns: &[TopicPattern], topic: &str) -> TopicKind {
    let last = patterns.iter().rev().find(|entry| pattern::matches(&entry.pattern, topic));
    last.map_or(TopicKind::Stored, |entry| entry.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn last_pattern_that_matches_counts() {
        let config = Config::default().ephemeral("*").stored("room.*").ephemeral("*.typing");
        for (topic, kind) in [
            ("", TopicKind::Ephemeral),
            ("cursor", TopicKind::Ephemeral),
            ("room.7", TopicKind::Stored),
            ("room.7.typing", TopicKind::Ephemeral),
        ] {
            assert_eq!(config.kind(topic), kind, "{topic:?}");
        }
        assert_eq!(Config::default().kind("cursor"), TopicKind::Stored);
    }
}
