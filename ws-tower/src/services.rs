//! The services that a server shuts down.

use std::sync::{Mutex, PoisonError};

use ws_server::Service;

/// The services whose WebSockets one server has opened, which end with it. WebSockets that are open know
/// it, and no service does.
#[derive(Debug)]
pub(crate) struct Services(Mutex<State>);

#[derive(Debug)]
enum State {
    Known(Vec<Service>),
    Closed,
}

impl Default for Services {
    fn default() -> Self {
        Self(Mutex::new(State::Known(Vec::new())))
    }
}

impl Services {
    /// Adds the service of a WebSocket that is about to open. Returns `false` if the server shuts down.
    pub(crate) fn add(&self, accepted: &ws_server::Accepted) -> bool {
        let service = accepted.service();
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State::Known(known) = &mut *state else { return false };
        if !known.contains(&service) {
            // An application may make services without end, and they need no shutdown once they are empty.
            // A WebSocket that is accepted is among the clients.
            let is_empty = |known: &mut Service| known.clients().count() == 0;
            let empty: Vec<Service> = known.extract_if(.., is_empty).collect();
            known.push(service);
            drop(state);
            // Without the lock, since what the application gave to one may end with it.
            drop(empty);
        }
        true
    }

    /// Those to shut down. No WebSocket is opened after it.
    pub(crate) fn close(&self) -> Vec<Service> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *state, State::Closed) {
            State::Known(known) => known,
            State::Closed => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use ws_server::{Accepted, Options, Peer, Server, Service};

    use super::*;

    fn accepted(service: &Service) -> Accepted {
        let request = Request::get("/")
            .header("host", "a.example")
            .header("upgrade", "websocket")
            .header("connection", "upgrade")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-version", "13");
        let (request, ()) = request.body(()).unwrap().into_parts();
        service.open(&request, Peer::Other, Options::default()).unwrap()
    }

    #[test]
    fn services_are_known_once_and_empty_ones_are_forgotten() {
        let services = Services::default();
        let [lasting, passing, new] = [(); 3].map(|()| Server::new().service().unwrap());
        let held = [accepted(&lasting), accepted(&lasting)];
        assert!(held.iter().all(|accepted| services.add(accepted)));
        assert!(services.add(&accepted(&passing)));
        assert!(services.add(&accepted(&new)));
        assert_eq!(services.close(), [lasting.clone(), new]);
        assert!(!services.add(&accepted(&lasting)), "it is closed");
    }
}
