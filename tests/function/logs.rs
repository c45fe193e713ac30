//! What the function says of a run: the words and fields of its log lines, the last line, and what a report has checked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::support::role::TEMPLATE;
use crate::support::{CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder, binary};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

/// The fields that name what a line is about.
const SUBJECTS: [&str; 4] = ["key_id", "usage_plan_id", "doppler_target", "version"];

/// The log's lines, without the metrics.
fn lines(env: &TestEnv) -> Vec<Value> {
    let log = env.log();
    let lines = log.lines().map(serde_json::from_str);
    lines.map(|line| line.expect("a line of JSON")).collect()
}

fn text<'a>(line: &'a Value, field: &str) -> &'a str {
    line[field].as_str().unwrap_or_default()
}

/// Two rotations, a reconciliation that repairs drift, and two that disable and delete the superseded key: all changes that
/// ordinary days bring.
async fn ordinary_days() -> TestEnv {
    let env = TestEnvBuilder::quick()
        .env("GRACE_PERIOD", "24h")
        .start()
        .await;
    env.rotate().await;
    env.rotate().await;
    let current = env.sandbox.key_with_value(&env.current_key());
    let current = current.expect("it was created").id;
    env.sandbox
        .doppler()
        .set_value(PROJECT, CONFIG, "PARTNER_API_KEY", "edited");
    env.sandbox.delete_key(&current);
    for days in [0, 1, 7] {
        env.sandbox.advance(Duration::from_hours(days * 24));
        env.reconcile(json!({})).await;
    }
    env
}

/// Each change is one line at INFO in the past tense, with the operation and all that it names in fields of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_logged_with_their_fields() {
    let env = ordinary_days().await;
    let mut seen = BTreeMap::new();
    for line in lines(&env) {
        assert!(line.get("operation").is_none(), "{line}");
        if line["level"] != "INFO" || line.get("action").is_none() {
            continue;
        }
        let fields = SUBJECTS
            .into_iter()
            .filter(|field| line[*field].is_string());
        let fields: Vec<_> = fields.collect();
        let message = text(&line, "message");
        for field in &fields {
            // The version of a value that is stored and of a key that is created stands in its field only.
            let is_named = message.contains(text(&line, field));
            assert!(is_named || *field == "version", "{field}: {line}");
        }
        let verb = message.split(' ').next().unwrap_or_default().to_owned();
        let action = (text(&line, "action").to_owned(), verb);
        let known = seen.entry(action).or_insert_with(|| fields.clone());
        assert_eq!(*known, fields, "{line}");
    }
    let expected = [
        (("PutSecretValue", "stored"), &["version"][..]),
        (("CreateApiKey", "created"), &["key_id", "version"]),
        (
            ("CreateUsagePlanKey", "attached"),
            &["key_id", "usage_plan_id"],
        ),
        (("UpdateSecrets", "wrote"), &["doppler_target"]),
        (("UpdateSecretVersionStage", "promoted"), &["version"]),
        (("UpdateSecretVersionStage", "removed"), &["version"]),
        (("UpdateApiKey", "recorded"), &["key_id"]),
        (("UpdateApiKey", "marked"), &["key_id"]),
        (("UpdateApiKey", "disabled"), &["key_id"]),
        (("DeleteApiKey", "deleted"), &["key_id"]),
    ];
    let expected = expected.map(|((action, verb), fields)| {
        let action = (action.to_owned(), verb.to_owned());
        (action, fields.to_vec())
    });
    assert_eq!(seen, BTreeMap::from(expected));
}

/// Each change in the words of the log, which are those of the report.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_told_in_past_tense() {
    let env = ordinary_days().await;
    let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
    let (key, time) = ("[a-z0-9]{10}", r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ");
    let target = format!("{PROJECT}/{CONFIG}/PARTNER_API_KEY");
    let expected = [
        "stored a new value in the pending version".to_owned(),
        format!("created API key {key} with the (pending|current) value"),
        format!("attached API key {key} to usage plan [a-z0-9]+"),
        format!("wrote the (pending|current) key to the Doppler target {target}"),
        format!("promoted version {uuid} to AWSCURRENT"),
        format!("removed AWSPENDING from version {uuid}"),
        format!("recorded with API key {key} that it is complete from now on"),
        format!("recorded with API key {key} which Doppler targets were written"),
        format!("marked API key {key} as superseded"),
        format!("disabled API key {key}, superseded since {time}"),
        format!("deleted API key {key}, disabled since {time}"),
    ];
    let expected = expected.map(|pattern| {
        let pattern = format!("^{pattern}$");
        regex::Regex::new(&pattern).expect("it is a pattern")
    });
    let mut seen = BTreeSet::new();
    for line in lines(&env) {
        if line["level"] != "INFO" || line.get("action").is_none() {
            continue;
        }
        let message = text(&line, "message");
        let found = expected.iter().position(|words| words.is_match(message));
        seen.insert(found.unwrap_or_else(|| panic!("{message}")));
    }
    assert_eq!(seen.len(), expected.len(), "{seen:?}");
    let report = env.reconcile(json!({})).await;
    assert_eq!(
        report["secrets"][0]["secret"],
        env.sandbox.secret(SECRET).arn
    );
}

