//! A fleet with documents: which secrets it manages, with which settings, and who cannot change that.

use serde_json::{Value, json};

use crate::support::{
    CONFIG, PROJECT, SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder, is_enabled, key_in,
};
use sandbox::{Fault, FaultKind, Outcome, Service};

const DOCUMENT: &str = "rotation/fleet-1";
const MORE: &str = "rotation/fleet-2";
const FIRST: &str = "fleet/first";
const SECOND: &str = "fleet/second";

/// A fleet with two members, each with a Doppler target, and with a usage plan of its own for the
/// second one.
struct Fleet {
    env: TestEnv,
    plan: String,
}

impl Fleet {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(changes: &[(&str, &str)]) -> Self {
        let setup = TestEnvBuilder::quick().inheriting();
        let mut env = setup.start().await;
        let sandbox = &env.sandbox;
        let plan = sandbox.create_empty_usage_plan("second");
        sandbox.create_secret(DOCUMENT, Some("{}"));
        sandbox.create_secret(MORE, Some(r#"{"members":{}}"#));
        for name in [FIRST, SECOND] {
            sandbox.create_secret(name, None);
            sandbox.enable_rotation(name);
        }
        let documents = format!("{DOCUMENT},{MORE}");
        let allowed = format!("{PROJECT}/*");
        let mut settings = vec![
            ("SECRET_ID", ""),
            ("DOPPLER_TARGETS", ""),
            ("FLEET_CONFIG_SECRET_IDS", documents.as_str()),
            ("DOPPLER_ALLOWED", &allowed),
        ];
        settings.extend(changes);
        let settings = settings.into_iter();
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        env.settings.extend(settings);
        env.redeploy(&[]).await;
        let fleet = Self { env, plan };
        fleet.put(&fleet.document()).await;
        fleet
    }

    /// Returns the document of both members.
    fn document(&self) -> Value {
        json!({
            "defaults": {"usagePlanIds": [self.env.plans[0]], "gracePeriod": "2h"},
            "members": {
                FIRST: {"dopplerTargets": [target("FIRST_KEY")]},
                SECOND: {
                    "dopplerTargets": [target("SECOND_KEY")],
                    "usagePlanIds": [self.plan],
                    "gracePeriod": "1h",
                },
            },
        })
    }

    /// Stores the first document, and lets the function forget what it read.
    async fn put(&self, document: &Value) {
        self.put_text(&document.to_string()).await;
    }

    async fn put_text(&self, document: &str) {
        self.env.sandbox.put_secret(DOCUMENT, document);
        self.env.sandbox.kill_function().await;
    }

    async fn rotate(&self, name: &str) -> Outcome {
        let token = self.env.sandbox.rotate(name);
        self.env.sandbox.rotation(&token).await
    }

    async fn rotate_well(&self, name: &str) {
        let outcome = self.rotate(name).await;
        assert!(outcome.succeeded, "{name}: {:?}", outcome.error());
    }

    /// Rotates, and asserts that the first step fails and that no key was created. Returns the
    /// type and the message.
    async fn rotate_and_fail(&self, name: &str) -> (String, String) {
        let keys = self.env.sandbox.keys().len();
        let token = self.env.sandbox.rotate(name);
        let outcome = self.env.sandbox.rotation(&token).await;
        let sandbox = &self.env.sandbox;
        sandbox.move_label(name, "AWSPENDING", Some(&token), None);
        let last = outcome.steps.last().expect("a step was run");
        assert_eq!(last.step, "createSecret");
        assert_eq!(self.env.sandbox.keys().len(), keys);
        let error = last.error.clone().expect("the step failed");
        (error.error_type, error.error_message)
    }

    fn key(&self, name: &str) -> String {
        let secret = self.env.sandbox.secret(name);
        let current = secret.labelled("AWSCURRENT").expect("it has a value");
        key_in(current.text.as_ref().expect("a text")).expect("it holds a key")
    }

    /// Asserts that the member's key is on this plan only and in this target.
    fn assert_member(&self, name: &str, plan: &str, target: &str) {
        let value = self.key(name);
        let key = self.env.sandbox.key_with_value(&value);
        assert_eq!(key.expect("the key exists").plans, [plan], "{name}");
        assert!(self.env.doppler_value(target) == Some(value), "{name}");
    }
}

fn target(name: &str) -> String {
    format!("{PROJECT}/{CONFIG}/{name}")
}

fn issues_of<'a>(report: &'a Value, name: &str) -> Vec<&'a str> {
    let secrets = report["secrets"].as_array().expect("a list").iter();
    let of_name = secrets.filter(|secret| {
        secret["secret"]
            .as_str()
            .is_some_and(|arn| arn.contains(name))
    });
    let issues = of_name.flat_map(|secret| secret["issues"].as_array().expect("a list"));
    issues.filter_map(Value::as_str).collect()
}

