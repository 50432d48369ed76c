//! Tests with records of made-up runs.

use super::*;

/// A run of three minutes whose samples are made by `of`, from the second and the phase.
fn record(of: impl Fn(u64, Phase) -> serde_json::Value) -> Record {
    let mut lines = String::from(
        "{\"kind\":\"soak\",\"seconds\":180,\"seed\":1,\"max_memory\":50331648,\"system\":\"linux\",\"profile\":\"dev\"}\n",
    );
    for at in 0..180_u64 {
        let phase = match at {
            0..2 => Phase::Before,
            2..45 => Phase::WarmUp,
            45..55 => Phase::Rest,
            55..170 => Phase::Main,
            _ => Phase::After,
        };
        let sample = serde_json::json!({
            "kind": "sample", "at": at, "phase": phase.name(), "server": of(at, phase),
            "clients": {
                "p50_us": 300, "p99_us": 2000, "max_us": 9000, "errors": 0,
                "lives": { "echo": at }, "transports": { "TLS": at }, "ends": {},
            },
        });
        lines += &format!("{sample}\n");
    }
    lines += "{\"kind\":\"end\",\"closed\":0,\"aborted\":0}\n";
    Record::read(&lines).expect("a record")
}

/// What a good server says.
fn sound(at: u64, phase: Phase) -> serde_json::Value {
    let busy = u64::from(matches!(phase, Phase::WarmUp | Phase::Main));
    let noise = at * 7919 % 13;
    serde_json::json!({
        "pool": 1_000_000, "heap_untold": 2_000_000 + busy * noise * 10_000,
        "rss_untold": 30_000_000 + busy * noise * 10_000, "budget": busy * noise, "rss": 30_000_000 + busy * noise * 100_000, "heap": 2_000_000 + busy * noise * 100_000,
        "fds": 20 + busy * (80 + noise), "threads": 5, "connections": busy * (90 + noise),
        "topics": busy * 10, "subscriptions": busy * 40, "queue_bytes": busy * noise * 1000,
        "memory": busy * noise * 1000, "opened": at, "closed": { "1000 Peer": at },
        "rejected": {}, "rejected_in_all": 0, "received": at, "sent": at,
    })
}

/// A good server but for one figure.
fn but(name: &'static str, of: impl Fn(u64, u64, Phase) -> u64) -> Record {
    record(move |at, phase| {
        let mut server = sound(at, phase);
        server[name] = of(server[name].as_u64().expect("a number"), at, phase).into();
        server
    })
}

fn failed(record: &Record) -> Vec<String> {
    judge(record).into_iter().filter(|check| !check.passed).map(|check| check.what).collect()
}

#[test]
fn sound_server_passes_every_check() {
    assert_eq!(failed(&record(sound)), [""; 0]);
}

#[test]
fn kilobyte_of_each_connection_is_found() {
    // 20 connections a second.
    let failed = failed(&but("heap_untold", |heap, at, _| heap + at * 20 * 1024));
    assert_eq!(
        failed,
        ["the heap holds no more than after the warm-up once the clients have left"]
    );
}

#[test]
fn growth_that_ends_with_the_clients_is_found() {
    let grows = |value, at, phase| if phase == Phase::Main { value + at * 600_000 } else { value };
    for name in ["heap_untold", "rss_untold"] {
        assert_eq!(failed(&but(name, grows)).len(), 1, "{name}");
    }
    let grows = |value, at, phase| if phase == Phase::Main { value + 10 * at } else { value };
    assert_eq!(failed(&but("fds", grows)).len(), 1);
}

#[test]
fn descriptor_and_gauges_that_stay_are_found() {
    let kept = |value, _, phase| if phase == Phase::After { value + 1 } else { value };
    for name in [["fds"].as_slice(), &GAUGES].concat() {
        assert_eq!(failed(&but(name, kept)).len(), 1, "{name}");
    }
}

#[test]
fn memory_beyond_its_bound_is_found() {
    let peak = |value, at, _| if at == 100 { 200_000_000 } else { value };
    assert_eq!(
        failed(&but("rss", peak)),
        ["resident memory stays within 1.2 × the budget + 64 MiB"]
    );
}

#[test]
fn errors_and_a_missing_end_are_found() {
    let mut found = record(sound);
    found.errors.push("echo over TLS: closed".to_owned());
    found.end = None;
    assert_eq!(failed(&found).len(), 2);
}

#[test]
fn page_tells_the_verdict_and_draws_every_line() {
    let page = page(&record(sound));
    for wanted in
        ["nothing is kept", "--minutes 3 --seed 1", "1000 Peer", "prefers-color-scheme: dark"]
    {
        assert!(page.contains(wanted), "{wanted}");
    }
    // Those of latency are cut by the rest.
    assert_eq!(page.matches("<polyline").count(), 13);
    assert_eq!(page.matches("role=\"img\" aria-label=\"").count(), 5);
    assert!(!page.contains("NaN") && !page.contains("http://"));
    let failed = super::page(&but("fds", |value, at, _| value + 10 * at));
    assert!(failed.contains("checks failed") && failed.contains("FAIL"));
}

#[test]
fn lines_that_are_not_of_a_soak_are_named() {
    assert!(Record::read("").is_err());
    assert!(
        Record::read("{\"kind\":\"soak\"}\n{\"kind\":")
            .err()
            .is_some_and(|it| it.contains("line 2"))
    );
}
