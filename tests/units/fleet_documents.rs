//! The documents of a fleet: what they set, every fault at once, and their schema.

use std::collections::{BTreeMap, BTreeSet};

use api_key_rotation::config::{
    Config, Document, Fleet, Form, SECRET_SETTINGS, SecretConfig, fleet_schema,
};
use serde_json::{Value, json};

use crate::json_schema::check;
use crate::markdown::repository;

const ONE: &str = "rotation/fleet-1";
const TWO: &str = "rotation/fleet-2";

/// Returns the settings of a fleet, with these changes.
fn config(changes: &[(&str, &str)]) -> Config {
    let mut variables = BTreeMap::from([
        (
            "FLEET_CONFIG_SECRET_IDS",
            "rotation/fleet-1,rotation/fleet-2",
        ),
        ("DOPPLER_ALLOWED", "shop/prd,partner-*/prd"),
        ("PROBE_ALLOWED", "*.example.com"),
        ("DOPPLER_TOKEN_SECRET_ID", "rotation/token"),
    ]);
    variables.extend(changes.iter().copied());
    let config = Config::read(|name| variables.get(name).map(ToString::to_string));
    config.unwrap_or_else(|error| panic!("{error}"))
}

fn read(texts: &[&str]) -> Result<Fleet, String> {
    let documents = [ONE, TWO].into_iter().zip(texts);
    let documents: Vec<_> = documents.map(|(id, text)| Document { id, text }).collect();
    Fleet::parse(&documents, &config(&[])).map_err(|error| error.to_string())
}

/// Reads a document with these members.
fn members(members: &Value) -> Result<Fleet, String> {
    read(&[&json!({ "members": members }).to_string()])
}

/// Returns the faults without the document's id, by their place.
#[track_caller]
fn faults(result: Result<Fleet, String>) -> Vec<String> {
    let error = result.expect_err("the document is faulty");
    error.lines().map(ToOwned::to_owned).collect()
}

/// Returns the value of a setting in a document that is the same as this text of a variable.
fn in_document(form: Form, text: &str) -> Value {
    match form {
        Form::List(_) => text.split(',').map(str::trim).collect(),
        Form::Period | Form::Url => text.into(),
    }
}

/// Whether a member and a function of one secret accept or refuse a text alike, with the same result.
#[test]
fn member_and_environment_read_alike() {
    let texts = [
        "",
        "a1b2c3",
        "a1b2c3,d4e5f6",
        "a1b2c3 , a1b2c3",
        "a1/prod",
        "shop/prd/KEY",
        "shop/KEY",
        "2m",
        "90s",
        "1d 12h",
        "366d",
        "7",
        "https://api.example.com/health",
        "http://api.example.com",
        "https://user:p@api.example.com",
        "shop/prd/PATH",
        "x,y,z,1,2,3,4,5,6,7,8",
    ];
    for setting in SECRET_SETTINGS {
        for text in texts.into_iter().filter(|text| !text.is_empty()) {
            let variables = [
                ("SECRET_ID", "s"),
                ("DOPPLER_TOKEN_SECRET_ID", "t"),
                (setting.variable, text),
            ];
            let variables: BTreeMap<_, _> = variables.into();
            let by_variable = Config::read(|name| variables.get(name).map(ToString::to_string));
            let value = in_document(setting.form, text);
            let by_field = members(&json!({ "s": { setting.field: value } }));
            match (by_variable, by_field) {
                (Ok(config), Ok(fleet)) => {
                    let member: &SecretConfig = fleet.member("s").expect("it is a member");
                    assert_eq!(*member, config.secret, "{} {text}", setting.field);
                }
                (Err(_), Err(_)) => {}
                (variable, field) => {
                    panic!("{} {text}: {variable:?} {field:?}", setting.field)
                }
            }
        }
    }
}

/// Whether a member may name this config with this value of `DOPPLER_ALLOWED`.
fn is_allowed(pattern: &str, config_path: &str) -> bool {
    let target = format!("{config_path}/KEY");
    let text = json!({ "members": { "s": { "dopplerTargets": [target] } } }).to_string();
    let documents = [Document {
        id: ONE,
        text: &text,
    }];
    Fleet::parse(&documents, &config(&[("DOPPLER_ALLOWED", pattern)])).is_ok()
}

