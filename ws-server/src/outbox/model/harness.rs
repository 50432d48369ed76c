//! A stand-in for the driver, which uses an outbox as the real one does, and a list for a socket.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll, Waker},
};

use shuttle::sync::Condvar;
use ws_core::{CloseCode, Closed, ClosedBy, Message, extension::Compression};

use crate::{
    ClientId, Limits, Peer, Request,
    leaves::sync::{AtomicBool, Mutex},
    outbox::{Load, Outbox, Queued, SendQueue},
};

/// Number of interleavings tried for each model.
pub(crate) const ORDERS: usize = 3000;

pub(crate) fn outbox(limits: Limits) -> Arc<Outbox> {
    let request = Request::new(
        &http::Uri::default(),
        std::iter::empty(),
        &Peer::Other.into(),
        &[],
        None,
        None,
    );
    Outbox::new(ClientId(1), request, Arc::new(limits), None)
}

/// A sink for the output. Sometimes full until it is emptied.
#[derive(Default)]
pub(crate) struct Socket {
    written: Mutex<Vec<String>>,
    more: Condvar,
    pub(crate) full: AtomicBool,
    writable: Mutex<Option<Waker>>,
}

impl Socket {
    pub(crate) fn poll_write(&self, text: &str, cx: &mut Context<'_>) -> Poll<()> {
        let mut writable = self.writable.lock().unwrap();
        if self.full.load(Ordering::SeqCst) {
            *writable = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.written.lock().unwrap().push(text.into());
        self.more.notify_all();
        Poll::Ready(())
    }

    pub(crate) fn empty(&self) {
        let mut writable = self.writable.lock().unwrap();
        self.full.store(false, Ordering::SeqCst);
        if let Some(waker) = writable.take() {
            waker.wake();
        }
    }

    /// Waits until what was written is `enough`.
    pub(crate) fn wait_until(&self, enough: impl Fn(&[String]) -> bool) -> Vec<String> {
        let mut written = self.written.lock().unwrap();
        while !enough(&written) {
            written = self.more.wait(written).unwrap();
        }
        written.clone()
    }

    pub(crate) fn written(&self) -> Vec<String> {
        self.written.lock().unwrap().clone()
    }
}

/// Does with an outbox what `drive.rs` does: takes the queued messages, writes them, and rests.
pub(crate) struct Driver {
    outbox: Arc<Outbox>,
    socket: Arc<Socket>,
    known: bool,
    queue: SendQueue,
    /// Received messages, handed over when the receiver waits.
    pub(crate) received: VecDeque<Message>,
}

impl Driver {
    pub(crate) fn new(outbox: &Arc<Outbox>, socket: &Arc<Socket>) -> Self {
        Self {
            outbox: Arc::clone(outbox),
            socket: Arc::clone(socket),
            known: false,
            queue: SendQueue::default(),
            received: VecDeque::new(),
        }
    }

    pub(crate) async fn run(mut self) {
        poll_fn(|cx| self.poll(cx)).await;
        self.outbox.end(&Closed::abnormal(ClosedBy::Local));
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.known {
            self.known = true;
            self.outbox.set_driver(cx.waker());
        }
        self.outbox.begin();
        loop {
            if !self.received.is_empty() && self.outbox.receiver_waits() {
                let load = Load { messages: self.received.len(), bytes: 0 };
                self.outbox.deliver(&mut self.received, load);
            }
            if self.outbox.is_receiver_gone() {
                self.outbox.order_close(CloseCode::NORMAL);
            }
            let blocked = match self.write(cx) {
                Poll::Ready(true) => {
                    self.outbox.over(std::mem::take(&mut self.received));
                    return Poll::Ready(());
                }
                Poll::Ready(false) => false,
                Poll::Pending => true,
            };
            if self.outbox.rest(blocked) {
                return Poll::Pending;
            }
        }
    }

    /// Writes everything. Returns whether that included a Close.
    pub(crate) fn write(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        loop {
            if self.queue.is_empty() {
                self.outbox.take_outbound(&mut self.queue, 1);
            }
            let text = match self.queue.front() {
                None => return Poll::Ready(false),
                Some(Queued::Message(Message::Text(text), _)) => text.as_str().to_owned(),
                Some(Queued::Broadcast(broadcast)) => match broadcast.message() {
                    Message::Text(text) => text.as_str().to_owned(),
                    Message::Binary(_) => String::new(),
                },
                Some(Queued::Start(..)) => "start".to_owned(),
                Some(Queued::Chunk(data)) => String::from_utf8_lossy(data).into_owned(),
                Some(Queued::End(_)) => "end".to_owned(),
                Some(Queued::Close(code, _)) => format!("close {}", code.get()),
                Some(_) => String::new(),
            };
            if !text.is_empty() && self.socket.poll_write(&text, cx).is_pending() {
                return Poll::Pending;
            }
            match self.queue.pop_front() {
                Some(Queued::Flush(flushed)) => drop(flushed.send(())),
                Some(Queued::Close(..)) => return Poll::Ready(true),
                _ => {}
            }
        }
    }
}

pub(crate) fn queued(text: &str) -> Option<Queued> {
    Some(Queued::Message(text.into(), Compression::Auto))
}

/// Waits like the receiving end, until there are messages or the end.
pub(crate) async fn receive(outbox: &Outbox, inbox: &mut VecDeque<Message>) -> bool {
    let mut taken = VecDeque::new();
    let more = poll_fn(|cx| outbox.poll_inbound(&mut taken, cx)).await;
    inbox.append(&mut taken);
    more
}
