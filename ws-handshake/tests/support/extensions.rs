//! Extensions that transform nothing and negotiate everything.

use ws_core::extension::{
    Agreed, Chunk, Extension, ExtensionError, ExtensionFactory, Mark, MessageInfo,
    NegotiationError, Params, Progress, Rsv, RsvClaim, Scope, Sink,
};
use ws_handshake::ExtensionSet;

/// An extension of any name, claim and scope, which takes offers without the parameter `bad`.
#[derive(Clone, Debug)]
pub struct Plain {
    pub name: &'static str,
    pub claim: RsvClaim,
    pub scope: Scope,
    pub offers: Vec<Params>,
    /// Added to the parameters of the response, as they are.
    pub response: Option<(&'static str, &'static str)>,
}

pub fn plain(name: &'static str, bits: Rsv) -> Plain {
    Plain {
        name,
        claim: if bits.is_empty() { RsvClaim::None } else { RsvClaim::FirstFrame(bits) },
        scope: Scope::Message,
        offers: vec![Params::new()],
        response: None,
    }
}

pub fn framing(name: &'static str, bits: Rsv) -> Plain {
    Plain { scope: Scope::Frame, ..plain(name, bits) }
}

pub fn set(factories: impl IntoIterator<Item = Plain>) -> ExtensionSet {
    factories.into_iter().try_fold(ExtensionSet::new(), ExtensionSet::with).unwrap()
}

impl Plain {
    /// The claim of one configuration: the parameter `bits=none` claims nothing.
    fn build(&self, params: &Params) -> Box<dyn Extension> {
        let none = params.iter().any(|p| (p.name(), p.value()) == ("bits", Some("none")));
        Box::new(Instance { claim: if none { RsvClaim::None } else { self.claim } })
    }
}

fn check(params: &Params) -> Result<(), NegotiationError> {
    match params.iter().find(|param| param.name() == "bad") {
        Some(param) => Err(NegotiationError::parameter(param.name(), "never taken")),
        None => Ok(()),
    }
}

impl ExtensionFactory for Plain {
    fn name(&self) -> &str {
        self.name
    }

    fn scope(&self) -> Scope {
        self.scope
    }

    fn accept(&self, offer: &Params, _free: Rsv) -> Result<Agreed, NegotiationError> {
        check(offer)?;
        let mut response = offer.clone();
        if let Some((name, value)) = self.response {
            response.push(name, Some(value));
        }
        Ok(Agreed::new(response, self.build(offer)))
    }

    fn offers(&self) -> Vec<Params> {
        self.offers.clone()
    }

    fn confirm(
        &self,
        response: &Params,
        _: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        check(response)?;
        Ok(self.build(response))
    }
}

struct Instance {
    claim: RsvClaim,
}

impl Extension for Instance {
    fn claim(&self) -> RsvClaim {
        self.claim
    }

    fn begin_encode(&mut self, _unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        Ok(Mark::Unmarked)
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        out.write_from(input);
        Ok(Progress::Done)
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        out.write_from(input);
        Ok(Progress::Done)
    }
}
