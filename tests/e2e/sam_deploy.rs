//! The function as a user deploys it: built and deployed with the SAM CLI, to ministack in place of
//! AWS. ministack creates the stack, runs the function with the rights of its role, sends it the
//! events of the stack's rules, and serves the API that requires a key. `make e2e` runs this.
//!
//! `tests/tools/run-ministack.py` lists the changes that make ministack 1.5.33 more like AWS. Not
//! tested: whether Secrets Manager may call the function, and whether the role may tag the keys
//! that it creates.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::markdown::{page, repository};
use crate::support::programs::{
    AwsCli, Group, PATIENCE, free_port, keep, output_within, stdout_of, successful, text, texts,
};
use crate::support::role::TEMPLATE;
use crate::support::sam::{architecture, built};
use crate::support::{e2e_tool, key_in, tool};
use sandbox::{REGION, STEPS, http_client::send};
use serde_json::{Value, json};
use tempfile::TempDir;
use template::Template;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::{sleep, timeout};

/// The name of the secret that a stack makes.
const SECRET: &str = "shop/partner-api-key";
/// The tokens of a test's rotations, which become version ids.
const FIRST: &str = "11111111-1111-4111-8111-111111111111";
const SECOND: &str = "22222222-2222-4222-8222-222222222222";
/// A manually created key.
const MANUAL: &str = "MadeByHand0123456789abcdefghijk";
/// How long `sam deploy` and `sam delete` may take.
const DEPLOY_PATIENCE: Duration = Duration::from_mins(2);
/// A schedule of one minute may just have fired.
const SCHEDULE_PATIENCE: Duration = Duration::from_mins(3);

/// SAM builds the same program as `make build`, and it starts with the C library of Lambda.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sam_builds_program_of_make_build() {
    let made = std::env::var_os("FUNCTION").expect("`make e2e` names the build for Lambda");
    let built = built().await.join("RotationFunction/bootstrap");
    let checked = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/glibc"))
        .arg("2.34")
        .arg(&built)
        .output()
        .await
        .expect("the check can be run");
    successful(checked, "glibc");
    let [by_sam, by_make] =
        [built, made.into()].map(|path| std::fs::read(path).expect("the file exists"));
    assert!(by_sam == by_make, "`make build` makes another program");
}

/// SAM changes only the code location in the template that other tests read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sam_changes_only_code_location() {
    let built =
        Template::read(&built().await.join("template.yaml")).expect("the file is a template");
    for section in ["Parameters", "Rules", "Conditions", "Outputs"] {
        assert_eq!(built.section(section), TEMPLATE.section(section));
    }
    let resources = |template: &Template| {
        let mut resources = template.section("Resources").clone();
        for (name, resource) in &mut resources {
            let properties = resource["Properties"].as_object_mut();
            let code = properties
                .expect("the properties are a mapping")
                .remove("CodeUri");
            assert_eq!(code.is_some(), name == "RotationFunction");
            if let Some(Value::Object(metadata)) = resource.get_mut("Metadata") {
                // SAM's own record of the logical id.
                metadata.remove("SamResourceId");
            }
        }
        resources
    };
    assert_eq!(resources(&built), resources(&TEMPLATE));
}

