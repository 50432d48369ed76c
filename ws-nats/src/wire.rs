//! A publication as a message of NATS, and back.

use std::str::FromStr;

use async_nats::HeaderMap;
use bytes::Bytes;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use ws_server::{ClientId, Compression, Message, Payload, Publication, SlowConsumer, Text};

/// `text` or `binary`. Without it a message is text if it is UTF-8.
pub(crate) const KIND: &str = "Ws-Kind";
/// `always` or `never`. Without it the extension decides.
pub(crate) const COMPRESSION: &str = "Ws-Compression";
/// A key, percent-encoded.
pub(crate) const KEY: &str = "Ws-Key";
/// `NODE.CLIENT`: the connection that is left out.
pub(crate) const EXCEPT: &str = "Ws-Except";
/// `close`, `drop-oldest` or `drop-newest`. Without it the delivering server's policy counts.
pub(crate) const SLOW: &str = "Ws-Slow";
/// The incarnation of the node that published.
pub(crate) const FROM: &str = "Ws-From";
/// The id by which the stream knows a message that is published again.
pub(crate) const MESSAGE_ID: &str = "Nats-Msg-Id";

/// A publication that came from NATS.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) publication: Publication,
}

/// A message that is ignored as a whole, since a part of it cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damaged {
    /// A header that is there twice, or has a value that it cannot have.
    #[error("its header {0} cannot be read")]
    Header(&'static str),
    /// `Ws-Kind: text`, and it is not UTF-8.
    #[error("it is said to be text and is not UTF-8")]
    NotUtf8,
}

/// As it is sent by the node `incarnation`.
pub(crate) fn encode(
    publication: &Publication,
    incarnation: u64,
    id: Option<&str>,
) -> (HeaderMap, Bytes) {
    let parts = publication.parts();
    let mut headers = HeaderMap::new();
    headers.insert(FROM, format!("{incarnation:016x}"));
    if let Message::Binary(_) = parts.message {
        headers.insert(KIND, "binary");
    }
    match parts.compression {
        Compression::Auto => {}
        Compression::Never => headers.insert(COMPRESSION, "never"),
        Compression::Always => headers.insert(COMPRESSION, "always"),
    }
    if let Some(key) = parts.key {
        headers.insert(KEY, utf8_percent_encode(key, NON_ALPHANUMERIC).to_string());
    }
    if let Some(client) = parts.except {
        headers.insert(EXCEPT, format!("{incarnation:016x}.{}", client.get()));
    }
    if let Some(policy) = parts.slow_consumer.and_then(slow_name) {
        headers.insert(SLOW, policy);
    }
    if let Some(id) = id {
        headers.insert(MESSAGE_ID, id);
    }
    (headers, parts.message.clone().into_payload().into())
}

/// As the node `incarnation` delivers it. A message without our headers, such as another program
/// publishes, is text if it is UTF-8.
pub(crate) fn decode(
    headers: Option<&HeaderMap>,
    payload: Bytes,
    incarnation: u64,
) -> Result<Received, Damaged> {
    let header = |name| headers.map_or(Ok(None), |headers| only(headers, name));
    let message = message(header(KIND)?, payload)?;
    let mut publication = Publication::new(message);
    if let Some(value) = header(COMPRESSION)? {
        publication = publication.compression(match value {
            "always" => Compression::Always,
            "never" => Compression::Never,
            _ => return Err(Damaged::Header(COMPRESSION)),
        });
    }
    if let Some(value) = header(KEY)? {
        let key = percent_decode_str(value).decode_utf8();
        publication = publication.key(key.map_err(|_| Damaged::Header(KEY))?);
    }
    if let Some(value) = header(EXCEPT)? {
        let (node, client) = value.split_once('.').ok_or(Damaged::Header(EXCEPT))?;
        let client = number::<u64>(client, EXCEPT)?;
        // Connections of other nodes have the same numbers.
        if hex(node, EXCEPT)? == incarnation {
            publication = publication.except(ClientId::new(client));
        }
    }
    if let Some(value) = header(SLOW)? {
        publication = publication.slow_consumer(match value {
            "close" => SlowConsumer::Close,
            "drop-oldest" => SlowConsumer::DropOldest,
            "drop-newest" => SlowConsumer::DropNewest,
            _ => return Err(Damaged::Header(SLOW)),
        });
    }
    // Nobody asks who published it; what cannot be read is damaged all the same.
    header(FROM)?.map(|value| hex(value, FROM)).transpose()?;
    Ok(Received { publication })
}

