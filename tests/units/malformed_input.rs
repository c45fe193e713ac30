//! Malformed input that needs no network: events, the secret's text, settings, descriptions, and service messages.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::{Duration, Instant, SystemTime};

use api_key_rotation::adapters::description as mark;
use api_key_rotation::adapters::description::InUseText;
use api_key_rotation::adapters::{Clients, Secret};
use api_key_rotation::command::Command;
use api_key_rotation::config::{Config, ConfigError};
use api_key_rotation::decision::{
    InvalidSecret, NoticeKind, Postponed, Refusal, SecretDescription, Supersession, VersionRole,
};
use api_key_rotation::driver::RunError;
use api_key_rotation::handler::error::HandlerError;
use api_key_rotation::handler::event::Event;
use api_key_rotation::ids::{KeyId, VersionId, is_secret_id};
use api_key_rotation::redact::Redacted;
use api_key_rotation::secret::{ApiKeyValue, SecretText};
use api_key_rotation::time::rfc3339;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use secrecy::ExposeSecret;

use crate::exhaustive::is_exhaustive;
use crate::generators::{
    edited, json, key_value, noise, object, quoted, runner, shows_a_value, space, string, value,
};

/// How many times as many inputs an exhaustive run tries.
const FULL: u32 = 95;

/// The longest time for one input, even on a busy machine.
const LONGEST: Duration = Duration::from_secs(5);

/// Tries the `known` inputs and `share` generated ones; in an exhaustive run, `FULL` times as many.
///
/// The known inputs were findings, or are corner cases. `check` returns a word for the result of an
/// input; at least `ends` different words must occur.
fn try_all<T: Debug>(
    target: &str,
    share: u32,
    ends: usize,
    known: &[T],
    inputs: impl Strategy<Value = T>,
    check: impl Fn(&T) -> &'static str,
) {
    let started = Instant::now();
    let (counts, slowest) = (RefCell::new(BTreeMap::new()), Cell::new(Duration::ZERO));
    let check = |input: &T| {
        let began = Instant::now();
        let became = check(input);
        slowest.set(slowest.get().max(began.elapsed()));
        assert!(slowest.get() < LONGEST, "an input took {:?}", slowest.get());
        *counts.borrow_mut().entry(became).or_insert(0_u32) += 1;
    };
    known.iter().for_each(check);
    let cases = share * if is_exhaustive() { FULL } else { 1 };
    let tried = runner(cases).run(&inputs, |input| {
        check(&input);
        Ok(())
    });
    if let Err(finding) = tried {
        panic!("{target}: {finding}");
    }
    let counts = counts.into_inner();
    assert!(counts.len() >= ends, "{target}: never more than {counts:?}");
    let all: u32 = counts.values().sum();
    let shares = counts
        .iter()
        .map(|(what, count)| format!("{what} {:.1} %", f64::from(*count) * 100.0 / f64::from(all)));
    let shares = shares.collect::<Vec<_>>().join(", ");
    let (took, slowest) = (started.elapsed(), slowest.get());
    println!("{target}: {all} inputs in {took:.1?}, the slowest {slowest:.1?}: {shares}");
}

/// Asserts that an error shows no value, in any format.
fn assert_quotes_nothing(error: &HandlerError) {
    let shown = format!("{error} {error:?}");
    assert!(!shows_a_value(&shown, 4), "an error quotes: {shown}");
}

// Events.

/// Returns the events in `events/`, without the file of variables for `sam local`.
fn real_events() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/events");
    let files = std::fs::read_dir(folder).expect("there are events");
    let paths = files.map(|file| file.expect("it can be listed").path());
    let mut events: Vec<_> = paths
        .filter(|path| !path.ends_with("env.json"))
        .map(|path| std::fs::read_to_string(path).expect("it can be read"))
        .collect();
    // As a schedule of EventBridge sends it.
    events.push(
        r#"{"version":"0","id":"53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa","detail-type":"Scheduled Event","source":"aws.events",
        "account":"123456789012","time":"2015-10-08T16:53:06Z","region":"us-east-1",
        "resources":["arn:aws:events:us-east-1:123456789012:rule/my-scheduled-rule"],"detail":{}}"#
            .to_owned(),
    );
    // Sorted, because the folder has no order.
    events.sort();
    events
}

fn step() -> impl Strategy<Value = &'static str> + Clone {
    select(vec![
        "createSecret",
        "setSecret",
        "testSecret",
        "finishSecret",
    ])
}

fn secret_id() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        "[a-zA-Z0-9/_+=.@-]{1,40}",
        "arn:aws:secretsmanager:eu-central-1:123456789012:secret:[a-z/]{1,20}-[A-Za-z0-9]{6}",
    ]
}

