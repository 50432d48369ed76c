//! The contract of extensions, by the kit of `ws-core`.
#![allow(clippy::unwrap_used)]

use ws_core::testkit::{Kit, Report, Rule, check};
use ws_ext_deflate::Deflate;

fn everything(report: &Report) {
    assert_eq!(report.passed(), Rule::ALL, "{report}");
}

#[test]
fn defaults_keep_the_contract() {
    let report = check(&Deflate::default()).unwrap();
    everything(&report);
    assert_eq!(report.configurations(), 2, "the window of the default and the fallback");
}

#[test]
fn every_option_keeps_the_contract() {
    let fast_and_small =
        Deflate::default().level(1).server_max_window_bits(8).client_max_window_bits(8);
    let without_context = Deflate::default()
        .server_no_context_takeover(true)
        .client_no_context_takeover(true)
        .threshold(0);
    let large = Deflate::default().level(9).server_max_window_bits(15).client_max_window_bits(15);
    for options in [fast_and_small, without_context, large] {
        everything(&check(&options).unwrap());
    }
}

#[test]
fn ends_with_different_options_keep_the_contract() {
    let thrifty =
        Deflate::default().server_max_window_bits(9).client_no_context_takeover(true).threshold(0);
    let usual = Deflate::default();
    everything(&Kit::between(&thrifty, &usual).seed(1).run().unwrap());
    everything(&Kit::between(&usual, &thrifty).seed(2).run().unwrap());
}
