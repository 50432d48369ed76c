//! What the application does, and what comes of it on the wire.

use std::{mem, str};

use super::{
    Answer, Ending, FIN, Frame, Model, RSV1, Refusal, Sending, State, TEXT, is_sendable,
    is_text_so_far, scrambled,
};

fn refuse(reasons: &[(bool, Refusal)]) -> Answer {
    let met: Vec<Refusal> = reasons.iter().filter(|why| why.0).map(|why| why.1).collect();
    if met.is_empty() { Ok(()) } else { Err(met) }
}

fn close_body(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// Where we failed the connection, with the words that we sent: the application's in place of ours.
fn ended_with(ending: Ending, code: u16, reason: &str) -> Ending {
    if ending.fault { Ending { code, reason: Some(reason.to_owned()), ..ending } } else { ending }
}

impl Model {
    // Commands: §6.1, whose data frames need "the OPEN state".

    fn is_closed_for_sending(&self) -> bool {
        !matches!(self.state, State::Open | State::Read(..))
    }

    /// Queues (the next piece of) a message. §5.4: the first frame has the opcode, the others 0, the last
    /// one FIN. Choice: frames of `max_sent_frame` octets, and one at least.
    fn frames(&mut self, sending: &mut Sending, data: &[u8], last: bool) {
        let data = if sending.marked { scrambled(data) } else { data.to_vec() };
        let size = self.setting.max_sent_frame.max(1);
        let mut pieces: Vec<&[u8]> = data.chunks(size).collect();
        if pieces.is_empty() && last {
            pieces.push(&[]);
        }
        for (i, piece) in pieces.iter().enumerate() {
            let fin = if last && i + 1 == pieces.len() { FIN } else { 0 };
            let rsv = if sending.marked { RSV1 } else { 0 };
            let first =
                if mem::replace(&mut sending.begun, true) { 0 } else { rsv | sending.opcode };
            self.queue(fin | first, piece);
        }
    }

    fn queue(&mut self, first: u8, payload: &[u8]) {
        let payload = payload.to_vec();
        self.wire.push(Frame { first, payload, any_reason: false, answers_ping: false });
    }

    fn whole(&mut self, opcode: u8, data: &[u8], compress: bool) {
        let marked = compress && self.setting.extended;
        self.frames(&mut Sending { opcode, marked, begun: false, data: Vec::new() }, data, true);
    }

    pub(crate) fn send(&mut self, opcode: u8, data: &[u8], compress: bool) -> Answer {
        refuse(&[
            (self.is_closed_for_sending(), Refusal::Closed),
            (self.sending.is_some(), Refusal::MessageInProgress),
        ])?;
        self.whole(opcode, data, compress);
        Ok(())
    }

    pub(crate) fn broadcast(&mut self, opcode: u8, data: &[u8]) -> Answer {
        refuse(&[(self.is_closed_for_sending(), Refusal::Closed)])?;
        if self.sending.is_some() {
            self.waiting.push((opcode, data.to_vec()));
        } else {
            self.whole(opcode, data, true);
        }
        Ok(())
    }

    pub(crate) fn start(&mut self, opcode: u8, compress: bool) -> Answer {
        refuse(&[
            (self.is_closed_for_sending(), Refusal::Closed),
            (self.sending.is_some(), Refusal::MessageInProgress),
        ])?;
        let marked = compress && self.setting.extended;
        self.sending = Some(Sending { opcode, marked, begun: false, data: Vec::new() });
        Ok(())
    }

    /// §5.6: text is "UTF-8 encoded", but a fragment may end inside of a code point.
    pub(crate) fn piece(&mut self, data: &[u8], last: bool) -> Answer {
        let so_far = self.sending.as_ref().map(|sending| [&sending.data[..], data].concat());
        let text = self.sending.as_ref().is_some_and(|sending| sending.opcode == TEXT);
        let valid = so_far.as_ref().is_none_or(|data| {
            if last { str::from_utf8(data).is_ok() } else { is_text_so_far(data) }
        });
        refuse(&[
            (self.is_closed_for_sending(), Refusal::Closed),
            (self.sending.is_none(), Refusal::NoMessageInProgress),
            (text && !valid, Refusal::InvalidUtf8),
        ])?;
        let Some(mut sending) = self.sending.take() else { return Ok(()) };
        self.frames(&mut sending, data, last);
        sending.data.extend(data);
        if last {
            for (opcode, data) in mem::take(&mut self.waiting) {
                self.whole(opcode, &data, true);
            }
        } else {
            self.sending = Some(sending);
        }
        Ok(())
    }

    /// §5.5: at most 125 octets, also between the fragments of a message.
    pub(crate) fn ping_or_pong(&mut self, opcode: u8, data: &[u8]) -> Answer {
        refuse(&[
            (self.is_closed_for_sending(), Refusal::Closed),
            (data.len() > 125, Refusal::ControlTooLong),
        ])?;
        self.queue(FIN | opcode, data);
        Ok(())
    }

    /// §7.1.2. §7.4.1: 1010 is for a client. `within`: also within a message in pieces.
    pub(crate) fn close(&mut self, code: u16, reason: &str, within: bool) -> Answer {
        refuse(&[
            (self.is_closed_for_sending(), Refusal::Closed),
            (!self.may_send(code), Refusal::InvalidCloseCode),
            (!within && self.sending.is_some(), Refusal::MessageInProgress),
        ])?;
        self.queue_close(close_body(code, reason), false);
        self.state = match mem::replace(&mut self.state, State::Told) {
            State::Read(ending, ..) => State::Over(ended_with(ending, code, reason)),
            _ => State::Sent(code, reason.to_owned()),
        };
        Ok(())
    }

    fn may_send(&self, code: u16) -> bool {
        is_sendable(code) && !(self.setting.server && code == 1010)
    }

    /// §7.1.7, for a reason that the application has.
    pub(crate) fn fail(&mut self, code: u16, reason: &str) -> Answer {
        refuse(&[(matches!(self.state, State::Over(_) | State::Told), Refusal::Closed)])?;
        let code = if self.may_send(code) { code } else { 1011 };
        if !self.is_closed_for_sending() {
            self.queue_close(close_body(code, reason), false);
        }
        let ours = |code, reason| Ending { local: true, code, reason, clean: false, fault: false };
        self.state = match mem::replace(&mut self.state, State::Told) {
            State::Read(ending, ..) => State::Over(ended_with(ending, code, reason)),
            _ => State::Over(ours(code, Some(reason.to_owned()))),
        };
        Ok(())
    }

    // Out.

    /// Octets of a frame: §5.2.
    fn length(&self, frame: &Frame) -> usize {
        let length = match frame.payload.len() {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        length + if self.setting.server { 0 } else { 4 } + frame.payload.len()
    }

    pub(crate) fn unwritten(&self) -> usize {
        self.left + self.wire[self.begun..].iter().map(|frame| self.length(frame)).sum::<usize>()
    }

    pub(crate) fn written(&mut self, mut octets: usize) {
        while octets > 0 {
            if self.left == 0 {
                let Some(frame) = self.wire.get(self.begun) else { return };
                self.left = self.length(frame);
                self.begun += 1;
            }
            let step = octets.min(self.left);
            self.left -= step;
            octets -= step;
        }
    }
}