/// A field of an event, with a plausible value.
fn field() -> impl Strategy<Value = (String, &'static str, String)> + Clone {
    let text = |name: &'static str, value: BoxedStrategy<String>| {
        let value = prop_oneof![4 => value, 1 => noise()];
        let value = (value, any::<bool>()).prop_map(|(text, escaped)| quoted(&text, escaped));
        (Just(name), prop_oneof![5 => value, 1 => json()]).boxed()
    };
    let steps = prop_oneof![3 => step().prop_map(str::to_owned), 2 => Just("reconcile".to_owned())];
    let words = |words: Vec<&'static str>| select(words).prop_map(ToOwned::to_owned).boxed();
    let detail = (words(vec!["AWSCURRENT", "AWSPENDING"]), "[a-z0-9-]{32,64}");
    let detail = detail.prop_map(|(label, version)| {
        format!(r#"{{"name":"a","labelUpdated":"{label}","versionId":"{version}"}}"#)
    });
    let resources = vec(secret_id(), 0..3).prop_map(|ids| serde_json::Value::from(ids).to_string());
    let named = prop_oneof![
        text("Step", steps.boxed()),
        text("SecretId", secret_id().boxed()),
        text("ClientRequestToken", version_id().boxed()),
        text("ClientRequestToken", "[A-Za-z0-9_-]{30,66}".boxed()),
        text("RotationToken", "[qxzjQXZJ-]{34,60}".boxed()),
        text("GracePeriod", "[0-9]{1,20}[smhdwy]( [0-9]{1,3}m)?".boxed()),
        text(
            "detail-type",
            words(vec!["Secret Label Updated", "Scheduled Event"])
        ),
        text("source", words(vec!["aws.secretsmanager", "aws.events"])),
        (Just("detail"), prop_oneof![4 => detail, 1 => json()]).boxed(),
        (Just("resources"), prop_oneof![4 => resources, 1 => json()]).boxed(),
        text("time", words(vec!["2026-02-06T16:43:48Z"])),
    ];
    let named = named.prop_map(|(name, value)| (quoted(name, false), value));
    let field = prop_oneof![12 => named, 1 => (string(), json())];
    (field, space()).prop_map(|((name, value), space)| (name, space, value))
}

#[test]
fn no_event_makes_function_panic_or_quote_it() {
    let made = (vec(field(), 2..12), proptest::bool::weighted(0.1));
    let made = made.prop_map(|(mut fields, twice)| {
        // A duplicate field is malformed, so that not every event has one.
        let mut names = BTreeSet::new();
        fields.retain(|(name, ..)| twice || names.insert(name.clone()));
        object(&fields)
    });
    let inputs = prop_oneof![
        4 => made.clone(),
        3 => edited(made),
        6 => edited(select(real_events())),
        1 => json(),
        1 => noise(),
    ];
    let known = ["[".repeat(200_000), "{\"Step\":".repeat(100_000)];
    try_all("events", 2_000, 4, &known, inputs, |input| {
        let event = match Event::parse(input) {
            Err(fault) => {
                let became = match fault {
                    api_key_rotation::handler::event_error::EventError::Malformed => "malformed",
                    _ => "refused",
                };
                assert_quotes_nothing(&HandlerError::Event(fault));
                return became;
            }
            Ok(event) => event,
        };
        let shown = format!("{event:?}");
        match event {
            Event::Rotation(rotation) => {
                assert!(is_secret_id(&rotation.secret_id));
                assert!((32..=64).contains(&rotation.version.as_str().chars().count()));
                let token = rotation.rotation_token;
                let token = token.as_ref().map_or("none", |token| token.expose_secret());
                assert!(!shown.contains(token), "a RotationToken is printed");
                "a step"
            }
            Event::Reconciliation(input) => {
                assert!(input.secret_id.as_deref().is_none_or(is_secret_id));
                let year = Duration::from_hours(366 * 24);
                assert!(input.grace.is_none_or(|grace| grace <= year));
                assert!(input.grace.is_none() || input.secret_id.is_some());
                "a reconciliation"
            }
        }
    });
}

