//! Invalid input and faults. Each gives one clear error, keeps AWSCURRENT, and leaves Doppler with
//! a working key. A retry with the same token completes once the cause is fixed.

use std::time::{Duration, Instant, SystemTime};

use crate::support::{CONFIG, PROJECT, SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder};
use sandbox::doppler::{Access, Visibility};
use sandbox::{Fault, FaultKind, Options, Service};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

/// Starts an environment after its first rotation, so that there is a key that must not be lost.
async fn rotated(setup: TestEnvBuilder) -> TestEnv {
    let env = setup.start().await;
    env.rotate().await;
    env
}

/// Asserts the state after a failed step before promotion, and that the same token completes
/// afterwards.
async fn assert_safe_then_complete(env: &TestEnv, token: &str, before: &str) {
    env.sandbox.faults().clear();
    assert!(env.current_key() == before, "AWSCURRENT moved");
    for target in &env.targets {
        let held = env
            .doppler_value(target)
            .expect("the target was written before");
        assert_eq!(
            env.gateway_answer(&held).await,
            200,
            "Doppler hands out a key that does not work"
        );
    }
    assert_eq!(env.gateway_answer(before).await, 200);
    env.redeploy(&[]).await;
    env.retry(token).await;
    env.assert_agreement().await;
    assert!(env.current_key() != before);
    assert_eq!(
        env.sandbox.keys().len(),
        2,
        "a key was created twice, or lost"
    );
}

/// Injects a permanent fault into one operation of a second rotation, and expects this error in
/// this step.
async fn fails_with(
    setup: TestEnvBuilder,
    fault: Fault,
    step: &str,
    error_type: &str,
    words: &[&str],
) {
    let env = rotated(setup).await;
    let before = env.current_key();
    let handle = env.sandbox.faults().inject(fault.every());
    let (error, token) = env.rotate_and_fail(step).await;
    assert!(handle.fired() > 0, "the fault was never injected");
    assert_eq!(error.error_type, error_type, "{error}");
    for word in words {
        assert!(
            error.error_message.contains(word),
            "{word:?} is missing: {error}"
        );
    }
    assert_safe_then_complete(&env, &token, &before).await;
}

/// Injects a fault into one call of a second rotation, and expects that the rotation succeeds
/// anyway.
async fn survives(setup: TestEnvBuilder, fault: Fault) -> TestEnv {
    let env = rotated(setup).await;
    let handle = env.sandbox.faults().inject(fault.clone());
    env.rotate().await;
    assert_eq!(handle.fired(), 1, "{fault:?} was never injected");
    env.assert_agreement().await;
    assert_eq!(
        env.sandbox.keys().len(),
        2,
        "{fault:?}: a key was created twice, or lost"
    );
    env
}

const DOPPLER: Service = Service::Doppler;
const GATEWAY: Service = Service::Gateway;
const KEYS: Service = Service::ApiGateway;
const SECRETS: Service = Service::SecretsManager;

// Settings and events.

/// Every invocation reports all wrong settings at once and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_settings_are_reported_by_every_invocation() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let before = env.current_key();
    env.redeploy(&[
        ("DOPPLER_TARGETS", "hunter2"),
        ("PROPAGATION_DELAY", "soon"),
        ("PROBE_URL", "nowhere"),
        ("AWS_CA_BUNDLE", "/no/such/file"),
    ])
    .await;
    env.sandbox.clear_calls();
    let (error, token) = env.rotate_and_fail("createSecret").await;
    assert_eq!(error.error_type, "InvalidSettings");
    for variable in [
        "DOPPLER_TARGETS",
        "PROPAGATION_DELAY",
        "PROBE_URL",
        "AWS_CA_BUNDLE",
    ] {
        assert!(error.error_message.contains(variable), "{error}");
    }
    assert!(!error.error_message.contains("hunter2"), "{error}");
    assert!(env.sandbox.calls().is_empty());
    // Once at the start and once for the event, because a warm process reports only through
    // results.
    let logged = env
        .sandbox
        .function_log()
        .matches("\"InvalidSettings\"")
        .count();
    assert_eq!(logged, 2, "{}", env.sandbox.function_log());
    assert_safe_then_complete(&env, &token, &before).await;
}

/// An unusable certificate bundle is a wrong setting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusable_certificate_bundle_is_wrong_setting() {
    let env = rotated(TestEnvBuilder::quick()).await;
    for (variable, path) in [
        ("AWS_CA_BUNDLE", "/no/such/file"),
        ("SSL_CERT_FILE", "/dev/null"),
    ] {
        env.redeploy(&[(variable, path)]).await;
        let token = env.sandbox.begin_rotation(SECRET);
        let message = env
            .step_fails(&token, "createSecret", "InvalidSettings")
            .await;
        assert!(message.starts_with(variable), "{message}");
        env.sandbox
            .move_label(SECRET, "AWSPENDING", Some(&token), None);
    }
}

/// A malformed, empty, huge or deeply nested event gets a clear error, and the next one succeeds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_events_fail_and_next_is_served() {
    let env = TestEnvBuilder::quick().start().await;
    let huge = format!(r#"{{"Step":"{}"}}"#, "x".repeat(5_000_000));
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    for (event, error_type) in [
        (&b"{\"Step\":"[..], "MalformedEvent"),
        (b"", "MalformedEvent"),
        (b"\xff\xfe{}", "MalformedEvent"),
        (b"[1,2]", "MalformedEvent"),
        (b"{}", "MissingField"),
        (deep.as_bytes(), "MalformedEvent"),
        (huge.as_bytes(), "UnknownStep"),
    ] {
        let error = env
            .sandbox
            .invoke(event)
            .await
            .result
            .expect_err("the event is not valid");
        assert_eq!(error.error_type, error_type, "{error}");
        assert!(error.error_message.len() < 300, "{error}");
    }
    assert!(env.sandbox.calls().is_empty());
    env.rotate().await;
}

