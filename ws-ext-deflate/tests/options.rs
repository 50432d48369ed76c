//! Options out of their range count as the nearest inside.

use ws_ext_deflate::Deflate;

// RT-24
#[test]
fn rt_24_every_value_of_every_option_is_taken_as_the_nearest_in_its_range() {
    let usual = Deflate::default;
    for value in 0..=u8::MAX {
        assert_eq!(usual().level(value), usual().level(value.clamp(1, 9)));
        let window = value.clamp(8, 15);
        assert_eq!(usual().server_max_window_bits(value), usual().server_max_window_bits(window));
        assert_eq!(usual().client_max_window_bits(value), usual().client_max_window_bits(window));
    }
    assert_ne!(usual().level(1), usual().level(9));
    assert_ne!(usual().server_max_window_bits(8), usual().server_max_window_bits(15));
    assert_ne!(usual().client_max_window_bits(8), usual().client_max_window_bits(15));
}
