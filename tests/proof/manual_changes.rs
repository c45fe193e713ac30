//! Manual changes before any call of a rotation or a reconciliation.
//!
//! Nothing is lost except what the change itself removes, the error says what to do, and the steps of
//! `docs/manual-changes.md` restore agreement.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crate::support::emitted::{assert_absent, values};
use crate::support::exhaustive::is_exhaustive;
use crate::support::markdown::{page, repository};
use crate::support::{
    CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder, create_managed_key, mirrored,
};
use api_key_rotation::time::rfc3339;
use sandbox::{
    FUNCTION_NAME, Fault, FaultKind, FunctionError, KeySnapshot, Outcome, REST_API_ID, STAGE,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Environments at a time.
const AT_ONCE: usize = 8;
const TARGET: &str = "PARTNER_API_KEY";
const UNMANAGED: &str = "HandMadeHandMadeHandMade";
/// The key of a secret whose name begins with this one's.
const NEIGHBOURS: &str = "NeighboursNeighboursNeighbours";
const TAGS: [&str; 3] = ["rotation:secret", "rotation:version", "rotation:function"];

/// Calls before which every change is tried, also in a run of all tests.
const BOUNDARIES: [&str; 6] = [
    "PutSecretValue",
    "CreateApiKey",
    "CreateUsagePlanKey",
    "UpdateSecrets",
    "UpdateSecretVersionStage",
    "UpdateApiKey",
];

/// The run during which an operator makes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Job {
    /// The second rotation of a secret, its usage plan configured or inherited.
    Rotation { inherits: bool },
    /// A reconciliation that finds a key whose grace is over, and a target with a foreign value.
    Reconciliation { inherits: bool },
}

/// The role of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum KeyRole {
    /// The key of the rotation that is in progress.
    Pending,
    /// AWSCURRENT's, as the run found it.
    Current,
    /// The key that AWSCURRENT's key superseded.
    Replaced,
}

/// A manual change by an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ManualChange {
    PutAnotherField,
    PutTheOldKey,
    PutAKeyMadeByHand,
    PutAPlaceholder,
    PutGarbage,
    Cancel,
    RemovePending,
    RotateAgain,
    DeletePlan,
    DeleteKey(KeyRole),
    DeleteSecret,
    RemoveTag(KeyRole, &'static str),
}

impl ManualChange {
    fn all() -> Vec<Self> {
        let keys = [KeyRole::Pending, KeyRole::Current, KeyRole::Replaced];
        let mut all = vec![
            Self::PutAnotherField,
            Self::PutTheOldKey,
            Self::PutAKeyMadeByHand,
            Self::PutAPlaceholder,
            Self::PutGarbage,
            Self::Cancel,
            Self::RemovePending,
            Self::RotateAgain,
            Self::DeletePlan,
            Self::DeleteSecret,
        ];
        all.extend(keys.map(Self::DeleteKey));
        all.extend(
            TAGS.iter()
                .flat_map(|tag| keys.map(|key| Self::RemoveTag(key, tag))),
        );
        all
    }

    /// The errors with which a rotation may react, all of which the pages name.
    fn errors(self) -> &'static [&'static str] {
        match self {
            Self::PutAnotherField | Self::PutTheOldKey => {
                &["UnknownVersion", "SecretEditedDuringRotation"]
            }
            Self::PutGarbage => &["UnknownVersion", "InvalidSecret"],
            Self::PutAKeyMadeByHand | Self::PutAPlaceholder | Self::RemovePending => {
                &["UnknownVersion"]
            }
            Self::Cancel => &["RotationDisabled"],
            Self::DeletePlan => &["ApiGatewayFailed", "KeyNotOnUsagePlan", "NoUsagePlan"],
            // Its plans may be read when it is deleted already.
            Self::DeleteKey(KeyRole::Pending) => &[
                "KeyNotFound",
                "ApiGatewayFailed",
                "KeyNotOnUsagePlan",
                "NoUsagePlan",
            ],
            // It may be deleted when its plans, which the new one inherits, are read.
            Self::DeleteKey(KeyRole::Current) => &["NoUsagePlan"],
            Self::DeleteSecret => &["SecretsManagerFailed"],
            Self::RotateAgain | Self::DeleteKey(_) | Self::RemoveTag(..) => &[],
        }
    }

    /// One tag of each key is enough if not everything is tried.
    fn is_in_share(self) -> bool {
        match self {
            Self::RemoveTag(KeyRole::Current, tag) => tag == "rotation:version",
            Self::RemoveTag(_, tag) => tag == "rotation:secret",
            _ => true,
        }
    }

    /// Whether AWSCURRENT holds no key by this very change.
    fn puts_no_key(self) -> bool {
        matches!(self, Self::PutAPlaceholder | Self::PutGarbage)
    }
}

