//! The contract of extensions, tried on this one.

use MODULE::TYPE;

#[test]
fn contract_is_kept() {
    if let Err(failure) = ws_core::testkit::check(&TYPE) {
        panic!("{failure}");
    }
}
