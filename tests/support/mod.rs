//! The environment of the tests of the whole function: a sandbox, the real binary in it, and one
//! secret.

#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod emitted;
pub(crate) mod exhaustive;
pub(crate) mod fleet;
pub(crate) mod generators;
pub(crate) mod markdown;
pub(crate) mod programs;
pub(crate) mod role;
pub(crate) mod sam;

use std::collections::BTreeMap;
use std::path::PathBuf;

use api_key_rotation::adapters::description::{InUseText, target_hash};
use api_key_rotation::ids::Target;
use role::Roles;
use sandbox::doppler::{Access, IdentitySettings};
use sandbox::{
    BusEvent, FUNCTION_NAME, FUNCTION_ROLE_ARN, Function, FunctionError, KeySnapshot, NewStack,
    Options, Outcome, STAGE, Sandbox, SecretSnapshot,
};

/// The secret that is rotated.
pub(crate) const SECRET: &str = "demo/partner-api-key";
/// The secret that holds the Doppler token.
pub(crate) const TOKEN_SECRET: &str = "demo/doppler-token";
/// The Doppler project and config of every target.
pub(crate) const PROJECT: &str = "acme";
/// The config of every target.
pub(crate) const CONFIG: &str = "prd";

/// The targets that the tests use.
const TARGETS: [&str; 3] = ["PARTNER_API_KEY", "PARTNER_KEY_AGAIN", "ALSO_HERE"];

/// The differences of a test's environment from the default: one configured usage plan, a probe,
/// one Doppler target, and no value in the secret yet.
pub(crate) struct TestEnvBuilder {
    pub(crate) secret: Option<String>,
    pub(crate) configured_plans: usize,
    pub(crate) probe: bool,
    pub(crate) targets: Vec<&'static str>,
    pub(crate) env: BTreeMap<String, String>,
    /// Whether the stack creates the secret instead of referring to an existing one.
    pub(crate) makes_secret: bool,
    /// Whether the function logs in to Doppler with its role, and no token is stored.
    pub(crate) identity: bool,
    /// The customer managed keys that encrypt the secret and the secret with the token.
    pub(crate) kms_keys: [Option<&'static str>; 2],
    pub(crate) options: Options,
}

impl Default for TestEnvBuilder {
    fn default() -> Self {
        Self {
            secret: None,
            configured_plans: 1,
            probe: true,
            targets: vec!["PARTNER_API_KEY"],
            env: BTreeMap::from([("AWS_LAMBDA_LOG_LEVEL".to_owned(), "DEBUG".to_owned())]),
            makes_secret: false,
            identity: false,
            kms_keys: [None, None],
            options: Options::default(),
        }
    }
}

impl TestEnvBuilder {
    /// Sets the secret's value before its first rotation.
    pub(crate) fn holding(text: &str) -> Self {
        Self {
            secret: Some(text.to_owned()),
            ..Self::default()
        }
    }

    /// Without the probe, which takes a second per rotation.
    pub(crate) fn quick() -> Self {
        let setup = Self {
            probe: false,
            ..Self::default()
        };
        setup.env("PROPAGATION_DELAY", "0s")
    }

    /// Without probe and Doppler.
    pub(crate) fn plain() -> Self {
        Self {
            targets: Vec::new(),
            ..Self::quick()
        }
    }

    /// Without configured plans, so that keys inherit those of the current key.
    pub(crate) fn inheriting(mut self) -> Self {
        self.configured_plans = 0;
        self
    }

    /// With an identity in Doppler instead of a stored token.
    pub(crate) fn keyless(self) -> Self {
        Self {
            identity: true,
            ..self
        }
    }

