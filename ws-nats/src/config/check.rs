//! What cannot work is found before anything is asked of NATS.

use std::{path::Path, time::Duration};

use super::{Config, credentials::Kind};
use crate::ConnectError;

/// Octets of a name or prefix.
const MAX_NAME: usize = 128;

/// Whether a node may be called so: 1 to 128 visible ASCII characters.
pub(crate) fn is_node_name(name: &str) -> bool {
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(|octet| octet.is_ascii_graphic())
}

impl Config {
    /// Names the first field that cannot work.
    pub(crate) fn check(&self) -> Result<(), ConnectError> {
        self.check_servers()?;
        self.check_identity()?;
        self.check_names()?;
        self.check_stream()?;
        self.check_limits()
    }

    fn check_servers(&self) -> Result<(), ConnectError> {
        const FIELD: &str = "servers";
        if self.servers.is_empty() {
            return refuse(FIELD, "is empty: name at least one, such as nats://127.0.0.1:4222");
        }
        for server in &self.servers {
            let address = server.parse::<async_nats::ServerAddr>();
            let known = |scheme: &str| matches!(scheme, "nats" | "tls");
            match address {
                Ok(address) if address.username().is_some() || address.password().is_some() => {
                    // Not the address: it holds a secret.
                    return refuse(
                        FIELD,
                        "has an address with a user: name it by Config::credentials",
                    );
                }
                Ok(address) if !address.host().is_empty() && known(address.scheme()) => {}
                _ => {
                    let mend = "write nats://host:4222, tls://host, or host:port";
                    return refuse(FIELD, format!("has the address {server:?}: {mend}"));
                }
            }
        }
        Ok(())
    }

    fn check_identity(&self) -> Result<(), ConnectError> {
        const FIELD: &str = "credentials";
        match &self.credentials.0 {
            Kind::User { name, .. } if name.is_empty() => {
                refuse(FIELD, "has a user without name: give it one")
            }
            Kind::Token(token) if token.is_empty() => {
                refuse(FIELD, "has an empty token: give it one")
            }
            Kind::Nkey(seed) => check_nkey(seed),
            Kind::File(path) => check_file(FIELD, path),
            _ => Ok(()),
        }?;
        if let Some(path) = &self.tls_roots {
            check_file("tls_roots", path)?;
        }
        if let Some((certificate, key)) = &self.tls_certificate {
            check_file("tls_certificate", certificate)?;
            check_file("tls_certificate", key)?;
        }
        Ok(())
    }

    fn check_names(&self) -> Result<(), ConnectError> {
        check_prefix("prefix", &self.prefix)?;
        check_prefix("inbox_prefix", &self.inbox_prefix)?;
        if let Some(name) = &self.stream {
            check_token("stream", name)?;
        }
        if let Some(domain) = &self.domain {
            check_token("domain", domain)?;
        }
        if let Some(node) = &self.node
            && !is_node_name(node)
        {
            let mend = "use 1 to 128 visible ASCII characters";
            return refuse("node", format!("is {node:?}: {mend}"));
        }
        let empty = |name: &String| name.trim().is_empty();
        if self.placement_tags.iter().any(empty) {
            return refuse("placement_tags", "has an empty tag: leave it out");
        }
        if self.placement_cluster.as_ref().is_some_and(empty) {
            return refuse("placement_cluster", "is empty: leave it out");
        }
        Ok(())
    }

    /// What the stream takes.
    fn check_stream(&self) -> Result<(), ConnectError> {
        if !(1..=5).contains(&self.replicas) {
            let replicas = self.replicas;
            return refuse("replicas", format!("is {replicas}: a stream has 1 to 5"));
        }
        if self.max_age < Duration::from_secs(1) {
            return refuse(
                "max_age",
                "is less than a second: raise it, or lift it by Duration::MAX",
            );
        }
        if self.duplicate_window < Duration::from_millis(100) {
            return refuse(
                "duplicate_window",
                "is less than 100 ms, the least that a server takes: raise it",
            );
        }
        // More than a server would take for them.
        const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
        for (field, time) in
            [("max_age", self.max_age), ("duplicate_window", self.duplicate_window)]
        {
            if time > CENTURY && time != Duration::MAX {
                return refuse(field, "is more than a century: lift it by Duration::MAX");
            }
        }
        Ok(())
    }