/// Returns every text of 1 to 4 of these letters.
fn texts_of(letters: &str) -> Vec<String> {
    let mut texts = vec![String::new()];
    let mut of_length = texts.clone();
    for _ in 0..4 {
        let longer = |text: &String| {
            let text = text.clone();
            letters.chars().map(move |letter| format!("{text}{letter}"))
        };
        of_length = of_length.iter().flat_map(longer).collect();
        texts.extend(of_length.clone());
    }
    texts.split_off(1)
}

/// Whether a pattern matches by its definition: each `*` stands for at least one letter.
fn matches_by_definition(pattern: &str, text: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(rest) => (1..=text.len()).any(|taken| matches_by_definition(rest, &text[taken..])),
        None => match pattern.chars().next() {
            Some(letter) => text
                .strip_prefix(letter)
                .is_some_and(|text| matches_by_definition(&pattern[1..], text)),
            None => text.is_empty(),
        },
    }
}

#[test]
fn patterns_match_by_definition() {
    for pattern in texts_of("ab*") {
        for text in texts_of("ab") {
            let expected = matches_by_definition(&pattern, &text);
            let path = format!("c/{text}");
            assert_eq!(
                is_allowed(&format!("c/{pattern}"), &path),
                expected,
                "{pattern} {text}"
            );
        }
    }
    // A wildcard does not pass from the project to the config.
    for (pattern, path, expected) in [
        ("a*/b*", "ab/bb", true),
        ("a*/b*", "ab/ab", false),
        ("*/b", "a/b", true),
        ("*b/b", "aab/b", true),
        ("*b/b", "ab/bb", false),
    ] {
        assert_eq!(is_allowed(pattern, path), expected, "{pattern} {path}");
    }
}

/// Many wildcards and a long text cost no more time than their lengths. (With backtracking past the
/// last wildcard, this test would not end.)
#[test]
fn many_wildcards_match_in_bounded_time() {
    let project = "a".repeat(200);
    let pattern = format!("{}b/prd", "*a".repeat(30));
    assert!(!is_allowed(&pattern, &format!("{project}/prd")));
    assert!(is_allowed(
        &format!("{}/prd", "*a".repeat(30)),
        &format!("{project}/prd")
    ));
}

/// The parts of a target have at most 200 characters.
#[test]
fn longer_parts_of_targets_are_refused() {
    let (longest, longer) = ("a".repeat(200), "a".repeat(201));
    let parse = |target: String| members(&json!({ "s": { "dopplerTargets": [target] } }));
    for target in [
        format!("{longer}/prd/KEY"),
        format!("shop/{longer}/KEY"),
        format!("shop/{longer}/prd/KEY"),
    ] {
        let faults = faults(parse(target)).join("\n");
        let words = "that does not consist of at most 200 letters, digits, '-' and '_'";
        assert!(faults.contains(words), "{faults}");
    }
    assert!(is_allowed("*/*", &format!("{longest}/{longest}")));
}

/// A field is the variable's name in camelCase, so that one table of the pages describes both.
#[test]
fn field_is_variable_in_camel_case() {
    for setting in SECRET_SETTINGS {
        let mut words = setting.variable.split('_').map(str::to_ascii_lowercase);
        let first = words.next().unwrap_or_default();
        let name = words.fold(first, |name, word| {
            let (initial, rest) = word.split_at(1);
            name + &initial.to_ascii_uppercase() + rest
        });
        assert_eq!(setting.field, name);
    }
}

#[test]
fn member_precedes_defaults_and_environment() {
    let text = json!({
        "$schema": "fleet.schema.json",
        "defaults": { "gracePeriod": "2h", "usagePlanIds": ["a1"] },
        "members": { "a": { "gracePeriod": "3h", "usagePlanIds": [] }, "b": {} },
    });
    let documents = [Document {
        id: ONE,
        text: &text.to_string(),
    }];
    let fleet = Fleet::parse(&documents, &config(&[("QUARANTINE_PERIOD", "9d")])).expect("valid");
    let hours = |name| {
        let member = fleet.member(name).expect("it is a member");
        [member.grace_period, member.quarantine_period].map(|period| period.as_secs() / 3600)
    };
    assert_eq!(hours("a"), [3, 9 * 24]);
    assert_eq!(hours("b"), [2, 9 * 24]);
    let plans = |name| {
        fleet
            .member(name)
            .expect("it is a member")
            .usage_plans
            .clone()
    };
    assert_eq!((plans("a"), plans("b")), (vec![], vec!["a1".to_owned()]));
    assert_eq!(fleet.member("A"), None, "the name is exact");
}