/// Each member has its own plans, target and grace period, and those of `defaults` otherwise.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_have_their_own_settings() {
    let fleet = Fleet::start().await;
    let sandbox = &fleet.env.sandbox;
    for _ in 0..2 {
        fleet.rotate_well(FIRST).await;
        fleet.rotate_well(SECOND).await;
    }
    fleet.assert_member(FIRST, &fleet.env.plans[0], "FIRST_KEY");
    fleet.assert_member(SECOND, &fleet.plan, "SECOND_KEY");
    // Only the grace period of the second one is over.
    sandbox.advance(std::time::Duration::from_mins(90));
    let report = fleet.env.reconcile(json!({})).await;
    assert_eq!(report["totals"]["keysDisabled"], 1, "{report}");
    assert_eq!(
        report["totals"]["failures"], 1,
        "the third is not a member: {report}"
    );
}

/// A secret that no document names is refused before anything is created, and a run reports it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unlisted_secret_is_refused_and_reported() {
    let fleet = Fleet::start().await;
    let (error_type, message) = fleet.rotate_and_fail(SECRET).await;
    assert_eq!(error_type, "SecretNotManaged");
    assert!(message.contains("FLEET_CONFIG_SECRET_IDS"), "{message}");
    let (report, metrics) = fleet.env.reconcile_measured(json!({})).await;
    assert!(
        issues_of(&report, SECRET)[0].contains("has a member of this name"),
        "{report}"
    );
    assert_eq!(metrics["Failures"], 1, "an alarm tells of it");
}

/// A secret that was removed from the fleet, and whose rotation is off, sounds no alarm. A run that
/// names it is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_secret_is_reported_without_failure() {
    let fleet = Fleet::start().await;
    fleet.env.sandbox.disable_rotation(SECRET);
    fleet.rotate_well(FIRST).await;
    let (report, metrics) = fleet.env.reconcile_measured(json!({})).await;
    let issues = issues_of(&report, SECRET);
    assert_eq!(issues.len(), 1, "{report}");
    assert!(issues[0].contains("its rotation is off"), "{report}");
    assert_eq!(metrics["Failures"], 0, "{report}");
    assert_eq!(metrics["SecretsWithRotationOff"], 0, "{report}");
    let named = json!({"Step": "reconcile", "SecretId": SECRET}).to_string();
    let refused = fleet.env.sandbox.invoke(named).await.result;
    let error = refused.expect_err("it is not a member");
    assert_eq!(error.error_type, "SecretNotManaged");

    // A member whose rotation is off does.
    fleet.env.sandbox.disable_rotation(FIRST);
    let (report, metrics) = fleet.env.reconcile_measured(json!({})).await;
    assert_eq!(metrics["SecretsWithRotationOff"], 1, "{report}");
}

