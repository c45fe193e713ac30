//! Conditions in real accounts, with the real binary: keys of any form, texts that are not keys,
//! earlier secrets with the same name, changes by operators, foreign Doppler values and replicas.

use std::sync::Arc;
use std::time::Duration;

use crate::support::{
    CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder, create_managed_key, hash_of, is_enabled,
    rotated,
};
use sandbox::{
    Fault, FaultKind, KeySnapshot, Options, ReplicaStatus, STEPS, Service, VersionSnapshot,
};
use serde_json::{Value, json};

const GRACE: Duration = Duration::from_hours(24);
const QUARANTINE: Duration = Duration::from_hours(7 * 24);
const MINUTE: Duration = Duration::from_mins(1);
/// A minute less than the grace.
const NEARLY_GRACE: Duration = Duration::from_mins(24 * 60 - 1);
/// A minute less than the quarantine.
const NEARLY_QUARANTINE: Duration = Duration::from_mins(7 * 24 * 60 - 1);
const TARGET: &str = "PARTNER_API_KEY";

/// A key that an operator created, in the form that API Gateway's guide describes.
const OPERATORS_KEY: &str = "HandMadeHandMadeHandMade";
/// Keys of other forms that API Gateway accepts.
const OTHER_FORMS: [&str; 3] = [
    "3f2b8c1e-9d4a-4f6b-8a7c-0e1d2c3b4a59",
    "partner_live.2024-06/abcdef",
    "MyCustomToken@#&')(*!^%-+=|~",
];
/// A value in the form that the function generates, which no key of this Region has.
const ANOTHER_REGIONS_KEY: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCd";
/// A text of 32 characters that is not a key at all.
const DATABASE_PASSWORD: &str = "p4ssw0rd-0f-th3-d4t4b4s3-0123456";
/// The lines of a dotenv file. One of them contains a key.
const DOTENV: &str = "A=1\nPARTNER_API_KEY=oldkeyoldkeyoldkeyold\nB=2";
/// A value of another team in Doppler.
const ANOTHER_TEAMS: &str = "sk_live_of_another_team";

/// Returns the event of an emergency stop.
fn stop() -> Value {
    json!({"Step": "emergencyStop", "SecretId": SECRET})
}

/// A function for every secret that names it, and one such secret with this text, without a usage
/// plan for its keys.
fn fleet(text: Option<&str>) -> TestEnvBuilder {
    let setup = TestEnvBuilder {
        secret: text.map(ToOwned::to_owned),
        ..TestEnvBuilder::plain().inheriting()
    };
    setup.env("SECRET_ID", "")
}

/// Returns the same text as plain text and as JSON.
fn as_text_and_json(text: &str) -> [String; 2] {
    [text.to_owned(), json!({ "apiKey": text }).to_string()]
}

fn key(env: &TestEnv, value: &str) -> KeySnapshot {
    let key = env.sandbox.key_with_value(value);
    key.expect("the key exists")
}

/// Returns the id of the version with that label.
fn labelled(env: &TestEnv, label: &str) -> Option<String> {
    Some(env.sandbox.secret(SECRET).labelled(label)?.id.clone())
}

/// Moves AWSCURRENT to this version, as an operator does.
fn make_current(env: &TestEnv, version: &str) {
    let from = labelled(env, "AWSCURRENT");
    let to = Some(version);
    env.sandbox
        .move_label(SECRET, "AWSCURRENT", from.as_deref(), to);
}

/// Removes AWSPENDING from this version, as an operator does to cancel a rotation.
fn cancel(env: &TestEnv, token: &str) {
    env.sandbox
        .move_label(SECRET, "AWSPENDING", Some(token), None);
}

fn set_target(env: &TestEnv, name: &str, value: &str) {
    let doppler = env.sandbox.doppler();
    doppler.set_value(PROJECT, CONFIG, name, value);
}

/// Whether Doppler delivers this value, compared without showing it.
fn delivers(env: &TestEnv, name: &str, value: &str) -> bool {
    env.doppler_value(name).as_deref() == Some(value)
}

/// The state that a refused rotation must leave unchanged.
#[derive(PartialEq)]
struct Untouched {
    current: Option<VersionSnapshot>,
    keys: Vec<KeySnapshot>,
    targets: Vec<Option<String>>,
}

impl Untouched {
    fn of(env: &TestEnv) -> Self {
        let targets = env.targets.iter();
        Self {
            current: env.sandbox.secret(SECRET).current().cloned(),
            keys: env.sandbox.keys(),
            targets: targets.map(|name| env.doppler_value(name)).collect(),
        }
    }

    /// Asserts that AWSCURRENT, API Gateway and Doppler are unchanged.
    fn assert(&self, env: &TestEnv, what: &str) {
        let now = Self::of(env);
        assert!(self.current == now.current, "{what}: AWSCURRENT changed");
        assert_eq!(self.keys, now.keys, "{what}");
        assert!(self.targets == now.targets, "{what}: Doppler changed");
    }

    /// As `assert`, except for API Gateway, where `setSecret` has created the pending key.
    fn assert_except_keys(&self, env: &TestEnv, what: &str) {
        let keys = env.sandbox.keys();
        let before = Self {
            keys,
            current: self.current.clone(),
            targets: self.targets.clone(),
        };
        before.assert(env, what);
    }
}

/// Asserts that a test rotation fails with this error type and changes nothing. Returns the
/// message.
async fn test_rotation_fails(env: &TestEnv, error_type: &str, what: &str) -> String {
    let before = Untouched::of(env);
    let outcome = env.sandbox.test_rotation(SECRET).await;
    let error = outcome
        .error()
        .unwrap_or_else(|| panic!("{what}: the test rotation succeeds"));
    assert_eq!(error.error_type, error_type, "{what}: {error}");
    before.assert(env, what);
    error.error_message.clone()
}

fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

/// Returns the issues in the report of one secret, one per line.
fn issues(report: &Value) -> String {
    texts(&report["secrets"][0]["issues"]).join("\n")
}

fn done(report: &Value) -> Vec<&str> {
    texts(&report["secrets"][0]["done"])
}

/// Returns the line of metrics of a reconciliation, with its report.
async fn reconcile(env: &TestEnv) -> (Value, Value) {
    env.reconcile_measured(json!({})).await
}

/// Returns the result of `finishSecret` in a rotation that succeeds.
async fn rotate(env: &TestEnv) -> Value {
    let steps = env.rotate().await.steps;
    let last = steps.last().and_then(|step| step.answer.clone());
    last.expect("finishSecret was run")
}

/// Returns the command in a text, up to the full stop, semicolon or end that follows it.
fn command_in(text: &str) -> String {
    let begins = text.find("aws apigateway update-api-key");
    let command = &text[begins.expect("the text names a command")..];
    let ends = command.find(['\n', ';']).unwrap_or(command.len());
    command[..ends].to_owned()
}

// A key of another form.

/// A UUID, a key with dots and a slash, and one with punctuation. Each hands its plans on, and is
/// handed over by command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_of_any_form_is_found_and_inherited() {
    for form in OTHER_FORMS {
        for text in as_text_and_json(form) {
            let setup = TestEnvBuilder {
                secret: Some(text.clone()),
                ..TestEnvBuilder::plain().inheriting()
            };
            let env = setup.start().await;
            let second = env.sandbox.create_empty_usage_plan("second");
            let plans = [env.plans[0].as_str(), &second];
            let id = env.sandbox.create_key("operators", form, &plans);
            let before = key(&env, form);
            let report = env.reconcile(json!({})).await;
            assert_eq!(report["totals"]["secretsWithoutWorkingKey"], 0, "{report}");
            assert_eq!(report["totals"]["keysInUse"], 1, "{report}");

            let answer = rotate(&env).await;
            env.assert_agreement().await;
            let current = key(&env, &env.current_key());
            assert_eq!(current.plans, before.plans, "{form}");
            assert_eq!(key(&env, form), before, "it is not managed");
            let commands = texts(&answer["handOverCommands"]);
            assert_eq!(commands.len(), 2, "{answer}");
            assert!(commands.iter().all(|command| command.contains(&id)));
            assert!(answer["issues"].to_string().contains(&id), "{answer}");
            assert!(!answer.to_string().contains(form), "a value is shown");
        }
    }
}

