//! Third-party clients of operators and consumers, against the sandbox around the real binary.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::programs::{
    AwsCli, Group, PATIENCE, first_words, stdout_of, text, texts, until,
};
use crate::support::{CONFIG, PROJECT, SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder, tool};
use sandbox::{FUNCTION_ARN, FUNCTION_NAME, Options, Outcome, REGION, REST_API_ID, STAGE, STEPS};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

/// The target of the default environment.
const TARGET: &str = "PARTNER_API_KEY";
/// The value of a key that no rotation created.
const MANUAL: &str = "HandMadeHandMadeHandMade";

/// An operator's terminal in this environment.
struct Terminal<'a> {
    env: &'a TestEnv,
    cli: AwsCli,
}

impl<'a> Terminal<'a> {
    fn of(env: &'a TestEnv) -> Self {
        let cli = AwsCli::at(env.sandbox.aws_url());
        Self { env, cli }
    }

    /// Runs `aws` and returns its output as JSON.
    async fn aws(&self, line: &str) -> Value {
        self.cli.run(line).await
    }

    /// Runs `aws`, which must fail, and returns its error output.
    async fn aws_refuses(&self, line: &str) -> String {
        self.cli.refuses(line).await
    }

    /// Runs `describe-secret`.
    async fn describe(&self, secret: &str) -> Value {
        self.aws(&format!(
            "secretsmanager describe-secret --secret-id {secret}"
        ))
        .await
    }

    /// Runs `get-secret-value` with more options.
    async fn get(&self, secret: &str, options: &str) -> Value {
        self.aws(&format!(
            "secretsmanager get-secret-value --secret-id {secret} {options}"
        ))
        .await
    }

    /// Runs `list-secret-version-ids` with more options. Returns each version with its labels,
    /// oldest first.
    async fn versions(&self, secret: &str, options: &str) -> Vec<(String, Value)> {
        let answer = self
            .aws(&format!(
                "secretsmanager list-secret-version-ids --secret-id {secret} {options}"
            ))
            .await;
        let versions = answer["Versions"].as_array().into_iter().flatten();
        versions
            .map(|version| {
                (
                    text(version, "/VersionId").to_owned(),
                    version["VersionStages"].clone(),
                )
            })
            .collect()
    }

    /// Runs `lambda invoke`. Returns its output and the function's result.
    async fn invoke(&self, event: &Value) -> (Value, Value) {
        self.cli.invoke(FUNCTION_NAME, event).await
    }

    /// Returns the command `doppler` with a line of arguments, none of which contains a space.
    fn doppler_command(&self, line: &str) -> Command {
        let directory = self.cli.path("doppler");
        std::fs::create_dir_all(&directory).expect("a directory can be created");
        // Nothing in a test may be reported to Doppler, whatever the version's default.
        std::fs::write(
            directory.join(".doppler.yaml"),
            "flags:\n  analytics: false\n  update-check: false\n",
        )
        .expect("the file can be written");
        let mut doppler = self.cli.command(tool("doppler"));
        doppler
            .args([
                "--no-check-version",
                "--api-host",
                &self.env.sandbox.doppler_url(),
            ])
            .arg("--config-dir")
            .arg(directory)
            .args(line.split_whitespace())
            .env("DOPPLER_TOKEN", &self.env.token)
            .env("DOPPLER_PROJECT", PROJECT)
            .env("DOPPLER_CONFIG", CONFIG);
        doppler
    }

    /// Runs `doppler` and returns its output.
    async fn doppler(&self, line: &str) -> String {
        stdout_of(self.doppler_command(line), &first_words(line)).await
    }

    /// Returns the status that curl gets from the gateway.
    async fn curl(&self, key: Option<&str>) -> u16 {
        let mut curl = self.cli.command("curl");
        curl.args(["--silent", "--show-error", "--output", "/dev/null"])
            .args(["--write-out", "%{http_code}", &self.env.probe_url])
            .args(
                key.iter()
                    .flat_map(|key| ["--header".to_owned(), format!("x-api-key: {key}")]),
            );
        let status = stdout_of(curl, "curl").await;
        status.parse().expect("curl prints the status")
    }
}

/// Returns an environment in which a change to keys reaches the gateway after a delay.
fn propagating(propagation: Duration) -> TestEnvBuilder {
    TestEnvBuilder {
        options: Options {
            propagation,
            ..Options::default()
        },
        ..TestEnvBuilder::default()
    }
}

