//! Parsing: settings, events, the secret's text, and the mark in a key's description.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use api_key_rotation::adapters::description::{DescriptionText, InUseText, target_hash};
use api_key_rotation::adapters::refusal::{Answer, Cause};
use api_key_rotation::config::{Config, DopplerCredentials, documentation_url};
use api_key_rotation::decision::{
    InvalidSecret, KeyDescription, NoticeKind, Postponed, Replica, Replication, RotationStep,
    Supersession,
};
use api_key_rotation::handler::event::{Event, Purpose, Reconciliation};
use api_key_rotation::handler::event_error::EventError;
use api_key_rotation::ids::{KeyId, Target, VersionId};
use api_key_rotation::redact::Redacted;
use api_key_rotation::secret::{ApiKeyValue, SecretText};
use secrecy::ExposeSecret;

const TOKEN: &str = "11111111-1111-4111-8111-111111111111";

fn settings(variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables: HashMap<_, _> = variables.iter().copied().collect();
    Config::read(|name| variables.get(name).map(ToString::to_string))
        .map_err(|faults| faults.to_string())
}

#[test]
fn missing_settings_have_defaults() {
    let settings = settings(&[]).expect("nothing is required");
    assert_eq!(settings.secret_id, None);
    assert!(
        settings.secret.usage_plans.is_empty()
            && settings.secret.stage_keys.is_empty()
            && settings.secret.targets.is_empty()
    );
    assert_eq!(settings.secret.propagation_delay, Duration::from_mins(2));
    assert_eq!(settings.secret.grace_period, Duration::from_hours(24));
    assert_eq!(
        settings.secret.quarantine_period,
        Duration::from_hours(7 * 24)
    );
    assert_eq!(settings.documentation_url, "docs");
}

/// Where the pages are is an https URL or a relative path. Without the other settings it is read as well.
#[test]
fn documentation_url_is_url_or_relative_path() {
    let read = |url: &'static str| {
        let variables = [("DOCUMENTATION_URL", url)];
        let read = settings(&variables).map(|settings| settings.documentation_url);
        let lenient = documentation_url(|name| {
            let mut variables = variables.iter();
            let found = variables.find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        assert_eq!(read.clone().unwrap_or("docs".to_owned()), lenient, "{url}");
        read
    };
    for (url, expected) in [
        ("", "docs"),
        ("docs/", "docs"),
        ("../shared/pages", "../shared/pages"),
        (
            "https://git.example.com/team/rotation/blob/v0.2.0/docs",
            "https://git.example.com/team/rotation/blob/v0.2.0/docs",
        ),
        ("https://docs.example.com/", "https://docs.example.com"),
    ] {
        assert_eq!(read(url).as_deref(), Ok(expected));
    }
    for url in [
        "/docs",
        "/",
        "my docs",
        "docs?page=1",
        "http://docs.example.com",
        "ftp://docs.example.com",
        "https://docs.example.com/#errors",
        "https://docs.example.com/?page=",
        "https://me:hunter2@docs.example.com",
    ] {
        let fault = read(url).expect_err(url);
        assert!(fault.starts_with("DOCUMENTATION_URL "), "{fault}");
        assert!(!fault.contains("hunter2"), "{fault}");
    }
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
        ("PROPAGATION_DELAY", "30s"),
        ("GRACE_PERIOD", "0s"),
        ("QUARANTINE_PERIOD", "36h"),
    ])
    .expect("all are valid");
    assert_eq!(settings.secret.usage_plans, ["a1b2c3", "d4e5f6"]);
    assert_eq!(settings.secret.stage_keys[1].stage_name, "dev");
    assert_eq!(settings.secret.stage_keys.len(), 2);
    assert_eq!(settings.secret.targets[1].to_string(), "worker/prd_eu/KEY2");
    let doppler = settings.doppler.expect("targets are set");
    assert_eq!(doppler.api_url.as_str(), "http://127.0.0.1:4602/");
    assert!(doppler.create_missing);
    assert_eq!(settings.secret.grace_period, Duration::ZERO);
    assert_eq!(settings.secret.quarantine_period, Duration::from_hours(36));
}

/// Every fault of the settings is reported at once with an example and no value.
#[test]
fn every_setting_fault_is_reported_without_value() {
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
        ("PROPAGATION_DELAY", "soon"),
        ("GRACE_PERIOD", "-1h"),
        ("QUARANTINE_PERIOD", "7 parsecs"),
        ("AWS_ENDPOINT_URL", ""),
    ])
    .expect_err("nearly every setting is wrong");
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
        ("PROPAGATION_DELAY", 1),
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

const IDENTITY: &str = "0b1f0a6e-58c5-4b1c-9f0e-2d1a7c3e9b44";

/// Returns how the function gets its token with these settings.
fn credentials(more: &[(&str, &str)]) -> Result<DopplerCredentials, String> {
    let mirror = [("SECRET_ID", "s"), ("DOPPLER_TARGETS", "p/c/KEY")];
    let read = settings(&[&mirror, more].concat())?;
    Ok(read.doppler.expect("a target is set").credentials)
}

/// The default audience is of one identity alone.
#[test]
fn identity_has_audience_of_its_own() {
    let identity = |more: &[(&str, &str)]| match credentials(more) {
        Ok(DopplerCredentials::Identity(identity)) => identity,
        other => panic!("{other:?}"),
    };
    let default = identity(&[("DOPPLER_IDENTITY", IDENTITY)]);
    assert_eq!(default.id, IDENTITY);
    assert_eq!(default.audience, format!("doppler/{IDENTITY}"));
    let chosen = identity(&[
        ("DOPPLER_IDENTITY", IDENTITY),
        ("DOPPLER_AUDIENCE", "https://api.doppler.com"),
    ]);
    assert_eq!(chosen.audience, "https://api.doppler.com");
}

