//! Options are checked when they are built.

use ws_ext_deflate::{Deflate, OptionsError};

// RT-24
#[test]
fn rt_24_every_value_of_every_option_builds_or_is_named() {
    for value in 0..=u8::MAX {
        let windows = (8..=15).contains(&value);
        let levels = (1..=9).contains(&value);
        for (built, fine, error) in [
            (Deflate::builder().level(value).build(), levels, OptionsError::Level(value)),
            (
                Deflate::builder().server_max_window_bits(value).build(),
                windows,
                OptionsError::ServerMaxWindowBits(value),
            ),
            (
                Deflate::builder().client_max_window_bits(value).build(),
                windows,
                OptionsError::ClientMaxWindowBits(value),
            ),
        ] {
            assert_eq!(built.err(), (!fine).then_some(error));
            assert!(error.to_string().contains(&value.to_string()));
        }
    }
}

#[test]
fn builder_without_options_builds_the_default() {
    assert_eq!(Deflate::builder().build(), Ok(Deflate::default()));
}
