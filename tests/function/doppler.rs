//! Doppler beyond the ordinary: targets whose project, environment or config is missing, rate
//! limits, and what a write preserves.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::support::{CONFIG, PROJECT, SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder};
use sandbox::doppler::Visibility;
use sandbox::{Event, Fault, FaultKind, Options, STEPS, Service};
use serde_json::json;

const DOPPLER: Service = Service::Doppler;
const KEY: &str = "PARTNER_API_KEY";

/// Starts an environment with this target besides `acme/prd/PARTNER_API_KEY`, and a service
/// account's token.
async fn with_target(setup: TestEnvBuilder, target: &str) -> TestEnv {
    let targets = format!("{PROJECT}/{CONFIG}/{KEY},{target}");
    let env = setup.env("DOPPLER_TARGETS", &targets).start().await;
    store_token(&env, &env.sandbox.doppler().service_account_token());
    env
}

/// As `with_target`, with `DOPPLER_CREATE_MISSING`.
async fn creating(setup: TestEnvBuilder, target: &str) -> TestEnv {
    with_target(setup.env("DOPPLER_CREATE_MISSING", "true"), target).await
}

fn store_token(env: &TestEnv, token: &str) {
    env.sandbox.put_secret(TOKEN_SECRET, token);
}

/// Returns the operations that Doppler received, in order.
fn received(env: &TestEnv) -> Vec<String> {
    let calls = env.sandbox.calls().into_iter();
    calls
        .filter(|call| call.service == DOPPLER)
        .map(|call| call.operation)
        .collect()
}

/// Returns when each call of `operation` arrived, and its status.
fn answers(env: &TestEnv, operation: &str) -> Vec<(SystemTime, u16)> {
    let calls = env.sandbox.calls().into_iter();
    calls
        .filter(|call| call.operation == operation)
        .map(|call| (call.at, call.status))
        .collect()
}

fn statuses(env: &TestEnv, operation: &str) -> Vec<u16> {
    let answers = answers(env, operation).into_iter();
    answers.map(|(_, status)| status).collect()
}

/// Asserts that `project/config/NAME` holds the current key, in a project with exactly these
/// configs.
fn assert_mirrored(env: &TestEnv, target: &str, configs: &[&str]) {
    let ([project, config, name] | [project, _, config, name]) =
        target.split('/').collect::<Vec<_>>()[..]
    else {
        panic!("{target} is not a target")
    };
    let doppler = env.sandbox.doppler();
    assert_eq!(
        doppler.configs(project),
        Some(configs.iter().map(ToString::to_string).collect())
    );
    assert!(
        doppler.value(project, config, name).as_ref() == Some(&env.current_key()),
        "{target} is another key"
    );
}

// Targets that the token cannot see.

/// A missing or hidden target is named with a remedy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_target_is_named_with_remedy() {
    for (target, seen, words) in [
        (
            "shop/prd/KEY",
            &[][..],
            "404 Not Found (Could not find requested project 'acme')",
        ),
        (
            "shop/prd/KEY",
            &[PROJECT],
            "400 Bad Request (This token does not have access to requested project 'shop')",
        ),
        (
            "acme/prd_eu/KEY",
            &[PROJECT],
            "404 Not Found (Could not find requested config 'prd_eu')",
        ),
    ] {
        let env = with_target(TestEnvBuilder::quick(), target).await;
        let doppler = env.sandbox.doppler();
        let token = doppler.service_account_token();
        doppler.restrict_to_projects(&token, seen);
        store_token(&env, &token);

        let (error, rotation) = env.rotate_and_fail("testSecret").await;
        assert_eq!(error.error_type, "DopplerTargetNotFound");
        // A token that sees nothing does not see the first target either.
        let named = if seen.is_empty() {
            "acme/prd/KEY"
        } else {
            target
        };
        let (project, rest) = named.split_once('/').expect("the text is a target");
        let config = rest.trim_end_matches("/KEY");
        let place = format!("project {project} or its config {config} is missing in Doppler");
        for part in [
            place.as_str(),
            words,
            "DOPPLER_TARGETS",
            "DOPPLER_CREATE_MISSING=true",
            "service account",
        ] {
            assert!(
                error.error_message.contains(part),
                "{part:?} is missing: {error}"
            );
        }
        let created = received(&env)
            .into_iter()
            .find(|call| call.starts_with("Create"));
        assert_eq!(created, None);

        // Once the token sees the target, the same version completes.
        if doppler.configs("shop").is_none() {
            doppler.create_project("shop");
        }
        doppler.create_branch_config(PROJECT, "prd", "prd_eu");
        store_token(&env, &doppler.service_account_token());
        env.retry(&rotation).await;
        env.assert_agreement().await;
    }
}

