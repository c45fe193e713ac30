//! Nothing that the function emits contains a key value, the Doppler token or the `RotationToken`.
//! Tested at the most verbose log level, in success and failure, with well-formed and malformed
//! replies.

use std::time::Duration;

use crate::support::emitted::{ROTATION_TOKEN, values};
use crate::support::{CONFIG, PROJECT, SECRET, TestEnv, TestEnvBuilder};
use api_key_rotation::secret::ApiKeyValue;
use sandbox::{Fault, FaultKind, Service};
use serde_json::json;
use tokio::task::JoinSet;

/// A key value that a service puts into replies in which it does not belong.
const STRAY: &str = "StrayStrayStrayStrayStrayStrayStrayStray";

/// Returns replies with a value where it does not belong.
fn malformed() -> Vec<FaultKind> {
    let said = format!(
        "no: {STRAY} and {ROTATION_TOKEN} and {}",
        ApiKeyValue::fresh().expose()
    );
    vec![
        FaultKind::refuse(400, "ValidationException", said.clone()),
        FaultKind::refuse(403, STRAY, said.clone()),
        FaultKind::refuse(409, "ConflictException", said.clone()),
        FaultKind::answer(
            201,
            "application/json",
            format!(r#"{{"id":"a","value":"{STRAY}"#),
        ),
        FaultKind::answer(200, "text/html", format!("<html>{STRAY}")),
        FaultKind::answer(
            200,
            "application/json",
            format!(r#"{{"value":"{STRAY}","success":false,"messages":["{STRAY}"]}}"#),
        ),
        FaultKind::answer(200, "application/json", format!(r#"["{STRAY}"]"#)),
    ]
}

async fn most_verbose() -> TestEnv {
    most_verbose_of(|setup| setup).await
}

async fn most_verbose_of(change: impl Fn(TestEnvBuilder) -> TestEnvBuilder) -> TestEnv {
    let setup = TestEnvBuilder {
        probe: false,
        ..TestEnvBuilder::holding(
            r#"{"apiKey":"HandMadeHandMadeHandMade","password":"hunter2-hunter2"}"#,
        )
    };
    let setup = setup
        .env("PROPAGATION_DELAY", "0s")
        .env("AWS_LAMBDA_LOG_LEVEL", "TRACE");
    let env = change(setup)
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full")
        .env("EVENT_BUS_NAME", "default")
        .start()
        .await;
    env.sandbox
        .create_key("manual", "HandMadeHandMadeHandMade", &[&env.plans[0]]);
    env
}

/// The log level at which the AWS SDK prints values is not compiled in.
#[test]
fn sdk_trace_level_is_not_compiled_in() {
    assert_eq!(
        tracing::level_filters::STATIC_MAX_LEVEL,
        tracing::level_filters::LevelFilter::DEBUG
    );
}

/// Values stay secret in a complete rotation at the most verbose log level.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_stay_secret_at_most_verbose_level() {
    let env = most_verbose().await;
    for _ in 0..2 {
        let token = env.sandbox.begin_rotation(SECRET);
        env.try_steps(&token).await.expect("it succeeds");
        env.assert_agreement().await;
    }
    env.assert_no_value(&[STRAY], "a rotation");
    assert!(
        env.sandbox.function_log().contains("DEBUG"),
        "the most verbose level was not in force"
    );
}

/// The replies to these operations are malformed, each in turn.
type Operations = &'static [(Service, &'static str)];

/// Runs a case for a few of the operations at a time, each time in an environment of its own.
async fn in_parts<Case: Future<Output = ()> + Send + 'static>(
    operations: Operations,
    case: impl Fn(Operations) -> Case,
) {
    let mut parts = JoinSet::new();
    for part in operations.chunks(3) {
        parts.spawn(case(part));
    }
    parts.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_stay_secret_however_malformed_a_reply_is() {
    const OPERATIONS: Operations = &[
        (Service::SecretsManager, "DescribeSecret"),
        (Service::SecretsManager, "GetSecretValue"),
        (Service::SecretsManager, "PutSecretValue"),
        (Service::SecretsManager, "UpdateSecretVersionStage"),
        (Service::ApiGateway, "CreateApiKey"),
        (Service::ApiGateway, "CreateUsagePlanKey"),
        (Service::ApiGateway, "GetApiKeys"),
        (Service::ApiGateway, "GetUsagePlans"),
        (Service::ApiGateway, "UpdateApiKey"),
        (Service::Doppler, "GetSecret"),
        (Service::Doppler, "UpdateSecrets"),
        (Service::EventBridge, "PutEvents"),
    ];
    in_parts(OPERATIONS, values_stay_secret_in_rotations).await;
}

async fn values_stay_secret_in_rotations(operations: Operations) {
    let env = most_verbose().await;
    env.rotate().await;
    for &(service, operation) in operations {
        for kind in malformed() {
            let token = env.sandbox.begin_rotation(SECRET);
            let what = format!("{operation} of {service}: {kind:?}");
            // Once, because repeated faults only wait longer for the same messages.
            let handle = env
                .sandbox
                .faults()
                .inject(Fault::new(kind).on(service, operation));
            env.try_steps(&token).await.ok();
            assert_eq!(handle.fired(), 1, "{what} was never injected");
            env.sandbox.faults().clear();
            env.assert_no_value(&[STRAY], &what);
            // So that each word is searched once, and not with every case to come.
            env.sandbox.clear_function_log();
            // Whatever is left of this rotation is completed, so that the next one can begin.
            assert!(
                env.try_steps(&token).await.is_ok(),
                "{what}: not resumed: {}",
                env.sandbox.function_answers()
            );
            env.assert_agreement().await;
        }
    }
}

/// Neither the token of AWS nor the one of Doppler is emitted, however malformed a reply is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn login_tokens_stay_secret_however_malformed() {
    let env = most_verbose_of(TestEnvBuilder::keyless).await;
    for (service, operation) in [
        (Service::Sts, "GetWebIdentityToken"),
        (Service::Doppler, "OidcLogin"),
    ] {
        for kind in malformed() {
            let what = format!("{operation} of {service}: {kind:?}");
            let fault = Fault::new(kind).on(service, operation);
            // A new process has no token.
            env.redeploy(&[]).await;
            let token = env.sandbox.begin_rotation(SECRET);
            let handle = env.sandbox.faults().inject(fault);
            env.try_steps(&token).await.ok();
            assert_eq!(handle.fired(), 1, "{what} was never injected");
            env.sandbox.faults().clear();
            env.assert_no_value(&[STRAY], &what);
            env.sandbox.clear_function_log();
            assert!(env.try_steps(&token).await.is_ok(), "{what}: not resumed");
            env.assert_agreement().await;
        }
    }
    assert!(!env.sandbox.web_identity_tokens().is_empty());
    assert!(!env.sandbox.doppler().login_tokens().is_empty());
}