/// A valid event is read the same with any other fields.
#[test]
fn valid_event_is_read_beside_other_fields() {
    let others = vec(("[a-z]{1,12}", space(), json()), 0..4);
    let fields = (step(), secret_id(), version_id(), "[A-Za-z0-9-]{36,256}");
    let inputs =
        (fields, any::<bool>(), space(), others).prop_map(|(input, escaped, space, others)| {
            let (step, secret, version, token) = &input;
            let named = [
                ("Step", *step),
                ("SecretId", secret),
                ("ClientRequestToken", version),
                ("RotationToken", token),
            ];
            let named =
                named.map(|(name, value)| (quoted(name, escaped), space, quoted(value, escaped)));
            let others = others
                .into_iter()
                .map(|(name, space, value)| (quoted(&name, false), space, value));
            let fields: Vec<_> = others.chain(named).collect();
            (input, object(&fields))
        });
    try_all(
        "valid events",
        250,
        1,
        &[],
        inputs,
        |((step, secret, version, token), json)| match Event::parse(json) {
            Ok(Event::Rotation(rotation)) => {
                let read = rotation.rotation_token.expect("it has one");
                assert_eq!(rotation.step.to_string(), *step);
                assert_eq!(rotation.secret_id, *secret);
                assert_eq!(rotation.version.as_str(), version);
                assert!(read.expose_secret() == token, "another RotationToken");
                "a step"
            }
            other => panic!("{other:?}"),
        },
    );
}

// The text of the secret.

/// The fields of an object, with `apiKey` in any spelling at most once.
fn fields() -> impl Strategy<Value = Vec<(String, &'static str, String)>> + Clone {
    let key = (
        any::<bool>(),
        space(),
        prop_oneof![key_value(), noise()],
        any::<bool>(),
    );
    let key = key.prop_map(|(name_escaped, space, value, escaped)| {
        (
            quoted("apiKey", name_escaped),
            space,
            quoted(&value, escaped),
        )
    });
    let other = (string(), space(), json());
    let other = other.prop_filter("another field", |(name, ..)| {
        unquoted(name).as_deref() != Some("apiKey")
    });
    (
        vec(other, 0..5),
        proptest::option::weighted(0.8, (any::<prop::sample::Index>(), key)),
    )
        .prop_map(|(mut fields, key)| {
            if let Some((place, key)) = key {
                fields.insert(place.index(fields.len() + 1), key);
            }
            fields
        })
}

fn unquoted(json: &str) -> Option<String> {
    serde_json::from_str(json).ok()
}

/// Asserts that a fault has one of the known sentences.
fn assert_is_a_known_sentence(fault: InvalidSecret, text: &str) {
    assert_quotes_nothing(&HandlerError::Run(Box::new(RunError::Refused(
        Refusal::InvalidSecret(VersionRole::Current, fault),
    ))));
    if let InvalidSecret::BrokenJson { line, column } = fault {
        assert!(line <= text.lines().count() + 1 && column <= text.len() + 1);
    }
}

/// No secret text makes the function panic or is quoted, and a change changes only its key.
#[test]
fn no_secret_text_panics_or_leaks() {
    let object = fields().prop_map(|fields| object(&fields));
    let inputs = prop_oneof![
        4 => edited(object),
        2 => edited(key_value()),
        1 => edited(Just("{\"apiKey\":\"qxzjqxzjqxzjqxzjqxzj\",\"password\":\"a, b\"}".to_owned())),
        1 => json(),
        1 => noise(),
    ];
    let known = [
        "{".repeat(200_000),
        format!("{{\"apiKey\":{}", "[".repeat(200_000)),
        format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000)),
    ];
    let (key, other) = (ApiKeyValue::fresh(), ApiKeyValue::fresh());
    try_all("texts of the secret", 2_000, 6, &known, inputs, |input| {
        let text = match SecretText::parse(input.as_str().into()) {
            Ok(text) => text,
            Err(fault) => {
                assert_is_a_known_sentence(fault, input);
                return match fault {
                    InvalidSecret::BrokenJson { .. } => "broken",
                    _ => "refused",
                };
            }
        };
        assert!(
            !shows_a_value(&format!("{text:?}"), 4),
            "Debug shows a value"
        );
        let changed = text.with_key(&key);
        let again =
            SecretText::parse(changed.expose_secret().into()).expect("the changed text is valid");
        assert!(
            again.key().is_some_and(|found| found.is(key.expose())),
            "not the new key"
        );
        // A second change changes the key alone, and nothing if the key is the same.
        assert!(again.with_key(&key).expose_secret() == changed.expose_secret());
        let replaced = changed
            .expose_secret()
            .replace(key.expose(), other.expose());
        assert!(again.with_key(&other).expose_secret() == replaced);
        let Ok(before) = raw_fields(input) else {
            assert!(
                changed.expose_secret() == key.expose(),
                "text did not stay text"
            );
            return if text.key().is_some() {
                "a plain key"
            } else {
                "a placeholder"
            };
        };
        let after = raw_fields(changed.expose_secret()).expect("an object stays an object");
        assert!(before == after, "another field changed");
        if text.key().is_some() {
            "JSON with a key"
        } else {
            "JSON without a key"
        }
    });
}