/// A stack is created, works, is updated, and leaves its secret and key when it is deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stack_is_created_updated_and_leaves_secret() {
    const STACK: &str = "rotation";
    let cloud = Cloud::start().await;
    let settings = [
        ("SecretName", SECRET),
        ("UsagePlanIds", &cloud.plan),
        ("ReconcileSchedule", "rate(1 minute)"),
    ];
    cloud.deploy(STACK, &settings).await;

    let outputs = cloud.outputs(STACK).await;
    let arn = outputs["SecretArn"].clone();
    let described = cloud.describe(&arn).await;
    assert_eq!(described["ARN"], arn, "the output is the secret's ARN");
    assert_eq!(described["Name"], SECRET);
    assert_eq!(described["RotationEnabled"], true);
    assert_eq!(described["RotationLambdaARN"], outputs["FunctionArn"]);
    assert_eq!(
        described["RotationRules"],
        json!({ "ScheduleExpression": "rate(30 days)" })
    );
    let versions = &described["VersionIdsToStages"];
    assert_eq!(versions, &json!({}), "the stack stores no value");

    cloud.rotate(STACK, &arn, FIRST).await;
    let first = cloud.assert_current(STACK, &arn, FIRST).await;
    assert_eq!(cloud.answer(Some(&first)).await, 200);
    assert_eq!(cloud.answer(Some(MANUAL)).await, 403);
    assert_eq!(cloud.answer(None).await, 403);
    let id = cloud.key(&first).await["id"].clone();
    cloud.assert_pages_find(STACK, text(&id, "")).await;
    let report = cloud.reconcile(STACK, json!({ "Step": "reconcile" })).await;
    assert_eq!(text(&report, "/secrets/0/secret"), arn);
    assert_eq!(report["totals"]["keysInUse"], 1);
    assert_eq!(report["totals"]["failures"], 0, "{report}");

    // Other settings do not change the stored values, and the function uses the new settings.
    let before = (cloud.describe(&arn).await, cloud.keys().await);
    let other_settings = [
        ("GracePeriod", "1s"),
        ("ScheduleExpression", "rate(10 days)"),
    ];
    cloud
        .deploy(STACK, &[settings.as_slice(), &other_settings].concat())
        .await;
    let after = cloud.describe(&arn).await;
    assert_eq!(
        (&after["VersionIdsToStages"], &cloud.keys().await),
        (&before.0["VersionIdsToStages"], &before.1)
    );
    assert_eq!(
        after["RotationRules"]["ScheduleExpression"],
        "rate(10 days)"
    );
    assert_eq!(cloud.setting(STACK, "GRACE_PERIOD").await, "1s");

    // The superseded key works until the schedule's event retires it.
    cloud.rotate(STACK, &arn, SECOND).await;
    let second = cloud.assert_current(STACK, &arn, SECOND).await;
    assert!(first != second, "the key was not superseded");
    cloud
        .until("end of the superseded key", async || {
            cloud.answer(Some(&first)).await == 403
        })
        .await;
    let superseded = cloud.key(&first).await;
    assert_eq!(superseded["enabled"], false);
    assert!(text(&superseded, "/description").contains(". Disabled at "));
    assert_eq!(cloud.answer(Some(&second)).await, 200);

    // The rule reconciles after a manual rollback, without a manual invoke.
    cloud
        .cli
        .run(&format!(
            "secretsmanager update-secret-version-stage --secret-id {arn} \
             --version-stage AWSCURRENT --move-to-version-id {FIRST} --remove-from-version-id {SECOND}"
        ))
        .await;
    cloud
        .until("return of the first key", async || {
            cloud.answer(Some(&first)).await == 200
        })
        .await;

    let published = cloud.published(STACK).await;
    for key in [&first, &second] {
        assert!(!published.contains(key.as_str()), "a key is shown");
    }

    // Consumers of the secret do not depend on the stack.
    cloud.delete(STACK).await;
    assert!(
        cloud
            .cli
            .refuses(&format!("lambda get-function --function-name {STACK}"))
            .await
            .contains("ResourceNotFoundException")
    );
    let described = cloud.describe(&arn).await;
    assert_eq!(described["RotationEnabled"], false);
    assert!(
        cloud.current_key(&arn).await == first,
        "the secret holds another key"
    );
    assert_eq!(cloud.answer(Some(&first)).await, 200);
}