    /// Adds a variable to the function's environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Starts the environment.
    pub(crate) async fn start(self) -> TestEnv {
        let sandbox = Sandbox::start(self.options)
            .await
            .expect("the sandbox starts");
        let plan = sandbox.create_usage_plan("partners");
        let mut plans = vec![plan];
        plans.extend(
            (1..self.configured_plans)
                .map(|n| sandbox.create_empty_usage_plan(&format!("more{n}"))),
        );
        let [key, token_key] = self.kms_keys;
        sandbox.create_secret_under(SECRET, self.secret.as_deref(), key);
        sandbox.enable_rotation(SECRET);
        let doppler = sandbox.doppler();
        doppler.create_project(PROJECT);
        let token = doppler.service_token(PROJECT, CONFIG, Access::ReadWrite);
        sandbox.create_secret_under(TOKEN_SECRET, Some(&token), token_key);
        let identity = if self.identity {
            create_identity(&sandbox)
        } else {
            String::new()
        };

        let mut settings = BTreeMap::from([("SECRET_ID".to_owned(), SECRET.to_owned())]);
        if self.configured_plans > 0 {
            settings.insert("USAGE_PLAN_IDS".to_owned(), plans.join(","));
        }
        let probe_url = format!("{}/{STAGE}/ping", sandbox.gateway_url());
        if self.probe {
            settings.insert("PROBE_URL".to_owned(), probe_url.clone());
        }
        if !self.targets.is_empty() {
            let targets: Vec<_> = self
                .targets
                .iter()
                .map(|name| format!("{PROJECT}/{CONFIG}/{name}"))
                .collect();
            settings.insert("DOPPLER_TARGETS".to_owned(), targets.join(","));
            let (name, value) = if self.identity {
                ("DOPPLER_IDENTITY", identity.as_str())
            } else {
                ("DOPPLER_TOKEN_SECRET_ID", TOKEN_SECRET)
            };
            settings.insert(name.to_owned(), value.to_owned());
            settings.insert("DOPPLER_API_URL".to_owned(), sandbox.doppler_url());
        }
        settings.extend(self.env);
        let env = TestEnv {
            sandbox,
            plans,
            targets: self.targets,
            token,
            identity,
            probe_url,
            settings,
            makes_secret: self.makes_secret,
            roles: Roles::default(),
        };
        env.redeploy(&[]).await;
        env
    }
}

/// Creates the identity of a service account that accepts the function's role, and switches on the
/// federation of the account. Returns its id.
pub(crate) fn create_identity(sandbox: &Sandbox) -> String {
    sandbox.switch_federation(true);
    let settings = IdentitySettings::new(&sandbox.issuer_url(), "", FUNCTION_ROLE_ARN);
    let id = sandbox.doppler().create_identity(settings);
    // The default of the function and of the template.
    let audience = vec![format!("doppler/{id}")];
    sandbox.doppler().change_identity(&id, |settings| {
        settings.claims[0].1 = audience;
    });
    id
}

/// Returns an environment whose secret was rotated twice, and the value of the superseded key.
pub(crate) async fn rotated(setup: TestEnvBuilder) -> (TestEnv, String) {
    let env = setup.start().await;
    env.rotate().await;
    let superseded = env.current_key();
    env.rotate().await;
    (env, superseded)
}

/// A running environment. Dropping it ends its processes.
pub(crate) struct TestEnv {
    pub(crate) sandbox: Sandbox,
    pub(crate) plans: Vec<String>,
    pub(crate) targets: Vec<&'static str>,
    pub(crate) token: String,
    /// The identity that the function logs in as, or an empty text.
    pub(crate) identity: String,
    pub(crate) probe_url: String,
    pub(crate) settings: BTreeMap<String, String>,
    makes_secret: bool,
    /// The function's roles. Dropping them fails the test if they denied a call of the function.
    pub(crate) roles: Roles,
}

impl TestEnv {
    /// Creates the function's stack, with the template's parameters for its settings. Returns them.
    pub(crate) fn create_stack(&self, name: &str) -> BTreeMap<String, String> {
        self.create_stack_of(name, role::TEMPLATE.clone())
    }

    /// As `create_stack`, of another template.
    pub(crate) fn create_stack_of(
        &self,
        name: &str,
        template: template::Template,
    ) -> BTreeMap<String, String> {
        self.sandbox.create_stack(NewStack {
            name: name.to_owned(),
            template,
            parameters: role::parameters(&self.settings, &self.sandbox),
            made: BTreeMap::new(),
        });
        self.sandbox.stack_parameters()
    }

    /// Deploys the function again, with these changes to its variables.
    pub(crate) async fn redeploy(&self, changes: &[(&str, &str)]) {
        self.sandbox.deploy(self.function(changes)).await;
    }