/// Words of the error's message that name the next step.
fn next_step(change: ManualChange, error_type: &str) -> &'static str {
    match error_type {
        "UnknownVersion" => "`aws secretsmanager rotate-secret`",
        "RotationDisabled" | "SecretEditedDuringRotation" => {
            "`aws secretsmanager update-secret-version-stage`"
        }
        "InvalidSecret" => "store valid JSON",
        "KeyNotOnUsagePlan" | "KeyNotFound" => "next retry",
        "ApiGatewayFailed" if change == ManualChange::DeletePlan => "check that USAGE_PLAN_IDS",
        "ApiGatewayFailed" => "the next attempt continues",
        "NoUsagePlan" => "set USAGE_PLAN_IDS",
        "SecretsManagerFailed" => "`aws secretsmanager restore-secret`",
        other => panic!("{other} is not expected for {change:?}"),
    }
}

/// A block of commands that the pages give for a manual change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Command {
    RotateAfterPut,
    BringTextBack,
    RotateAfterCancel,
    RotateAfterRemoval,
    NewPlan,
    DeployPlan,
    Reconcile,
    Restore,
    DeleteKeys,
    PutTagsBack,
    GiveUp,
}

impl Command {
    const ALL: [Self; 11] = [
        Self::RotateAfterPut,
        Self::BringTextBack,
        Self::RotateAfterCancel,
        Self::RotateAfterRemoval,
        Self::NewPlan,
        Self::DeployPlan,
        Self::Reconcile,
        Self::Restore,
        Self::DeleteKeys,
        Self::PutTagsBack,
        Self::GiveUp,
    ];

    /// Returns its page, the heading above it, and its index below that heading.
    fn place(self) -> Place {
        let changes = |heading, index| ("manual-changes", heading, index);
        match self {
            Self::RotateAfterPut => changes("A value was written manually", 0),
            Self::BringTextBack => ("runbook", "Roll back", 0),
            Self::RotateAfterCancel => changes("Rotation was switched off", 0),
            Self::RotateAfterRemoval => changes("AWSPENDING was removed", 0),
            Self::NewPlan => changes("A usage plan was deleted", 0),
            Self::DeployPlan => changes("A usage plan was deleted", 1),
            Self::Reconcile => changes("A key was deleted", 0),
            Self::Restore => changes("The secret was scheduled for deletion", 0),
            Self::DeleteKeys => changes("The secret was scheduled for deletion", 1),
            Self::PutTagsBack => changes("A key tag was removed", 0),
            Self::GiveUp => ("errors", "Cancel and rotate again", 0),
        }
    }

    fn text(self) -> &'static str {
        let place = self.place();
        let mut blocks = repair_blocks().iter();
        let block = blocks.find(|(other, _)| *other == place);
        let (_, text) = block.unwrap_or_else(|| panic!("there is no block at {place:?}"));
        text
    }

    fn rotates(self) -> bool {
        matches!(
            self,
            Self::RotateAfterPut
                | Self::RotateAfterCancel
                | Self::RotateAfterRemoval
                | Self::GiveUp
        )
    }
}

/// A block of a page: the page's name, the heading above the block, and its index below that heading.
type Place = (&'static str, &'static str, usize);