/// With `FLEET_DEFAULT=inherit`, it is managed with the plans of its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unlisted_secret_inherits_if_configured() {
    let fleet = Fleet::start_with(&[("FLEET_DEFAULT", "inherit")]).await;
    let sandbox = &fleet.env.sandbox;
    let old = "OldKeyOldKeyOldKeyOldKeyOldKeyOldKeyOldK";
    sandbox.create_key("old", old, &[&fleet.env.plans[0]]);
    sandbox.put_secret(SECRET, old);
    fleet.rotate_well(SECRET).await;
    let key = sandbox.key_with_value(&fleet.key(SECRET));
    assert_eq!(key.expect("the key exists").plans, fleet.env.plans);
}

/// A faulty document stops rotations and reconciliations. The message lists every fault without a
/// value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faulty_document_changes_nothing() {
    let fleet = Fleet::start().await;
    fleet.rotate_well(FIRST).await;
    let mut document = fleet.document();
    document["members"][FIRST]["gracePeriod"] =
        json!("dp.st.prd.notforyoureyes0000000000000000000");
    document["members"][SECOND]["colour"] = json!("red");
    document["members"][SECOND]["dopplerTargets"] = json!(["other/prd/KEY"]);
    fleet.put(&document).await;
    let (error_type, message) = fleet.rotate_and_fail(FIRST).await;
    assert_eq!(error_type, "InvalidFleetConfig");
    for part in [
        r#"rotation/fleet-1: members["fleet/first"].gracePeriod is not a duration"#,
        r#"members["fleet/second"].colour is not a setting"#,
        r#"members["fleet/second"].dopplerTargets item 1 is outside DOPPLER_ALLOWED"#,
    ] {
        assert!(message.contains(part), "{part:?} is not in {message}");
    }
    assert!(!message.contains("notforyoureyes"), "{message}");
    let invocation = fleet
        .env
        .sandbox
        .invoke(json!({"Step": "reconcile"}).to_string());
    let error = invocation
        .await
        .result
        .expect_err("the documents are faulty");
    assert_eq!(error.error_type, "InvalidFleetConfig");
}

/// A foreign secret is refused, and its event is ignored, before a document is read: whatever the
/// documents are, and without a call more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_secret_costs_no_document_read() {
    const VERSION: &str = "11111111-1111-4111-8111-111111111111";
    let fleet = Fleet::start().await;
    let sandbox = &fleet.env.sandbox;
    sandbox.create_secret("another", Some("{}"));
    // The template's role denies the first call.
    fleet.env.redeploy_unrestricted(&[]).await;
    fleet.put_text("{").await;
    sandbox.clear_calls();
    let moved = json!({
        "detail-type": "Secret Label Updated",
        "source": "aws.secretsmanager",
        "resources": [sandbox.secret("another").arn],
        "detail": {"name": "another", "labelUpdated": "AWSCURRENT", "versionId": VERSION},
    });
    let answer = sandbox.invoke(moved.to_string()).await.result;
    let report = answer.expect("the event is ignored");
    assert!(!issues_of(&report, "another").is_empty(), "{report}");
    for step in ["reconcile", "status", "emergencyStop"] {
        let event = json!({"Step": step, "SecretId": "another"});
        let error = sandbox.invoke(event.to_string()).await.result;
        assert_eq!(error.expect_err(step).error_type, "SecretNotManaged");
    }
    let calls = sandbox.calls();
    let described = fleet.env.calls_of("DescribeSecret");
    assert_eq!(calls.len(), described, "{calls:#?}");
}