/// Returns the raw fields of an object except `apiKey`, or an error if the text is a plain key.
fn raw_fields(text: &str) -> Result<BTreeMap<String, String>, serde_json::Error> {
    let fields: BTreeMap<String, &serde_json::value::RawValue> = serde_json::from_str(text)?;
    let others = fields.into_iter().filter(|(name, _)| name != "apiKey");
    Ok(others
        .map(|(name, value)| (name, value.get().to_owned()))
        .collect())
}

/// An object keeps all its other fields, byte for byte and in their order.
#[test]
fn object_keeps_other_fields_in_order() {
    let inputs = fields().prop_filter("names are text", |fields| {
        fields.iter().all(|(name, ..)| unquoted(name).is_some())
    });
    let key = ApiKeyValue::fresh();
    try_all("objects", 700, 1, &[], inputs, |fields| {
        let text = SecretText::parse(object(fields).into());
        let Ok(text) = text else {
            return "refused";
        };
        let field = |(name, _, value): &(String, &str, String)| {
            let name = unquoted(name).expect("it is a text");
            let written = if name == "apiKey" {
                quoted(key.expose(), false)
            } else {
                value.clone()
            };
            (quoted(&name, false), "", written)
        };
        let mut expected: Vec<_> = fields.iter().map(field).collect();
        if expected.iter().all(|(name, ..)| name != "\"apiKey\"") {
            expected.push(("\"apiKey\"".to_owned(), "", quoted(key.expose(), false)));
        }
        assert!(text.with_key(&key).expose_secret() == object(&expected));
        "accepted"
    });
}

// Settings.

/// Every variable that is read, with plausible values.
fn variables() -> BTreeMap<&'static str, BoxedStrategy<String>> {
    let list = |item: &'static str| vec(item, 1..4).prop_map(|items| items.join(",")).boxed();
    let url = "https://[a-z]{1,10}\\.example(:[0-9]{1,5})?(/[a-z?=&%#]{0,10})?|http://127\\.0\\.0\\.1:[0-9]{1,6}|http://\\[::1\\]";
    let proxy = "(https?://)?([a-z]{1,9}:[a-z%0-9]{1,9}@)?[a-z]{1,9}(:[0-9]{1,6})?/?";
    BTreeMap::from([
        ("SECRET_ID", secret_id().boxed()),
        ("USAGE_PLAN_IDS", list("[a-z0-9]{1,12}")),
        ("STAGE_KEYS", list("[a-z0-9]{1,12}/[a-z_-]{1,10}")),
        ("PROBE_URL", url.boxed()),
        (
            "DOPPLER_TARGETS",
            list("[a-z-]{1,9}/[a-z_]{1,9}/[A-Z][A-Z0-9_]{0,20}"),
        ),
        ("DOPPLER_TOKEN_SECRET_ID", secret_id().boxed()),
        (
            "DOPPLER_IDENTITY",
            "[0-9a-fA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{11,12}".boxed(),
        ),
        ("DOPPLER_AUDIENCE", "[a-z/:.${}* -]{0,20}".boxed()),
        ("DOPPLER_API_URL", url.boxed()),
        ("DOPPLER_CREATE_MISSING", "true|false|TRUE|yes|1".boxed()),
        ("PROPAGATION_DELAY", "[0-9]{1,4}(s|m|ms|min)".boxed()),
        ("GRACE_PERIOD", "[0-9]{1,25}(s|m|h|d|y)".boxed()),
        ("QUARANTINE_PERIOD", "[0-9]{1,3}d( [0-9]{1,3}h)?".boxed()),
        ("AWS_ENDPOINT_URL", url.boxed()),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", url.boxed()),
        ("AWS_ENDPOINT_URL_API_GATEWAY", url.boxed()),
        ("AWS_ENDPOINT_URL_STS", url.boxed()),
        ("AWS_CA_BUNDLE", "/nonexistent/[qxzj.]{1,10}".boxed()),
        ("SSL_CERT_FILE", "/nonexistent/[qxzj.]{1,10}".boxed()),
        ("AWS_SAM_LOCAL", "true|false".boxed()),
        ("HTTPS_PROXY", proxy.boxed()),
        ("https_proxy", proxy.boxed()),
        ("HTTP_PROXY", proxy.boxed()),
        ("ALL_PROXY", proxy.boxed()),
        (
            "NO_PROXY",
            "([.]?[a-z]{1,9}[.]example|10[.]0[.]0[.]0/[0-9]{1,2}|::1|[*]|, ){1,4}".boxed(),
        ),
        ("AWS_USE_FIPS_ENDPOINT", "true|false|TRUE|yes".boxed()),
        ("AWS_USE_DUALSTACK_ENDPOINT", "true|false|True|1".boxed()),
        (
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
            "true|false|on".boxed(),
        ),
        ("AWS_REGION", "[a-z]{2}-[a-z]{4,5}-[0-9]".boxed()),
    ])
}