/// A stack for an existing secret inherits its plans and may read no other secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stack_for_existing_secret_inherits_its_plans() {
    const STACK: &str = "existing";
    let cloud = Cloud::start().await;
    let existing = cloud
        .create_secret(SECRET, &format!(r#"{{"url":"x","apiKey":"{MANUAL}"}}"#))
        .await;
    let other = cloud.create_secret("another/secret", MANUAL).await;
    let manual = cloud.create_key(MANUAL).await;
    cloud
        .deploy(STACK, &[("ExistingSecretArn", &existing)])
        .await;
    assert_eq!(cloud.outputs(STACK).await["SecretArn"], existing);

    cloud.begin(&existing, FIRST).await;
    let mut left = Vec::new();
    for step in STEPS {
        let report = cloud.step(STACK, &existing, FIRST, step).await;
        left.extend(report["issues"].as_array().cloned().unwrap_or_default());
    }
    let [left] = &left[..] else {
        panic!("not one issue: {left:?}");
    };
    assert!(
        left.as_str().is_some_and(|left| left.contains(&manual)),
        "the superseded key is not managed: {left}"
    );
    let key = cloud.assert_current(STACK, &existing, FIRST).await;
    for key in [key.as_str(), MANUAL] {
        assert_eq!(cloud.answer(Some(key)).await, 200);
    }

    cloud.begin(&other, SECOND).await;
    let event = step_event(&other, SECOND, "createSecret");
    let (answer, error) = cloud.cli.invoke(STACK, &event).await;
    assert_eq!(answer["FunctionError"], "Unhandled");
    assert!(
        text(&error, "/errorMessage").contains("secretsmanager:DescribeSecret"),
        "IAM allows reading another secret: {error}"
    );
    cloud.delete(STACK).await;
}

/// A guided deployment creates a stack, and is repeated from the answers that SAM has saved.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guided_deployment_is_repeated_from_saved_answers() {
    const STACK: &str = "guided";
    let cloud = Cloud::start().await;
    let answer = |question: &str| match question {
        "SecretName" => SECRET.to_owned(),
        "UsagePlanIds" => cloud.plan.clone(),
        // With the values that the other tests use.
        "PropagationDelay" => "1s".to_owned(),
        "EndpointUrl" => cloud.url.clone(),
        "Architecture" => architecture().replace("Architecture=", ""),
        _ => String::new(),
    };
    // Enter accepts SAM's proposals: for the Region and the remaining parameters, and at the end
    // for the yes/no questions.
    let template = std::fs::read_to_string(built().await.join("template.yaml"));
    let template = template.expect("the template can be read");
    let parameters = template.lines().skip_while(|line| *line != "Parameters:");
    let parameters = parameters.skip(1).take_while(|line| line.starts_with(' '));
    let parameters = parameters.filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'));
    let parameters: Vec<_> = parameters.filter(|name| !name.starts_with(' ')).collect();
    assert_eq!(parameters.len(), TEMPLATE.section("Parameters").len());
    let answers = [STACK.to_owned(), String::new()].into_iter();
    let answers = answers.chain(parameters.into_iter().map(answer));
    // SAM asks whether to sign the code, because the function can have a configuration for it.
    let answers = answers.map(|line| line + "\n").collect::<String>() + "\n\n\nn\n\n\n\n";
    let file = cloud.cli.path("answers");
    std::fs::write(&file, answers).expect("the file can be written");

    // The default directory of `sam build`.
    std::fs::create_dir(cloud.cli.path(".aws-sam")).expect("a directory can be created");
    symlink(built().await, cloud.cli.path(".aws-sam/build")).expect("a link can be created");
    let deploy = async |arguments: &[&str], answers: Stdio| {
        let mut sam = cloud.cli.command(tool("sam"));
        sam.arg("deploy")
            .args(arguments)
            .envs(cloud.cli.env())
            .env("SAM_CLI_TELEMETRY", "0")
            .env("SAM_CLI_POLL_DELAY", "1")
            .stdin(answers);
        successful(
            output_within(DEPLOY_PATIENCE, sam, "sam deploy").await,
            "sam deploy",
        );
    };
    eprintln!("sam deploy --guided");
    let answers = std::fs::File::open(file).expect("the file exists");
    deploy(
        &["--guided", "--capabilities", "CAPABILITY_NAMED_IAM"],
        answers.into(),
    )
    .await;
    let arn = cloud.outputs(STACK).await["SecretArn"].clone();
    cloud.rotate(STACK, &arn, FIRST).await;
    cloud.assert_current(STACK, &arn, FIRST).await;

    let saved = cloud.cli.path("samconfig.toml");
    let text = std::fs::read_to_string(&saved).expect("SAM has saved the answers");
    let changed = text.replace(r#"GracePeriod=\"24h\""#, r#"GracePeriod=\"36h\""#);
    assert!(changed != text, "{text}");
    std::fs::write(saved, changed).expect("the file can be written");
    eprintln!("sam deploy");
    deploy(&[], Stdio::null()).await;
    assert_eq!(cloud.setting(STACK, "GRACE_PERIOD").await, "36h");
    assert_eq!(cloud.outputs(STACK).await["SecretArn"], arn);

    // Neither SAM nor the source is needed to change a parameter.
    let change = "rotation_change 'GracePeriod=1d 12h' QuarantinePeriod=8d";
    let documented = page("deploy").block_with("rotation_change CurrentKeyMaxAgeDays=");
    for change in [change, &documented] {
        let change = format!("export F={STACK}\n{change}");
        cloud.shell(&with_functions(&change)).await;
    }
    for (name, expected) in [
        ("GRACE_PERIOD", "1d 12h"),
        ("QUARANTINE_PERIOD", "8d"),
        ("PROPAGATION_DELAY", "1s"),
    ] {
        assert_eq!(cloud.setting(STACK, name).await, expected, "{name}");
    }
    assert_eq!(cloud.outputs(STACK).await["SecretArn"], arn);
    cloud.delete(STACK).await;
}

/// A release is deployed as the README says, without building.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn release_is_deployed_without_building() {
    const STACK: &str = "release";
    let cloud = Cloud::start().await;
    let template = cloud.release().await;
    let settings = [("SecretName", SECRET), ("UsagePlanIds", &cloud.plan)];
    let deployed = cloud.sam_deploy(&template, STACK, &settings).await;
    successful(deployed, "sam deploy");
    let arn = cloud.outputs(STACK).await["SecretArn"].clone();
    cloud.rotate(STACK, &arn, FIRST).await;
    cloud.assert_current(STACK, &arn, FIRST).await;
    cloud.delete(STACK).await;
}