/// An emergency stop and a status report need no document, and say that they had none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emergency_stop_needs_no_document() {
    let fleet = Fleet::start().await;
    fleet.rotate_well(FIRST).await;
    let leaked = fleet.key(FIRST);
    fleet.rotate_well(FIRST).await;
    let denied = FaultKind::refuse(400, "AccessDeniedException", "no");
    for faulty in ["{", r#"{"members":{}}"#, "denied"] {
        if faulty == "denied" {
            let denied = Fault::new(denied.clone()).on(Service::SecretsManager, "GetSecretValue");
            fleet.env.sandbox.faults().inject(denied);
            fleet.env.sandbox.kill_function().await;
        } else {
            fleet.put_text(faulty).await;
        }
        let status = fleet
            .env
            .reconcile(json!({"Step": "status", "SecretId": FIRST}))
            .await;
        assert!(!issues_of(&status, FIRST).is_empty(), "{faulty}: {status}");
    }
    fleet.put_text("{").await;
    let report = fleet
        .env
        .reconcile(json!({"Step": "emergencyStop", "SecretId": FIRST}))
        .await;
    assert_eq!(is_enabled(&fleet.env, &leaked), Some(false), "{report}");
    let issues = issues_of(&report, FIRST).join("\n");
    assert!(issues.contains("documents were not used"), "{issues}");
}

/// Documents are kept in a container, and not read by each step of a rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_are_kept_in_container() {
    let fleet = Fleet::start().await;
    fleet.rotate_well(FIRST).await;
    let reads = async || {
        fleet.env.sandbox.clear_calls();
        fleet.rotate_well(FIRST).await;
        fleet.env.calls_of("GetSecretValue")
    };
    let kept = reads().await;
    fleet.env.sandbox.kill_function().await;
    // Two documents and the token.
    assert_eq!(reads().await, kept + 3);
}

/// No document can direct a key elsewhere: not with another member's target, a target or host that
/// is not allowed, the secret of the token or of a document, or a setting of the environment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_cannot_escalate() {
    let fleet = Fleet::start().await;
    let twice = json!({FIRST: {"dopplerTargets": [target("SAME")]}, SECOND: {"dopplerTargets": [target("SAME")]}});
    for (members, fault) in [
        (twice, "is also a target of fleet/first"),
        (
            json!({FIRST: {"dopplerTargets": ["other/prd/KEY"]}}),
            "outside DOPPLER_ALLOWED",
        ),
        (
            json!({FIRST: {"probeUrl": "https://evil.example.com/"}}),
            "outside PROBE_ALLOWED",
        ),
        (
            json!({FIRST: {"probeUrl": "https://evil.execute-api.eu-west-1.amazonaws.com/"}}),
            "outside PROBE_ALLOWED",
        ),
        (
            json!({FIRST: {"probeUrl": "http://169.254.169.254/"}}),
            "use https",
        ),
        (json!({TOKEN_SECRET: {}}), "holds the Doppler token"),
        (json!({MORE: {}}), "holds a document of this fleet"),
        (
            json!({FIRST: {"dopplerTokenSecretId": "x"}}),
            "is not a setting",
        ),
        (
            json!({FIRST: {"dopplerAdoptTargets": [target("K")]}}),
            "is not a setting",
        ),
    ] {
        fleet.put(&json!({"members": members})).await;
        let (error_type, message) = fleet.rotate_and_fail(FIRST).await;
        assert_eq!(error_type, "InvalidFleetConfig", "{message}");
        assert!(message.contains(fault), "{fault:?} is not in {message}");
    }
    let member = json!({"members": {FIRST: {"usagePlanIds": [fleet.env.plans[0]]}}});
    fleet.put(&member).await;
    fleet.env.sandbox.put_secret(MORE, &member.to_string());
    let (_, message) = fleet.rotate_and_fail(FIRST).await;
    assert!(
        message.contains("is already in rotation/fleet-1"),
        "{message}"
    );
}

/// No stack can allow the APIs of all accounts, of which a document could then name its author's own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_of_any_account_are_refused() {
    let fleet = Fleet::start().await;
    let any = "*.execute-api.eu-west-1.amazonaws.com";
    let documents = format!("{DOCUMENT},{MORE}");
    let settings = [
        ("FLEET_CONFIG_SECRET_IDS", documents.as_str()),
        ("PROBE_ALLOWED", any),
    ];
    fleet.env.redeploy_unrestricted(&settings).await;
    let (error_type, message) = fleet.rotate_and_fail(FIRST).await;
    assert_eq!(error_type, "InvalidSettings", "{message}");
    let words = "use the API's own host, as in a1b2c3d4e5.execute-api";
    assert!(message.contains(words), "{message}");
}