/// The commands of the report, run unchanged, let a UUID key be retired like a managed one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uuid_key_handed_over_is_retired() {
    let [uuid, ..] = OTHER_FORMS;
    let setup = TestEnvBuilder {
        secret: Some(uuid.to_owned()),
        ..TestEnvBuilder::plain().inheriting()
    };
    let env = setup.start().await;
    env.sandbox.create_key("operators", uuid, &[&env.plans[0]]);
    let answer = rotate(&env).await;
    for command in texts(&answer["handOverCommands"]) {
        env.shell(command).await;
    }
    env.reconcile(json!({})).await;
    env.sandbox.advance(NEARLY_GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, uuid), Some(true));
    env.sandbox.advance(MINUTE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, uuid), Some(false));
    // The key is kept while AWSPREVIOUS holds it, because it could not be created again.
    env.rotate().await;
    env.sandbox.advance(QUARANTINE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, uuid), None);
}

/// A key of another Region, a database password, an empty secret, `{}` and a generated placeholder.
/// Without a plan none of them is rotated, and the test rotation fails before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_without_known_plan_is_refused() {
    let [text, json] = as_text_and_json(ANOTHER_REGIONS_KEY);
    for text in [
        Some(text.as_str()),
        Some(&json),
        Some(DATABASE_PASSWORD),
        Some("PlaceholderPlaceholderPlaceholder"),
        Some("short"),
        Some("{}"),
        None,
    ] {
        let env = fleet(text).start().await;
        let what = text.unwrap_or("no value");
        test_rotation_fails(&env, "NoUsagePlan", what).await;

        let before = Untouched::of(&env);
        let (error, token) = env.rotate_and_fail("setSecret").await;
        assert_eq!(error.error_type, "NoUsagePlan", "{what}: {error}");
        before.assert(&env, what);
        assert_eq!(env.calls_of("CreateApiKey"), 0, "{what}");
        for words in [
            "USAGE_PLAN_IDS",
            "ALLOW_KEY_WITHOUT_PLAN=true",
            "Secrets Manager's next retry succeeds",
            "remove AWSPENDING",
            "aws secretsmanager update-secret-version-stage",
        ] {
            assert!(error.error_message.contains(words), "{words}: {error}");
        }
        // The retry gives the same error.
        let again = env.sandbox.retry(&token).await;
        let again = again.error().map(|error| error.error_type.clone());
        assert_eq!(again.as_deref(), Some("NoUsagePlan"), "{what}");
        before.assert(&env, what);
    }
}

/// Before and after the refused rotation, and not in the reverse order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fleet_with_unknown_key_counts_as_without_key() {
    for text in [ANOTHER_REGIONS_KEY, DATABASE_PASSWORD, "{}"] {
        let env = fleet(Some(text)).start().await;
        for rotation in [false, true] {
            if rotation {
                env.rotate_and_fail("setSecret").await;
            }
            let (report, line) = reconcile(&env).await;
            assert_eq!(line["SecretsWithoutWorkingKey"], 1, "{report}");
            assert_eq!(done(&report), Vec::<&str>::new(), "{report}");
            assert!(!issues(&report).is_empty(), "{report}");
        }
    }
}

/// With a Doppler target, which a function for every secret does not have, the target stays unchanged too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mirrored_secret_without_plan_keeps_doppler() {
    let setup = TestEnvBuilder {
        secret: Some(ANOTHER_REGIONS_KEY.to_owned()),
        ..TestEnvBuilder::quick().inheriting()
    };
    let env = setup.start().await;
    set_target(&env, TARGET, ANOTHER_REGIONS_KEY);
    test_rotation_fails(&env, "NoUsagePlan", "mirrored").await;
    let before = Untouched::of(&env);
    let (error, token) = env.rotate_and_fail("setSecret").await;
    assert_eq!(error.error_type, "NoUsagePlan", "{error}");
    before.assert(&env, "mirrored");

    // The message's first remedy, and Secrets Manager's next retry.
    env.redeploy(&[("USAGE_PLAN_IDS", &env.plans[0])]).await;
    env.retry(&token).await;
    env.assert_agreement().await;
}

/// A probe that accepts the key is proof without any plan, but only once the key exists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_refusing_key_without_plan_prevents_promotion() {
    let setup = TestEnvBuilder {
        options: Options {
            function_timeout: Duration::from_secs(8),
            ..Options::default()
        },
        ..TestEnvBuilder::holding("{}").inheriting()
    };
    let env = setup.start().await;
    let before = Untouched::of(&env);
    let (error, _) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "ProbeNotAccepted", "{error}");
    before.assert_except_keys(&env, "probe");
}

/// A value that is too short for a key is not searched for among the account's keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn value_under_twenty_characters_is_not_searched() {
    for text in as_text_and_json("nineteencharacters1") {
        let env = TestEnvBuilder::holding(&text).start().await;
        env.sandbox.clear_calls();
        let (report, line) = reconcile(&env).await;
        assert_eq!(env.calls_of("GetApiKeys"), 0, "{text}");
        assert!(issues(&report).contains("holds no key"), "{report}");
        assert_eq!(line["SecretsWithoutWorkingKey"], 1, "{report}");
    }
    // One character more may be a key.
    let env = TestEnvBuilder::holding("twenty-characters-20")
        .start()
        .await;
    env.sandbox.clear_calls();
    let report = env.reconcile(json!({})).await;
    assert!(env.calls_of("GetApiKeys") > 0, "it was not searched");
    assert!(issues(&report).contains("API Gateway has no key with its value"));
}

// A key on no plan.

/// `ALLOW_KEY_WITHOUT_PLAN` lets a rotation pass, even a previously refused one, and each run
/// reports it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn allowed_planless_key_is_reported_each_run() {
    let env = fleet(Some("{}")).start().await;
    let (_, token) = env.rotate_and_fail("setSecret").await;
    let allowed = [("ALLOW_KEY_WITHOUT_PLAN", "true")];
    env.redeploy(&allowed).await;
    env.retry(&token).await;
    assert!(key(&env, &env.current_key()).plans.is_empty());

    env.clear_emitted();
    let steps = env.rotate().await.steps;
    assert_eq!(steps.len(), 4);
    for step in &steps {
        let answer = step.answer.as_ref().expect("the step succeeded");
        assert!(
            answer["issues"]
                .to_string()
                .contains("ALLOW_KEY_WITHOUT_PLAN is set"),
            "{answer}"
        );
    }
    let log = env.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("ALLOW_KEY_WITHOUT_PLAN is set"));
    assert_eq!(lines.count(), 4, "{log}");

    // Such a key counts as working, and no call reads its plans for the report.
    let (report, line) = reconcile(&env).await;
    assert_eq!(line["SecretsWithoutWorkingKey"], 0, "{report}");
    assert!(
        issues(&report).contains("ALLOW_KEY_WITHOUT_PLAN is set"),
        "{report}"
    );
    let outcome = env.sandbox.test_rotation(SECRET).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
}

