//! An extension of message scope that changes nothing: `x-trace` observes messages and their sizes.
//!
//! On the wire: no bit and no extra octet. One parameter, `id=TOKEN` of at most 64 octets, by which a
//! client names its connection, and which the server repeats.
//!
//! ```text
//! $ cargo run --example x_trace -- server 127.0.0.1:9001    # `own_io` with the extension
//! listening on 127.0.0.1:9001
//! client-7: received text of 5 octets
//! client-7: sent text of 5 octets
//! $ cargo run --release --example x_trace -- cost           # what a pass-through costs
//! ```
//!
//! Its place in the set decides what it sees: first, the messages of the application; after
//! compression, the compressed messages.

#[path = "own_io.rs"]
#[allow(dead_code)]
mod own_io;

use std::{env, fmt, hint::black_box, sync::Arc, time::Instant};

use ws_core::{
    Config, Connection, Extension, ExtensionFactory, Extensions, MessageKind, Role,
    extension::{
        Agreed, Chunk, ExtensionError, Mark, MessageInfo, NegotiationError, Params, Progress, Rsv,
        RsvClaim, Scope, Sink,
    },
};
use ws_handshake::ExtensionSet;

/// A message that passed through.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Passed {
    id: Arc<str>,
    direction: &'static str,
    kind: MessageKind,
    len: u64,
}

/// Shared by all connections, each on its own thread: hence `Send` and `Sync`.
type Observer = Arc<dyn Fn(&Passed) + Send + Sync>;

/// Negotiates `x-trace`.
struct TraceFactory {
    /// The id that a client offers. A server takes any id.
    id: Option<&'static str>,
    observer: Observer,
}

struct Trace {
    id: Arc<str>,
    observer: Observer,
    /// Both directions may be inside a message at once, so each has its own state.
    sending: Passing,
    receiving: Passing,
}

/// The message in progress.
struct Passing {
    kind: MessageKind,
    len: u64,
}

impl TraceFactory {
    fn build(&self, id: &str) -> Box<dyn Extension> {
        let idle = || Passing { kind: MessageKind::Text, len: 0 };
        let observer = Arc::clone(&self.observer);
        Box::new(Trace { id: id.into(), observer, sending: idle(), receiving: idle() })
    }
}

/// The id, if it is the only parameter.
fn id_of(params: &Params) -> Result<&str, NegotiationError> {
    let [id] = params.get(["id"])?;
    let error = |reason| NegotiationError::parameter("id", reason);
    let id = id.ok_or_else(|| error("is missing"))?.value().ok_or_else(|| error("has no value"))?;
    // A parameter takes memory and log lines at the other end, so it has a limit.
    if id.len() > 64 {
        return Err(error("longer than 64 octets"));
    }
    Ok(id)
}

impl ExtensionFactory for TraceFactory {
    fn name(&self) -> &str {
        "x-trace"
    }

    fn scope(&self) -> Scope {
        Scope::Message
    }

    fn accept(&self, offer: &Params, _free: Rsv) -> Result<Agreed, NegotiationError> {
        let id = id_of(offer)?;
        Ok(Agreed::new(Params::new().with("id", id), self.build(id)))
    }

    fn offers(&self) -> Vec<Params> {
        self.id.iter().map(|id| Params::new().with("id", id)).collect()
    }

    fn confirm(
        &self,
        response: &Params,
        _: &[Params],
    ) -> Result<Box<dyn Extension>, NegotiationError> {
        match id_of(response)? {
            id if Some(id) == self.id => Ok(self.build(id)),
            _ => Err(NegotiationError::parameter("id", "is not the one that was offered")),
        }
    }
}

impl Passing {
    fn begin(&mut self, unit: &MessageInfo) {
        // Do not rely on `unit.len`: it is unknown for streamed and fragmented messages, and after
        // an extension that changes the length.
        *self = Self { kind: unit.kind, len: 0 };
    }

    /// Passes on what fits. Returns whether the message ends here.
    fn pass(&mut self, input: &mut Chunk<'_>, out: &mut Sink<'_>) -> (Progress, bool) {
        let before = input.len();
        out.write_from(input);
        self.len += (before - input.len()) as u64;
        match input.is_empty() {
            true => (Progress::Done, input.is_last()),
            false => (Progress::Full, false),
        }
    }
}

impl Trace {
    fn tell(&self, direction: &'static str, message: &Passing) {
        let Passing { kind, len } = *message;
        (self.observer)(&Passed { id: Arc::clone(&self.id), direction, kind, len });
    }
}

impl Extension for Trace {
    fn claim(&self) -> RsvClaim {
        // An extension without a bit sees every message, and `Mark` has no meaning.
        RsvClaim::None
    }

    fn begin_encode(&mut self, unit: &MessageInfo) -> Result<Mark, ExtensionError> {
        self.sending.begin(unit);
        Ok(Mark::Unmarked)
    }

    fn begin_decode(&mut self, unit: &MessageInfo) -> Result<(), ExtensionError> {
        self.receiving.begin(unit);
        Ok(())
    }

