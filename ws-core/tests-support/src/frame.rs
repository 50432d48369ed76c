//! A frame encoder and a frame parser of the tests' own, so that no expected octet comes from the
//! code under test.

/// The first octet of a text message in one frame.
pub const TEXT: u8 = 0x81;
/// The first octet of a binary message in one frame.
pub const BINARY: u8 = 0x82;
pub const CLOSE: u8 = 0x88;
pub const PING: u8 = 0x89;
pub const PONG: u8 = 0x8a;

/// The first frame of a binary message, and one that goes on with it; neither is the last.
pub const FIRST: u8 = 0x02;
pub const MORE: u8 = 0x00;
pub const LAST: u8 = 0x80;

/// The masking key of the examples in RFC 6455 §5.7.
pub const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The bit of the second octet.
pub const MASK: u8 = 0x80;

/// A client's frame.
pub fn masked(first_octet: u8, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first_octet, MASK, payload.len() as u64);
    frame.extend(key);
    frame.extend(xor(key, payload));
    frame
}

/// A server's frame.
pub fn unmasked(first_octet: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first_octet, 0, payload.len() as u64);
    frame.extend(payload);
    frame
}

/// A header without a masking key: `mask` is 0 or [`MASK`], the length takes its shortest form.
pub fn header(first_octet: u8, mask: u8, len: u64) -> Vec<u8> {
    let mut header = vec![first_octet];
    match len {
        0..=125 => header.push(mask | len as u8),
        126..=0xffff => {
            header.push(mask | 126);
            header.extend((len as u16).to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend(len.to_be_bytes());
        }
    }
    header
}

/// Bytes in which every place looks different.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn xor(key: [u8; 4], data: &[u8]) -> Vec<u8> {
    data.iter().zip(key.iter().cycle()).map(|(octet, key)| octet ^ key).collect()
}

/// A frame as it was sent, its payload unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub first: u8,
    pub key: Option<[u8; 4]>,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Reads the frame at the front, and returns how many octets it takes. `None` if it is cut.
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (&first, &second) = (bytes.first()?, bytes.get(1)?);
        let (len, mut at) = match second & !MASK {
            126 => (u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?).into(), 4),
            127 => (u64::from_be_bytes(*bytes.get(2..)?.first_chunk()?), 10),
            len => (len.into(), 2),
        };
        let mut key = None;
        if second & MASK != 0 {
            key = Some(*bytes.get(at..)?.first_chunk()?);
            at += 4;
        }
        let end = at + len as usize;
        let payload = xor(key.unwrap_or_default(), bytes.get(at..end)?);
        Some((Self { first, key, payload }, end))
    }

    pub fn opcode(&self) -> u8 {
        self.first & 0x0f
    }

    pub fn is_masked(&self) -> bool {
        self.key.is_some()
    }
}

/// Reads whole frames.
///
/// # Panics
///
/// If the bytes end within a frame.
pub fn frames(bytes: &[u8]) -> Vec<Frame> {
    frames_and_ends(bytes).into_iter().map(|(frame, _)| frame).collect()
}

/// Like [`frames`], each with the place in `bytes` where it ends.
pub fn frames_and_ends(bytes: &[u8]) -> Vec<(Frame, usize)> {
    let (mut frames, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let (frame, len) = Frame::read(&bytes[at..]).expect("whole frames");
        at += len;
        frames.push((frame, at));
    }
    frames
}
