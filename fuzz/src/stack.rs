//! Stacks of extensions that two ends agree on.

use ws_core::{
    ExtensionFactory, Extensions,
    extension::{FixedFactory, Rsv, Scope},
};
use ws_ext_deflate::Deflate;
pub use ws_ext_deflate::Pool;

use crate::{
    extensions::{Reverse, Trailer, Xor},
    input::Input,
};

/// A stack that both ends agree on, as a handshake of their options would.
#[derive(Clone, Debug)]
pub struct StackSpec {
    which: u8,
    server: Options,
    client: Options,
    /// Bytes that the pool may hold, in KiB; 0 is no limit.
    pub pool_kib: usize,
    xor_step: usize,
}

#[derive(Clone, Copy, Debug)]
struct Options {
    level: u8,
    threshold: u8,
    history: usize,
    server_bits: u8,
    client_bits: u8,
    flags: u8,
}

impl Options {
    fn read(input: &mut Input<'_>) -> Self {
        let (bits, flags) = (input.byte(), input.byte());
        Self {
            level: input.byte() % 10,
            threshold: input.byte(),
            history: input.pick(&[4096, 0, 1, 256, 257, 32768, 100_000]),
            server_bits: bits % 9,
            client_bits: bits / 9 % 9,
            flags,
        }
    }

    fn build(&self, pool: &Pool) -> Deflate {
        let mut builder = Deflate::default()
            .pool(pool.clone())
            .threshold(self.threshold.into())
            .history(self.history)
            .server_no_context_takeover(self.flags & 1 == 1)
            .client_no_context_takeover(self.flags & 2 == 2);
        if self.level > 0 {
            builder = builder.level(self.level);
        }
        // 0 leaves the default.
        if self.server_bits > 0 {
            builder = builder.server_max_window_bits(7 + self.server_bits);
        }
        if self.client_bits > 0 {
            builder = builder.client_max_window_bits(7 + self.client_bits);
        }
        builder
    }
}

impl StackSpec {
    pub fn read(input: &mut Input<'_>) -> Self {
        let which = input.byte() % 10;
        let server = if which == 0 { Options::read(&mut Input(&[])) } else { Options::read(input) };
        let client = if which == 0 { server } else { Options::read(input) };
        Self {
            which,
            server,
            client,
            pool_kib: input.pick(&[0, 0, 0, 1, 100, 300, 600]),
            xor_step: input.pick(&[usize::MAX, 1, 7, 1000]).max(if which == 0 { 1 } else { 3 }),
        }
    }

    pub fn pool(&self) -> Pool {
        Pool::new(if self.pool_kib == 0 { 256 << 20 } else { self.pool_kib << 10 })
    }

    /// Whether it is the empty stack.
    pub fn is_none(&self) -> bool {
        self.which == 0
    }

    pub fn has_deflate(&self) -> bool {
        matches!(self.which, 1..=7)
    }

    /// Bits on first frames alone, and on every frame.
    pub fn bits(&self) -> (u8, u8) {
        match self.which {
            0 => (0, 0),
            1 | 2 => (0x40, 0),
            3 | 4 => (0x60, 0),
            5 => (0x40, 0x10),
            6 => (0x60, 0x10),
            7 => (0x40, 0),
            8 => (0, 0x10),
            _ => (0x20, 0),
        }
    }

    pub fn build(&self, server: bool, pool: &Pool) -> Extensions {
        let mut stack = Extensions::none();
        let deflate = |stack: &mut Extensions| {
            let (of_server, of_client) = (self.server.build(pool), self.client.build(pool));
            let agreed =
                of_client.offers().iter().find_map(|offer| of_server.accept(offer, Rsv::ALL).ok());
            let agreed = agreed.expect("one offer can be accepted");
            let own = if server {
                agreed.extension
            } else {
                of_client
                    .confirm(&agreed.response, &of_client.offers())
                    .expect("and its response confirmed")
            };
            stack.push(&of_server, own).unwrap();
        };
        let xor = |stack: &mut Extensions| {
            let step = self.xor_step;
            let factory =
                FixedFactory::new("x-xor", Scope::Message, move || Box::new(Xor::new(step)));
            stack.push(&factory, factory.make()).unwrap();
        };
        let trailer = |stack: &mut Extensions| {
            let factory =
                FixedFactory::new("x-trailer", Scope::Frame, || Box::new(Trailer::default()));
            stack.push(&factory, factory.make()).unwrap();
        };
        let reverse =
            |stack: &mut Extensions| {
                let factory = FixedFactory::new("x-reverse", Scope::WholeMessage, || {
                    Box::new(Reverse::default())
                });
                stack.push(&factory, factory.make()).unwrap();
            };
        match self.which {
            0 => {}
            1 | 2 => deflate(&mut stack),
            3 => (deflate(&mut stack), xor(&mut stack)).1,
            4 => (xor(&mut stack), deflate(&mut stack)).1,
            5 => (deflate(&mut stack), trailer(&mut stack)).1,
            6 => (deflate(&mut stack), xor(&mut stack), trailer(&mut stack)).2,
            7 => (reverse(&mut stack), deflate(&mut stack)).1,
            8 => trailer(&mut stack),
            _ => xor(&mut stack),
        }
        stack
    }
}