    fn encode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let (progress, ended) = self.sending.pass(input, out);
        if ended {
            self.tell("sent", &self.sending);
        }
        Ok(progress)
    }

    fn decode(
        &mut self,
        input: &mut Chunk<'_>,
        out: &mut Sink<'_>,
    ) -> Result<Progress, ExtensionError> {
        let (progress, ended) = self.receiving.pass(input, out);
        if ended {
            self.tell("received", &self.receiving);
        }
        Ok(progress)
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, direction, kind, len } = self;
        let kind = if *kind == MessageKind::Text { "text" } else { "binary" };
        write!(f, "{id}: {direction} {kind} of {len} octets")
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if env::args().nth(1).as_deref() == Some("cost") {
        cost();
        return Ok(());
    }
    let observer: Observer = Arc::new(|passed| println!("{passed}"));
    own_io::run(&ExtensionSet::new().with(TraceFactory { id: Some("own-io"), observer })?)
}

/// The best of 20 rounds, with and without the extension.
fn cost() {
    for (len, count) in [(20, 10_000), (1024, 10_000), (65_536, 1000)] {
        let data = vec![7; len];
        let round = |traced: bool| {
            let mut ws = Connection::new(Role::Server, Config::default(), stack(traced));
            let mut wire = Vec::with_capacity(count * (len + 10));
            let start = Instant::now();
            for _ in 0..count {
                ws.send(black_box(&data[..])).expect("it is open");
                ws.write_to(&mut wire).expect("a Vec takes everything");
            }
            start.elapsed().as_secs_f64() * 1e9 / count as f64
        };
        let best = |traced| (0..20).map(|_| round(traced)).fold(f64::INFINITY, f64::min);
        let (plain, traced) = (best(false), best(true));
        println!("{len} octets: {plain:.0} ns a message without, {traced:.0} ns with x-trace");
    }
}