/// A missing project is created with the one environment and its root config.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_project_is_created_with_one_environment() {
    let env = creating(TestEnvBuilder::quick(), "shop/prd/KEY").await;
    let token = env.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret", "testSecret"] {
        env.step(&token, step).await;
    }
    assert_eq!(
        env.sandbox.doppler().configs("shop"),
        None,
        "a read created something"
    );
    env.sandbox.clear_calls();
    env.step(&token, "finishSecret").await;
    env.assert_agreement().await;
    assert_mirrored(&env, "shop/prd/KEY", &["prd"]);
    assert_eq!(
        received(&env),
        [
            "UpdateSecrets",
            "UpdateSecrets",
            "ListEnvironments",
            "CreateProject",
            "CreateEnvironment",
            "UpdateSecrets",
            "GetSecret",
            "GetSecret",
        ]
    );

    // After that it is a target like any other.
    env.sandbox.clear_calls();
    env.rotate().await;
    assert_mirrored(&env, "shop/prd/KEY", &["prd"]);
    assert_eq!(
        received(&env),
        [
            "GetSecret",
            "GetSecret",
            "UpdateSecrets",
            "UpdateSecrets",
            "GetSecret",
            "GetSecret",
        ]
    );
}

/// Only the missing parts of a branch config are created, and the rest stays unchanged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_missing_parts_of_branch_are_created() {
    for (target, configs, created) in [
        (
            "acme/prd_eu/KEY",
            &["dev", "prd", "prd_eu", "stg"][..],
            // One read before anything is written, and one before anything is created.
            &["ListEnvironments", "ListEnvironments", "CreateConfig"][..],
        ),
        (
            "acme/prd/prd_eu/KEY",
            &["dev", "prd", "prd_eu", "stg"],
            &["ListEnvironments", "CreateConfig"],
        ),
        (
            "acme/qa/qa_eu_1/KEY",
            &["dev", "prd", "qa", "qa_eu_1", "stg"],
            &["ListEnvironments", "CreateEnvironment", "CreateConfig"],
        ),
        (
            "acme/qa/KEY",
            &["dev", "prd", "qa", "stg"],
            &["ListEnvironments", "CreateEnvironment"],
        ),
        (
            "shop/qa_eu/qa_eu_1/KEY",
            &["qa_eu", "qa_eu_1"],
            &[
                "ListEnvironments",
                "CreateProject",
                "CreateEnvironment",
                "CreateConfig",
            ],
        ),
    ] {
        let env = creating(TestEnvBuilder::quick(), target).await;
        let doppler = env.sandbox.doppler();
        doppler.set_value(PROJECT, CONFIG, "OTHER", "kept");
        env.rotate().await;
        env.assert_agreement().await;
        assert_mirrored(&env, target, configs);
        assert_eq!(
            doppler.value(PROJECT, CONFIG, "OTHER").as_deref(),
            Some("kept")
        );
        let mut calls = received(&env);
        calls.retain(|call| !call.ends_with("Secret") && !call.ends_with("Secrets"));
        assert_eq!(calls, created);
    }
}

/// Creation survives a lost reply and a killed process at any call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creating_survives_lost_reply_and_any_death() {
    let target = "shop/prd/prd_eu/KEY";
    for operation in [
        "ListEnvironments",
        "CreateProject",
        "CreateEnvironment",
        "CreateConfig",
    ] {
        for kind in [FaultKind::LostReply, FaultKind::KillAfter] {
            let env = creating(TestEnvBuilder::quick(), target).await;
            let fault = Fault::new(kind.clone()).on(DOPPLER, operation);
            let handle = env.sandbox.faults().inject(fault);
            let token = env.sandbox.rotate(SECRET);
            let outcome = env.sandbox.rotation(&token).await;
            assert_eq!(
                handle.fired(),
                1,
                "{kind:?} at {operation} was never injected"
            );
            let killed = matches!(kind, FaultKind::KillAfter);
            assert_eq!(
                outcome.succeeded,
                !killed,
                "{kind:?} at {operation}: {:?}",
                outcome.error()
            );
            if killed {
                env.retry(&token).await;
            }
            env.assert_agreement().await;
            assert_mirrored(&env, target, &["prd", "prd_eu"]);
        }
    }
}