/// The blocks that repair what a manual change did. `tests/compatibility/documented_commands` runs all others.
fn repair_blocks() -> &'static [(Place, String)] {
    static BLOCKS: OnceLock<Vec<(Place, String)>> = OnceLock::new();
    BLOCKS.get_or_init(|| {
        let mut blocks = Vec::<(Place, String)>::new();
        for name in ["manual-changes", "errors", "runbook"] {
            let page = page(name);
            let headings = page.headings();
            for block in page.blocks() {
                let headings = headings.iter().find(|heading| **heading == block.heading);
                let heading = *headings.expect("a block has a heading");
                let is_repair = match name {
                    "runbook" => heading == "Roll back",
                    "manual-changes" => heading != "Find a key by its value",
                    _ => true,
                };
                if is_repair && block.language == "bash" {
                    let below = |(other, _): &&(Place, _)| (other.0, other.1) == (name, heading);
                    let index = blocks.iter().filter(below).count();
                    blocks.push(((name, heading, index), block.text));
                }
            }
        }
        blocks
    })
}

/// A key that the function created for a version of the secret.
struct CreatedKey {
    id: String,
    value: String,
}

/// An environment before the run, and what the change has removed from it.
struct JobEnv {
    test_env: TestEnv,
    job: Job,
    current: CreatedKey,
    replaced: CreatedKey,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The usage plan that keys must be on; `None` while it is deleted.
    plan: Option<String>,
    /// Values of keys that the change deleted.
    deleted: BTreeSet<String>,
    /// Whether the change could be made.
    done: bool,
    /// A rotation that an operator began in the meantime.
    second: Option<Outcome>,
}

impl JobEnv {
    async fn start(job: Job) -> Self {
        let (Job::Rotation { inherits } | Job::Reconciliation { inherits }) = job;
        let mut setup = if inherits {
            TestEnvBuilder::quick().inheriting()
        } else {
            TestEnvBuilder::quick()
        };
        // A run that begins during another one has a process of its own.
        setup.options.function_concurrency = 2;
        let test_env = setup.start().await;
        let sandbox = &test_env.sandbox;
        let arn = sandbox.secret(SECRET).arn;
        let create = |number: &str| {
            let value = format!("{:0>40}", format!("key{number}"));
            let version = sandbox.put_secret(SECRET, &text_with(&value, "us"));
            let id = create_managed_key(sandbox, SECRET, &version, &value, &[&test_env.plans[0]]);
            (CreatedKey { id, value }, version)
        };
        let theirs = sandbox.create_key(&format!("{SECRET}/eu/1"), NEIGHBOURS, &[]);
        sandbox.tag_key(&theirs, TAGS[0], &format!("{arn}/eu"));
        let (replaced, _) = create("1");
        let (current, version) = create("2");
        let hours = if matches!(job, Job::Rotation { .. }) {
            1
        } else {
            25
        };
        // AWSCURRENT's version is as old: its age bounds the grace of the superseded key.
        let since = rfc3339(sandbox.now());
        sandbox.advance(Duration::from_hours(hours));
        // As the function leaves it: the mark names the target that was written.
        let mark = format!("Superseded at {since} by version {version}.{}", mirrored());
        sandbox.describe_key(&replaced.id, &mark);
        let held = if matches!(job, Job::Rotation { .. }) {
            &current.value
        } else {
            "a stranger's"
        };
        sandbox.doppler().set_value(PROJECT, CONFIG, TARGET, held);
        let plan = Some(test_env.plans[0].clone());
        let state = Mutex::new(State {
            plan,
            ..State::default()
        });
        Self {
            test_env,
            job,
            current,
            replaced,
            state,
        }
    }

    /// Runs the job. Returns its error and, for a rotation, its token.
    async fn run(&self) -> (Option<FunctionError>, Option<String>) {
        let sandbox = &self.test_env.sandbox;
        match self.job {
            Job::Rotation { .. } => {
                let token = sandbox.rotate(SECRET);
                let outcome = sandbox.rotation(&token).await;
                (outcome.error().cloned(), Some(token))
            }
            Job::Reconciliation { .. } => {
                let event = json!({ "Step": "reconcile", "SecretId": SECRET });
                (sandbox.invoke(event.to_string()).await.result.err(), None)
            }
        }
    }

    fn key_of(&self, role: KeyRole) -> Option<KeySnapshot> {
        let seeded = [&self.current.id, &self.replaced.id];
        let keys = self.test_env.sandbox.keys().into_iter();
        let mut keys = keys.filter(|key| match role {
            KeyRole::Pending => {
                !seeded.contains(&&key.id) && ![UNMANAGED, NEIGHBOURS].contains(&key.value.as_str())
            }
            KeyRole::Current => key.id == self.current.id,
            KeyRole::Replaced => key.id == self.replaced.id,
        });
        keys.next()
    }