    /// As `redeploy`, without a role. For errors that the function itself must return, although the
    /// template's role would deny the call before.
    pub(crate) async fn redeploy_unrestricted(&self, changes: &[(&str, &str)]) {
        let env = self.changed_settings(changes);
        let unrestricted = Function {
            env,
            ..Function::new(binary())
        };
        self.sandbox.deploy(unrestricted).await;
    }

    /// Returns the function with these changes to its variables, and the template's role for them.
    pub(crate) fn function(&self, changes: &[(&str, &str)]) -> Function {
        let env = self.changed_settings(changes);
        let role = role::role(&env, &self.sandbox, self.makes_secret);
        self.roles.add(&role);
        Function {
            env,
            ..Function::new(binary())
        }
        .role(role)
    }

    fn changed_settings(&self, changes: &[(&str, &str)]) -> BTreeMap<String, String> {
        let changes = changes.iter();
        let changes = changes.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        self.settings.clone().into_iter().chain(changes).collect()
    }

    /// Rotates, and asserts that it succeeds.
    pub(crate) async fn rotate(&self) -> Outcome {
        let token = self.sandbox.rotate(SECRET);
        let outcome = self.sandbox.rotation(&token).await;
        assert!(
            outcome.succeeded,
            "{:?}\n{}",
            outcome.error(),
            self.sandbox.function_log()
        );
        outcome
    }

    /// Rotates, and asserts that it fails in `step`. Returns the error and the token.
    pub(crate) async fn rotate_and_fail(&self, step: &str) -> (FunctionError, String) {
        let token = self.sandbox.rotate(SECRET);
        let outcome = self.sandbox.rotation(&token).await;
        assert!(!outcome.succeeded, "the rotation succeeded");
        let last = outcome.steps.last().expect("a step was run");
        assert_eq!(last.step, step, "{:?}", last.error);
        (last.error.clone().expect("the last step failed"), token)
    }

    /// Runs all four steps again for the same token, and asserts that they succeed.
    pub(crate) async fn retry(&self, token: &str) {
        let outcome = self.sandbox.retry(token).await;
        assert!(
            outcome.succeeded,
            "{:?}\n{}",
            outcome.error(),
            self.sandbox.function_log()
        );
    }

    /// Invokes one step, and asserts that it succeeds.
    pub(crate) async fn step(&self, token: &str, step: &str) -> serde_json::Value {
        let invocation = self.sandbox.step(SECRET, token, step).await;
        invocation
            .result
            .unwrap_or_else(|error| panic!("{step}: {error}\n{}", self.sandbox.function_log()))
    }

    /// Invokes one step, and asserts that it fails with this error type. Returns the message.
    pub(crate) async fn step_fails(&self, token: &str, step: &str, error_type: &str) -> String {
        let error = self
            .sandbox
            .step(SECRET, token, step)
            .await
            .result
            .expect_err(step);
        assert_eq!(error.error_type, error_type, "{error}");
        error.error_message
    }

    /// Invokes a reconciliation with these additional fields, and asserts that it succeeds.
    pub(crate) async fn reconcile(&self, fields: serde_json::Value) -> serde_json::Value {
        let mut event = serde_json::json!({ "Step": "reconcile" });
        let serde_json::Value::Object(fields) = fields else {
            panic!("{fields} is not an object");
        };
        event.as_object_mut().expect("an object").extend(fields);
        let invocation = self.sandbox.invoke(event.to_string()).await;
        invocation
            .result
            .unwrap_or_else(|error| panic!("{event}: {error}\n{}", self.sandbox.function_log()))
    }

    /// As `reconcile`, and returns the line of metrics too, which may come shortly after the
    /// result.
    pub(crate) async fn reconcile_measured(
        &self,
        fields: serde_json::Value,
    ) -> (serde_json::Value, serde_json::Value) {
        self.measured(self.reconcile(fields)).await
    }

    /// Returns the result of an invocation and its line of metrics.
    pub(crate) async fn measured(
        &self,
        invocation: impl Future<Output = serde_json::Value>,
    ) -> (serde_json::Value, serde_json::Value) {
        let mut events = self.sandbox.watch();
        let report = invocation.await;
        loop {
            let event = events.recv().await.expect("the sandbox continues");
            if let sandbox::Event::Log(line) = event
                && is_metrics(&line)
            {
                let metrics = serde_json::from_str(&line).expect("a line of JSON");
                return (report, metrics);
            }
        }
    }