/// Two concurrent runs that create the same config both succeed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_creating_same_config_succeed() {
    let options = Options {
        function_concurrency: 2,
        ..Options::default()
    };
    let target = "shop/prd/prd_eu/KEY";
    let env = creating(
        TestEnvBuilder {
            options,
            ..TestEnvBuilder::quick()
        },
        target,
    )
    .await;
    let token = env.sandbox.begin_rotation(SECRET);
    for step in &STEPS[..3] {
        env.step(&token, step).await;
    }
    // Each run's call has its effect only after the other's has arrived.
    let handles = ["CreateProject", "CreateEnvironment", "CreateConfig"].map(|operation| {
        let both = Arc::new(tokio::sync::Barrier::new(2));
        let hook = FaultKind::before(move || {
            let both = Arc::clone(&both);
            async move {
                both.wait().await;
            }
        });
        let fault = Fault::new(hook).on(DOPPLER, operation).every();
        env.sandbox.faults().inject(fault)
    });
    let runs = tokio::join!(
        env.sandbox.step(SECRET, &token, "finishSecret"),
        env.sandbox.step(SECRET, &token, "finishSecret")
    );
    for run in [runs.0, runs.1] {
        run.result.expect("both runs succeed");
    }
    assert_eq!(handles.map(|handle| handle.fired()), [2, 2, 2]);
    env.assert_agreement().await;
    assert_mirrored(&env, target, &["prd", "prd_eu"]);
}

/// With a service token the message says that a service account token is needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_token_cannot_create_and_says_so() {
    for target in ["shop/prd/KEY", "acme/prd_eu/KEY"] {
        let env = creating(TestEnvBuilder::quick(), target).await;
        store_token(&env, &env.token);
        let (error, token) = env.rotate_and_fail("testSecret").await;
        assert_eq!(error.error_type, "DopplerTargetNotFound");
        assert!(
            error
                .error_message
                .contains("store a service account token"),
            "{error}"
        );
        assert!(!received(&env).iter().any(|call| call.starts_with("Create")));
        // The process keeps running: the new token is read without a new deployment.
        store_token(&env, &env.sandbox.doppler().service_account_token());
        env.retry(&token).await;
        env.assert_agreement().await;
    }
}

/// A service account without permission to create fails before promotion with Doppler's message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creation_without_right_fails_before_promotion() {
    let env = creating(TestEnvBuilder::quick(), "shop/prd/KEY").await;
    let denied = FaultKind::refuse(403, "", "no permission to create projects");
    let handle = env
        .sandbox
        .faults()
        .inject(Fault::new(denied).on(DOPPLER, "CreateProject").every());
    let (error, token) = env.rotate_and_fail("finishSecret").await;
    assert_eq!(handle.fired(), 1);
    assert_eq!(error.error_type, "DopplerTargetNotFound");
    for part in [
        "project shop or its config prd",
        "CreateProject was refused with 403 Forbidden (no permission to create projects)",
        "create it yourself",
    ] {
        assert!(error.error_message.contains(part), "{error}");
    }
    assert_eq!(env.key_in("AWSCURRENT"), None, "it was promoted");
    handle.remove();
    env.retry(&token).await;
    assert_mirrored(&env, "shop/prd/KEY", &["prd"]);
}

/// A hidden target that exists is neither created nor assumed written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_target_is_not_created_or_assumed_written() {
    let env = creating(TestEnvBuilder::quick(), "shop/prd/KEY").await;
    let doppler = env.sandbox.doppler();
    doppler.create_project("shop");
    let token = doppler.service_account_token();
    doppler.restrict_to_projects(&token, &[PROJECT]);
    store_token(&env, &token);
    let (error, _) = env.rotate_and_fail("finishSecret").await;
    assert_eq!(error.error_type, "DopplerTargetNotFound");
    assert!(
        error
            .error_message
            .contains("Project name already exists in this workplace."),
        "{error}"
    );
    assert_eq!(doppler.value("shop", "prd", "KEY"), None);
}