/// Without configured plans a reconciliation reads those of AWSCURRENT's key with one call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planless_current_key_counts_without_configured_plans() {
    let setup = || TestEnvBuilder {
        secret: Some(OPERATORS_KEY.to_owned()),
        ..TestEnvBuilder::plain().inheriting()
    };
    for (on_plan, with_stage, counted, calls) in [
        (false, false, 1, 1),
        (true, false, 0, 1),
        (false, true, 0, 0),
    ] {
        let env = setup().start().await;
        if with_stage {
            let sandbox = &env.sandbox;
            sandbox.create_key_with_stage("operators", OPERATORS_KEY);
        } else {
            let plans = if on_plan { &env.plans[..] } else { &[] };
            let plans: Vec<_> = plans.iter().map(String::as_str).collect();
            env.sandbox.create_key("operators", OPERATORS_KEY, &plans);
        }
        env.sandbox.clear_calls();
        let (report, line) = reconcile(&env).await;
        assert_eq!(line["SecretsWithoutWorkingKey"], counted, "{report}");
        assert_eq!(
            issues(&report).contains("is on no usage plan"),
            counted == 1,
            "{report}"
        );
        assert_eq!(env.calls_of("GetUsagePlans"), calls, "{report}");
        assert_eq!(done(&report), Vec::<&str>::new(), "{report}");
    }
}

/// The same for a managed key that an operator removed from its plan.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn managed_key_taken_off_inherited_plan_is_counted() {
    let setup = TestEnvBuilder {
        secret: Some(OPERATORS_KEY.to_owned()),
        ..TestEnvBuilder::plain().inheriting()
    };
    let env = setup.start().await;
    env.sandbox
        .create_key("operators", OPERATORS_KEY, &[&env.plans[0]]);
    env.rotate().await;
    let current = key(&env, &env.current_key());
    assert_eq!(reconcile(&env).await.1["SecretsWithoutWorkingKey"], 0);
    env.sandbox.detach_key(&current.id, &env.plans[0]);
    env.sandbox.clear_calls();
    let (report, line) = reconcile(&env).await;
    assert_eq!(line["SecretsWithoutWorkingKey"], 1, "{report}");
    assert!(issues(&report).contains(&current.id), "{report}");
    assert_eq!(env.calls_of("GetUsagePlans"), 1);
}

/// Those calls serve the report only. They are skipped once half of the run's time is over, and
/// their failure does not stop the run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_for_report_do_not_hinder_repair() {
    let late = Fault::new(FaultKind::Delay(Duration::from_secs(5)));
    let late = late.on(Service::SecretsManager, "DescribeSecret");
    let denied = FaultKind::refuse(403, "AccessDeniedException", "no");
    let denied = Fault::new(denied).on(Service::ApiGateway, "GetUsagePlans");
    for (fault, is_called) in [(late, false), (denied.every(), true)] {
        let setup = TestEnvBuilder {
            secret: Some(OPERATORS_KEY.to_owned()),
            options: Options {
                function_timeout: Duration::from_secs(10),
                ..Options::default()
            },
            ..TestEnvBuilder::quick().inheriting()
        };
        let env = setup.start().await;
        env.sandbox.create_key("operators", OPERATORS_KEY, &[]);
        env.sandbox.clear_calls();
        let fault = env.sandbox.faults().inject(fault);
        let (report, line) = reconcile(&env).await;
        assert!(fault.fired() > 0);
        assert_eq!(env.calls_of("GetUsagePlans") > 0, is_called, "{report}");
        assert_eq!(line["Failures"], usize::from(is_called), "{report}");
        assert_eq!(line["SecretsWithoutWorkingKey"], 0, "{report}");
        assert!(delivers(&env, TARGET, OPERATORS_KEY), "{report}");
    }
}

// A text that is not a key.

/// A dotenv file is neither replaced nor parsed, and the message names the accepted forms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_with_white_space_is_refused_and_kept() {
    for text in [
        DOTENV,
        "user password-of-the-database",
        "A=1\tPARTNER_API_KEY=oldkeyoldkeyoldkeyold",
    ] {
        let env = TestEnvBuilder::holding(text).start().await;
        env.sandbox
            .create_key("operators", "oldkeyoldkeyoldkeyold", &[&env.plans[0]]);
        let test_rotation = test_rotation_fails(&env, "InvalidSecret", text).await;

        let before = Untouched::of(&env);
        let (error, _) = env.rotate_and_fail("createSecret").await;
        assert_eq!(error.error_type, "InvalidSecret", "{error}");
        before.assert(&env, text);
        for message in [&test_rotation, &error.error_message] {
            for words in [
                "store only the key",
                r#"{"apiKey":"…"}"#,
                "aws secretsmanager put-secret-value",
                "--secret-string '{}'",
            ] {
                assert!(message.contains(words), "{words}: {message}");
            }
            assert!(!message.contains("oldkey"), "it quotes the text");
        }
        let (report, line) = reconcile(&env).await;
        before.assert(&env, text);
        assert_eq!(done(&report), Vec::<&str>::new(), "{report}");
        assert!(issues(&report).contains("white space inside"), "{report}");
        assert_eq!(line["SecretsWithoutWorkingKey"], 1, "{report}");
        assert!(!report.to_string().contains("oldkey"), "it quotes the text");
    }
}

/// If the pending version holds such a text, each step refuses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_text_with_white_space_is_refused() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let token = env.sandbox.begin_rotation(SECRET);
    env.sandbox.put_pending(SECRET, &token, DOTENV);
    let before = Untouched::of(&env);
    for step in STEPS {
        let message = env.step_fails(&token, step, "InvalidSecret").await;
        assert!(message.contains("white space inside"), "{message}");
    }
    before.assert(&env, "pending");
}

/// The command in the message resets the secret to one without a key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn command_for_invalid_text_lets_rotation_pass() {
    let env = TestEnvBuilder::holding(DOTENV).start().await;
    let (error, _) = env.rotate_and_fail("createSecret").await;
    let message = error.error_message;
    let begins = message.find("aws secretsmanager put-secret-value");
    let command = &message[begins.expect("it names the command")..];
    let ends = command
        .find("'{}'")
        .expect("the command puts an empty object");
    let command = &command[..ends + "'{}'".len()];
    env.shell(&command.replace("NAME", SECRET)).await;
    env.rotate().await;
    env.assert_agreement().await;
}

/// An unusable text does not keep leaked keys enabled. Without an emergency nothing is changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_over_dotenv_text_goes_ahead() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    let second = env.current_key();
    env.sandbox.put_secret(SECRET, DOTENV);
    env.sandbox.advance(GRACE);
    let before = Untouched::of(&env);
    let report = env.reconcile(json!({})).await;
    before.assert(&env, "a reconciliation");
    assert!(issues(&report).contains("white space inside"), "{report}");

    let report = env.reconcile(stop()).await;
    assert_eq!(report["totals"]["keysDisabled"], 2, "{report}");
    assert_eq!(is_enabled(&env, &first), Some(false));
    assert_eq!(is_enabled(&env, &second), Some(false));
    assert!(issues(&report).contains("white space inside"), "{report}");
    let current = env.sandbox.secret(SECRET).current().cloned();
    assert!(current == before.current, "AWSCURRENT changed");
}

/// The field `apiKey` belongs to the function, so a placeholder in it is replaced. The other fields
/// stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_key_with_white_space_is_placeholder() {
    let placeholder = "to be replaced by the rotation";
    let text = json!({ "apiKey": placeholder, "owner": "shop" }).to_string();
    let env = TestEnvBuilder::holding(&text).start().await;
    set_target(&env, TARGET, placeholder);
    let report = env.reconcile(json!({})).await;
    assert!(issues(&report).contains("holds no key"), "{report}");
    let test_rotation = env.sandbox.test_rotation(SECRET).await;
    assert!(test_rotation.succeeded, "{:?}", test_rotation.error());
    env.rotate().await;
    env.assert_agreement().await;
    let current = env.sandbox.secret(SECRET).current().cloned();
    let text = current.and_then(|version| version.text).unwrap_or_default();
    let text: Value = serde_json::from_str(&text).expect("the secret is JSON");
    assert_eq!(text["owner"], "shop");
}

// An earlier secret with the same name.

