//! The last bytes of plaintext, to which the next message may refer back.

/// At most `limit` bytes: the contents of a window of that size.
///
/// A ring of blocks, so that a small message costs a small copy. It allocates block by block as it
/// fills and never moves a block, so that thousands of growing records do not fragment the heap.
/// Its owner reports the [capacity](Self::capacity) to the pool.
#[derive(Debug)]
pub(crate) struct Record<const BLOCK: usize> {
    blocks: Vec<Box<[u8; BLOCK]>>,
    limit: u16,
    len: u16,
    /// The place of the oldest byte, once the ring is full.
    oldest: u16,
}

impl<const BLOCK: usize> Record<BLOCK> {
    /// For at most 32 KiB.
    pub(crate) fn new(limit: usize) -> Self {
        let limit = u16::try_from(limit).unwrap_or(1 << 15);
        Self { blocks: Vec::new(), limit, len: 0, oldest: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends data. If it is larger than the limit, only its end is copied.
    pub(crate) fn push(&mut self, data: &[u8]) {
        let limit = usize::from(self.limit);
        let data = data.get(data.len().saturating_sub(limit)..).unwrap_or_default();
        if data.len() == limit {
            self.clear();
        }
        let (len, oldest) = (usize::from(self.len), usize::from(self.oldest));
        let (fills, wraps) = data.split_at(data.len().min(limit - len));
        self.write(len, fills);
        self.len += fills.len() as u16;
        let (to_end, from_start) = wraps.split_at(wraps.len().min(limit - oldest));
        self.write(oldest, to_end);
        self.write(0, from_start);
        let oldest = oldest + wraps.len();
        self.oldest = if oldest < limit { oldest } else { oldest - limit } as u16;
    }

    /// Copies `data` into the ring, from this place on.
    fn write(&mut self, mut place: usize, mut data: &[u8]) {
        while !data.is_empty() {
            let (index, start) = (place / BLOCK, place % BLOCK);
            if index == self.blocks.len() {
                self.blocks.reserve_exact(1);
                self.blocks.push(Box::new([0; BLOCK]));
            }
            let (now, later) = data.split_at(data.len().min(BLOCK - start));
            self.blocks[index][start..start + now.len()].copy_from_slice(now);
            place += now.len();
            data = later;
        }
    }

    /// Clears the record and keeps the memory.
    pub(crate) fn clear(&mut self) {
        (self.len, self.oldest) = (0, 0);
    }

    /// Clears the record and frees the memory.
    pub(crate) fn release(&mut self) {
        self.clear();
        self.blocks = Vec::new();
    }

    /// Changes the limit. If there are more bytes, keeps the last ones.
    pub(crate) fn limit(&mut self, limit: usize) {
        if limit == usize::from(self.limit) {
            return;
        }
        let kept: Vec<u8> = self.parts().flatten().copied().collect();
        self.release();
        self.limit = u16::try_from(limit).unwrap_or(1 << 15);
        self.push(&kept);
    }

    /// The bytes, oldest first.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let (len, oldest) = (usize::from(self.len), usize::from(self.oldest));
        self.between(oldest, len).chain(self.between(0, oldest))
    }

    /// The bytes between two places of the ring, block by block.
    fn between(&self, start: usize, end: usize) -> impl Iterator<Item = &[u8]> {
        self.blocks.iter().enumerate().filter_map(move |(index, block)| {
            let place = index * BLOCK;
            let end = end.saturating_sub(place).min(BLOCK);
            block.get(start.saturating_sub(place)..end).filter(|part| !part.is_empty())
        })
    }

    /// Allocated bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.blocks.len() * BLOCK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const BLOCK: usize>(record: &Record<BLOCK>) -> Vec<u8> {
        record.parts().flatten().copied().collect()
    }

    fn holds_the_last_bytes<const BLOCK: usize>() {
        let data: Vec<u8> = (0..=255).collect();
        for limit in [0, 1, 2, 7, 8, 64] {
            for size in 1..=70 {
                let mut record = Record::<BLOCK>::new(limit);
                for (i, piece) in data.chunks(size).enumerate() {
                    record.push(piece);
                    let end = (i * size + size).min(data.len());
                    assert_eq!(bytes(&record), data[end.saturating_sub(limit)..end]);
                    assert!(record.capacity() <= limit.next_multiple_of(BLOCK));
                }
            }
        }
    }

    #[test]
    fn record_holds_the_last_bytes_however_they_came() {
        holds_the_last_bytes::<1>();
        holds_the_last_bytes::<3>();
        holds_the_last_bytes::<8>();
        holds_the_last_bytes::<100>();
    }

    #[test]
    fn record_takes_memory_as_it_fills() {
        let mut record = Record::<1024>::new(1 << 15);
        assert_eq!(record.capacity(), 0);
        record.push(b"Hello");
        assert_eq!(record.capacity(), 1024);
        record.push(&[0; 40_000]);
        assert_eq!(record.capacity(), 1 << 15);
        record.clear();
        assert_eq!(bytes(&record), b"");
        record.release();
        assert_eq!(record.capacity(), 0);
    }

    #[test]
    fn record_keeps_the_last_bytes_when_its_limit_changes() {
        let data: Vec<u8> = (0..=255).collect();
        let mut record = Record::<16>::new(64);
        record.push(&data[..100]);
        record.limit(32);
        assert_eq!((bytes(&record), record.capacity()), (data[68..100].to_vec(), 32));
        record.push(&data[100..110]);
        assert_eq!(bytes(&record), data[78..110]);
        record.limit(64);
        record.push(&data[110..150]);
        assert_eq!(bytes(&record), data[86..150]);
        record.limit(0);
        assert_eq!((bytes(&record), record.capacity()), (Vec::new(), 0));
    }
}