    /// Makes the change, if it is possible at this moment.
    async fn intervene(&self, change: ManualChange) {
        let sandbox = &self.test_env.sandbox;
        let done = match change {
            ManualChange::PutAnotherField => {
                let key = self.test_env.current_key();
                sandbox.put_secret(SECRET, &text_with(&key, "them"));
                true
            }
            ManualChange::PutTheOldKey => {
                sandbox.put_secret(SECRET, &text_with(&self.current.value, "them"));
                true
            }
            ManualChange::PutAKeyMadeByHand => {
                sandbox.create_key("manual", UNMANAGED, &[&self.test_env.plans[0]]);
                sandbox.put_secret(SECRET, &text_with(UNMANAGED, "us"));
                true
            }
            ManualChange::PutAPlaceholder => {
                sandbox.put_secret(SECRET, r#"{"owner":"us"}"#);
                true
            }
            ManualChange::PutGarbage => {
                sandbox.put_secret(SECRET, r#"{"apiKey":"#);
                true
            }
            ManualChange::Cancel => {
                sandbox.disable_rotation(SECRET);
                true
            }
            ManualChange::RemovePending => {
                let pending = sandbox
                    .secret(SECRET)
                    .pending()
                    .map(|version| version.id.clone());
                if let Some(id) = &pending {
                    sandbox.move_label(SECRET, "AWSPENDING", Some(id), None);
                }
                pending.is_some()
            }
            ManualChange::RotateAgain => self.rotate_again().await,
            ManualChange::DeletePlan => {
                sandbox.delete_usage_plan(&self.test_env.plans[0]);
                self.state.lock().expect("no panic").plan = None;
                true
            }
            ManualChange::DeleteKey(role) => {
                let key = self.key_of(role);
                if let Some(key) = &key {
                    sandbox.delete_key(&key.id);
                    self.state
                        .lock()
                        .expect("no panic")
                        .deleted
                        .insert(key.value.clone());
                }
                key.is_some()
            }
            ManualChange::DeleteSecret => {
                sandbox.delete_secret(SECRET);
                true
            }
            ManualChange::RemoveTag(role, tag) => {
                let key = self.key_of(role);
                if let Some(key) = &key {
                    sandbox.untag_key(&key.id, tag);
                }
                key.is_some()
            }
        };
        self.state.lock().expect("no panic").done = done;
    }

    /// `RotateSecret`, and the whole rotation if the service does not refuse it.
    async fn rotate_again(&self) -> bool {
        let sandbox = &self.test_env.sandbox;
        let pending = sandbox.secret(SECRET).pending().cloned();
        let under_way = pending.is_some_and(|version| !version.has("AWSCURRENT"));
        let request = http::Request::post(sandbox.aws_url())
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/secretsmanager/aws4_request",
            )
            .header("x-amz-target", "secretsmanager.RotateSecret")
            .header("content-type", "application/x-amz-json-1.1")
            .body(json!({ "SecretId": SECRET }).to_string())
            .expect("a valid request");
        let answer = sandbox::http_client::send(request)
            .await
            .expect("an answer");
        assert_eq!(answer.status() == 400, under_way, "{}", answer.status());
        if under_way {
            return true;
        }
        let answer: Value = serde_json::from_slice(answer.body()).expect("JSON");
        let token = answer["VersionId"].as_str().expect("a version");
        let second = sandbox.rotation(token).await;
        self.state.lock().expect("no panic").second = Some(second);
        true
    }

    /// Whether the gateway accepts this value, as far as the change leaves that possible.
    async fn serves(&self, value: &str) -> bool {
        let (no_plan, deleted) = {
            let state = self.state.lock().expect("no panic");
            (state.plan.is_none(), state.deleted.contains(value))
        };
        let enabled = self
            .test_env
            .sandbox
            .key_with_value(value)
            .is_some_and(|key| key.enabled);
        deleted || (enabled && (no_plan || self.test_env.gateway_answer(value).await == 200))
    }

    /// Returns every key except the neighbours', which nothing may change.
    fn keys(&self) -> Vec<KeySnapshot> {
        let is_theirs = |key: &KeySnapshot| key.value == NEIGHBOURS;
        let keys = self.test_env.sandbox.keys().into_iter();
        let (theirs, others): (Vec<_>, Vec<_>) = keys.partition(is_theirs);
        let [theirs] = &theirs[..] else {
            panic!("the neighbours' key was deleted");
        };
        let untouched = theirs.enabled && theirs.plans.is_empty() && theirs.tags.len() == 1;
        assert!(untouched && theirs.description.is_empty(), "{theirs:?}");
        others
    }

    /// Asserts what holds after any change.
    async fn assert_nothing_lost(&self, change: ManualChange, what: &str) {
        let (test_env, secret) = (&self.test_env, self.test_env.sandbox.secret(SECRET));
        if !change.puts_no_key() {
            let held = test_env.current_key();
            assert!(
                self.serves(&held).await,
                "{what}: AWSCURRENT's key does not work"
            );
        }
        assert!(
            self.serves(&self.current.value).await,
            "{what}: the old key does not work"
        );
        let held = test_env.doppler_value(TARGET).expect("it holds something");
        let rotates = matches!(self.job, Job::Rotation { .. });
        assert!(
            self.serves(&held).await || (!rotates && held == "a stranger's"),
            "{what}: Doppler's key does not work"
        );
        if rotates {
            let served = self.serves(&self.replaced.value).await;
            assert!(served, "{what}: a key was disabled in its grace");
        }
        for key in self.keys() {
            let texts = secret
                .versions
                .iter()
                .filter_map(|version| version.text.as_ref());
            let stored = texts.into_iter().any(|text| text.contains(&key.value));
            assert!(stored, "{what}: no version held key {}", key.id);
        }
    }

    /// Asserts what holds after the steps of the pages.
    async fn assert_all_well(&self, change: ManualChange, what: &str) {
        let (test_env, secret) = (&self.test_env, self.test_env.sandbox.secret(SECRET));
        let log = || self.test_env.sandbox.function_log();
        assert!(secret.pending().is_none(), "{what}: AWSPENDING is left");
        assert!(secret.rotation_enabled, "{what}: rotation is off");
        let current = test_env.current_key();
        let key = test_env.sandbox.key_with_value(&current);
        let key = key.unwrap_or_else(|| panic!("{what}: AWSCURRENT's key is missing\n{}", log()));
        let plan = self.state.lock().expect("no panic").plan.clone();
        assert_eq!(
            key.plans,
            Vec::from_iter(plan),
            "{what}: its plans\n{}",
            log()
        );
        assert_eq!(test_env.gateway_answer(&current).await, 200, "{what}");
        assert!(
            test_env.doppler_value(TARGET).as_ref() == Some(&current),
            "{what}: Doppler differs\n{}",
            log()
        );
        for key in self.keys() {
            let marked = key.description.contains("Superseded at ");
            // A key that was created manually belongs to its owner.
            let is_well = key.value == UNMANAGED || marked == (key.value != current);
            assert!(is_well, "{what}: {key:?}\n{}", log());
            let over = matches!(self.job, Job::Reconciliation { .. }) && key.id == self.replaced.id;
            assert_eq!(key.enabled, !over, "{what}: {key:?}\n{}", log());
        }
        if change == ManualChange::PutAnotherField {
            let texts = secret
                .versions
                .iter()
                .filter(|version| version.has("AWSCURRENT"));
            let kept = texts
                .filter_map(|version| version.text.as_ref())
                .all(|text| text.contains("them"));
            assert!(kept, "{what}: the edit was lost");
        }
    }
}

fn text_with(key: &str, owner: &str) -> String {
    json!({ "apiKey": key, "owner": owner }).to_string()
}

/// The commands that were run in a shell.
type Tried = Arc<Mutex<BTreeSet<Command>>>;

impl JobEnv {
    /// Follows the pages: the first time in a shell, afterwards by quicker calls.
    async fn follow(&self, command: Command, tried: &Tried, what: &str) {
        let first = tried.lock().expect("no panic").insert(command);
        let token = if first {
            self.shell(command).await
        } else {
            self.quickly(command).await
        };
        if command.rotates() {
            let token = token.unwrap_or_else(|| panic!("{what}: no rotation was begun"));
            let outcome = self.test_env.sandbox.rotation(&token).await;
            assert!(
                outcome.succeeded,
                "{what}: {:?}\n{}",
                outcome.error(),
                self.test_env.log()
            );
        }
    }