/// Impossible settings are refused with a message before anything is created.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn impossible_settings_are_refused_before_creation() {
    const STACK: &str = "refused";
    const EXISTING: &str = "arn:aws:secretsmanager:us-east-1:000000000000:secret:shop/key-AbCdEf";
    let cloud = Cloud::start().await;
    let secret = ("SecretName", SECRET);
    let plan = ("UsagePlanIds", "a1b2c3");
    let refusals: [(&[(&str, &str)], &str); 6] = [
        (&[], "exactly one of SecretName"),
        (&[secret], "no API accepts its key"),
        (
            &[("ExistingSecretArn", EXISTING), ("Fleet", "true")],
            "exactly one of SecretName",
        ),
        (
            &[secret, plan, ("DopplerTargets", "shop/prd/KEY")],
            "DopplerTargets requires DopplerIdentity",
        ),
        (
            &[secret, plan, ("ScheduleExpression", "rate(1 hour)")],
            "minute 0, one hour",
        ),
        (
            &[secret, ("UsagePlanIds", "a1b2c3, d4e5f6")],
            "separated by commas without spaces",
        ),
    ];
    for (settings, words) in refusals {
        let output = cloud.try_deploy(STACK, settings).await;
        assert!(!output.status.success(), "{settings:?} can be deployed");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(words), "{settings:?}: {said}");
    }
    let refusal = cloud
        .cli
        .refuses(&format!(
            "cloudformation describe-stacks --stack-name {STACK}"
        ))
        .await;
    assert!(refusal.contains("does not exist"), "{refusal}");
    let secrets = cloud.cli.run("secretsmanager list-secrets").await;
    assert_eq!(secrets["SecretList"], json!([]));
}

