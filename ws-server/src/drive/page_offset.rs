//! The place in a page of memory to read to.

use bytes::{Buf, BufMut, BytesMut};

/// The address distance at which a processor takes two addresses for alike.
pub(super) const PAGE: usize = 4096;

/// Makes an empty buffer begin near the middle of a page. The buffer needs room for a page.
///
/// The operating system stores received data at the front of pages, and processors copy at half
/// their speed between two addresses at nearly the same offset in their pages.
#[inline]
pub(super) fn begin_mid_page(buffer: &mut BytesMut) {
    let at = buffer.as_ptr().addr() % PAGE;
    if !(PAGE / 4..PAGE * 3 / 4).contains(&at) {
        let lead = (PAGE + PAGE / 2 - at) % PAGE;
        buffer.put_bytes(0, lead);
        buffer.advance(lead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffer_begins_near_the_middle_of_a_page() {
        let mut buffer = BytesMut::with_capacity(10 * PAGE);
        for _ in 0..100 {
            begin_mid_page(&mut buffer);
            assert!((1024..3072).contains(&(buffer.as_ptr().addr() % PAGE)));
            assert!(buffer.is_empty() && buffer.capacity() >= PAGE);
            buffer.put_bytes(7, 70);
            buffer.advance(70);
        }
    }
}
