//! An extension that keeps the contract, and the flaws that it can have.
//!
//! `x-roll` sends of every message a tag, its octets with a key and their position added, and their
//! sum. The key is the number of the message (tag 0) or nothing (tag 1, the shared form). It streams,
//! remembers how many messages there were, and needs its last octet: so every rule can be broken.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use ws_core::{
    CloseCode, Extension, ExtensionFactory, Payload,
    extension::{
        Agreed, Chunk, Compression, ExtensionError, Mark, MessageInfo, NegotiationError, Params,
        Progress, Rsv, RsvClaim, Scope, SharedEncoder, SharedForm, SharedKey, Sharing, Sink,
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    NameIsNoToken,
    ResponseIsNotConfirmed,
    NoOffers,
    MarksNothing,
    MarksLongMessagesAlone,
    /// No flaw.
    MarksFrom60Octets,
    /// No flaw either.
    ClaimsTheBitOfCompression,
    ScopeChanges,
    EndsClaimDifferentBits,
    ClaimChanges,
    UnknownParametersAreTaken,
    ParameterPanics,
    TakesAnotherBitInSecret,
    DecodesWrongly,
    WrongInThePositionOf200,
    DecodePanics,
    DoneTooEarly,
    ServerBeginsElsewhere,
    EmptyEndHasNoSum,
    PositionIsThatOfTheCall,
    /// Decoded to the same: broken only where the octets have to be the same.
    ChunkShows,
    RoomShows,
    SumIsDroppedWithoutRoom,
    DoneWithInputLeft,
    FullWithoutProgress,
    OneStateForBothDirections,
    BeginDecodeResetsSending,
    DoneOfDecodeEndsSending,
    BeginEncodeResetsReceiving,
    OneStateForAllConnections,
    ParkForgets,
    EmptyInputPanics,
    PeerIsToldInternalError,
    LengthIsReliedOn,
    UnmarkedAreCounted,
    UnmarkedAreCountedByTheReceiver,
    MarksAreAddedWhenSending,
    SharedAreNotCounted,
    SharedChangesItsMind,
    SharedFormHasAState,
    SharedFormLosesWhatDoesNotFit,
    SharedKeyIsTooWide,
}

pub(crate) struct RollFactory {
    flaw: Flaw,
    /// A server declines more.
    pub(crate) max_level: u8,
    everybody: Arc<AtomicU8>,
    /// How often it was asked for its scope.
    asked: AtomicU8,
}

struct Roll {
    flaw: Flaw,
    bit: Rsv,
    claimed: AtomicU8,
    sending: Half,
    receiving: Half,
    everybody: Arc<AtomicU8>,
    level: u8,
    /// How many marked messages there were.
    sent: u8,
    received: u8,
}

/// The message in progress in one direction.
#[derive(Clone, Copy, Default)]
struct Half {
    tag: Option<u8>,
    key: u8,
    position: u8,
    sum: u8,
    /// What was added or read last and may be the sum.
    held: Option<u8>,
    ended: bool,
    left: u64,
}

impl RollFactory {
    pub(crate) fn new(flaw: Flaw) -> Self {
        Self { flaw, max_level: u8::MAX, everybody: Arc::default(), asked: AtomicU8::new(0) }
    }

    fn build(&self, bit: Rsv, level: u8, sent: u8) -> Box<dyn Extension> {
        Box::new(Roll {
            flaw: self.flaw,
            bit,
            claimed: AtomicU8::new(0),
            sending: Half::default(),
            receiving: Half::default(),
            everybody: Arc::clone(&self.everybody),
            level,
            sent,
            received: 0,
        })
    }

    /// The one parameter, `level=N`.
    fn level(&self, params: &Params) -> Result<u8, NegotiationError> {
        let mut level = None;
        for param in params {
            match (param.name(), param.value()) {
                ("level", Some(value)) if self.flaw == Flaw::ParameterPanics => {
                    level = Some(value.parse().unwrap());
                }
                ("level", Some(value)) => {
                    let parsed = value.parse();
                    level = Some(parsed.map_err(|_| NegotiationError::parameter("level", "?"))?);
                }
                _ if self.flaw == Flaw::UnknownParametersAreTaken => {}
                (stranger, _) => return Err(NegotiationError::parameter(stranger, "unknown")),
            }
        }
        level.ok_or_else(|| NegotiationError::parameter("level", "is missing"))
    }
}

impl ExtensionFactory for RollFactory {
    fn name(&self) -> &str {
        if self.flaw == Flaw::NameIsNoToken { "x roll" } else { "x-roll" }
    }

    fn scope(&self) -> Scope {
        let again = self.asked.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        if self.flaw == Flaw::ScopeChanges && again { Scope::Frame } else { Scope::Message }
    }