/// Returns the file's lines once there are this many.
fn written(file: &Path, lines: usize) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(file).ok()?;
    (text.matches('\n').count() >= lines).then(|| text.lines().map(str::to_owned).collect())
}

/// Waits for the end of a rotation that a client has started, and asserts that it succeeded.
async fn succeeded(env: &TestEnv, token: &str) -> Outcome {
    let outcome = timeout(PATIENCE, env.sandbox.rotation(token)).await;
    let outcome = outcome.expect("the rotation ends");
    assert!(
        outcome.succeeded,
        "{:?}\n{}",
        outcome.error(),
        env.sandbox.function_log()
    );
    outcome
}

fn steps(outcome: &Outcome) -> Vec<&str> {
    let steps = outcome.steps.iter();
    steps.map(|run| run.step.as_str()).collect()
}

/// Returns one of the project's example events.
fn example_event(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("events/{name}.json"));
    let text = std::fs::read_to_string(file).expect("the example exists");
    serde_json::from_str(&text).expect("the example is JSON")
}

/// A secret that the AWS CLI created is rotated with the AWS CLI.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_created_by_aws_cli_is_rotated() {
    const NAME: &str = "orders/partner-api-key";
    let env = TestEnvBuilder::default().start().await;
    let terminal = Terminal::of(&env);

    let created = terminal
        .aws(&format!(
            "secretsmanager create-secret --name {NAME} --description partner \
             --secret-string {{\"apiKey\":\"{MANUAL}\",\"owner\":\"orders\"}}"
        ))
        .await;
    // The function's role contains its ARN.
    env.redeploy(&[("SECRET_ID", NAME)]).await;
    let first = text(&created, "/VersionId");
    let described = terminal.describe(NAME).await;
    assert_eq!(text(&described, "/ARN"), text(&created, "/ARN"));
    assert_eq!(text(&described, "/Description"), "partner");
    assert_eq!(described["RotationEnabled"], Value::Null);
    assert_eq!(
        described["VersionIdsToStages"],
        json!({ first: ["AWSCURRENT"] })
    );

    let rotating = terminal
        .aws(&format!(
            "secretsmanager rotate-secret --secret-id {NAME} --rotation-lambda-arn {FUNCTION_ARN} \
             --rotation-rules AutomaticallyAfterDays=30"
        ))
        .await;
    let token = text(&rotating, "/VersionId");
    let outcome = succeeded(&env, token).await;
    assert_eq!(steps(&outcome), STEPS);

    let stored = terminal.get(NAME, "").await;
    assert_eq!(text(&stored, "/VersionId"), token);
    assert_eq!(stored["VersionStages"], json!(["AWSCURRENT"]));
    let fields: Value =
        serde_json::from_str(text(&stored, "/SecretString")).expect("the secret stays JSON");
    assert_eq!(fields["owner"], "orders", "other fields are carried over");
    let key = text(&fields, "/apiKey");
    assert!(key != MANUAL, "the key is unchanged");
    assert_eq!(terminal.curl(Some(key)).await, 200);
    assert_eq!(terminal.curl(Some(MANUAL)).await, 403);
    assert!(
        env.doppler_value(TARGET).as_deref() == Some(key),
        "Doppler holds another key"
    );

    let described = terminal.describe(NAME).await;
    assert_eq!(described["RotationEnabled"], true);
    assert_eq!(text(&described, "/RotationLambdaARN"), FUNCTION_ARN);
    assert_eq!(
        described["RotationRules"],
        json!({ "AutomaticallyAfterDays": 30 })
    );
    assert!(!described["LastRotatedDate"].is_null());
    assert_eq!(
        described["VersionIdsToStages"],
        json!({ first: ["AWSPREVIOUS"], token: ["AWSCURRENT"] })
    );
    assert_eq!(
        terminal.versions(NAME, "").await,
        [
            (first.to_owned(), json!(["AWSPREVIOUS"])),
            (token.to_owned(), json!(["AWSCURRENT"])),
        ]
    );
}

