//! What the function reads: settings, events, the secret's text, the mark in a key's description.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use api_key_rotation::error::{masked, masked_code, masked_id};
use api_key_rotation::event::{Event, EventError, Reconciliation};
use api_key_rotation::mark::{self, Mark};
use api_key_rotation::next::Step;
use api_key_rotation::observed::VersionId;
use api_key_rotation::secret::{ApiKeyValue, InvalidSecret, SecretText};
use api_key_rotation::settings::Settings;
use secrecy::ExposeSecret;

const TOKEN: &str = "11111111-1111-4111-8111-111111111111";

fn settings(variables: &[(&str, &str)]) -> Result<Settings, String> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Settings::read(|name| variables.get(name).map(ToString::to_string))
        .map_err(|faults| faults.to_string())
}

#[test]
fn without_any_setting_the_defaults_hold() {
    let settings = settings(&[]).expect("nothing is required");
    assert_eq!(settings.secret_id, None);
    assert!(
        settings.usage_plans.is_empty()
            && settings.stage_keys.is_empty()
            && settings.targets().is_empty()
    );
    assert_eq!(settings.settle_period, Duration::from_mins(2));
    assert_eq!(settings.grace_period, Duration::from_hours(24));
    assert_eq!(settings.quarantine_period, Duration::from_hours(7 * 24));
}

#[test]
fn all_settings_are_read() {
    let settings = settings(&[
        ("SECRET_ID", "demo/partner"),
        // A repeated item changes nothing.
        ("USAGE_PLAN_IDS", "a1b2c3, d4e5f6,a1b2c3"),
        ("STAGE_KEYS", "api1/prod,api2/dev,api1/prod"),
        ("PROBE_URL", "https://api.example.com/prod/ping"),
        (
            "DOPPLER_TARGETS",
            "backend/prd/PARTNER_API_KEY,worker/prd_eu/KEY2",
        ),
        (
            "DOPPLER_TOKEN_SECRET_ID",
            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:doppler-AbCdEf",
        ),
        ("DOPPLER_API_URL", "http://127.0.0.1:4602"),
        ("DOPPLER_CREATE_MISSING", "true"),
        ("SETTLE_PERIOD", "30s"),
        ("GRACE_PERIOD", "0s"),
        ("QUARANTINE_PERIOD", "36h"),
    ])
    .expect("all are valid");
    assert_eq!(settings.usage_plans, ["a1b2c3", "d4e5f6"]);
    assert_eq!(settings.stage_keys[1].stage_name, "dev");
    assert_eq!(settings.stage_keys.len(), 2);
    assert_eq!(settings.targets()[1].to_string(), "worker/prd_eu/KEY2");
    let mirror = settings.mirror.expect("targets are set");
    assert_eq!(mirror.api_url.as_str(), "http://127.0.0.1:4602/");
    assert!(mirror.create_missing);
    assert_eq!(settings.grace_period, Duration::ZERO);
    assert_eq!(settings.quarantine_period, Duration::from_hours(36));
}

