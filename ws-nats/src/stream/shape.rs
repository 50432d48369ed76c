//! Whether a stream that is there can carry topics.

use std::time::Duration;

use serde_json::{Value, json};

use crate::ConnectError;

/// A setting that is not as it has to be.
#[derive(Debug)]
pub(super) struct Misfit {
    setting: &'static str,
    found: String,
    wanted: String,
    mend: Mend,
}

#[derive(Clone, Copy, Debug)]
enum Mend {
    /// By options of `nats stream edit`.
    Edit(&'static str),
    /// By none: the server does not change it.
    Anew,
}

/// The first setting that does not fit. Unset means the server's default.
pub(super) fn misfit(found: &Value, wanted: &Value) -> Option<Misfit> {
    subjects(found, wanted).or_else(|| republish(found, wanted)).or_else(|| {
        // What each of them would do: drop history, take nothing, change messages.
        let settings: [(&str, Value, Value, Mend); 11] = [
            ("mirror", json!(null), json!(null), Mend::Anew),
            ("sealed", json!(false), json!(false), Mend::Anew),
            ("retention", json!("limits"), json!("limits"), Mend::Anew),
            ("discard", json!("old"), json!("old"), Mend::Edit("--discard old")),
            ("allow_direct", json!(true), json!(false), Mend::Edit("--allow-direct")),
            ("no_ack", json!(false), json!(false), Mend::Edit("--ack")),
            ("subject_transform", json!(null), json!(null), Mend::Anew),
            ("allow_rollup_hdrs", json!(false), json!(false), Mend::Anew),
            ("allow_msg_ttl", json!(false), json!(false), Mend::Anew),
            ("subject_delete_marker_ttl", json!(0), json!(0), Mend::Anew),
            ("allow_msg_counter", json!(false), json!(false), Mend::Anew),
        ];
        settings.into_iter().find_map(|(setting, wanted, unset, mend)| {
            let value = found.get(setting).filter(|value| !value.is_null()).unwrap_or(&unset);
            (*value != wanted).then(|| Misfit {
                setting,
                found: text(value),
                wanted: text(&wanted),
                mend,
            })
        })
    })
}

/// The limits that are not those of the configuration: `max_age = 60s instead of 0ns`.
pub(super) fn other_limits(found: &Value, wanted: &Value) -> Vec<String> {
    const LIMITS: [(&str, i64); 7] = [
        ("max_msgs", -1),
        ("max_msgs_per_subject", -1),
        ("max_bytes", -1),
        ("max_msg_size", -1),
        ("max_age", 0),
        ("duplicate_window", 0),
        ("num_replicas", 1),
    ];
    let mut other: Vec<String> = LIMITS
        .into_iter()
        .filter_map(|(limit, unset)| {
            let value =
                |of: &Value| of[limit].as_i64().filter(|value| *value != 0).unwrap_or(unset);
            let (found, wanted) = (value(found), value(wanted));
            let shown = |value: i64| match limit {
                "max_age" | "duplicate_window" => {
                    format!("{:?}", Duration::from_nanos(value.try_into().unwrap_or(0)))
                }
                _ => value.to_string(),
            };
            (found != wanted)
                .then(|| format!("{limit} = {} instead of {}", shown(found), shown(wanted)))
        })
        .collect();
    // With `async` a server acknowledges before it writes.
    for (mode, unset) in [("storage", "file"), ("persist_mode", "default")] {
        let value = |of: &Value| {
            of[mode].as_str().filter(|value| !value.is_empty()).unwrap_or(unset).to_owned()
        };
        let (found, wanted) = (value(found), value(wanted));
        if found != wanted {
            other.push(format!("{mode} = {found} instead of {wanted}"));
        }
    }
    other
}

/// It may take more subjects than ours, and not fewer.
fn subjects(found: &Value, wanted: &Value) -> Option<Misfit> {
    let ours = &wanted["subjects"][0];
    let taken = found["subjects"].as_array().is_some_and(|subjects| subjects.contains(ours));
    // A mirror has none of its own.
    let is_mirror = found.get("mirror").is_some_and(|mirror| !mirror.is_null());
    (!taken && !is_mirror).then(|| Misfit {
        setting: "subjects",
        found: text(&found["subjects"]),
        wanted: text(&wanted["subjects"]),
        mend: Mend::Edit("--subjects"),
    })
}

fn republish(found: &Value, wanted: &Value) -> Option<Misfit> {
    let is_mirror = found.get("mirror").is_some_and(|mirror| !mirror.is_null());
    let (found, wanted) = (&found["republish"], &wanted["republish"]);
    let whole = !found["headers_only"].as_bool().unwrap_or(false);
    let fits = found["src"] == wanted["src"] && found["dest"] == wanted["dest"] && whole;
    (!fits && !is_mirror).then(|| Misfit {
        setting: "republish",
        found: text(found),
        wanted: text(wanted),
        mend: Mend::Edit("--republish-source and --republish-destination"),
    })
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

impl Misfit {
    pub(super) fn of(self, stream: String) -> ConnectError {
        let mend = match self.mend {
            Mend::Edit(options) => {
                format!(
                    "change it by `nats stream edit {stream}` with {options}, or choose another Config::stream and prefix"
                )
            }
            Mend::Anew => format!(
                "a server does not change that: remove the stream, with all its messages, by `nats stream rm {stream}`, or choose another Config::stream and prefix"
            ),
        };
        let Self { setting, found, wanted, .. } = self;
        ConnectError::Shape { stream, setting, found, wanted, mend }
    }
}