/// The AWS CLI sets tags and labels, and shows why a rotation is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_cli_puts_labels_and_learns_denials() {
    let env = TestEnvBuilder::holding(MANUAL).start().await;
    let terminal = Terminal::of(&env);
    let manual = text(&terminal.get(SECRET, "").await, "/VersionId").to_owned();

    let put = terminal
        .aws(&format!(
            "secretsmanager put-secret-value --secret-id {SECRET} --secret-string second"
        ))
        .await;
    let second = text(&put, "/VersionId");
    assert_eq!(put["VersionStages"], json!(["AWSCURRENT"]));
    assert!(
        text(&terminal.get(SECRET, "").await, "/SecretString") == "second",
        "the secret holds another value"
    );
    let previous = terminal.get(SECRET, "--version-stage AWSPREVIOUS").await;
    assert_eq!(text(&previous, "/VersionId"), manual);

    terminal
        .aws(&format!(
            "secretsmanager put-secret-value --secret-id {SECRET} --secret-string third \
             --version-stages AWSPENDING"
        ))
        .await;
    let current = terminal.get(SECRET, "").await;
    assert_eq!(
        text(&current, "/VersionId"),
        second,
        "AWSCURRENT stays where it was"
    );
    let pending = terminal.get(SECRET, "--version-stage AWSPENDING").await;
    let pending = text(&pending, "/VersionId");
    let refusal = terminal
        .aws_refuses(&format!(
            "secretsmanager rotate-secret --secret-id {SECRET}"
        ))
        .await;
    assert!(
        refusal.contains("(InvalidRequestException) when calling the RotateSecret operation: ")
            && refusal.contains("A previous rotation isn't complete."),
        "{refusal}"
    );

    // The remedy from the documentation.
    terminal
        .aws(&format!(
            "secretsmanager update-secret-version-stage --secret-id {SECRET} \
             --version-stage AWSPENDING --remove-from-version-id {pending}"
        ))
        .await;
    assert_eq!(
        terminal.versions(SECRET, "").await,
        [
            (manual.clone(), json!(["AWSPREVIOUS"])),
            (second.to_owned(), json!(["AWSCURRENT"])),
        ]
    );
    assert_eq!(
        terminal.versions(SECRET, "--include-deprecated").await[2],
        (pending.to_owned(), Value::Null),
        "a version without labels is deprecated"
    );

    terminal
        .aws(&format!(
            "secretsmanager tag-resource --secret-id {SECRET} --tags Key=team,Value=orders Key=tier,Value=1"
        ))
        .await;
    assert_eq!(
        terminal.describe(SECRET).await["Tags"],
        json!([{ "Key": "team", "Value": "orders" }, { "Key": "tier", "Value": "1" }])
    );
}

/// `rotate-secret --no-rotate-immediately` tests the settings and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotate_secret_without_immediate_rotation_changes_nothing() {
    let env = TestEnvBuilder::default().start().await;
    env.rotate().await;
    let terminal = Terminal::of(&env);
    let (secret, keys) = (env.sandbox.secret(SECRET), env.sandbox.keys());

    let started = terminal
        .aws(&format!(
            "secretsmanager rotate-secret --secret-id {SECRET} --no-rotate-immediately"
        ))
        .await;
    let outcome = succeeded(&env, text(&started, "/VersionId")).await;
    assert_eq!(steps(&outcome), ["testSecret"]);

    assert!(
        env.sandbox.secret(SECRET) == secret,
        "the secret has changed: {:?}",
        env.sandbox.secret(SECRET)
    );
    assert!(
        env.sandbox.keys() == keys,
        "the keys have changed: {:?}",
        env.sandbox.keys()
    );
    assert_eq!(
        terminal.versions(SECRET, "--include-deprecated").await,
        [(
            secret.current().expect("the version exists").id.clone(),
            json!(["AWSCURRENT"])
        )],
        "the version of the test rotation is deleted"
    );
    env.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn boto3_rotates_and_lists_secrets_page_by_page() {
    const SCRIPT: &str = "
import boto3, json, sys
client = boto3.client('secretsmanager')
answer = client.rotate_secret(SecretId=sys.argv[1])
pages = client.get_paginator('list_secrets').paginate(PaginationConfig={'PageSize': 1})
names = [[secret['Name'] for secret in page['SecretList']] for page in pages]
print(json.dumps({'token': answer['VersionId'], 'pages': names}))
";
    let env = TestEnvBuilder::default().start().await;
    let terminal = Terminal::of(&env);
    let mut python = terminal.cli.command(tool("python"));
    python.args(["-c", SCRIPT, SECRET]).envs(terminal.cli.env());
    let answer: Value =
        serde_json::from_str(&stdout_of(python, "boto3").await).expect("the script prints JSON");
    assert_eq!(answer["pages"], json!([[SECRET], [TOKEN_SECRET]]));
    let outcome = succeeded(&env, text(&answer, "/token")).await;
    assert_eq!(steps(&outcome), STEPS);
    env.assert_agreement().await;
}

