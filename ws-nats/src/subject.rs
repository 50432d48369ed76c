//! Subjects of NATS, and topics in them.

use std::fmt::Write;

/// The longest topic, in octets: a subject may then have 3 KiB, and a line of the protocol has 4 KiB
/// at the server's default.
pub(crate) const MAX_TOPIC: usize = 1024;

/// The subjects below one prefix.
#[derive(Clone, Debug)]
pub(crate) struct Subjects {
    prefix: Box<str>,
}

impl Subjects {
    /// Below a prefix that `Config` has checked.
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// Where a stored publication is published, and what the stream takes.
    pub(crate) fn stored(&self, topic: &str) -> String {
        self.of_topic("h", topic)
    }

    /// Where the stream republishes it.
    pub(crate) fn live(&self, topic: &str) -> String {
        self.of_topic("live", topic)
    }

    /// An ephemeral publication.
    pub(crate) fn ephemeral(&self, topic: &str) -> String {
        self.of_topic("e", topic)
    }

    /// Who is here: changes and lists.
    pub(crate) fn presence(&self, topic: &str) -> String {
        self.of_topic("p", topic)
    }

    /// Who is here: what a node is asked and answered by another.
    pub(crate) fn mailbox(&self, incarnation: u64) -> String {
        format!("{}.pq.{incarnation:016x}", self.prefix)
    }

    /// Heartbeats of nodes.
    pub(crate) fn nodes(&self) -> String {
        format!("{}.n", self.prefix)
    }

    /// Orders to all nodes.
    pub(crate) fn orders(&self) -> String {
        format!("{}.c", self.prefix)
    }

    /// All stored topics: what the stream takes.
    pub(crate) fn all_stored(&self) -> String {
        format!("{}.h.>", self.prefix)
    }

    /// Where the stream republishes them.
    pub(crate) fn all_live(&self) -> String {
        format!("{}.live.>", self.prefix)
    }

    /// One subject of each kind that a node subscribes to.
    pub(crate) fn heard(&self) -> [String; 6] {
        [
            self.live(""),
            self.ephemeral(""),
            self.presence(""),
            self.mailbox(0),
            self.nodes(),
            self.orders(),
        ]
    }

    /// The topic of a subject of [`presence`](Self::presence).
    pub(crate) fn presence_topic(&self, subject: &str) -> Option<String> {
        self.topic_of("p", subject)
    }

    fn of_topic(&self, kind: &str, topic: &str) -> String {
        let mut subject = String::with_capacity(self.prefix.len() + kind.len() + topic.len() + 8);
        subject.push_str(&self.prefix);
        subject.push('.');
        subject.push_str(kind);
        subject.push('.');
        encode(topic, &mut subject);
        subject
    }

    fn topic_of(&self, kind: &str, subject: &str) -> Option<String> {
        let rest = subject.strip_prefix(&*self.prefix)?.strip_prefix('.')?;
        decode(rest.strip_prefix(kind)?.strip_prefix('.')?)
    }
}

/// Appends a topic as one token. What a token may not hold, or servers treat in a way of their own,
/// becomes `=XX`; the empty topic is `=`.
pub(crate) fn encode(topic: &str, token: &mut String) {
    if topic.is_empty() {
        token.push('=');
    }
    for octet in topic.bytes() {
        if is_plain(octet) {
            token.push(char::from(octet));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(token, "={octet:02X}");
        }
    }
}

/// The topic of a token, if [`encode`] writes it so: a topic has one token.
pub(crate) fn decode(token: &str) -> Option<String> {
    if token == "=" {
        return Some(String::new());
    }
    let mut octets = Vec::with_capacity(token.len());
    let mut rest = token.bytes();
    while let Some(octet) = rest.next() {
        let octet = match octet {
            b'=' => {
                let octet = hex_digit(rest.next()?)? << 4 | hex_digit(rest.next()?)?;
                if is_plain(octet) {
                    return None;
                }
                octet
            }
            _ if is_plain(octet) => octet,
            _ => return None,
        };
        octets.push(octet);
    }
    if octets.is_empty() { None } else { String::from_utf8(octets).ok() }
}

fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'-'
}

fn hex_digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(topic: &str) -> String {
        let mut token = String::new();
        encode(topic, &mut token);
        token
    }

    proptest! {
        #[test]
        fn topic_is_one_token_and_read_back(topic in any::<String>()) {
            let token = token(&topic);
            prop_assert!(!token.is_empty());
            prop_assert!(token.bytes().all(|octet| is_plain(octet) || octet == b'='), "{token}");
            prop_assert!(token.len() <= 3 * topic.len() + 1);
            prop_assert_eq!(decode(&token), Some(topic.clone()));
            let subjects = Subjects::new("a.b");
            let subject = subjects.presence(&topic);
            prop_assert_eq!(subjects.presence_topic(&subject), Some(topic.clone()));
            prop_assert_eq!(subjects.presence_topic(&subjects.stored(&topic)), None);
        }

        #[test]
        fn whatever_is_read_has_that_token(text in "[=A-Fa-f0-9_.*-]{0,12}") {
            if let Some(topic) = decode(&text) {
                prop_assert_eq!(token(&topic), text);
            }
        }
    }

    #[test]
    fn topics_that_are_no_tokens() {
        let long = "/".repeat(256);
        for (topic, expected) in [
            ("", "="),
            ("room-1_A", "room-1_A"),
            ("*", "=2A"),
            (">", "=3E"),
            ("a..b", "a=2E=2Eb"),
            (".", "=2E"),
            ("=", "=3D"),
            ("a b\r\n\0", "a=20b=0D=0A=00"),
            ("Zürich", "Z=C3=BCrich"),
            ("$SYS.x", "=24SYS=2Ex"),
            (&long, &"=2F".repeat(256)),
        ] {
            assert_eq!(token(topic), expected);
            assert_eq!(decode(expected).as_deref(), Some(topic));
        }
    }

    #[test]
    fn other_tokens_are_no_topics() {
        for token in
            ["", "=4", "=4g", "=2a", "=41", "a.b", "*", ">", "a=", "=C3", "=FF", "==", "a b", "é"]
        {
            assert_eq!(decode(token), None, "{token:?}");
        }
        let subjects = Subjects::new("ws");
        for subject in ["ws.p", "ws.p.", "ws.p.a.b", "wsx.p.a", "x.p.a", "ws.pq.a", "WS.p.a"] {
            assert_eq!(subjects.presence_topic(subject), None, "{subject:?}");
        }
    }

    #[test]
    fn subjects_lie_below_the_prefix() {
        let subjects = Subjects::new("chat.eu");
        assert_eq!(subjects.stored("a b"), "chat.eu.h.a=20b");
        assert_eq!(subjects.live("a"), "chat.eu.live.a");
        assert_eq!(subjects.ephemeral("a"), "chat.eu.e.a");
        assert_eq!(subjects.presence("a"), "chat.eu.p.a");
        assert_eq!(subjects.mailbox(0x1f), "chat.eu.pq.000000000000001f");
        assert_eq!(subjects.nodes(), "chat.eu.n");
        assert_eq!(subjects.orders(), "chat.eu.c");
        assert_eq!(subjects.all_stored(), "chat.eu.h.>");
        assert_eq!(subjects.all_live(), "chat.eu.live.>");
        assert_eq!(subjects.presence_topic("chat.eu.p.a"), Some("a".to_owned()));
    }
}