    /// Runs the block as written. Returns the version that it says it creates.
    async fn shell(&self, command: Command) -> Option<String> {
        let plan = self
            .state
            .lock()
            .expect("no panic")
            .plan
            .clone()
            .unwrap_or_default();
        // The sandbox has no CloudFormation; the test reads the parameters instead.
        let script = format!(
            "cd \"$(mktemp -d)\"; export F={FUNCTION_NAME} S={SECRET}; API={REST_API_ID} STAGE={STAGE} PLAN={plan}\n\
             . '{}'\nrotation_change() {{ echo \"change $*\"; }}\n{}\necho \"plan $PLAN\"",
            repository().join("docs/rotation.sh").display(),
            command.text()
        );
        let output = self.test_env.shell(&script).await;
        for value in values(&self.test_env) {
            assert_absent(&output, &value, &format!("{command:?}"));
        }
        if command == Command::NewPlan {
            let plan = output.lines().find_map(|line| line.strip_prefix("plan "));
            self.state.lock().expect("no panic").plan = plan.map(str::to_owned);
        }
        if let Some((_, plan)) = output.split_once("change UsagePlanIds=") {
            let plan = plan.lines().next().expect("a line");
            self.test_env.redeploy(&[("USAGE_PLAN_IDS", plan)]).await;
        }
        let (_, version) = output.rsplit_once("\"VersionId\": \"")?;
        version
            .split_once('"')
            .map(|(version, _)| version.to_owned())
    }

