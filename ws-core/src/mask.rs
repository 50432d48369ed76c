//! Masking (RFC 6455 §5.3).

/// XORs `data` with a masking key; the same call masks and unmasks.
///
/// `offset` is the number of payload bytes before `data`, so that a payload can be processed in
/// pieces.
#[inline]
pub fn apply_mask(data: &mut [u8], key: [u8; 4], offset: u64) {
    if data.len() < ALIGNED_FROM {
        return apply(data, key, offset);
    }
    let (head, rest) = data.split_at_mut(data.as_ptr().align_offset(VECTOR).min(data.len()));
    apply(head, key, offset);
    apply(rest, key, offset.wrapping_add(head.len() as u64));
}

/// From this length on, starting at an aligned address pays, since no vector then spans two cache
/// lines: 1 KiB takes 17 ns instead of 32.
const ALIGNED_FROM: usize = 256;
/// The size of the vectors that every processor of the target has, in bytes.
const VECTOR: usize = 16;

#[inline(always)]
fn apply(data: &mut [u8], key: [u8; 4], offset: u64) {
    // RFC 6455 §5.3: "Octet i of the transformed data ("transformed-octet-i") is the XOR of octet
    // i of the original data ("original-octet-i") with octet at index i modulo 4 of the masking key".
    let wide = repeat(key, offset);
    // The compiler turns a loop over blocks of constant length into vector instructions.
    let (blocks, rest) = data.as_chunks_mut::<8>();
    for block in blocks {
        *block = (u64::from_ne_bytes(*block) ^ u64::from_ne_bytes(wide)).to_ne_bytes();
    }
    for (octet, key) in rest.iter_mut().zip(wide) {
        *octet ^= key;
    }
}

/// As [`apply_mask`] on a copy: `target` becomes `source`, transformed. Both have one length.
///
/// One pass in place of a copy and a second pass over it, and not slowed down where the two lie at
/// the same place of their memory pages, as a copy by the C library is.
pub(crate) fn copy_masked(target: &mut [u8], source: &[u8], key: [u8; 4], offset: u64) {
    let wide = repeat(key, offset);
    let (targets, target_rest) = target.as_chunks_mut::<8>();
    let (sources, source_rest) = source.as_chunks::<8>();
    for (target, source) in targets.iter_mut().zip(sources) {
        *target = (u64::from_ne_bytes(*source) ^ u64::from_ne_bytes(wide)).to_ne_bytes();
    }
    for ((target, source), key) in target_rest.iter_mut().zip(source_rest).zip(wide) {
        *target = source ^ key;
    }
}

/// The key twice, beginning with the octet that applies at `offset`.
fn repeat(key: [u8; 4], offset: u64) -> [u8; 8] {
    let once = u32::from_le_bytes(key).rotate_right(8 * (offset & 3) as u32);
    // Assembling it from octets would take three times as many instructions.
    (u64::from(once) << 32 | u64::from(once)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::{ALIGNED_FROM, apply_mask, copy_masked};
    use alloc::vec::Vec;

    // R6455-5.3-a, RT-59
    #[test]
    fn rt_59_fast_path_equals_the_rfc_formula_at_every_alignment_length_and_cut() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        let source: Vec<u8> = (0..600u32).map(|i| (i * 7 + 3) as u8).collect();
        for start in 0..64 {
            for len in (0..200).chain(ALIGNED_FROM - 20..ALIGNED_FROM + 120) {
                let original = &source[start..start + len];
                let expected: Vec<u8> =
                    original.iter().enumerate().map(|(i, octet)| octet ^ key[i % 4]).collect();
                let mut whole = source.clone();
                apply_mask(&mut whole[start..start + len], key, 0);
                assert_eq!(&whole[start..start + len], expected, "start {start} len {len}");
                assert_eq!(&whole[..start], &source[..start], "nothing before is touched");
                assert_eq!(&whole[start + len..], &source[start + len..], "nor after");
                let cut = (start * 5 + len / 3) % (len + 1);
                let mut pieces = original.to_vec();
                apply_mask(&mut pieces[..cut], key, 0);
                apply_mask(&mut pieces[cut..], key, cut as u64);
                assert_eq!(pieces, expected, "start {start} len {len} cut {cut}");
                let mut copy = alloc::vec![0; len];
                copy_masked(&mut copy[..cut], &original[..cut], key, 0);
                copy_masked(&mut copy[cut..], &original[cut..], key, cut as u64);
                assert_eq!(copy, expected, "copied, start {start} len {len} cut {cut}");
            }
        }
    }

    // R6455-5.3-b
    #[test]
    fn zero_key_changes_nothing() {
        let mut data = *b"payload";
        apply_mask(&mut data, [0; 4], 0);
        assert_eq!(&data, b"payload");
    }
}