/// A test rotation over missing targets succeeds and creates nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_rotation_over_missing_targets_creates_nothing() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    store_token(&env, &env.sandbox.doppler().service_account_token());
    let targets = "acme/prd/PARTNER_API_KEY,shop/prd/KEY,acme/prd_eu/KEY,acme/qa/KEY";
    env.redeploy(&[
        ("DOPPLER_TARGETS", targets),
        ("DOPPLER_CREATE_MISSING", "true"),
    ])
    .await;
    env.sandbox.clear_calls();
    let outcome = env.sandbox.test_rotation(SECRET).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
    let mut calls = received(&env);
    calls.retain(|call| call != "GetSecret");
    assert_eq!(calls, ["ListEnvironments"]);
    let doppler = env.sandbox.doppler();
    assert_eq!(doppler.configs("shop"), None);
    assert_eq!(
        doppler.configs(PROJECT),
        Some(["dev", "prd", "stg"].map(ToOwned::to_owned).to_vec())
    );
}

// Environments, whose slugs may contain underscores.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn config_is_created_in_longest_existing_environment() {
    for (environments, target, expected) in [
        (
            &["dev", "dev_frontend"][..],
            "shop/dev_frontend_eu/KEY",
            "dev_frontend",
        ),
        (
            &["dev_frontend"],
            "shop/dev_frontend_eu/KEY",
            "dev_frontend",
        ),
        (&["dev", "dev_front"], "shop/dev_frontend/KEY", "dev"),
        (
            &["dev", "dev_frontend"],
            "shop/dev/dev_frontend_eu/KEY",
            "dev",
        ),
        (
            &["dev"],
            "shop/dev_frontend/dev_frontend/KEY",
            "dev_frontend",
        ),
    ] {
        let env = creating(TestEnvBuilder::quick(), target).await;
        let doppler = env.sandbox.doppler();
        doppler.create_project("shop");
        for environment in environments {
            if !["dev", "stg", "prd"].contains(environment) {
                doppler.create_environment("shop", environment);
            }
        }
        let mut all = doppler.environments("shop");
        env.rotate().await;
        env.assert_agreement().await;
        let config = target.rsplit('/').nth(1).expect("the text is a target");
        let environment = doppler.environment_of("shop", config);
        assert_eq!(environment.as_deref(), Some(expected), "{target}");
        if config == expected {
            all.push(expected.to_owned());
            all.sort();
        }
        assert_eq!(doppler.environments("shop"), all, "{target}");
    }
}

/// The root config of an existing environment is hidden for a moment. No other environment is
/// created.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_root_config_creates_no_other_environment() {
    let env = creating(TestEnvBuilder::quick(), "shop/dev_frontend/KEY").await;
    let doppler = env.sandbox.doppler();
    doppler.create_project("shop");
    doppler.create_environment("shop", "dev_frontend");
    let before = doppler.environments("shop");
    let hidden = FaultKind::refuse(404, "", "Could not find requested config 'dev_frontend'");
    let fault = Fault::new(hidden).on(DOPPLER, "UpdateSecrets").nth(2);
    let handle = env.sandbox.faults().inject(fault);
    env.rotate().await;
    assert_eq!(handle.fired(), 1);
    env.assert_agreement().await;
    assert_eq!(doppler.environments("shop"), before);
}

/// The refusal comes before any lasting write: no key in a target, no project. The test rotation
/// gives the same error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uncertain_environment_is_refused_before_any_write() {
    for (target, words, corrected) in [
        (
            "shop/qa_eu/KEY",
            "name the environment in DOPPLER_TARGETS",
            "shop/qa/qa_eu/KEY",
        ),
        (
            "acme/qa_eu/KEY",
            "project/environment/config/NAME",
            "acme/qa_eu/qa_eu/KEY",
        ),
        (
            "acme/q/qa_eu/KEY",
            "correct the environment or the config",
            "acme/qa/qa_eu/KEY",
        ),
    ] {
        let env = creating(TestEnvBuilder::quick(), target).await;
        let doppler = env.sandbox.doppler();
        let configs = doppler.configs(PROJECT);
        // Once, because Secrets Manager retries a failed test rotation for ten seconds.
        if target == "shop/qa_eu/KEY" {
            let outcome = env.sandbox.test_rotation(SECRET).await;
            let outcome = outcome
                .error()
                .expect("a test rotation gives the rotation's error");
            assert!(outcome.error_message.contains(words), "{outcome}");
        }
        let (error, token) = env.rotate_and_fail("testSecret").await;
        assert_eq!(error.error_type, "DopplerTargetNotFound", "{error}");
        assert!(error.error_message.contains(words), "{error}");
        assert_eq!(doppler.value(PROJECT, CONFIG, KEY), None, "it was written");
        assert_eq!(doppler.configs("shop"), None);
        assert_eq!(doppler.configs(PROJECT), configs);

        let targets = format!("{PROJECT}/{CONFIG}/{KEY},{corrected}");
        env.redeploy(&[("DOPPLER_TARGETS", &targets)]).await;
        env.retry(&token).await;
        env.assert_agreement().await;
    }
}

