//! What is lost of one direction when the other one begins or ends is found, whatever the seed.

use ws_core::{
    CloseCode,
    extension::{
        Chunk, Extension, ExtensionError, Mark, MessageInfo, Progress, Rsv, RsvClaim, Scope, Sink,
    },
    testkit::{Kit, Rule},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reset {
    None,
    DoneOfDecodeOwed,
    BeginDecodeOwed,
    BeginEncodeHigh,
}

/// `x-hex` of the guide, which keeps at most one digit in each direction.
struct Hex {
    reset: Reset,
    owed: Option<u8>,
    high: Option<u8>,
}

impl Extension for Hex {
    fn claim(&self) -> RsvClaim {
        RsvClaim::FirstFrame(Rsv::RSV2)
    }

    fn begin_encode(&mut self, _: &MessageInfo) -> Result<Mark, ExtensionError> {
        self.owed = None;
        if self.reset == Reset::BeginEncodeHigh {
            self.high = None;
        }
        Ok(Mark::Marked)
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        loop {
            if let Some(digit) = self.owed {
                if out.write(&[digit]) == 0 {
                    return Ok(Progress::Full);
                }
                self.owed = None;
            }
            let Some(octet) = input.data().first() else { return Ok(Progress::Done) };
            if out.write(&[DIGITS[usize::from(octet >> 4)]]) == 0 {
                return Ok(Progress::Full);
            }
            self.owed = Some(DIGITS[usize::from(octet & 15)]);
            input.consume(1);
        }
    }

    fn begin_decode(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        self.high = None;
        if self.reset == Reset::BeginDecodeOwed {
            self.owed = None;
        }
        Ok(())
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let corrupt = |why| Err(ExtensionError::new(CloseCode::INVALID_PAYLOAD, why));
        while let Some(&digit) = input.data().first() {
            let Some(value) = char::from(digit).to_digit(16) else { return corrupt("not a digit") };
            match self.high {
                None => self.high = Some(value as u8),
                Some(high) if out.write(&[high << 4 | value as u8]) == 1 => self.high = None,
                Some(_) => return Ok(Progress::Full),
            }
            input.consume(1);
        }
        if input.is_last() && self.high.is_some() {
            return corrupt("an odd number of digits");
        }
        if input.is_last() && self.reset == Reset::DoneOfDecodeOwed {
            self.owed = None;
        }
        Ok(Progress::Done)
    }
}

#[test]
fn state_lost_between_two_calls_is_found_with_every_seed() {
    for seed in 0..19 {
        for reset in
            [Reset::None, Reset::DoneOfDecodeOwed, Reset::BeginDecodeOwed, Reset::BeginEncodeHigh]
        {
            let make = || -> (Box<dyn Extension>, Box<dyn Extension>) {
                let end = || Box::new(Hex { reset, owed: None, high: None });
                (end(), end())
            };
            let outcome =
                Kit::pairs("x-hex", Scope::Message, &make).seed(seed).run_rule(Rule::Duplex);
            assert_eq!(outcome.is_ok(), reset == Reset::None, "{reset:?}, seed {seed}");
        }
    }
}