/// A mirror needs a stored token or an identity, and not both.
#[test]
fn mirror_needs_exactly_one_credential() {
    let [token, identity, audience] = [
        ("DOPPLER_TOKEN_SECRET_ID", "t"),
        ("DOPPLER_IDENTITY", IDENTITY),
        ("DOPPLER_AUDIENCE", "a"),
    ];
    let stored = credentials(&[token]).expect("a stored token");
    assert_eq!(stored, DopplerCredentials::TokenSecret("t".to_owned()));
    for (given, words) in [
        (
            &[][..],
            "DOPPLER_TOKEN_SECRET_ID or DOPPLER_IDENTITY is required",
        ),
        (
            &[token, identity],
            "DOPPLER_IDENTITY cannot be set together with DOPPLER_TOKEN_SECRET_ID",
        ),
        (&[token, audience], "DOPPLER_AUDIENCE has no effect without"),
    ] {
        let faults = credentials(given).expect_err(words);
        assert!(faults.starts_with(words), "{faults}");
        assert_eq!(faults.lines().count(), 1, "{faults}");
    }
}

/// An identity is a UUID in one spelling, and an audience can be named in a policy.
#[test]
fn malformed_identity_or_audience_is_refused() {
    let upper = IDENTITY.to_uppercase();
    for bad in [upper.as_str(), "0b1f0a6e", "dp.said.x", &IDENTITY[1..]] {
        let faults = credentials(&[("DOPPLER_IDENTITY", bad)]).expect_err(bad);
        assert!(faults.starts_with("DOPPLER_IDENTITY "), "{faults}");
        let quoted = faults.contains(bad) && !IDENTITY.contains(bad);
        assert!(!quoted, "it is quoted: {faults}");
    }
    for bad in ["${aws:username}", "a b", "*", &"a".repeat(257)] {
        let given = [("DOPPLER_IDENTITY", IDENTITY), ("DOPPLER_AUDIENCE", bad)];
        let faults = credentials(&given).expect_err(bad);
        assert!(faults.starts_with("DOPPLER_AUDIENCE "), "{faults}");
    }
}

#[test]
fn target_may_name_its_environment() {
    let targets = |text: &str| {
        let read = settings(&[
            ("SECRET_ID", "s"),
            ("DOPPLER_TARGETS", text),
            ("DOPPLER_TOKEN_SECRET_ID", "t"),
        ]);
        read.map(|settings| settings.secret.targets)
    };
    let named = targets("shop/dev_frontend/dev_frontend_eu/KEY,shop/dev_eu/KEY").expect("valid");
    assert_eq!(named[0].environment.as_deref(), Some("dev_frontend"));
    assert_eq!(named[0].config, "dev_frontend_eu");
    assert_eq!(
        named[0].to_string(),
        "shop/dev_frontend/dev_frontend_eu/KEY"
    );
    assert_eq!(named[1].environment, None);
    // Another environment does not make it another target.
    let unnamed = targets("shop/dev_frontend_eu/KEY").expect("valid");
    assert_eq!(named[0], unnamed[0]);
    for bad in ["p/e/e/c/KEY", "p//c/KEY", "p/e f/c/KEY", "p/KEY"] {
        let error = targets(bad).expect_err(bad);
        assert!(error.starts_with("DOPPLER_TARGETS item 1 "), "{error}");
    }
    // A repeated target changes nothing, even with another environment.
    let repeated = targets("p/c/KEY,p/e/c/KEY").expect("valid");
    assert_eq!(repeated.len(), 1);
    assert_eq!(repeated[0].to_string(), "p/c/KEY");
}

/// The template's pattern cannot compare the two lists, so an entry that is not a target is ignored.
#[test]
fn adopted_targets_are_among_targets() {
    let read = |adopted: &str| {
        settings(&[
            ("SECRET_ID", "s"),
            ("DOPPLER_TARGETS", "p/c/A,p/c/B,p/e/e_x/C"),
            ("DOPPLER_TOKEN_SECRET_ID", "t"),
            ("DOPPLER_ADOPT_TARGETS", adopted),
        ])
    };
    for (adopted, expected) in [
        ("", vec![]),
        ("p/c/B", vec!["p/c/B"]),
        (" p/c/B , p/c/A,p/c/B", vec!["p/c/A", "p/c/B"]),
        // The environment does not distinguish targets.
        ("p/e_x/C", vec!["p/e/e_x/C"]),
        ("p/c/OTHER,other/c/A,p/c/A", vec!["p/c/A"]),
    ] {
        let targets = read(adopted).expect("valid");
        let targets = targets.adopted_targets(&targets.secret);
        let targets: Vec<_> = targets.iter().map(ToString::to_string).collect();
        assert_eq!(targets, expected, "{adopted}");
    }
    for bad in ["p/c/a", "p/KEY", "p/c/PATH", "p/c/A,"] {
        let faults = read(bad).expect_err(bad);
        assert!(
            faults.starts_with("DOPPLER_ADOPT_TARGETS item "),
            "{faults}"
        );
        assert!(!faults.contains(bad), "{bad} is quoted: {faults}");
    }
}