    fn accept(&self, offer: &Params, free: Rsv) -> Result<Agreed, NegotiationError> {
        let level = self.level(offer)?;
        if level > self.max_level {
            return Err(NegotiationError::parameter("level", "is too high"));
        }
        let bit = match self.flaw {
            Flaw::EndsClaimDifferentBits => Rsv::RSV1,
            Flaw::TakesAnotherBitInSecret if !free.contains(Rsv::RSV2) => Rsv::RSV3,
            Flaw::ClaimsTheBitOfCompression => Rsv::RSV1,
            _ => Rsv::RSV2,
        };
        let answered = if self.flaw == Flaw::ResponseIsNotConfirmed { "no" } else { "1" };
        let sent = u8::from(self.flaw == Flaw::ServerBeginsElsewhere);
        let answered = if level == 1 { answered } else { "2" };
        let response = Params::new().with("level", answered);
        Ok(Agreed::new(response, self.build(bit, level.min(2), sent)))
    }

    fn offers(&self) -> Vec<Params> {
        if self.flaw == Flaw::NoOffers {
            return Vec::new();
        }
        ["1", "2"].map(|level| Params::new().with("level", level)).into()
    }

    fn confirm(
        &self,
        response: &Params,
        _: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        let bit = match self.flaw {
            Flaw::ClaimsTheBitOfCompression => Rsv::RSV1,
            _ => Rsv::RSV2,
        };
        Ok(self.build(bit, self.level(response)?, 0))
    }
}

fn corrupt(flaw: Flaw) -> ExtensionError {
    let code = match flaw {
        Flaw::PeerIsToldInternalError => CloseCode::INTERNAL_ERROR,
        _ => CloseCode::INVALID_PAYLOAD,
    };
    ExtensionError::new(code, "it does not roll")
}

impl Roll {
    /// What is added to every octet of the shared form.
    fn shared_key(&self) -> u8 {
        if self.flaw == Flaw::SharedKeyIsTooWide { self.level } else { 0 }
    }

    fn receiving(&mut self) -> &mut Half {
        match self.flaw {
            Flaw::OneStateForBothDirections => &mut self.sending,
            _ => &mut self.receiving,
        }
    }
}

