//! How a server is configured.

use std::{fmt::Write, path::PathBuf};

use super::dir::Dir;

/// A server's configuration. By default it has JetStream, and anybody may do anything.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(super) program: Option<PathBuf>,
    pub(super) port: Option<u16>,
    name: String,
    jetstream: Option<String>,
    text: String,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            program: None,
            port: None,
            name: "test".to_owned(),
            jetstream: Some(String::new()),
            text: String::new(),
        }
    }
}

impl Setup {
    /// Another program than `WS_NATS_SERVER`.
    pub(crate) fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    pub(crate) fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Settings of JetStream besides its directory, such as `domain: hub`.
    pub(crate) fn jetstream(mut self, settings: impl Into<String>) -> Self {
        self.jetstream = Some(settings.into());
        self
    }

    pub(crate) fn without_jetstream(mut self) -> Self {
        self.jetstream = None;
        self
    }

    /// More of the configuration file: `authorization { .. }`, `tls { .. }`, `leafnodes { .. }`,
    /// `accounts { .. }`, `max_payload: 4KB`.
    pub(crate) fn text(mut self, text: impl AsRef<str>) -> Self {
        self.text += text.as_ref();
        self.text.push('\n');
        self
    }

    /// The configuration file.
    pub(super) fn file(&self, port: u16, dir: &Dir) -> String {
        let mut file = format!("listen: \"127.0.0.1:{port}\"\nserver_name: {}\n", self.name);
        if let Some(settings) = &self.jetstream {
            let store = dir.path();
            let _ = writeln!(file, "jetstream {{\n store_dir: {store:?}\n {settings}\n}}");
        }
        file + &self.text
    }
}
