//! Frames by an independent reader that panics at whatever is not legal, and a writer that writes
//! anything.

#[derive(Clone, Debug)]
pub struct Frame {
    pub fin: bool,
    pub rsv: u8,
    pub opcode: u8,
    pub key: Option<[u8; 4]>,
    pub payload: Vec<u8>,
}

/// Reads what a conforming end wrote; what is incomplete at the end is given back.
///
/// `first` and `every` are the RSV bits that may stand on first frames, and on all data frames.
pub fn read_legal(mut bytes: &[u8], client: bool, (first, every): (u8, u8)) -> (Vec<Frame>, &[u8]) {
    let mut frames = Vec::new();
    let (mut closed, mut in_message) = (false, false);
    while let Some((frame, taken)) = read(bytes) {
        bytes = &bytes[taken..];
        assert!(!closed, "{frame:?} behind the Close");
        assert_eq!(frame.key.is_some(), client, "masked by the wrong role: {frame:?}");
        match frame.opcode {
            8..=10 => {
                assert!(frame.fin && frame.payload.len() <= 125 && frame.rsv == 0, "{frame:?}");
                closed = frame.opcode == 8;
                if closed && !frame.payload.is_empty() {
                    let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
                    assert!(matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999), "{code}");
                    assert!(std::str::from_utf8(&frame.payload[2..]).is_ok());
                }
            }
            opcode @ 0..=2 => {
                assert_eq!(opcode == 0, in_message, "fragments out of order: {frame:?}");
                let allowed = if in_message { every } else { first | every };
                assert_eq!(frame.rsv & !allowed, 0, "RSV: {frame:?}");
                in_message = !frame.fin;
            }
            opcode => panic!("opcode {opcode}"),
        }
        frames.push(frame);
    }
    assert!(!closed || bytes.is_empty(), "{bytes:?} behind the Close");
    (frames, bytes)
}

/// One frame, its length checked to be minimal.
fn read(bytes: &[u8]) -> Option<(Frame, usize)> {
    let (&a, &b) = (bytes.first()?, bytes.get(1)?);
    let (len, mut at) = match b & 0x7f {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        len => (u64::from(len), 2),
    };
    match at {
        4 => assert!(len > 125, "length not minimal"),
        10 => assert!(len > 65535 && len < 1 << 63, "length not minimal"),
        _ => {}
    }
    let key: Option<[u8; 4]> = match b & 0x80 {
        0 => None,
        _ => {
            at += 4;
            Some(bytes.get(at - 4..at)?.try_into().ok()?)
        }
    };
    let end = at + len as usize;
    let mut payload = bytes.get(at..end)?.to_vec();
    if let Some(key) = key {
        payload.iter_mut().enumerate().for_each(|(i, octet)| *octet ^= key[i % 4]);
    }
    Some((Frame { fin: a & 0x80 != 0, rsv: a & 0x70, opcode: a & 15, key, payload }, end))
}

/// Writes a frame with any first octet.
pub fn write(first: u8, payload: &[u8], key: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let mask = if key.is_some() { 0x80 } else { 0 };
    out.push(first);
    match payload.len() {
        len @ 0..=125 => out.push(mask | len as u8),
        len @ 126..=65535 => {
            out.push(mask | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(mask | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    if let Some(key) = key {
        out.extend_from_slice(&key);
        out.extend(payload.iter().enumerate().map(|(i, octet)| octet ^ key[i % 4]));
    } else {
        out.extend_from_slice(payload);
    }
}

/// Whether `bytes` is the begin of valid UTF-8.
pub fn is_utf8_so_far(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_or(|error| error.error_len().is_none())
}

trait IsOkOr<E> {
    fn is_ok_or(self, or: impl FnOnce(E) -> bool) -> bool;
}

impl<T, E> IsOkOr<E> for Result<T, E> {
    fn is_ok_or(self, or: impl FnOnce(E) -> bool) -> bool {
        self.map_or_else(or, |_| true)
    }
}
