//! Extensions that transform nothing and negotiate everything.

use ws_core::extension::{
    Agreed, Extension, ExtensionFactory, NegotiationError, Params, Rsv, RsvClaim, Scope,
};
use ws_handshake::ExtensionSet;
use ws_tests_support::extension::Stub;

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
        let claim = if none { RsvClaim::None } else { self.claim };
        Box::new(Stub::passing(claim).unmarked())
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
