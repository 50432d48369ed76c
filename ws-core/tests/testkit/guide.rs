//! What the guide shows of the kit is what the kit says.

use ws_core::{
    extension::*,
    testkit::{Kit, Rule, check},
};

const GUIDE: &str = include_str!("../../src/extension/guide.md");

/// `x-hex` of the guide, whose `encode` does not ask how much went in.
#[derive(Default)]
struct HastyHex {
    high: Option<u8>,
}

impl Extension for HastyHex {
    fn claim(&self) -> RsvClaim {
        RsvClaim::FirstFrame(Rsv::RSV2)
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        while let (Some(octet), false) = (input.data().first(), out.is_full()) {
            let _ = out.write(format!("{octet:02x}").as_bytes());
            input.consume(1);
        }
        Ok(if input.is_empty() { Progress::Done } else { Progress::Full })
    }

    fn begin_decode(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        self.high = None;
        Ok(())
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let corrupt = |why| Err(ExtensionError::new(ws_core::CloseCode::INVALID_PAYLOAD, why));
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
        Ok(Progress::Done)
    }
}

#[test]
fn failure_in_the_guide_is_what_the_kit_says() {
    let make = || -> (Box<dyn Extension>, Box<dyn Extension>) {
        (Box::new(HastyHex::default()), Box::new(HastyHex::default()))
    };
    let failure = Kit::pairs("x-hex", Scope::Message, &make).run().unwrap_err();
    assert_eq!(failure.rule(), Rule::Budget);
    assert!(GUIDE.contains(&failure.to_string()), "{failure}");
}

/// `x-scramble` of the guide.
struct XScramble;

impl ExtensionFactory for XScramble {
    fn name(&self) -> &str {
        "x-scramble"
    }

    fn scope(&self) -> Scope {
        Scope::Message
    }

    fn accept(&self, offer: &Params, _: Rsv) -> Result<Agreed, NegotiationError> {
        Ok(Agreed::new(Params::new(), self.confirm(offer, &[])?))
    }

    fn confirm(
        &self,
        response: &Params,
        _offers: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        response.refuse_any()?;
        Ok(Box::new(Self))
    }
}

impl Extension for XScramble {
    fn claim(&self) -> RsvClaim {
        RsvClaim::FirstFrame(Rsv::RSV2)
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        while let (Some(octet), false) = (input.data().first(), out.is_full()) {
            input.consume(out.write(&[!octet]));
        }
        Ok(if input.is_empty() { Progress::Done } else { Progress::Full })
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        self.encode(input, out)
    }
}

// The defaults of `offers` and `begin_encode` are all that this one has.
#[test]
fn report_in_the_guide_is_what_the_kit_says() {
    let report = check(&XScramble).unwrap();
    assert!(GUIDE.contains(&report.to_string()), "{report}");
}
