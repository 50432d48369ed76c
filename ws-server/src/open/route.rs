//! Which handler serves which path.

use std::{collections::BTreeMap, sync::Arc};

use crate::{ConfigError, Handler};

/// Handlers by path: exactly the path of the request, as it was sent, without its query.
#[derive(Default)]
pub(crate) struct Routes {
    /// Sorted, since there are few: that takes fewer steps than a hash.
    exact: BTreeMap<Box<str>, Arc<dyn Handler>>,
    any: Option<Arc<dyn Handler>>,
}

impl Routes {
    pub(crate) fn add(&mut self, path: &str, handler: impl Handler) -> Result<(), ConfigError> {
        if !is_path(path) {
            return Err(ConfigError::RoutePath { path: path.into() });
        }
        if has_pattern(path) {
            return Err(ConfigError::RoutePattern { path: path.into() });
        }
        if self.exact.contains_key(path) {
            return Err(ConfigError::DuplicateRoute { path: path.into() });
        }
        self.exact.insert(path.into(), Arc::new(handler));
        Ok(())
    }

    /// For every path that has no handler of its own.
    pub(crate) fn set_any(&mut self, handler: impl Handler) {
        self.any = Some(Arc::new(handler));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.any.is_none()
    }

    pub(crate) fn find(&self, path: &str) -> Option<&Arc<dyn Handler>> {
        self.exact.get(path).or(self.any.as_ref())
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().map(AsRef::as_ref)
    }
}

/// Whether it reads as a pattern of one router or another: `{id}`, `<id>`, `:id` or `*`. Taken for a
/// path it would match nothing that anybody asks for.
fn has_pattern(path: &str) -> bool {
    path.contains(['{', '}', '<', '>'])
        || path.split('/').any(|segment| segment.starts_with([':', '*']))
}

/// Whether a request can have this path.
fn is_path(path: &str) -> bool {
    path.starts_with('/')
        && path.bytes().all(|octet| matches!(octet, b'!'..=b'~') && octet != b'?' && octet != b'#')
}
