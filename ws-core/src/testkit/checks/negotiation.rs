//! The negotiation, before a connection exists.

use core::slice;

use super::{Outcome, Trial};
use crate::{
    ExtensionFactory,
    extension::{Compression, Params, Rsv, RsvClaim},
    testkit::{
        Failure, Rule,
        drive::{End, How, deliver, guarded},
        source::{Course, Ends, Source, confirm},
    },
};

/// A parameter that no extension has.
const STRANGER: &str = "x-kit-unknown";

/// Values that a peer may use instead of the expected one. All are tokens: the header parser
/// refuses anything else.
const VALUES: &[Option<&str>] = &[
    None,
    Some("0"),
    Some("1"),
    Some("-1"),
    Some("00"),
    Some("255"),
    Some("256"),
    Some("99999999999999999999999999"),
    Some("1e9"),
    Some("%s"),
    Some("~"),
    Some("ffffffffffffffffffffffffffffffff"),
];

/// RFC 9110 §5.6.2: the characters of a token.
fn is_token(text: &str) -> bool {
    let tchar = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
    !text.is_empty() && text.bytes().all(tchar)
}

fn factories<'a>(trial: &Trial<'a>) -> Option<[&'a dyn ExtensionFactory; 2]> {
    match trial.source {
        Source::Factories { client, server } => Some([client, server]),
        Source::Pairs { .. } => None,
    }
}

const NO_FACTORY: Outcome = Outcome::NotTried("there are no factories");

pub(super) fn name(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let failure = |what: String| Failure::new(Rule::Name, what);
    let Some(factories) = factories(trial) else {
        return Ok(NO_FACTORY);
    };
    let mut names = Vec::new();
    for factory in factories.into_iter().cycle().take(4) {
        let name = guarded(|| factory.name().to_string())
            .map_err(|panic| failure(format!("`name` panicked: {panic}")))?;
        if !is_token(&name) {
            return Err(failure(format!("{name:?} is not a token")));
        }
        names.push(name);
    }
    match names.iter().find(|name| names.first() != Some(name)) {
        Some(other) => Err(failure(format!("its name is {:?} and later {other:?}", names[0]))),
        None => Ok(Outcome::Held),
    }
}

pub(super) fn offers(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let (Some(offer), Some([client, _])) = (&trial.configuration.0, factories(trial)) else {
        return Ok(NO_FACTORY);
    };
    let failure = |what: String| Failure::new(Rule::Offers, what);
    let agreed = trial.source.accept(offer, Rsv::ALL)?.map_err(failure)?;
    for params in [offer, &agreed.response] {
        for param in params {
            if !is_token(param.name()) || param.value().is_some_and(|value| !is_token(value)) {
                return Err(failure(format!("`{params}` contains something other than tokens")));
            }
        }
    }
    confirm(client, offer, &agreed.response)?;
    Ok(Outcome::Held)
}

pub(super) fn scope(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let Some([client, server]) = factories(trial) else {
        return Ok(NO_FACTORY);
    };
    // The engine asks when a configuration is made, and again for every connection.
    let scopes = guarded(|| [client, server, client, server].map(ExtensionFactory::scope))
        .map_err(|panic| Failure::new(Rule::Scope, format!("`scope` panicked: {panic}")))?;
    match scopes.iter().find(|scope| scopes.first() != Some(scope)) {
        Some(other) => {
            let what = format!("one factory or call gives {:?}, another {other:?}", scopes[0]);
            Err(Failure::new(Rule::Scope, what))
        }
        None => Ok(Outcome::Held),
    }
}

/// The claim of both ends, if it is the same.
fn one_claim(rule: Rule, ends: &mut Ends) -> Result<RsvClaim, Failure> {
    let (client, server) = (ends.client.claim, ends.server.claim);
    let again = |end: &mut End| guarded(|| end.extension().claim());
    match (again(&mut ends.client), again(&mut ends.server)) {
        (Err(panic), _) | (_, Err(panic)) => {
            Err(Failure::new(rule, format!("`claim` panicked: {panic}")))
        }
        _ if client != server => {
            let what = format!("the client claims {client:?} and the server {server:?}");
            Err(Failure::new(rule, what))
        }
        (Ok(first), Ok(second)) => match [first, second].into_iter().find(|later| {
            *later != client && !(later.bits().is_empty() && client == RsvClaim::None)
        }) {
            Some(later) => {
                Err(Failure::new(rule, format!("it claims {client:?} and later {later:?}")))
            }
            None => Ok(client),
        },
    }
}

