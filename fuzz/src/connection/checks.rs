//! What holds at any time, and what must have come of everything in the end.

use bytes::{Buf, BytesMut};
use ws_core::{
    CloseCode, ClosedBy, Config, Connection, Event, FrameDirection, ObservedFrame, Outgoing,
    Receive, Role, UNLIMITED,
};

use super::{
    operations::{Op, UNSOLICITED},
    run::{Run, Told},
};
use crate::frames::{self, Frame};

impl Run<'_> {
    pub(super) fn take(&mut self, mut n: usize) {
        let mut rounds = 0;
        while n > 0 {
            rounds += 1;
            let queued = self.queued + self.wire.len();
            assert!(rounds < 1000 + queued, "the output does not end");
            match self.ws.poll_output_bounded() {
                Outgoing::Write(output) => {
                    let mut slices = [std::io::IoSlice::new(&[]); 8];
                    let filled = output.chunks_vectored(&mut slices);
                    assert!(filled > 0 && slices[..filled].iter().all(|slice| !slice.is_empty()));
                    assert_eq!(output.chunk().as_ptr(), slices[0].as_ptr());
                    let mut taken = 0;
                    for slice in &slices[..filled] {
                        let some = &slice[..slice.len().min(n - taken)];
                        self.wire.extend_from_slice(some);
                        taken += some.len();
                    }
                    let before = output.remaining();
                    output.advance(taken);
                    assert_eq!(output.remaining(), before - taken);
                    n -= taken;
                }
                Outgoing::Yield => assert!(self.ws.has_more_to_encode()),
                Outgoing::Idle => {
                    // Broadcasts that wait for the end of a message in pieces: 64 bytes each beside its
                    // payload, as documented.
                    let held: usize = self.held.iter().map(|message| 64 + message.len()).sum();
                    assert_eq!((self.ws.encoded(), self.ws.unwritten()), (0, held));
                    assert!(!self.ws.has_more_to_encode() && !self.ws.is_pong_owed());
                    break;
                }
            }
        }
    }

    /// What holds at any time.
    pub(super) fn look(&mut self) {
        let memory = self.ws.memory_usage();
        let gathered = self.setup.config.max_message.min(self.fed + self.decoded + 64 * 1024);
        let bound =
            700_000 + 3 * self.queued + 4 * self.ws.unwritten() + 4 * gathered + 2 * self.fed;
        assert!(memory <= bound, "{memory} bytes are held, of {bound}");
        let yields = 16 + self.fed / 2 + self.decoded / 4096;
        assert!(self.yields <= yields, "{} times Yield, of {yields}", self.yields);
        if self.closed.is_some() {
            assert!(!self.ws.is_open() && !self.ws.is_close_awaited());
            assert!(self.ws.unfinished().is_none());
        }
    }

    pub(super) fn finish(mut self) -> (Told, Vec<u8>) {
        if self.setup.ends {
            self.ws.input_ended();
            self.poll_all();
            assert!(self.closed.is_some() && self.ws.is_closed());
            self.input.extend_from_slice(b"\x81\x01x\x88\x00");
            self.poll_all();
            self.command(Op::Ping(Vec::new()));
        } else {
            self.poll_all();
        }
        self.take(usize::MAX);
        self.look();
        let (frames, rest) =
            frames::read_legal(&self.wire, !self.setup.server, self.setup.stack.bits());
        assert!(rest.is_empty(), "a part of a frame was written");
        self.check_end(&frames);
        self.check_control(&frames);
        self.check_observed(&frames);
        self.check_messages();
        (self.events, self.wire)
    }

    fn check_end(&self, frames: &[Frame]) {
        let Some(closed) = &self.closed else { return };
        let last = frames.last().filter(|frame| frame.opcode == 8);
        let code = last.and_then(|frame| Some(u16::from_be_bytes(*frame.payload.first_chunk()?)));
        // RFC 6455 §7.4.1: 1010 "is not used by the server", which echoes it all the same.
        if self.setup.server && code == Some(1010) {
            assert!(closed.code.get() == 1010 && closed.by == ClosedBy::Peer, "{closed:?}");
        }
        if closed.clean || closed.fault.is_some() {
            assert!(last.is_some(), "no Close: {closed:?}");
        }
        if closed.code == CloseCode::ABNORMAL {
            assert!(!closed.clean);
        } else if closed.fault.is_some() && !matches!(self.setup.on_closing >> 3 & 3, 1 | 2) {
            // Unless our own Close came first.
            let own = closed.code.get();
            assert!(code.is_some());
            assert!(code == Some(own) || self.events.iter().all(|event| *event != Event::Closing));
        }
    }

    fn check_control(&self, frames: &[Frame]) {
        let payloads = |opcode: u8| frames.iter().filter(move |frame| frame.opcode == opcode);
        let pings: Vec<_> = payloads(9).map(|frame| frame.payload.clone()).collect();
        assert_eq!(pings, self.pings);
        let (own, answers): (Vec<_>, Vec<_>) = payloads(10)
            .map(|frame| frame.payload.clone())
            .partition(|payload| payload.starts_with(UNSOLICITED));
        // The fuzzer finds out what ours are marked with.
        if self.due.iter().any(|due| due.starts_with(UNSOLICITED)) {
            return;
        }
        assert_eq!(own, self.pongs);
        // In order, and all of them unless much was unwritten.
        let mut due = self.due.iter();
        for answer in &answers {
            assert!(due.any(|due| due == answer), "a Pong for no Ping: {answer:?}");
        }
        if self.all_due {
            assert_eq!(answers.len(), self.due.len(), "Pongs are missing");
        }
        let mut keys: Vec<_> = frames.iter().filter_map(|frame| frame.key).collect();
        keys.sort_unstable();
        assert!(keys.windows(2).all(|two| two[0] != two[1]), "a masking key was used twice");
    }

    fn check_observed(&self, frames: &[Frame]) {
        if !self.setup.observed {
            return;
        }
        let observed = self.observed.lock().unwrap();
        let mut sent: Vec<_> = observed
            .iter()
            .filter(|frame| frame.direction == FrameDirection::Sent)
            .map(|ObservedFrame { header, .. }| {
                (header.mask, header.fin, header.rsv.octet(), header.opcode.number(), header.len)
            })
            .collect();
        let mut wire: Vec<_> = frames
            .iter()
            .map(|frame| {
                (frame.key, frame.fin, frame.rsv, frame.opcode, frame.payload.len() as u64)
            })
            .collect();
        sent.sort_unstable();
        wire.sort_unstable();
        assert_eq!(sent, wire);
        if self.setup.config.receive == Receive::Messages {
            let limit = self.setup.config.frame_limit() as u64;
            let received =
                observed.iter().filter(|frame| frame.direction == FrameDirection::Received);
            for frame in received.filter(|frame| !frame.header.opcode.is_control()) {
                assert!(frame.header.len <= limit);
            }
        }
    }

    /// A peer of the same stack understands all that was written.
    fn check_messages(&self) {
        let mut config = Config::default();
        (config.max_frame, config.max_message) = (Some(UNLIMITED), UNLIMITED);
        (config.max_fragments, config.max_empty_fragments) = (UNLIMITED, UNLIMITED);
        let role = if self.setup.server { Role::client(|| [0; 4]) } else { Role::Server };
        let stack = self.setup.stack.build(!self.setup.server, &self.setup.stack.pool());
        let mut peer = Connection::new(role, config, stack);
        let mut input = BytesMut::from(&self.wire[..]);
        let mut received = Vec::new();
        while let Some(event) = peer.poll_event(&mut input) {
            match event {
                Event::Message(message) => received.push(message),
                Event::Closed(closed) => assert_eq!(closed.fault, None),
                _ => {}
            }
        }
        assert!(
            received == self.sent,
            "sent and received differ: {} and {}",
            self.sent.len(),
            received.len()
        );
    }
}