/// An unknown version, a version that is not pending, and disabled rotation are distinguished.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_tokens_and_disabled_rotation_are_distinguished() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let stranger = "99999999-9999-4999-8999-999999999999";
    let message = env
        .step_fails(stranger, "createSecret", "UnknownVersion")
        .await;
    assert!(message.contains("rotate-secret"), "{message}");

    let superseded = env
        .sandbox
        .secret(SECRET)
        .current()
        .expect("the version exists")
        .id
        .clone();
    env.rotate().await;
    for step in sandbox::STEPS {
        env.step_fails(&superseded, step, "NotPending").await;
    }

    let token = env.sandbox.begin_rotation(SECRET);
    env.sandbox.disable_rotation(SECRET);
    for step in sandbox::STEPS {
        env.step_fails(&token, step, "RotationDisabled").await;
    }
}

/// A step that comes too early names the missing step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn step_before_its_time_names_missing_one() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let token = env.sandbox.begin_rotation(SECRET);
    let message = env.step_fails(&token, "finishSecret", "NoPendingKey").await;
    assert!(message.contains("createSecret"), "{message}");
    env.step(&token, "createSecret").await;
    let message = env.step_fails(&token, "finishSecret", "KeyNotFound").await;
    assert!(message.contains("setSecret"), "{message}");
}