    fn check_limits(&self) -> Result<(), ConnectError> {
        let sizes = [
            ("messages_per_topic", self.messages_per_topic),
            ("max_bytes", self.max_bytes),
            ("queue_bytes", self.queue_bytes),
            ("recovery_messages", self.recovery_messages),
            ("recovery_bytes", self.recovery_bytes),
            ("member_bytes", self.member_bytes),
        ];
        if let Some((field, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return refuse(field, "is zero, which lets nothing through: raise it");
        }
        const LEAST: Duration = Duration::from_millis(10);
        const MOST: Duration = Duration::from_secs(24 * 3600);
        let times = [
            ("connect_timeout", self.connect_timeout),
            ("publish_timeout", self.publish_timeout),
            ("audit", self.audit),
            ("heartbeat", self.heartbeat),
        ];
        if let Some((field, time)) =
            times.into_iter().find(|(_, time)| !(LEAST..=MOST).contains(time))
        {
            return refuse(field, format!("is {time:?}: it takes 10 ms to a day"));
        }
        Ok(())
    }
}

fn refuse<T>(field: &'static str, problem: impl Into<String>) -> Result<T, ConnectError> {
    Err(ConnectError::Config { field, problem: problem.into() })
}

/// What it says it is: its checksum is looked at on connecting.
fn check_nkey(seed: &str) -> Result<(), ConnectError> {
    let base32 = |octet: u8| octet.is_ascii_uppercase() || (b'2'..=b'7').contains(&octet);
    if seed.starts_with("SU") && seed.len() == 58 && seed.bytes().all(base32) {
        return Ok(());
    }
    refuse(
        "credentials",
        "has an nkey that is no user's seed: it is 58 characters and begins with SU",
    )
}

fn check_file(field: &'static str, path: &Path) -> Result<(), ConnectError> {
    match std::fs::read(path) {
        Ok(_) => Ok(()),
        Err(error) => refuse(
            field,
            format!("names the file {}, which cannot be read: {error}", path.display()),
        ),
    }
}

/// Tokens joined by dots.
fn check_prefix(field: &'static str, prefix: &str) -> Result<(), ConnectError> {
    if prefix.len() <= MAX_NAME && prefix.split('.').all(is_token) {
        return Ok(());
    }
    refuse(
        field,
        format!("is {prefix:?}: use letters, digits, - and _, joined by dots, 128 octets at most"),
    )
}

fn check_token(field: &'static str, token: &str) -> Result<(), ConnectError> {
    if token.len() <= MAX_NAME && is_token(token) {
        return Ok(());
    }
    refuse(field, format!("is {token:?}: use letters, digits, - and _, 128 octets at most"))
}

fn is_token(token: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'_' || octet == b'-';
    !token.is_empty() && token.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Credentials;

    /// The field that is refused, and the whole text.
    fn refused(config: &Config) -> (&'static str, String) {
        match config.check() {
            Err(error @ ConnectError::Config { field, .. }) => (field, error.to_string()),
            other => panic!("{other:?} for {config:?}"),
        }
    }

    #[test]
    fn defaults_can_work() {
        assert!(Config::default().check().is_ok());
        assert_eq!(Config::default().stream_name(), "WS");
        assert_eq!(Config::default().prefix("chat.eu-1").stream_name(), "CHAT_EU-1");
        assert_eq!(Config::default().stream("x").stream_name(), "x");
    }

    #[test]
    fn field_that_cannot_work_is_named() {
        let config = Config::default;
        let none: [&str; 0] = [];
        let ms = Duration::from_millis;
        for (field, config) in [
            ("servers", config().servers(none)),
            ("servers", config().servers(["http://127.0.0.1"])),
            ("servers", config().servers([""])),
            ("servers", config().servers(["127.0.0.1", "a b"])),
            ("servers", config().servers(["nats://ann:secret@127.0.0.1"])),
            ("credentials", config().credentials(Credentials::user("", "x"))),
            ("credentials", config().credentials(Credentials::token(""))),
            ("credentials", config().credentials(Credentials::nkey("SUsecret"))),
            ("credentials", config().credentials(Credentials::file("/nowhere/x.creds"))),
            ("tls_roots", config().tls_roots("/nowhere/ca.pem")),
            (
                "tls_certificate",
                config().tls_certificate(("/nowhere/cert.pem", "/nowhere/key.pem")),
            ),
            ("prefix", config().prefix("")),
            ("prefix", config().prefix("a..b")),
            ("prefix", config().prefix("a.*")),
            ("prefix", config().prefix("$JS")),
            ("prefix", config().prefix("x".repeat(129))),
            ("inbox_prefix", config().inbox_prefix("_INBOX.>")),
            ("stream", config().stream("a.b")),
            ("stream", config().stream("a b")),
            ("domain", config().domain("")),
            ("node", config().node("")),
            ("node", config().node("a b")),
            ("placement_tags", config().placement_tags(["ssd", " "])),
            ("placement_cluster", config().placement_cluster("")),
            ("replicas", config().replicas(0)),
            ("replicas", config().replicas(6)),
            ("max_age", config().max_age(ms(999))),
            ("max_age", config().max_age(Duration::from_secs(1 << 40))),
            ("duplicate_window", config().duplicate_window(ms(99))),
            ("messages_per_topic", config().messages_per_topic(0)),
            ("max_bytes", config().max_bytes(0)),
            ("queue_bytes", config().queue_bytes(0)),
            ("recovery_messages", config().recovery_messages(0)),
            ("recovery_bytes", config().recovery_bytes(0)),
            ("member_bytes", config().member_bytes(0)),
            ("connect_timeout", config().connect_timeout(Duration::ZERO)),
            ("publish_timeout", config().publish_timeout(Duration::MAX)),
            ("audit", config().audit(ms(9))),
            ("heartbeat", config().heartbeat(ms(0))),
        ] {
            let (named, text) = refused(&config);
            assert_eq!(named, field, "{config:?}");
            assert!(text.starts_with(&format!("Config::{field} ")), "{text}");
            assert!(!text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        for credentials in [
            Credentials::user("ann", "secret"),
            Credentials::token("secret"),
            Credentials::nkey("secret"),
            Credentials::text("secret"),
        ] {
            let shown = format!("{:?}", Config::default().credentials(credentials));
            assert!(!shown.contains("secret"), "{shown}");
        }
    }
}