/// A key that the AWS CLI created works only while it is enabled and on a plan.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_cli_key_works_enabled_and_attached() {
    let env = TestEnvBuilder::plain().start().await;
    let terminal = Terminal::of(&env);
    let plan = terminal
        .aws(&format!(
            "apigateway create-usage-plan --name by-hand --api-stages apiId={REST_API_ID},stage={STAGE}"
        ))
        .await;
    assert_eq!(
        plan["apiStages"],
        json!([{ "apiId": REST_API_ID, "stage": STAGE }])
    );
    let plan = text(&plan, "/id");
    let created = terminal
        .aws("apigateway create-api-key --name by-hand")
        .await;
    assert_eq!(created["enabled"], false, "a key is born disabled");
    let (id, key) = (text(&created, "/id"), text(&created, "/value"));
    let enable = async |enabled: bool| {
        let updated = terminal
            .aws(&format!(
                "apigateway update-api-key --api-key {id} \
                 --patch-operations op=replace,path=/enabled,value={enabled}"
            ))
            .await;
        assert_eq!(updated["enabled"], enabled);
        assert!(
            updated.get("value").is_none(),
            "an update does not show the value"
        );
    };

    enable(true).await;
    assert_eq!(terminal.curl(Some(key)).await, 403, "it is on no plan");
    let attached = terminal
        .aws(&format!(
            "apigateway create-usage-plan-key --usage-plan-id {plan} --key-id {id} --key-type API_KEY"
        ))
        .await;
    assert_eq!(attached["id"], id);
    assert_eq!(terminal.curl(Some(key)).await, 200);
    enable(false).await;
    assert_eq!(terminal.curl(Some(key)).await, 403, "it is disabled");
    enable(true).await;
    assert_eq!(terminal.curl(Some(key)).await, 200);

    let members = format!("apigateway get-usage-plan-keys --usage-plan-id {plan}");
    let listed = terminal.aws(&members).await;
    assert_eq!(texts(&listed, "/items", "id"), [id]);
    terminal
        .aws(&format!("apigateway delete-api-key --api-key {id}"))
        .await;
    assert_eq!(terminal.curl(Some(key)).await, 403, "it is deleted");
    assert_eq!(terminal.aws(&members).await["items"], json!([]));
    let refusal = terminal
        .aws_refuses(&format!("apigateway get-api-key --api-key {id}"))
        .await;
    assert!(
        refusal.contains("(NotFoundException) when calling the GetApiKey operation"),
        "{refusal}"
    );
}