/// Reads are at DEBUG, also with their fields. What is waited for is at INFO, and `PROBE_URL` is the service that answers it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_are_debug_and_probe_is_info() {
    let env = TestEnvBuilder::default().start().await;
    env.rotate().await;
    env.rotate().await;
    let lines = lines(&env);
    let line = |words: &str| {
        let mut lines = lines.iter();
        lines
            .find(|line| text(line, "message").starts_with(words))
            .unwrap_or_else(|| panic!("{words} is not in {}", env.log()))
    };
    for (words, level, action, field) in [
        ("described the secret", "DEBUG", "DescribeSecret", None),
        (
            "read the pending version",
            "DEBUG",
            "GetSecretValue",
            Some("version"),
        ),
        ("listed this secret's API keys", "DEBUG", "GetApiKeys", None),
        (
            "read the Doppler target",
            "DEBUG",
            "GetSecret",
            Some("doppler_target"),
        ),
        ("the gateway accepted the new key", "INFO", "Probe", None),
    ] {
        let line = line(words);
        assert_eq!(
            (text(line, "level"), text(line, "action")),
            (level, action),
            "{line}"
        );
        let fields = SUBJECTS.into_iter().filter(|name| line[*name].is_string());
        assert_eq!(
            fields.collect::<Vec<_>>(),
            field.into_iter().collect::<Vec<_>>(),
            "{line}"
        );
        if action == "Probe" {
            assert_eq!(line["service"], "PROBE_URL");
        }
    }
}

/// The line that the invocation writes last: an ERROR line, or the one with its outcome.
async fn last_line(env: &TestEnv, event: Value) -> Value {
    env.sandbox.clear_function_log();
    // Its lines may come a moment after the answer.
    let answer = env.sandbox.invoke(event.to_string()).await;
    drop(answer);
    tokio::time::sleep(Duration::from_millis(200)).await;
    lines(env).pop().expect("there is one")
}

fn step(env: &TestEnv, token: &str, step: &str) -> Value {
    let arn = env.sandbox.secret(SECRET).arn;
    json!({ "Step": step, "SecretId": arn, "ClientRequestToken": token })
}

/// Every kind of invocation that succeeds ends with a line at INFO that says so, with one of a few outcomes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_invocation_ends_with_its_outcome() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let superseded = env.sandbox.key_with_value(&env.current_key());
    let superseded = superseded.expect("it was created").id;
    let token = env.sandbox.begin_rotation(SECRET);
    for (name, outcome) in [
        ("createSecret", "step finished"),
        ("setSecret", "step finished"),
        ("testSecret", "step finished"),
        ("finishSecret", "rotation finished"),
    ] {
        let line = last_line(&env, step(&env, &token, name)).await;
        let told = (text(&line, "level"), text(&line, "outcome"));
        assert_eq!(told, ("INFO", outcome), "{line}");
        assert_eq!(line["span"]["step"], name, "{line}");
        let message = text(&line, "message");
        if outcome == "step finished" {
            assert_eq!(message, format!("{name} finished"));
        } else {
            let current = env.sandbox.key_with_value(&env.current_key());
            let current = current.expect("it was created").id;
            assert_eq!(line["key_id"], current);
            let words = format!(
                "rotation finished: key {current} is current, key {superseded} is superseded and will be disabled after 20"
            );
            assert!(
                message.starts_with(&words) && message.ends_with('Z'),
                "{line}"
            );
            let report = env.reconcile(json!({})).await;
            let keys = report["secrets"][0]["status"]["keys"]
                .as_array()
                .expect("a list");
            let key = keys
                .iter()
                .find(|key| key["id"] == superseded)
                .expect("it is there");
            assert!(
                message.ends_with(text(key, "nextTransitionAt")),
                "{line}: {key}"
            );
        }
    }
    let arn = env.sandbox.secret(SECRET).arn;
    let reconcile = json!({ "Step": "reconcile" });
    let stop = json!({ "Step": "emergencyStop", "SecretId": arn });
    for (event, outcome, message) in [
        (
            &reconcile,
            "reconciled",
            "reconciled 1 secret: nothing to do",
        ),
        (
            &stop,
            "emergency stop finished",
            "emergency stop finished: 2 changes",
        ),
        (
            &stop,
            "emergency stop finished",
            "emergency stop finished: nothing to do",
        ),
    ] {
        let line = last_line(&env, event.clone()).await;
        let told = (
            text(&line, "level"),
            text(&line, "outcome"),
            text(&line, "message"),
        );
        assert_eq!(told, ("INFO", outcome, message), "{line}");
    }
    let current = env
        .sandbox
        .key_with_value(&env.current_key())
        .expect("it is there");
    env.sandbox.set_key_enabled(&current.id, false);
    let line = last_line(&env, reconcile).await;
    assert_eq!(line["message"], "reconciled 1 secret: 1 issue", "{line}");
}