#[test]
fn every_fault_of_the_settings_is_reported_at_once_with_an_example_and_no_value() {
    let token = "dp.st.prd.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let faults = settings(&[
        ("SECRET_ID", token),
        ("USAGE_PLAN_IDS", "a1b2c3,my plan,d4-e5,a1b2c3"),
        ("STAGE_KEYS", "just-an-api"),
        ("PROBE_URL", "http://api.example.com/ping"),
        (
            "DOPPLER_TARGETS",
            "backend/prd/key,backend/KEY,b/prd/DOPPLER_PROJECT,b/prd/PATH",
        ),
        ("DOPPLER_API_URL", "https://user:hunter2@api.doppler.com"),
        ("DOPPLER_CREATE_MISSING", "certainly"),
        ("SETTLE_PERIOD", "soon"),
        ("GRACE_PERIOD", "-1h"),
        ("QUARANTINE_PERIOD", "7 parsecs"),
        ("AWS_ENDPOINT_URL", ""),
    ])
    .expect_err("nearly everything is wrong");
    let lines: Vec<_> = faults.lines().collect();
    for (variable, times) in [
        ("SECRET_ID", 1),
        ("USAGE_PLAN_IDS", 2),
        ("STAGE_KEYS", 1),
        ("PROBE_URL", 1),
        ("DOPPLER_TARGETS", 4),
        ("DOPPLER_API_URL", 1),
        ("DOPPLER_TOKEN_SECRET_ID", 1),
        ("DOPPLER_CREATE_MISSING", 1),
        ("SETTLE_PERIOD", 1),
        ("GRACE_PERIOD", 1),
        ("QUARANTINE_PERIOD", 1),
        ("AWS_ENDPOINT_URL", 1),
    ] {
        let reported: Vec<_> = lines
            .iter()
            .filter(|line| line.starts_with(&format!("{variable} ")))
            .collect();
        assert_eq!(reported.len(), times, "{variable} in:\n{faults}");
        assert!(
            reported
                .iter()
                .all(|line| line.contains(&format!("; for example {variable}="))),
            "{faults}"
        );
    }
    for value in [
        token,
        "hunter2",
        "my plan",
        "parsecs",
        "just-an-api",
        "certainly",
    ] {
        assert!(!faults.contains(value), "{value} is quoted in:\n{faults}");
    }
}

#[test]
fn settings_for_one_secret_require_its_name() {
    for (variable, value) in [
        ("USAGE_PLAN_IDS", "a1b2c3"),
        ("STAGE_KEYS", "api/prod"),
        ("PROBE_URL", "https://api.example.com/"),
        ("DOPPLER_TARGETS", "p/c/KEY"),
    ] {
        let faults = settings(&[(variable, value), ("DOPPLER_TOKEN_SECRET_ID", "t")])
            .expect_err("SECRET_ID is missing");
        assert!(faults.starts_with("SECRET_ID is required"), "{faults}");
    }
    let faults = settings(&[
        ("SECRET_ID", "s"),
        ("DOPPLER_TARGETS", "p/c/KEY"),
        ("DOPPLER_TOKEN_SECRET_ID", "s"),
    ]);
    assert!(
        faults
            .expect_err("one secret cannot be both")
            .contains("DOPPLER_TOKEN_SECRET_ID")
    );
}

#[test]
fn nothing_is_created_in_doppler_unless_the_setting_says_true() {
    let read = |text: &str| {
        let settings = settings(&[
            ("SECRET_ID", "s"),
            ("DOPPLER_TARGETS", "p/c/KEY"),
            ("DOPPLER_TOKEN_SECRET_ID", "t"),
            ("DOPPLER_CREATE_MISSING", text),
        ])?;
        Ok::<_, String>(settings.mirror.expect("a target is set").create_missing)
    };
    for (text, expected) in [
        ("", false),
        ("false", false),
        ("true", true),
        (" true ", true),
    ] {
        assert_eq!(read(text), Ok(expected), "{text:?}");
    }
    for text in ["True", "TRUE", "yes", "1", "on", "true,"] {
        let fault = read(text).expect_err(text);
        assert_eq!(
            fault,
            "DOPPLER_CREATE_MISSING is neither true nor false; for example DOPPLER_CREATE_MISSING=true"
        );
    }
}

#[test]
fn http_is_for_loopback_and_sam_local_only() {
    let probe = |url: &str, sam_local: &str| {
        settings(&[
            ("SECRET_ID", "s"),
            ("PROBE_URL", url),
            ("AWS_SAM_LOCAL", sam_local),
        ])
    };
    for url in [
        "http://127.0.0.1:4601/prod/ping",
        "http://[::1]:4601/",
        "http://localhost/",
        "https://example.com/",
    ] {
        probe(url, "").unwrap_or_else(|faults| panic!("{url}: {faults}"));
    }
    for url in [
        "http://172.17.0.1/",
        "http://127.0.0.1.example.com/",
        "ftp://localhost/",
        "example.com",
    ] {
        probe(url, "").expect_err(url);
    }
    probe("http://host.docker.internal:4601/", "true")
        .expect("SAM runs the function in a container");
}