/// The AWS CLI lists keys by prefix and shows values only on request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_cli_lists_keys_and_hides_values() {
    let env = TestEnvBuilder::plain().start().await;
    let terminal = Terminal::of(&env);
    let create = format!("apigateway create-api-key --name demo/a --enabled --value {MANUAL}");
    let created = terminal.aws(&create).await;
    assert_eq!(created["enabled"], true);
    assert!(created["value"] == MANUAL, "the key has another value");
    let refusal = terminal.aws_refuses(&create).await;
    assert!(
        refusal.contains(
            "(ConflictException) when calling the CreateApiKey operation: API Key already exists"
        ),
        "{refusal}"
    );
    for name in ["demo/ab", "Demo/a", "also-demo/a"] {
        let value = format!("{MANUAL}{}", name.replace(['/', '-'], ""));
        env.sandbox.create_key(name, &value, &[]);
    }

    let found = terminal
        .aws("apigateway get-api-keys --name-query demo/a")
        .await;
    assert_eq!(texts(&found, "/items", "name"), ["demo/ab", "demo/a"]);
    assert!(
        found["items"][1].get("value").is_none(),
        "the value is shown without a request"
    );
    let found = terminal
        .aws("apigateway get-api-keys --name-query demo/a --include-values")
        .await;
    assert!(
        found["items"][1]["value"] == MANUAL,
        "the value is missing or another"
    );

    env.sandbox.clear_calls();
    let all = terminal.aws("apigateway get-api-keys --page-size 3").await;
    assert_eq!(
        texts(&all, "/items", "name"),
        ["also-demo/a", "Demo/a", "demo/ab", "demo/a"]
    );
    assert_eq!(env.sandbox.calls().len(), 2, "three keys, then the last");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_cli_tags_and_untags_key() {
    let env = TestEnvBuilder::plain().start().await;
    let terminal = Terminal::of(&env);
    let id = env.sandbox.create_key("tagged", MANUAL, &[]);
    let arn = format!("arn:aws:apigateway:{REGION}::/apikeys/{id}");
    let tags = async || {
        let answer = terminal
            .aws(&format!("apigateway get-tags --resource-arn {arn}"))
            .await;
        answer["tags"].clone()
    };

    assert_eq!(tags().await, json!({}));
    terminal
        .aws(&format!(
            "apigateway tag-resource --resource-arn {arn} --tags team=orders,rotation:version=1"
        ))
        .await;
    assert_eq!(
        tags().await,
        json!({ "team": "orders", "rotation:version": "1" })
    );
    terminal
        .aws(&format!(
            "apigateway untag-resource --resource-arn {arn} --tag-keys team"
        ))
        .await;
    assert_eq!(tags().await, json!({ "rotation:version": "1" }));
    let listed = terminal.aws("apigateway get-api-keys").await;
    assert_eq!(
        listed["items"][0]["tags"],
        json!({ "rotation:version": "1" })
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doppler_cli_reads_mirrored_key() {
    let env = TestEnvBuilder::default().start().await;
    let terminal = Terminal::of(&env);
    env.rotate().await;
    let first = env.current_key();
    let get = format!("secrets get {TARGET} --plain");
    assert!(
        terminal.doppler(&get).await.trim_end() == first,
        "`secrets get` shows another key"
    );
    env.rotate().await;
    let key = env.current_key();
    assert!(key != first, "the second rotation made no new key");

    assert!(
        terminal.doppler(&get).await.trim_end() == key,
        "`secrets get` shows another key"
    );
    let downloaded = terminal
        .doppler("secrets download --no-file --no-fallback --format json")
        .await;
    let downloaded: Value = serde_json::from_str(&downloaded).expect("the download is JSON");
    assert!(
        downloaded[TARGET] == *key,
        "`secrets download` shows another key"
    );
    assert!(
        downloaded["DOPPLER_CONFIG"] == CONFIG,
        "Doppler's own variables are missing"
    );
    let environment = terminal.doppler("run --no-fallback -- env").await;
    assert!(
        environment.lines().any(|line| line
            .strip_prefix(TARGET)
            .and_then(|rest| rest.strip_prefix('='))
            == Some(&key)),
        "`run` sets another key"
    );
    let me: Value =
        serde_json::from_str(&terminal.doppler("me --json").await).expect("`me --json` is JSON");
    assert_eq!(me["type"], "service_token");
}

/// `doppler run --watch` restarts its child with the new key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doppler_run_watch_restarts_child_with_new_key() {
    // The child runs until it is ended, as a service would.
    const SERVICE: &str = r#"printf '%s\n' "$PARTNER_API_KEY" >>keys; exec sleep 300"#;
    let env = TestEnvBuilder::default().start().await;
    let terminal = Terminal::of(&env);
    env.rotate().await;
    let first = env.current_key();

    let mut command = terminal.doppler_command("run --watch --no-fallback -- sh -c");
    command
        .arg(SERVICE)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut doppler = Group::start(command);
    let file = terminal.cli.path("keys");
    until("start of the child", || written(&file, 1)).await;
    // A change before the watch is established may go unnoticed.
    until("watch", || {
        let calls = env.sandbox.calls();
        calls
            .iter()
            .any(|call| call.operation == "WatchSecrets" && call.status == 200)
            .then_some(())
    })
    .await;

    env.rotate().await;
    let second = env.current_key();
    let keys = until("second start of the child", || written(&file, 2)).await;
    assert!(
        keys == [first, second],
        "the child was started with other keys"
    );
    assert!(doppler.runs(), "`doppler run` has ended");
}

/// Curl is accepted with the current key and with no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_is_accepted_with_current_key_only() {
    let env = TestEnvBuilder::default().start().await;
    env.rotate().await;
    let terminal = Terminal::of(&env);
    assert_eq!(terminal.curl(None).await, 403);
    assert_eq!(terminal.curl(Some(MANUAL)).await, 403);
    assert_eq!(terminal.curl(Some(&env.current_key())).await, 200);
}