/// A test rotation says that it passed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_rotation_says_that_it_passed() {
    let env = TestEnvBuilder::default().start().await;
    env.rotate().await;
    env.sandbox.clear_function_log();
    let outcome = env.sandbox.test_rotation(SECRET).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
    tokio::time::sleep(Duration::from_millis(200)).await;
    let line = lines(&env).pop().expect("there is one");
    assert_eq!(line["outcome"], "test rotation passed", "{line}");
    assert_eq!(line["message"], "test rotation passed", "{line}");
    assert!(env.log().contains("the gateway accepted the current key"));
}

/// An event about a foreign secret, of which a fleet hears, is ignored and not an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_about_foreign_secret_is_ignored() {
    let env = TestEnvBuilder::plain()
        .env("SECRET_ID", "")
        .inheriting()
        .start()
        .await;
    let foreign = env.sandbox.create_secret("foreign", Some("{}"));
    let event = json!({
        "source": "aws.secretsmanager", "detail-type": "Secret Label Updated", "resources": [foreign],
        "detail": { "labelUpdated": "AWSCURRENT", "versionId": "0".repeat(32) },
    });
    let line = last_line(&env, event).await;
    assert_eq!(
        (text(&line, "level"), text(&line, "outcome")),
        ("INFO", "ignored"),
        "{line}"
    );
}

/// An invocation that fails ends with a line at ERROR, which names the page and anchor of its type.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_invocation_ends_with_error_and_help() {
    let env = TestEnvBuilder::quick().start().await;
    let unknown = step(&env, &"0".repeat(32), "createSecret");
    let foreign =
        json!({ "Step": "reconcile", "SecretId": env.sandbox.create_secret("foreign", None) });
    let https = "https://git.example.com/team/api-key-rotation/docs";
    for (url, base) in [("", "docs"), (https, https)] {
        env.redeploy_unrestricted(&[("DOCUMENTATION_URL", url)])
            .await;
        for (event, error_type) in [
            (json!([]), "MalformedEvent"),
            (unknown.clone(), "UnknownVersion"),
            (foreign.clone(), "SecretNotManaged"),
        ] {
            let line = last_line(&env, event).await;
            assert_eq!(
                (text(&line, "level"), text(&line, "error_type")),
                ("ERROR", error_type),
                "{line}"
            );
            let help = format!("{base}/errors.md#{}", error_type.to_lowercase());
            assert_eq!(line["help"], help, "{line}");
        }
    }
    // Also of the settings themselves.
    for (url, base) in [(https, https), ("ftp://example.com", "docs")] {
        env.redeploy_unrestricted(&[("DOCUMENTATION_URL", url), ("GRACE_PERIOD", "a day")])
            .await;
        let line = last_line(&env, json!({ "Step": "reconcile" })).await;
        assert_eq!(line["error_type"], "InvalidSettings", "{line}");
        assert_eq!(
            line["help"],
            format!("{base}/errors.md#invalidsettings"),
            "{line}"
        );
    }
}

fn checked(report: &Value) -> Vec<&str> {
    let words = report["checked"].as_array().expect("a list").iter();
    words.map(|words| words.as_str().expect("a text")).collect()
}