fn read(variables: &BTreeMap<&str, String>) -> Result<Config, ConfigError> {
    Config::read(|name| variables.get(name).cloned())
}

/// No settings make the function panic or are quoted, and every fault is reported.
#[test]
fn no_settings_panic_or_leak() {
    let one = variables().into_iter().map(|(name, valid)| {
        // What names a file stays as it is: the test must not read other files than these.
        let any = match name {
            "AWS_CA_BUNDLE" | "SSL_CERT_FILE" => valid,
            _ => prop_oneof![12 => valid.clone(), 2 => edited(valid), 1 => noise()].boxed(),
        };
        let rarely = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"].contains(&name);
        proptest::option::weighted(if rarely { 0.05 } else { 0.4 }, any)
            .prop_map(move |value| value.map(|value| (name, value)))
            .boxed()
    });
    let inputs = one.collect::<Vec<_>>();
    let inputs = inputs.prop_map(|set| set.into_iter().flatten().collect::<BTreeMap<_, _>>());
    let many = BTreeMap::from([("DOPPLER_TARGETS", "qxzj,".repeat(800))]);
    try_all("settings", 700, 2, &[many], inputs, |set| {
        let read_all = read(set);
        let reported: Vec<_> = read_all
            .as_ref()
            .err()
            .map_or(&[][..], |faults| &faults.0[..])
            .to_vec();
        // Every fault of one variable alone is also reported for all together.
        let everywhere = set
            .get("AWS_SAM_LOCAL")
            .map(|value| ("AWS_SAM_LOCAL", value.clone()));
        for (name, value) in set {
            // It counts only if the other is not set.
            let stands_back = *name == "SSL_CERT_FILE" && set.contains_key("AWS_CA_BUNDLE")
                || name.starts_with("AWS_ENDPOINT_URL")
                    && set
                        .get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
                        .is_some_and(|ignored| ignored.eq_ignore_ascii_case("true"))
                // Alone, it has no effect.
                || *name == "DOPPLER_AUDIENCE" && set.contains_key("DOPPLER_IDENTITY");
            let mut alone = BTreeMap::from([(*name, value.clone())]);
            alone.extend(everywhere.clone());
            for problem in read(&alone).err().map_or(Vec::new(), |faults| faults.0) {
                assert!(
                    problem.variable != *name || reported.contains(&problem) || stands_back,
                    "not reported: {problem}"
                );
            }
        }
        match read_all {
            Ok(settings) => {
                assert!(settings.doppler.is_none() || settings.secret_id.is_some());
                "accepted"
            }
            Err(faults) => {
                assert!(!faults.0.is_empty(), "refused without a reason");
                assert_quotes_nothing(&HandlerError::Config(faults));
                "refused"
            }
        }
    });
}

/// Valid settings are read the same with any other variables.
#[test]
fn valid_settings_are_read_beside_others() {
    let plans = vec(prop_oneof!["[a-z0-9]{1,12}", "[a-c]"], 1..8);
    let target = ("[a-z-]{1,9}", "[a-z_]{1,9}", "XQ[A-Z0-9_]{0,20}");
    let targets = vec(
        target.prop_map(|(project, config, name)| format!("{project}/{config}/{name}")),
        1..4,
    );
    let periods = (0..400_u64, 0..1_000_u64);
    let others = btree_map("[A-Z_]{1,20}", noise(), 0..4);
    let inputs = (
        "a[a-z/]{1,20}",
        "b[a-z/]{1,20}",
        plans,
        targets,
        periods,
        space(),
        others,
    );
    try_all("valid settings", 250, 1, &[], inputs, |input| {
        let (secret, token, plans, targets, (days, seconds), space, others) = input;
        // A repeated item counts once, in its first position.
        let each_once = |items: &[String]| {
            let mut seen = BTreeSet::new();
            let items = items.iter().filter(|item| seen.insert(*item));
            items.cloned().collect::<Vec<_>>()
        };
        let join =
            |items: &[String]| format!("{space}{}{space}", items.join(&format!("{space},{space}")));
        let mut set: BTreeMap<&str, String> = others
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        set.extend([
            ("SECRET_ID", secret.clone()),
            ("DOPPLER_TOKEN_SECRET_ID", format!("{token}{space}")),
            ("USAGE_PLAN_IDS", join(plans)),
            ("DOPPLER_TARGETS", join(targets)),
            ("GRACE_PERIOD", format!("{space}{}d", days.min(&366))),
            ("PROPAGATION_DELAY", format!("{seconds}s")),
        ]);
        let settings = read(&set).expect("they are valid");
        assert_eq!(settings.secret_id.as_ref(), Some(secret));
        assert_eq!(settings.secret.usage_plans, each_once(plans));
        let read: Vec<_> = settings
            .secret
            .targets
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(read, each_once(targets));
        assert_eq!(
            settings.secret.grace_period,
            Duration::from_hours(24 * days.min(&366))
        );
        assert_eq!(
            settings.secret.propagation_delay,
            Duration::from_secs(*seconds)
        );
        "accepted"
    });
}

