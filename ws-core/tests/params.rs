//! The parameters of an offer or a response (RFC 6455 §9.1).

use std::ops::RangeInclusive;

use ws_core::extension::{NegotiationError, Params};

fn number<T>(value: &str, range: RangeInclusive<T>) -> Result<T, NegotiationError>
where
    T: TryFrom<u64> + PartialOrd + std::fmt::Display,
{
    let params = Params::new().with("level", value);
    params.iter().next().unwrap().number(range)
}

#[test]
fn number_is_digits_alone_within_the_range() {
    assert_eq!(number("1", 1..=255_u8).unwrap(), 1);
    assert_eq!(number("255", 1..=255_u8).unwrap(), 255);
    assert_eq!(number("0", 0..=0_u8).unwrap(), 0);
    assert_eq!(number("18446744073709551615", 0..=u64::MAX).unwrap(), u64::MAX);
    for value in [
        "",
        "0",
        "256",
        "+1",
        "-1",
        "01",
        "001",
        "00",
        " 1",
        "1 ",
        "1.0",
        "1e1",
        "0x1",
        "ten",
        "%",
        "١",
        "99999999999999999999999999",
    ] {
        let error = number(value, 1..=255_u8).unwrap_err();
        assert_eq!(error.parameter_name(), Some("level"), "{value:?}");
        assert_eq!(error.to_string(), "parameter level: a number from 1 to 255", "{value:?}");
    }
    for value in ["00", "+0", "-0", "-1"] {
        number(value, -5..=5_i64).unwrap_err();
    }
}

#[test]
fn number_of_a_parameter_without_a_value_is_refused() {
    let params = Params::new().with_flag("level");
    let error = params.iter().next().unwrap().number(0..=9_u8).unwrap_err();
    assert_eq!(error.to_string(), "parameter level: has no value");
}

#[test]
fn parameters_are_found_by_name_and_strangers_refused() {
    let params = Params::new().with_flag("strict").with("by", 3);
    let [by, level, strict] = params.get(["by", "level", "strict"]).unwrap();
    assert_eq!(by.unwrap().number(1..=9_u8).unwrap(), 3);
    assert!(level.is_none());
    strict.unwrap().no_value().unwrap();
    let error = by.unwrap().no_value().unwrap_err();
    assert_eq!(error.to_string(), "parameter by: takes no value");
}

#[test]
fn first_unknown_or_repeated_parameter_is_named() {
    let params = Params::new().with("by", 3).with_flag("by").with_flag("level");
    for (error, expected) in [
        (params.get(["level", "by"]).unwrap_err(), "parameter by: repeated"),
        (params.get(["level"]).unwrap_err(), "parameter by: unknown"),
        (params.refuse_any().unwrap_err(), "parameter by: unknown"),
    ] {
        assert_eq!(error.to_string(), expected);
    }
    Params::new().refuse_any().unwrap();
    assert_eq!(Params::new().get(["by"]).unwrap(), [None]);
}