    /// Runs shell commands with the AWS CLI configured for the sandbox, and asserts that they
    /// succeed. Returns their output.
    pub(crate) async fn shell(&self, line: &str) -> String {
        let output = self.bash(line).output().await.expect("bash runs");
        assert!(
            output.status.success(),
            "{line}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Returns a shell command with the AWS CLI configured for the sandbox.
    pub(crate) fn bash(&self, line: &str) -> tokio::process::Command {
        self.script("bash", line)
    }

    /// The same for another shell, such as zsh. It reads no start-up files and ends at the first failure.
    pub(crate) fn script(&self, shell: &str, line: &str) -> tokio::process::Command {
        let aws = tool("aws");
        let tools = aws.parent().expect("the path has a parent").display();
        let path = format!("{tools}:{}", std::env::var("PATH").unwrap_or_default());
        let mut command = tokio::process::Command::new(shell);
        command
            .arg(if shell == "zsh" { "-feuc" } else { "-euc" })
            .arg(line)
            .env("PATH", path)
            .env("AWS_ENDPOINT_URL", self.sandbox.aws_url())
            .env("AWS_REGION", sandbox::REGION)
            .env("AWS_DEFAULT_REGION", sandbox::REGION)
            .env("AWS_ACCESS_KEY_ID", "sandbox")
            .env("AWS_SECRET_ACCESS_KEY", "sandbox")
            .env("AWS_PAGER", "");
        command
    }

    /// Returns the key in a version of the secret, in any form.
    pub(crate) fn key_in(&self, label: &str) -> Option<String> {
        key_in(self.sandbox.secret(SECRET).labelled(label)?.text.as_ref()?)
    }

    /// Returns the key in AWSCURRENT.
    pub(crate) fn current_key(&self) -> String {
        self.key_in("AWSCURRENT").expect("AWSCURRENT holds a key")
    }

    /// Returns the id of the key with this value.
    pub(crate) fn key_id(&self, value: &str) -> String {
        let key = self.sandbox.key_with_value(value);
        key.expect("the key exists").id
    }

    /// Returns how often an operation was called.
    pub(crate) fn calls_of(&self, operation: &str) -> usize {
        let calls = self.sandbox.calls().into_iter();
        calls.filter(|call| call.operation == operation).count()
    }

    /// Returns the computed value of a Doppler target.
    pub(crate) fn doppler_value(&self, name: &str) -> Option<String> {
        self.sandbox.doppler().value(PROJECT, CONFIG, name)
    }

    /// Returns the status of a request to the gateway with `key`.
    pub(crate) async fn gateway_answer(&self, key: &str) -> u16 {
        let request = http::Request::get(&self.probe_url)
            .header("x-api-key", key)
            .body("")
            .expect("the request is valid");
        sandbox::http_client::send(request)
            .await
            .expect("the gateway responds")
            .status()
            .as_u16()
    }

    /// Returns the function's log line by line, without its metrics.
    pub(crate) fn log(&self) -> String {
        let log = self.sandbox.function_log();
        let lines = log.lines().filter(|line| !is_metrics(line));
        lines.fold(String::new(), |log, line| log + line + "\n")
    }

    /// Returns the function's metrics, each line as JSON.
    pub(crate) fn metrics(&self) -> Vec<serde_json::Value> {
        let log = self.sandbox.function_log();
        let lines = log.lines().filter(|line| is_metrics(line));
        lines
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }

    /// Asserts that secret, API Gateway and Doppler have the same working key.
    pub(crate) async fn assert_agreement(&self) {
        let current = self.current_key();
        let key = self
            .sandbox
            .key_with_value(&current)
            .expect("API Gateway has the current key");
        assert!(key.enabled, "the current key is disabled");
        for plan in &self.plans {
            assert!(
                key.plans.contains(plan),
                "the current key is not on plan {plan}"
            );
        }
        assert_eq!(self.gateway_answer(&current).await, 200);
        for target in &self.targets {
            assert!(
                self.doppler_value(target).as_ref() == Some(&current),
                "Doppler's {target} is another key"
            );
        }
        let secret = self.sandbox.secret(SECRET);
        assert!(
            secret.pending().is_none(),
            "AWSPENDING is left: {:?}",
            secret.versions
        );
    }
}

/// Everything that the function could change: the secret, the keys, the targets and the event bus.
#[derive(Debug, PartialEq)]
pub(crate) struct WorldSnapshot {
    secret: SecretSnapshot,
    keys: Vec<KeySnapshot>,
    targets: Vec<Option<String>>,
    events: Vec<BusEvent>,
}

impl WorldSnapshot {
    pub(crate) fn new(env: &TestEnv) -> Self {
        let targets = env.targets.iter();
        Self {
            secret: env.sandbox.secret(SECRET),
            keys: env.sandbox.keys(),
            targets: targets.map(|target| env.doppler_value(target)).collect(),
            events: env.sandbox.bus_events(),
        }
    }
}

/// Whether a line has the field by which `CloudWatch` recognises metrics.
fn is_metrics(line: &str) -> bool {
    line.starts_with('{') && line.contains("\"_aws\":{")
}

/// Returns the path of the binary under test: the one that cargo built for the tests, or the one in
/// `FUNCTION`.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("FUNCTION").map_or_else(
        || env!("CARGO_BIN_EXE_api-key-rotation").into(),
        PathBuf::from,
    )
}

/// Returns the key in the text of a version, in any form.
pub(crate) fn key_in(text: &str) -> Option<String> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(fields)) => Some(fields.get("apiKey")?.as_str()?.to_owned()),
        _ => Some(text.to_owned()),
    }
}