impl Extension for Roll {
    fn claim(&self) -> RsvClaim {
        let asked = self.claimed.fetch_add(1, Ordering::Relaxed);
        match self.flaw {
            Flaw::ClaimChanges if asked > 0 => RsvClaim::EveryFrame(self.bit),
            _ => RsvClaim::FirstFrame(self.bit),
        }
    }

    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        let marked = match self.flaw {
            Flaw::MarksNothing => false,
            Flaw::MarksLongMessagesAlone => unit.len > Some(5000),
            Flaw::MarksFrom60Octets if unit.len < Some(60) => false,
            _ => unit.compression != Compression::Never,
        };
        if marked || self.flaw == Flaw::UnmarkedAreCounted {
            self.sent = self.sent.wrapping_add(1);
        }
        if !marked {
            return Ok(Mark::Unmarked);
        }
        let marks = self.flaw == Flaw::MarksAreAddedWhenSending && !unit.marks.is_empty();
        let key = self.sent.wrapping_mul(self.level).wrapping_add(u8::from(marks));
        self.sending = Half { key, left: unit.len.unwrap_or(0), ..Half::default() };
        self.everybody.store(0, Ordering::Relaxed);
        if self.flaw == Flaw::BeginEncodeResetsReceiving {
            self.receiving.held = None;
        }
        Ok(Mark::Marked)
    }

    fn begin_decode(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        self.received = self.received.wrapping_add(1);
        let key = self.received.wrapping_mul(self.level);
        *self.receiving() = Half { key, ..Half::default() };
        if self.flaw == Flaw::BeginDecodeResetsSending {
            self.sending.sum = 0;
        }
        Ok(())
    }

    fn begin_unmarked(&mut self, _: &MessageInfo) -> Result<(), ExtensionError> {
        if self.flaw == Flaw::UnmarkedAreCountedByTheReceiver {
            self.received = self.received.wrapping_add(1);
        }
        Ok(())
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let flaw = self.flaw;
        let half = &mut self.sending;
        let had_none = input.is_empty();
        if half.tag.is_none() {
            if flaw == Flaw::FullWithoutProgress && out.room() == 1 {
                return Ok(Progress::Full);
            }
            let unusual = match flaw {
                Flaw::ChunkShows => !input.is_last(),
                Flaw::RoomShows => out.room() < 3,
                _ => false,
            };
            if unusual {
                half.key = 0; // as in the shared form
            }
            if out.write(&[unusual.into()]) == 0 {
                return Ok(Progress::Full);
            }
            half.tag = Some(0);
        }
        if flaw == Flaw::PositionIsThatOfTheCall {
            half.position = 0;
        }
        while let Some(&octet) = input.data().first() {
            let position = match flaw {
                Flaw::OneStateForAllConnections => self.everybody.load(Ordering::Relaxed),
                _ => half.position,
            };
            if out.write(&[octet.wrapping_add(half.key).wrapping_add(position)]) == 0 {
                return Ok(match flaw {
                    Flaw::DoneWithInputLeft => Progress::Done,
                    _ => Progress::Full,
                });
            }
            if flaw == Flaw::DoneTooEarly && half.position == 3 {
                return Ok(Progress::Done);
            }
            self.everybody.fetch_add(1, Ordering::Relaxed);
            half.position = half.position.wrapping_add(1);
            half.sum = half.sum.wrapping_add(octet);
            half.left = half.left.saturating_sub(1);
            input.consume(1);
        }
        let ends = match flaw {
            Flaw::LengthIsReliedOn => half.left == 0,
            // An empty message it remembers, but not an end that comes alone.
            Flaw::EmptyEndHasNoSum if half.position > 0 => input.is_last() && !had_none,
            _ => input.is_last(),
        };
        if ends && !half.ended {
            half.ended = out.write(&[half.sum]) == 1;
            if !half.ended && flaw != Flaw::SumIsDroppedWithoutRoom {
                return Ok(Progress::Full);
            }
        }
        Ok(Progress::Done)
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let (flaw, shared) = (self.flaw, self.shared_key());
        let half = self.receiving();
        if half.tag.is_none() {
            match input.data().first() {
                Some(&tag @ 0..=1) => half.tag = Some(tag),
                _ if flaw == Flaw::EmptyInputPanics => panic!("{:#x}", input.data()[0]),
                Some(_) => return Err(corrupt(flaw)),
                None if input.is_last() => return Err(corrupt(flaw)),
                None => return Ok(Progress::Done),
            }
            input.consume(1);
            if half.tag == Some(1) {
                half.key = shared;
            }
        }
        while let Some(&octet) = input.data().first() {
            if let Some(held) = half.held {
                let plain = held.wrapping_sub(half.key).wrapping_sub(half.position);
                let plain = if flaw == Flaw::DecodesWrongly { plain | 1 } else { plain };
                let wrong = flaw == Flaw::WrongInThePositionOf200 && half.position == 200;
                if flaw == Flaw::DecodePanics && half.position == 3 {
                    panic!("the fourth octet");
                }
                if out.write(&[plain | u8::from(wrong)]) == 0 {
                    return Ok(Progress::Full);
                }
                half.sum = half.sum.wrapping_add(plain);
                half.position = half.position.wrapping_add(1);
            }
            half.held = Some(octet);
            input.consume(1);
        }
        if input.is_last() && half.held != Some(half.sum) {
            return Err(corrupt(flaw));
        }
        if flaw == Flaw::DoneOfDecodeEndsSending && input.is_last() {
            self.sending.position = 0;
        }
        Ok(Progress::Done)
    }

    fn park(&mut self) {
        if self.flaw == Flaw::ParkForgets {
            self.sent = 0;
        }
    }

    fn sharing(&mut self) -> Option<&mut dyn Sharing> {
        Some(self)
    }
}

impl Sharing for Roll {
    fn form(&self, message: &MessageInfo) -> Option<SharedForm> {
        match message {
            MessageInfo { compression: Compression::Never, .. } => Some(SharedForm::Plain),
            MessageInfo { len: Some(0..=1000), .. } => {
                let asked = self.claimed.fetch_add(1, Ordering::Relaxed);
                let form = if self.flaw == Flaw::SharedChangesItsMind { asked } else { 0 };
                Some(SharedForm::Encoded(SharedKey::new::<Self>(form.into())))
            }
            _ => None,
        }
    }

    fn encoder(&self, _: &MessageInfo) -> Option<Box<dyn SharedEncoder>> {
        let skew = match self.flaw {
            Flaw::SharedFormHasAState => self.everybody.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
        let half = Half { key: self.shared_key(), sum: skew, ..Half::default() };
        Some(Box::new(RollShared { flaw: self.flaw, half }))
    }

    fn sent(&mut self, _: &Payload) {
        if self.flaw != Flaw::SharedAreNotCounted {
            self.sent = self.sent.wrapping_add(1);
        }
    }
}

struct RollShared {
    flaw: Flaw,
    half: Half,
}

impl SharedEncoder for RollShared {
    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let Self { flaw, half } = self;
        if half.tag.is_none() {
            half.tag = Some(1);
            let _ = out.write(&[1]);
        }
        while let Some(&octet) = input.data().first() {
            if out.write(&[octet.wrapping_add(half.key).wrapping_add(half.position)]) == 0
                && *flaw != Flaw::SharedFormLosesWhatDoesNotFit
            {
                return Ok(Progress::Full);
            }
            half.position = half.position.wrapping_add(1);
            half.sum = half.sum.wrapping_add(octet);
            input.consume(1);
        }
        if input.is_last() && !half.ended {
            half.ended = out.write(&[half.sum]) == 1;
            if !half.ended {
                return Ok(Progress::Full);
            }
        }
        Ok(Progress::Done)
    }
}