/// Commands after the functions that the pages share.
fn with_functions(commands: &str) -> String {
    let functions = repository().join("docs/rotation.sh");
    format!(". '{}'\n{commands}", functions.display())
}

/// A step's event, as Secrets Manager sends it.
fn step_event(secret: &str, token: &str, step: &str) -> Value {
    json!({ "Step": step, "SecretId": secret, "ClientRequestToken": token })
}

/// A running ministack with an API that requires a key, and a usage plan for it. Dropping it ends
/// it and the functions in it.
struct Cloud {
    /// The first to be dropped, because it writes to the directory.
    _process: Group,
    url: String,
    cli: AwsCli,
    plan: String,
    api: String,
    _folder: TempDir,
}

impl Cloud {
    async fn start() -> Cloud {
        // The port is free now. If another process takes it first, ministack ends.
        for _ in 0..3 {
            if let Some((url, folder, process)) = Self::try_start().await {
                let cli = AwsCli::at(url.clone());
                let (api, plan) = create_api(&cli).await;
                let api = format!("{url}/restapis/{api}/prod/_user_request_/");
                return Cloud {
                    url,
                    cli,
                    plan,
                    api,
                    _folder: folder,
                    _process: process,
                };
            }
        }
        panic!("ministack does not start");
    }

    async fn try_start() -> Option<(String, TempDir, Group)> {
        let port = free_port();
        // ministack unpacks functions there.
        let folder = TempDir::new().expect("a temporary directory can be created");
        let mut ministack = Command::new(e2e_tool("e2e", "python"));
        ministack
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tools/run-ministack.py"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder.path())
            .env("TMPDIR", folder.path())
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port.to_string())
            // Policies are enforced, including those of the function's role.
            .env("AUTH", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = Group::start(ministack);
        let stderr = process.leader.stderr.take().expect("stderr is piped");
        let mut lines = BufReader::new(stderr).lines();
        let announced = async {
            // ministack listens by then.
            while let Some(line) = lines.next_line().await.expect("the log is text") {
                if let Some((_, url)) = line.split_once("Running on ") {
                    return url.split_whitespace().next().map(str::to_owned);
                }
            }
            None
        };
        let url = timeout(PATIENCE, announced).await;
        let url = url.expect("ministack starts in time")?;
        // Unread output would fill the pipe.
        keep(&Arc::<Mutex<String>>::default(), lines.into_inner());
        Some((url, folder, process))
    }

    /// Creates a template for the zip of a release with the commands of the README. Returns its
    /// path.
    async fn release(&self) -> PathBuf {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let name = concat!("api-key-rotation-", env!("CARGO_PKG_VERSION"));
        let zip = |processor: &str| format!("{name}-{processor}.zip");
        let own = zip(&architecture().replace("Architecture=", ""));
        let template = format!("{name}.yaml");
        std::fs::copy(here.join("template.yaml"), self.cli.path(&template))
            .expect("it can be copied");
        let mut python = self.cli.command(tool("python"));
        python
            .arg(here.join("tests/tools/zip.py"))
            .arg(std::env::var_os("FUNCTION").expect("`make e2e` names the build for Lambda"))
            .arg(&own);
        stdout_of(python, "zip.py").await;
        self.shell(&format!("sha256sum {own} {template} >SHA256SUMS"))
            .await;

        let block = page("deploy").block_with(&zip("x86_64"));
        // What comes after it asks for the parameters.
        let (commands, _) = block
            .split_once("sam deploy")
            .expect("the block ends with a deployment");
        self.shell(&commands.replace(&zip("x86_64"), &own)).await;
        let release = self.cli.path("release.yaml");
        let text = std::fs::read_to_string(&release).expect("the commands create the template");
        assert!(
            text.contains(&format!("CodeUri: {own}\n")),
            "it names no zip"
        );
        release
    }

