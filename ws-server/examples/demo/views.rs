//! The live view: `/frames` shows a page the frames of its own connections, as the server sees
//! them.
//!
//! A page makes a random token and opens `/frames?view=TOKEN`. Every other connection that it opens
//! with the same token is observed from its first frame on. Only the page knows the token, and a
//! connection without one is not observed.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use serde_json::{Value, json};
use ws_core::extension::Rsv;
use ws_server::{
    Agreed, ClientId, Closed, ClosedBy, FrameDirection, FrameObserver, ObservedFrame, Request,
    Sender,
};

/// The open views, by token. A handle: cloning it is cheap.
#[derive(Clone, Default)]
pub(crate) struct Views(Arc<Mutex<HashMap<Box<str>, View>>>);

/// The page that receives the records of a token.
#[derive(Clone)]
pub(crate) struct View {
    page: Sender,
    /// Records that found no room in the page's queue.
    left_out: Arc<AtomicU64>,
}

impl Views {
    /// Shows the connections with the token of `page`'s request to `page`, until the returned value
    /// is dropped.
    pub(crate) fn open(&self, page: Sender) -> Option<Open> {
        let token: Box<str> = token(page.request())?.into();
        let view = View { page, left_out: Arc::default() };
        self.lock().insert(token.clone(), view.clone());
        Some(Open { views: self.clone(), token, view })
    }

    /// The view that observes connections with this request.
    pub(crate) fn of(&self, request: &Request) -> Option<View> {
        self.lock().get(token(request)?).cloned()
    }

    /// For [`Server::observe`](ws_server::Server::observe).
    pub(crate) fn observer(&self, agreed: &Agreed<'_>) -> Option<Box<dyn FrameObserver>> {
        // A view of the view would never end.
        if agreed.request.path() == "/frames" {
            return None;
        }
        let view = self.of(agreed.request)?;
        let on = agreed.id.to_string();
        view.show(&json!({
            "on": on,
            "opened": agreed.request.path(),
            "raw": is_raw(agreed.request),
            "extensions": agreed.request.extensions(),
            "report": agreed.report.to_string().lines().collect::<Vec<_>>(),
        }));
        Some(Box::new(move |frame: &ObservedFrame| {
            view.show(&json!({ "on": on, "frame": describe(frame) }));
        }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, View>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// Queues a record. A page that does not keep up misses some, and learns how many.
    pub(crate) fn show(&self, record: &Value) {
        let left_out = self.left_out.swap(0, Ordering::Relaxed);
        let mut text = record.to_string();
        if left_out > 0 {
            text = json!({ "left_out": left_out, "then": record }).to_string();
        }
        if self.page.try_send(text).is_err() {
            self.left_out.fetch_add(left_out + 1, Ordering::Relaxed);
        }
    }

    /// Reports how a connection ended.
    pub(crate) fn ended(&self, on: ClientId, closed: &Closed) {
        self.show(&json!({
            "on": on.to_string(),
            "closed": {
                "code": closed.code.get(),
                "reason": closed.reason.as_str(),
                "by_server": closed.by == ClosedBy::Local,
                "clean": closed.clean,
            },
        }));
    }
}

/// An open view.
pub(crate) struct Open {
    views: Views,
    token: Box<str>,
    view: View,
}

impl Open {
    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut views = self.views.lock();
        // The page may have reopened its view before this one ended.
        if views.get(&self.token).is_some_and(|view| view.page.id() == self.view.page.id()) {
            views.remove(&self.token);
        }
    }
}

/// The `view=TOKEN` of the query, if it is long enough not to be guessed.
fn token(request: &Request) -> Option<&str> {
    let token = request.query()?.split('&').find_map(|pair| pair.strip_prefix("view="))?;
    let is_valid = (16..=64).contains(&token.len())
        && token.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    is_valid.then_some(token)
}

fn is_raw(request: &Request) -> bool {
    request.query().is_some_and(|query| query.split('&').any(|pair| pair == "raw"))
}

fn describe(frame: &ObservedFrame) -> Value {
    let header = &frame.header;
    let bits = [Rsv::RSV1, Rsv::RSV2, Rsv::RSV3];
    json!({
        "received": frame.direction == FrameDirection::Received,
        "opcode": header.opcode.number(),
        "fin": header.fin,
        "rsv": bits.map(|bit| header.rsv.contains(bit)),
        "masked": header.mask.is_some(),
        "len": header.len,
        "data_len": frame.data_len,
    })
}
