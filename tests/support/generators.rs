//! Generators of texts: arbitrary ones, JSON, and valid ones with a few edits, which reach further
//! than random bytes.
//!
//! Values consist of letters of which no message contains four in a row, so that a quoted value is
//! detected.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// The seed of every generator.
pub(crate) const SEED: &[u8; 32] = b"the seed of every generator here";

/// Returns a runner that checks a property for this many inputs. Failing inputs must be stored as
/// tests manually.
pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2_000,
        ..Config::default()
    };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, SEED))
}

/// Whether only values contain this letter.
fn is_of_a_value(letter: char) -> bool {
    "qxzjQXZJ".contains(letter)
}

/// Whether `shown` contains `length` letters of a value in a row.
pub(crate) fn shows_a_value(shown: &str, length: usize) -> bool {
    shown
        .split(|letter| !is_of_a_value(letter))
        .any(|run| run.len() >= length)
}

/// Generates a value of any length that services accept.
pub(crate) fn value() -> impl Strategy<Value = String> + Clone {
    "[qxzjQXZJ]{4,60}"
}

/// Generates a value in the form that the function generates.
pub(crate) fn key_value() -> impl Strategy<Value = String> + Clone {
    "[qxzjQXZJ]{40}"
}

/// Generates bytes that need not be UTF-8, in lossy form.
pub(crate) fn noise() -> impl Strategy<Value = String> + Clone {
    let bytes = vec(any::<u8>(), 0..60);
    prop_oneof![
        bytes.prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        vec(any::<char>(), 0..30).prop_map(String::from_iter),
        "[ -~]{0,60}",
        value(),
        select(vec![
            "",
            " ",
            "null",
            "\0",
            "\u{feff}",
            "\u{202e}",
            "-",
            "18446744073709551616",
            "9999-12-31T23:59:59Z",
        ])
        .prop_map(ToOwned::to_owned),
    ]
}

/// Generates white space between JSON tokens.
pub(crate) fn space() -> impl Strategy<Value = &'static str> + Clone {
    select(vec!["", "", "", " ", "\n\t", "\r\n  "])
}

/// Returns a text as a JSON string: in the usual form, or with every character escaped.
pub(crate) fn quoted(text: &str, escaped: bool) -> String {
    if !escaped {
        return serde_json::Value::from(text).to_string();
    }
    let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
    format!("\"{}\"", units.collect::<String>())
}

/// Generates a JSON string of any text.
pub(crate) fn string() -> impl Strategy<Value = String> + Clone {
    (noise(), any::<bool>()).prop_map(|(text, escaped)| quoted(&text, escaped))
}

/// Generates any JSON as text.
pub(crate) fn json() -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        3 => string(),
        1 => value().prop_map(|value| quoted(&value, false)),
        1 => any::<i64>().prop_map(|number| number.to_string()),
        1 => any::<f64>().prop_map(|number| serde_json::Value::from(number).to_string()),
        2 => select(vec![
            "null", "true", "false", "0", "-0.0", "1e999", "-1e-999", "18446744073709551615", "253402300800", "-1e12",
            "12345678901234567890123456789012345678901234567890", "[]", "{}", "\"\"", "\"\\ud800\"",
        ])
        .prop_map(ToOwned::to_owned),
    ];
    let nested = leaf.prop_recursive(4, 24, 5, |inner| {
        let array = vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(",")));
        let object = vec((string(), space(), inner), 0..5).prop_map(|fields| object(&fields));
        prop_oneof![array, object]
    });
    let deep = (1..300_usize).prop_map(|depth| "[".repeat(depth) + &"]".repeat(depth));
    prop_oneof![30 => nested, 1 => deep].boxed()
}

/// Returns a JSON object. Each field is a name in JSON, the white space around its colon, and a
/// value in JSON.
pub(crate) fn object(fields: &[(String, &str, String)]) -> String {
    let field = |(name, space, value): &(String, &str, String)| {
        format!("{space}{name}{space}:{space}{value}{space}")
    };
    format!(
        "{{{}}}",
        fields.iter().map(field).collect::<Vec<_>>().join(",")
    )
}

/// A change to a text.
#[derive(Debug, Clone)]
pub(crate) enum Edit {
    Insert(Index, Vec<u8>),
    Replace(Index, u8),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
}

impl Edit {
    fn apply(&self, text: &mut Vec<u8>) {
        let place = |index: &Index, text: &[u8]| index.index(text.len() + 1);
        match self {
            Self::Insert(index, bytes) => {
                let at = place(index, text);
                text.splice(at..at, bytes.iter().copied());
            }
            Self::Replace(index, byte) => {
                let at = place(index, text);
                if let Some(old) = text.get_mut(at) {
                    *old = *byte;
                }
            }
            Self::Remove(index, length) => {
                let at = place(index, text);
                text.drain(at..text.len().min(at + length));
            }
            Self::Repeat(index, length) => {
                let at = place(index, text);
                let piece = text[at..text.len().min(at + length)].to_vec();
                text.splice(at..at, piece);
            }
            Self::Cut(index) => text.truncate(place(index, text)),
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> + Clone {
    let token = prop_oneof![
        select(vec![
            "\"",
            "\\",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            " ",
            "\0",
            "\\u0000",
            "\\ud800",
            "\u{feff}",
            "é",
            "null",
            "1e999",
            "-",
            "/",
            ".",
            "apiKey",
            "Superseded at ",
            "Disabled at ",
            "dp.st.",
            "arn:aws:secretsmanager:",
            "9999-12-31T23:59:59Z",
        ])
        .prop_map(|token| token.as_bytes().to_vec()),
        vec(any::<u8>(), 1..4),
        value().prop_map(String::into_bytes),
    ];
    let at = any::<Index>;
    prop_oneof![
        3 => (at(), token).prop_map(|(at, token)| Edit::Insert(at, token)),
        2 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        2 => (at(), 1..8_usize).prop_map(|(at, length)| Edit::Remove(at, length)),
        2 => (at(), 1..40_usize).prop_map(|(at, length)| Edit::Repeat(at, length)),
        1 => at().prop_map(Edit::Cut),
    ]
}

/// Generates a text with up to two edits, as bytes.
pub(crate) fn edited_bytes(
    text: impl Strategy<Value = String> + Clone,
) -> impl Strategy<Value = Vec<u8>> + Clone {
    (text, vec(edit(), 0..=2)).prop_map(|(text, edits)| {
        let mut bytes = text.into_bytes();
        for edit in &edits {
            edit.apply(&mut bytes);
        }
        bytes
    })
}

/// Generates a text with up to two edits, in lossy form.
pub(crate) fn edited(
    text: impl Strategy<Value = String> + Clone,
) -> impl Strategy<Value = String> + Clone {
    edited_bytes(text).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}
