//! An inflater that shares no code with the one we ship: it goes on from message to message, and
//! knows how far back the data referred.

const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// Base values and extra bits of lengths and distances (RFC 1951 §3.2.5).
#[rustfmt::skip]
const LENGTHS: [(usize, u32); 29] = [
    (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0), (9, 0), (10, 0), (11, 1), (13, 1), (15, 1),
    (17, 1), (19, 2), (23, 2), (27, 2), (31, 2), (35, 3), (43, 3), (51, 3), (59, 3), (67, 4),
    (83, 4), (99, 4), (115, 4), (131, 5), (163, 5), (195, 5), (227, 5), (258, 0),
];
#[rustfmt::skip]
const DISTANCES: [(usize, u32); 30] = [
    (1, 0), (2, 0), (3, 0), (4, 0), (5, 1), (7, 1), (9, 2), (13, 2), (17, 3), (25, 3), (33, 4),
    (49, 4), (65, 5), (97, 5), (129, 6), (193, 6), (257, 7), (385, 7), (513, 8), (769, 8),
    (1025, 9), (1537, 9), (2049, 10), (3073, 10), (4097, 11), (6145, 11), (8193, 12), (12289, 12),
    (16385, 13), (24577, 13),
];
const CODE_LENGTH_ORDER: [usize; 19] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

#[derive(Debug, Default)]
pub(crate) struct Reference {
    /// All plaintext since the last time that it was forgotten.
    history: Vec<u8>,
    /// How much of it can be referred to: what a receiver with a small window keeps.
    window: Option<usize>,
    /// The largest distance seen.
    pub(crate) farthest: usize,
    /// The blocks of the last message, by type.
    pub(crate) blocks: Vec<u8>,
}

impl Reference {
    /// Keeps no more than a window of so many bytes.
    pub(crate) fn within(window: usize) -> Self {
        Self { window: Some(window), ..Self::default() }
    }

    /// The next message starts with an empty window.
    pub(crate) fn forget(&mut self) {
        self.history.clear();
    }

    /// Inflates the payload of a message, from which the tail was removed.
    pub(crate) fn message(&mut self, payload: &[u8]) -> Result<Vec<u8>, &'static str> {
        let data = [payload, &TAIL].concat();
        let mut bits = Bits { data: &data, at: 0 };
        let start = self.history.len();
        self.blocks.clear();
        while bits.at < 8 * data.len() {
            let last = bits.take(1)?;
            let kind = bits.take(2)?;
            self.blocks.push(kind as u8);
            match kind {
                0 => self.stored(&mut bits)?,
                1 => {
                    let lengths: Vec<u8> = (0..288)
                        .map(|symbol| match symbol {
                            0..=143 => 8,
                            144..=255 => 9,
                            256..=279 => 7,
                            _ => 8,
                        })
                        .collect();
                    self.coded(&mut bits, &Code::new(&lengths), &Code::new(&[5; 30]))?;
                }
                2 => {
                    let (literals, distances) = dynamic(&mut bits)?;
                    self.coded(&mut bits, &literals, &distances)?;
                }
                _ => return Err("block type 3"),
            }
            if last == 1 {
                return Err("we set no BFINAL");
            }
        }
        Ok(self.history[start..].to_vec())
    }

    fn stored(&mut self, bits: &mut Bits<'_>) -> Result<(), &'static str> {
        bits.at = bits.at.next_multiple_of(8);
        let (len, complement) = (bits.take(16)?, bits.take(16)?);
        if len ^ complement != 0xffff {
            return Err("stored length");
        }
        for _ in 0..len {
            self.history.push(bits.take(8)? as u8);
        }
        Ok(())
    }

    fn coded(
        &mut self,
        bits: &mut Bits<'_>,
        literals: &Code,
        distances: &Code,
    ) -> Result<(), &'static str> {
        loop {
            match literals.symbol(bits)? {
                literal @ 0..=255 => self.history.push(literal as u8),
                256 => return Ok(()),
                symbol => {
                    let (base, extra) = *LENGTHS.get(symbol - 257).ok_or("length symbol")?;
                    let len = base + bits.take(extra)?;
                    let (base, extra) =
                        *DISTANCES.get(distances.symbol(bits)?).ok_or("distance symbol")?;
                    let distance = base + bits.take(extra)?;
                    self.farthest = self.farthest.max(distance);
                    if self.window.is_some_and(|window| distance > window) {
                        return Err("beyond the window");
                    }
                    for _ in 0..len {
                        let from = self.history.len().checked_sub(distance);
                        self.history.push(self.history[from.ok_or("too far back")?]);
                    }
                }
            }
        }
    }
}

fn dynamic(bits: &mut Bits<'_>) -> Result<(Code, Code), &'static str> {
    let (literals, distances) = (bits.take(5)? + 257, bits.take(5)? + 1);
    let mut lengths = [0; 19];
    for place in CODE_LENGTH_ORDER.iter().take(bits.take(4)? + 4) {
        lengths[*place] = bits.take(3)? as u8;
    }
    let code = Code::new(&lengths);
    let mut lengths: Vec<u8> = Vec::new();
    while lengths.len() < literals + distances {
        let (value, times) = match code.symbol(bits)? {
            16 => (*lengths.last().ok_or("nothing to repeat")?, 3 + bits.take(2)?),
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length as u8, 1),
        };
        lengths.extend(std::iter::repeat_n(value, times));
    }
    Ok((Code::new(&lengths[..literals]), Code::new(&lengths[literals..])))
}

struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, n: u32) -> Result<usize, &'static str> {
        let mut value = 0;
        for place in 0..n {
            let octet = self.data.get(self.at / 8).ok_or("truncated")?;
            value |= usize::from(octet >> (self.at % 8) & 1) << place;
            self.at += 1;
        }
        Ok(value)
    }
}

/// A canonical Huffman code: how many codes of each length, and their symbols in order.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let mut counts = [0; 16];
        let mut symbols = Vec::new();
        for length in 1..16 {
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, l)| **l == length) {
                symbols.push(symbol);
                counts[usize::from(length)] += 1;
            }
        }
        Self { counts, symbols }
    }

    fn symbol(&self, bits: &mut Bits<'_>) -> Result<usize, &'static str> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.take(1)?;
            if code < first + count {
                return Ok(self.symbols[index + code - first]);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err("no such code")
    }
}