/// Octets that the server compares with its `max_payload`: headers count.
pub(crate) fn size(headers: &HeaderMap, payload: &[u8]) -> usize {
    const FIRST_LINE: usize = "NATS/1.0\r\n".len();
    const AROUND_VALUE: usize = ": ".len() + "\r\n".len();
    let values = |(name, values): (&async_nats::HeaderName, &Vec<async_nats::HeaderValue>)| {
        let name = AsRef::<str>::as_ref(name).len();
        values.iter().map(|value| name + value.as_str().len() + AROUND_VALUE).sum::<usize>()
    };
    FIRST_LINE + headers.iter().map(values).sum::<usize>() + "\r\n".len() + payload.len()
}

fn slow_name(policy: SlowConsumer) -> Option<&'static str> {
    match policy {
        SlowConsumer::Close => Some("close"),
        SlowConsumer::DropOldest => Some("drop-oldest"),
        SlowConsumer::DropNewest => Some("drop-newest"),
        // One that this version cannot carry: the delivering server's counts.
        _ => None,
    }
}

fn message(kind: Option<&str>, payload: Bytes) -> Result<Message, Damaged> {
    let text = match kind {
        None | Some("text") => Text::try_from(payload.clone()).ok(),
        Some("binary") => None,
        Some(_) => return Err(Damaged::Header(KIND)),
    };
    match text {
        Some(text) => Ok(Message::Text(text)),
        None if kind == Some("text") => Err(Damaged::NotUtf8),
        None => Ok(Message::Binary(Payload::from(payload))),
    }
}

/// The value of a header that is there once at most.
fn only<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Option<&'h str>, Damaged> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (value, None) => Ok(value.map(async_nats::HeaderValue::as_str)),
        (_, Some(_)) => Err(Damaged::Header(name)),
    }
}

fn number<N: FromStr>(digits: &str, name: &'static str) -> Result<N, Damaged> {
    let plain = digits.bytes().all(|octet| octet.is_ascii_digit());
    digits.parse().ok().filter(|_| plain).ok_or(Damaged::Header(name))
}