/// Returns a secret whose earlier namesake was rotated twice and deleted, with the values of the
/// earlier one's keys: the superseded one and the current one.
async fn recreated() -> (TestEnv, [String; 2]) {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let in_use = env.current_key();
    let before = env.sandbox.secret(SECRET).arn;
    env.sandbox.delete_secret_for_good(SECRET);
    env.sandbox.create_secret(SECRET, None);
    env.sandbox.enable_rotation(SECRET);
    assert_ne!(env.sandbox.secret(SECRET).arn, before);
    env.redeploy(&[]).await;
    env.rotate().await;
    env.assert_agreement().await;
    (env, [superseded, in_use])
}

/// The marked key is retired in time. The one without a mark is reported with the command that
/// disables it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_earlier_secret_are_retired_or_reported() {
    let (env, [superseded, in_use]) = recreated().await;
    let id = key(&env, &in_use).id;
    let report = env.reconcile(json!({})).await;
    assert!(issues(&report).contains(&id), "{report}");
    assert_eq!(is_enabled(&env, &superseded), Some(true));
    env.sandbox.advance(GRACE);
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false), "{report}");
    env.sandbox.advance(NEARLY_QUARANTINE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    env.sandbox.advance(MINUTE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), None);

    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &in_use), Some(true));
    let command = command_in(&issues(&report));
    assert!(command.contains(&id), "{report}");
    env.shell(&command).await;
    assert_eq!(is_enabled(&env, &in_use), Some(false));
    let report = env.reconcile(json!({})).await;
    assert!(!issues(&report).contains("update-api-key"), "{report}");
    env.assert_agreement().await;
}

/// The stop disables the marked key, and reports the other with the command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_mentions_keys_of_earlier_secret() {
    let (env, [superseded, in_use]) = recreated().await;
    let report = env.reconcile(stop()).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false), "{report}");
    assert_eq!(is_enabled(&env, &in_use), Some(true));
    let command = command_in(&issues(&report));
    assert!(command.contains(&key(&env, &in_use).id), "{report}");
    env.shell(&command).await;
    assert_eq!(is_enabled(&env, &in_use), Some(false));
    env.assert_agreement().await;
}

/// The name alone assigns a key that lost `rotation:version`. With its mark it is retired like any
/// other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marked_key_without_version_tag_is_retired() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    let id = key(&env, &first).id;
    env.sandbox.untag_key(&id, "rotation:version");
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(false));
    env.sandbox.advance(QUARANTINE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), None);
}

/// Without a mark, a key that lost `rotation:version` is left alone and reported with the command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unmarked_key_without_version_tag_is_reported() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    let id = key(&env, &first).id;
    env.sandbox.untag_key(&id, "rotation:version");
    env.sandbox.describe_key(&id, "of the partner team");
    for report in [env.reconcile(json!({})).await, env.reconcile(stop()).await] {
        assert!(command_in(&issues(&report)).contains(&id), "{report}");
        assert_eq!(is_enabled(&env, &first), Some(true));
    }
}

/// Only an emergency stop lists keys without the name filter, so it finds a renamed key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_finds_renamed_keys() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    let second = env.current_key();
    env.rotate().await;
    let (first_id, second_id) = (key(&env, &first).id, key(&env, &second).id);
    env.sandbox.rename_key(&first_id, "renamed by an operator");
    env.sandbox.rename_key(&second_id, "renamed as well");
    env.sandbox.describe_key(&second_id, "of the partner team");

    env.sandbox.clear_calls();
    let report = env.reconcile(stop()).await;
    assert_eq!(report["totals"]["keysDisabled"], 1, "{report}");
    assert_eq!(is_enabled(&env, &first), Some(false), "{report}");
    assert_eq!(is_enabled(&env, &second), Some(true));
    assert!(
        command_in(&issues(&report)).contains(&second_id),
        "{report}"
    );
    let calls = env.sandbox.calls();
    let lists = calls.iter().filter(|call| call.operation == "GetApiKeys");
    assert!(
        lists
            .clone()
            .all(|call| !call.path_and_query.contains("name=")),
        "{calls:#?}"
    );
    // An operator's key with another name and without tags does not belong to the secret.
    let other = env.sandbox.create_key("other", OPERATORS_KEY, &[]);
    let report = env.reconcile(stop()).await;
    assert!(!report.to_string().contains(&other), "{report}");
    env.assert_agreement().await;
}

/// A key with the secret's name and without tags still works after the stop, which reports it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_mentions_key_without_tags() {
    let (env, _) = rotated(TestEnvBuilder::quick()).await;
    let name = format!("{SECRET}/by-terraform");
    let id = env.sandbox.create_key(&name, OPERATORS_KEY, &[]);
    let report = env.reconcile(json!({})).await;
    assert!(!report.to_string().contains(&id), "{report}");
    let report = env.reconcile(stop()).await;
    let command = command_in(&issues(&report));
    assert!(command.contains(&id), "{report}");
    assert_eq!(is_enabled(&env, OPERATORS_KEY), Some(true));
    env.shell(&command).await;
    let report = env.reconcile(stop()).await;
    assert!(!issues(&report).contains("still works"), "{report}");
}

/// A key of another managed secret is not a namesake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_spares_other_secrets_keys() {
    let (env, _) = rotated(TestEnvBuilder::quick()).await;
    let other = format!("{SECRET}-2");
    env.sandbox.create_secret(&other, None);
    let version = "11111111-2222-4333-8444-555555555555";
    let value = "OtherOtherOtherOtherOtherOtherOtherOther";
    let id = create_managed_key(&env.sandbox, &other, version, value, &[]);
    let report = env.reconcile(stop()).await;
    assert_eq!(is_enabled(&env, value), Some(true));
    assert!(!report.to_string().contains(&id), "{report}");
}

// Descriptions that an operator changed.

/// Returns a mark in the function's format, with times in the distant past.
fn backdated(env: &TestEnv, disabled: bool) -> String {
    let by = labelled(env, "AWSCURRENT").expect("the version exists");
    let disabled = if disabled {
        " Disabled at 2020-01-02T00:00:00Z."
    } else {
        ""
    };
    format!("Superseded at 2020-01-01T00:00:00Z by version {by}.{disabled}")
}

/// Returns the day of the sandbox's clock, in the report's format.
fn day(env: &TestEnv) -> String {
    let now = humantime::format_rfc3339_seconds(env.sandbox.now());
    now.to_string()[..10].to_owned()
}

/// A disabled key with a backdated mark is kept for the whole quarantine, counted from that change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backdated_disabled_key_keeps_its_quarantine() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    let id = key(&env, &first).id;
    let text = backdated(&env, true);
    env.sandbox
        .update_key_as_operator(&id, Some(false), Some(&text));
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(false), "{report}");
    let words = issues(&report);
    assert!(
        words.contains(&id) && words.contains(&day(&env)),
        "{report}"
    );
    assert!(
        words.contains("another process changed the key"),
        "{report}"
    );

    env.sandbox.advance(NEARLY_QUARANTINE);
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(false), "{report}");
    env.sandbox.advance(MINUTE * 2);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), None);
}

/// A newer time elsewhere in the mark hides the change, so the period counts from that time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_newer_time_in_mark_keeps_quarantine() {
    for forged in [
        "Superseded at NOW by version BY. Disabled at 2020-01-02T00:00:00Z.",
        "Superseded at 2020-01-01T00:00:00Z by version BY. Disabled at 2020-01-02T00:00:00Z. Revoked at NOW.",
        "Superseded at 2020-01-01T00:00:00Z by version BY. Disabled at 2020-01-02T00:00:00Z. Postponed 1 times, last at NOW.",
        "Superseded at 2020-01-01T00:00:00Z by version BY. Disabled at 2020-01-02T00:00:00Z. Notified of disabling at NOW.",
        "Superseded at 2020-01-01T00:00:00Z by version BY. Disabled at 2020-01-02T00:00:00Z. Notified of holding at NOW.",
    ] {
        let (env, first) = rotated(TestEnvBuilder::quick()).await;
        env.sandbox.advance(GRACE / 2);
        let now = humantime::format_rfc3339_seconds(env.sandbox.now());
        let by = labelled(&env, "AWSCURRENT").expect("the version exists");
        let text = forged.replace("NOW", &now.to_string()).replace("BY", &by);
        let id = key(&env, &first).id;
        let sandbox = &env.sandbox;
        sandbox.update_key_as_operator(&id, Some(false), Some(&text));
        let report = env.reconcile(json!({})).await;
        assert_eq!(is_enabled(&env, &first), Some(false), "{forged}: {report}");
        env.sandbox.advance(NEARLY_QUARANTINE);
        let report = env.reconcile(json!({})).await;
        assert_eq!(is_enabled(&env, &first), Some(false), "{forged}: {report}");
        env.sandbox.advance(MINUTE * 2);
        env.reconcile(json!({})).await;
        assert_eq!(is_enabled(&env, &first), None, "{forged}");
    }
}