/// Nothing is created in Doppler unless the setting says true.
#[test]
fn doppler_creates_only_if_setting_is_true() {
    let read = |text: &str| {
        let settings = settings(&[
            ("SECRET_ID", "s"),
            ("DOPPLER_TARGETS", "p/c/KEY"),
            ("DOPPLER_TOKEN_SECRET_ID", "t"),
            ("DOPPLER_CREATE_MISSING", text),
        ])?;
        Ok::<_, String>(settings.doppler.expect("a target is set").create_missing)
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

/// AWS itself answers `/ping` and `/sping`, with any key.
#[test]
fn probe_url_example_is_not_a_health_check() {
    let faults = settings(&[("SECRET_ID", "s"), ("PROBE_URL", "nowhere")]).expect_err("no URL");
    let (_, example) = faults.rsplit_once('=').expect("there is an example");
    assert!(example.starts_with("https://"), "{faults}");
    assert!(!example.ends_with("ping"), "{faults}");
    let read = settings(&[("SECRET_ID", "s"), ("PROBE_URL", example)]);
    read.unwrap_or_else(|faults| panic!("{faults}"));
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

/// Reads settings that are wrong in one variable, which is named and not quoted.
fn assert_only_fault(set: &[(&str, &str)], named: &str) {
    let faults = settings(set).expect_err(named);
    assert!(
        faults.starts_with(&format!("{named} ")),
        "{set:?}: {faults}"
    );
    assert_eq!(faults.lines().count(), 1, "{set:?}: {faults}");
    for (_, value) in set {
        // Shorter values occur in the messages by chance.
        let hides_value = value.len() < 8 || *value == "http://proxy" || !faults.contains(value);
        assert!(hides_value, "{faults}");
    }
}

/// The HTTP client would call directly, or nowhere.
#[test]
fn malformed_proxy_variable_is_a_fault() {
    for (set, named) in [
        // A password that is not encoded, a port that is not a number, and so on: the HTTP client would call directly.
        (
            vec![("HTTP_PROXY", "http://corp:pa/ss@proxy:3128")],
            "HTTP_PROXY",
        ),
        (vec![("HTTPS_PROXY", "http://proxy:3128x")], "HTTPS_PROXY"),
        (vec![("https_proxy", " http://proxy:3128")], "https_proxy"),
        (vec![("all_proxy", "http://proxy:3128 ")], "all_proxy"),
        (vec![("ALL_PROXY", "socks5://proxy:1080")], "ALL_PROXY"),
        (vec![("HTTPS_PROXY", "http://a:b@c@proxy")], "HTTPS_PROXY"),
        (vec![("HTTPS_PROXY", "http://a:%zz@proxy")], "HTTPS_PROXY"),
        (vec![("HTTPS_PROXY", "http://proxy:0")], "HTTPS_PROXY"),
        (vec![("HTTPS_PROXY", "http://proxy:")], "HTTPS_PROXY"),
        (vec![("HTTPS_PROXY", "http://proxy:65536")], "HTTPS_PROXY"),
        (
            vec![("HTTPS_PROXY", "http://proxy:3128/path")],
            "HTTPS_PROXY",
        ),
        (vec![("HTTPS_PROXY", "http://proxy:3128?a")], "HTTPS_PROXY"),
        (vec![("HTTPS_PROXY", "http:/proxy:3128")], "HTTPS_PROXY"),
        (vec![("HTTPS_PROXY", "proxy:3128/")], "HTTPS_PROXY"),
        (vec![("HTTPS_PROXY", "http://")], "HTTPS_PROXY"),
        (vec![("HTTPS_PROXY", "http://10.0.0.300:1")], "HTTPS_PROXY"),
        (vec![("HTTPS_PROXY", "http://[::1:3128")], "HTTPS_PROXY"),
        (vec![("HTTPS_PROXY", "http://pröxy:3128")], "HTTPS_PROXY"),
        (
            vec![("HTTPS_PROXY", ""), ("https_proxy", "http://proxy")],
            "HTTPS_PROXY",
        ),
        (
            vec![("HTTPS_PROXY", "http://proxy"), ("REQUEST_METHOD", "")],
            "HTTPS_PROXY",
        ),
        (vec![("NO_PROXY", "localhost:8080")], "NO_PROXY"),
        (vec![("NO_PROXY", "*.example.com")], "NO_PROXY"),
        (vec![("no_proxy", "a.example b.example")], "no_proxy"),
        (vec![("NO_PROXY", "10.0.0.0/33")], "NO_PROXY"),
        (vec![("NO_PROXY", "[::1]")], "NO_PROXY"),
        (vec![("NO_PROXY", "10.9.0")], "NO_PROXY"),
        (vec![("NO_PROXY", "http://a.example")], "NO_PROXY"),
        (
            vec![("NO_PROXY", ""), ("no_proxy", "a.example")],
            "NO_PROXY",
        ),
    ] {
        assert_only_fault(&set, named);
    }
}

#[test]
fn malformed_endpoint_variable_is_a_fault() {
    let long = "a".repeat(64);
    for (set, named) in [
        (vec![("AWS_CA_BUNDLE", "/no/such/file")], "AWS_CA_BUNDLE"),
        (vec![("SSL_CERT_FILE", "/no/such/file")], "SSL_CERT_FILE"),
        (
            vec![("AWS_USE_FIPS_ENDPOINT", "1")],
            "AWS_USE_FIPS_ENDPOINT",
        ),
        (
            vec![("AWS_USE_FIPS_ENDPOINT", " true")],
            "AWS_USE_FIPS_ENDPOINT",
        ),
        (
            vec![("AWS_USE_DUALSTACK_ENDPOINT", "yes")],
            "AWS_USE_DUALSTACK_ENDPOINT",
        ),
        (
            vec![("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "on")],
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
        ),
        (
            vec![
                ("AWS_USE_FIPS_ENDPOINT", "true"),
                ("AWS_ENDPOINT_URL", "https://a.example"),
            ],
            "AWS_USE_FIPS_ENDPOINT",
        ),
        (
            vec![
                ("AWS_USE_DUALSTACK_ENDPOINT", "true"),
                ("AWS_ENDPOINT_URL_API_GATEWAY", "https://a.example"),
            ],
            "AWS_USE_DUALSTACK_ENDPOINT",
        ),
        (
            vec![("AWS_ENDPOINT_URL", "http://a.example")],
            "AWS_ENDPOINT_URL",
        ),
        (
            vec![("AWS_ENDPOINT_URL_SECRETS_MANAGER", "http://172.17.0.1:4566")],
            "AWS_ENDPOINT_URL_SECRETS_MANAGER",
        ),
        (
            vec![("AWS_ENDPOINT_URL", "ftp://a.example")],
            "AWS_ENDPOINT_URL",
        ),
        (
            vec![("AWS_ENDPOINT_URL", " https://a.example")],
            "AWS_ENDPOINT_URL",
        ),
        (
            vec![("AWS_ENDPOINT_URL", "https://a.example?b")],
            "AWS_ENDPOINT_URL",
        ),
        (
            vec![("AWS_ENDPOINT_URL", "https://u:hunter2@a.example")],
            "AWS_ENDPOINT_URL",
        ),
        (vec![("AWS_REGION", "eu-west-1/x")], "AWS_REGION"),
        (vec![("AWS_DEFAULT_REGION", &long)], "AWS_DEFAULT_REGION"),
    ] {
        assert_only_fault(&set, named);
    }
}

#[test]
fn well_formed_library_variable_is_accepted() {
    for set in [
        vec![("HTTPS_PROXY", "http://proxy.example.com:3128")],
        vec![("https_proxy", "https://proxy:443/")],
        vec![("HTTP_PROXY", "proxy:3128")],
        vec![("HTTP_PROXY", "HTTP://user:p%40s$@10.1.2.3")],
        vec![("ALL_PROXY", "http://[fd00::1]:3128")],
        vec![("HTTP_PROXY", "")],
        vec![("REQUEST_METHOD", "GET")],
        vec![(
            "NO_PROXY",
            "localhost, .example.com,10.0.0.0/8,::1,fd00::/8,169.254.169.254,,*",
        )],
        vec![
            ("AWS_USE_FIPS_ENDPOINT", "False"),
            ("AWS_ENDPOINT_URL", "https://a.example/b"),
        ],
        vec![
            ("AWS_USE_DUALSTACK_ENDPOINT", "TRUE"),
            ("AWS_USE_FIPS_ENDPOINT", "true"),
        ],
        vec![("AWS_USE_FIPS_ENDPOINT", "")],
        // An endpoint that is ignored is not validated, as in other SDKs.
        vec![
            ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
            ("AWS_ENDPOINT_URL", "http://a.example"),
            ("AWS_USE_FIPS_ENDPOINT", "true"),
        ],
        vec![("AWS_ENDPOINT_URL", "http://[::1]:4566")],
        vec![
            ("AWS_ENDPOINT_URL", "http://host.docker.internal:4600"),
            ("AWS_SAM_LOCAL", "true"),
        ],
        vec![("AWS_REGION", "us-iso-east-1")],
    ] {
        settings(&set).unwrap_or_else(|faults| panic!("{set:?}: {faults}"));
    }
}

#[test]
fn event_of_each_step_is_read() {
    for (name, expected) in [
        ("create-secret", RotationStep::CreateSecret),
        ("set-secret", RotationStep::SetSecret),
        ("test-secret", RotationStep::TestSecret),
        ("finish-secret", RotationStep::FinishSecret),
    ] {
        let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let event = Event::parse(&json).expect("it is valid");
        assert!(matches!(event, Event::Rotation(event) if event.step == expected));
    }
}

fn reconciliation(json: &str) -> Result<Reconciliation, EventError> {
    match Event::parse(json)? {
        Event::Reconciliation(event) => Ok(event),
        Event::Rotation(event) => panic!("{json} was read as {event:?}"),
    }
}

/// A reconciliation is read from the function's own event, a schedule and a label event.
#[test]
fn reconciliation_is_read_from_every_source() {
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
            r#"{"Step":"reconcile","SecretId":"demo/key","GracePeriod":"1s"}"#.to_owned(),
            Reconciliation {
                grace: Some(Duration::from_secs(1)),
                ..named("demo/key")
            },
        ),
        (
            r#"{"Step":"emergencyStop","SecretId":"demo/key"}"#.to_owned(),
            Reconciliation {
                purpose: Purpose::EmergencyStop,
                ..named("demo/key")
            },
        ),
        (
            r#"{"Step":"status"}"#.to_owned(),
            Reconciliation {
                purpose: Purpose::Status,
                ..Reconciliation::default()
            },
        ),
        (
            r#"{"Step":"status","SecretId":"demo/key"}"#.to_owned(),
            Reconciliation {
                purpose: Purpose::Status,
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
                is_label_event: true,
                ..named(arn)
            },
        ),
        (
            notice("mine"),
            Reconciliation {
                is_label_event: true,
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
        "status",
    ] {
        let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        reconciliation(&json).expect("it is valid");
    }
}

/// A grace of zero was the emergency stop once. Now a mode that cuts consumers off has a step of its own.
#[test]
fn zero_grace_is_refused_and_names_emergency_stop() {
    for zero in ["0s", "0h", "000d"] {
        let event = format!(r#"{{"Step":"reconcile","SecretId":"s","GracePeriod":"{zero}"}}"#);
        let error = reconciliation(&event).expect_err(zero);
        let words = error.to_string();
        assert!(
            words.contains(r#"{"Step":"emergencyStop","SecretId":"#),
            "{words}"
        );
        assert!(matches!(
            error,
            EventError::InvalidField {
                name: "GracePeriod",
                ..
            }
        ));
    }
}

#[test]
fn wrong_reconciliation_gets_error_of_its_kind() {
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
            own(r#","GracePeriod":"1h""#),
            EventError::GracePeriodWithoutSecret,
        ),
        (
            r#"{"Step":"emergencyStop"}"#.to_owned(),
            EventError::MissingField("SecretId"),
        ),
        (
            r#"{"Step":"emergencyStop","SecretId":"s","GracePeriod":"1h"}"#.to_owned(),
            EventError::UnknownField,
        ),
        (
            r#"{"Step":"emergencyStop","SecretId":"s","GracePeriod":"0s"}"#.to_owned(),
            EventError::UnknownField,
        ),
        (
            r#"{"Step":"EmergencyStop","SecretId":"s"}"#.to_owned(),
            EventError::UnknownStep,
        ),
        (
            notice(
                "EC2 Instance State-change Notification",
                "aws.ec2",
                "[]",
                "{}",
            ),
            EventError::UnsupportedEvent,
        ),
        (
            notice("Secret Label Updated", "aws.secretsmanager", "[]", moved),
            EventError::UnsupportedEvent,
        ),
        (
            notice(
                "Secret Label Updated",
                "aws.secretsmanager",
                r#"["s"]"#,
                moved,
            ),
            EventError::UnsupportedEvent,
        ),
        (
            notice(
                "Secret Label Updated",
                "aws.secretsmanager",
                r#"["s"]"#,
                "{}",
            ),
            EventError::UnsupportedEvent,
        ),
        (
            notice("Scheduled Event", "another.source", "[]", "{}"),
            EventError::UnsupportedEvent,
        ),
        (
            notice("A guess", "aws.events", "[]", "{}"),
            EventError::UnsupportedEvent,
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

/// A wrong event gets an error of its kind that quotes nothing.
#[test]
fn wrong_event_gets_kind_and_quotes_nothing() {
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
fn event_with_any_version_id_is_read() {
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:demo/key-AbCdEf";
    for id in [
        "release-2026.12.05-edited-manually-0001",
        "x. Disabled at 2020-01-02T00:00:00Z",
        "'; touch pwned; echo '$(id) `id` \"\\",
        "\0\u{1b}[31m and thirty more letters\n\u{202e}",
        &"ü".repeat(32),
        &"日".repeat(64),
    ] {
        let json = serde_json::json!({ "Step": "createSecret", "SecretId": "s", "ClientRequestToken": id });
        let event = Event::parse(&json.to_string());
        assert!(!format!("{event:?}").contains(id), "{id:?} is printed");
        let Ok(Event::Rotation(event)) = event else {
            panic!("{id:?}: {event:?}");
        };
        assert_eq!(event.version.as_str(), id);
        let notice = serde_json::json!({
            "detail-type": "Secret Label Updated", "source": "aws.secretsmanager", "resources": [arn],
            "detail": { "name": "demo/key", "labelUpdated": "AWSCURRENT", "versionId": id },
        });
        let event = reconciliation(&notice.to_string()).expect("it is a notice");
        assert_eq!(event.moved_to, Some(VersionId::from(id)));
    }
    for id in [&"ü".repeat(31), &"x".repeat(65)] {
        let json = serde_json::json!({ "Step": "createSecret", "SecretId": "s", "ClientRequestToken": id });
        Event::parse(&json.to_string()).expect_err(id);
    }
}

#[test]
fn doppler_token_as_secret_id_is_refused() {
    let json = r#"{"Step":"reconcile","SecretId":"dp.st.prd.AAAAAAAAAAAAAAAAAAAA"}"#;
    let error = Event::parse(json).expect_err("it is a token").to_string();
    assert!(
        error.contains("not a Doppler token; replace that token"),
        "{error}"
    );
    assert!(!error.contains("AAAA"), "{error}");
}

#[test]
fn secret_id_is_masked_unless_it_is_arn() {
    let arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a-name-that-is-quite-long-indeed-AbCdEf";
    assert_eq!(Redacted::secret_id(arn).as_str(), arn);
    assert_eq!(
        Redacted::secret_id("demo/partner-api-key").as_str(),
        "demo/partner-api-key"
    );
    assert_eq!(
        Redacted::secret_id(ApiKeyValue::fresh().expose()).as_str(),
        "[masked]"
    );
    assert_eq!(Redacted::secret_id(TOKEN).as_str(), "[masked]");
}

#[test]
fn event_cannot_be_printed_with_its_rotation_token() {
    let json = format!(
        r#"{{"Step":"createSecret","SecretId":"s","ClientRequestToken":"{TOKEN}","RotationToken":"cafe{TOKEN}","New":1}}"#
    );
    let event = Event::parse(&json).expect("an unknown field is not a fault");
    assert!(matches!(&event, Event::Rotation(event) if event.rotation_token.is_some()));
    assert!(!format!("{event:?}").contains("cafe"));
}

#[test]
fn type_holding_value_is_not_printed() {
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

/// Every form of secret keeps its form and its other fields, byte for byte.
#[test]
fn every_secret_form_keeps_other_fields() {
    for (before, after) in [
        ("{}", r#"{"apiKey":"NEWKEYNEWKEYNEWKEYNEWKEY"}"#),
        (
            r#"{"apiKey":"old"}"#,
            r#"{"apiKey":"NEWKEYNEWKEYNEWKEYNEWKEY"}"#,
        ),
        ("oldoldoldoldoldoldold", "NEWKEYNEWKEYNEWKEYNEWKEY"),
        ("oldoldoldoldoldoldold\n", "NEWKEYNEWKEYNEWKEYNEWKEY"),
        ("1234567890123456789012345", "NEWKEYNEWKEYNEWKEYNEWKEY"),
        ("k9{,'$a-placeholder", "NEWKEYNEWKEYNEWKEYNEWKEY"),
        ("{9'(generated,but-unlucky", "NEWKEYNEWKEYNEWKEYNEWKEY"),
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

/// A secret that cannot be rotated is refused without quoting it.
#[test]
fn unusable_secret_is_refused_without_quoting() {
    for (text, expected) in [
        ("[\"hunter2\"]", InvalidSecret::NotAnObject),
        ("\"hunter2\"", InvalidSecret::NotAnObject),
        ("12345", InvalidSecret::NotAnObject),
        ("null", InvalidSecret::NotAnObject),
        (
            "A=1\nPARTNER_API_KEY=hunter2\nB=2\n",
            InvalidSecret::WhiteSpace,
        ),
        ("hunter2 and more", InvalidSecret::WhiteSpace),
        ("hunter2\u{0}hunter2", InvalidSecret::WhiteSpace),
        (r#"{"apiKey":7}"#, InvalidSecret::KeyIsNotString),
        (r#"{"apiKey":null}"#, InvalidSecret::KeyIsNotString),
        (
            r#"{"apiKey":"\ud800hunter2"}"#,
            InvalidSecret::KeyIsNotString,
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

/// The key is found in every form, and white space around it does not count.
#[test]
fn key_is_found_despite_white_space() {
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
    assert_eq!(key("tooshorttobeakey"), None);
}

/// A value that API Gateway accepts is a key, whatever its form; nothing else is a key.
#[test]
fn secret_text_of_any_form_holds_its_key() {
    let key = |text: &str| {
        let text = SecretText::parse(text.into()).unwrap_or_else(|fault| panic!("{text}: {fault}"));
        text.key().map(|key| key.expose().to_owned())
    };
    let longest = "a".repeat(128);
    for value in [
        "0b4c9a3e-6a51-4d0e-9f7e-2c1f6b1f9a57",
        "MyCustomToken#@&1234567890",
        "partner_live.2024-06/abcdef",
        "-12345678901234567890.5e3",
        "ключключключключключ",
        &longest,
    ] {
        assert_eq!(key(value).as_deref(), Some(value));
        assert_eq!(key(&format!(" {value}\n")).as_deref(), Some(value));
        let json = serde_json::json!({ "apiKey": value }).to_string();
        assert_eq!(key(&json).as_deref(), Some(value));
    }
    let too_long = "a".repeat(129);
    for placeholder in ["nineteen-characters", &too_long] {
        assert_eq!(key(placeholder), None);
        let json = serde_json::json!({ "apiKey": placeholder }).to_string();
        assert_eq!(key(&json), None);
    }
    assert_eq!(key(r#"{"apiKey":"a placeholder with white space"}"#), None);
}

/// A generated key has 40 alphanumerics, and no two are the same.
#[test]
fn generated_key_has_40_random_alphanumerics() {
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

/// Returns the current time in whole seconds, as it is written.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_hours(500_000)
}

const NOW: &str = "2027-01-15T08:00:00Z";
const BEFORE: &str = "2027-01-15T07:00:00Z";

#[test]
fn mark_written_is_read_as_it_was() {
    let before = now() - Duration::from_hours(1);
    let mark = Supersession::new(before, VersionId::from(TOKEN));
    let disabled = Supersession {
        disabled_at: Some(now()),
        ..mark.clone()
    };
    let revoked = Supersession {
        revoked_at: Some(now()),
        ..disabled.clone()
    };
    let postponed = Postponed {
        times: 3,
        at: now(),
    };
    let beginning = format!("Superseded at {BEFORE} by version {TOKEN}.");
    for (mark, ending) in [
        (mark.clone(), String::new()),
        (disabled, format!(" Disabled at {NOW}.")),
        (
            revoked.clone(),
            format!(" Disabled at {NOW}. Revoked at {NOW}."),
        ),
        (
            Supersession {
                postponed: Some(postponed),
                ..mark
            },
            format!(" Postponed 3 times, last at {NOW}."),
        ),
        (
            Supersession {
                postponed: Some(postponed),
                ..revoked
            },
            format!(" Disabled at {NOW}. Revoked at {NOW}. Postponed 3 times, last at {NOW}."),
        ),
    ] {
        assert_eq!(mark.to_string(), format!("{beginning}{ending}"));
        let read = DescriptionText::parse(&mark.to_string(), now());
        assert_eq!(read, DescriptionText::Superseded(mark));
    }
}

#[test]
fn in_use_text_survives_writing_and_reading() {
    let in_use = InUseText::new("shop/prod.key");
    let hashes = ["prd", "prd_eu"].map(|config| {
        target_hash(&Target {
            project: "shop".to_owned(),
            environment: None,
            config: config.to_owned(),
            name: "KEY".to_owned(),
        })
    });
    // printf shop/prd/KEY | sha256sum
    assert_eq!(hashes, ["d3fa92790a47", "5f9a5de66ffc"]);
    let resumed = InUseText {
        resumed_at: Some(now()),
        ..in_use.clone()
    };
    let unfinished = InUseText {
        unfinished: true,
        targets: hashes.clone().into(),
        ..in_use.clone()
    };
    let [one, other] = hashes;
    let mirrored = InUseText {
        targets: [one.clone()].into(),
        ..resumed.clone()
    };
    for (in_use, ending) in [
        (in_use, String::new()),
        (resumed, format!(" Resumed at {NOW}.")),
        (
            unfinished,
            format!(" Not on all of its usage plans yet. Mirrored to {other}, {one}."),
        ),
        (mirrored, format!(" Resumed at {NOW}. Mirrored to {one}.")),
    ] {
        let text = in_use.to_string();
        assert_eq!(
            text,
            format!("Created for the secret shop/prod.key.{ending}")
        );
        let read = DescriptionText::parse(&text, now());
        assert_eq!(read, DescriptionText::InUse(in_use.clone()));
        // As version 0.1.0 wrote it.
        let earlier = text.replacen("Created for", "Minted for", 1);
        let read = DescriptionText::parse(&earlier, now());
        assert_eq!(read, DescriptionText::InUse(in_use));
    }
}

#[test]
fn description_names_last_notice() {
    let at = now();
    for (notice, word) in [
        (NoticeKind::Superseded, "superseding"),
        (NoticeKind::Held, "holding"),
        (NoticeKind::Disabled, "disabling"),
        (NoticeKind::Revoked, "revocation"),
    ] {
        let mark = Supersession {
            notice: Some((notice, at)),
            ..Supersession::new(at, VersionId::from("x"))
        };
        let text = format!("Superseded at {NOW} by version x. Notified of {word} at {NOW}.");
        assert_eq!(mark.to_string(), text);
        let read = DescriptionText::parse(&text, now());
        assert_eq!(read, DescriptionText::Superseded(mark));
    }
}

#[test]
fn description_with_anything_else_is_other() {
    let hash = "0123456789ab";
    for text in [
        "",
        "Superseded at noon by version x.",
        "Superseded at 2027-01-15T08:00:00Z",
        "Superseded at 2027-01-15T08:00:00Z by version x",
        "Superseded at 2027-01-15T08:00:00.5Z by version x.",
        "Superseded at 2027-01-15 08:00:00Z by version x.",
        "Superseded at 2027-01-15T08:00:00Z by version .",
        "Superseded at 2027-01-15T08:00:00Z by version it's.",
        "Superseded at 2027-01-15T08:00:00Z by version sha256:12.",
        "Superseded at 2027-01-15T08:00:00Z by version x. ",
        " Superseded at 2027-01-15T08:00:00Z by version x.",
        "Superseded at 2027-01-15T08:00:00Z by version x. Disabled at noon.",
        "Superseded at 2027-01-15T08:00:00Z by version x. Disabled at 2027-01-15T08:00:00Z",
        "Superseded at 2027-01-15T08:00:00Z by version x.\nDisabled at 2027-01-15T08:00:00Z.",
        "Superseded at 2027-01-15T08:00:00Z by version a b. Disabled at 2027-01-15T08:00:00Z.",
        "Superseded at 2027-01-15T08:00:00Z by version x. Revoked at 2027-01-15T08:00:00Z. Disabled at 2027-01-15T08:00:00Z.",
        "Superseded at 2027-01-15T08:00:00Z by version x. Disabled at 2027-01-15T08:00:00Z. Disabled at 2027-01-15T08:00:00Z.",
        "Superseded at 2027-01-15T08:00:00Z by version x. Postponed 03 times, last at 2027-01-15T08:00:00Z.",
        "Superseded at 2027-01-15T08:00:00Z by version x. Postponed 4294967296 times, last at 2027-01-15T08:00:00Z.",
        "Superseded at 2027-01-15T08:00:00Z by version x. Notified of delay at 2027-01-15T08:00:00Z.",
        "Superseded at 2027-01-15T08:00:00Z by version x. Notified of holding at noon.",
        "Superseded at 2027-01-15T08:00:00Z by version x. Notified of holding at 2027-01-15T08:00:00Z. Disabled at 2027-01-15T08:00:00Z.",
        "Created for the secret .",
        "Created for the secret s",
        "Created for the secret s t.",
        "Created for the secret s. Superseded at 2027-01-15T08:00:00Z by version x.",
        "Created for the secret s. Resumed at noon.",
        "Created for the secret s. Resumed at 2027-01-15T08:00:00Z. Not on all of its usage plans yet.",
        "Created for the secret s. Mirrored to .",
        "Created for the secret s. Mirrored to 0123456789AB.",
        &format!("Created for the secret s. Mirrored to {hash}"),
        &format!("Created for the secret s. Mirrored to {hash}, {hash}."),
        &format!("Created for the secret s. Mirrored to {hash}, 0000456789ab."),
        &format!("Created for the secret s. Mirrored to {hash}. Resumed at {NOW}."),
        &format!("Superseded at {NOW} by version {}.", "x".repeat(65)),
    ] {
        assert_eq!(
            DescriptionText::parse(text, now()),
            DescriptionText::Other,
            "{text}"
        );
    }
}

/// Descriptions of earlier releases, and descriptions with times in the future.
#[test]
fn mark_with_dots_or_future_times_is_read() {
    let dots = "release-2026.12.05-edited-manually";
    let text = format!("Superseded at {NOW} by version {dots}. Disabled at {NOW}.");
    let mark = Supersession {
        disabled_at: Some(now()),
        ..Supersession::new(now(), VersionId::from(dots))
    };
    let read = DescriptionText::parse(&text, now());
    assert_eq!(read, DescriptionText::Superseded(mark));

    let ahead = "2028-01-15T08:00:00Z";
    let superseded = format!("Superseded at {ahead} by version x.");
    let postponed = format!("{superseded} Postponed 1 times, last at {ahead}.");
    // What it says of targets has no time.
    let hash = "0123456789ab";
    let naming = format!("{superseded} Mirrored to {hash}.");
    assert!(DescriptionText::parse(&naming, now()).names_target(hash));
    for text in [&superseded, &postponed, &naming] {
        let read = DescriptionText::parse(text, now());
        assert!(matches!(read, DescriptionText::Ahead(_)), "{text}");
        assert_ne!(read.fact(), KeyDescription::Other, "{text}");
    }
    for (ending, disabled_at, revoked_at) in [
        ("Disabled", Some(now()), None),
        ("Revoked", None, Some(now())),
    ] {
        let read = DescriptionText::parse(&format!("{superseded} {ending} at {ahead}."), now());
        let cut = Supersession {
            disabled_at,
            revoked_at,
            ..Supersession::new(now(), VersionId::from("x"))
        };
        assert_eq!(read, DescriptionText::Superseded(cut), "{ending}");
    }
}

/// Such a mark would postpone a key in every run and never count.
#[test]
fn postponement_of_the_future_is_left_out() {
    let text = format!(
        "Superseded at {NOW} by version x. Postponed 7 times, last at 9999-12-31T23:59:59Z."
    );
    let read = DescriptionText::parse(&text, now());
    let mark = Supersession::new(now(), VersionId::from("x"));
    assert_eq!(read, DescriptionText::Superseded(mark));
}

#[test]
fn newest_time_of_mark_is_any_of_them() {
    let (old, new) = (now() - Duration::from_hours(1), now());
    let mark = || Supersession::new(old, VersionId::from("x"));
    assert_eq!(mark().newest(), old);
    let postponed = Some(Postponed { times: 1, at: new });
    for mark in [
        Supersession::new(new, VersionId::from("x")),
        Supersession {
            disabled_at: Some(new),
            ..mark()
        },
        Supersession {
            revoked_at: Some(new),
            ..mark()
        },
        Supersession {
            postponed,
            ..mark()
        },
    ] {
        assert_eq!(mark.newest(), new, "{mark}");
    }
}

#[test]
fn version_id_outside_alphabet_is_hashed() {
    for plain in [TOKEN, "x", "new_2", &"x".repeat(64)] {
        let id = VersionId::from(plain);
        assert_eq!((id.as_str(), id.text()), (plain, plain));
    }
    let raw = "release-2026.12.05-edited-manually-0001";
    let id = VersionId::from(raw);
    // printf %s release-2026.12.05-edited-manually-0001 | sha256sum
    let text = "sha256:d10156cf05a125c861917a6ccf1666a9d2b67da637ba3b629809674db1900f2f";
    assert_eq!((id.as_str(), id.text()), (raw, text));
    assert_eq!(format!("{id} {id:?}"), format!("{text} \"{text}\""));
    // As it is read from a name, a tag or a mark.
    assert_eq!(VersionId::from(text), id);
    assert_eq!(VersionId::from(text).text(), text);
    for other in ["", &"x".repeat(65), "sha256:12", "a b", "a'b", "a\nb", "é"] {
        assert!(
            VersionId::from(other).text().starts_with("sha256:"),
            "{other}"
        );
    }
}

#[test]
fn key_id_that_is_hidden_is_never_printed() {
    let id = KeyId::hidden("kEySameAsIdkEySameAsId");
    assert_eq!(format!("{id} {id:?}"), "[masked] \"[masked]\"");
    assert_eq!(id, KeyId::from("kEySameAsIdkEySameAsId"));
    assert_eq!(id.as_str(), "kEySameAsIdkEySameAsId");
}

/// A service's message is shown without anything that could be a value.
#[test]
fn service_message_is_shown_without_values() {
    let key = ApiKeyValue::fresh();
    let shown = Redacted::message(&format!(
        "no:{};\nInvalid Usage Plan ID specified, dp.st.prd.{}",
        key.expose(),
        key.expose()
    ));
    assert_eq!(
        shown.as_str(),
        "no:[masked]; Invalid Usage Plan ID specified, dp.st.prd.[masked]"
    );
    assert_eq!(
        Redacted::message(&format!("the token {TOKEN} is not valid")).as_str(),
        "the token [masked] is not valid"
    );
    assert_eq!(
        Redacted::message("not on arn:aws:apigateway:eu-west-1::/apikeys").as_str(),
        "not on arn:aws:apigateway:eu-west-1::/apikeys"
    );
    assert_eq!(Redacted::id(TOKEN).as_str(), TOKEN);
    assert_eq!(Redacted::id(key.expose()).as_str(), "[masked]");
    assert_eq!(
        Redacted::code("InternalServiceErrorException").as_str(),
        "InternalServiceErrorException"
    );
    assert_eq!(Redacted::code(key.expose()).as_str(), "[masked]");
}

/// The service model has five statuses. An unknown status must not make a rotation wait until it fails.
#[test]
fn replica_status_is_read_and_unknown_ones_fail() {
    use Replication::{Detached, Failed, InSync, Underway};
    let read = |status| Replica::read("eu-west-1", status, Some("why"));
    for (status, expected, message) in [
        (Some("InSync"), InSync, "why"),
        (Some("InProgress"), Underway, "why"),
        (Some("Pending"), Underway, "why"),
        (Some("Failed"), Failed, "why"),
        (Some("Detached"), Detached, "why"),
        (
            Some("insync"),
            Failed,
            "unknown replication status insync: why",
        ),
        (Some(""), Failed, "unknown replication status : why"),
        (None, Failed, "no replication status: why"),
    ] {
        let replica = read(status);
        let read = (replica.status, replica.message.as_str());
        assert_eq!(read, (expected, message), "{status:?}");
        assert_eq!(replica.region.as_str(), "eu-west-1");
    }
    let silent = |status| Replica::read("eu-west-1", status, None).message.to_string();
    assert_eq!(silent(Some("Failed")), "");
    assert_eq!(silent(None), "no replication status");
}

/// An operator who may replicate the secret chooses some of the text.
#[test]
fn replica_shows_no_value_and_no_control_character() {
    let key = ApiKeyValue::fresh();
    let text = format!("a{}\u{1b}[0m\n{}", "\u{7}", key.expose());
    let long = "word ".repeat(1000);
    let replica = Replica::read(&text, Some(&text), Some(&format!("{text} {long}")));
    let shown = format!("{replica:?}");
    assert!(!shown.contains(key.expose()) && !shown.contains("\\n") && !shown.contains("\\u{"));
    let message = replica.message.as_str();
    assert!(message.contains("[masked]") && message.chars().count() <= 500);
}

// Refusals by Doppler.

fn refused(status: u16, has_envelope: bool, message: &str) -> Answer {
    Answer {
        status,
        has_envelope,
        message: Redacted::message(message),
        retryable: false,
    }
}

/// Every status, with Doppler's JSON and with a page.
///
/// Cloudflare's own 5xx are transient, and only a transient error says that waiting helps.
#[test]
fn doppler_status_and_body_decide_cause() {
    for status in 300..=599 {
        for has_envelope in [true, false] {
            let expected = match (status, has_envelope) {
                (408 | 429 | 500..=599, _) => Cause::Passing,
                (300..=399 | 404, _) | (405, true) => Cause::WrongUrl,
                (423, _) => Cause::Policy,
                (407, _) | (_, false) => Cause::Firewall,
                (401, true) => Cause::Token,
                (403, true) => Cause::Permission,
                (_, true) => Cause::Named,
            };
            let answer = refused(status, has_envelope, "");
            assert_eq!(answer.cause(), expected, "{status} {has_envelope}");
            let passes = expected == Cause::Passing;
            assert_eq!(answer.may_pass(), passes);
            let advice = expected.advice();
            assert_eq!(advice.contains("nothing is lost"), passes, "{advice}");
            let waits = advice.contains("waiting does not help");
            assert_eq!(waits, !passes && expected != Cause::Token, "{advice}");
        }
    }
}

#[test]
fn doppler_message_decides_cause_of_client_errors() {
    for (message, expected) in [
        (
            "This token does not have access to requested config 'prd'",
            Cause::Hidden,
        ),
        (
            "Could not find requested project 'protected'",
            Cause::Hidden,
        ),
        ("Please provide a valid config.", Cause::Hidden),
        ("This config requires a Change Request", Cause::Policy),
        ("The config is protected", Cause::Policy),
        ("Your changes need approval by 2 others", Cause::Policy),
        (
            "Requests from this IP address are not allowed",
            Cause::Firewall,
        ),
        ("Not in the Trusted IPs of the workplace", Cause::Firewall),
    ] {
        // A 200 that says `success: false` is a refusal, too.
        for status in [200, 400, 401, 403, 404, 409, 422] {
            let answer = refused(status, true, message);
            assert_eq!(answer.cause(), expected, "{status} {message}");
            assert!(!answer.may_pass());
        }
        assert!(refused(503, true, message).may_pass(), "{message}");
    }
    let named = refused(
        400,
        true,
        "Secret name \"k\" may only contain uppercase letters",
    );
    assert_eq!(named.cause(), Cause::Named);
}

#[test]
fn doppler_reply_may_request_another_try() {
    let mut answer = refused(409, true, "busy");
    assert!(!answer.may_pass());
    answer.retryable = true;
    assert!(answer.may_pass());
}

#[test]
fn doppler_refusal_displays_status_and_words() {
    for (answer, expected) in [
        (refused(423, true, "no"), "423 Locked (no)"),
        (
            refused(403, false, ""),
            "403 Forbidden (without Doppler's JSON)",
        ),
        (refused(526, false, ""), "526 (without Doppler's JSON)"),
        (refused(404, true, ""), "404 Not Found"),
    ] {
        assert_eq!(answer.to_string(), expected);
    }
}