pub(super) fn claim(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    one_claim(Rule::Claim, &mut trial.ends()?)?;
    Ok(Outcome::Held)
}

pub(super) fn parameters(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let (Some(offer), Some([client, server])) = (&trial.configuration.0, factories(trial)) else {
        return Ok(NO_FACTORY);
    };
    let failure = |what: String| Failure::new(Rule::Parameters, what);
    let accept = |offer: &Params| {
        guarded(|| server.accept(offer, Rsv::ALL).is_ok())
            .map_err(|panic| failure(format!("`accept` panicked on the offer `{offer}`: {panic}")))
    };
    let confirm = |response: &Params| {
        guarded(|| client.confirm(response, slice::from_ref(offer)).is_ok()).map_err(|panic| {
            failure(format!("`confirm` panicked on the response `{response}`: {panic}"))
        })
    };
    let agreed = trial.source.accept(offer, Rsv::ALL)?.map_err(failure)?;
    for stranger in [offer.clone().with_flag(STRANGER), offer.clone().with(STRANGER, "1")] {
        if accept(&stranger)? {
            return Err(failure(format!("the offer `{stranger}` was accepted")));
        }
    }
    for stranger in
        [agreed.response.clone().with_flag(STRANGER), agreed.response.clone().with(STRANGER, "1")]
    {
        if confirm(&stranger)? {
            return Err(failure(format!("the response `{stranger}` was confirmed")));
        }
    }
    let long = "x".repeat(10_000);
    for params in [offer, &agreed.response] {
        let mut all = Vec::from([Params::new()]);
        for (at, param) in params.iter().enumerate() {
            // Whether a parameter may be repeated is up to the extension.
            let mut twice = params.clone();
            twice.push(param.name(), param.value());
            all.push(twice);
            all.extend(VALUES.iter().chain([&Some(&*long)]).map(|value| with(params, at, *value)));
        }
        for params in all {
            accept(&params)?;
            confirm(&params)?;
        }
    }
    Ok(Outcome::Held)
}

/// The parameters with another value at one place.
fn with(params: &Params, place: usize, value: Option<&str>) -> Params {
    let mut changed = Params::new();
    for (at, param) in params.iter().enumerate() {
        changed.push(param.name(), if at == place { value } else { param.value() });
    }
    changed
}

pub(super) fn clash(trial: &Trial<'_>) -> Result<Outcome, Failure> {
    let (Some(offer), Some([client, server])) = (&trial.configuration.0, factories(trial)) else {
        return Ok(NO_FACTORY);
    };
    let bits = [Rsv::RSV1, Rsv::RSV2, Rsv::RSV3];
    for choice in 0..8_usize {
        let chosen = bits.iter().enumerate().filter(|(at, _)| choice >> at & 1 == 1);
        let free = chosen.fold(Rsv::NONE, |all, (_, bit)| all | *bit);
        let failure = |what: String| Failure::new(Rule::Clash, what);
        let during = |failure: Failure| failure.during(format!("with {free} free"));
        let agreed = match guarded(|| server.accept(offer, free)) {
            Err(panic) => {
                return Err(during(failure(format!("`accept` panicked: {panic}"))));
            }
            // A claim of other bits counts as declined too: the engine enforces that.
            Ok(Ok(agreed)) if free.contains(End::claim_of(&*agreed.extension).bits()) => agreed,
            Ok(_) => continue,
        };
        let confirmed = guarded(|| client.confirm(&agreed.response, slice::from_ref(offer)))
            .map_err(|panic| failure(format!("`confirm` panicked: {panic}")))
            .and_then(|confirmed| {
                confirmed.map_err(|error| failure(format!("it was not confirmed: {error}")))
            })
            .map_err(during)?;
        let ends = Ends {
            client: End::new(client.scope(), confirmed),
            server: End::new(server.scope(), agreed.extension),
        };
        let mut ends = trial.counted(ends);
        one_claim(Rule::Clash, &mut ends).map_err(during)?;
        for course in Course::BOTH {
            for message in trial.short() {
                deliver(
                    Rule::Clash,
                    ends.along(course),
                    message,
                    Compression::Always,
                    &How::USUAL,
                    &How::USUAL,
                )
                .map_err(during)?;
            }
        }
    }
    Ok(Outcome::Held)
}
