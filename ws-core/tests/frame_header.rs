//! Headers written and read on their own (RFC 6455 §5.2).

use ws_core::{Fault, FrameHeader, Opcode, extension::Rsv};

fn header(len: u64) -> FrameHeader {
    FrameHeader { fin: true, rsv: Rsv::NONE, opcode: Opcode::Binary, mask: None, len }
}

fn encoded(header: FrameHeader) -> Vec<u8> {
    let mut output = Vec::new();
    header.encode(&mut output);
    assert_eq!(output.len(), header.encoded_len());
    output
}

// R6455-5.2-e, R6455-5.2-g
#[test]
fn lengths_take_their_shortest_form() {
    assert_eq!(encoded(header(0)), b"\x82\x00");
    assert_eq!(encoded(header(125)), b"\x82\x7d");
    assert_eq!(encoded(header(126)), b"\x82\x7e\x00\x7e");
    assert_eq!(encoded(header(127)), b"\x82\x7e\x00\x7f");
    assert_eq!(encoded(header(65_535)), b"\x82\x7e\xff\xff");
    assert_eq!(encoded(header(65_536)), b"\x82\x7f\0\0\0\0\0\x01\0\0");
    let masked = FrameHeader { mask: Some([1, 2, 3, 4]), ..header(126) };
    assert_eq!(encoded(masked), b"\x82\xfe\x00\x7e\x01\x02\x03\x04");
}

// R6455-5.2-d, R6455-5.2-e
#[test]
fn every_header_is_read_back_once_it_is_complete_and_not_before() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, u64::MAX >> 1] {
        for mask in [None, Some([0xde, 0xad, 0xbe, 0xef])] {
            let header = FrameHeader { mask, ..header(len) };
            let bytes = encoded(header);
            for cut in 0..bytes.len() {
                assert_eq!(FrameHeader::decode(&bytes[..cut]), Ok(None));
            }
            assert_eq!(FrameHeader::decode(&bytes), Ok(Some((header, bytes.len()))));
        }
    }
}

// R6455-5.2-f, R6455-5.2-h
#[test]
fn bad_lengths_are_refused_by_the_octet_that_proves_it() {
    assert_eq!(FrameHeader::decode(b"\x82\xff\x80"), Err(Fault::LengthTopBit));
    assert_eq!(FrameHeader::decode(b"\x82\xfe\x00\x7d"), Err(Fault::LengthNotMinimal));
    assert_eq!(FrameHeader::decode(b"\x82\xff\0\0\0\0\0\0\xff\xff"), Err(Fault::LengthNotMinimal));
    assert_eq!(FrameHeader::decode(b"\x83"), Err(Fault::ReservedOpcode(3)));
    assert_eq!(FrameHeader::decode(b"\x09"), Err(Fault::FragmentedControl));
    assert_eq!(FrameHeader::decode(b"\x89\xfe"), Err(Fault::ControlTooLong));
}
