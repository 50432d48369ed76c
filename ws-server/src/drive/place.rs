//! Where in a page of memory is read to.

use bytes::{Buf, BufMut, BytesMut};

/// What a processor takes for the distance at which two addresses look alike.
pub(super) const PAGE: usize = 4096;

/// Makes an empty buffer begin near the middle of a page. There has to be room for a page.
///
/// The operating system has what it received at the front of pages, and processors copy at half their
/// speed between two places that lie nearly alike in their pages.
#[inline]
pub(super) fn place(buffer: &mut BytesMut) {
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
            place(&mut buffer);
            assert!((1024..3072).contains(&(buffer.as_ptr().addr() % PAGE)));
            assert!(buffer.is_empty() && buffer.capacity() >= PAGE);
            buffer.put_bytes(7, 70);
            buffer.advance(70);
        }
    }
}
