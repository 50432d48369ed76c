//! The parameters of permessage-deflate (RFC 7692 §7.1), as they stand in an offer or a response.

use ws_core::extension::{NegotiationError, Param, Params};

use crate::window::Window;

pub(crate) const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
pub(crate) const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
pub(crate) const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
pub(crate) const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// What a well-formed offer or response says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) server_no_context_takeover: bool,
    pub(crate) client_no_context_takeover: bool,
    pub(crate) server_max_window: Option<Window>,
    pub(crate) client_max_window: Option<ClientWindow>,
}

/// `client_max_window_bits`, which has no value in an offer that gives no hint.
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

impl Said {
    pub(crate) fn parse(params: &Params, element: Element) -> Result<Self, NegotiationError> {
        let mut said = Self::default();
        // RFC 7692 §7: "A server MUST decline an extension negotiation offer for this extension if
        // any of the following conditions are met: The negotiation offer contains an extension
        // parameter not defined for use in an offer. The negotiation offer contains an extension
        // parameter with an invalid value. The negotiation offer contains multiple extension
        // parameters with the same name." A client fails on a response for the same reasons.
        for (place, param) in params.iter().enumerate() {
            let name = param.name();
            if params.iter().take(place).any(|before| before.name() == name) {
                return Err(NegotiationError::parameter(name, "stands there twice"));
            }
            match name {
                SERVER_NO_CONTEXT_TAKEOVER => said.server_no_context_takeover = flag(param)?,
                CLIENT_NO_CONTEXT_TAKEOVER => said.client_no_context_takeover = flag(param)?,
                SERVER_MAX_WINDOW_BITS => said.server_max_window = Some(Window::of(param)?),
                CLIENT_MAX_WINDOW_BITS => {
                    said.client_max_window = Some(match (param.value(), element) {
                        (None, Element::Offer) => ClientWindow::Supported,
                        _ => ClientWindow::AtMost(Window::of(param)?),
                    });
                }
                _ => return Err(NegotiationError::parameter(name, "is not defined")),
            }
        }
        Ok(said)
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

fn flag(param: &Param) -> Result<bool, NegotiationError> {
    match param.value() {
        None => Ok(true),
        Some(_) => Err(NegotiationError::parameter(param.name(), "takes no value")),
    }
}