/// No bundle of certificates makes the function panic or is quoted.
#[test]
fn no_certificate_bundle_panics_or_leaks() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bundle.pem");
    let path = file.to_str().expect("it is Unicode").to_owned();
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]);
    let certificate = certificate
        .and_then(|params| params.self_signed(&key))
        .expect("a certificate");
    let pem = certificate.pem();
    let inputs = prop_oneof![
        6 => edited(select(vec![pem.clone(), format!("{pem}{pem}"), key.serialize_pem()])),
        1 => noise(),
    ];
    try_all("bundles of certificates", 150, 1, &[], inputs, |text| {
        std::fs::write(&file, text).expect("it can be written");
        match read(&BTreeMap::from([("AWS_CA_BUNDLE", path.clone())])) {
            Ok(_) => "accepted",
            Err(faults) => {
                assert_quotes_nothing(&HandlerError::Config(faults));
                "refused"
            }
        }
    });
}

// Descriptions of keys.

/// The last time that can be written, so that no time counts as the future.
fn end_of_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799)
}

fn time() -> impl Strategy<Value = SystemTime> + Clone {
    (0..=253_402_300_799_u64).prop_map(|at| SystemTime::UNIX_EPOCH + Duration::from_secs(at))
}

/// Version ids that the service's model allows: 32 to 64 characters of any kind.
///
/// Some are sentences of the function's own descriptions.
fn version_id() -> impl Strategy<Value = String> + Clone {
    let forged = select(vec![
        "x. Disabled at 2020-01-02T00:00:00Z. Revoked at 2020-01-02T00:00",
        "x. Disabled at 2020-01-02T00:00:00Z",
        "' $(id) `id` \" \\ ; id & # a-b-c-d-e-f",
        "sha256:0123456789abcdef0123456789abcdef0123456789abcdef012345678",
    ]);
    prop_oneof![
        2 => "[A-Za-z0-9_-]{32,64}",
        2 => "[A-Za-z0-9._-]{32,64}",
        2 => "[ -~]{32,64}",
        2 => "\\PC{32,64}",
        1 => vec(any::<char>(), 32..=64).prop_map(String::from_iter),
        1 => forged.prop_map(ToOwned::to_owned),
    ]
}

fn mark() -> impl Strategy<Value = Supersession> + Clone {
    let some = || proptest::option::of(time());
    let postponed = proptest::option::of((any::<u32>(), time()));
    let kind = prop_oneof![
        Just(NoticeKind::Superseded),
        Just(NoticeKind::Held),
        Just(NoticeKind::Disabled),
        Just(NoticeKind::Revoked),
    ];
    let notice = proptest::option::of((kind, time()));
    let targets = proptest::collection::btree_set("[0-9a-f]{12}", 0..4);
    let times = (time(), some(), some(), postponed, notice);
    (times, version_id(), targets).prop_map(
        |((superseded_at, disabled_at, revoked_at, postponed, notice), by, targets)| Supersession {
            superseded_at,
            by: VersionId::from(by.as_str()),
            disabled_at,
            revoked_at,
            postponed: postponed.map(|(times, at)| Postponed { times, at }),
            notice,
            targets,
        },
    )
}

fn in_use_text() -> impl Strategy<Value = InUseText> + Clone {
    let targets = proptest::collection::btree_set("[0-9a-f]{12}", 0..4);
    let how = prop_oneof![
        Just((false, None)),
        Just((true, None)),
        time().prop_map(|at| (false, Some(at))),
    ];
    ("[A-Za-z0-9/_+=.@-]{1,20}", how, targets).prop_map(
        |(secret, (unfinished, resumed_at), targets)| InUseText {
            secret,
            unfinished,
            resumed_at,
            targets,
        },
    )
}