    /// Asserts that the commands of the pages find the secret of a stack, and the id of its current key.
    async fn assert_pages_find(&self, stack: &str, key: &str) {
        for name in ["README", "deploy"] {
            let show = page(name).block_with("CurrentKeyIdCommand");
            let printed = self.shell(&format!("F={stack}\n{show}")).await;
            assert_eq!(printed.trim(), key, "{name}");
        }
        let set = format!("rotation_use {stack}\necho \"$F $S\"");
        let printed = self.shell(&with_functions(&set)).await;
        assert_eq!(
            printed,
            format!("function {stack}, secret {SECRET}\n{stack} {SECRET}\n")
        );
    }

    /// `sam deploy` of what `sam build` made.
    async fn try_deploy(&self, stack: &str, parameters: &[(&str, &str)]) -> Output {
        let template = built().await.join("template.yaml");
        self.sam_deploy(&template, stack, parameters).await
    }

    /// Runs `sam deploy` with these parameters, and those that a quick test needs.
    async fn sam_deploy(
        &self,
        template: &Path,
        stack: &str,
        parameters: &[(&str, &str)],
    ) -> Output {
        let names = parameters.iter().map(|(name, _)| *name);
        let names = names.collect::<Vec<_>>().join(", ");
        eprintln!("sam deploy {stack}: {names}");
        let always = [("PropagationDelay", "1s"), ("EndpointUrl", &self.url)];
        let parameters = parameters.iter().chain(&always);
        let mut sam = self.cli.command(tool("sam"));
        sam.args(["deploy", "--stack-name", stack])
            .arg("--template-file")
            .arg(template)
            .args(["--resolve-s3", "--capabilities", "CAPABILITY_NAMED_IAM"])
            .args(["--no-confirm-changeset", "--no-progressbar"])
            .arg("--parameter-overrides")
            .arg(architecture())
            .args(parameters.map(|(name, value)| format!("{name}='{value}'")))
            .envs(self.cli.env())
            .env("SAM_CLI_TELEMETRY", "0")
            .env("SAM_CLI_POLL_DELAY", "1");
        output_within(DEPLOY_PATIENCE, sam, "sam deploy").await
    }

    async fn deploy(&self, stack: &str, parameters: &[(&str, &str)]) {
        successful(self.try_deploy(stack, parameters).await, "sam deploy");
    }

    /// Runs `sam delete`, after which the stack must not exist.
    async fn delete(&self, stack: &str) {
        eprintln!("sam delete {stack}");
        let mut sam = self.cli.command(tool("sam"));
        sam.args(["delete", "--stack-name", stack, "--region", REGION])
            .arg("--no-prompts")
            .envs(self.cli.env())
            .env("SAM_CLI_TELEMETRY", "0");
        successful(
            output_within(DEPLOY_PATIENCE, sam, "sam delete").await,
            "sam delete",
        );
        let stacks = format!("cloudformation describe-stacks --stack-name {stack}");
        let refusal = self.cli.refuses(&stacks).await;
        assert!(refusal.contains("does not exist"), "{refusal}");
    }

    /// Returns the stack's outputs.
    async fn outputs(&self, stack: &str) -> BTreeMap<String, String> {
        let stacks = format!("cloudformation describe-stacks --stack-name {stack}");
        let stacks = self.cli.run(&stacks).await;
        let outputs = stacks["Stacks"][0]["Outputs"].as_array();
        let outputs = outputs.expect("the stack has outputs").iter();
        outputs
            .map(|output| {
                let [name, value] = ["/OutputKey", "/OutputValue"].map(|field| text(output, field));
                (name.to_owned(), value.to_owned())
            })
            .collect()
    }

