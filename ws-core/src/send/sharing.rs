//! A broadcast through extensions: the first of them share a form of it, and those after them encode
//! that form for this connection.

use alloc::boxed::Box;

use super::{
    Context,
    encoding::{Data, Encoding, FRAME},
};
use crate::{
    Broadcast, Payload,
    broadcast::{Encoded, Job, Outcome},
    extension::{ChainError, Layer, RsvClaim, SharedForm},
    message_head::MessageHead,
    output::Body,
};

/// What became of a broadcast.
pub(super) enum Sent {
    /// It is queued, or encoded in part.
    Begun(Option<Box<Encoding>>),
    /// A shared form is not complete, and the work of this call is used up.
    Awaited,
}

/// What the first extensions of a stack share.
struct Prefix<'b> {
    /// The output of the last of them that marks the message. `None`: the message as it is.
    form: Option<&'b Encoded>,
    /// The number of that form.
    number: usize,
    head: MessageHead,
    /// How many extensions these are.
    layers: usize,
}

/// Sends the message, or the form of it that is shared, through the remaining extensions.
pub(super) fn send(
    broadcast: &Broadcast,
    work: &mut usize,
    cx: &mut Context<'_>,
) -> Result<Sent, ChainError> {
    let message = broadcast.message();
    let len = message.len();
    let head = MessageHead::new(message.kind(), Some(len as u64), broadcast.compression());
    let mut prefix = Prefix { form: None, number: 0, head, layers: 0 };
    if !prefix.pass(broadcast, cx.stack.split().0, work) {
        return Ok(Sent::Awaited);
    }
    let Prefix { form, layers, head, .. } = prefix;
    if layers == 0 {
        let message = message.clone();
        return Encoding::whole(message, broadcast.compression(), work, cx).map(Sent::Begun);
    }
    if cx.stack.len() == layers {
        let pushed = match form {
            Some(form) if form.len() <= cx.frames.max_frame() => {
                cx.frames.push(form.header, Body::Frame(&form.frame), len as u64);
                true
            }
            Some(_) => false,
            None => cx.frames.push_shared(broadcast),
        };
        if pushed {
            *work = work.saturating_sub(form.map_or(len, Encoded::len).max(1));
            return Ok(Sent::Begun(None));
        }
    }
    let data = match form {
        Some(form) => Data { payload: form.payload(), form_of: Some(len as u64) },
        None => message.clone().into(),
    };
    let rest = cx.stack.split().0.get_mut(layers..).unwrap_or_default();
    let head = head.begin(rest, Some(data.payload.len() as u64))?;
    let room = cx.frames.max_frame().min(FRAME);
    Encoding::through_rest(data, head, room, work, cx).map(Sent::Begun)
}

impl<'b> Prefix<'b> {
    /// Passes the extensions that share a form. Returns whether that form is complete; if not, nothing
    /// has happened.
    fn pass(&mut self, broadcast: &'b Broadcast, layers: &mut [Layer], work: &mut usize) -> bool {
        let Some((layer, rest)) = layers.split_first_mut() else {
            return true;
        };
        let Some(sharing) = layer.extension.sharing() else {
            return true;
        };
        let (claim, scope) = (layer.claim, layer.scope);
        let len = self.form.map_or(broadcast.message().len(), Encoded::len);
        let form = match sharing.form(&self.head.info(len)) {
            Some(SharedForm::Encoded(key)) => {
                let Some(form) = broadcast.forms().get(self.number, key, claim) else {
                    return true;
                };
                let begin = || Job::new(sharing, (claim, scope), self.head, self.data(broadcast));
                match form.outcome(work, begin) {
                    None => return false,
                    Some(Outcome::Own) => return true,
                    Some(Outcome::Plain) => None,
                    Some(Outcome::Encoded(encoded)) => {
                        (self.form, self.number) = (Some(encoded), form.number());
                        self.head = encoded.head;
                        Some(encoded)
                    }
                }
            }
            Some(SharedForm::Plain) if claim != RsvClaim::None => None,
            Some(SharedForm::Plain) | None => return true,
        };
        self.layers += 1;
        if !self.pass(broadcast, rest, work) {
            return false;
        }
        // It is sent: the extensions further from the application know already.
        layer.encode.begin(false);
        if let Some(form) = form {
            sharing.sent(&form.input);
        }
        true
    }

    /// What enters the next extension.
    fn data(&self, broadcast: &Broadcast) -> Payload {
        match self.form {
            Some(form) => form.payload(),
            None => broadcast.message().clone().into_payload(),
        }
    }
}