/// Curl is refused with a new key until it has propagated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_is_refused_until_new_key_propagated() {
    let propagation = Duration::from_secs(2);
    let env = propagating(propagation).start().await;
    let terminal = Terminal::of(&env);
    let created = Instant::now();
    env.sandbox.create_key("new", MANUAL, &[&env.plans[0]]);
    assert_eq!(terminal.curl(Some(MANUAL)).await, 403);
    while terminal.curl(Some(MANUAL)).await != 200 {
        assert!(created.elapsed() < PATIENCE, "the key is never accepted");
    }
    assert!(created.elapsed() >= propagation);
}

/// A key that propagates slowly is handed out only once curl is accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_key_is_handed_out_once_accepted() {
    let env = propagating(Duration::from_secs(1)).start().await;
    let terminal = Terminal::of(&env);
    env.rotate().await;
    let probes = env.sandbox.calls().into_iter();
    let answers: Vec<_> = probes
        .filter(|call| call.operation == "Probe")
        .map(|call| call.status)
        .collect();
    // The first response is for a random key.
    assert_eq!(answers.get(1), Some(&403), "there was nothing to wait for");
    let key = terminal
        .doppler(&format!("secrets get {TARGET} --plain"))
        .await;
    assert_eq!(terminal.curl(Some(key.trim_end())).await, 200);
}

/// The example events rotate when the AWS CLI invokes the function with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn example_events_rotate_through_aws_cli() {
    let env = TestEnvBuilder::default().start().await;
    let terminal = Terminal::of(&env);
    let secret = env.sandbox.secret(SECRET).arn;
    let token = env.sandbox.begin_rotation(SECRET);
    for (file, step) in [
        ("create-secret", "createSecret"),
        ("set-secret", "setSecret"),
        ("test-secret", "testSecret"),
        ("finish-secret", "finishSecret"),
    ] {
        let mut event = example_event(file);
        assert_eq!(event["Step"], step);
        event["SecretId"] = json!(secret);
        event["ClientRequestToken"] = json!(token);
        let (answer, report) = terminal.invoke(&event).await;
        assert_eq!(answer["StatusCode"], 200);
        assert_eq!(answer.get("FunctionError"), None, "{report}");
        assert_eq!(report["step"], step);
        assert_eq!(report["secret"], secret);
        assert_eq!(report["version"], token);
        assert_eq!(report["issues"], json!([]));
        // Only testSecret just reads.
        assert_eq!(
            report["done"] == json!([]),
            step == "testSecret",
            "{report}"
        );
    }
    env.assert_agreement().await;
}

/// The example events reconcile when the AWS CLI invokes the function with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn example_events_reconcile_through_aws_cli() {
    let env = TestEnvBuilder::default().start().await;
    let terminal = Terminal::of(&env);
    env.rotate().await;
    let superseded = env.current_key();
    env.rotate().await;
    let secret = env.sandbox.secret(SECRET);
    for file in [
        "reconcile",
        "reconcile-all",
        "label-updated",
        "emergency-stop",
    ] {
        let mut event = example_event(file);
        if file == "label-updated" {
            event["resources"] = json!([secret.arn]);
            event["detail"]["versionId"] = json!(secret.current().expect("the version exists").id);
        }
        let (answer, report) = terminal.invoke(&event).await;
        assert_eq!(answer.get("FunctionError"), None, "{report}");
        let is_stop = file == "emergency-stop";
        let step = if is_stop {
            "emergencyStop"
        } else {
            "reconcile"
        };
        assert_eq!(report["step"], step);
        assert_eq!(text(&report, "/secrets/0/secret"), secret.arn);
        let key = env.sandbox.key_with_value(&superseded);
        let enabled = key.expect("the key exists").enabled;
        assert_eq!(enabled, !is_stop, "{file}: {report}");
    }
    env.assert_agreement().await;
}