/// A secret that cannot be rotated is refused before any change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusable_secret_is_refused_before_any_change() {
    for text in [
        r#"{"apiKey":7}"#,
        r#"{"apiKey":"\ud800"}"#,
        "[]",
        "\"hunter2\"",
        r#"{"password":"hunter2""#,
    ] {
        let env = TestEnvBuilder {
            secret: Some(text.to_owned()),
            ..TestEnvBuilder::quick()
        }
        .start()
        .await;
        let (error, token) = env.rotate_and_fail("createSecret").await;
        assert_eq!(error.error_type, "InvalidSecret", "{error}");
        assert!(!error.error_message.contains("hunter2"), "{error}");
        assert!(env.sandbox.keys().is_empty());
        // The operator stores a valid value. That abandons the rotation, and the next one succeeds.
        env.sandbox.put_secret(SECRET, "{}");
        env.step_fails(&token, "createSecret", "UnknownVersion")
            .await;
        env.rotate().await;
        env.assert_agreement().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_bytes_is_refused() {
    let env = TestEnvBuilder::quick().start().await;
    let body = json!({ "SecretId": SECRET, "SecretBinary": "AAECAw==" });
    call_secrets_manager(&env, "PutSecretValue", &body).await;
    let (error, _) = env.rotate_and_fail("createSecret").await;
    assert_eq!(error.error_type, "InvalidSecret");
    assert!(error.error_message.contains("binary"), "{error}");
}

// Secrets Manager.

/// A refusal by Secrets Manager names a remedy and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_manager_refusal_says_remedy_and_changes_nothing() {
    for (operation, step) in [
        ("DescribeSecret", "createSecret"),
        ("GetSecretValue", "createSecret"),
        ("PutSecretValue", "createSecret"),
        ("UpdateSecretVersionStage", "finishSecret"),
    ] {
        let denied = FaultKind::refuse(
            400,
            "AccessDeniedException",
            "User is not authorized to perform this",
        );
        let words = [
            "AccessDeniedException",
            "not authorized to perform",
            "role",
            operation,
        ];
        fails_with(
            TestEnvBuilder::quick(),
            Fault::new(denied).on(SECRETS, operation),
            step,
            "SecretsManagerFailed",
            &words,
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_reply_of_secrets_manager_loses_nothing() {
    for operation in ["PutSecretValue", "UpdateSecretVersionStage"] {
        for kind in [
            FaultKind::LostReply,
            FaultKind::CutReply,
            FaultKind::ResetBefore,
        ] {
            survives(
                TestEnvBuilder::quick(),
                Fault::new(kind).on(SECRETS, operation),
            )
            .await;
        }
    }
    // The second of the two label moves removes AWSPENDING.
    survives(
        TestEnvBuilder::quick(),
        Fault::new(FaultKind::LostReply)
            .on(SECRETS, "UpdateSecretVersionStage")
            .nth(2),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn value_that_becomes_visible_late_is_waited_for() {
    let options = Options {
        read_lag: Duration::from_secs(2),
        list_lag: Duration::from_secs(2),
        ..Options::default()
    };
    let env = rotated(TestEnvBuilder {
        options,
        ..TestEnvBuilder::quick()
    })
    .await;
    env.rotate().await;
    env.assert_agreement().await;
}

/// `read_lag` is longer than the function waits. The message says so, and a later retry completes
/// the rotation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_value_invisible_for_long_says_so() {
    let options = Options {
        read_lag: Duration::from_secs(13),
        ..Options::default()
    };
    let env = TestEnvBuilder {
        options,
        ..TestEnvBuilder::quick()
    }
    .start()
    .await;
    let token = env.sandbox.begin_rotation(SECRET);
    env.step(&token, "createSecret").await;
    let message = env.step_fails(&token, "setSecret", "NoPendingKey").await;
    assert!(message.contains("not visible yet"), "{message}");
    tokio::time::sleep(Duration::from_secs(4)).await;
    env.retry(&token).await;
    env.assert_agreement().await;
}

// API Gateway.

/// `CreateUsagePlanKey` does not find the new key for 3 seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_key_invisible_to_plans_is_waited_for() {
    let options = Options {
        attach_lag: Duration::from_secs(3),
        ..Options::default()
    };
    let env = rotated(TestEnvBuilder {
        options,
        ..TestEnvBuilder::quick()
    })
    .await;
    let calls = env.sandbox.calls().into_iter();
    let refused = calls.filter(|call| call.operation == "CreateUsagePlanKey" && call.status == 404);
    assert!(refused.count() > 3, "the key was not searched for again");
    env.assert_agreement().await;
}

/// The function waits for 10 seconds at most. The next retry continues with the same key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_key_invisible_to_plans_for_long_fails() {
    let missing = FaultKind::refuse(
        404,
        "NotFoundException",
        "Invalid API Key identifier specified",
    );
    let fault = Fault::new(missing).on(KEYS, "CreateUsagePlanKey");
    let started = SystemTime::now();
    let words = ["Invalid API Key identifier", "the next attempt continues"];
    fails_with(
        TestEnvBuilder::quick(),
        fault,
        "setSecret",
        "ApiGatewayFailed",
        &words,
    )
    .await;
    let took = started.elapsed().expect("the clock did not go back");
    assert!(took > Duration::from_secs(9), "{took:?}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

/// A missing plan is not temporary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_plan_is_not_waited_for() {
    let env = rotated(TestEnvBuilder::quick()).await;
    env.redeploy(&[("USAGE_PLAN_IDS", "nosuchplan")]).await;
    env.sandbox.clear_calls();
    let (error, _) = env.rotate_and_fail("setSecret").await;
    assert!(error.error_message.contains("USAGE_PLAN_IDS"), "{error}");
    let calls = env.sandbox.calls().into_iter();
    let attached = calls.filter(|call| call.operation == "CreateUsagePlanKey");
    assert_eq!(attached.count(), 1);
}

/// Whatever happens to `CreateApiKey`, there is one key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_api_key_leaves_one_key_whatever_happens() {
    let broken = |effect, body: &str| FaultKind::Answer {
        status: 201,
        content_type: "application/json".to_owned(),
        body: body.to_owned().into(),
        effect,
    };
    for kind in [
        FaultKind::LostReply,
        FaultKind::CutReply,
        FaultKind::ResetBefore,
        FaultKind::refuse(500, "InternalServerError", "try again"),
        FaultKind::refuse(
            409,
            "ConflictException",
            "Unable to complete operation due to concurrent modification. Please try again later.",
        ),
        FaultKind::Throttle { retry_after: None },
        broken(true, r#"{"id":"#),
        broken(true, "<html>"),
        broken(true, "{}"),
        broken(true, ""),
        broken(false, r#"{"id":"#),
    ] {
        survives(
            TestEnvBuilder::quick(),
            Fault::new(kind).on(KEYS, "CreateApiKey"),
        )
        .await;
    }
}

/// A permanently malformed response to `CreateApiKey` is one clear error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_create_api_key_answer_is_one_error() {
    let kind = FaultKind::answer(
        201,
        "application/json",
        r#"{"id":"abc","value":"HandMadeHandMadeHandMade"#,
    );
    let env = rotated(TestEnvBuilder::quick()).await;
    let before = env.current_key();
    env.sandbox
        .faults()
        .inject(Fault::new(kind).on(KEYS, "CreateApiKey").every());
    let (error, token) = env.rotate_and_fail("setSecret").await;
    assert_eq!(error.error_type, "ApiGatewayFailed");
    assert!(
        error.error_message.contains("CreateApiKey") && !error.error_message.contains("HandMade"),
        "{error}"
    );
    assert_safe_then_complete(&env, &token, &before).await;
}

/// The cause of an ambiguous conflict of `CreateUsagePlanKey` is investigated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_plan_conflict_is_investigated() {
    let conflict = |message: &str| FaultKind::refuse(409, "ConflictException", message);
    // The key is already attached: the reply was lost, and the retry gets a conflict.
    survives(
        TestEnvBuilder::quick(),
        Fault::new(FaultKind::LostReply).on(KEYS, "CreateUsagePlanKey"),
    )
    .await;
    // The key is not attached: another request was in progress.
    survives(
        TestEnvBuilder::quick(),
        Fault::new(conflict(
            "Unable to complete operation due to concurrent modification.",
        ))
        .on(KEYS, "CreateUsagePlanKey"),
    )
    .await;
    survives(
        TestEnvBuilder::quick(),
        Fault::new(conflict("some other words")).on(KEYS, "CreateUsagePlanKey"),
    )
    .await;
    // The key cannot be attached, and waiting does not help.
    let setup = TestEnvBuilder {
        options: Options {
            function_timeout: Duration::from_secs(8),
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    };
    let fault = Fault::new(conflict("some other words")).on(KEYS, "CreateUsagePlanKey");
    let words = ["to usage plan", "only one usage plan per stage"];
    fails_with(setup, fault, "setSecret", "ApiGatewayFailed", &words).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_of_api_gateway_is_honoured() {
    let fault = Fault::new(FaultKind::Throttle {
        retry_after: Some(3),
    })
    .on(KEYS, "CreateApiKey");
    let env = survives(TestEnvBuilder::quick(), fault).await;
    assert_waited(&env, "CreateApiKey", Duration::from_secs(3));
}

/// `Retry-After` is honoured more than nine times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_is_honoured_beyond_nine_times() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let faults = env.sandbox.faults();
    for nth in 1..=11 {
        let limit = FaultKind::refuse(429, "LimitExceededException", "Rate exceeded");
        for kind in [limit, FaultKind::header("retry-after", "0")] {
            faults.inject(Fault::new(kind).on(KEYS, "CreateApiKey").nth(nth));
        }
    }
    env.rotate().await;
    env.assert_agreement().await;
    let calls = env.sandbox.calls().into_iter();
    let throttled = calls.filter(|call| call.operation == "CreateApiKey" && call.status == 429);
    assert_eq!(throttled.count(), 11);
}

/// A read of AWSCURRENT that lags behind an edit is not taken for another version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lagging_current_read_is_not_another_version() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let key = env.current_key();
    let secret = env.sandbox.secret(SECRET);
    let before = secret.current().expect("the secret was rotated");
    let edited = json!({ "apiKey": key, "note": "edited" }).to_string();
    env.sandbox.put_secret(SECRET, &edited);
    env.redeploy(&[]).await;
    let stale = json!({
        "ARN": secret.arn, "Name": SECRET, "VersionId": before.id, "SecretString": before.text,
        "VersionStages": ["AWSCURRENT"], "CreatedDate": 1_700_000_000,
    });
    let stale = FaultKind::answer(200, "application/x-amz-json-1.1", stale.to_string());
    // createSecret reads both versions, setSecret the pending one, testSecret both.
    let stale = Fault::new(stale).on(SECRETS, "GetSecretValue").nth(5);
    let handle = env.sandbox.faults().inject(stale);
    env.rotate().await;
    assert_eq!(handle.fired(), 1);
    env.assert_agreement().await;
    let secret = env.sandbox.secret(SECRET);
    let text = secret.current().and_then(|version| version.text.clone());
    assert!(
        text.is_some_and(|text| text.contains("edited")),
        "the edit is lost"
    );
}

/// Throttling and server errors are retried for every service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn throttling_and_server_errors_are_retried_everywhere() {
    for (service, operation) in [
        (SECRETS, "GetSecretValue"),
        (SECRETS, "PutSecretValue"),
        (KEYS, "CreateUsagePlanKey"),
        (KEYS, "GetApiKeys"),
        (KEYS, "UpdateApiKey"),
        (DOPPLER, "GetSecret"),
        (DOPPLER, "UpdateSecrets"),
    ] {
        for kind in [
            FaultKind::Throttle { retry_after: None },
            FaultKind::refuse(503, "ServiceUnavailable", "later"),
        ] {
            survives(
                TestEnvBuilder::quick(),
                Fault::new(kind).on(service, operation),
            )
            .await;
        }
    }
}

/// A missing plan is named, and the created key is used once the plan is corrected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_plan_is_named_and_key_reused() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let before = env.current_key();
    env.redeploy(&[("USAGE_PLAN_IDS", "nosuchplan")]).await;
    let (error, token) = env.rotate_and_fail("setSecret").await;
    assert_eq!(error.error_type, "ApiGatewayFailed");
    for words in ["to usage plan nosuchplan", "USAGE_PLAN_IDS"] {
        assert!(error.error_message.contains(words), "{error}");
    }
    let created = env.sandbox.keys().pop().expect("the key was created");
    assert_safe_then_complete(&env, &token, &before).await;
    let key = env
        .sandbox
        .key_with_value(&env.current_key())
        .expect("the key exists");
    assert_eq!(key.id, created.id);
    assert!(
        key.description.contains("Resumed at "),
        "completed late, so it settles late: {}",
        key.description
    );
}

