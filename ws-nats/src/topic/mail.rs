use std::{
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

use super::Join;
use crate::{
    own::Own,
    track::{Newest, Place, Track},
};

/// What others know of a topic's task, and tell it.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) name: Arc<str>,
    /// What this process publishes to it before the track begins.
    pub(crate) own: Arc<Own>,
    mail: Mutex<Mail>,
    wake: Notify,
    verified: AtomicU64,
    position: AtomicU64,
}

/// What the task has not read yet.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// How often somebody was interested.
    pub(super) pokes: u64,
    pub(super) joins: Vec<Join>,
    pub(super) audited: Option<Audited>,
    pub(super) is_closing: bool,
}

/// What an audit found about a topic.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Audited {
    pub(crate) newest: Newest,
    /// The topic's newest message, wherever the track is.
    pub(crate) place: Option<Place>,
    pub(crate) epoch: u64,
    pub(crate) life: u64,
    /// When the stream was made, in milliseconds since 1970.
    pub(crate) created: u64,
}

/// `verified` of a track that has not begun.
const UNKNOWN: u64 = u64::MAX;

impl Topic {
    pub(crate) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            own: Arc::default(),
            mail: Mutex::default(),
            wake: Notify::new(),
            verified: AtomicU64::new(UNKNOWN),
            position: AtomicU64::new(0),
        }
    }

    fn mail(&self) -> MutexGuard<'_, Mail> {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it has subscribers may have changed.
    pub(crate) fn poke(&self) {
        self.mail().pokes += 1;
        self.wake.notify_one();
    }

    /// How often it was poked.
    pub(crate) fn pokes(&self) -> u64 {
        self.mail().pokes
    }

    pub(crate) fn join(&self, join: Join) {
        let mut mail = self.mail();
        mail.pokes += 1;
        mail.joins.push(join);
        drop(mail);
        self.wake.notify_one();
    }

    pub(crate) fn audit(&self, audited: Audited) {
        self.mail().audited = Some(audited);
        self.wake.notify_one();
    }

    pub(crate) fn close(&self) {
        self.mail().is_closing = true;
        self.wake.notify_one();
    }

    /// `verified` and `position` of the track, once it has begun. The two may be of different times.
    pub(crate) fn places(&self) -> Option<(u64, u64)> {
        let position = self.position.load(Relaxed);
        let verified = self.verified.load(Relaxed);
        (verified != UNKNOWN).then_some((verified, position))
    }

    pub(super) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(super) fn open(&self) -> Mail {
        let mut mail = self.mail();
        let pokes = mail.pokes;
        mem::replace(&mut *mail, Mail { pokes, ..Mail::default() })
    }

    pub(super) fn tell<M>(&self, track: &Track<M>) {
        if track.is_started() {
            self.position.store(track.position(), Relaxed);
            self.verified.store(track.verified(), Relaxed);
        }
    }
}