/// The same for a key that is still enabled, and its grace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backdated_enabled_key_keeps_its_grace() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    // AWSPREVIOUS does not hold the key, so only the time of the change bounds it.
    env.rotate().await;
    env.sandbox.advance(GRACE / 2);
    let id = key(&env, &first).id;
    let text = backdated(&env, false);
    env.sandbox.update_key_as_operator(&id, None, Some(&text));
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(true), "{report}");
    let words = issues(&report);
    assert!(
        words.contains(&id) && words.contains(&day(&env)),
        "{report}"
    );
    env.sandbox.advance(NEARLY_GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(true));
    env.sandbox.advance(MINUTE * 2);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(false));
}

/// A change within a minute of the mark counts as the function's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_changes_postpone_nothing() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    env.sandbox.advance(GRACE);
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(false));
    assert_eq!(issues(&report), "", "{report}");
    env.sandbox.advance(QUARANTINE);
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), None);
    assert_eq!(issues(&report), "", "{report}");
}

/// A change that was throttled for over a minute is written once more, with the actual time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_change_that_took_long_postpones_nothing() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    let env = Arc::new(env);
    env.sandbox.advance(GRACE);
    let weak = Arc::downgrade(&env);
    let slow = FaultKind::before(move || {
        if let Some(env) = weak.upgrade() {
            env.sandbox.advance(MINUTE * 2);
        }
        async {}
    });
    let slow = Fault::new(slow).on(Service::ApiGateway, "UpdateApiKey");
    let slow = env.sandbox.faults().inject(slow);
    env.reconcile(json!({})).await;
    assert_eq!(slow.fired(), 1);
    assert_eq!(is_enabled(&env, &first), Some(false));
    let report = env.reconcile(json!({})).await;
    assert_eq!(issues(&report), "", "{report}");
    assert_eq!(done(&report), [""; 0], "{report}");
}

/// An operator who disables the current key while a run is about to change its description is not
/// overruled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn current_key_disabled_during_note_stays_disabled() {
    let env = Arc::new(TestEnvBuilder::quick().start().await);
    let weak = Arc::downgrade(&env);
    let disable = FaultKind::before(move || {
        if let Some(env) = weak.upgrade() {
            let id = key(&env, &env.current_key()).id;
            let sandbox = &env.sandbox;
            sandbox.update_key_as_operator(&id, Some(false), None);
        }
        async {}
    });
    let disable = Fault::new(disable).on(Service::ApiGateway, "UpdateApiKey");
    let disable = env.sandbox.faults().inject(disable);
    env.rotate().await;
    assert_eq!(disable.fired(), 1);
    for _ in 0..2 {
        let current = key(&env, &env.current_key());
        assert!(!current.enabled, "{current:?}");
        assert!(
            current.description.starts_with("Created for"),
            "{current:?}"
        );
        let report = env.reconcile(json!({})).await;
        assert!(
            issues(&report).contains("an operator disabled it"),
            "{report}"
        );
    }
}

/// A superseded key that is changed repeatedly is kept, and from the third time on the metric
/// counts it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn third_postponement_counts_as_postponed_key() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    let id = key(&env, &first).id;
    for time in 1..=4 {
        env.sandbox.advance(NEARLY_GRACE);
        env.sandbox.update_key_as_operator(&id, Some(true), None);
        let (report, line) = reconcile(&env).await;
        assert_eq!(is_enabled(&env, &first), Some(true), "{report}");
        assert!(issues(&report).contains(&id), "{report}");
        assert_eq!(line["KeysPostponed"], usize::from(time >= 3), "{report}");
        let description = key(&env, &first).description;
        assert!(
            description.contains(&format!(" Postponed {time} times")),
            "{description}"
        );
    }
    // Without further changes the key is retired in time.
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(false));
}

/// Without a change that API Gateway dates, the period of AWSPREVIOUS's key counts from the
/// creation of AWSCURRENT's version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backdated_previous_key_is_bounded_by_current_version() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    let id = key(&env, &first).id;
    env.sandbox.describe_key(&id, &backdated(&env, false));
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(true), "{report}");
    assert!(issues(&report).contains(&id), "{report}");
    env.sandbox.advance(NEARLY_GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(true));
    env.sandbox.advance(MINUTE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(false));
}

// After an emergency stop.

/// Returns a secret that was rotated twice, and the value of the key that an emergency stop has
/// revoked.
async fn stopped(setup: TestEnvBuilder) -> (TestEnv, String) {
    let (env, revoked) = rotated(setup).await;
    let report = env.reconcile(stop()).await;
    assert_eq!(report["totals"]["keysDisabled"], 1, "{report}");
    let description = key(&env, &revoked).description;
    assert!(description.contains(" Revoked at "), "{description}");
    (env, revoked)
}

/// A revoked key that the runbook's command enables again has no new grace: the next run disables,
/// counts and reports it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_key_enabled_by_operator_is_disabled_again() {
    let (env, revoked) = stopped(TestEnvBuilder::quick()).await;
    let id = key(&env, &revoked).id;
    env.sandbox.advance(MINUTE * 5);
    for _ in 0..2 {
        env
            .shell(&format!(
                "aws apigateway update-api-key --api-key {id} --patch-operations op=replace,path=/enabled,value=true"
            ))
            .await;
        assert_eq!(env.gateway_answer(&revoked).await, 200);
        let (report, line) = reconcile(&env).await;
        assert_eq!(is_enabled(&env, &revoked), Some(false), "{report}");
        assert_eq!(env.gateway_answer(&revoked).await, 403);
        assert_eq!(line["DriftRepaired"], 1, "{report}");
        assert_eq!(line["KeysDisabled"], 1, "{report}");
        let words = issues(&report);
        assert!(words.contains(&id), "{report}");
        assert!(words.contains("had been enabled after"), "{report}");
        let description = key(&env, &revoked).description;
        assert!(description.contains(" Revoked at "), "{description}");
        // It is reported once.
        let (report, line) = reconcile(&env).await;
        assert_eq!(line["DriftRepaired"], 0, "{report}");
        assert_eq!(issues(&report), "", "{report}");
    }
    env.assert_agreement().await;
    env.sandbox.advance(QUARANTINE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &revoked), None);
}

/// A rotation's last step disables it too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finish_secret_disables_revoked_key_again() {
    let (env, revoked) = stopped(TestEnvBuilder::quick()).await;
    let id = key(&env, &revoked).id;
    env.sandbox.update_key_as_operator(&id, Some(true), None);
    let answer = rotate(&env).await;
    assert_eq!(is_enabled(&env, &revoked), Some(false), "{answer}");
    assert!(answer["issues"].to_string().contains(&id), "{answer}");
}

/// Only moving AWSCURRENT to the version that the key was created for restores it. After that it has
/// an ordinary grace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_by_label_reinstates_revoked_key() {
    let (env, revoked) = stopped(TestEnvBuilder::quick()).await;
    let previous = labelled(&env, "AWSPREVIOUS").expect("the version exists");
    make_current(&env, &previous);
    let (report, line) = reconcile(&env).await;
    assert!(env.current_key() == revoked, "it was not rolled back");
    assert_eq!(line["SecretsWithoutWorkingKey"], 0, "{report}");
    let description = key(&env, &revoked).description;
    assert!(description.starts_with("Created for "), "{description}");
    env.assert_agreement().await;

    env.rotate().await;
    let description = key(&env, &revoked).description;
    assert!(description.starts_with("Superseded at "), "{description}");
    assert!(!description.contains("Revoked at"), "{description}");
    env.sandbox.advance(NEARLY_GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &revoked), Some(true));
    env.sandbox.advance(MINUTE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &revoked), Some(false));
}