/// A key that an operator disabled or removed from its plan is not handed out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabled_or_detached_key_is_not_handed_out() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let before = env.current_key();
    let token = env.sandbox.begin_rotation(SECRET);
    env.step(&token, "createSecret").await;
    env.step(&token, "setSecret").await;
    let created = env.sandbox.keys().pop().expect("the key was created").id;

    env.sandbox.detach_key(&created, &env.plans[0]);
    let message = env
        .step_fails(&token, "finishSecret", "KeyNotOnUsagePlan")
        .await;
    assert!(message.contains(&env.plans[0]), "{message}");
    env.step(&token, "setSecret").await;
    env.step(&token, "testSecret").await;

    env.sandbox.set_key_enabled(&created, false);
    for step in ["setSecret", "finishSecret"] {
        let message = env.step_fails(&token, step, "KeyDisabled").await;
        assert!(message.contains(&created), "{message}");
    }
    assert!(env.doppler_value("PARTNER_API_KEY").as_deref() == Some(&before));
    env.sandbox.set_key_enabled(&created, true);
    assert_safe_then_complete(&env, &token, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_value_that_is_anothers_key_is_refused() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let token = env.sandbox.begin_rotation(SECRET);
    env.step(&token, "createSecret").await;
    let pending = env.key_in("AWSPENDING").expect("the pending key is stored");
    let id = env.sandbox.create_key("foreign", &pending, &[]);
    let message = env.step_fails(&token, "setSecret", "KeyNotManaged").await;
    assert!(message.contains(&id), "{message}");
}

/// A new key without a plan does not supersede a working key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planless_new_key_replaces_no_working_one() {
    let manual = "HandMadeHandMadeHandMade";
    let env = TestEnvBuilder {
        secret: Some(manual.to_owned()),
        ..TestEnvBuilder::quick()
    }
    .inheriting()
    .start()
    .await;
    let id = env.sandbox.create_key("manual", manual, &[]);
    let (error, token) = env.rotate_and_fail("setSecret").await;
    assert_eq!(error.error_type, "NoUsagePlan");
    assert_eq!(env.sandbox.keys().len(), 1, "a key was created");
    assert!(env.current_key() == manual);
    env.sandbox.attach_key(&id, &env.plans[0]);
    env.retry(&token).await;
    env.assert_agreement().await;
}

/// A `Retry-After` of AWS beyond the deadline fails at once with the service's message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aws_retry_after_beyond_deadline_fails_at_once() {
    let started = SystemTime::now();
    for wait in [3_600, u64::MAX] {
        let throttle = FaultKind::Throttle {
            retry_after: Some(wait),
        };
        let fault = Fault::new(throttle).on(KEYS, "CreateApiKey");
        let words = ["TooManyRequestsException", "429"];
        fails_with(
            TestEnvBuilder::quick(),
            fault,
            "setSecret",
            "ApiGatewayFailed",
            &words,
        )
        .await;
    }
    assert!(started.elapsed().expect("the clock did not go back") < Duration::from_secs(30));
}

