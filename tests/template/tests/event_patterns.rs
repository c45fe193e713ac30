//! Events match a rule's pattern as documented, and an unknown operator is an error.

use serde_json::{Value, json};
use template::event_pattern::matches;

fn is_match(pattern: &Value, event: &Value) -> bool {
    matches(pattern, event).unwrap_or_else(|error| panic!("{error:#}"))
}

/// Every field of the pattern must be in the event, with one of the values.
#[test]
fn all_fields_and_any_value_must_match() {
    let pattern = json!({ "source": ["a", "b"], "detail": { "name": ["x"] } });
    for (event, expected) in [
        (
            json!({ "source": "a", "detail": { "name": "x" }, "other": 1 }),
            true,
        ),
        (
            json!({ "source": "b", "detail": { "name": ["y", "x"] } }),
            true,
        ),
        (json!({ "source": "c", "detail": { "name": "x" } }), false),
        (json!({ "source": "a", "detail": { "name": "X" } }), false),
        (json!({ "source": "a", "detail": {} }), false),
        (json!({ "source": "a" }), false),
    ] {
        assert_eq!(is_match(&pattern, &event), expected, "{event}");
    }
}

#[test]
fn prefix_and_wildcard_match_texts() {
    for (operator, text, expected) in [
        (json!({ "prefix": "arn:" }), "arn:aws", true),
        (json!({ "prefix": "arn:" }), "aarn:", false),
        (
            json!({ "wildcard": "*:function:it *" }),
            "lambda arn:function:it during x",
            true,
        ),
        (
            json!({ "wildcard": "*:function:it *" }),
            "lambda arn:function:it-2 during x",
            false,
        ),
        (json!({ "wildcard": "a*b*c" }), "a-b-b-c", true),
        (json!({ "wildcard": "a*b*c" }), "a-c-b", false),
        (json!({ "wildcard": "same" }), "same", true),
    ] {
        let pattern = json!({ "text": [operator] });
        assert_eq!(
            is_match(&pattern, &json!({ "text": text })),
            expected,
            "{pattern} {text}"
        );
    }
}

/// Also if the event lacks the field.
#[test]
fn unknown_operator_is_an_error() {
    for pattern in [
        json!({ "a": [{ "anything-but": ["x"] }] }),
        json!({ "a": [{ "prefix": { "equals-ignore-case": "x" } }] }),
        json!({ "a": "x" }),
    ] {
        assert!(matches(&pattern, &json!({})).is_err(), "{pattern}");
    }
}