/// An old value that is put again is not a rollback. Either remedy of the report leads to a working
/// key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoked_value_put_again_stays_disabled() {
    for rotates in [true, false] {
        let (env, revoked) = stopped(TestEnvBuilder::quick()).await;
        let second = env.current_key();
        let text = json!({ "apiKey": revoked }).to_string();
        env.sandbox.put_secret(SECRET, &text);
        for _ in 0..2 {
            let (report, line) = reconcile(&env).await;
            assert_eq!(is_enabled(&env, &revoked), Some(false), "{report}");
            assert_eq!(is_enabled(&env, &second), Some(true), "{report}");
            assert_eq!(line["SecretsWithoutWorkingKey"], 1, "{report}");
            assert_eq!(line["DriftRepaired"], 0, "{report}");
            let words = issues(&report);
            assert!(words.contains(&key(&env, &revoked).id), "{report}");
            assert!(words.contains("through another version"), "{report}");
            assert!(words.contains("rotate"), "{report}");
            assert!(words.contains("move AWSCURRENT to the version"), "{report}");
            assert!(delivers(&env, TARGET, &second), "Doppler was changed");
        }
        // Enabling it manually does not restore it either.
        let id = key(&env, &revoked).id;
        env.sandbox.update_key_as_operator(&id, Some(true), None);
        let (report, line) = reconcile(&env).await;
        assert_eq!(is_enabled(&env, &revoked), Some(false), "{report}");
        assert_eq!(line["SecretsWithoutWorkingKey"], 1, "{report}");

        if rotates {
            env.rotate().await;
            assert!(env.current_key() != revoked, "it was not rotated");
            assert_eq!(is_enabled(&env, &revoked), Some(false));
        } else {
            let name = key(&env, &revoked).name;
            let (_, version) = name.rsplit_once('/').expect("the name has the version");
            make_current(&env, version);
            let (report, line) = reconcile(&env).await;
            assert_eq!(line["SecretsWithoutWorkingKey"], 0, "{report}");
            assert!(env.current_key() == revoked, "it was not rolled back");
        }
        env.assert_agreement().await;
    }
}

/// A target that holds a revoked key gets AWSCURRENT's key, and the revoked key stays disabled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doppler_target_with_revoked_key_is_rewritten() {
    let (env, revoked) = stopped(TestEnvBuilder::quick()).await;
    set_target(&env, TARGET, &revoked);
    let (report, line) = reconcile(&env).await;
    assert_eq!(line["DriftRepaired"], 1, "{report}");
    assert_eq!(is_enabled(&env, &revoked), Some(false));
    env.assert_agreement().await;
}

/// A key that was in quarantine at the time of the stop is revoked too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quarantined_key_is_revoked_by_emergency_stop() {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    env.sandbox.advance(GRACE);
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(false));
    let description = key(&env, &first).description;
    assert!(!description.contains("Revoked"), "{description}");
    let report = env.reconcile(stop()).await;
    let description = key(&env, &first).description;
    assert!(description.contains(" Revoked at "), "{report}");
    assert!(
        !issues(&report).contains("another process changed"),
        "{report}"
    );
    env.sandbox.advance(MINUTE * 5);
    let report = env.reconcile(json!({})).await;
    assert_eq!(issues(&report), "", "{report}");
    let id = key(&env, &first).id;
    env.sandbox.advance(MINUTE * 5);
    env.sandbox.update_key_as_operator(&id, Some(true), None);
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(false), "{report}");
    assert_eq!(report["totals"]["driftRepaired"], 1, "{report}");
}

/// A version that was cancelled, stopped and made pending again has a revoked key, which is not
/// handed out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_key_that_was_revoked_is_refused() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let token = env.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret"] {
        env.step(&token, step).await;
    }
    let pending = env.key_in("AWSPENDING").expect("the pending key is stored");
    cancel(&env, &token);
    env.reconcile(stop()).await;
    assert_eq!(is_enabled(&env, &pending), Some(false));
    let label = Some(token.as_str());
    env.sandbox.move_label(SECRET, "AWSPENDING", None, label);
    let before = Untouched::of(&env);
    for step in ["setSecret", "finishSecret"] {
        let message = env.step_fails(&token, step, "KeyRevoked").await;
        assert!(message.contains("remove AWSPENDING"), "{message}");
    }
    before.assert(&env, "revoked");
}

// The first write to a Doppler target.

/// Another team's value is not overwritten, and the message names the setting and the entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_doppler_value_is_refused_before_promotion() {
    let setup = TestEnvBuilder {
        secret: Some("{}".to_owned()),
        targets: vec![TARGET, "ALSO_HERE"],
        ..TestEnvBuilder::quick()
    };
    let env = setup.start().await;
    set_target(&env, "ALSO_HERE", ANOTHER_TEAMS);
    let test_rotation = test_rotation_fails(&env, "DopplerTargetTaken", "test rotation").await;
    let before = Untouched::of(&env);
    let (error, token) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "DopplerTargetTaken", "{error}");
    for message in [&test_rotation, &error.error_message] {
        for words in [
            "DOPPLER_ADOPT_TARGETS=acme/prd/ALSO_HERE",
            "DOPPLER_TARGETS",
            "`rotationctl retry`",
            "`aws secretsmanager update-secret-version-stage`",
        ] {
            assert!(message.contains(words), "{words}: {message}");
        }
        assert!(!message.contains(ANOTHER_TEAMS), "it shows the value");
    }
    before.assert_except_keys(&env, "refused");
    assert_eq!(env.calls_of("UpdateSecrets"), 0);
    assert!(delivers(&env, "ALSO_HERE", ANOTHER_TEAMS));
    assert!(!env.log().contains(ANOTHER_TEAMS), "the log shows it");

    // Once the other team has moved the value, Secrets Manager's next retry continues.
    set_target(&env, "ALSO_HERE", "");
    env.retry(&token).await;
    env.assert_agreement().await;
}

/// Moving AWSCURRENT manually to the refused version does not overwrite the target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_target_is_left_after_manual_promotion() {
    for has_current_key in [false, true] {
        let setup = TestEnvBuilder {
            secret: (!has_current_key).then(|| "{}".to_owned()),
            ..TestEnvBuilder::quick()
        };
        let env = setup.start().await;
        if has_current_key {
            env.rotate().await;
        }
        set_target(&env, "ALSO_HERE", ANOTHER_TEAMS);
        let targets = listed(&[TARGET, "ALSO_HERE"]);
        env.redeploy(&[("DOPPLER_TARGETS", &targets)]).await;
        let (error, token) = env.rotate_and_fail("testSecret").await;
        assert_eq!(error.error_type, "DopplerTargetTaken", "{error}");
        make_current(&env, &token);
        env.step(&token, "finishSecret").await;
        for _ in 0..2 {
            let (report, line) = reconcile(&env).await;
            assert_eq!(line["DopplerTargetsTaken"], 1, "{report}");
            assert!(delivers(&env, TARGET, &env.current_key()), "{report}");
            assert!(delivers(&env, "ALSO_HERE", ANOTHER_TEAMS), "{report}");
        }
        env.rotate_and_fail("testSecret").await;
        assert!(delivers(&env, "ALSO_HERE", ANOTHER_TEAMS));
    }
}