/// A pending version with a copy or a placeholder is refused with a remedy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pending_copy_or_placeholder_is_refused() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let before = env.current_key();
    let text = env
        .sandbox
        .secret(SECRET)
        .current()
        .and_then(|version| version.text.clone());
    for held in [
        text.expect("the version holds a key"),
        "a-placeholder".to_owned(),
    ] {
        let token = env.sandbox.begin_rotation(SECRET);
        let body = json!({
            "SecretId": SECRET, "ClientRequestToken": token, "SecretString": held, "VersionStages": ["AWSPENDING"],
        });
        call_secrets_manager(&env, "PutSecretValue", &body).await;
        let message = env
            .step_fails(&token, "createSecret", "PendingValueNotNew")
            .await;
        assert!(message.contains("update-secret-version-stage"), "{message}");
        env.sandbox
            .move_label(SECRET, "AWSPENDING", Some(&token), None);
    }
    env.rotate().await;
    env.assert_agreement().await;
    assert!(env.current_key() != before);
}

/// A missing current version is not taken for an empty secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_current_value_is_not_empty_secret() {
    let env = rotated(TestEnvBuilder {
        secret: Some(r#"{"owner":"us"}"#.to_owned()),
        ..TestEnvBuilder::quick()
    })
    .await;
    let before = env.current_key();
    let missing = || {
        FaultKind::refuse(
            400,
            "ResourceNotFoundException",
            "Secrets Manager can't find it",
        )
    };
    // The second read of `createSecret` is that of the current version. Once, because it is
    // retried.
    env.sandbox
        .faults()
        .inject(Fault::new(missing()).on(SECRETS, "GetSecretValue").nth(2));
    env.rotate().await;
    env.assert_agreement().await;
    assert!(env.current_key() != before);

    let before = env.current_key();
    let token = env.sandbox.begin_rotation(SECRET);
    env.sandbox
        .faults()
        .inject(Fault::new(missing()).on(SECRETS, "GetSecretValue").every());
    env.step_fails(&token, "createSecret", "CurrentValueNotFound")
        .await;
    assert!(env.current_key() == before);
    env.sandbox.faults().clear();
    env.retry(&token).await;
    let text = env
        .sandbox
        .secret(SECRET)
        .current()
        .and_then(|version| version.text.clone());
    assert!(
        text.expect("the version has a value")
            .starts_with(r#"{"owner":"us","#)
    );
}

// Doppler.

/// A refused Doppler token is named with the secret to correct.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_doppler_token_is_named_with_secret() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let before = env.current_key();
    env.sandbox.doppler().revoke(&env.token);
    let (error, token) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "DopplerTokenRejected");
    assert!(
        error.error_message.contains("DOPPLER_TOKEN_SECRET_ID"),
        "{error}"
    );
    // The function keeps running; the new token is read without a new deployment.
    let renewed = env
        .sandbox
        .doppler()
        .service_token(PROJECT, CONFIG, Access::ReadWrite);
    env.sandbox
        .put_secret(TOKEN_SECRET, &json!({ "token": renewed }).to_string());
    env.retry(&token).await;
    env.assert_agreement().await;
    assert!(env.current_key() != before);
}

/// A secret without a Doppler token is distinguished from a refused token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_doppler_token_differs_from_refused() {
    for text in ["{\"tokn\":\"dp.st.x\"}", "two words"] {
        let env = rotated(TestEnvBuilder::quick()).await;
        env.sandbox.put_secret(TOKEN_SECRET, text);
        env.redeploy(&[]).await;
        let (error, _) = env.rotate_and_fail("testSecret").await;
        assert_eq!(error.error_type, "InvalidDopplerToken");
        assert!(!error.error_message.contains(text), "{error}");
    }
}