/// A refused list of environments proves nothing about what exists.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_list_of_environments_creates_nothing() {
    let env = creating(TestEnvBuilder::quick(), "acme/qa/KEY").await;
    let denied = FaultKind::refuse(403, "", "no permission to list environments");
    let fault = Fault::new(denied).on(DOPPLER, "ListEnvironments").every();
    env.sandbox.faults().inject(fault);
    let (error, _) = env.rotate_and_fail("finishSecret").await;
    assert!(error.error_message.contains("ListEnvironments"), "{error}");
    assert!(!received(&env).iter().any(|call| call.starts_with("Create")));
}

/// The environment that decides is on the second page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environments_of_every_page_decide() {
    let env = creating(TestEnvBuilder::quick(), "shop/z_long_eu/KEY").await;
    let doppler = env.sandbox.doppler();
    doppler.create_project("shop");
    for number in 0..100 {
        doppler.create_environment("shop", &format!("e{number}"));
    }
    doppler.create_environment("shop", "z");
    doppler.create_environment("shop", "z_long");
    env.rotate().await;
    env.assert_agreement().await;
    let environment = doppler.environment_of("shop", "z_long_eu");
    assert_eq!(environment.as_deref(), Some("z_long"));
}

// Rate limits.

/// A write waits for the reset of the limit, within a run and across runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_waits_for_reset_within_and_across_runs() {
    let env = TestEnvBuilder {
        targets: vec!["KEY1", "KEY2", "KEY3"],
        ..TestEnvBuilder::quick()
    }
    .start()
    .await;
    let doppler = env.sandbox.doppler();
    doppler.set_rate_window(Duration::from_secs(3));
    doppler.set_write_limit(2);
    // Three writes, and then three more by the same process. Without waiting, the third one of
    // these would exceed the limit.
    for _ in 0..2 {
        env.rotate().await;
        env.assert_agreement().await;
    }
    assert_eq!(statuses(&env, "UpdateSecrets"), [200; 6]);
}

/// A write that would have to wait beyond the deadline fails at once and is not sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn write_beyond_deadline_fails_at_once_unsent() {
    let env = TestEnvBuilder {
        targets: vec!["KEY1", "KEY2"],
        options: Options {
            function_timeout: Duration::from_secs(20),
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    }
    .start()
    .await;
    let doppler = env.sandbox.doppler();
    doppler.set_write_limit(1);
    let token = env.sandbox.rotate(SECRET);
    let outcome = env.sandbox.rotation(&token).await;
    let last = outcome.steps.last().expect("a step was run");
    let error = last.error.as_ref().expect("a minute is too long");
    assert_eq!(
        (last.step.as_str(), error.error_type.as_str()),
        ("finishSecret", "DopplerFailed"),
        "{error}"
    );
    assert!(
        error
            .error_message
            .contains("rate limit allows no UpdateSecrets for another"),
        "{error}"
    );
    assert!(last.took < Duration::from_secs(10), "{:?}", last.took);
    assert_eq!(statuses(&env, "UpdateSecrets"), [200]);
    assert_eq!(env.key_in("AWSCURRENT"), None, "it was promoted");

    doppler.set_write_limit(60);
    env.redeploy(&[]).await;
    env.retry(&token).await;
    env.assert_agreement().await;
}

