//! The reserved bits, received (RFC 6455 §5.2 and §5.8).

mod support;

use support::{
    KEY,
    extensions::{RSV1, RSV2, RSV3_EVERY, marker, named, server_of},
    fails, masked, receive, server,
};
use ws_core::{
    Config, Connection, Event, Extensions, Fault, Misplaced, Role,
    extension::{Rsv, RsvClaim, Scope},
};

/// What a stack of the table claims: the bits of a frame's first octet.
#[derive(Clone, Copy)]
enum Claim {
    FirstFrame(u8),
    EveryFrameOfMessage(u8),
    EachFrame(u8),
}

use Claim::{EachFrame, EveryFrameOfMessage, FirstFrame};

/// A connection with an extension for every claim, in the order of the response header.
fn with(claims: &[Claim]) -> Connection {
    let rsv = |bits: u8| {
        [(0x40, Rsv::RSV1), (0x20, Rsv::RSV2), (0x10, Rsv::RSV3)]
            .into_iter()
            .filter(|(bit, _)| bits & bit != 0)
            .fold(Rsv::NONE, |all, (_, rsv)| all | rsv)
    };
    let extensions = claims.iter().map(|claim| {
        let (claim, scope) = match *claim {
            FirstFrame(bits) => (RsvClaim::FirstFrame(rsv(bits)), Scope::Message),
            EveryFrameOfMessage(bits) => (RsvClaim::EveryFrame(rsv(bits)), Scope::Message),
            EachFrame(bits) => (RsvClaim::EveryFrame(rsv(bits)), Scope::Frame),
        };
        marker(claim, scope).boxed()
    });
    server_of(extensions.collect())
}

/// Whether a frame may stand there; `message` is the first octet of the message in progress.
fn allowed(claims: &[Claim], octet: u8, message: Option<u8>) -> bool {
    let (fin, rsv, opcode) = (octet & 0x80 != 0, octet & 0x70, octet & 0x0f);
    match opcode {
        0x8..=0xa => return fin && rsv == 0,
        0x0 if message.is_none() => return false,
        0x1 | 0x2 if message.is_some() => return false,
        0x3..=0x7 | 0xb.. => return false,
        _ => {}
    }
    let mut claimed = 0;
    let fits = claims.iter().all(|claim| {
        let (FirstFrame(bits) | EveryFrameOfMessage(bits) | EachFrame(bits)) = *claim;
        claimed |= bits;
        let set = rsv & bits;
        match (claim, message) {
            (FirstFrame(_), Some(_)) => set == 0,
            (EveryFrameOfMessage(_), Some(first)) => set == first & bits,
            _ => set == 0 || set == bits,
        }
    });
    fits && rsv & !claimed == 0
}

// R6455-5.2-b, R6455-5.8-a, RT-17, MDN-6
#[test]
fn rt_17_exactly_the_allowed_bits_pass_on_every_opcode_fin_and_place() {
    let stacks: [&[Claim]; 8] = [
        &[],
        &[FirstFrame(0x40)],
        &[FirstFrame(0x20)],
        &[FirstFrame(0x60)],
        &[EveryFrameOfMessage(0x20)],
        &[EachFrame(0x10)],
        &[FirstFrame(0x40), EachFrame(0x10)],
        &[FirstFrame(0x40), EveryFrameOfMessage(0x20), EachFrame(0x10)],
    ];
    let mut passed = 0;
    for claims in stacks {
        let new = || with(claims);
        let mut places = vec![(None, vec![])];
        for first in 0..=0x7f {
            if allowed(claims, first, None) {
                places.push((Some(first), masked(first, KEY, b"a")));
            }
        }
        for (message, before) in places {
            for octet in 0..=0xff {
                let frame = masked(octet, KEY, b"");
                let input = [&before[..], &frame].concat();
                if !allowed(claims, octet, message) {
                    let failed = fails(new, &input);
                    assert_eq!(failed.code, 1002, "{octet:#x} in {message:x?}");
                    assert_eq!(failed.octets, before.len() + 1);
                    assert_eq!(failed.before, []);
                    continue;
                }
                passed += 1;
                let events = receive(new, &input).events;
                let closes = octet & 0x0f == 0x8;
                let data = octet & 0x08 == 0;
                let tells = !data || octet & 0x80 != 0;
                assert_eq!(events.len(), if closes { 2 } else { tells.into() });
                if data && tells {
                    let expected: &[u8] = if message.is_some() { b"a" } else { b"" };
                    assert!(matches!(&events[0], Event::Message(m) if m.as_bytes() == expected));
                }
            }
        }
    }
    assert!(passed > 100);
}

