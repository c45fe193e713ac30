//! The details of notices: `docs/notices.schema.json` describes each one, and `docs/notices.md` names
//! what the schema has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use api_key_rotation::adapters::{Secret, notice_detail};
use api_key_rotation::decision::{CountedUse, Hold, Notice, Repair, SecretDescription};
use api_key_rotation::ids::{KeyId, PlanId, Target, VersionId};
use api_key_rotation::time::Day;
use serde_json::{Value, json};

use crate::json_schema::{check, texts};
use crate::markdown::{page, repository};

const VERSION: &str = "0048473f-1f74-4a7e-af39-79cd9a5a6df0";

fn at(hours: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(496_000 + hours)
}

fn key(id: &str) -> KeyId {
    KeyId::from(id)
}

fn uses(count: u64) -> Vec<CountedUse> {
    let uses = (0..count).map(|number| CountedUse {
        plan: PlanId::from("u1v2w3"),
        day: Day::of(at(24 * number)),
        requests: number + 1,
    });
    uses.collect()
}

fn promoted(version: &str, key: Option<KeyId>, superseded: Option<(KeyId, SystemTime)>) -> Notice {
    Notice::KeyPromoted {
        version: VersionId::from(version),
        key,
        superseded,
    }
}

/// Each notice, with and without what it may lack.
fn notices() -> Vec<Notice> {
    let disabled = |uses| Notice::KeyDisabled {
        key: key("d4e5f6"),
        superseded_at: at(0),
        disabled_at: at(1),
        delete_at: at(2),
        uses,
    };
    let held = |uses| Notice::KeyHeld {
        key: key("d4e5f6"),
        superseded_at: at(0),
        hold: Hold {
            uses,
            until: at(48),
            latest: at(192),
            first_day_only: false,
        },
    };
    let target = Target {
        project: "acme".to_owned(),
        environment: None,
        config: "prd".to_owned(),
        name: "PARTNER_API_KEY".to_owned(),
    };
    vec![
        promoted(VERSION, Some(key("a1b2c3")), Some((key("d4e5f6"), at(24)))),
        promoted(VERSION, Some(key("a1b2c3")), None),
        promoted(VERSION, None, Some((KeyId::hidden("SameSameSame"), at(24)))),
        promoted("a version; touch pwned", None, None),
        held(uses(1)),
        held(uses(2)),
        disabled(Vec::new()),
        disabled(uses(2)),
        Notice::KeyRevoked {
            key: key("d4e5f6"),
            superseded_at: at(0),
            revoked_at: at(3),
        },
        Notice::KeyDeleted {
            key: KeyId::hidden("SameSameSame"),
        },
        Notice::DriftRepaired {
            at: at(4),
            repairs: vec![
                Repair::CreatedKey,
                Repair::AttachedKey(key("a1b2c3"), PlanId::from("u1v2w3")),
                Repair::RestoredKey(key("a1b2c3")),
                Repair::WroteTarget(target),
            ],
        },
    ]
}

/// Fails to compile if a notice is added, so that `notices` gets it too.
fn number(notice: &Notice) -> usize {
    match notice {
        Notice::KeyPromoted { .. } => 0,
        Notice::KeyHeld { .. } => 1,
        Notice::KeyDisabled { .. } => 2,
        Notice::KeyRevoked { .. } => 3,
        Notice::KeyDeleted { .. } => 4,
        Notice::DriftRepaired { .. } => 5,
    }
}

fn detail(notice: &Notice) -> Value {
    let secret = Secret {
        arn: "arn:aws:secretsmanager:us-east-1:123456789012:secret:demo/partner-api-key-AbCdEf"
            .to_owned(),
        name: "demo/partner-api-key".to_owned(),
        description: SecretDescription::default(),
        rotation_function: None,
    };
    let detail = notice_detail(&secret, "rotation", notice);
    serde_json::from_str(&detail).expect("it is JSON")
}

/// Returns the event as a subscriber receives it, as far as the schema describes it.
fn event(notice: &Notice) -> Value {
    json!({
        "version": "0",
        "source": "api-key-rotation",
        "detail-type": notice.name(),
        "detail": detail(notice),
    })
}

fn schema() -> Value {
    let path = repository().join("docs/notices.schema.json");
    let text = std::fs::read_to_string(path).expect("it can be read");
    serde_json::from_str(&text).expect("it is JSON")
}

/// Returns the definitions of events, by their names.
fn definitions(schema: &Value) -> BTreeMap<&str, &Value> {
    let defined = schema["$defs"].as_object().expect("a mapping").iter();
    let events = defined.filter(|(name, _)| *name != "Use");
    events.map(|(name, of)| (name.as_str(), of)).collect()
}

