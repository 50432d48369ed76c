//! Tests with the report of a run of a few lines.

use super::*;

const RUN: &str = r#"{"kind":"run","time":1790000000,"command":["bench","--quick","--picture","a.svg","--server","mine=./a {port}"],"processor":"A <fast> one","processors":2,"kernel":"6.1","system":"linux","rustc":"rustc 1.90.0","cores":"pinned","commit":null,"load_average":null,"congestion_control":"cubic","servers":[["ws-server",""],["raw","tokio 1"],["yawc","0.5.0"]]}
{"kind":"case","case":"echo-20x64x1","title":"Echo: 20 B","meaning":"It comes back.","unit":"message","raised":[]}
{"kind":"measurement","case":"echo-20x64x1","server":"raw"}
{"kind":"summary","case":"echo-20x64x1","server":"ws-server","is_cpu":true,"per_second":[1,2,3],"cost_ns":[900,1000,1500],"load_cpu_ns":null,"bytes":22,"to_best_peer":0.5,"to_raw":1.1,"latency_ns":[1,2,3],"rounds":5,"disturbed":1}
{"kind":"summary","case":"echo-20x64x1","server":"raw","is_cpu":true,"per_second":[1,2,3],"cost_ns":[800,900,1000],"load_cpu_ns":null,"bytes":26,"to_best_peer":0.4,"to_raw":1.0,"latency_ns":[1,2,3],"rounds":5,"disturbed":0}
{"kind":"failure","case":"echo-20x64x1","server":"yawc","what":"connection 3: the reply is not the text that was sent"}
{"kind":"case","case":"deflate-1k","title":"Deflate","meaning":"JSON.","unit":"message","raised":[]}
{"kind":"summary","case":"deflate-1k","server":"ws-server","is_cpu":true,"per_second":[1,2,3],"cost_ns":[900,1000,1500],"load_cpu_ns":null,"bytes":290,"to_best_peer":0.5,"to_raw":null,"latency_ns":[1,2,3],"rounds":5,"disturbed":0}
{"kind":"summary","case":"deflate-1k","server":"yawc","is_cpu":true,"per_second":[1,2,3],"cost_ns":[1900,2000,2500],"load_cpu_ns":null,"bytes":260,"to_best_peer":1.0,"to_raw":null,"latency_ns":[1,2,3],"rounds":5,"disturbed":0}
{"kind":"case","case":"idle","title":"Idle","meaning":"They rest.","unit":"connection","raised":[["max-per-ip",10016]]}
{"kind":"memory","case":"idle","server":"ws-server","looks":["open","after 1","after 20"],"bytes":[1024,2048,4096],"resident":9000000}
"#;

/// Checks that every element is closed, in order, except for void elements of HTML.
fn assert_is_well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').expect("a tag ends");
        let name = tag.split_whitespace().next().expect("a name");
        if let Some(name) = name.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "closed by </{name}>");
        } else if !tag.ends_with('/') && !["!doctype", "meta"].contains(&name) {
            open.push(name);
        }
        assert!(tag.matches('"').count().is_multiple_of(2), "{tag}");
    }
    assert_eq!(open, [""; 0]);
}

fn run() -> Run {
    Run::read(RUN).expect("a run")
}

#[test]
fn page_has_every_case_server_and_failure_and_is_well_formed() {
    let page = page(&run());
    assert_is_well_formed(&page);
    for wanted in [
        "Echo: 20 B",
        "Deflate",
        "Idle",
        "ws-server",
        "raw",
        "yawc",
        "0.5.0",
        "It comes back.",
        "the reply is not the text that was sent",
        "1.00 µs",
        "0.50 × best peer",
        "4.00 KiB",
        "max-per-ip",
        "10016",
        "A &lt;fast&gt; one",
        "rustc 1.90.0",
        "2026-09-21",
        "prefers-color-scheme: dark",
        "cargo xtask bench --quick --server 'mine=./a {port}'",
    ] {
        assert!(page.contains(wanted), "{wanted}");
    }
    assert!(!page.contains("http://") && !page.contains("https://"), "it needs nothing else");
}

#[test]
fn every_chart_says_its_figures_to_those_who_do_not_see_it() {
    let page = page(&run());
    // Three bar charts, and one of CPU time against bytes.
    assert_eq!(page.matches("role=\"img\" aria-label=\"").count(), 4);
    assert_eq!(page.matches("<table>").count(), 3 + 2);
    assert!(page.contains("yawc 2.00 µs at 260 B"));
}

#[test]
fn picture_has_the_telling_cases_and_is_small() {
    let picture = picture(&run());
    assert_is_well_formed(&picture);
    for wanted in ["Echo: 20 B", "Deflate", "Idle", "ws-server", "yawc", "2026-09-21"] {
        assert!(picture.contains(wanted), "{wanted}");
    }
    assert!(picture.len() < 150 * 1024);
}

#[test]
fn lines_that_are_not_of_a_run_are_named() {
    assert!(Run::read("").is_err());
    assert!(Run::read("{\"kind\":\"run\"}").expect_err("a failure").contains("line 1"));
    let cut = format!("{RUN}{{\"kind\":");
    assert!(Run::read(&cut).expect_err("a failure").contains("line 12"));
}