#[test]
fn an_event_of_each_step_is_read() {
    for (name, expected) in [
        ("create-secret", Step::CreateSecret),
        ("set-secret", Step::SetSecret),
        ("test-secret", Step::TestSecret),
        ("finish-secret", Step::FinishSecret),
    ] {
        let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let event = Event::parse(&json).expect("it is ready to use");
        assert!(matches!(event, Event::Rotation(event) if event.step == expected));
    }
}

fn reconciliation(json: &str) -> Result<Reconciliation, EventError> {
    match Event::parse(json)? {
        Event::Reconciliation(event) => Ok(event),
        Event::Rotation(event) => panic!("{json} was taken for {event:?}"),
    }
}

#[test]
fn a_reconciliation_is_asked_for_in_our_own_words_by_a_schedule_and_by_a_notice_of_a_moved_label() {
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:demo/key-AbCdEf";
    let notice = |label: &str| {
        format!(
            r#"{{"version":"0","id":"6a7e8feb-b491-4cf7-a9f1-bf3703467718","detail-type":"Secret Label Updated","source":"aws.secretsmanager","account":"123456789012","time":"2026-02-06T16:43:48Z","region":"eu-west-1","resources":["{arn}"],"detail":{{"name":"demo/key","labelUpdated":"{label}","versionId":"{TOKEN}"}}}}"#
        )
    };
    let named = |secret: &str| Reconciliation {
        secret_id: Some(secret.to_owned()),
        ..Reconciliation::default()
    };
    for (json, expected) in [
        (r#"{"Step":"reconcile"}"#.to_owned(), Reconciliation::default()),
        (
            r#"{"Step":"reconcile","SecretId":"demo/key"}"#.to_owned(),
            named("demo/key"),
        ),
        (
            r#"{"Step":"reconcile","SecretId":"demo/key","GracePeriod":"0s"}"#.to_owned(),
            Reconciliation {
                grace: Some(Duration::ZERO),
                ..named("demo/key")
            },
        ),
        (
            r#"{"version":"0","id":"x","detail-type":"Scheduled Event","source":"aws.events","account":"123456789012","time":"2026-02-06T16:43:48Z","region":"eu-west-1","resources":["arn:aws:events:eu-west-1:123456789012:rule/r"],"detail":{}}"#.to_owned(),
            Reconciliation::default(),
        ),
        (
            notice("AWSCURRENT"),
            Reconciliation {
                moved_to: Some(VersionId::from(TOKEN)),
                unasked: true,
                ..named(arn)
            },
        ),
        (
            notice("mine"),
            Reconciliation {
                unasked: true,
                ..named(arn)
            },
        ),
    ] {
        assert_eq!(reconciliation(&json), Ok(expected), "{json}");
    }
    for name in [
        "reconcile",
        "reconcile-all",
        "emergency-stop",
        "label-updated",
    ] {
        let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        reconciliation(&json).expect("it is ready to use");
    }
}

#[test]
fn a_wrong_reconciliation_gets_an_error_of_its_kind() {
    let own = |rest: &str| format!(r#"{{"Step":"reconcile"{rest}}}"#);
    let notice = |kind: &str, source: &str, resources: &str, detail: &str| {
        format!(
            r#"{{"detail-type":"{kind}","source":"{source}","resources":{resources},"detail":{detail}}}"#
        )
    };
    let moved = r#"{"name":"n","labelUpdated":"AWSCURRENT","versionId":"short"}"#;
    for (json, expected) in [
        (
            own(r#","graceperiod":"0s","SecretId":"s""#),
            EventError::UnknownField,
        ),
        (
            own(r#","ClientRequestToken":"t""#),
            EventError::UnknownField,
        ),
        (
            own(r#","GracePeriod":"0s""#),
            EventError::GraceWithoutSecret,
        ),
        (
            notice(
                "EC2 Instance State-change Notification",
                "aws.ec2",
                "[]",
                "{}",
            ),
            EventError::UnknownNotice,
        ),
        (
            notice("Secret Label Updated", "aws.secretsmanager", "[]", moved),
            EventError::UnknownNotice,
        ),
        (
            notice(
                "Secret Label Updated",
                "aws.secretsmanager",
                r#"["s"]"#,
                moved,
            ),
            EventError::UnknownNotice,
        ),
        (
            notice(
                "Secret Label Updated",
                "aws.secretsmanager",
                r#"["s"]"#,
                "{}",
            ),
            EventError::UnknownNotice,
        ),
        (
            notice("Scheduled Event", "somebody else", "[]", "{}"),
            EventError::UnknownNotice,
        ),
        (
            notice("A guess", "aws.events", "[]", "{}"),
            EventError::UnknownNotice,
        ),
    ] {
        assert_eq!(reconciliation(&json), Err(expected), "{json}");
    }
    for (rest, field) in [
        (r#","SecretId":7"#, "SecretId"),
        (r#","SecretId":"with space""#, "SecretId"),
        (r#","SecretId":"s","GracePeriod":0"#, "GracePeriod"),
        (r#","SecretId":"s","GracePeriod":"soon""#, "GracePeriod"),
        (r#","SecretId":"s","GracePeriod":"2y""#, "GracePeriod"),
    ] {
        let error = reconciliation(&own(rest)).expect_err(rest);
        assert!(
            matches!(error, EventError::InvalidField { name, .. } if name == field),
            "{rest}: {error}"
        );
    }
}

#[test]
fn a_wrong_event_gets_an_error_of_its_kind_that_quotes_nothing() {
    let event = |step: &str, rest: &str| format!(r#"{{"Step":{step},"SecretId":"demo"{rest}}}"#);
    let token = format!(r#","ClientRequestToken":"{TOKEN}""#);
    let nested = format!("{}1{}", r#"{"Step":"#.repeat(5_000), "}".repeat(5_000));
    let deep = "[".repeat(200_000);
    let huge = event(&format!("\"{}\"", "createSecret".repeat(100_000)), &token);
    let token_field = EventError::MissingField("ClientRequestToken");
    for (json, expected) in [
        ("", EventError::Malformed),
        ("null", EventError::Malformed),
        ("[]", EventError::Malformed),
        ("\"createSecret\"", EventError::Malformed),
        ("{\"Step\":", EventError::Malformed),
        (&deep, EventError::Malformed),
        ("{}", EventError::MissingField("Step")),
        (&event("\"createSecret\"", ""), token_field),
        (&event("\"create_secret\"", &token), EventError::UnknownStep),
        (&event("\"CreateSecret\"", &token), EventError::UnknownStep),
        (&event("\"\"", &token), EventError::UnknownStep),
        (&huge, EventError::UnknownStep),
    ] {
        assert_eq!(
            Event::parse(json).expect_err("it is wrong"),
            expected,
            "{}",
            &json[..json.len().min(80)]
        );
    }
    for (json, field) in [
        (&event("7", &token), "Step"),
        (&nested, "Step"),
        (
            &event("\"createSecret\"", r#","ClientRequestToken":null"#),
            "ClientRequestToken",
        ),
        (
            &event("\"createSecret\"", r#","ClientRequestToken":"short""#),
            "ClientRequestToken",
        ),
        (
            &event(
                "\"createSecret\"",
                &format!(r#"{token},"RotationToken":{{}}"#),
            ),
            "RotationToken",
        ),
        (
            &event(
                "\"createSecret\"",
                &format!(r#"{token},"RotationToken":"hunter2""#),
            ),
            "RotationToken",
        ),
    ] {
        let error = Event::parse(json).expect_err("it is wrong");
        assert!(
            matches!(error, EventError::InvalidField { name, .. } if name == field)
                || matches!(error, EventError::MissingField(name) if name == field),
            "{field}: {error}"
        );
        assert!(!error.to_string().contains("hunter2"));
    }
}

#[test]
fn an_event_cannot_be_printed_with_its_rotation_token() {
    let json = format!(
        r#"{{"Step":"createSecret","SecretId":"s","ClientRequestToken":"{TOKEN}","RotationToken":"cafe{TOKEN}","New":1}}"#
    );
    let event = Event::parse(&json).expect("a field that is new to us is no fault");
    assert!(matches!(&event, Event::Rotation(event) if event.rotation_token.is_some()));
    assert!(!format!("{event:?}").contains("cafe"));
}

#[test]
fn what_holds_a_value_cannot_be_printed() {
    let key = ApiKeyValue::fresh();
    let text = SecretText::parse(format!(r#"{{"apiKey":"{}"}}"#, key.expose()).into());
    let printed = format!("{key:?} {:?}", text.expect("it is an object"));
    assert!(!printed.contains(key.expose()));
}

fn with_key(text: &str) -> String {
    let text = SecretText::parse(text.into()).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    text.with_key(&ApiKeyValue::from("NEWKEYNEWKEYNEWKEYNEWKEY"))
        .expose_secret()
        .to_owned()
}

#[test]
fn every_form_of_secret_keeps_its_form_and_its_other_fields_to_the_byte() {
    for (before, after) in [
        ("{}", r#"{"apiKey":"NEWKEYNEWKEYNEWKEYNEWKEY"}"#),
        (
            r#"{"apiKey":"old"}"#,
            r#"{"apiKey":"NEWKEYNEWKEYNEWKEYNEWKEY"}"#,
        ),
        ("oldoldoldoldoldoldold", "NEWKEYNEWKEYNEWKEYNEWKEY"),
        ("oldoldoldoldoldoldold\n", "NEWKEYNEWKEYNEWKEYNEWKEY"),
        ("1234567890123456789012345", "NEWKEYNEWKEYNEWKEYNEWKEY"),
        ("k9{,'$ a placeholder", "NEWKEYNEWKEYNEWKEYNEWKEY"),
        ("{9'(generated, but unlucky", "NEWKEYNEWKEYNEWKEYNEWKEY"),
        (
            r#" { "z" : 1.0, "apiKey" : "old", "a": [1e400, 0.10], "u":"é😀" , "big":12345678901234567890123 } "#,
            r#"{"z":1.0,"apiKey":"NEWKEYNEWKEYNEWKEYNEWKEY","a":[1e400, 0.10],"u":"é😀","big":12345678901234567890123}"#,
        ),
        (
            r#"{"twice":1,"twice":2,"lone":"\ud800","quo\"te":{}}"#,
            r#"{"twice":1,"twice":2,"lone":"\ud800","quo\"te":{},"apiKey":"NEWKEYNEWKEYNEWKEYNEWKEY"}"#,
        ),
    ] {
        assert_eq!(with_key(before), after);
    }
    let deep = format!(
        r#"{{"deep":{}1{}}}"#,
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    assert!(with_key(&deep).starts_with(&deep[..deep.len() - 1]));
}

#[test]
fn a_secret_that_cannot_be_rotated_is_refused_without_quoting_it() {
    for (text, expected) in [
        ("[\"hunter2\"]", InvalidSecret::NotAnObject),
        ("\"hunter2\"", InvalidSecret::NotAnObject),
        ("12345", InvalidSecret::NotAnObject),
        ("null", InvalidSecret::NotAnObject),
        (r#"{"apiKey":7}"#, InvalidSecret::KeyIsNoString),
        (r#"{"apiKey":null}"#, InvalidSecret::KeyIsNoString),
        (
            r#"{"apiKey":"\ud800hunter2"}"#,
            InvalidSecret::KeyIsNoString,
        ),
        (
            r#"{"apiKey":"hunter2","apiKey":"other"}"#,
            InvalidSecret::KeyTwice,
        ),
        (
            "\u{feff}{\"apiKey\":\"hunter2\"}",
            InvalidSecret::BrokenJson { line: 1, column: 1 },
        ),
        (
            "{apiKey:hunter2,url:x}",
            InvalidSecret::BrokenJson { line: 1, column: 2 },
        ),
        (
            r#"{"password":"hunter2",}"#,
            InvalidSecret::BrokenJson {
                line: 1,
                column: 23,
            },
        ),
    ] {
        let fault = SecretText::parse(text.into()).expect_err(text);
        assert_eq!(fault, expected);
        assert!(!fault.to_string().contains("hunter2"));
    }
}

#[test]
fn the_key_is_found_in_every_form_and_white_space_around_it_does_not_count() {
    let key = |text: &str| {
        SecretText::parse(text.into())
            .expect("valid")
            .key()
            .map(|key| key.expose().to_owned())
    };
    assert_eq!(
        key("abcdefghij0123456789\n").as_deref(),
        Some("abcdefghij0123456789")
    );
    assert_eq!(
        key(r#"{"apiKey":" abcdefghij0123456789 "}"#).as_deref(),
        Some("abcdefghij0123456789")
    );
    assert_eq!(key(r#"{"apiKey":""}"#), None);
    assert_eq!(key("a placeholder, no key"), None);
    assert_eq!(key("tooshorttobeakey"), None);
}

#[test]
fn a_fresh_key_has_40_alphanumerics_and_is_never_the_same() {
    let (one, other) = (ApiKeyValue::fresh(), ApiKeyValue::fresh());
    assert_eq!(one.expose().len(), 40);
    assert!(
        one.expose()
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric())
    );
    assert_ne!(one.expose(), other.expose());
    assert!(!format!("{one:?}").contains(one.expose()));
}

#[test]
fn the_mark_is_read_as_it_was_written_and_an_unreadable_or_future_one_counts_as_none() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_hours(500_000);
    let mark = Mark {
        superseded_at: now,
        by: VersionId::from(TOKEN),
        disabled_at: None,
    };
    let text = mark.to_string();
    assert_eq!(
        text,
        format!("Superseded at 2027-01-15T08:00:00Z by version {TOKEN}.")
    );
    assert_eq!(Mark::read(&text, now), Some(mark.clone()));
    let disabled = Mark {
        disabled_at: Some(now),
        ..mark
    };
    assert_eq!(Mark::read(&disabled.to_string(), now), Some(disabled));
    assert_eq!(Mark::read(&text, now - Duration::from_secs(1)), None);
    for unreadable in [
        "",
        "Superseded at noon by version x.",
        "Superseded at 2027-01-15T08:00:00Z",
        &mark::minted("s"),
    ] {
        assert_eq!(Mark::read(unreadable, now), None, "{unreadable}");
    }
    assert_eq!(mark::resumed_at(&mark::resumed("s", now)), Some(now));
}

#[test]
fn a_services_words_are_shown_without_anything_that_could_be_a_value() {
    let key = ApiKeyValue::fresh();
    let shown = masked(&format!(
        "no:{};\nInvalid Usage Plan ID specified, dp.st.prd.{}",
        key.expose(),
        key.expose()
    ));
    assert_eq!(
        shown,
        "no:[masked]; Invalid Usage Plan ID specified, dp.st.prd.[masked]"
    );
    assert_eq!(
        masked(&format!("the token {TOKEN} is not valid")),
        "the token [masked] is not valid"
    );
    assert_eq!(
        masked("not on arn:aws:apigateway:eu-west-1::/apikeys"),
        "not on arn:aws:apigateway:eu-west-1::/apikeys"
    );
    assert_eq!(masked_id(TOKEN), TOKEN);
    assert_eq!(masked_id(key.expose()), "[masked]");
    assert_eq!(
        masked_code("InternalServiceErrorException"),
        "InternalServiceErrorException"
    );
    assert_eq!(masked_code(key.expose()), "[masked]");
}