/// A 429 without `Retry-After` is retried once after the reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rate_limit_without_retry_after_retries_after_reset() {
    let env = TestEnvBuilder::quick().start().await;
    let doppler = env.sandbox.doppler();
    doppler.set_rate_window(Duration::from_secs(5));
    doppler.set_write_limit(1);
    let bare = FaultKind::no_header("retry-after");
    env.sandbox
        .faults()
        .inject(Fault::new(bare).on(DOPPLER, "UpdateSecrets").every());
    let token = env.sandbox.begin_rotation(SECRET);
    for step in &STEPS[..3] {
        env.step(&token, step).await;
    }
    // Another process uses up the token's writes.
    let body = json!({ "project": PROJECT, "config": CONFIG, "secrets": { "OTHER": "x" } });
    let url = format!("{}/v3/configs/config/secrets", env.sandbox.doppler_url());
    let request = http::Request::post(url)
        .header("authorization", format!("Bearer {}", env.token))
        .body(body.to_string())
        .expect("the request is valid");
    let answer = sandbox::http_client::send(request).await;
    assert_eq!(answer.expect("Doppler responds").status(), 200);

    env.step(&token, "finishSecret").await;
    env.assert_agreement().await;
    assert_eq!(statuses(&env, "UpdateSecrets"), [200, 429, 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_time_uses_clock_of_doppler() {
    for (date, at) in [
        ("Wed, 01 Jan 2020 00:00:00 GMT", 1_577_836_800),
        ("Sat, 01 Jan 2050 00:00:00 GMT", 2_524_608_000_u64),
    ] {
        let env = TestEnvBuilder {
            targets: vec!["KEY1", "KEY2"],
            ..TestEnvBuilder::quick()
        }
        .start()
        .await;
        used_up(&env, "UpdateSecrets", date, at + 2);
        let started = SystemTime::now();
        env.rotate().await;
        env.assert_agreement().await;
        let [(first, _), (second, _)] = answers(&env, "UpdateSecrets")[..] else {
            panic!("each target is written once")
        };
        let waited = second
            .duration_since(first)
            .expect("the calls are in order");
        // The reset has whole seconds: two may be nearly three.
        assert!(waited >= Duration::from_secs(3), "it waited {waited:?}");
        let took = started.elapsed().expect("the clock did not go back");
        assert!(took < Duration::from_mins(1), "it took {took:?}");
    }
}

/// A reset in the distant future is waited for two minutes at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn far_reset_is_believed_for_two_minutes() {
    let env = TestEnvBuilder {
        targets: vec!["KEY1", "KEY2"],
        options: Options {
            function_timeout: Duration::from_secs(20),
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    }
    .start()
    .await;
    let (date, at) = ("Wed, 01 Jan 2020 00:00:00 GMT", 1_577_836_800);
    used_up(&env, "UpdateSecrets", date, at + 86_400);
    let (error, _) = env.rotate_and_fail("finishSecret").await;
    assert!(error.error_message.contains("for another 2m,"), "{error}");
}

/// A distant reset in a 429 without `Retry-After` is waited for two minutes at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn far_reset_in_429_waits_two_minutes() {
    let env = TestEnvBuilder::quick()
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .start()
        .await;
    env.sandbox.doppler().set_write_limit(0);
    let bare = FaultKind::no_header("retry-after");
    env.sandbox
        .faults()
        .inject(Fault::new(bare).on(DOPPLER, "UpdateSecrets"));
    let (date, at) = ("Wed, 01 Jan 2020 00:00:00 GMT", 1_577_836_800);
    used_up(&env, "UpdateSecrets", date, at + 86_400);
    let mut events = env.sandbox.watch();
    env.sandbox.rotate(SECRET);
    // The test does not wait for the retry itself.
    let announced = loop {
        match events.recv().await.expect("the sandbox runs") {
            Event::Log(line) if line.contains("trying again") => break line,
            Event::StepEnded(run) => assert_eq!(run.error, None),
            _ => {}
        }
    };
    assert!(announced.contains(r#""pause_ms":120000"#), "{announced}");
}

/// An exhausted read limit delays no write and fails no promoted version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exhausted_reads_delay_no_write() {
    let env = TestEnvBuilder {
        options: Options {
            function_timeout: Duration::from_secs(20),
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    }
    .start()
    .await;
    let (date, at) = ("Wed, 01 Jan 2020 00:00:00 GMT", 1_577_836_800);
    used_up(&env, "GetSecret", date, at + 60);
    env.rotate().await;
    env.assert_agreement().await;
    // Only the read of the target after promotion is left out.
    assert_eq!(received(&env), ["GetSecret", "UpdateSecrets"]);
}

/// Makes Doppler's next reply to `operation` report that no requests remain until `reset`, at the
/// time `date`.
fn used_up(env: &TestEnv, operation: &str, date: &str, reset: u64) {
    for kind in [
        FaultKind::header("x-ratelimit-remaining", "0"),
        FaultKind::header("x-ratelimit-reset", reset.to_string()),
        FaultKind::header("date", date),
    ] {
        let fault = Fault::new(kind).on(DOPPLER, operation);
        env.sandbox.faults().inject(fault);
    }
}

// What a write preserves.

/// The visibility that a user chose is kept, and a new target gets Doppler's default.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chosen_visibility_is_kept_on_write() {
    let env = TestEnvBuilder {
        targets: vec!["SHOWN", "RESTRICTED", "NEW"],
        ..TestEnvBuilder::quick()
    }
    .env(
        "DOPPLER_ADOPT_TARGETS",
        "acme/prd/SHOWN,acme/prd/RESTRICTED",
    )
    .start()
    .await;
    let doppler = env.sandbox.doppler();
    let chosen = [
        ("SHOWN", Visibility::Unmasked),
        ("RESTRICTED", Visibility::Restricted),
    ];
    for (name, visibility) in chosen {
        doppler.set_value(PROJECT, CONFIG, name, "before");
        doppler.set_visibility(PROJECT, CONFIG, name, visibility);
    }
    for _ in 0..2 {
        env.rotate().await;
        env.assert_agreement().await;
        for (name, visibility) in chosen.into_iter().chain([("NEW", Visibility::Masked)]) {
            assert_eq!(
                doppler.visibility(PROJECT, CONFIG, name),
                Some(visibility),
                "{name}"
            );
        }
    }
}

// What a refusal quotes.

/// A value with a foreign form is not shown if Doppler quotes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn foreign_value_quoted_by_doppler_is_masked() {
    const MANUAL: &str = "partner_key_manual_2024";
    let text = json!({ "apiKey": MANUAL }).to_string();
    let env = TestEnvBuilder::holding(&text).start().await;
    let sandbox = &env.sandbox;
    sandbox.create_key("manual", MANUAL, &[&env.plans[0]]);
    let quoting = format!("The value {MANUAL} is not one that this config takes");
    let quoting = Fault::new(FaultKind::refuse(400, "", quoting));
    sandbox
        .faults()
        .inject(quoting.on(Service::Doppler, "UpdateSecrets").every());
    let report = env.reconcile(json!({})).await.to_string();
    assert!(report.contains("The value [masked] is not one"), "{report}");
    for shown in [report, env.log()] {
        assert!(!shown.contains(MANUAL), "it is shown");
    }
}

// Permanent and temporary refusals.

/// Injects a fault into every call of `operation` in a second rotation. Returns the error and the
/// number of calls.
async fn refuse_always(operation: &str, step: &str, kind: FaultKind) -> (String, String, usize) {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let before = env.current_key();
    let fault = Fault::new(kind).on(DOPPLER, operation).every();
    let handle = env.sandbox.faults().inject(fault);
    let (error, token) = env.rotate_and_fail(step).await;
    assert!(env.current_key() == before, "it was promoted");
    let calls = handle.fired();
    handle.remove();
    env.retry(&token).await;
    env.assert_agreement().await;
    (error.error_type, error.error_message, calls)
}

/// An error page of Cloudflare costs one retry and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doppler_edge_error_page_is_retried() {
    let env = TestEnvBuilder::quick().start().await;
    for status in [501, 507, 520, 521, 522, 523, 524, 525, 526, 527, 529, 530] {
        for operation in ["GetSecret", "UpdateSecrets"] {
            let page = FaultKind::answer(status, "text/html", "<html>Web server is down</html>");
            let fault = Fault::new(page).on(DOPPLER, operation);
            let handle = env.sandbox.faults().inject(fault);
            env.rotate().await;
            assert_eq!(
                handle.fired(),
                1,
                "{status} at {operation} was never injected"
            );
        }
    }
    env.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doppler_permanent_refusal_names_its_remedy_at_once() {
    let page = |status| FaultKind::answer(status, "text/html", "<html>HandMade</html>");
    let json = |status, message: &str| FaultKind::refuse(status, "", message);
    for (kind, words) in [
        (page(301), "DOPPLER_API_URL"),
        (page(404), "must not end in /v3"),
        (json(404, "Not found"), "must not end in /v3"),
        (page(400), "trusted IP addresses"),
        (page(403), "trusted IP addresses"),
        (page(401), "trusted IP addresses"),
        (json(423, "Locked"), "exempt the token"),
        (json(400, "needs a change request"), "exempt the token"),
        (json(422, "value is too odd"), "value is too odd"),
    ] {
        let shown = format!("{kind:?}");
        let (error_type, message, calls) =
            refuse_always("UpdateSecrets", "finishSecret", kind).await;
        assert_eq!(error_type, "DopplerFailed", "{shown}: {message}");
        assert!(message.contains(words), "{shown}: {message}");
        assert!(
            message.contains("waiting does not help"),
            "{shown}: {message}"
        );
        assert!(!message.contains("nothing is lost"), "{shown}: {message}");
        assert!(!message.contains("HandMade"), "{shown}: {message}");
        // The token is read again after a 401 or 403, so the same call is sent twice.
        assert!(calls <= 2, "{shown} was repeated {calls} times");
    }
}

/// The base URL includes Doppler's version. The first call reports it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doppler_url_with_version_is_named_before_promotion() {
    let env = TestEnvBuilder::quick().start().await;
    let url = format!("{}/v3", env.sandbox.doppler_url());
    env.redeploy(&[("DOPPLER_API_URL", &url)]).await;
    let (error, _) = env.rotate_and_fail("testSecret").await;
    for words in ["DOPPLER_API_URL", "must not end in /v3"] {
        assert!(error.error_message.contains(words), "{error}");
    }
}