fn stack(traced: bool) -> Extensions {
    let mut extensions = Extensions::none();
    if traced {
        let observer: Observer = Arc::new(|passed| {
            black_box(passed);
        });
        let factory = TraceFactory { id: None, observer };
        extensions.push(&factory, factory.build("cost")).expect("the only extension");
    }
    extensions
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use bytes::BytesMut;
    use ws_core::{Event, Message, extension::FixedFactory};
    use ws_handshake::{Limits, parse_extensions};

    use super::*;

    type Log = Arc<Mutex<Vec<String>>>;

    fn recorder() -> (Observer, Log) {
        let log = Log::default();
        let kept = Arc::clone(&log);
        (Arc::new(move |passed| log.lock().unwrap().push(passed.to_string())), kept)
    }

    fn noted(log: &Log) -> Vec<String> {
        std::mem::take(&mut log.lock().unwrap())
    }

    fn server() -> (Connection, Log) {
        let (observer, log) = recorder();
        let factory = TraceFactory { id: None, observer };
        let mut extensions = Extensions::none();
        extensions.push(&factory, factory.build("a")).unwrap();
        (Connection::new(Role::Server, Config::default(), extensions), log)
    }

    fn receive(ws: &mut Connection, wire: &[u8], size: usize) -> Vec<Event> {
        let (mut input, mut events) = (BytesMut::new(), Vec::new());
        for piece in wire.chunks(size) {
            input.extend_from_slice(piece);
            while let Some(event) = ws.poll_event(&mut input) {
                events.extend((event != Event::Yield).then_some(event));
            }
        }
        events
    }

    fn written(ws: &mut Connection) -> Vec<u8> {
        let mut wire = Vec::new();
        ws.write_to(&mut wire).unwrap();
        wire
    }

    #[test]
    fn contract_of_extensions_is_kept() {
        let factory = TraceFactory { id: Some("a"), observer: recorder().0 };
        ws_core::testkit::check(&factory).unwrap();
    }

    #[test]
    fn wire_is_that_of_a_connection_without_it() {
        let (mut ws, log) = server();
        ws.send("Hello").unwrap();
        assert_eq!(written(&mut ws), b"\x81\x05Hello");
        ws.send(Vec::new()).unwrap();
        assert_eq!(written(&mut ws), b"\x82\x00");
        assert_eq!(noted(&log), ["a: sent text of 5 octets", "a: sent binary of 0 octets"]);
        for octet in [0xc1, 0xa1, 0x91] {
            let events = receive(&mut server().0, &[octet, 0x80, 0, 0, 0, 0], 6);
            assert!(matches!(&events[1], Event::Closed(closed) if closed.code.get() == 1002));
        }
    }

    #[test]
    fn message_is_told_once_however_it_came() {
        let wire = b"\x01\x80\0\0\0\0\x00\x83\0\0\0\0Hel\x89\x80\0\0\0\0\x80\x82\0\0\0\0lo";
        for size in 1..=wire.len() {
            let (mut ws, log) = server();
            let events = receive(&mut ws, wire, size);
            assert_eq!(events.last(), Some(&Event::Message(Message::text("Hello"))));
            assert_eq!(noted(&log), ["a: received text of 5 octets"]);
        }
        // The end of a message may come alone, in an empty chunk.
        let (mut ws, log) = server();
        ws.start_message(MessageKind::Binary).unwrap();
        ws.send_chunk(&b"abc"[..]).unwrap();
        assert_eq!(noted(&log), [""; 0]);
        ws.finish_message(&b""[..]).unwrap();
        written(&mut ws);
        assert_eq!(noted(&log), ["a: sent binary of 3 octets"]);
    }

    #[test]
    fn large_message_is_counted_over_many_calls() {
        let (mut ws, log) = server();
        ws.send(vec![1; 1_000_000]).unwrap();
        let wire = written(&mut ws);
        assert!(wire.len() > 1_000_000);
        assert_eq!(noted(&log), ["a: sent binary of 1000000 octets"]);
    }

    #[test]
    fn message_that_is_given_up_is_not_told_and_does_not_count_in_the_next() {
        let (mut ws, log) = server();
        ws.start_message(MessageKind::Text).unwrap();
        ws.send_chunk(&b"abc"[..]).unwrap();
        ws.fail(ws_core::CloseCode::GOING_AWAY, "").unwrap();
        written(&mut ws);
        assert_eq!(noted(&log), [""; 0]);
    }

    /// Leaves out the vowels; marked by RSV2.
    struct Terse;

    impl Extension for Terse {
        fn claim(&self) -> RsvClaim {
            RsvClaim::FirstFrame(Rsv::RSV2)
        }

        fn begin_encode(&mut self, _: &MessageInfo) -> Result<Mark, ExtensionError> {
            Ok(Mark::Marked)
        }

        fn encode(
            &mut self,
            input: &mut Chunk<'_>,
            out: &mut Sink<'_>,
        ) -> Result<Progress, ExtensionError> {
            while let Some(octet) = input.data().first() {
                if !b"aeiou".contains(octet) && out.write(&[*octet]) == 0 {
                    return Ok(Progress::Full);
                }
                input.consume(1);
            }
            Ok(Progress::Done)
        }

        fn decode(
            &mut self,
            _: &mut Chunk<'_>,
            _: &mut Sink<'_>,
        ) -> Result<Progress, ExtensionError> {
            unreachable!("only sent")
        }
    }

    #[test]
    fn place_in_the_stack_decides_what_is_seen() {
        for (first, size) in [(true, 5), (false, 3)] {
            let (observer, log) = recorder();
            let trace = TraceFactory { id: None, observer };
            let terse = FixedFactory::new("x-terse", Scope::Message, || Box::new(Terse));
            let mut extensions = Extensions::none();
            if first {
                extensions.push(&trace, trace.build("a")).unwrap();
                extensions.push(&terse, terse.make()).unwrap();
            } else {
                extensions.push(&terse, terse.make()).unwrap();
                extensions.push(&trace, trace.build("a")).unwrap();
            }
            let mut ws = Connection::new(Role::Server, Config::default(), extensions);
            ws.send("Hello").unwrap();
            assert_eq!(written(&mut ws), b"\xa1\x03Hll");
            assert_eq!(noted(&log), [format!("a: sent text of {size} octets")]);
        }
    }

    fn negotiated(offers: &str) -> (Option<String>, String) {
        let set = TraceFactory { id: None, observer: recorder().0 };
        let set = ExtensionSet::new().with(set).unwrap();
        let offers = parse_extensions([offers.as_bytes()], &Limits::default()).unwrap();
        let agreed = set.negotiate(offers);
        (agreed.header(), agreed.report.to_string())
    }

    #[test]
    fn server_repeats_the_id() {
        assert_eq!(negotiated("x-trace; id=a.1").0.as_deref(), Some("x-trace; id=a.1"));
        assert_eq!(negotiated("x-trace; id=\"b\"").0.as_deref(), Some("x-trace; id=b"));
        let long = "x".repeat(65);
        for (params, why) in [
            ("", "parameter id: is missing"),
            ("; id", "parameter id: has no value"),
            ("; id=a; id=b", "parameter id: repeated"),
            ("; id=a; level=9", "parameter level: unknown"),
            (&format!("; id={long}"), "parameter id: longer than 64 octets"),
        ] {
            let (header, report) = negotiated(&format!("x-trace{params}, x-trace; id=good"));
            assert_eq!(header.as_deref(), Some("x-trace; id=good"));
            assert!(report.starts_with(&format!("x-trace{params}: declined: {why}\n")), "{report}");
        }
    }

    #[test]
    fn client_takes_its_own_id_alone() {
        let factory = TraceFactory { id: Some("mine"), observer: recorder().0 };
        assert_eq!(factory.offers()[0].to_string(), "; id=mine");
        assert!(factory.confirm(&Params::new().with("id", "mine"), &[]).is_ok());
        for wrong in [Params::new(), Params::new().with("id", "other")] {
            let error = factory.confirm(&wrong, &[]).map(|_| ()).unwrap_err();
            assert_eq!(error.parameter_name(), Some("id"));
        }
    }
}