    /// Returns everything that the stack and its function have published: outputs, settings, events
    /// and log.
    async fn published(&self, stack: &str) -> String {
        let questions = [
            format!("cloudformation describe-stacks --stack-name {stack}"),
            format!("cloudformation describe-stack-events --stack-name {stack}"),
            format!("lambda get-function --function-name {stack}"),
            format!("logs filter-log-events --log-group-name /aws/lambda/{stack}"),
        ];
        let mut published = String::new();
        for question in questions {
            published += &self.cli.run(&question).await.to_string();
        }
        assert!(
            published.contains("created API key"),
            "the log is missing: {published}"
        );
        published
    }

    /// Returns a variable of the function's environment.
    async fn setting(&self, function: &str, name: &str) -> String {
        let question = format!("lambda get-function-configuration --function-name {function}");
        let configuration = self.cli.run(&question).await;
        text(
            &configuration["Environment"]["Variables"],
            &format!("/{name}"),
        )
        .to_owned()
    }

    async fn create_secret(&self, name: &str, value: &str) -> String {
        let created = format!("secretsmanager create-secret --name {name} --secret-string {value}");
        text(&self.cli.run(&created).await, "/ARN").to_owned()
    }

    /// Creates a key on the plan.
    async fn create_key(&self, value: &str) -> String {
        let created = format!("apigateway create-api-key --name by-hand --enabled --value {value}");
        let id = text(&self.cli.run(&created).await, "/id").to_owned();
        self.cli
            .run(&format!(
                "apigateway create-usage-plan-key --usage-plan-id {} --key-id {id} --key-type API_KEY",
                self.plan
            ))
            .await;
        id
    }

    async fn describe(&self, secret: &str) -> Value {
        self.cli
            .run(&format!(
                "secretsmanager describe-secret --secret-id {secret}"
            ))
            .await
    }

    /// Announces a rotation and leaves its steps to the test.
    async fn begin(&self, secret: &str, token: &str) {
        self.cli
            .run(&format!(
                "secretsmanager rotate-secret --secret-id {secret} --client-request-token {token}"
            ))
            .await;
    }

    /// Runs a complete rotation, which must leave no issues.
    async fn rotate(&self, function: &str, secret: &str, token: &str) {
        self.begin(secret, token).await;
        for step in STEPS {
            let report = self.step(function, secret, token, step).await;
            assert_eq!(report["issues"], json!([]), "{step}");
        }
    }

    /// Runs one step through Lambda's API, which must succeed.
    async fn step(&self, function: &str, secret: &str, token: &str, step: &str) -> Value {
        let event = step_event(secret, token, step);
        let report = self.reconcile(function, event).await;
        assert_eq!(report["step"], step);
        assert_eq!(report["version"], token);
        report
    }

    /// Sends any event through Lambda's API, which must succeed.
    async fn reconcile(&self, function: &str, event: Value) -> Value {
        let (answer, report) = self.cli.invoke(function, &event).await;
        assert_eq!(answer.get("FunctionError"), None, "{event}: {report}");
        report
    }

    /// Returns all keys with their values and whether they are on the plan.
    async fn keys(&self) -> Vec<Value> {
        let members = format!(
            "apigateway get-usage-plan-keys --usage-plan-id {}",
            self.plan
        );
        let members = self.cli.run(&members).await;
        let members = texts(&members, "/items", "id");
        let keys = self
            .cli
            .run("apigateway get-api-keys --include-values")
            .await;
        let mut keys = keys["items"].as_array().cloned().unwrap_or_default();
        for key in &mut keys {
            let on_plan = members.contains(&text(key, "/id"));
            key["onPlan"] = json!(on_plan);
            key["lastUpdatedDate"].take();
        }
        keys
    }

