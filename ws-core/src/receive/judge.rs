//! The judge: each rule that the header of a received frame has to obey.
//!
//! The general lane asks after each octet and turns a broken rule into a [`Fault`]. The short lane asks
//! the same functions once and leaves a header that breaks a rule to the general lane. Rules that hold
//! for both roles and whatever was negotiated are in [`frame`](crate::frame).

use super::Incoming;
use crate::{
    Config, Opcode, Receive,
    extension::{Extensions, Layer, Rsv, RsvClaim, Scope},
    fault::{Fault, Misplaced},
    frame::{self, FrameHeader},
};

/// Whether the mask bit is what the receiver's role requires.
#[inline(always)]
pub(crate) fn mask_fits(masked: bool, server: bool) -> bool {
    // RFC 6455 §5.1: "The server MUST close the connection upon receiving a frame that is not
    // masked." and "A client MUST close a connection if it detects a masked frame."
    masked == server
}

/// The bits that no extension claims.
#[inline(always)]
pub(crate) fn unclaimed(rsv: Rsv, claimed: Rsv) -> Rsv {
    // RFC 6455 §5.2: RSV1, RSV2, RSV3 "MUST be 0 unless an extension is negotiated that defines
    // meanings for non-zero values."
    rsv.without(claimed)
}

/// Whether the bits of a message's first frame obey the claims of the extensions.
#[inline(always)]
pub(crate) fn marks_fit(rsv: Rsv, layers: &[Layer]) -> bool {
    layers.iter().all(|layer| misplaced(layer, rsv, true).is_none())
}

/// The bits that are set or missing contrary to the claim of an extension.
#[inline(always)]
fn misplaced(layer: &Layer, rsv: Rsv, first: bool) -> Option<(Rsv, Misplaced)> {
    let bits = layer.claim.bits();
    let set = rsv.intersection(bits);
    let free = match layer.claim {
        RsvClaim::None => return None,
        RsvClaim::FirstFrame(_) => first,
        RsvClaim::EveryFrame(_) => first || layer.scope == Scope::Frame,
    };
    let follows = matches!(layer.claim, RsvClaim::EveryFrame(_)) && layer.decode.is_active();
    match (free, follows) {
        (true, _) if set.is_empty() || set == bits => None,
        (true, _) => Some((set, Misplaced::Incomplete)),
        (false, true) if set == bits => None,
        (false, true) => Some((bits.without(set), Misplaced::MissingFromContinuation)),
        (false, false) if set.is_empty() => None,
        (false, false) => Some((set, Misplaced::OnContinuation)),
    }
}

/// The most octets that [`check_size`] accepts of a message in one frame that no extension decodes;
/// none where messages are not received whole.
pub(crate) fn whole_limit(config: &Config) -> usize {
    let whole = config.receive == Receive::Messages && config.max_fragments > 0;
    if whole { config.frame_limit().min(config.max_message) } else { 0 }
}

/// Refuses a data frame of `len` octets that exceeds a limit. `gathered` is how much of its message
/// came before; `None` if an extension decodes it, since only decoding then tells the message's size.
pub(super) fn check_size(len: u64, gathered: Option<usize>, config: &Config) -> Result<(), Fault> {
    // RFC 6455 §10.4: implementations that have "limitations regarding the frame size or total
    // message size after reassembly from multiple frames MUST protect themselves against exceeding
    // those limits."
    let limit = config.frame_limit();
    if usize::try_from(len).map_or(true, |len| len > limit) {
        return Err(Fault::FrameTooBig { limit });
    }
    let limit = config.max_message;
    if gathered.is_some_and(|gathered| len.saturating_add(gathered as u64) > limit as u64) {
        return Err(Fault::MessageTooBig { limit });
    }
    Ok(())
}

#[cold]
fn misplaced_bits(layer: &Layer, bits: Rsv, how: Misplaced) -> Fault {
    Fault::MisplacedBits { bits, extension: layer.name.clone(), how }
}

/// The judge of the general lane: what was negotiated, and the message in progress.
pub(super) struct Judge<'a> {
    pub(super) server: bool,
    pub(super) config: &'a Config,
    pub(super) stack: &'a Extensions,
    pub(super) message: Option<&'a Incoming>,
}

impl frame::Judge for Judge<'_> {
    #[inline(always)]
    fn first_octet(&self, header: &FrameHeader) -> Result<(), Fault> {
        let FrameHeader { rsv, opcode, .. } = *header;
        let unclaimed = unclaimed(rsv, self.stack.claimed());
        if !unclaimed.is_empty() {
            return Err(Fault::ReservedBits(unclaimed));
        }
        let first = self.message.is_none();
        // RFC 6455 §5.4: "The fragments of one message MUST NOT be interleaved between the fragments
        // of another message unless an extension has been negotiated that can interpret the
        // interleaving."
        match (opcode == Opcode::Continuation, first) {
            _ if opcode.is_control() => {}
            (true, true) => return Err(Fault::UnexpectedContinuation),
            (false, false) => return Err(Fault::UnfinishedMessage),
            _ => {}
        }
        for layer in self.stack.layers() {
            let broken = if opcode.is_control() {
                // RFC 7692 §6.1: not on control frames.
                let set = rsv.intersection(layer.claim.bits());
                (!set.is_empty()).then_some((set, Misplaced::OnControlFrame))
            } else {
                misplaced(layer, rsv, first)
            };
            if let Some((bits, how)) = broken {
                return Err(misplaced_bits(layer, bits, how));
            }
        }
        Ok(())
    }

    fn mask_bit(&self, masked: bool) -> Result<(), Fault> {
        match (mask_fits(masked, self.server), masked) {
            (true, _) => Ok(()),
            (false, true) => Err(Fault::Masked),
            (false, false) => Err(Fault::Unmasked),
        }
    }

    fn length(&self, header: &FrameHeader) -> Result<(), Fault> {
        let streams = self.config.receive == Receive::Streaming;
        if header.opcode.is_control() || (streams && !self.stack.gathers_frames()) {
            return Ok(());
        }
        let gathered = self.message.map_or(0, |message| message.buffer.len());
        check_size(header.len, self.stack.is_empty().then_some(gathered), self.config)
    }
}