/// Creates a key as the function does, with its name, description and tags, and returns its id.
pub(crate) fn create_managed_key(
    sandbox: &Sandbox,
    secret: &str,
    version: &str,
    value: &str,
    plans: &[&str],
) -> String {
    let id = sandbox.create_key(&format!("{secret}/{version}"), value, plans);
    sandbox.describe_key(&id, &managed_description(secret));
    let arn = sandbox.secret(secret).arn;
    for (name, text) in [
        ("rotation:secret", arn.as_str()),
        ("rotation:version", version),
        ("rotation:function", FUNCTION_NAME),
    ] {
        sandbox.tag_key(&id, name, text);
    }
    id
}

/// Whether the key with this value is enabled. Returns `None` if API Gateway has no such key.
pub(crate) fn is_enabled(env: &TestEnv, value: &str) -> Option<bool> {
    env.sandbox.key_with_value(value).map(|key| key.enabled)
}

/// Returns the part of a description that names every target of these tests.
pub(crate) fn mirrored() -> String {
    managed_description(SECRET).replace(&InUseText::new(SECRET).to_string(), "")
}

/// Returns the hash that stands for a Doppler target in a key's description.
pub(crate) fn hash_of(name: &str) -> String {
    target_hash(&Target {
        project: PROJECT.to_owned(),
        environment: None,
        config: CONFIG.to_owned(),
        name: name.to_owned(),
    })
}

/// Returns the description of a key that the function created and wrote to every target of these
/// tests.
pub(crate) fn managed_description(secret: &str) -> String {
    let hash = hash_of;
    InUseText {
        targets: TARGETS.into_iter().map(hash).collect(),
        ..InUseText::new(secret)
    }
    .to_string()
}

/// Returns the path of a program that `make tools` installed.
///
/// Panics if the program is missing, so that no test passes without its tool.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = if name == "aws-lambda-rie" {
        tools().join(name)
    } else {
        tools().join("test/bin").join(name)
    };
    installed(path, "tools")
}

/// Returns the path of a program in another of the lists in `tests/tools`, which `make e2e`
/// installed.
pub(crate) fn e2e_tool(list: &str, name: &str) -> PathBuf {
    installed(tools().join(list).join("bin").join(name), "e2e")
}

/// Returns the directory of the installed programs.
pub(crate) fn tools() -> PathBuf {
    std::env::var_os("TOOLS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools")),
        PathBuf::from,
    )
}

fn installed(path: PathBuf, target: &str) -> PathBuf {
    assert!(
        path.exists(),
        "{} is missing; `make {target}` installs it",
        path.display()
    );
    path
}
