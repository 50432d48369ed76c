//! Makes the two ends of a connection.

use core::slice;

use super::{
    Failure, Rule,
    drive::{End, guarded},
};
use crate::extension::{Agreed, Extension, ExtensionFactory, Params, Rsv, Scope};

/// The extensions of a client and a server that agreed.
pub(super) type Pair = (Box<dyn Extension>, Box<dyn Extension>);

#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Factories { client: &'a dyn ExtensionFactory, server: &'a dyn ExtensionFactory },
    Pairs { name: &'a str, scope: Scope, make: &'a dyn Fn() -> Pair },
}

/// An agreement of two ends: an accepted offer, if there are offers.
pub(super) struct Configuration(pub(super) Option<Params>);

/// The two ends of a connection.
pub(super) struct Ends {
    pub(super) client: End,
    pub(super) server: End,
}

/// The direction in which messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    ToServer,
    ToClient,
}

impl Course {
    pub(super) const BOTH: [Self; 2] = [Self::ToServer, Self::ToClient];

    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::ToServer => "from client to server",
            Self::ToClient => "from server to client",
        }
    }
}

impl Ends {
    /// The sender and the receiver.
    pub(super) fn along(&mut self, course: Course) -> (&mut End, &mut End) {
        match course {
            Course::ToServer => (&mut self.client, &mut self.server),
            Course::ToClient => (&mut self.server, &mut self.client),
        }
    }
}

impl Configuration {
    pub(super) fn text(&self, name: &str) -> String {
        match &self.0 {
            Some(offer) => format!("with the offer `{name}{offer}`"),
            None => "with the given pair".into(),
        }
    }
}

impl Source<'_> {
    pub(super) fn name(&self) -> String {
        match self {
            Self::Factories { server, .. } => {
                guarded(|| server.name().to_string()).unwrap_or_default()
            }
            Self::Pairs { name, .. } => (*name).to_string(),
        }
    }

    /// All configurations that client and server can agree on, and the declined offers with the
    /// reasons.
    pub(super) fn configurations(&self) -> Result<(Vec<Configuration>, Vec<String>), Failure> {
        let Self::Factories { client, .. } = self else {
            return Ok((Vec::from([Configuration(None)]), Vec::new()));
        };
        let offers = guarded(|| client.offers())
            .map_err(|panic| Failure::new(Rule::Offers, format!("`offers` panicked: {panic}")))?;
        if offers.is_empty() {
            let what = "there are no offers to try: give `Kit::between` a factory that makes some";
            return Err(Failure::new(Rule::Offers, what));
        }
        let (mut taken, mut declined) = (Vec::new(), Vec::new());
        for offer in offers {
            match self.accept(&offer, Rsv::ALL)? {
                Ok(_) => taken.push(Configuration(Some(offer))),
                Err(why) => declined.push(format!("`{offer}` was declined: {why}")),
            }
        }
        if taken.is_empty() {
            return Err(Failure::new(Rule::Offers, declined.join("; ")));
        }
        Ok((taken, declined))
    }

    /// The server's answer to an offer; the inner error is its reason to decline.
    pub(super) fn accept(
        &self,
        offer: &Params,
        free: Rsv,
    ) -> Result<Result<Agreed, String>, Failure> {
        let Self::Factories { server, .. } = self else {
            return Ok(Err("there is no factory".into()));
        };
        match guarded(|| server.accept(offer, free)) {
            Ok(agreed) => Ok(agreed.map_err(|error| error.to_string())),
            Err(panic) => {
                let what = format!("`accept` panicked on `{offer}` with {free} free: {panic}");
                Err(Failure::new(Rule::Offers, what))
            }
        }
    }

    /// Makes two fresh ends.
    pub(super) fn ends(&self, configuration: &Configuration) -> Result<Ends, Failure> {
        let (pair, scopes) = match (self, &configuration.0) {
            (Self::Pairs { make, scope, .. }, _) => {
                let pair = guarded(make).map_err(|panic| {
                    Failure::new(Rule::Offers, format!("the pair could not be made: {panic}"))
                })?;
                (pair, [*scope; 2])
            }
            (Self::Factories { client, server }, Some(offer)) => {
                let agreed = self.accept(offer, Rsv::ALL)?.map_err(|why| {
                    let what = format!("`{offer}` was accepted once and then declined: {why}");
                    Failure::new(Rule::Offers, what)
                })?;
                let scopes = guarded(|| [client.scope(), server.scope()]).map_err(|panic| {
                    Failure::new(Rule::Scope, format!("`scope` panicked: {panic}"))
                })?;
                ((confirm(*client, offer, &agreed.response)?, agreed.extension), scopes)
            }
            (Self::Factories { .. }, None) => {
                return Err(Failure::new(Rule::Offers, "there is no offer"));
            }
        };
        guarded(|| Ends {
            client: End::new(scopes[0], pair.0),
            server: End::new(scopes[1], pair.1),
        })
        .map_err(|panic| Failure::new(Rule::Claim, format!("`claim` panicked: {panic}")))
    }
}

/// The client's extension for the server's own response to this offer.
pub(super) fn confirm(
    client: &dyn ExtensionFactory,
    offer: &Params,
    response: &Params,
) -> Result<Box<dyn Extension>, Failure> {
    let what = match guarded(|| client.confirm(response, slice::from_ref(offer))) {
        Ok(Ok(extension)) => return Ok(extension),
        Ok(Err(error)) => format!("the response `{response}` was not confirmed: {error}"),
        Err(panic) => format!("`confirm` panicked on the response `{response}`: {panic}"),
    };
    Err(Failure::new(Rule::Offers, what))
}