/// Values stay secret under malformed replies in a reconciliation that has work to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_stay_secret_under_malformed_replies() {
    const OPERATIONS: Operations = &[
        (Service::SecretsManager, "DescribeSecret"),
        (Service::SecretsManager, "GetSecretValue"),
        (Service::ApiGateway, "GetApiKeys"),
        (Service::ApiGateway, "GetUsagePlans"),
        (Service::ApiGateway, "GetUsage"),
        (Service::ApiGateway, "CreateApiKey"),
        (Service::ApiGateway, "CreateUsagePlanKey"),
        (Service::ApiGateway, "UpdateApiKey"),
        (Service::ApiGateway, "DeleteApiKey"),
        (Service::Doppler, "GetSecret"),
        (Service::Doppler, "UpdateSecrets"),
        (Service::EventBridge, "PutEvents"),
    ];
    in_parts(OPERATIONS, values_stay_secret_in_reconciliations).await;
}

async fn values_stay_secret_in_reconciliations(operations: Operations) {
    let env = most_verbose().await;
    // The record of what was written is lost with AWSCURRENT's key.
    let adopted = format!("{PROJECT}/{CONFIG}/PARTNER_API_KEY");
    env.redeploy(&[("DOPPLER_ADOPT_TARGETS", &adopted)]).await;
    for &(service, operation) in operations {
        for kind in malformed() {
            // A key to delete, one to disable, one to create again, and a target to write.
            env.rotate().await;
            env.sandbox.advance(Duration::from_hours(24));
            env.rotate().await;
            env.sandbox.advance(Duration::from_hours(8 * 24));
            // A key that is created again is known not to be on a plan yet.
            if operation != "GetUsagePlans" {
                let current = env.sandbox.key_with_value(&env.current_key());
                env.sandbox.delete_key(&current.expect("the key exists").id);
            }
            let doppler = env.sandbox.doppler();
            doppler.set_value(PROJECT, CONFIG, "PARTNER_API_KEY", STRAY);

            let what = format!("{operation} of {service}: {kind:?}");
            let fault = Fault::new(kind).on(service, operation);
            let handle = env.sandbox.faults().inject(fault);
            env.try_reconcile().await.ok();
            assert_eq!(handle.fired(), 1, "{what} was never injected");
            env.sandbox.faults().clear();
            env.try_reconcile().await.ok();
            env.assert_no_value(&[STRAY], &what);
            // So that each word is searched once, and not with every case to come.
            env.sandbox.clear_function_log();
            env.assert_agreement().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_stay_secret_in_wrong_fields_of_event() {
    let env = most_verbose().await;
    let token = env.sandbox.begin_rotation(SECRET);
    for event in [
        json!({ "Step": STRAY, "SecretId": SECRET, "ClientRequestToken": token }),
        json!({ "Step": "createSecret", "SecretId": SECRET, "ClientRequestToken": format!("{STRAY} {STRAY}") }),
        json!({ "Step": "createSecret", "SecretId": SECRET, "ClientRequestToken": token, "RotationToken": format!("{STRAY}!") }),
        json!({ "Step": "createSecret", "SecretId": [STRAY], "ClientRequestToken": token }),
        json!({ "Step": "createSecret", "SecretId": STRAY, "ClientRequestToken": token }),
        json!({ "Step": "createSecret", "SecretId": format!("dp.st.prd.{STRAY}"), "ClientRequestToken": token }),
        json!({ "Step": "createSecret", "SecretId": SECRET, "ClientRequestToken": STRAY }),
        json!({ "Step": "reconcile", "SecretId": STRAY }),
        json!({ "Step": "emergencyStop", "SecretId": STRAY }),
        json!({ "Step": "status", "SecretId": STRAY }),
        json!({ "Step": "status", "GracePeriod": STRAY }),
        json!({ "Step": "reconcile", "SecretId": format!("dp.st.prd.{STRAY}") }),
        json!({ "Step": "reconcile", "SecretId": SECRET, "GracePeriod": STRAY }),
        json!({ "Step": "reconcile", STRAY: STRAY }),
        json!({ "detail-type": STRAY, "source": STRAY, "resources": [STRAY], "detail": STRAY }),
        json!(STRAY),
    ] {
        let result = env.try_invoke(event).await;
        result.expect_err("it is not an event");
    }
    env.assert_no_value(&[STRAY], "an event");
    // The role is for no secret of that name.
    drop(env.roles.take_denials());
}

/// Returns every direct child process of `parent`, from the fields of each process's `stat` after
/// its name.
fn children(parent: u32) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").expect("there is /proc");
    let stats = processes.filter_map(|process| {
        // A process may end in the meantime.
        std::fs::read_to_string(process.ok()?.path().join("stat")).ok()
    });
    let is_child = |stat: &String| parent_and_faults(stat).is_some_and(|(of, _)| of == parent);
    stats.filter(is_child).collect()
}

/// Returns the parent of a process, and the page faults of its former children. (proc(5), `ppid`
/// and `cminflt`.)
fn parent_and_faults(stat: &str) -> Option<(u32, u64)> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<_> = fields.split(' ').collect();
    Some((fields.get(1)?.parse().ok()?, fields.get(8)?.parse().ok()?))
}

/// The environment and arguments of the process contain no values, and it starts no child process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_not_in_environment_or_arguments() {
    let env = most_verbose().await;
    let token = env.sandbox.begin_rotation(SECRET);
    env.try_steps(&token).await.expect("it succeeds");
    env.try_reconcile().await.expect("it succeeds");

    let pids = env.sandbox.function_pids();
    let [pid] = pids[..] else {
        panic!("{pids:?} is not one process");
    };
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).expect("the process runs");
    let (environment, arguments) = (read("environ"), read("cmdline"));
    let shown = [environment, arguments].concat();
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains(&format!("SECRET_ID={SECRET}")),
        "not that of the function"
    );
    for value in values(&env) {
        assert!(!shown.contains(&value), "a value is shown");
    }
    assert_eq!(children(pid), Vec::<String>::new());
    let stat = String::from_utf8_lossy(&read("stat")).into_owned();
    let (_, of_children) = parent_and_faults(&stat).expect("stat has the documented format");
    assert_eq!(of_children, 0, "the process had a child");
}