// R6455-5.2-b
#[test]
fn fault_names_the_bits() {
    let names = |new: fn() -> Connection, octet| match fails(new, &[octet]).fault {
        Fault::ReservedBits(bits) => bits.to_string(),
        fault => panic!("{fault}"),
    };
    assert_eq!(names(server, 0xc1), "RSV1");
    assert_eq!(names(server, 0xf2), "RSV1+RSV2+RSV3");
    assert_eq!(names(server, 0xd9), "RSV1+RSV3");
    let deflates = || server_of(vec![marker(RSV1, Scope::Message).boxed()]);
    assert_eq!(names(deflates, 0xf1), "RSV2+RSV3");
    assert_eq!(names(deflates, 0xd9), "RSV3");
}

// R6455-5.2-b
#[test]
fn fault_names_the_extension_whose_bits_are_in_the_wrong_place() {
    let stack = || {
        let mut stack = Extensions::none();
        for (name, claim) in [
            ("x-first", RsvClaim::FirstFrame(Rsv::RSV2)),
            ("x-every", RsvClaim::EveryFrame(Rsv::RSV1 | Rsv::RSV3)),
        ] {
            stack
                .push(&named(name, Scope::Message), marker(claim, Scope::Message).boxed().1)
                .unwrap();
        }
        Connection::new(Role::Server, Config::default(), stack)
    };
    for (firsts, text, how) in [
        (&[0xa9][..], "RSV2 of x-first on a control frame", Misplaced::OnControlFrame),
        (&[0xf9], "RSV2 of x-first on a control frame", Misplaced::OnControlFrame),
        (&[0x21, 0xa0], "RSV2 of x-first on a continuation frame", Misplaced::OnContinuation),
        (&[0x01, 0xd0], "RSV1+RSV3 of x-every on a continuation frame", Misplaced::OnContinuation),
        (
            &[0x51, 0x80],
            "RSV1+RSV3 of x-every missing from a continuation frame",
            Misplaced::MissingFromContinuation,
        ),
        (
            &[0x51, 0x90],
            "RSV1 of x-every missing from a continuation frame",
            Misplaced::MissingFromContinuation,
        ),
        (&[0xc1], "RSV1 of x-every without the other bits that it claims", Misplaced::Incomplete),
    ] {
        let input: Vec<u8> = firsts.iter().flat_map(|first| masked(*first, KEY, b"a")).collect();
        let failed = fails(stack, &input);
        assert_eq!((failed.fault.to_string().as_str(), failed.code), (text, 1002));
        assert!(matches!(failed.fault, Fault::MisplacedBits { how: is, .. } if is == how));
    }
}

// R6455-5.2-b
#[test]
fn bits_of_the_next_message_are_judged_anew() {
    let new = || {
        server_of(vec![
            marker(RSV2, Scope::Message).boxed(),
            marker(RSV3_EVERY, Scope::Frame).boxed(),
        ])
    };
    let input: Vec<u8> = [0x31, 0x00, 0x90, 0x82, 0x12, 0x80, 0xa1, 0x01, 0x10, 0x80]
        .into_iter()
        .flat_map(|first| masked(first, KEY, b"x"))
        .collect();
    let lens: Vec<usize> =
        receive(new, &input).messages().iter().map(ws_core::Message::len).collect();
    assert_eq!(lens, [3, 1, 2, 1, 3]);
}
