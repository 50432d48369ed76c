//! Documents like those of a service: the same keys, a few users, words, numbers and ids.

/// SplitMix64: the same numbers in every run.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Each `seed` gives another sequence.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// The next number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.number() % limit as u64) as usize
    }
}

const WORDS: [&str; 20] = [
    "order", "price", "the", "market", "of", "hello", "update", "and", "closed", "open", "room",
    "is", "in", "volume", "today", "we", "think", "so", "limit", "depth",
];
const USERS: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];

/// A list of records of exactly `size` bytes, 4 at least; the last record is padded with spaces.
pub fn document(random: &mut Random, size: usize) -> String {
    let mut document = String::with_capacity(size);
    let mut next = record(random);
    while document.len() + 1 + next.len() < size {
        document.push(if document.is_empty() { '[' } else { ',' });
        document.push_str(&next);
        next = record(random);
    }
    if document.is_empty() {
        document.push('[');
    }
    // The rest is shorter than a record: the start of its text, or nothing.
    let (open, close) = (r#",{"text":""#, r#""}]"#);
    let left = size - document.len();
    if document.len() > 1 && left > open.len() + close.len() {
        document.push_str(open);
        let mut text = String::new();
        while text.len() < left {
            text.push_str(WORDS[random.below(WORDS.len())]);
            text.push(' ');
        }
        document.push_str(&text[..left - open.len() - close.len()]);
        document.push_str(close);
    } else {
        document.push_str(&" ".repeat(left - 1));
        document.push(']');
    }
    document
}

fn record(random: &mut Random) -> String {
    let count = 3 + random.below(6);
    let text: Vec<&str> = (0..count).map(|_| WORDS[random.below(WORDS.len())]).collect();
    format!(
        r#"{{"id":{},"user":"{}","price":{}.{:02},"at":17000{:05},"text":"{}"}}"#,
        random.below(1_000_000),
        USERS[random.below(USERS.len())],
        random.below(1000),
        random.below(100),
        random.below(100_000),
        text.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_json_of_the_size_that_was_asked_for_and_differ() {
        let mut random = Random::new(7);
        for size in (4..400).chain([1024, 16 * 1024]) {
            let one = document(&mut random, size);
            assert_eq!(one.len(), size);
            assert!(serde_json::from_str::<serde_json::Value>(&one).is_ok(), "{one}");
        }
        assert_ne!(document(&mut random, 1024), document(&mut random, 1024));
        assert_eq!(document(&mut Random::new(3), 99), document(&mut Random::new(3), 99));
    }
}