/// Every fault of every document is reported at once, with its place, and without any value.
#[test]
fn every_fault_is_reported_without_value() {
    let token = "dp.st.prd.0123456789012345678901234567890123456789";
    let first = json!({
        "defaults": { "dopplerTargets": ["shop/prd/KEY"], "gracePeriod": token },
        "members": {
            "a": { "usagePlanIds": "a1", "probeUrl": 7, "quarantinePeriod": null },
            "b": { "stageKeys": ["a1/prod", 7], token: "x" },
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:c-AbCdEf": {},
            "d": [],
            token: { "colour": token },
        },
        "more": {},
    });
    let second =
        r#"{"members": {"a": {}, "x": {"gracePeriod": "1h", "gracePeriod": "2h"}, "x": {}}}"#;
    let found = faults(read(&[&first.to_string(), second]));
    let all = found.join("\n");
    assert!(!all.contains("0123456789"), "{all}");
    for part in [
        "rotation/fleet-1: more is unknown",
        "rotation/fleet-1: defaults.dopplerTargets cannot be a default",
        "rotation/fleet-1: defaults.gracePeriod is not a duration",
        r#"rotation/fleet-1: members["a"].usagePlanIds is not a list of strings"#,
        r#"rotation/fleet-1: members["a"].probeUrl is not a string"#,
        r#"rotation/fleet-1: members["a"].quarantinePeriod is not a string"#,
        r#"rotation/fleet-1: members["b"].stageKeys is not a list of strings"#,
        r#"members["arn:aws:secretsmanager:eu-west-1:123456789012:secret:c-AbCdEf"] is not the name"#,
        r#"rotation/fleet-1: members["d"] is not a JSON object"#,
        ".colour is not a setting",
        r#"rotation/fleet-2: members["a"] is already in rotation/fleet-1"#,
        r#"rotation/fleet-2: members has "x" twice"#,
    ] {
        assert!(all.contains(part), "{part} is not in\n{all}");
    }
}

/// A fault of the defaults is that of the defaults, and not of each member too.
#[test]
fn fault_of_defaults_is_reported_once() {
    let defaults = |defaults: Value| {
        let members = json!({ "a": {}, "b": {} });
        let document = json!({ "defaults": defaults, "members": members });
        faults(read(&[&document.to_string()]))
    };
    let found = defaults(json!({ "probeUrl": "https://evil.org" }));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("defaults.probeUrl has a host outside PROBE_ALLOWED"));
    let found = defaults(json!({ "dopplerTargets": ["other/prd/KEY"] }));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("defaults.dopplerTargets cannot be a default"));
    let own = json!({
        "defaults": { "probeUrl": "https://evil.org" },
        "members": { "a": { "probeUrl": "https://evil.org" }, "b": {} },
    });
    let found = faults(read(&[&own.to_string()]));
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[1].contains(r#"members["a"].probeUrl has a host"#));
}

/// The default probe applies to each member without one of its own.
#[test]
fn default_probe_applies_to_members() {
    let document = json!({
        "defaults": { "probeUrl": "https://api.example.com/x" },
        "members": { "a": {}, "b": { "probeUrl": "https://b.example.com/x" } },
    });
    let fleet = read(&[&document.to_string()]).expect("valid");
    for (name, host) in [("a", "api.example.com"), ("b", "b.example.com")] {
        let url = fleet.member(name).and_then(|one| one.probe_url.clone());
        assert_eq!(url.expect("it has one").host_str(), Some(host));
    }
}