/// A Doppler target that the token cannot see has its own error, for both of Doppler's messages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_doppler_target_has_own_error() {
    for (status, message) in [
        (
            400,
            "This token does not have access to requested project 'acme'",
        ),
        (404, "Could not find requested project 'acme'"),
    ] {
        let fault = Fault::new(FaultKind::refuse(status, "", message)).on(DOPPLER, "GetSecret");
        fails_with(
            TestEnvBuilder::quick(),
            fault,
            "testSecret",
            "DopplerTargetNotFound",
            &["DOPPLER_TARGETS", message],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_token_fails_before_promotion() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let before = env.current_key();
    let read_only = env
        .sandbox
        .doppler()
        .service_token(PROJECT, CONFIG, Access::ReadOnly);
    env.sandbox.put_secret(TOKEN_SECRET, &read_only);
    env.redeploy(&[]).await;
    let (error, token) = env.rotate_and_fail("finishSecret").await;
    assert_eq!(error.error_type, "DopplerFailed");
    let target = format!("to the Doppler target {PROJECT}/{CONFIG}/PARTNER_API_KEY");
    for words in [target.as_str(), "read/write"] {
        assert!(error.error_message.contains(words), "{error}");
    }
    // The process keeps running: the new token is read without a new deployment.
    env.sandbox.put_secret(TOKEN_SECRET, &env.token);
    env.retry(&token).await;
    env.assert_agreement().await;
    assert!(env.current_key() != before);
}

/// A personal token that cannot see a restricted value is refused before any write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restricted_value_is_refused_before_any_write() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let before = env.current_key();
    let doppler = env.sandbox.doppler();
    doppler.set_visibility(PROJECT, CONFIG, "PARTNER_API_KEY", Visibility::Restricted);
    env.sandbox
        .put_secret(TOKEN_SECRET, &doppler.personal_token());
    env.redeploy(&[]).await;
    let (error, token) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "DopplerValueNotVisible");
    assert!(error.error_message.contains("service token"), "{error}");
    env.sandbox.put_secret(TOKEN_SECRET, &env.token);
    assert_safe_then_complete(&env, &token, &before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_of_doppler_is_honoured() {
    let fault = Fault::new(FaultKind::Throttle {
        retry_after: Some(3),
    })
    .on(DOPPLER, "UpdateSecrets");
    let env = survives(TestEnvBuilder::quick(), fault).await;
    assert_waited(&env, "UpdateSecrets", Duration::from_secs(3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retry_after_beyond_deadline_fails_at_once() {
    let started = SystemTime::now();
    let fault = Fault::new(FaultKind::Throttle {
        retry_after: Some(3_600),
    })
    .on(DOPPLER, "UpdateSecrets");
    fails_with(
        TestEnvBuilder::quick(),
        fault,
        "finishSecret",
        "DopplerFailed",
        &["429"],
    )
    .await;
    assert!(started.elapsed().expect("the clock did not go back") < Duration::from_secs(30));
}

/// A response that is not Doppler's JSON or lacks `success` is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_json_from_doppler_is_refused() {
    let html = FaultKind::answer(200, "text/html", "<html>HandMadeHandMadeHandMade</html>");
    let fault = Fault::new(html).on(DOPPLER, "UpdateSecrets");
    fails_with(
        TestEnvBuilder::quick(),
        fault,
        "finishSecret",
        "DopplerFailed",
        &["JSON"],
    )
    .await;
    let no = FaultKind::answer(
        200,
        "application/json",
        r#"{"success":false,"messages":["the config is protected"]}"#,
    );
    let fault = Fault::new(no).on(DOPPLER, "UpdateSecrets");
    fails_with(
        TestEnvBuilder::quick(),
        fault,
        "finishSecret",
        "DopplerFailed",
        &["the config is protected"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn html_from_dopplers_edge_is_retried() {
    let html = FaultKind::answer(502, "text/html", "<html>Bad gateway</html>");
    survives(
        TestEnvBuilder::quick(),
        Fault::new(html).on(DOPPLER, "UpdateSecrets"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn value_that_doppler_delivers_changed_stops_rotation() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let before = env.current_key();
    let altered = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true));
    let alter = std::sync::Arc::clone(&altered);
    env.sandbox
        .doppler()
        .alter_writes(PROJECT, CONFIG, "PARTNER_API_KEY", move |value| {
            let still = alter.load(std::sync::atomic::Ordering::SeqCst);
            if still {
                "${DOPPLER_PROJECT}".to_owned()
            } else {
                value.to_owned()
            }
        });
    let (error, token) = env.rotate_and_fail("finishSecret").await;
    assert_eq!(error.error_type, "DopplerValueMismatch");
    assert!(
        error.error_message.contains("acme/prd/PARTNER_API_KEY"),
        "{error}"
    );
    assert!(env.current_key() == before);
    altered.store(false, std::sync::atomic::Ordering::SeqCst);
    env.retry(&token).await;
    env.assert_agreement().await;
}

/// Promotion is the commit point. A later failure of Doppler is reported and does not fail the
/// step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failing_doppler_after_promotion_fails_nothing() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let token = env.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret", "testSecret"] {
        env.step(&token, step).await;
    }
    // In `finishSecret` the only read of a target comes after promotion.
    let denied = FaultKind::refuse(403, "", "no");
    let handle = env
        .sandbox
        .faults()
        .inject(Fault::new(denied).on(DOPPLER, "GetSecret").every());
    let report = env.step(&token, "finishSecret").await;
    assert_eq!(handle.fired(), 1);
    assert!(
        report["issues"][0]
            .as_str()
            .is_some_and(|left| left.contains("acme/prd/PARTNER_API_KEY")),
        "{report}"
    );
    env.assert_agreement().await;

    // The next `finishSecret` does the rest.
    let unmarked = |env: &TestEnv| {
        env.sandbox
            .keys()
            .iter()
            .filter(|key| !key.description.contains("Superseded"))
            .count()
    };
    assert_eq!(
        unmarked(&env),
        2,
        "a target that cannot be read may hold any key"
    );
    env.sandbox.faults().clear();
    let report = env.step(&token, "finishSecret").await;
    assert_eq!(
        (unmarked(&env), report["issues"].as_array().map(Vec::len)),
        (1, Some(0)),
        "{report}"
    );
}

/// A target that changed between write and promotion is written again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn target_changed_before_promotion_is_rewritten() {
    let env = std::sync::Arc::new(rotated(TestEnvBuilder::quick()).await);
    let old = env.current_key();
    let hook = {
        let env = std::sync::Arc::clone(&env);
        FaultKind::before(move || {
            env.sandbox
                .doppler()
                .set_value(PROJECT, CONFIG, "PARTNER_API_KEY", &old);
            async {}
        })
    };
    let handle = env
        .sandbox
        .faults()
        .inject(Fault::new(hook).on(SECRETS, "UpdateSecretVersionStage"));
    env.rotate().await;
    assert_eq!(handle.fired(), 1);
    env.assert_agreement().await;
    env.sandbox.faults().clear();
}

// Labels that move during a step.

/// A value that is put manually before promotion wins, and Doppler gets the current key again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn value_put_manually_before_promotion_wins() {
    let env = std::sync::Arc::new(
        rotated(TestEnvBuilder {
            secret: Some("{}".to_owned()),
            ..TestEnvBuilder::quick()
        })
        .await,
    );
    let before = env.current_key();
    let manual = json!({ "apiKey": before, "edited": true }).to_string();
    let hook = {
        let env = std::sync::Arc::clone(&env);
        FaultKind::before(move || {
            env.sandbox.put_secret(SECRET, &manual);
            async {}
        })
    };
    env.sandbox
        .faults()
        .inject(Fault::new(hook).on(SECRETS, "UpdateSecretVersionStage"));
    let (error, _) = env.rotate_and_fail("finishSecret").await;
    assert!(
        ["NotPending", "UnknownVersion"].contains(&error.error_type.as_str()),
        "{error}"
    );
    env.sandbox.faults().clear();
    assert!(env.current_key() == before);
    assert!(
        env.doppler_value("PARTNER_API_KEY").as_deref() == Some(&before),
        "Doppler kept the abandoned key"
    );
    env.rotate().await;
    env.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn label_moved_by_another_run_is_seen() {
    let env = std::sync::Arc::new(rotated(TestEnvBuilder::quick()).await);
    let token = env.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret", "testSecret"] {
        env.step(&token, step).await;
    }
    let hook = {
        let (env, token) = (std::sync::Arc::clone(&env), token.clone());
        FaultKind::before(move || {
            let from = env
                .sandbox
                .secret(SECRET)
                .current()
                .expect("the version exists")
                .id
                .clone();
            env.sandbox
                .move_label(SECRET, "AWSCURRENT", Some(&from), Some(&token));
            async {}
        })
    };
    env.sandbox
        .faults()
        .inject(Fault::new(hook).on(SECRETS, "UpdateSecretVersionStage"));
    env.step(&token, "finishSecret").await;
    env.sandbox.faults().clear();
    env.assert_agreement().await;
}

// The probe.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_url_that_is_wrong_fails_at_once() {
    for status in [404, 400, 401, 302] {
        let kind = FaultKind::answer(status, "application/json", "{}");
        let fault = Fault::new(kind).on(GATEWAY, "Probe");
        fails_with(
            TestEnvBuilder::default(),
            fault,
            "testSecret",
            "ProbeRejected",
            &["PROBE_URL", &status.to_string()],
        )
        .await;
    }
}

/// A probe that never accepts fails before the function is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusing_probe_fails_before_timeout() {
    let options = || Options {
        function_timeout: Duration::from_secs(8),
        ..Options::default()
    };
    let refuse = |code| FaultKind::refuse(403, code, "no");
    let wrong_path = "MissingAuthenticationTokenException";
    let denied = "AccessDeniedException";
    for (kind, words) in [
        (FaultKind::answer(403, "application/json", "{}"), "403"),
        (FaultKind::answer(500, "application/json", "{}"), "500"),
        (FaultKind::answer(429, "application/json", "{}"), "429"),
        (FaultKind::answer(403, "text/html", "<HTML>"), "firewall"),
        (refuse("ForbiddenException"), "usage plan"),
        (refuse(wrong_path), wrong_path),
        (refuse(denied), denied),
    ] {
        let setup = TestEnvBuilder {
            options: options(),
            ..TestEnvBuilder::default()
        };
        let fault = Fault::new(kind).on(GATEWAY, "Probe");
        fails_with(
            setup,
            fault,
            "testSecret",
            "ProbeNotAccepted",
            &[words, "PROBE_URL"],
        )
        .await;
    }
    // One that hangs is stopped by the deadline.
    let setup = TestEnvBuilder {
        options: options(),
        ..TestEnvBuilder::default()
    };
    let fault = Fault::new(FaultKind::Delay(Duration::from_mins(1))).on(GATEWAY, "Probe");
    fails_with(
        setup,
        fault,
        "testSecret",
        "ProbeNotAccepted",
        &["last answer"],
    )
    .await;
}