    /// Does the same by calls to the sandbox.
    async fn quickly(&self, command: Command) -> Option<String> {
        let sandbox = &self.test_env.sandbox;
        let secret = sandbox.secret(SECRET);
        let id = |label| Some(secret.labelled(label)?.id.clone());
        match command {
            Command::RotateAfterPut | Command::RotateAfterCancel | Command::RotateAfterRemoval => {
                return Some(sandbox.rotate(SECRET));
            }
            Command::GiveUp => {
                sandbox.move_label(SECRET, "AWSPENDING", id("AWSPENDING").as_deref(), None);
                return Some(sandbox.rotate(SECRET));
            }
            Command::BringTextBack => {
                let (from, to) = (id("AWSCURRENT"), id("AWSPREVIOUS"));
                sandbox.move_label(SECRET, "AWSCURRENT", from.as_deref(), to.as_deref());
            }
            Command::NewPlan => {
                let plan = sandbox.create_usage_plan("partners");
                for key in self.keys().iter().filter(|key| key.enabled) {
                    sandbox.attach_key(&key.id, &plan);
                }
                self.state.lock().expect("no panic").plan = Some(plan);
            }
            Command::DeployPlan => {
                let plan = self
                    .state
                    .lock()
                    .expect("no panic")
                    .plan
                    .clone()
                    .expect("a plan");
                self.test_env.redeploy(&[("USAGE_PLAN_IDS", &plan)]).await;
            }
            Command::Reconcile => {
                drop(self.test_env.reconcile(json!({ "SecretId": SECRET })).await);
            }
            Command::Restore => sandbox.restore_secret(SECRET),
            Command::DeleteKeys => unreachable!("it is for a secret that is not restored"),
            Command::PutTagsBack => {
                for key in self.keys() {
                    let Some(version) = key.name.strip_prefix(&format!("{SECRET}/")) else {
                        continue;
                    };
                    for (tag, value) in TAGS.iter().zip([&secret.arn, version, FUNCTION_NAME]) {
                        sandbox.tag_key(&key.id, tag, value);
                    }
                }
            }
        }
        None
    }
}

impl JobEnv {
    /// Returns what the pages say to run after `change`, given how the run ended.
    fn commands(&self, change: ManualChange, error: Option<&FunctionError>) -> Vec<Command> {
        let secret = self.test_env.sandbox.secret(SECRET);
        let held = self.test_env.key_in("AWSCURRENT");
        let works = held.is_some_and(|held| self.test_env.sandbox.key_with_value(&held).is_some());
        let is_pending = secret.pending().is_some();
        let edited = error.is_some_and(|error| error.error_type == "SecretEditedDuringRotation");
        let (Job::Rotation { inherits } | Job::Reconciliation { inherits }) = self.job;
        let mut commands = Vec::new();
        let mut run = |command, if_so| commands.extend(Some(command).filter(|_| if_so));
        match change {
            ManualChange::PutAnotherField
            | ManualChange::PutTheOldKey
            | ManualChange::PutAKeyMadeByHand
            | ManualChange::PutAPlaceholder
            | ManualChange::PutGarbage => {
                run(Command::BringTextBack, !works);
                run(Command::GiveUp, edited);
                run(Command::RotateAfterPut, error.is_some() && !is_pending);
            }
            ManualChange::Cancel => {
                run(Command::GiveUp, is_pending);
                run(Command::RotateAfterCancel, !is_pending);
            }
            ManualChange::RemovePending => run(Command::RotateAfterRemoval, error.is_some()),
            ManualChange::RotateAgain => {}
            ManualChange::DeletePlan => {
                run(Command::NewPlan, true);
                run(Command::DeployPlan, !inherits);
            }
            ManualChange::DeleteKey(_) => run(Command::Reconcile, !works && error.is_none()),
            ManualChange::DeleteSecret => run(Command::Restore, true),
            ManualChange::RemoveTag(..) => run(Command::PutTagsBack, true),
        }
        commands
    }
}

/// How a schedule ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    NotPossible,
    Automatically,
    AfterRetry,
    AfterCommands,
}