/// The AWS CLI shows a function error with its type and message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_cli_shows_function_error_and_type() {
    let env = TestEnvBuilder::default().start().await;
    let terminal = Terminal::of(&env);
    let mut event = example_event("set-secret");
    event["SecretId"] = json!(env.sandbox.secret(SECRET).arn);
    let (answer, error) = terminal.invoke(&event).await;
    assert_eq!(answer["StatusCode"], 200, "Lambda itself did its part");
    assert_eq!(answer["FunctionError"], "Unhandled");
    assert_eq!(error["errorType"], "UnknownVersion");
    assert!(text(&error, "/errorMessage").contains("version"), "{error}");

    event["Step"] = json!("set_secret");
    let (answer, error) = terminal.invoke(&event).await;
    assert_eq!(answer["FunctionError"], "Unhandled");
    assert_eq!(error["errorType"], "UnknownStep");

    let refusal = terminal
        .aws_refuses("lambda invoke --function-name another --payload {} answer.json")
        .await;
    assert!(
        refusal.contains("(ResourceNotFoundException) when calling the Invoke operation"),
        "{refusal}"
    );
}

/// The AWS CLI reads the stack and the log, changes a parameter, and waits for the update.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_cli_changes_stack_and_reads_log() {
    let env = TestEnvBuilder::plain().start().await;
    env.create_stack("partner-stack");
    let terminal = Terminal::of(&env);
    let described = terminal
        .aws("cloudformation describe-stacks --stack-name partner-stack")
        .await;
    let stack = &described["Stacks"][0];
    assert_eq!(text(stack, "/StackStatus"), "CREATE_COMPLETE");
    let outputs = stack["Outputs"].as_array().expect("a list").iter();
    let output = |name: &str| {
        let mut outputs = outputs.clone();
        let found = outputs.find(|output| output["OutputKey"] == name);
        text(found.expect("there is the output"), "/OutputValue").to_owned()
    };
    assert_eq!(output("FunctionName"), FUNCTION_NAME);
    assert_eq!(
        output("LogGroupName"),
        format!("/aws/lambda/{FUNCTION_NAME}")
    );
    let summary = terminal
        .aws("cloudformation get-template-summary --stack-name partner-stack")
        .await;
    let parameters = summary["Parameters"].as_array().expect("a list").iter();
    let names = parameters.map(|parameter| text(parameter, "/ParameterKey"));
    let kept = names.filter(|name| *name != "GracePeriod");
    let kept: Vec<_> = kept
        .map(|name| format!("ParameterKey={name},UsePreviousValue=true"))
        .collect();
    let update = format!(
        "cloudformation update-stack --stack-name partner-stack --use-previous-template --capabilities CAPABILITY_NAMED_IAM CAPABILITY_AUTO_EXPAND --parameters ParameterKey=GracePeriod,ParameterValue=48h {}",
        kept.join(" ")
    );
    terminal.aws(&update).await;
    terminal
        .aws("cloudformation wait stack-update-complete --stack-name partner-stack")
        .await;
    assert_eq!(env.sandbox.function_variables()["GRACE_PERIOD"], "48h");
    let again = terminal.aws_refuses(&update).await;
    assert!(again.contains("No updates are to be performed."), "{again}");
    let events = terminal
        .aws("cloudformation describe-stack-events --stack-name partner-stack")
        .await;
    assert_eq!(
        text(&events, "/StackEvents/0/ResourceStatus"),
        "UPDATE_COMPLETE"
    );
    let tags = terminal
        .aws(&format!("lambda list-tags --resource {FUNCTION_ARN}"))
        .await;
    let stack = "/Tags/aws:cloudformation:stack-name";
    assert_eq!(text(&tags, stack), "partner-stack");
    env.rotate().await;
    let log = format!(
        "logs filter-log-events --log-group-name /aws/lambda/{FUNCTION_NAME} --filter-pattern {{$.outcome=\"rotation*\"}}"
    );
    let found = terminal.aws(&log).await;
    let message = text(&found, "/events/0/message");
    assert!(message.contains("rotation finished"), "{message}");
    let missing = terminal
        .aws_refuses("logs filter-log-events --log-group-name missing")
        .await;
    assert!(missing.contains("ResourceNotFoundException"), "{missing}");
}
