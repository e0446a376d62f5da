// SPDX-License-Identifier: Apache-2.0
#![allow(unreachable_pub, reason = "the macros declare public items")]

use super::*;

choices! {
    /// Colours.
    pub enum Colour prefix "COLOUR_" {
        /// Red.
        Red = "RED",
        /// Deep blue.
        DeepBlue = "DEEP_BLUE",
    }
}

options! {
    /// Options of a test.
    pub struct TestOptions {
        /// A name.
        name: String = "nobody",
        /// A time-out.
        send_timeout_ms: u64 = 3000u64,
        /// A flag.
        /// Of two lines.
        is_loud: bool = false,
        /// A colour.
        colour: Colour = Colour::Red,
    }
}

#[test]
fn defaults_come_from_the_table() {
    let options = TestOptions::default();
    assert_eq!(options.name, "nobody");
    assert_eq!(options.send_timeout_ms, 3000);
    let defaults: Vec<Value> = TestOptions::FIELDS.iter().map(|f| (f.default)()).collect();
    assert_eq!(
        defaults,
        [
            "nobody".into(),
            3000.into(),
            false.into(),
            Value::from("RED")
        ]
    );
    assert_eq!(TestOptions::FIELDS[2].doc, " A flag.\n Of two lines.\n");
}

#[test]
fn set_takes_values_by_name() {
    let mut options = TestOptions::default();
    options
        .set("send_timeout_ms", Value::Int(5))
        .expect("allowed");
    options.set("is_loud", Value::Bool(true)).expect("allowed");
    options
        .set("colour", Value::from("colour_deep_blue"))
        .expect("allowed");
    assert_eq!(
        (options.send_timeout_ms, options.is_loud, options.colour),
        (5, true, Colour::DeepBlue)
    );
    assert_eq!(options.colour.name(), "COLOUR_DEEP_BLUE");
}

#[test]
fn wrong_values_and_names_are_named() {
    let mut options = TestOptions::default();
    let error = options
        .set("send_timeout_ms", Value::Int(-1))
        .expect_err("negative");
    assert_eq!(error.code(), ErrorCode::InvalidOption);
    assert!(
        error.to_string().contains("send_timeout_ms is -1"),
        "{error}"
    );
    let error = options
        .set("colour", Value::from("pink"))
        .expect_err("no such colour");
    assert!(
        error.to_string().contains("one of RED DEEP_BLUE"),
        "{error}"
    );
    let error = options
        .set("send_timeout", Value::Int(1))
        .expect_err("no such option");
    assert_eq!(error.code(), ErrorCode::UnknownOption);
    assert!(
        error.to_string().contains("did you mean send_timeout_ms?"),
        "{error}"
    );
}