#[test]
fn every_mark_is_read_as_it_was_written() {
    try_all("marks", 1_000, 1, &[], mark(), |mark| {
        let read = mark::DescriptionText::parse(&mark.to_string(), end_of_time());
        assert_eq!(read, mark::DescriptionText::Superseded(mark.clone()));
        "read"
    });
    try_all("other descriptions", 300, 1, &[], in_use_text(), |in_use| {
        let read = mark::DescriptionText::parse(&in_use.to_string(), end_of_time());
        assert_eq!(read, mark::DescriptionText::InUse(in_use.clone()));
        "read"
    });
}

/// The function must not take any other text for its own description.
#[test]
fn description_that_is_read_is_written_the_same() {
    let descriptions = prop_oneof![
        3 => mark().prop_map(|mark| mark.to_string()),
        // As earlier releases wrote it.
        1 => (time(), version_id()).prop_map(|(at, id)| {
            let at = rfc3339(at);
            format!("Superseded at {at} by version {id}. Disabled at {at}.")
        }),
        1 => in_use_text().prop_map(|in_use| in_use.to_string()),
    ];
    let inputs = prop_oneof![1 => descriptions.clone(), 6 => edited(descriptions), 1 => noise()];
    let known = [
        "Superseded at 9999-12-31T23:59:59Z by version a. Disabled at 9999-12-31T23:59:59Z.",
        "Superseded at 1969-12-31T23:59:59Z by version a.",
        "Superseded at 2016-12-31T23:59:60Z by version a.",
        "Superseded at 2016-12-31T23:59:59.999999999Z by version . Disabled at 1970-01-01T00:00:00Z.",
        "Superseded at 2020-01-01T00:00:00Z by version \u{a0}.",
        "Created for the secret s.\u{2003}Resumed at 2020-01-01T00:00:00Z.",
    ];
    let known = known.map(ToOwned::to_owned);
    try_all("descriptions", 3_000, 3, &known, inputs, |text| {
        match mark::DescriptionText::parse(text, end_of_time()) {
            mark::DescriptionText::Superseded(mark) => {
                // An id outside the alphabet is written as its hash; everything else is the same.
                let written = mark.to_string();
                let words = |text: &str| text.split(' ').map(ToOwned::to_owned).collect::<Vec<_>>();
                let (mut read, written) = (words(text), words(&written));
                let id = read[5].trim_end_matches('.');
                assert!(read[5].ends_with('.') && !id.is_empty(), "{text}");
                read[5] = format!("{}.", mark.by);
                assert_eq!(read, written);
                "a mark"
            }
            mark::DescriptionText::InUse(in_use) => {
                assert_eq!(
                    in_use.to_string(),
                    text.replacen("Minted for", "Created for", 1)
                );
                "in use"
            }
            mark::DescriptionText::Ahead(_) => panic!("nothing is after the end of time: {text}"),
            mark::DescriptionText::Other => "other",
        }
    });
}

// Commands that are shown.

