//! The last bytes of plaintext, to which the peer's next message may refer back.

/// At most `limit` bytes: what a window of that size still holds.
///
/// A ring, so that a small message costs a small copy; memory comes as it fills.
#[derive(Debug)]
pub(crate) struct Record {
    ring: Vec<u8>,
    /// Where the oldest byte is, once the ring is full.
    oldest: usize,
    limit: usize,
}

impl Record {
    pub(crate) fn new(limit: usize) -> Self {
        Self { ring: Vec::new(), oldest: 0, limit }
    }

    /// Adds what came last. Of data larger than the window the end alone is copied.
    pub(crate) fn push(&mut self, data: &[u8]) {
        let data = data.get(data.len().saturating_sub(self.limit)..).unwrap_or_default();
        if data.len() == self.limit {
            self.clear();
        }
        let (fills, wraps) = data.split_at(data.len().min(self.limit - self.ring.len()));
        self.grow(fills.len());
        self.ring.extend_from_slice(fills);
        self.overwrite(wraps);
    }

    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.ring.clear();
        self.oldest = 0;
    }

    /// Forgets everything and gives the memory back.
    pub(crate) fn release(&mut self) {
        *self = Self::new(self.limit);
    }

    /// What is there, oldest first, in two parts.
    pub(crate) fn parts(&self) -> (&[u8], &[u8]) {
        let (newer, older) = self.ring.split_at(self.oldest);
        (older, newer)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// Doubles what is there, so that the copying is amortised, but not beyond the limit.
    fn grow(&mut self, additional: usize) {
        let needed = self.ring.len() + additional;
        if needed > self.ring.capacity() {
            let target = (2 * needed).min(self.limit);
            self.ring.reserve_exact(target - self.ring.len());
        }
    }

    /// Writes over the oldest bytes of a full ring. `data` is shorter than it.
    fn overwrite(&mut self, data: &[u8]) {
        let (to_end, from_start) = data.split_at(data.len().min(self.ring.len() - self.oldest));
        let (start, end) = self.ring.split_at_mut(self.oldest);
        for (part, new) in [(end, to_end), (start, from_start)] {
            if let Some(part) = part.get_mut(..new.len()) {
                part.copy_from_slice(new);
            }
        }
        self.oldest = match self.oldest + data.len() {
            place if place >= self.ring.len() => place - self.ring.len(),
            place => place,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(record: &Record) -> Vec<u8> {
        let (older, newer) = record.parts();
        [older, newer].concat()
    }

    #[test]
    fn record_holds_the_last_bytes_however_they_came() {
        let data: Vec<u8> = (0..=255).collect();
        for limit in [0, 1, 2, 7, 8, 64] {
            for size in 1..=70 {
                let mut record = Record::new(limit);
                for (i, piece) in data.chunks(size).enumerate() {
                    record.push(piece);
                    let end = (i * size + size).min(data.len());
                    assert_eq!(held(&record), data[end.saturating_sub(limit)..end]);
                    assert!(record.capacity() <= limit);
                }
            }
        }
    }

    #[test]
    fn record_takes_memory_as_it_fills() {
        let mut record = Record::new(1 << 15);
        record.push(b"Hello");
        assert!(record.capacity() <= 16);
        record.push(&[0; 40_000]);
        assert_eq!(record.capacity(), 1 << 15);
        record.clear();
        assert_eq!(held(&record), b"");
        record.release();
        assert_eq!(record.capacity(), 0);
    }
}