/// A report says what was verified, before what was done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_says_what_was_checked() {
    let env = TestEnvBuilder::default().start().await;
    env.rotate().await;
    let first = env
        .sandbox
        .key_with_value(&env.current_key())
        .expect("it was created")
        .id;
    let token = env.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret"] {
        env.step(&token, step).await;
    }
    let target = format!("the Doppler target {PROJECT}/{CONFIG}/PARTNER_API_KEY holds");
    let report = env.step(&token, "testSecret").await;
    let expected = [
        "the pending version holds a key".to_owned(),
        "AWSCURRENT holds a key".to_owned(),
        format!("{target} the current key"),
        "the gateway refused a random key and accepted the new key 3 times".to_owned(),
    ];
    assert_eq!(checked(&report), expected);
    let finished = env.step(&token, "finishSecret").await;
    let second = env
        .sandbox
        .key_with_value(&env.current_key())
        .expect("it was created")
        .id;
    let current = format!("AWSCURRENT holds API key {second}, which is enabled");
    let number = "API Gateway has 2 API keys of this secret".to_owned();
    let now = format!("{target} the current key");
    assert_eq!(
        checked(&finished),
        [current.clone(), number.clone(), now.clone()]
    );
    let report = env.reconcile(json!({ "SecretId": SECRET })).await;
    let plan = format!("usage plan {} has API key {second}", env.plans[0]);
    assert_eq!(checked(&report["secrets"][0]), [current, number, plan, now]);
    assert!(env.sandbox.keys().iter().any(|key| key.id == first));
}

/// The fields of a line, those of its span with the span's name before them.
fn fields(line: &Value) -> BTreeSet<String> {
    let own = line.as_object().expect("fields").keys().cloned();
    let span = line["span"].as_object().into_iter().flatten();
    let span = span.map(|(name, _)| format!("span.{name}"));
    own.chain(span).collect()
}

/// Every field that a query of the template names is one of a log line, and each value that it compares with is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_name_fields_that_lines_have() {
    let env = ordinary_days().await;
    env.sandbox
        .invoke("[]".to_owned())
        .await
        .result
        .expect_err("it is not an event");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let lines = lines(&env);
    // A secret without rotation, so that the metrics name it.
    env.sandbox.disable_rotation(SECRET);
    let (_, metrics) = env.reconcile_measured(json!({})).await;
    assert_eq!(
        metrics["Names"],
        format!("SecretsWithRotationOff: {SECRET}")
    );
    let known = lines.iter().chain([&metrics]).flat_map(fields);
    let known: BTreeSet<_> = known.collect();
    let text = regex::Regex::new(r#""[^"]*""#).expect("it is a pattern");
    let name = regex::Regex::new(r"[A-Za-z_]+(\.[a-z_]+)*|@[a-z]+").expect("it is a pattern");
    let language = [
        "@timestamp",
        "fields",
        "filter",
        "sort",
        "limit",
        "asc",
        "desc",
        "in",
        "and",
        "or",
        "like",
        "ispresent",
    ];
    let resources = TEMPLATE.section("Resources").iter();
    let queries =
        resources.filter(|(_, resource)| resource["Type"] == "AWS::Logs::QueryDefinition");
    let mut count = 0;
    for (id, query) in queries {
        count += 1;
        let query = query["Properties"]["QueryString"].as_str().expect("a text");
        let query = query.lines().filter(|line| !line.starts_with('#'));
        let query = text
            .replace_all(&query.collect::<Vec<_>>().join("\n"), "")
            .into_owned();
        for found in name.find_iter(&query).map(|found| found.as_str()) {
            assert!(
                language.contains(&found) || known.contains(found),
                "{id}: {found} of {query}"
            );
        }
    }
    assert_eq!(count, 5);
    for (field, value) in [
        ("level", "ERROR"),
        ("level", "INFO"),
        ("action", "DescribeSecret"),
    ] {
        assert!(
            lines.iter().any(|line| line[field] == value),
            "{field} is never {value}"
        );
    }
}

/// Started in a shell, the program says in one sentence where it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn program_outside_lambda_says_so() {
    // An emulator that goes away with the first request for an event.
    let emulator = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = emulator.local_addr().expect("it has one").to_string();
    tokio::spawn(async move {
        let (mut asked, _) = emulator.accept().await.expect("the program connects");
        let read = asked.read(&mut [0; 4_096]).await.expect("it asks");
        assert!(read > 0, "it asks");
    });
    let mut lambda = BTreeMap::from([
        ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
        ("AWS_LAMBDA_FUNCTION_NAME", "rotation"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
    ]);
    let run = async |environment: &BTreeMap<&str, &str>| {
        let mut program = tokio::process::Command::new(binary());
        let program = program.env_clear().envs(environment);
        let output = program.output().await.expect("it runs");
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert_eq!(
        run(&lambda).await,
        "lost the connection to the Lambda runtime API: connection closed before message completed\n"
    );
    let sentence = "this program runs inside AWS Lambda; to try it on this machine, use make run or make sandbox\n";
    for name in lambda.clone().into_keys() {
        let value = lambda.remove(name).expect("it is there");
        assert_eq!(run(&lambda).await, sentence, "without {name}");
        lambda.insert(name, value);
    }
    assert_eq!(run(&BTreeMap::new()).await, sentence);
}