fn fields(object: &Value) -> BTreeSet<&str> {
    let object = object.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

fn is_valid(event: &Value) -> Result<(), String> {
    let schema = schema();
    check(&schema, &schema, event, "")
}

#[test]
fn schema_describes_every_notice() {
    let notices = notices();
    let numbers: BTreeSet<_> = notices.iter().map(number).collect();
    assert_eq!(numbers, (0..6).collect(), "a notice is missing");
    for notice in &notices {
        let event = event(notice);
        is_valid(&event).unwrap_or_else(|error| panic!("{notice:?}: {error}"));
    }
    let schema = schema();
    let names: BTreeSet<_> = notices.iter().map(Notice::name).collect();
    let defined: BTreeSet<_> = definitions(&schema).into_keys().collect();
    assert_eq!(names, defined);
    let options = schema["oneOf"].as_array().expect("a list").iter();
    let offered = options.map(|option| &option["properties"]["detail-type"]["const"]);
    let offered: BTreeSet<_> = offered.filter_map(Value::as_str).collect();
    assert_eq!(names, offered);
}

/// Every field of the schema occurs, and exactly those that always occur are required.
#[test]
fn schema_has_no_other_fields() {
    let schema = schema();
    for (name, definition) in definitions(&schema) {
        let notices = notices().into_iter().filter(|notice| notice.name() == name);
        let details: Vec<_> = notices.map(|notice| detail(&notice)).collect();
        let all: BTreeSet<_> = details.iter().flat_map(fields).collect();
        assert_eq!(fields(&definition["properties"]), all, "{name}");
        let always = details.iter().map(fields);
        let always = always.reduce(|one, other| one.intersection(&other).copied().collect());
        assert_eq!(
            texts(&definition["required"]),
            always.expect("a notice"),
            "{name}"
        );
    }
    for notice in notices() {
        for used in detail(&notice)["usage"].as_array().into_iter().flatten() {
            assert_eq!(fields(used), texts(&schema["$defs"]["Use"]["required"]));
        }
    }
}

/// A notice that differs in one place is refused.
#[test]
fn schema_refuses_other_notices() {
    for notice in notices() {
        let right = event(&notice);
        let name = notice.name();
        let mut wrong = right.clone();
        wrong["detail"]["value"] = json!("a key");
        is_valid(&wrong).expect_err("an unknown field");
        for field in fields(&right["detail"]) {
            let mut wrong = right.clone();
            wrong["detail"][field] = json!(1);
            is_valid(&wrong).expect_err(&format!("{name}: {field} is a number"));
            wrong["detail"]
                .as_object_mut()
                .expect("an object")
                .remove(field);
            let is_optional = name == "KeyPromoted" && field == "keyId";
            let result = is_valid(&wrong);
            assert_eq!(result.is_ok(), is_optional, "{name} without {field}");
        }
        let mut wrong = right.clone();
        wrong["source"] = json!("aws.secretsmanager");
        is_valid(&wrong).expect_err("another source");
        wrong = right;
        wrong["detail-type"] = json!("KeyCreated");
        is_valid(&wrong).expect_err("an unknown name");
    }
}

/// A message is one line without quotes, so the template's rule can put it into a JSON string.
#[test]
fn messages_fit_into_json_string() {
    for notice in notices() {
        let detail = detail(&notice);
        let message = detail["message"].as_str().expect("a text");
        let quoted = json!(message).to_string();
        assert_eq!(quoted, format!("\"{message}\""), "{}", notice.name());
        assert!(message.ends_with('.'), "{message}");
        assert!(!message.contains("SameSameSame"), "{message}");
    }
}

/// What the page says about ids: the same for a repetition, and in two cases for two transitions.
#[test]
fn ids_repeat_as_documented() {
    let id = |notice: &Notice| detail(notice)["id"].clone();
    let superseded = |hours| Some((key("d4e5f6"), at(hours)));
    // A repetition, or the same version promoted once more.
    let again =
        [24, 25].map(|hours| id(&promoted(VERSION, Some(key("a1b2c3")), superseded(hours))));
    assert_eq!(again[0], again[1]);
    let other = promoted("another", Some(key("a1b2c3")), superseded(24));
    assert_ne!(again[0], id(&other));
    let deleted = |key| id(&Notice::KeyDeleted { key });
    assert_eq!(deleted(KeyId::hidden("one")), deleted(KeyId::hidden("two")));
    assert_ne!(deleted(key("a1")), deleted(key("b2")));
    let ids: BTreeSet<_> = notices()
        .iter()
        .map(|notice| id(notice).to_string())
        .collect();
    // `KeyHeld` and `KeyDisabled` are each there twice, for one key and time.
    assert_eq!(ids.len(), notices().len() - 2);
}

/// The page has a row for each event, which names its fields.
#[test]
fn page_names_every_event_and_field() {
    let schema = schema();
    let page = page("notices");
    let cells = |line: &str| {
        line.split('|')
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    let rows: BTreeMap<_, _> = page
        .prose()
        .into_iter()
        .filter_map(|(_, line)| {
            let cells = cells(line);
            let name = cells
                .get(1)?
                .strip_prefix('`')?
                .strip_suffix('`')?
                .to_owned();
            Some((name, line))
        })
        .collect();
    for (name, definition) in definitions(&schema) {
        let row = rows
            .get(name)
            .unwrap_or_else(|| panic!("no row for {name}"));
        let common = ["id", "message", "secretArn", "secretName", "functionName"];
        for field in fields(&definition["properties"]) {
            let named = format!("`{field}`");
            let place = if common.contains(&field) {
                page.text.as_str()
            } else {
                row
            };
            assert!(place.contains(&named), "{name}: {field}");
        }
    }
}

/// The example on the page is a notice.
#[test]
fn example_on_page_is_valid() {
    let example = page("notices").block_with("detail-type");
    let example = serde_json::from_str(&example).expect("it is JSON");
    is_valid(&example).unwrap_or_else(|error| panic!("{error}"));
}
