//! Finds the route of a path.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use matchit::{InsertError, Router};
use percent_encoding::percent_decode_str;
use ws_handshake::Cause;

use crate::{ConfigError, Gate, Handler, Route, leaves::request::Param, open::terms::Terms};

/// Routes by path, as an application adds them ([`Route`]) or as they are served ([`Served`]).
pub(crate) struct Routes<R = Route> {
    /// Paths without parameters. Sorted, since there are few: that takes fewer steps than a hash.
    exact: BTreeMap<Box<str>, R>,
    patterns: Vec<(Box<str>, R)>,
    /// Finds the pattern of a path.
    router: Router<usize>,
    any: Option<R>,
}

impl<R> Default for Routes<R> {
    fn default() -> Self {
        Self { exact: BTreeMap::new(), patterns: Vec::new(), router: Router::new(), any: None }
    }
}

/// A route whose terms are settled.
pub(crate) struct Served {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) gate: Option<Arc<dyn Gate>>,
    pub(crate) terms: Arc<Terms>,
}

impl Routes {
    pub(crate) fn add(&mut self, path: &str, mut route: Route) -> Result<(), ConfigError> {
        route.take_mistake()?;
        if !is_path(path) {
            return Err(ConfigError::RoutePath { path: path.into() });
        }
        if !path.contains(['{', '}']) {
            if is_foreign_pattern(path) {
                return Err(ConfigError::RoutePattern { path: path.into() });
            }
            if self.exact.contains_key(path) {
                return Err(ConfigError::DuplicateRoute { path: path.into() });
            }
            self.exact.insert(path.into(), route);
            return Ok(());
        }
        self.router.insert(path, self.patterns.len()).map_err(|error| match error {
            InsertError::Conflict { with } if with == path => {
                ConfigError::DuplicateRoute { path: path.into() }
            }
            InsertError::Conflict { with } => {
                ConfigError::RouteConflict { path: path.into(), with: with.into() }
            }
            _ => ConfigError::RoutePattern { path: path.into() },
        })?;
        self.patterns.push((path.into(), route));
        Ok(())
    }

    /// For every path that has no route of its own.
    pub(crate) fn set_any(&mut self, mut route: Route) -> Result<(), ConfigError> {
        route.take_mistake()?;
        self.any = Some(route);
        Ok(())
    }

    /// Settles the terms of each route; those of `server` hold where the route sets none.
    pub(crate) fn settle(self, server: &Arc<Terms>) -> Result<Routes<Served>, ConfigError> {
        let settle = |mut route: Route| {
            let terms = route.terms(server)?;
            Ok(Served { handler: route.handler, gate: route.gate, terms })
        };
        let exact = self.exact.into_iter().map(|(path, route)| Ok((path, settle(route)?)));
        let patterns = self.patterns.into_iter().map(|(path, route)| Ok((path, settle(route)?)));
        Ok(Routes {
            exact: exact.collect::<Result<_, _>>()?,
            patterns: patterns.collect::<Result<_, _>>()?,
            router: self.router,
            any: self.any.map(settle).transpose()?,
        })
    }
}

impl<R> Routes<R> {
    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty() && self.any.is_none()
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().chain(self.patterns.iter().map(|(path, _)| path)).map(AsRef::as_ref)
    }

    /// The route of a path, as it was sent, and its parameters, decoded. Their escapes are decoded
    /// after the path was matched, and once: `%2F` is no separator, and `%252F` no slash.
    pub(crate) fn find<'r>(
        &'r self,
        path: &'r str,
    ) -> Result<Option<(&'r R, Vec<Param<'r>>)>, Cause> {
        if let Some(route) = self.exact.get(path) {
            return Ok(Some((route, Vec::new())));
        }
        let found = if self.patterns.is_empty() { None } else { self.router.at(path).ok() };
        let Some(found) = found else {
            return Ok(self.any.as_ref().map(|route| (route, Vec::new())));
        };
        let Some((_, route)) = self.patterns.get(*found.value) else { return Ok(None) };
        let decode = |(name, value): (&'r str, &'r str)| -> Result<Param<'r>, Cause> {
            let value: Cow<'r, str> = percent_decode_str(value)
                .decode_utf8()
                // RFC 9110 §15.5.1: "the server cannot or will not process the request due to
                // something that is perceived to be a client error"
                .map_err(|_| Cause::PathParameter)?;
            Ok((name, value))
        };
        Ok(Some((route, found.params.iter().map(decode).collect::<Result<_, _>>()?)))
    }
}

/// Whether it reads as a pattern of another router: `<id>`, `:id` or `*`. Taken for a path it would
/// match nothing that anybody asks for.
fn is_foreign_pattern(path: &str) -> bool {
    path.contains(['<', '>']) || path.split('/').any(|segment| segment.starts_with([':', '*']))
}

/// Whether a request can have this path.
fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.bytes().all(|octet| matches!(octet, b'!'..=b'~') && octet != b'?' && octet != b'#')
}