/// Returns the words that a POSIX shell reads from each command.
fn words_in(commands: &[String]) -> Vec<Vec<String>> {
    let lines = commands
        .iter()
        .map(|command| format!("set -- {command}\nprintf '%s\\0' \"$#\" \"$@\"\n"));
    let mut sh = std::process::Command::new("sh");
    let output = sh.arg("-euc").arg(lines.collect::<String>()).output();
    let output = output.expect("sh runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
    let printed = String::from_utf8(output.stdout).expect("it is a text");
    let mut words = printed.split_terminator('\0').map(ToOwned::to_owned);
    let of_one = |_: &String| {
        let count = words.next().expect("a number").parse().expect("a number");
        words.by_ref().take(count).collect()
    };
    commands.iter().map(of_one).collect()
}

#[test]
fn command_shown_is_read_by_shell_as_built() {
    let word = prop_oneof![
        2 => "[ -~]{0,20}",
        1 => "[^\\x00]{0,20}",
        1 => version_id().prop_map(|id| id.replace('\0', "")),
        1 => select(vec!["'", "''", "\\", "\\'", "-", "~", "*", "$(id)", "`id`", "a=b", "#", "\n", "!", ""])
            .prop_map(ToOwned::to_owned),
    ];
    let inputs = vec(vec(word, 0..6), 1..30);
    try_all("commands", 40, 1, &[], inputs, |commands| {
        let built: Vec<_> = commands
            .iter()
            .map(|words| {
                let words = words.iter().cloned();
                words.fold(Command::new("aws"), Command::arg).to_string()
            })
            .collect();
        let read = words_in(&built);
        for (words, read) in commands.iter().zip(read) {
            assert_eq!(read[0], "aws");
            assert_eq!(read[1..], *words);
        }
        "read"
    });
}

/// For any key id, version id and secret name, the shell reads them as text.
#[test]
fn hand_over_of_any_ids_is_text() {
    let settings = Config::read(|_| None).expect("nothing is required");
    let clients = Clients::new(settings, "rotation".to_owned());
    let key = prop_oneof!["[a-z0-9]{10}", "[ -~]{1,19}", "\\PC{1,19}"];
    let name = prop_oneof!["[A-Za-z0-9/_+=.@-]{1,40}", "[ -~]{1,40}"];
    let inputs = vec((key, version_id(), name), 1..20);
    try_all("hand-overs", 40, 1, &[], inputs, |input| {
        let commands = input.iter().flat_map(|(key, version, name)| {
            let secret = Secret {
                arn: format!("arn:aws:secretsmanager:eu-west-1:123456789012:secret:{name}-AbCdEf"),
                name: name.clone(),
                description: SecretDescription::default(),
                rotation_function: None,
            };
            clients.hand_over(
                &KeyId::from(key.as_str()),
                &VersionId::from(version.as_str()),
                &secret,
            )
        });
        let commands: Vec<_> = commands.collect();
        for command in &commands {
            assert!(!command.contains(char::is_control), "{command}");
        }
        let read = words_in(&commands);
        for ((key, version, name), read) in input.iter().zip(read.chunks(2)) {
            let version = VersionId::from(version.as_str());
            let tags = read[0].last().expect("tags");
            assert!(
                tags.contains(&format!(",rotation:version={version},")),
                "{tags}"
            );
            assert!(read[0][4].ends_with(&format!("/apikeys/{key}")), "{read:?}");
            let renaming = format!("op=replace,path=/name,value={name}/{version}");
            let update = ["aws", "apigateway", "update-api-key", "--api-key", key];
            let update = [&update[..], &["--patch-operations", &renaming]].concat();
            assert_eq!(read[1], update);
        }
        let none = clients.hand_over(
            &KeyId::hidden("a"),
            &VersionId::from("b"),
            &Secret {
                arn: String::new(),
                name: String::new(),
                description: SecretDescription::default(),
                rotation_function: None,
            },
        );
        assert!(none.is_empty());
        "read"
    });
}

// The words of a service.

/// Returns the longest run of ASCII letters and digits, and the longest one with hyphens too.
fn longest_runs(text: &str) -> (usize, usize) {
    let longest =
        |is_end: fn(char) -> bool| text.split(is_end).map(str::len).max().unwrap_or_default();
    (
        longest(|letter| !letter.is_ascii_alphanumeric()),
        longest(|letter| !letter.is_ascii_alphanumeric() && letter != '-'),
    )
}

/// No service message shows anything that could be a value.
#[test]
fn no_service_message_shows_value() {
    let word = prop_oneof![
        3 => "[a-z]{1,12}",
        2 => value(),
        1 => "[A-Za-z0-9]{1,80}",
        1 => "[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}",
        1 => "[A-Za-z]{1,40}(Exception|Error|Failure)",
        1 => noise(),
    ];
    let between = select(vec![" ", "-", ": ", "\n", "\u{0}", "é", "\"", "", "_"]);
    let inputs = vec((word, between), 0..12).prop_map(|words| {
        words
            .into_iter()
            .flat_map(|(word, end)| [word, end.to_owned()])
            .collect::<String>()
    });
    let known = [
        "q".repeat(200_000),
        format!("{} Error", "q".repeat(40)),
        format!("{}7Error", "q".repeat(40)),
        format!("{}-Error", "q".repeat(40)),
    ];
    try_all("words of a service", 2_000, 2, &known, inputs, |text| {
        let redacted = [Redacted::message, Redacted::id, Redacted::code];
        let [message, id, code] = redacted.map(|redact| redact(text).to_string());
        for shown in [&message, &id, &code] {
            assert!(
                shown.chars().count() <= 500 && !shown.contains(char::is_control),
                "{shown}"
            );
        }
        let (letters, with_hyphens) = longest_runs(&message);
        assert!(letters < 20 && with_hyphens < 36, "{message}");
        assert!(longest_runs(&id).0 < 20, "{id}");
        // A code is distinguished from a value by its end.
        let is_code = |part: &str| {
            let ends = ["Exception", "Error", "Failure"];
            part.chars().all(|letter| letter.is_ascii_alphabetic())
                && ends.iter().any(|end| part.ends_with(end))
        };
        let mut parts = code.split(|letter: char| !letter.is_ascii_alphanumeric());
        assert!(parts.all(|part| part.len() < 20 || is_code(part)), "{code}");
        if longest_runs(text).0 >= 20 || longest_runs(text).1 >= 36 {
            return "masked";
        }
        // Text that cannot be a value is shown as it is.
        let plain: String = text
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        assert_eq!(message, plain.trim().chars().take(500).collect::<String>());
        "shown"
    });
}
