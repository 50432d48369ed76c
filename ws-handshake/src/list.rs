//! Tokens and comma-separated lists, read in one pass.
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects
)]

use crate::{octet_set::OctetSet, visits::Visits};

/// Visible ASCII without the separators of RFC 2616 §2.2.
static TOKEN: OctetSet = OctetSet::alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// Whether `octet` may appear in a token.
pub(crate) fn is_token_octet(octet: u8) -> bool {
    TOKEN.has(octet)
}

/// Whether `text` is a token: not empty, and every octet is a token octet.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_octet)
}

fn is_ows(octet: u8) -> bool {
    octet == b' ' || octet == b'\t'
}

/// `text` without surrounding white space.
pub(crate) fn trim_ows(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_ows(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_ows(*last)
    {
        text = rest;
    }
    text
}

/// Goes through octets from left to right, never back.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    position: usize,
    visits: Visits,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { rest: text, position: 0, visits: Visits::default() }
    }

    /// Octets consumed so far.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    pub(crate) fn visits(&self) -> Visits {
        self.visits
    }

    pub(crate) fn peek(&mut self) -> Option<u8> {
        self.visits.add(1);
        self.rest.first().copied()
    }

    pub(crate) fn advance(&mut self) {
        if let [_, rest @ ..] = self.rest {
            self.rest = rest;
            self.position = self.position.saturating_add(1);
        }
    }

    pub(crate) fn skip_ows(&mut self) {
        while self.peek().is_some_and(is_ows) {
            self.advance();
        }
    }

    /// Reads the token at this position, or returns `None`.
    pub(crate) fn token(&mut self) -> Option<&'a str> {
        let len = self.rest.iter().take_while(|&&octet| is_token_octet(octet)).count();
        let (token, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        self.position = self.position.saturating_add(len);
        // The octet after it was visited too.
        self.visits.add(len.saturating_add(1));
        std::str::from_utf8(token).ok().filter(|t| !t.is_empty())
    }
}

/// The elements of one line of a list, without surrounding white space, including empty ones.
pub(crate) struct Elements<'a> {
    cursor: Cursor<'a>,
    ended: bool,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(line: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(line), ended: false }
    }

    pub(crate) fn visits(&self) -> Visits {
        self.cursor.visits()
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.ended {
            return None;
        }
        self.cursor.skip_ows();
        let (start, from) = (self.cursor.rest, self.cursor.position());
        let mut end = from;
        loop {
            match self.cursor.peek() {
                None => {
                    self.ended = true;
                    break;
                }
                Some(b',') => {
                    self.cursor.advance();
                    break;
                }
                Some(octet) => {
                    self.cursor.advance();
                    if !is_ows(octet) {
                        end = self.cursor.position();
                    }
                }
            }
        }
        start.get(..end.saturating_sub(from))
    }
}

/// Whether the list in all `lines` of a header has `token` as a whole element, ignoring case.
pub(crate) fn contains<'a>(lines: impl IntoIterator<Item = &'a [u8]>, token: &[u8]) -> bool {
    lines.into_iter().any(|line| {
        // Most lists have one element.
        line.eq_ignore_ascii_case(token)
            || Elements::new(line).any(|element| element.eq_ignore_ascii_case(token))
    })
}
