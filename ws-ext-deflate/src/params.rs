//! The parameters of permessage-deflate (RFC 7692 §7.1) in an offer or a response.

use ws_core::extension::{NegotiationError, Param, Params};

use crate::window::Window;

pub(crate) const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
pub(crate) const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
pub(crate) const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
pub(crate) const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// The parameters of a well-formed offer or response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeflateParams {
    pub(crate) server_no_context_takeover: bool,
    pub(crate) client_no_context_takeover: bool,
    pub(crate) server_max_window: Option<Window>,
    pub(crate) client_max_window: Option<ClientWindow>,
}

/// `client_max_window_bits`, which may come without a value in an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientWindow {
    Supported,
    AtMost(Window),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    Offer,
    Response,
}

impl DeflateParams {
    pub(crate) fn parse(params: &Params, element: Element) -> Result<Self, NegotiationError> {
        // RFC 7692 §7: "A server MUST decline an extension negotiation offer for this extension if
        // any of the following conditions are met: The negotiation offer contains an extension
        // parameter not defined for use in an offer. The negotiation offer contains an extension
        // parameter with an invalid value. The negotiation offer contains multiple extension
        // parameters with the same name." A client fails on a response for the same reasons.
        let [server_afresh, client_afresh, server_window, client_window] = params.get([
            SERVER_NO_CONTEXT_TAKEOVER,
            CLIENT_NO_CONTEXT_TAKEOVER,
            SERVER_MAX_WINDOW_BITS,
            CLIENT_MAX_WINDOW_BITS,
        ])?;
        let client_max_window = match (client_window, element) {
            (None, _) => None,
            (Some(param), Element::Offer) if param.value().is_none() => {
                Some(ClientWindow::Supported)
            }
            (Some(param), _) => Some(ClientWindow::AtMost(Window::of(param)?)),
        };
        Ok(Self {
            server_no_context_takeover: flag(server_afresh)?,
            client_no_context_takeover: flag(client_afresh)?,
            server_max_window: server_window.map(Window::of).transpose()?,
            client_max_window,
        })
    }

    pub(crate) fn to_params(self) -> Params {
        let mut params = Params::new();
        if self.server_no_context_takeover {
            params.push(SERVER_NO_CONTEXT_TAKEOVER, None);
        }
        if self.client_no_context_takeover {
            params.push(CLIENT_NO_CONTEXT_TAKEOVER, None);
        }
        if let Some(window) = self.server_max_window {
            params.push(SERVER_MAX_WINDOW_BITS, Some(&window.bits().to_string()));
        }
        match self.client_max_window {
            None => {}
            Some(ClientWindow::Supported) => params.push(CLIENT_MAX_WINDOW_BITS, None),
            Some(ClientWindow::AtMost(window)) => {
                params.push(CLIENT_MAX_WINDOW_BITS, Some(&window.bits().to_string()));
            }
        }
        params
    }
}

/// Whether a parameter without a value is there.
fn flag(param: Option<&Param>) -> Result<bool, NegotiationError> {
    param.map(Param::no_value).transpose().map(|found| found.is_some())
}