/// A target that is listed in `DOPPLER_ADOPT_TARGETS` is overwritten whatever it holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adopted_doppler_target_is_overwritten() {
    let env = TestEnvBuilder::quick().start().await;
    set_target(&env, TARGET, ANOTHER_TEAMS);
    let (error, token) = env.rotate_and_fail("testSecret").await;
    let message = error.error_message;
    let begins = message
        .find("DOPPLER_ADOPT_TARGETS=")
        .expect("the message names the setting");
    let (name, entry) = message[begins..]
        .split_once('=')
        .expect("the setting has a value");
    let entry = entry.split([' ', ';']).next().unwrap_or_default();
    env.redeploy(&[(name, entry)]).await;
    env.retry(&token).await;
    env.assert_agreement().await;
    let test_rotation = env.sandbox.test_rotation(SECRET).await;
    assert!(test_rotation.succeeded, "{:?}", test_rotation.error());
}

/// No value, an empty one, the secret's own placeholder and a value of its versions may be
/// overwritten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_doppler_values_may_be_overwritten() {
    for (before, current, target) in [
        (None, None, None),
        (None, None, Some("")),
        (
            None,
            Some("a-generated-placeholder:{,'$"),
            Some("a-generated-placeholder:{,'$"),
        ),
        (None, Some("short"), Some("short")),
        (None, Some(OPERATORS_KEY), Some(OPERATORS_KEY)),
        (
            Some(ANOTHER_REGIONS_KEY),
            Some(OPERATORS_KEY),
            Some(ANOTHER_REGIONS_KEY),
        ),
    ] {
        let setup = TestEnvBuilder {
            secret: before.or(current).map(ToOwned::to_owned),
            ..TestEnvBuilder::quick()
        };
        let env = setup.start().await;
        if let (Some(_), Some(text)) = (before, current) {
            env.sandbox.put_secret(SECRET, text);
        }
        if let Some(value) = target {
            set_target(&env, TARGET, value);
        }
        let test_rotation = env.sandbox.test_rotation(SECRET).await;
        assert!(
            test_rotation.succeeded,
            "{target:?}: {:?}",
            test_rotation.error()
        );
        env.rotate().await;
        env.assert_agreement().await;
    }
}

/// Returns the names of these targets in the format of `DOPPLER_TARGETS`.
fn listed(names: &[&str]) -> String {
    let names = names
        .iter()
        .map(|name| format!("{PROJECT}/{CONFIG}/{name}"));
    names.collect::<Vec<_>>().join(",")
}

/// A new target that holds an older key of this secret is written by a rotation and by a
/// reconciliation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_target_with_superseded_key_is_written() {
    for rotates in [true, false] {
        let (env, first) = rotated(TestEnvBuilder::quick()).await;
        env.rotate().await;
        set_target(&env, "ALSO_HERE", &first);
        let targets = listed(&[TARGET, "ALSO_HERE"]);
        env.redeploy(&[("DOPPLER_TARGETS", &targets)]).await;
        if rotates {
            env.rotate().await;
        } else {
            let (report, line) = reconcile(&env).await;
            assert_eq!(line["DopplerTargetsTaken"], 0, "{report}");
        }
        assert!(delivers(&env, "ALSO_HERE", &env.current_key()));
    }
}

/// A target that was written once is repaired whatever it holds, by a reconciliation and by a
/// rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn written_target_is_repaired_whatever_it_holds() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    set_target(&env, TARGET, ANOTHER_TEAMS);
    let (report, line) = reconcile(&env).await;
    assert_eq!(line["DriftRepaired"], 1, "{report}");
    assert_eq!(line["DopplerTargetsTaken"], 0, "{report}");
    env.assert_agreement().await;

    set_target(&env, TARGET, ANOTHER_TEAMS);
    let test_rotation = env.sandbox.test_rotation(SECRET).await;
    assert!(test_rotation.succeeded, "{:?}", test_rotation.error());
    env.rotate().await;
    env.assert_agreement().await;

    // Also after a rollback: AWSPREVIOUS's key still names it.
    let previous = labelled(&env, "AWSPREVIOUS").expect("the version exists");
    make_current(&env, &previous);
    env.reconcile(json!({})).await;
    set_target(&env, TARGET, ANOTHER_TEAMS);
    env.reconcile(json!({})).await;
    env.assert_agreement().await;
}

/// A target that is configured later is left alone while it holds a foreign value, and recorded
/// once it was written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_target_is_left_alone_then_remembered() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    set_target(&env, "ALSO_HERE", ANOTHER_TEAMS);
    let targets = listed(&[TARGET, "ALSO_HERE"]);
    env.redeploy(&[("DOPPLER_TARGETS", &targets)]).await;
    for _ in 0..2 {
        let (report, line) = reconcile(&env).await;
        assert_eq!(line["DopplerTargetsTaken"], 1, "{report}");
        assert_eq!(line["DriftRepaired"], 0, "{report}");
        let words = issues(&report);
        assert!(
            words.contains("DOPPLER_ADOPT_TARGETS=acme/prd/ALSO_HERE"),
            "{report}"
        );
        assert!(delivers(&env, "ALSO_HERE", ANOTHER_TEAMS));
        assert!(!report.to_string().contains(ANOTHER_TEAMS));
    }
    env.assert_agreement().await;

    // An empty target is written and recorded. After that it is managed, whatever it holds.
    set_target(&env, "ALSO_HERE", "");
    let report = env.reconcile(json!({})).await;
    assert!(delivers(&env, "ALSO_HERE", &env.current_key()), "{report}");
    let description = key(&env, &env.current_key()).description;
    let hash = hash_of("ALSO_HERE");
    assert!(description.contains(&hash), "{description}");
    let report = env.reconcile(json!({})).await;
    assert_eq!(done(&report), Vec::<&str>::new(), "it is noted once");
    set_target(&env, "ALSO_HERE", ANOTHER_TEAMS);
    let (report, line) = reconcile(&env).await;
    assert_eq!(line["DopplerTargetsTaken"], 0, "{report}");
    assert!(delivers(&env, "ALSO_HERE", &env.current_key()), "{report}");
}

/// If an operator rewrote the description with the record, a drifted target is no longer managed. A
/// target that holds AWSCURRENT's key is recorded again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forgotten_target_needs_adoption_again() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let current = key(&env, &env.current_key());
    let forgetful = format!("Created for the secret {SECRET}.");
    env.sandbox.describe_key(&current.id, &forgetful);
    env.reconcile(json!({})).await;
    let described = key(&env, &current.value).description;
    assert_eq!(described, current.description);

    env.sandbox.describe_key(&current.id, &forgetful);
    set_target(&env, TARGET, ANOTHER_TEAMS);
    let (report, line) = reconcile(&env).await;
    assert_eq!(line["DopplerTargetsTaken"], 1, "{report}");
    assert!(delivers(&env, TARGET, ANOTHER_TEAMS));
    let (error, _) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "DopplerTargetTaken", "{error}");
    assert!(delivers(&env, TARGET, ANOTHER_TEAMS));
}

// Replicas in other Regions.

const REGIONS: [&str; 2] = ["eu-west-1", "ap-southeast-2"];

/// Returns a rotated secret with two replicas in sync, which lag by this time behind every change.
async fn replicated(lag: Duration, function_timeout: Duration) -> TestEnv {
    let setup = TestEnvBuilder {
        options: Options {
            replica_lag: lag,
            function_timeout,
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    };
    let env = setup.start().await;
    env.rotate().await;
    env.sandbox.replicate(SECRET, &REGIONS);
    env.sandbox.advance(lag);
    env
}

fn replica_statuses(env: &TestEnv) -> Vec<ReplicaStatus> {
    let replicas = env.sandbox.secret(SECRET).replicas;
    replicas.iter().map(|replica| replica.status).collect()
}

/// AWSPENDING is removed only once every replica has the move of AWSCURRENT. Otherwise replicas get
/// stuck in the sandbox.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_label_goes_once_replicas_are_in_sync() {
    let lag = Duration::from_secs(3);
    let env = Arc::new(replicated(lag, Duration::from_mins(5)).await);
    let weak = Arc::downgrade(&env);
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let read = FaultKind::before(move || {
        if let Some(env) = weak.upgrade() {
            let _ = sender.send(replica_statuses(&env));
        }
        async {}
    });
    let read = Fault::new(read).on(Service::SecretsManager, "UpdateSecretVersionStage");
    let read = env.sandbox.faults().inject(read.every());
    let superseded = env.current_key();
    let answer = rotate(&env).await;
    assert_eq!(read.fired(), 2, "{answer}");
    env.sandbox.faults().clear();
    let _at_promotion = seen.recv().await;
    let at_removal = seen.recv().await;
    assert_eq!(at_removal, Some(vec![ReplicaStatus::InSync; 2]));
    env.sandbox.advance(lag);
    assert_eq!(replica_statuses(&env), [ReplicaStatus::InSync; 2]);
    env.assert_agreement().await;
    // The replicas were in sync, so the grace period has begun.
    let description = key(&env, &superseded).description;
    assert!(description.starts_with("Superseded at "), "{description}");
}