/// Makes one change before one call, and follows the pages to the end.
async fn try_schedule(
    change: ManualChange,
    job: Job,
    call: usize,
    what: String,
    tried: Tried,
) -> (End, Option<String>) {
    let env = Arc::new(JobEnv::start(job).await);
    let hook = {
        let env = Arc::downgrade(&env);
        FaultKind::before(move || {
            let env = env.upgrade();
            async move {
                if let Some(env) = env {
                    env.intervene(change).await;
                }
            }
        })
    };
    let (test_env, sandbox) = (&env.test_env, &env.test_env.sandbox);
    let handle = sandbox.faults().inject(Fault::new(hook).nth(call + 1));
    let (error, token) = env.run().await;
    sandbox.faults().clear();
    assert_eq!(handle.fired(), 1, "{what}: there was no such call");
    if !env.state.lock().expect("no panic").done {
        assert_eq!(error, None, "{what}");
        return (End::NotPossible, None);
    }
    if let Some(error) = &error {
        let expected = change.errors().contains(&error.error_type.as_str());
        assert!(expected, "{what}: {error}\n{}", test_env.log());
        assert!(
            error
                .error_message
                .contains(next_step(change, &error.error_type)),
            "{what}: {error}"
        );
    }
    if let Some(second) = &env.state.lock().expect("no panic").second {
        assert!(second.succeeded, "{what}: {:?}", second.error());
    }
    env.assert_nothing_lost(change, &what).await;

    let mut end = End::Automatically;
    for command in env.commands(change, error.as_ref()) {
        env.follow(command, &tried, &what).await;
        end = End::AfterCommands;
    }
    // The service retries automatically while the version is pending.
    if let Some(token) = token.filter(|_| sandbox.secret(SECRET).pending().is_some()) {
        let outcome = sandbox.retry(&token).await;
        assert!(
            outcome.succeeded,
            "{what}: {:?}\n{}",
            outcome.error(),
            test_env.log()
        );
        if end == End::Automatically {
            end = End::AfterRetry;
        }
    }
    test_env.reconcile(json!({ "SecretId": SECRET })).await;
    env.assert_all_well(change, &what).await;
    if matches!(change, ManualChange::RemoveTag(_, "rotation:function")) {
        // The role may not change a key without this tag, until it is restored.
        for denial in test_env.roles.take_denials() {
            let changes = ["UpdateApiKey", "DeleteApiKey"].contains(&denial.operation.as_str());
            assert!(changes, "{what}: {denial}");
        }
    }
    (end, error.map(|error| error.error_type))
}