fn hex(digits: &str, name: &'static str) -> Result<u64, Damaged> {
    let plain = digits.bytes().all(|octet| octet.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| plain).ok_or(Damaged::Header(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// This node, and another.
    const HERE: u64 = 0xabc;
    const THERE: u64 = 0xabd;

    fn headers(values: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(*name, *value);
        }
        headers
    }

    fn publications() -> impl Strategy<Value = Publication> {
        let message = prop_oneof![
            any::<String>().prop_map(Message::from),
            any::<Vec<u8>>().prop_map(Message::from),
            // Binary, though it could be text.
            any::<String>().prop_map(|text| Message::from(text.into_bytes())),
        ];
        let compression =
            prop::sample::select(vec![Compression::Auto, Compression::Never, Compression::Always]);
        let policies = [SlowConsumer::Close, SlowConsumer::DropOldest, SlowConsumer::DropNewest];
        let policy = prop::option::of(prop::sample::select(policies.to_vec()));
        let parts = (message, compression, any::<Option<u64>>(), any::<Option<String>>(), policy);
        parts.prop_map(|(message, compression, except, key, policy)| {
            let mut publication = Publication::new(message).compression(compression);
            if let Some(except) = except {
                publication = publication.except(ClientId::new(except));
            }
            if let Some(key) = key {
                publication = publication.key(key);
            }
            match policy {
                Some(policy) => publication.slow_consumer(policy),
                None => publication,
            }
        })
    }

    proptest! {
        #[test]
        fn publication_arrives_with_all_its_attributes(publication in publications()) {
            let (headers, payload) = encode(&publication, HERE, Some("id"));
            let here = decode(Some(&headers), payload.clone(), HERE).unwrap();
            prop_assert_eq!(here.publication.parts(), publication.parts());
            // On another node the number names another connection.
            let there = decode(Some(&headers), payload, THERE).unwrap();
            prop_assert_eq!(there.publication.parts().except, None);
            prop_assert_eq!(there.publication.parts().message, publication.parts().message);
        }

        #[test]
        fn any_header_and_payload_is_read_or_refused(
            name in prop::sample::select(vec![KIND, COMPRESSION, KEY, EXCEPT, SLOW, FROM]),
            value in "[ -~]{0,20}",
            payload: Vec<u8>,
        ) {
            let _ = decode(Some(&headers(&[(name, &value)])), payload.into(), HERE);
        }
    }

    #[test]
    fn headers_are_those_that_the_readme_lists() {
        let publication = Publication::new("x".as_bytes())
            .compression(Compression::Never)
            .except(ClientId::new(7))
            .key("a b/ü")
            .slow_consumer(SlowConsumer::DropOldest);
        let (sent, payload) = encode(&publication, HERE, Some("order-1"));
        let expected = headers(&[
            ("Ws-Kind", "binary"),
            ("Ws-Compression", "never"),
            ("Ws-Key", "a%20b%2F%C3%BC"),
            ("Ws-Except", "0000000000000abc.7"),
            ("Ws-Slow", "drop-oldest"),
            ("Ws-From", "0000000000000abc"),
            ("Nats-Msg-Id", "order-1"),
        ]);
        assert_eq!((sent, payload), (expected, Bytes::from("x")));
        let (sent, _) = encode(&Publication::new("x"), HERE, None);
        assert_eq!(sent, headers(&[("Ws-From", "0000000000000abc")]));
    }

    #[test]
    fn message_of_another_program_is_text_if_it_is_utf8() {
        for (payload, message) in [
            (&b"hello"[..], Message::from("hello")),
            (b"", Message::from("")),
            (b"\xff", Message::from(&b"\xff"[..])),
        ] {
            let other = headers(&[("Trace", "1"), ("Ws-Later", "2")]);
            for headers in [None, Some(&other)] {
                let received = decode(headers, Bytes::from(payload), HERE).unwrap();
                assert_eq!(*received.publication.parts().message, message);
            }
        }
        let received = decode(Some(&headers(&[(KIND, "binary")])), Bytes::from("a"), HERE).unwrap();
        assert_eq!(*received.publication.parts().message, Message::from(&b"a"[..]));
    }

    #[test]
    fn damaged_message_is_an_error() {
        for (name, values) in [
            (KIND, &["", "Text", "text, binary"][..]),
            (COMPRESSION, &["", "auto", "yes"]),
            (KEY, &["%FF"]),
            (EXCEPT, &["", "1", "1.", ".1", "1.2.3", "g.1", "1.+2", "1.-2", "10000000000000000.1"]),
            (SLOW, &["", "wait", "Close"]),
            (FROM, &["", "g", "+1", "10000000000000000"]),
        ] {
            for value in values {
                let refused = decode(Some(&headers(&[(name, value)])), Bytes::from("x"), HERE);
                assert_eq!(refused.unwrap_err(), Damaged::Header(name), "{value:?}");
            }
            let twice = headers(&[(name, "1.1"), (name, "1.1")]);
            let refused = decode(Some(&twice), Bytes::from("x"), HERE);
            assert_eq!(refused.unwrap_err(), Damaged::Header(name));
        }
        let refused = decode(Some(&headers(&[(KIND, "text")])), Bytes::from(&b"\xff"[..]), HERE);
        assert_eq!(refused.unwrap_err(), Damaged::NotUtf8);
    }

    #[test]
    fn size_is_that_on_the_wire() {
        let mut sent = headers(&[("Ws-Kind", "binary"), ("A", "1"), ("A", "22")]);
        let octets = "NATS/1.0\r\nWs-Kind: binary\r\nA: 1\r\nA: 22\r\n\r\nhello";
        assert_eq!(size(&sent, b"hello"), octets.len());
        sent = HeaderMap::new();
        assert_eq!(size(&sent, b""), "NATS/1.0\r\n\r\n".len());
    }
}
