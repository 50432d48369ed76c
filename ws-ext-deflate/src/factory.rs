//! Negotiates permessage-deflate (RFC 7692 §7).

use ws_core::{
    Extension, ExtensionFactory,
    extension::{Agreed, NegotiationError, Params, Rsv, Scope},
};

use crate::{
    options::Deflate,
    params::{
        CLIENT_MAX_WINDOW_BITS, ClientWindow, DeflateParams, Element, SERVER_MAX_WINDOW_BITS,
        SERVER_NO_CONTEXT_TAKEOVER,
    },
    permessage::{Context, PermessageDeflate},
    window::Window,
};

impl ExtensionFactory for Deflate {
    fn name(&self) -> &str {
        "permessage-deflate"
    }

    fn scope(&self) -> Scope {
        Scope::Message
    }

    fn accept(&self, offer: &Params, free: Rsv) -> Result<Agreed, NegotiationError> {
        // RFC 7692 §5: "a server MUST NOT accept a PMCE extension negotiation offer together with
        // another extension if the PMCE will conflict with the extension on their use of the RSV1
        // bit."
        if !free.contains(Rsv::RSV1) {
            return Err(NegotiationError::new("another extension uses RSV1"));
        }
        let offered = DeflateParams::parse(offer, Element::Offer)?;
        let server_window = match offered.server_max_window {
            Some(window) => window.min(self.server_window),
            None => self.server_window,
        };
        // RFC 7692 §7.1.2.1 lets a server name a window that was not offered, and some clients fail
        // on it. A smaller window need not be named: a peer that expects a larger one inflates it too.
        let names_server_window = offered.server_max_window.is_some()
            || self.server_window_set && self.server_window < Window::MAX;
        // RFC 7692 §7.1.2.2: "If a received extension negotiation offer doesn't have the
        // "client_max_window_bits" extension parameter, the corresponding extension negotiation
        // response to the offer MUST NOT include the "client_max_window_bits" extension
        // parameter."
        let client_window = match offered.client_max_window {
            None => Window::MAX,
            Some(ClientWindow::Supported) => self.client_window,
            Some(ClientWindow::AtMost(window)) => window.min(self.client_window),
        };
        // RFC 7692 §7.1.1.1: a server accepts an offer with "server_no_context_takeover" by
        // including it in the response, and may include it where it was not offered; the same for
        // the client's, which the client "MUST" support in a response.
        let response = DeflateParams {
            server_no_context_takeover: self.server_no_context_takeover
                || offered.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover
                || offered.client_no_context_takeover,
            // RFC 7692 §7.1.2.1: "with the same or smaller value as the offer".
            server_max_window: names_server_window.then_some(server_window),
            client_max_window: (client_window < Window::MAX)
                .then_some(ClientWindow::AtMost(client_window)),
        };
        let extension = PermessageDeflate::new(
            self,
            Context { window: server_window, takeover: !response.server_no_context_takeover },
            Context { window: client_window, takeover: !response.client_no_context_takeover },
        );
        Ok(Agreed::new(response.to_params(), Box::new(extension)))
    }

    fn offers(&self) -> Vec<Params> {
        let first = DeflateParams {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window: (self.server_window < Window::MAX).then_some(self.server_window),
            client_max_window: Some(if self.client_window_offered {
                ClientWindow::AtMost(self.client_window)
            } else {
                ClientWindow::Supported
            }),
        };
        let mut offers = vec![first.to_params()];
        if first.server_max_window.is_some() && !self.server_window_set {
            let fallback = DeflateParams { server_max_window: None, ..first };
            offers.push(fallback.to_params());
        }
        offers
    }

    fn confirm(
        &self,
        response: &Params,
        _: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        let agreed = DeflateParams::parse(response, Element::Response)?;
        let refuse = |name, reason: &'static str| Err(NegotiationError::parameter(name, reason));
        if self.server_no_context_takeover && !agreed.server_no_context_takeover {
            return refuse(SERVER_NO_CONTEXT_TAKEOVER, "required, and missing from the response");
        }
        let server_window = agreed.server_max_window.unwrap_or(Window::MAX);
        if self.server_window_set && server_window > self.server_window {
            return refuse(
                SERVER_MAX_WINDOW_BITS,
                match agreed.server_max_window {
                    None => "required, and missing from the response",
                    Some(_) => "larger than the one required",
                },
            );
        }
        // RFC 7692 §7.1.2.2: without it in the response, "the client is not going to use an LZ77
        // sliding window size greater than the size specified by the value in the extension
        // negotiation offer to compress messages."
        let client_window = match agreed.client_max_window {
            Some(ClientWindow::AtMost(window))
                if self.client_window_offered && window > self.client_window =>
            {
                return refuse(CLIENT_MAX_WINDOW_BITS, "larger than the one offered");
            }
            Some(ClientWindow::AtMost(window)) => window.min(self.client_window),
            Some(ClientWindow::Supported) | None => self.client_window,
        };
        Ok(Box::new(PermessageDeflate::new(
            self,
            Context {
                window: client_window,
                takeover: !(self.client_no_context_takeover || agreed.client_no_context_takeover),
            },
            Context { window: server_window, takeover: !agreed.server_no_context_takeover },
        )))
    }
}