/// After a manual change before any call, nothing is lost and the pages restore agreement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_manual_change_is_repaired_by_runbook() {
    let tried = Tried::default();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut schedules = JoinSet::new();
    for inherits in [false, true] {
        for job in [Job::Rotation { inherits }, Job::Reconciliation { inherits }] {
            let env = JobEnv::start(job).await;
            env.test_env.sandbox.clear_calls();
            assert_eq!(env.run().await.0, None);
            let calls = env.test_env.sandbox.calls();
            let boundaries = calls.iter().enumerate().filter(|(_, call)| {
                is_exhaustive() || BOUNDARIES.contains(&call.operation.as_str())
            });
            let boundaries: Vec<_> = boundaries.collect();
            for (number, change) in ManualChange::all().into_iter().enumerate() {
                for (place, (call, at)) in boundaries.iter().enumerate() {
                    let (call, turn) = (*call, (number + place) % 2 == usize::from(inherits));
                    if !(is_exhaustive() || turn && change.is_in_share()) {
                        continue;
                    }
                    let what = format!(
                        "{change:?} before call {call}, {}, of {job:?}",
                        at.operation
                    );
                    let (tried, places) = (Arc::clone(&tried), Arc::clone(&places));
                    schedules.spawn(async move {
                        let _place = places.acquire().await;
                        let ended =
                            tokio::spawn(try_schedule(change, job, call, what.clone(), tried));
                        (change, ended.await.map_err(|_| what))
                    });
                }
            }
        }
    }
    let (mut table, mut failed) = (BTreeMap::<ManualChange, Row>::new(), Vec::new());
    while let Some(ended) = schedules.join_next().await {
        let (change, ended) = ended.expect("it does not panic");
        match ended {
            Ok((end, error)) => table.entry(change).or_default().count(end, error),
            Err(what) => failed.push(what),
        }
    }
    print(&table);
    for (change, row) in &table {
        let done = row.automatically + row.after_retry + row.after_commands;
        assert!(done > 0, "{change:?} was never made");
    }
    failed.sort();
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    let untried = Command::ALL
        .into_iter()
        .filter(|command| !tried.lock().expect("no panic").contains(command));
    assert_eq!(untried.collect::<Vec<_>>(), [Command::DeleteKeys]);
}

/// The keys of a secret that is to be deleted are deleted as the page says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_removed_secret_are_deleted_by_runbook() {
    let env = JobEnv::start(Job::Rotation { inherits: false }).await;
    env.test_env.sandbox.delete_secret(SECRET);
    env.shell(Command::DeleteKeys).await;
    assert_eq!(env.keys(), []);
}

/// Every block that repairs a manual change is run by a test.
#[test]
fn every_repair_block_is_run() {
    let mut places: Vec<_> = Command::ALL.map(Command::place).into();
    let mut blocks: Vec<_> = repair_blocks().iter().map(|(place, _)| *place).collect();
    places.sort_unstable();
    blocks.sort_unstable();
    assert_eq!(blocks, places);
}

/// The results of one change.
#[derive(Default)]
struct Row {
    not_possible: usize,
    automatically: usize,
    after_retry: usize,
    after_commands: usize,
    errors: BTreeMap<String, usize>,
}

impl Row {
    fn count(&mut self, end: End, error: Option<String>) {
        *(match end {
            End::NotPossible => &mut self.not_possible,
            End::Automatically => &mut self.automatically,
            End::AfterRetry => &mut self.after_retry,
            End::AfterCommands => &mut self.after_commands,
        }) += 1;
        if let Some(error) = error {
            *self.errors.entry(error).or_default() += 1;
        }
    }
}

fn print(table: &BTreeMap<ManualChange, Row>) {
    println!(
        "{:<42} {:>5} {:>13} {:>11} {:>14}  errors",
        "change", "tried", "automatically", "after retry", "after commands"
    );
    for (change, row) in table {
        let tried = row.automatically + row.after_retry + row.after_commands;
        let errors: Vec<_> = row
            .errors
            .iter()
            .map(|(error, count)| format!("{error} {count}"))
            .collect();
        println!(
            "{:<42} {tried:>5} {:>13} {:>11} {:>14}  {}",
            format!("{change:?}"),
            row.automatically,
            row.after_retry,
            row.after_commands,
            errors.join(", ")
        );
    }
}