    /// Returns the one key with this value, without the value.
    async fn key(&self, value: &str) -> Value {
        let mut keys = self.keys().await;
        keys.retain(|key| key["value"] == value);
        let [key] = &mut keys[..] else {
            panic!("{} keys have the value", keys.len());
        };
        key["value"].take();
        key.clone()
    }

    async fn current_key(&self, secret: &str) -> String {
        let question = format!("secretsmanager get-secret-value --secret-id {secret}");
        let answer = self.cli.run(&question).await;
        key_in(text(&answer, "/SecretString")).expect("the secret holds a key")
    }

    /// Asserts that the version is current, none is pending, and that API Gateway has its key in
    /// the function's format.
    async fn assert_current(&self, function: &str, secret: &str, version: &str) -> String {
        let described = self.describe(secret).await;
        let versions = &described["VersionIdsToStages"];
        assert_eq!(versions[version], json!(["AWSCURRENT"]));
        assert!(!versions.to_string().contains("AWSPENDING"), "{versions}");
        let value = self.current_key(secret).await;
        assert!(
            value.len() == 40 && value.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "the key is not of our form"
        );
        let key = self.key(&value).await;
        assert_eq!(key["name"], format!("{SECRET}/{version}"));
        assert_eq!(
            (&key["enabled"], &key["onPlan"]),
            (&json!(true), &json!(true))
        );
        let tags = json!({
            "rotation:secret": secret,
            "rotation:version": version,
            "rotation:function": function,
        });
        assert_eq!(key["tags"], tags);
        value
    }

    /// Returns the status of a request to the API.
    async fn answer(&self, key: Option<&str>) -> u16 {
        let mut request = http::Request::get(&self.api);
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let request = request.body("").expect("the request is valid");
        let answer = timeout(PATIENCE, send(request)).await;
        let answer = answer.expect("the API responds in time");
        answer.expect("the API responds").status().as_u16()
    }

    /// Runs a shell command and returns its output.
    async fn shell(&self, line: &str) -> String {
        let mut bash = self.cli.command("bash");
        let path = std::env::var("PATH").expect("PATH is set");
        let programs = tool("aws");
        let programs = programs.parent().expect("the path has a parent").display();
        bash.args(["-euc", line])
            .envs(self.cli.env())
            .env("PATH", format!("{programs}:{path}"));
        successful(output_within(PATIENCE, bash, "bash").await, "bash")
    }

    /// Waits for an effect of the stack's rules.
    async fn until(&self, what: &str, mut poll: impl AsyncFnMut() -> bool) {
        eprintln!("waiting for the {what}");
        let began = Instant::now();
        while !poll().await {
            assert!(began.elapsed() < SCHEDULE_PATIENCE, "no {what} in time");
            sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Creates an API with one method, which requires a key, and a usage plan for it. Returns their
/// ids.
async fn create_api(cli: &AwsCli) -> (String, String) {
    let api = cli.run("apigateway create-rest-api --name shop").await;
    let api = text(&api, "/id").to_owned();
    let root = cli
        .run(&format!("apigateway get-resources --rest-api-id {api}"))
        .await;
    let root = text(&root, "/items/0/id").to_owned();
    let method = format!("--rest-api-id {api} --resource-id {root} --http-method GET");
    for line in [
        format!("put-method {method} --authorization-type NONE --api-key-required"),
        format!(
            r#"put-integration {method} --type MOCK --request-templates {{"application/json":"{{\"statusCode\":200}}"}}"#
        ),
        format!("put-integration-response {method} --status-code 200"),
        format!("create-deployment --rest-api-id {api} --stage-name prod"),
    ] {
        cli.run(&format!("apigateway {line}")).await;
    }
    let plan =
        format!("apigateway create-usage-plan --name partners --api-stages apiId={api},stage=prod");
    let plan = cli.run(&plan).await;
    (api, text(&plan, "/id").to_owned())
}