/// The number of a faulty item is its place in the list, although repeated items are left out.
#[test]
fn number_of_item_counts_repeated_items() {
    let targets = ["shop/prd/KEY", "shop/prd/KEY", "other/prd/KEY"];
    let found = faults(members(&json!({ "a": { "dopplerTargets": targets } })));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("item 3 is outside DOPPLER_ALLOWED"));
}

/// A member of two documents is not reported as the owner of its own targets.
#[test]
fn member_of_two_documents_is_one_fault() {
    let document = json!({ "members": { "a": { "dopplerTargets": ["shop/prd/KEY"] } } });
    let document = document.to_string();
    let found = faults(read(&[&document, &document]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].ends_with("is already in rotation/fleet-1"));
}

#[test]
fn text_other_than_document_is_refused() {
    for (text, fault) in [
        ("", "it is not a JSON object"),
        ("[]", "it is not a JSON object"),
        ("{}", "members is missing"),
        (r#"{"members": 7}"#, "members is not a JSON object"),
        (
            r#"{"members": {}, "members": {}}"#,
            r#"has "members" twice"#,
        ),
        (r#"{"members": {}} x"#, "it is not a JSON object"),
    ] {
        let found = faults(read(&[text]));
        assert!(found[0].contains(fault), "{text}: {found:?}");
    }
    assert_eq!(
        read(&[r#"{"members": {}}"#])
            .expect("valid")
            .members()
            .count(),
        0
    );
}

/// A pattern matches whole names: `*` stands for no `/` and no `.`.
#[test]
fn targets_and_probes_are_limited_by_patterns() {
    for (target, is_allowed) in [
        ("shop/prd/KEY", true),
        ("partner-a/prd/KEY", true),
        ("partner-a/b/prd/KEY", true),
        ("partner-/prd/KEY", false),
        ("shop/prd_eu/KEY", false),
        ("myshop/prd/KEY", false),
        ("partner-a/stg/KEY", false),
    ] {
        let result = members(&json!({ "a": { "dopplerTargets": [target] } }));
        assert_eq!(result.is_ok(), is_allowed, "{target}: {result:?}");
    }
    for (url, is_allowed) in [
        ("https://api.example.com/x", true),
        ("https://API.example.com", true),
        ("https://example.com", false),
        ("https://a.b.example.com", false),
        ("https://api.example.com:8443", false),
        ("https://api.example.com.evil.org", false),
        ("https://evil.org/api.example.com", false),
        ("https://evil.org#.example.com", false),
    ] {
        let result = members(&json!({ "a": { "probeUrl": url } }));
        assert_eq!(result.is_ok(), is_allowed, "{url}: {result:?}");
    }
}

/// A target that the environment of one path writes is that of another path, too.
#[test]
fn target_of_two_members_is_refused() {
    let twice = json!({
        "a": { "dopplerTargets": ["shop/prd/KEY"] },
        "b": { "dopplerTargets": ["shop/e/prd/KEY"] },
    });
    let found = faults(members(&twice));
    assert!(
        found[0].ends_with("item 1 is also a target of a"),
        "{found:?}"
    );
}

#[test]
fn token_and_documents_cannot_be_members() {
    for (name, fault) in [
        ("rotation/token", "holds the Doppler token"),
        ("rotation/fleet-2", "holds a document of this fleet"),
    ] {
        let found = faults(members(&json!({ name: {} })));
        assert!(found[0].contains(fault), "{found:?}");
    }
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rotation/token-AbCdEf";
    let text = json!({ "members": { "rotation/token": {}, "rotation": {} } }).to_string();
    let documents = [Document {
        id: ONE,
        text: &text,
    }];
    let error = Fleet::parse(&documents, &config(&[("DOPPLER_TOKEN_SECRET_ID", arn)]));
    assert_eq!(error.expect_err("it holds the token").0.len(), 1);
}

/// Settings of a fleet need each other, and do not go with those of one secret.
#[test]
fn fleet_settings_are_checked_together() {
    let read = |variables: &[(&'static str, &'static str)]| {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        let read = Config::read(|name| variables.get(name).map(ToString::to_string));
        read.map_err(|error| error.to_string())
    };
    let documents = ("FLEET_CONFIG_SECRET_IDS", "a");
    for (variables, fault) in [
        (
            vec![documents, ("SECRET_ID", "s")],
            "cannot be set together with SECRET_ID",
        ),
        (
            vec![documents, ("USAGE_PLAN_IDS", "a1")],
            "SECRET_ID is required because USAGE_PLAN_IDS",
        ),
        (
            vec![documents, ("DOPPLER_TOKEN_SECRET_ID", "a")],
            "is also in FLEET_CONFIG_SECRET_IDS",
        ),
        (
            vec![documents, ("FLEET_DEFAULT", "all")],
            "is neither refuse nor inherit",
        ),
        (
            vec![documents, ("DOPPLER_ALLOWED", "shop")],
            "item 1 does not have the form project/config",
        ),
        (
            vec![documents, ("PROBE_ALLOWED", "https://a")],
            "item 1 is not the name of a host",
        ),
        (
            vec![
                documents,
                ("PROBE_ALLOWED", "*.Execute-API.eu-west-1.amazonaws.com"),
            ],
            "item 1 has a * before execute-api or in two labels in a row",
        ),
        (
            vec![
                documents,
                (
                    "PROBE_ALLOWED",
                    "a.b,a1*.execute-api.eu-west-1.amazonaws.com",
                ),
            ],
            "item 2 has a * before execute-api",
        ),
        (
            vec![documents, ("PROBE_ALLOWED", "*.*.eu-west-1.amazonaws.com")],
            "use the API's own host, as in a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
        ),
        (
            vec![("FLEET_DEFAULT", "inherit")],
            "has no effect without FLEET_CONFIG_SECRET_IDS",
        ),
        (
            vec![("DOPPLER_ALLOWED", "a/b")],
            "has no effect without FLEET_CONFIG_SECRET_IDS",
        ),
        (
            vec![("PROBE_ALLOWED", "a.b")],
            "has no effect without FLEET_CONFIG_SECRET_IDS",
        ),
    ] {
        let error = read(&variables).expect_err(fault);
        assert!(error.contains(fault), "{fault} is not in {error}");
    }
    read(&[documents, ("FLEET_DEFAULT", "refuse")]).expect("valid");
}

/// The published schema is that of the settings. `SCHEMA=write` writes it.
#[test]
fn published_schema_is_that_of_settings() {
    let path = repository().join("docs/fleet.schema.json");
    let made = format!("{:#}\n", fleet_schema());
    if std::env::var("SCHEMA").is_ok_and(|value| value == "write") {
        std::fs::write(&path, &made).expect("it can be written");
    }
    let published = std::fs::read_to_string(path).expect("it can be read");
    assert_eq!(
        published, made,
        "run SCHEMA=write cargo test --workspace --test units fleet_documents"
    );
}

/// The schema accepts what the function accepts, and refuses unknown fields and wrong types.
#[test]
fn schema_and_function_agree() {
    let schema = fleet_schema();
    let is_valid = |text: &str| {
        let document: Value = serde_json::from_str(text).expect("JSON");
        check(&schema, &schema, &document, "").is_ok()
    };
    let mut everything = json!({});
    for setting in SECRET_SETTINGS {
        everything[setting.field] = in_document(setting.form, setting.example);
    }
    everything["dopplerTargets"] = json!(["shop/prd/KEY"]);
    everything["probeUrl"] = json!("https://api.example.com/health");
    for (members, is_right) in [
        (json!({ "a": everything }), true),
        (json!({ "a": {} }), true),
        (json!({ "a": { "colour": "red" } }), false),
        (json!({ "a": { "gracePeriod": 7 } }), false),
        (json!({ "a": { "gracePeriod": "soon" } }), false),
        (json!({ "a": { "usagePlanIds": "a1" } }), false),
        (json!({ "a": { "usagePlanIds": ["a-1"] } }), false),
        (json!({ "a b": {} }), false),
        (json!({ "a": null }), false),
    ] {
        let text = json!({ "members": members }).to_string();
        assert_eq!(is_valid(&text), is_right, "{text}");
        assert_eq!(read(&[&text]).is_ok(), is_right, "{text}");
    }
    let names: BTreeSet<_> = SECRET_SETTINGS
        .iter()
        .map(|setting| setting.field)
        .collect();
    assert_eq!(names.len(), SECRET_SETTINGS.len());
}