/// Returns the probe URL of another method of the API.
fn another_method(env: &TestEnv, path: &str) -> String {
    format!("{}/{}/{path}", env.sandbox.gateway_url(), sandbox::STAGE)
}

/// A method that requires no key accepts a new key at once, before consumers can use it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_without_protection_fails_at_once() {
    let env = rotated(TestEnvBuilder::default()).await;
    let before = env.current_key();
    let url = another_method(&env, "open");
    env.redeploy(&[("PROBE_URL", &url)]).await;
    env.sandbox.clear_calls();
    let (error, token) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "ProbeNotProtected", "{error}");
    for word in ["PROBE_URL answered 200", "random key"] {
        assert!(error.error_message.contains(word), "{error}");
    }
    assert_eq!(probes(&env), 1, "the new key was sent to it");
    assert_safe_then_complete(&env, &token, &before).await;
}

/// A deployment's temporary response is retried. If it lasts for 15 seconds, it ends the step long
/// before the deadline.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_lasting_answer_ends_the_step_early() {
    let fails = |path: &'static str, words: [&'static str; 2]| async move {
        let env = rotated(TestEnvBuilder::default()).await;
        let before = env.current_key();
        let url = another_method(&env, path);
        env.redeploy(&[("PROBE_URL", &url)]).await;
        let began = Instant::now();
        let (error, token) = env.rotate_and_fail("testSecret").await;
        let took = began.elapsed();
        assert_eq!(error.error_type, "ProbeRejected", "{error}");
        for word in words {
            assert!(error.error_message.contains(word), "{error}");
        }
        assert!(took > Duration::from_secs(15), "after {took:?}");
        assert!(took < Duration::from_secs(40), "after {took:?}");
        assert_safe_then_complete(&env, &token, &before).await;
    };
    tokio::join!(
        fails(
            "nosuchpath",
            ["403 MissingAuthenticationTokenException", "path"]
        ),
        fails("denied", ["403 AccessDeniedException", "resource policy"]),
    );
}

/// Temporary responses are retried: those of a deployment in progress, a firewall, a throttle and
/// an outage.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_passing_answer_to_random_key_is_polled() {
    let refuse = |code| FaultKind::refuse(403, code, "no");
    for kind in [
        refuse("MissingAuthenticationTokenException"),
        refuse("AccessDeniedException"),
        FaultKind::answer(403, "text/html; charset=utf-8", "<HTML>"),
        FaultKind::Throttle { retry_after: None },
        FaultKind::answer(503, "application/json", "{}"),
        FaultKind::ResetBefore,
    ] {
        let env = rotated(TestEnvBuilder::default()).await;
        env.sandbox.clear_calls();
        let fault = Fault::new(kind.clone()).on(GATEWAY, "Probe");
        env.sandbox.faults().inject(fault);
        env.rotate().await;
        assert_eq!(
            probes(&env),
            5,
            "{kind:?}, a random key, and three times the new one"
        );
        env.assert_agreement().await;
    }
}

