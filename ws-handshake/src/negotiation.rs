//! The server decides about the extensions that a client offers (RFC 6455 §9.1).

use ws_core::{
    ExtensionFactory, Extensions,
    extension::{Decision, NegotiationError, Params, Rsv},
};

use crate::{ExtensionSet, Fault, Offer, Report, ReportEntry, Verdict, extension_set::are_tokens};

/// What a server and a client agreed on.
#[derive(Debug)]
#[non_exhaustive]
pub struct Negotiation {
    /// The extensions, in the order of the response.
    pub extensions: Extensions,
    /// The elements of the response, in order: name and parameters.
    pub responses: Vec<Offer>,
    /// What became of each offer.
    pub report: Report,
}

impl Negotiation {
    /// The value of `Sec-WebSocket-Extensions` in the response, or `None` for no such header.
    pub fn header(&self) -> Option<String> {
        let elements: Vec<String> = self.responses.iter().map(ToString::to_string).collect();
        (!elements.is_empty()).then(|| elements.join(", "))
    }
}

impl ExtensionSet {
    /// Decides about `offers`, in the order of this set.
    ///
    /// A declined offer is never an error; the [`Report`] says why.
    pub fn negotiate(&self, offers: &[Offer]) -> Negotiation {
        let mut round = Round {
            offers,
            verdicts: offers.iter().map(|_| None).collect(),
            extensions: Extensions::none(),
            responses: Vec::new(),
        };
        let mut not_offered = Vec::new();
        for factory in self.iter() {
            if !round.ask(factory) {
                not_offered.push(factory.name().into());
            }
        }
        let entries = offers
            .iter()
            .zip(round.verdicts)
            .map(|(offer, verdict)| ReportEntry {
                offer: offer.clone(),
                verdict: verdict.unwrap_or(Verdict::Unknown),
            })
            .collect();
        Negotiation {
            extensions: round.extensions,
            responses: round.responses,
            report: Report {
                entries,
                not_offered,
            },
        }
    }
}

struct Round<'o> {
    offers: &'o [Offer],
    verdicts: Vec<Option<Verdict>>,
    extensions: Extensions,
    responses: Vec<Offer>,
}

impl Round<'_> {
    /// Asks one factory until it takes an offer or none is left. Whether there was one at all.
    fn ask(&mut self, factory: &dyn ExtensionFactory) -> bool {
        let mut open: Vec<usize> = Vec::new();
        for (i, offer) in self.offers.iter().enumerate() {
            if offer.name() == factory.name() {
                open.push(i);
            }
        }
        let offered = !open.is_empty();
        while !open.is_empty() {
            let free = Rsv::ALL.without(self.extensions.claimed());
            let (at, verdict) = match factory.accept(&self.params(&open), free) {
                Decision::Decline(reason) => {
                    return self.settle(&open, &Verdict::Declined(reason));
                }
                Decision::Accept {
                    offer: at,
                    response,
                    extension,
                } => {
                    if at >= open.len() {
                        return self.settle(&open, &Verdict::Fault(Fault::OfferIndex));
                    }
                    let verdict = if !are_tokens(&response) {
                        Verdict::Fault(Fault::Response)
                    } else if extension.scope() != factory.scope() {
                        Verdict::Fault(Fault::Scope)
                    } else {
                        match self.extensions.push(factory.name(), extension) {
                            Ok(()) => Verdict::Taken { response },
                            Err(error) => Verdict::Stack(error),
                        }
                    };
                    (at, verdict)
                }
            };
            if let Verdict::Taken { response } = &verdict {
                self.responses
                    .push(Offer::new(factory.name(), response.clone()));
                self.passed_over(factory, &open[..at], free);
                self.settle(&open[at..], &Verdict::Alternative);
                self.verdicts[open[at]] = Some(verdict);
                return true;
            }
            self.verdicts[open.remove(at)] = Some(verdict);
        }
        offered
    }

    /// Offers in front of the one that was taken: asked for alone, the factory says why.
    fn passed_over(&mut self, factory: &dyn ExtensionFactory, open: &[usize], free: Rsv) {
        for &i in open {
            let reason = match factory.accept(&self.params(&[i]), free) {
                Decision::Decline(reason) => reason,
                Decision::Accept { .. } => {
                    NegotiationError::new("the extension preferred a later offer")
                }
            };
            self.verdicts[i] = Some(Verdict::Declined(reason));
        }
    }

    fn settle(&mut self, open: &[usize], verdict: &Verdict) -> bool {
        for &i in open {
            self.verdicts[i] = Some(verdict.clone());
        }
        true
    }

    fn params(&self, open: &[usize]) -> Vec<Params> {
        open.iter()
            .map(|&i| self.offers[i].params().clone())
            .collect()
    }
}
