//! The server decides about the extensions that a client offers (RFC 6455 §9.1).

use ws_core::{
    ExtensionFactory, Extensions,
    extension::{Agreed, Rsv},
};

use crate::{
    ExtensionElement, ExtensionSet, FactoryFault, Report, ReportEntry, Verdict,
    extension_set::are_tokens,
};

/// The result of negotiating extensions.
#[derive(Debug)]
#[non_exhaustive]
pub struct Negotiation {
    /// The extensions, in the order of the response.
    pub extensions: Extensions,
    /// The elements of the response, in order: name and parameters.
    pub responses: Vec<ExtensionElement>,
    /// The fate of each offer.
    pub report: Report,
}

impl Negotiation {
    /// The value of `Sec-WebSocket-Extensions` in the response, or `None` without such a header.
    pub fn header(&self) -> Option<String> {
        if self.responses.is_empty() {
            return None;
        }
        let elements: Vec<String> = self.responses.iter().map(ToString::to_string).collect();
        Some(elements.join(", "))
    }
}

impl ExtensionSet {
    /// Accepts or declines `offers`, in the order of this set.
    ///
    /// A declined offer is never an error: the [`Report`] says why it was declined.
    pub fn negotiate(&self, offers: Vec<ExtensionElement>) -> Negotiation {
        let entry = |offer| ReportEntry { offer, verdict: Verdict::Unknown };
        let mut round = Round {
            entries: offers.into_iter().map(entry).collect(),
            extensions: Extensions::none(),
            responses: Vec::new(),
        };
        let mut not_offered = Vec::new();
        for factory in self.iter() {
            if !round.ask(factory) {
                not_offered.push(factory.name().into());
            }
        }
        Negotiation {
            extensions: round.extensions,
            responses: round.responses,
            report: Report { entries: round.entries, not_offered },
        }
    }
}

struct Round {
    entries: Vec<ReportEntry>,
    extensions: Extensions,
    responses: Vec<ExtensionElement>,
}

impl Round {
    /// Asks one factory about its offers until it accepts one. Returns whether it had any.
    fn ask(&mut self, factory: &dyn ExtensionFactory) -> bool {
        let mut offered = false;
        let mut taken = false;
        for ReportEntry { offer, verdict } in &mut self.entries {
            if offer.name() != factory.name() {
                continue;
            }
            offered = true;
            *verdict = if taken {
                Verdict::Alternative
            } else {
                answer(factory, offer, &mut self.extensions)
            };
            if let Verdict::Taken { response } = verdict {
                taken = true;
                self.responses.push(ExtensionElement::new(factory.name(), response.clone()));
            }
        }
        offered
    }
}

/// Asks about one offer, and adds the extension to the stack if the stack allows it.
fn answer(
    factory: &dyn ExtensionFactory,
    offer: &ExtensionElement,
    extensions: &mut Extensions,
) -> Verdict {
    let free = Rsv::ALL.without(extensions.claimed());
    let Agreed { response, extension, .. } = match factory.accept(offer.params(), free) {
        Ok(agreed) => agreed,
        Err(reason) => return Verdict::Declined(reason),
    };
    if !are_tokens(&response) {
        return Verdict::Fault(FactoryFault::Response);
    }
    match extensions.push(factory, extension) {
        Ok(()) => Verdict::Taken { response },
        Err(error) => Verdict::Stack(error),
    }
}