/// A new secret in the place of a deleted member gets that member's settings and no others. (Who
/// may create it may also write the member's value, and so decides its key anyway.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_secret_in_members_place_reaches_no_other() {
    let fleet = Fleet::start().await;
    fleet.rotate_well(FIRST).await;
    fleet.rotate_well(SECOND).await;
    let mirrored = fleet.key(SECOND);
    let sandbox = &fleet.env.sandbox;
    sandbox.delete_secret_for_good(FIRST);
    // A field of the secret, and the name of another member as text, decide nothing.
    let text = json!({"dopplerTargets": [target("SECOND_KEY")], "name": SECOND}).to_string();
    sandbox.create_secret(FIRST, Some(&text));
    sandbox.enable_rotation(FIRST);
    fleet.rotate_well(FIRST).await;
    fleet.assert_member(FIRST, &fleet.env.plans[0], "FIRST_KEY");
    assert!(fleet.env.doppler_value("SECOND_KEY") == Some(mirrored));
}

/// A probe of a member is limited to the hosts of `PROBE_ALLOWED`, and works there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_of_member_is_used() {
    let fleet = Fleet::start().await;
    let probe = &fleet.env.probe_url;
    let host = probe.split('/').nth(2).expect("a URL has a host");
    let documents = format!("{DOCUMENT},{MORE}");
    let allowed = format!("{PROJECT}/*");
    let settings = [
        ("SECRET_ID", ""),
        ("DOPPLER_TARGETS", ""),
        ("FLEET_CONFIG_SECRET_IDS", documents.as_str()),
        ("DOPPLER_ALLOWED", &allowed),
        ("PROBE_ALLOWED", host),
    ];
    fleet.env.redeploy_unrestricted(&settings).await;
    let mut document = fleet.document();
    document["members"][FIRST]["probeUrl"] = json!(probe);
    fleet.put(&document).await;
    fleet.env.sandbox.clear_calls();
    fleet.rotate_well(FIRST).await;
    let calls = fleet.env.sandbox.calls().into_iter();
    assert!(
        calls
            .filter(|call| call.service == Service::Gateway)
            .count()
            >= 4
    );
}

/// A target that the token does not see does not stop the other members.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_failing_target_stops_only_its_member() {
    let fleet = Fleet::start().await;
    let mut document = fleet.document();
    document["members"][FIRST]["dopplerTargets"] = json!([format!("{PROJECT}/unknown/KEY")]);
    fleet.put(&document).await;
    let outcome = fleet.rotate(FIRST).await;
    let error = outcome.error().expect("there is no such config");
    assert_eq!(error.error_type, "DopplerTargetNotFound", "{error}");
    fleet.rotate_well(SECOND).await;
}

/// A document in another account than the function is refused, even if a policy there allows to read it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn document_of_other_account_is_refused() {
    let fleet = Fleet::start().await;
    let reply = json!({
        "ARN": "arn:aws:secretsmanager:us-east-1:999999999999:secret:rotation/fleet-1-AbCdEf",
        "Name": DOCUMENT,
        "VersionId": "22222222-2222-4222-8222-222222222222",
        "SecretString": fleet.document().to_string(),
    });
    let reply = FaultKind::answer(200, "application/x-amz-json-1.1", reply.to_string());
    let reply = Fault::new(reply).on(Service::SecretsManager, "GetSecretValue");
    fleet.env.sandbox.faults().inject(reply);
    let (error_type, message) = fleet.rotate_and_fail(FIRST).await;
    assert_eq!(error_type, "InvalidFleetConfig");
    assert!(
        message.contains("rotation/fleet-1: it is in another account"),
        "{message}"
    );
}