/// A secret without replicas does not wait, and is not described once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_without_replicas_does_not_wait() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    env.sandbox.clear_calls();
    env.rotate().await;
    let described = env.calls_of("DescribeSecret");
    env.sandbox.replicate(SECRET, &REGIONS);
    env.sandbox.clear_calls();
    env.rotate().await;
    assert_eq!(env.calls_of("DescribeSecret"), described + 1);
}

/// At the deadline the step fails and names the Region. AWSCURRENT is moved, and the next retry
/// completes the rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_in_progress_at_deadline_fails_step() {
    for status in [ReplicaStatus::InProgress, ReplicaStatus::Pending] {
        let env = replicated(Duration::ZERO, Duration::from_secs(8)).await;
        let superseded = env.current_key();
        let [region, _] = REGIONS;
        env.sandbox.set_replica(SECRET, region, status, "");
        let (error, token) = env.rotate_and_fail("finishSecret").await;
        assert_eq!(error.error_type, "ReplicasNotInSync", "{error}");
        assert!(error.error_message.contains(region), "{error}");
        assert!(!error.error_message.contains(REGIONS[1]), "{error}");
        assert!(env.current_key() != superseded, "it was not promoted");
        let pending = labelled(&env, "AWSPENDING");
        assert_eq!(pending.as_ref(), Some(&token));
        assert_eq!(labelled(&env, "AWSCURRENT"), pending);

        // No grace period begins in the meantime, and nothing is disabled.
        for _ in 0..2 {
            let report = env.reconcile(json!({})).await;
            assert!(issues(&report).contains(region), "{report}");
            let description = key(&env, &superseded).description;
            assert!(description.starts_with("Created for "), "{description}");
            env.sandbox.advance(GRACE + QUARANTINE);
        }

        env.sandbox
            .set_replica(SECRET, region, ReplicaStatus::InSync, "");
        env.retry(&token).await;
        env.assert_agreement().await;
        let description = key(&env, &superseded).description;
        assert!(description.starts_with("Superseded at "), "{description}");
        env.sandbox.advance(NEARLY_GRACE);
        env.reconcile(json!({})).await;
        assert_eq!(is_enabled(&env, &superseded), Some(true));
    }
}

/// A key whose grace is over stays enabled while a replica is in progress, except in an emergency.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_key_waits_for_replicas_except_in_emergency() {
    let env = replicated(Duration::ZERO, Duration::from_mins(5)).await;
    let superseded = env.current_key();
    env.rotate().await;
    env.sandbox.advance(GRACE);
    let [region, _] = REGIONS;
    let status = ReplicaStatus::InProgress;
    env.sandbox.set_replica(SECRET, region, status, "");
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &superseded), Some(true), "{report}");
    let report = env.reconcile(stop()).await;
    assert_eq!(is_enabled(&env, &superseded), Some(false), "{report}");
}

/// A replica that failed or was detached is not waited for. The rotation succeeds and reports it
/// with the service's message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_replica_is_reported_and_not_waited_for() {
    let message = "The KMS key of the replica is disabled";
    for status in [ReplicaStatus::Failed, ReplicaStatus::Detached] {
        let env = replicated(Duration::ZERO, Duration::from_mins(5)).await;
        let superseded = env.current_key();
        let [region, _] = REGIONS;
        env.sandbox.set_replica(SECRET, region, status, message);
        let mut answer = Value::Null;
        let (_, line) = env
            .measured(async {
                answer = rotate(&env).await;
                answer.clone()
            })
            .await;
        let words = answer["issues"].to_string();
        assert!(
            words.contains(region) && words.contains(message),
            "{answer}"
        );
        assert!(!words.contains(REGIONS[1]), "{answer}");
        assert_eq!(line["ReplicasFailed"], 1, "{answer}");
        env.assert_agreement().await;
        let (report, line) = reconcile(&env).await;
        assert_eq!(line["ReplicasFailed"], 1, "{report}");
        assert!(issues(&report).contains(message), "{report}");
        // Consumers of the replica are lost already, so the superseded key is retired.
        env.sandbox.advance(GRACE);
        env.reconcile(json!({})).await;
        assert_eq!(is_enabled(&env, &superseded), Some(false));
    }
}

// Rotation that is turned off.

/// A reconciliation reports and counts it, and does the rest of its work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_switched_off_is_reported_and_counted() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let (report, line) = reconcile(&env).await;
    assert_eq!(line["SecretsWithRotationOff"], 0, "{report}");
    env.sandbox.disable_rotation(SECRET);
    env.sandbox.advance(GRACE);
    let (report, line) = reconcile(&env).await;
    assert_eq!(line["SecretsWithRotationOff"], 1, "{report}");
    assert!(
        issues(&report).contains("rotation is turned off"),
        "{report}"
    );
    assert_eq!(is_enabled(&env, &superseded), Some(false));
    env.sandbox.enable_rotation(SECRET);
    let (report, line) = reconcile(&env).await;
    assert_eq!(line["SecretsWithRotationOff"], 0, "{report}");
    assert_eq!(issues(&report), "", "{report}");
}

// Unknown time.

/// Returns two keys without a label: one whose quarantine is over, and one whose grace is over.
async fn due() -> (TestEnv, [String; 2]) {
    let (env, first) = rotated(TestEnvBuilder::quick()).await;
    let second = env.current_key();
    env.rotate().await;
    env.rotate().await;
    for (value, is_disabled) in [(&first, true), (&second, false)] {
        let id = key(&env, value).id;
        env.sandbox.describe_key(&id, &backdated(&env, is_disabled));
        env.sandbox.set_key_enabled(&id, !is_disabled);
    }
    (env, [first, second])
}

/// Without a trustworthy `Date` no due key is disabled or deleted, the report says so, and an
/// emergency stop works anyway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_time_keeps_due_keys_except_in_emergency() {
    let (env, [first, second]) = due().await;
    for service in [Service::SecretsManager, Service::ApiGateway] {
        let forged = Fault::new(FaultKind::header("date", "tomorrow")).of(service);
        env.sandbox.faults().inject(forged.every());
    }
    let report = env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), Some(false), "{report}");
    assert_eq!(is_enabled(&env, &second), Some(true), "{report}");
    assert!(
        issues(&report).contains("the time is not known"),
        "{report}"
    );
    assert!(env.log().contains("the time is not known"));
    let report = env.reconcile(stop()).await;
    assert_eq!(is_enabled(&env, &first), Some(false), "{report}");
    assert_eq!(is_enabled(&env, &second), Some(false), "{report}");

    env.sandbox.faults().clear();
    let report = env.reconcile(json!({})).await;
    assert!(
        !issues(&report).contains("the time is not known"),
        "{report}"
    );
}

/// The same keys, with a known time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_time_ends_old_periods() {
    let (env, [first, second]) = due().await;
    env.reconcile(json!({})).await;
    assert_eq!(is_enabled(&env, &first), None);
    assert_eq!(is_enabled(&env, &second), Some(false));
}
