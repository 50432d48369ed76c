//! What a connection's driver shares with its handler and with other tasks.

use std::sync::Arc;

use crate::{ClientId, Limits, Request};

pub(crate) struct Link {
    pub(crate) id: ClientId,
    pub(crate) request: Request,
    pub(crate) limits: Arc<Limits>,
}

impl Link {
    pub(crate) fn new(id: ClientId, request: Request, limits: Arc<Limits>) -> Arc<Self> {
        Arc::new(Self { id, request, limits })
    }
}
