//! What is sent: the size of the messages, over how many connections, how many at a time.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) size: u64,
    pub(crate) connections: u64,
    pub(crate) depth: u64,
}

/// Small messages in batches, small messages that come alone, and large ones.
pub(crate) fn all() -> Vec<Case> {
    [(20, 16, 64), (20, 64, 1), (16_384, 16, 1)]
        .map(|(size, connections, depth)| Case { size, connections, depth })
        .into()
}

impl Case {
    pub(crate) fn in_words(&self) -> String {
        let size = match self.size {
            size if size >= 1024 && size % 1024 == 0 => format!("{} KiB", size / 1024),
            size => format!("{size} B"),
        };
        format!("{size} × {} connections × depth {}", self.connections, self.depth)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.size, self.connections, self.depth)
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Option<Vec<u64>> = text.split('x').map(|number| number.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[size, connections, depth]) if connections > 0 && depth > 0 => {
                Ok(Case { size, connections, depth })
            }
            _ => Err("not BYTESxCONNECTIONSxDEPTH, such as 20x16x64".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_read_as_it_is_written() {
        for case in all() {
            assert_eq!(case.to_string().parse(), Ok(case));
        }
        for text in ["", "20", "20x16", "20x0x1", "20x16x0", "20x16x64x1", "20 x16x64", "x16x64"] {
            assert!(text.parse::<Case>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_said_in_kib_where_they_are_whole() {
        let words = all().iter().map(Case::in_words).collect::<Vec<_>>();
        assert_eq!(words[0], "20 B × 16 connections × depth 64");
        assert_eq!(words[2], "16 KiB × 16 connections × depth 1");
    }
}