/// A page with status 200 may come from a proxy. It is retried, and then the message says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doppler_page_with_200_points_at_its_url() {
    let page = FaultKind::answer(200, "text/html", "<html>Welcome</html>");
    let (error_type, message, calls) = refuse_always("GetSecret", "testSecret", page).await;
    assert_eq!(error_type, "DopplerFailed");
    assert!(message.contains("DOPPLER_API_URL"), "{message}");
    assert!(!message.contains("nothing is lost"), "{message}");
    assert!(calls > 1, "it was not repeated");
}

/// A reply to a write has neither value nor visibility, so the written value is unknown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doppler_write_reply_with_nulls_is_not_visible() {
    for value in [
        json!({ "raw": null, "computed": null }),
        json!({ "raw": null, "computed": null, "computedVisibility": "restricted" }),
    ] {
        let reply = json!({ "secrets": { KEY: value }, "success": true });
        let kind = FaultKind::answer(200, "application/json", reply.to_string());
        let (error_type, message, calls) =
            refuse_always("UpdateSecrets", "finishSecret", kind).await;
        assert_eq!(error_type, "DopplerValueNotVisible", "{message}");
        assert!(!message.contains("nothing is lost"), "{message}");
        assert_eq!(calls, 1);
    }
}

/// The value becomes restricted between the read and the write, whose reply then hides it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doppler_write_with_hidden_value_is_not_visible() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let before = env.current_key();
    store_token(&env, &env.sandbox.doppler().personal_token());
    env.redeploy(&[]).await;
    let doppler = env.sandbox.doppler().clone();
    let restrict = FaultKind::before(move || {
        doppler.set_visibility(PROJECT, CONFIG, KEY, Visibility::Restricted);
        async {}
    });
    let fault = Fault::new(restrict).on(DOPPLER, "UpdateSecrets");
    let handle = env.sandbox.faults().inject(fault);
    let (error, token) = env.rotate_and_fail("finishSecret").await;
    assert_eq!(handle.fired(), 1);
    assert_eq!(error.error_type, "DopplerValueNotVisible", "{error}");
    for words in [
        "acme/prd/PARTNER_API_KEY",
        "service token",
        "cannot be verified",
    ] {
        assert!(error.error_message.contains(words), "{error}");
    }
    assert!(env.current_key() == before, "it was promoted");
    store_token(&env, &env.token);
    env.retry(&token).await;
    env.assert_agreement().await;
}
