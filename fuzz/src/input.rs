//! Decisions and data out of the fuzzer's bytes. Beyond their end everything is zero.

pub struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }
    pub fn u16(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }
    pub fn take(&mut self, n: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(n.min(self.0.len()));
        self.0 = tail;
        head
    }
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::from(self.byte()) % of.len()]
    }
    /// Of a length that is said first, in one byte.
    pub fn short(&mut self) -> &'a [u8] {
        let n = self.byte().into();
        self.take(n)
    }
    /// A message: literal bytes, or a pattern of a size at which something changes.
    pub fn payload(&mut self) -> Vec<u8> {
        const SIZES: [usize; 24] = [
            0, 1, 2, 31, 32, 33, 124, 125, 126, 127, 128, 255, 1023, 1024, 2047, 2048, 4095, 4096,
            4097, 16384, 32768, 65535, 65536, 70001,
        ];
        match self.byte() {
            0..=159 => self.short().to_vec(),
            160..=199 => {
                let (len, seed) = (self.pick(&SIZES), self.byte());
                pattern(len, seed)
            }
            200..=229 => {
                let (len, seed) = (self.u16() % 6000, self.byte());
                pattern(len, seed)
            }
            _ => self.short().repeat(1 + usize::from(self.byte() % 64)),
        }
    }
    /// A text.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(&self.payload()).into_owned()
    }
}

/// Bytes that compress badly (odd seeds), well (multiples of four), or so so; ASCII but for odd seeds.
pub fn pattern(len: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed).wrapping_mul(2_654_435_761) | 1;
    (0..len)
        .map(|i| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            match seed & 3 {
                0 => b'a' + seed / 16,
                2 => b"{\"price\": 1234.5, \"volume\": 17, "[(i + (state & 8 == 8) as usize) % 32],
                _ => (state >> 11) as u8,
            }
        })
        .collect()
}