/// The body is ignored. An endless one costs neither time nor memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_endless_body_is_not_read() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let address = listener.local_addr().expect("the listener is bound");
    let server = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n";
            client.write_all(head).await.ok();
            while client.write_all(&[b'x'; 4096]).await.is_ok() {}
        }
    });
    let env = rotated(TestEnvBuilder::default()).await;
    let url = format!("http://{address}/");
    env.redeploy(&[("PROBE_URL", &url)]).await;
    let began = Instant::now();
    let (error, _) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "ProbeNotProtected", "{error}");
    // A body that is read ends this at the function's timeout of five minutes.
    let took = began.elapsed();
    assert!(took < Duration::from_mins(1), "after {took:?}");
    server.abort();
}

/// Returns how often the probed API was called.
fn probes(env: &TestEnv) -> usize {
    let calls = env.sandbox.calls().into_iter();
    calls.filter(|call| call.service == GATEWAY).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acceptance_followed_by_refusal_does_not_count() {
    let env = rotated(TestEnvBuilder::default()).await;
    let refused = FaultKind::answer(403, "application/json", "{}");
    env.sandbox
        .faults()
        .inject(Fault::new(refused).on(GATEWAY, "Probe").nth(4));
    env.sandbox.clear_calls();
    env.rotate().await;
    assert_eq!(
        probes(&env),
        7,
        "a random key, two acceptances, a refusal, and then three in a row"
    );
}

// Time.

/// A step ends in time and says what it was doing, and a retry continues from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn step_ends_in_time_and_retry_continues() {
    let options = || Options {
        function_timeout: Duration::from_secs(6),
        ..Options::default()
    };
    for (service, operation, step) in [
        (SECRETS, "PutSecretValue", "createSecret"),
        (KEYS, "CreateApiKey", "setSecret"),
        (DOPPLER, "GetSecret", "testSecret"),
        (DOPPLER, "UpdateSecrets", "finishSecret"),
    ] {
        let fault = Fault::new(FaultKind::Delay(Duration::from_mins(1))).on(service, operation);
        fails_with(
            TestEnvBuilder {
                options: options(),
                ..TestEnvBuilder::quick()
            },
            fault,
            step,
            "DeadlineExceeded",
            &["ran out of time"],
        )
        .await;
    }
}

/// A key that cannot settle before the deadline fails at once and reports the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_too_young_for_deadline_fails_at_once() {
    let env = rotated(TestEnvBuilder::quick()).await;
    let before = env.current_key();
    env.redeploy(&[("PROPAGATION_DELAY", "2h")]).await;
    let (error, token) = env.rotate_and_fail("finishSecret").await;
    assert_eq!(error.error_type, "PropagationExceedsDeadline");
    let created = env.sandbox.keys().pop().expect("the key was created").id;
    env.sandbox.age_key(&created, Duration::from_hours(3));
    assert_safe_then_complete(&env, &token, &before).await;
}

// Killed processes.

/// A function that is killed before or after any call is resumed with the same token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_function_is_resumed_with_same_token() {
    let env = rotated(TestEnvBuilder::quick()).await;
    env.sandbox.clear_calls();
    env.rotate().await;
    let calls: Vec<_> = env
        .sandbox
        .calls()
        .into_iter()
        .map(|call| (call.service, call.operation))
        .collect();
    assert!(calls.len() > 15, "{calls:?}");

    for (index, (service, operation)) in calls.iter().enumerate() {
        for kind in [FaultKind::KillBefore, FaultKind::KillAfter] {
            let keys = env.sandbox.keys().len();
            let before = env.current_key();
            // A cold start each time, so that the calls and their order stay the same.
            env.redeploy(&[]).await;
            let handle = env
                .sandbox
                .faults()
                .inject(Fault::new(kind.clone()).nth(index + 1));
            let token = env.sandbox.rotate(SECRET);
            let outcome = env.sandbox.rotation(&token).await;
            let what = format!("{kind:?} at call {index}, {operation} of {service}");
            assert_eq!(handle.fired(), 1, "{what} was never injected");
            assert!(!outcome.succeeded, "{what} was survived by a dead process");
            for held in [
                env.current_key(),
                env.doppler_value("PARTNER_API_KEY")
                    .expect("the key was mirrored"),
            ] {
                assert_eq!(
                    env.gateway_answer(&held).await,
                    200,
                    "{what}: a key that does not work is handed out"
                );
            }
            env.sandbox.faults().clear();
            env.retry(&token).await;
            env.assert_agreement().await;
            assert!(env.current_key() != before, "{what}");
            let keys_now = env.sandbox.keys();
            assert_eq!(
                keys_now.len(),
                keys + 1,
                "{what}: a key too many, or too few"
            );
            let unmarked = keys_now
                .iter()
                .filter(|key| !key.description.contains("Superseded"))
                .count();
            assert_eq!(unmarked, 1, "{what}: a superseded key has no mark");
        }
    }
}

/// Asserts that the last two calls of `operation` were at least `pause` apart.
fn assert_waited(env: &TestEnv, operation: &str, pause: Duration) {
    let times: Vec<_> = env
        .sandbox
        .calls()
        .into_iter()
        .filter(|call| call.operation == operation)
        .map(|call| call.at)
        .collect();
    let [.., first, second] = times[..] else {
        panic!("{operation} was not repeated")
    };
    let waited = second
        .duration_since(first)
        .expect("the call log is in order");
    assert!(waited >= pause, "it waited {waited:?}");
}

/// Calls the sandbox's Secrets Manager as an operator's client does, and asserts that it succeeds.
async fn call_secrets_manager(env: &TestEnv, operation: &str, body: &serde_json::Value) {
    let request = http::Request::post(env.sandbox.aws_url())
        .header(
            "authorization",
            "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/secretsmanager/aws4_request",
        )
        .header("x-amz-target", format!("secretsmanager.{operation}"))
        .header("content-type", "application/x-amz-json-1.1");
    let request = request
        .body(body.to_string())
        .expect("the request is valid");
    let answer = sandbox::http_client::send(request)
        .await
        .expect("the sandbox responds");
    assert_eq!(answer.status(), 200, "{operation}");
}
