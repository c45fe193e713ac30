//! Complete rotations by the real binary.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::{CONFIG, PROJECT, SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder, hash_of};
use sandbox::doppler::Visibility;
use sandbox::{Call, Fault, FaultKind, Options, REST_API_ID, STAGE, STEPS, Service};
use serde_json::{Value, json};

/// A key that an operator created, in API Gateway's form.
const MANUAL: &str = "HandMadeHandMadeHandMade";

/// A secret without a value gets its first key and then its second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_secret_gets_first_and_second_key() {
    let env = TestEnvBuilder::default().start().await;
    env.rotate().await;
    env.assert_agreement().await;
    let first = env.current_key();
    let text = env
        .sandbox
        .secret(SECRET)
        .current()
        .and_then(|version| version.text.clone());
    assert!(
        text == Some(format!(r#"{{"apiKey":"{first}"}}"#)),
        "a secret without a value starts as JSON"
    );

    env.rotate().await;
    env.assert_agreement().await;
    assert!(env.current_key() != first);
    assert!(env.key_in("AWSPREVIOUS").as_ref() == Some(&first));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superseded_key_is_marked_and_still_works() {
    let env = TestEnvBuilder::default().start().await;
    env.rotate().await;
    let first = env.current_key();
    env.rotate().await;

    let superseded = env
        .sandbox
        .key_with_value(&first)
        .expect("a superseded key stays");
    let current = env
        .sandbox
        .secret(SECRET)
        .current()
        .expect("the version exists")
        .id
        .clone();
    assert!(superseded.enabled);
    assert!(
        superseded.description.starts_with("Superseded at "),
        "{}",
        superseded.description
    );
    assert!(
        superseded
            .description
            .contains(&format!(" by version {current}. Mirrored to ")),
        "{}",
        superseded.description
    );
    assert_eq!(env.gateway_answer(&first).await, 200);
    let marked = |key: &sandbox::KeySnapshot| key.description.contains("Superseded");
    assert_eq!(
        env.sandbox.keys().iter().filter(|key| marked(key)).count(),
        1
    );
}

/// The name, tags and description of a created key mark it as managed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn created_key_is_named_tagged_and_described() {
    let env = TestEnvBuilder::default().start().await;
    let token = env.rotate().await.token;
    let key = env
        .sandbox
        .key_with_value(&env.current_key())
        .expect("the key was created");
    assert_eq!(key.name, format!("{SECRET}/{token}"));
    let tags = [
        ("rotation:secret", env.sandbox.secret(SECRET).arn),
        ("rotation:version", token),
        ("rotation:function", "rotation".to_owned()),
    ];
    assert_eq!(
        key.tags,
        tags.map(|(name, value)| (name.to_owned(), value)).into()
    );
    let target = hash_of("PARTNER_API_KEY");
    let description = format!("Created for the secret {SECRET}. Mirrored to {target}.");
    assert_eq!(key.description, description);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_of_secret_keeps_its_form() {
    let forms = [
        ("{}", r#"{"apiKey":"KEY"}"#),
        ("a-generated-placeholder:{,'$", "KEY"),
        (MANUAL, "KEY"),
        (
            r#"{"zone":"eu", "apiKey":"HandMadeHandMadeHandMade","limit": 1.0,"nested":{"b":[1e3 ],"a":"é"}}"#,
            r#"{"zone":"eu","apiKey":"KEY","limit":1.0,"nested":{"b":[1e3 ],"a":"é"}}"#,
        ),
    ];
    for (before, after) in forms {
        let env = TestEnvBuilder::holding(before).start().await;
        if before.contains(MANUAL) {
            env.sandbox
                .create_key("manually made", MANUAL, &[&env.plans[0]]);
        }
        for _ in 0..2 {
            env.rotate().await;
            env.assert_agreement().await;
            let text = env
                .sandbox
                .secret(SECRET)
                .current()
                .and_then(|version| version.text.clone());
            assert!(
                text == Some(after.replace("KEY", &env.current_key())),
                "the form of {after} is lost"
            );
        }
    }
}

/// Fields that an operator edits during a rotation are carried over with their new values.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_edited_during_rotation_are_carried_over() {
    let env = TestEnvBuilder::holding(r#"{"owner":"first"}"#)
        .start()
        .await;
    env.rotate().await;
    let key = env.current_key();
    env.sandbox.put_secret(
        SECRET,
        &json!({ "owner": "second", "apiKey": key }).to_string(),
    );
    env.rotate().await;
    env.assert_agreement().await;
    let text = env
        .sandbox
        .secret(SECRET)
        .current()
        .and_then(|version| version.text.clone())
        .unwrap_or_default();
    assert!(text.starts_with(r#"{"owner":"second","apiKey":"#));
}

/// A manually created key hands on its plans and is left alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manually_made_key_hands_on_its_plans() {
    let env = TestEnvBuilder::holding(&format!("{MANUAL}\n"))
        .inheriting()
        .start()
        .await;
    let second = env.sandbox.create_empty_usage_plan("second");
    let id = env
        .sandbox
        .create_key("terraform-made", MANUAL, &[&env.plans[0], &second]);
    let before = env.sandbox.key_with_value(MANUAL);

    env.rotate().await;
    env.assert_agreement().await;
    let created = env
        .sandbox
        .key_with_value(&env.current_key())
        .expect("the key was created");
    assert_eq!(created.plans.len(), 2, "{created:?}");
    assert_eq!(
        env.sandbox.key_with_value(MANUAL),
        before,
        "key {id} is not managed"
    );
}

/// Without configured plans each key hands its plans on to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_inherit_plans_without_configured_ones() {
    let env = TestEnvBuilder::holding(MANUAL)
        .inheriting()
        .env("PROPAGATION_DELAY", "0s")
        .start()
        .await;
    env.sandbox.create_key("manual", MANUAL, &[&env.plans[0]]);
    for _ in 0..3 {
        env.rotate().await;
        env.assert_agreement().await;
    }
}

/// If the current key is missing, its plans come from the newest other key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plans_of_newest_key_replace_missing_current() {
    let env = TestEnvBuilder {
        probe: false,
        ..TestEnvBuilder::holding(MANUAL).inheriting()
    }
    .env("PROPAGATION_DELAY", "0s")
    .start()
    .await;
    let manual = env.sandbox.create_key("manual", MANUAL, &[&env.plans[0]]);
    env.rotate().await;
    env.rotate().await;
    let current = env
        .sandbox
        .key_with_value(&env.current_key())
        .expect("the key was created");
    env.sandbox.delete_key(&current.id);
    env.sandbox.delete_key(&manual);
    env.rotate().await;
    env.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_plans_and_several_targets_are_all_served() {
    let setup = TestEnvBuilder {
        configured_plans: 3,
        targets: vec!["ONE", "TWO", "THREE"],
        ..TestEnvBuilder::default()
    };
    let env = setup.start().await;
    for _ in 0..2 {
        env.rotate().await;
        env.assert_agreement().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stage_keys_open_a_stage_without_a_plan() {
    let stage = format!("{REST_API_ID}/{STAGE}");
    let env = TestEnvBuilder::default()
        .inheriting()
        .env("STAGE_KEYS", &stage)
        .start()
        .await;
    env.rotate().await;
    let key = env
        .sandbox
        .key_with_value(&env.current_key())
        .expect("the key was created");
    assert_eq!((key.plans.len(), key.stage_keys), (0, vec![stage]));
    assert_eq!(env.gateway_answer(&key.value).await, 200);
}

/// Without a probe the key passes once it is old enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_without_probe_passes_at_its_age() {
    let env = TestEnvBuilder {
        probe: false,
        ..TestEnvBuilder::default()
    }
    .env("PROPAGATION_DELAY", "3s")
    .start()
    .await;
    let outcome = env.rotate().await;
    let set = outcome
        .steps
        .iter()
        .find(|run| run.step == "setSecret")
        .expect("the step was run");
    assert!(set.took >= Duration::from_secs(1), "it took {:?}", set.took);
    env.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probe_waits_until_gateway_accepts_key() {
    let options = Options {
        propagation: Duration::from_secs(2),
        ..Options::default()
    };
    let env = TestEnvBuilder {
        options,
        ..TestEnvBuilder::default()
    }
    .start()
    .await;
    env.rotate().await;
    // The gateway accepts the key at the moment of promotion, which is the purpose of the probe.
    assert_eq!(env.gateway_answer(&env.current_key()).await, 200);
    let refused = env
        .sandbox
        .calls()
        .into_iter()
        .filter(|call| call.service == Service::Gateway && call.status == 403);
    assert!(
        refused.count() > 1,
        "only the random key was refused, so nothing was waited for"
    );
}

/// Returns everything that a test rotation must leave unchanged.
fn state(
    env: &TestEnv,
) -> (
    sandbox::SecretSnapshot,
    Vec<sandbox::KeySnapshot>,
    Option<String>,
) {
    (
        env.sandbox.secret(SECRET),
        env.sandbox.keys(),
        env.doppler_value("PARTNER_API_KEY"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_rotation_changes_nothing_whatever_secret_holds() {
    for text in [
        None,
        Some("{}"),
        Some("PlaceholderPlaceholderPlaceholder"),
        Some(MANUAL),
    ] {
        for probe in [true, false] {
            let env = TestEnvBuilder {
                secret: text.map(ToOwned::to_owned),
                probe,
                ..TestEnvBuilder::default()
            }
            .start()
            .await;
            if text == Some(MANUAL) {
                env.sandbox.create_key("manual", MANUAL, &[&env.plans[0]]);
            }
            let before = state(&env);
            let outcome = env.sandbox.test_rotation(SECRET).await;
            assert!(outcome.succeeded, "{:?}", outcome.error());
            assert_eq!(outcome.steps.len(), 1);
            assert!(state(&env) == before, "something changed");
            let writes: Vec<_> = env.sandbox.calls().into_iter().filter(is_write).collect();
            assert!(writes.is_empty(), "{writes:?}");
        }
    }
}

fn is_write(call: &Call) -> bool {
    ["Put", "Update", "Create", "Delete", "Tag"]
        .iter()
        .any(|verb| call.operation.starts_with(verb))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_rotation_reports_wrong_settings() {
    let setup = TestEnvBuilder {
        options: Options {
            function_timeout: Duration::from_secs(8),
            ..Options::default()
        },
        ..TestEnvBuilder::holding("{}")
    };
    let env = setup.start().await;
    let open = format!("{}/{STAGE}/open", env.sandbox.gateway_url());
    for (name, value, error_type) in [
        ("USAGE_PLAN_IDS", "nosuchplan", "ApiGatewayFailed"),
        (
            "PROBE_URL",
            "http://127.0.0.1:1/health",
            "ProbeInconclusive",
        ),
        ("PROBE_URL", &open, "ProbeNotProtected"),
        (
            "DOPPLER_TARGETS",
            "acme/nosuchconfig/KEY",
            "DopplerTargetNotFound",
        ),
        (
            "DOPPLER_TOKEN_SECRET_ID",
            "nosuchsecret",
            "InvalidDopplerToken",
        ),
    ] {
        env.redeploy(&[(name, value)]).await;
        let outcome = env.sandbox.test_rotation(SECRET).await;
        assert_eq!(
            outcome.error().map(|error| error.error_type.as_str()),
            Some(error_type),
            "{name}"
        );
    }
}

/// A test rotation requires the same proof as a rotation, even of a current key that works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_rotation_without_probe_protection_fails_at_once() {
    let env = TestEnvBuilder::default().start().await;
    env.rotate().await;
    let open = format!("{}/{STAGE}/open", env.sandbox.gateway_url());
    env.redeploy(&[("PROBE_URL", &open)]).await;
    let outcome = env.sandbox.test_rotation(SECRET).await;
    let error = outcome.error().expect("the test rotation fails");
    assert_eq!(error.error_type, "ProbeNotProtected", "{error}");
}

/// A path that is not deployed is reported as such, long before the test rotation times out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_rotation_with_wrong_probe_path_ends_early() {
    let refused = |text: &'static str| async move {
        let env = TestEnvBuilder::holding(text).start().await;
        if text == MANUAL {
            env.sandbox.create_key("k", MANUAL, &[&env.plans[0]]);
        }
        let url = format!("{}/{STAGE}/nosuchpath", env.sandbox.gateway_url());
        env.redeploy(&[("PROBE_URL", &url)]).await;
        let outcome = env.sandbox.test_rotation(SECRET).await;
        let error = outcome.error().expect("the test rotation fails");
        assert_eq!(error.error_type, "ProbeRejected", "{error}");
        let took = outcome.steps[0].took;
        assert!(took > Duration::from_secs(15), "after {took:?}");
        assert!(took < Duration::from_secs(25), "after {took:?}");
    };
    tokio::join!(refused("{}"), refused(MANUAL));
}

/// If the probe refuses the current key in a test rotation, the message says so and mentions no new
/// key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusing_probe_in_test_rotation_names_current_key() {
    let setup = TestEnvBuilder {
        options: Options {
            function_timeout: Duration::from_secs(8),
            ..Options::default()
        },
        ..TestEnvBuilder::default()
    };
    let env = setup.start().await;
    env.rotate().await;
    let refuses = FaultKind::answer(403, "application/json", "{}");
    let refuses = Fault::new(refuses).on(Service::Gateway, "Probe").every();
    env.sandbox.faults().inject(refuses);
    let outcome = env.sandbox.test_rotation(SECRET).await;
    let error = outcome.error().expect("the test rotation fails");
    assert_eq!(error.error_type, "ProbeInconclusive");
    let words = "did not accept the current key; last answer: 403";
    assert!(error.error_message.contains(words), "{error}");
}

/// Repeating a step any number of times does its work once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_step_does_its_work_once() {
    let env = TestEnvBuilder::default().start().await;
    env.rotate().await;
    let token = env.sandbox.begin_rotation(SECRET);
    for last in 1..=STEPS.len() {
        for step in &STEPS[..last] {
            env.step(&token, step).await;
            env.step(&token, step).await;
        }
    }
    env.assert_agreement().await;
    assert_eq!(env.sandbox.keys().len(), 2, "a retry created another key");
}

/// Every step of a completed rotation succeeds and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn completed_rotation_succeeds_for_every_step() {
    let env = TestEnvBuilder::default().start().await;
    let token = env.rotate().await.token;
    let before = state(&env);
    for step in STEPS {
        let report = env.step(&token, step).await;
        assert_eq!(report["done"], json!([]), "{step}");
    }
    assert!(state(&env) == before);
}

/// Two concurrent runs of a step do its work once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_of_step_work_once() {
    let options = Options {
        function_concurrency: 2,
        ..Options::default()
    };
    let env = TestEnvBuilder {
        options,
        ..TestEnvBuilder::default()
    }
    .start()
    .await;
    env.rotate().await;
    let token = env.sandbox.begin_rotation(SECRET);
    for step in STEPS {
        let runs = tokio::join!(
            env.sandbox.step(SECRET, &token, step),
            env.sandbox.step(SECRET, &token, step)
        );
        for run in [runs.0, runs.1] {
            run.result.unwrap_or_else(|error| panic!("{step}: {error}"));
        }
    }
    env.assert_agreement().await;
    assert_eq!(env.sandbox.keys().len(), 2);
}

/// If the service makes the first value AWSCURRENT at once, the secret still gets its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn immediately_current_first_value_gets_key() {
    for probe in [true, false] {
        let options = Options {
            first_value_is_current: true,
            ..Options::default()
        };
        let env = TestEnvBuilder {
            probe,
            options,
            ..TestEnvBuilder::default()
        }
        .env("PROPAGATION_DELAY", "0s")
        .start()
        .await;
        env.rotate().await;
        env.assert_agreement().await;
        env.rotate().await;
        env.assert_agreement().await;
    }
}

/// Keys of a secret whose name starts with the managed secret's name are not touched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_longer_secret_name_are_untouched() {
    let env = TestEnvBuilder::default().start().await;
    let neighbour = format!("{SECRET}/eu");
    let id = env
        .sandbox
        .create_key(&format!("{neighbour}/some-version"), MANUAL, &[]);
    env.sandbox.tag_key(
        &id,
        "rotation:secret",
        &env.sandbox.create_secret(&neighbour, None),
    );
    env.sandbox.tag_key(&id, "rotation:version", "some-version");
    let before = env.sandbox.key_with_value(MANUAL);
    env.rotate().await;
    env.rotate().await;
    assert_eq!(env.sandbox.key_with_value(MANUAL), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn visibility_set_in_doppler_is_kept() {
    let env = TestEnvBuilder::default().start().await;
    env.rotate().await;
    env.sandbox.doppler().set_visibility(
        PROJECT,
        CONFIG,
        "PARTNER_API_KEY",
        Visibility::Restricted,
    );
    env.rotate().await;
    env.assert_agreement().await;
    let visibility = env
        .sandbox
        .doppler()
        .visibility(PROJECT, CONFIG, "PARTNER_API_KEY");
    assert!(matches!(visibility, Some(Visibility::Restricted)));
}

/// The function manages its own secret and refuses every other before reading it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn function_refuses_foreign_secrets_unread() {
    let env = TestEnvBuilder::default().start().await;
    env.sandbox
        .create_secret("another", Some("HandMadeHandMadeHandMade2"));
    env.sandbox.enable_rotation("another");
    env.redeploy_unrestricted(&[]).await;
    for name in ["another", TOKEN_SECRET] {
        env.sandbox.enable_rotation(name);
        let token = env.sandbox.begin_rotation(name);
        for step in STEPS {
            let error = env
                .sandbox
                .step(name, &token, step)
                .await
                .result
                .expect_err(step);
            assert_eq!(error.error_type, "SecretNotManaged");
        }
    }
    let read: Vec<_> = env
        .sandbox
        .calls()
        .into_iter()
        .filter(|call| call.operation != "DescribeSecret")
        .collect();
    assert!(read.is_empty(), "{read:?}");

    // By its ARN as well as by its name.
    let arn = env.sandbox.secret(SECRET).arn;
    for id in [
        arn.as_str(),
        arn.rsplit_once('-').expect("the ARN has a random suffix").0,
    ] {
        env.redeploy(&[("SECRET_ID", id)]).await;
        env.rotate().await;
    }
}

/// Without `SECRET_ID` the function manages the secrets that name it as their rotation function.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn function_without_secret_serves_its_own() {
    let env = TestEnvBuilder {
        probe: false,
        targets: Vec::new(),
        ..TestEnvBuilder::holding(MANUAL).inheriting()
    }
    .env("SECRET_ID", "")
    .env("PROPAGATION_DELAY", "0s")
    .start()
    .await;
    env.sandbox.create_key("manual", MANUAL, &[&env.plans[0]]);
    env.rotate().await;
    env.assert_agreement().await;

    let token = env.sandbox.begin_rotation(SECRET);
    env.redeploy_unrestricted(&[("AWS_LAMBDA_FUNCTION_NAME", "another"), ("SECRET_ID", "")])
        .await;
    env.sandbox.create_secret("unrelated", None);
    let event =
        json!({ "Step": "createSecret", "SecretId": "unrelated", "ClientRequestToken": token })
            .to_string();
    let error = env
        .sandbox
        .invoke(event)
        .await
        .result
        .expect_err("the secret names no function");
    assert_eq!(error.error_type, "SecretNotManaged");
}

/// Returns how many of the calls go to a service.
fn count(calls: &[Call], service: Service) -> usize {
    calls.iter().filter(|call| call.service == service).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ordinary_rotation_stays_within_call_budget() {
    // Calls to Secrets Manager, API Gateway, Doppler and the probed API.
    for (inherited, probe, budget) in [
        (false, true, (14, 4, 3, 4)),
        (false, false, (14, 5, 3, 0)),
        (true, true, (15, 6, 3, 4)),
        (true, false, (15, 7, 3, 0)),
    ] {
        let mut setup = TestEnvBuilder {
            probe,
            ..TestEnvBuilder::holding(MANUAL)
        }
        .env("PROPAGATION_DELAY", "0s");
        if inherited {
            setup = setup.inheriting();
        }
        let env = setup.start().await;
        env.sandbox.create_key("manual", MANUAL, &[&env.plans[0]]);
        env.rotate().await;
        // A cold start, so that the Doppler token is read once.
        env.redeploy(&[]).await;
        env.sandbox.clear_calls();
        env.rotate().await;
        let calls = env.sandbox.calls();
        let made = (
            count(&calls, Service::SecretsManager),
            count(&calls, Service::ApiGateway),
            count(&calls, Service::Doppler),
            count(&calls, Service::Gateway),
        );
        assert_eq!(
            made, budget,
            "inherited: {inherited}, probe: {probe}: {calls:#?}"
        );
        env.assert_agreement().await;
    }
}

/// Each action is one line of JSON with step, secret, version and request id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_action_logs_one_json_line() {
    let env = TestEnvBuilder::default()
        .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
        .start()
        .await;
    let token = env.rotate().await.token;
    let log = env.log();
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let mut by_action = BTreeMap::new();
    for line in &lines {
        assert_eq!(line["level"], "INFO", "{line}");
        assert_eq!(
            line["span"]["secret"],
            env.sandbox.secret(SECRET).arn,
            "{line}"
        );
        assert_eq!(line["span"]["version"], token, "{line}");
        assert!(line["message"].is_string(), "{line}");
        if line.get("outcome").is_some() {
            continue;
        }
        assert!(line["took_ms"].is_u64(), "{line}");
        let key = (
            line["span"]["step"].as_str().unwrap_or_default(),
            line["action"].as_str().unwrap_or_default(),
        );
        *by_action.entry(key).or_insert(0) += 1;
        let id = line["request_id"].as_str().unwrap_or_default();
        let known = env.sandbox.calls().iter().any(|call| call.request_id == id);
        assert!(
            known || key.1 == "Probe",
            "a request id that no service gave: {line}"
        );
    }
    let expected = [
        (("createSecret", "PutSecretValue"), 1),
        (("setSecret", "CreateApiKey"), 1),
        (("setSecret", "CreateUsagePlanKey"), 1),
        (("testSecret", "Probe"), 1),
        (("finishSecret", "UpdateSecrets"), 1),
        (("finishSecret", "UpdateSecretVersionStage"), 2),
        // A first rotation has no key to mark, so the new one names the target that was written.
        (("finishSecret", "UpdateApiKey"), 1),
    ];
    assert_eq!(by_action, expected.into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_follow_lambdas_format_and_level() {
    let env = TestEnvBuilder::default()
        .env("AWS_LAMBDA_LOG_FORMAT", "Text")
        .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
        .start()
        .await;
    env.rotate().await;
    let log = env.log();
    assert!(log.contains("stored a new value"), "{log}");
    assert!(
        log.lines()
            .all(|line| serde_json::from_str::<Value>(line).is_err()),
        "{log}"
    );

    env.clear_emitted();
    env.redeploy(&[("AWS_LAMBDA_LOG_LEVEL", "WARN")]).await;
    env.rotate().await;
    assert_eq!(env.log(), "");

    // The remaining lines at that level are complete.
    let changes = [
        ("AWS_LAMBDA_LOG_LEVEL", "ERROR"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("USAGE_PLAN_IDS", "nosuchplan"),
    ];
    env.redeploy(&changes).await;
    let (error, token) = env.rotate_and_fail("setSecret").await;
    let log = env.log();
    let line: Value = serde_json::from_str(log.trim()).expect("one line of JSON");
    assert_eq!(line["error_type"], error.error_type, "{log}");
    assert_eq!(line["message"], error.error_message, "{log}");
    assert_eq!(
        (&line["span"]["step"], &line["span"]["version"]),
        (&json!("setSecret"), &json!(token)),
        "{log}"
    );
    assert_eq!(
        line["span"]["secret"],
        env.sandbox.secret(SECRET).arn,
        "{log}"
    );
    assert!(line["span"]["lambda_request_id"].is_string(), "{log}");
}

/// A rotation token is passed to `PutSecretValue`; the function never generates one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_token_is_passed_on_unchanged() {
    let env = TestEnvBuilder::plain().start().await;
    let handed_on = |token: &str| {
        let secret = env.sandbox.secret(SECRET);
        secret
            .version(token)
            .and_then(|version| version.rotation_token.clone())
    };
    for rotation_token in [Some("c0ffee00-c0ff-4eec-8fee-c0ffeec0ffee"), None] {
        let token = env.sandbox.begin_rotation(SECRET);
        let event = json!({
            "Step": "createSecret",
            "SecretId": env.sandbox.secret(SECRET).arn,
            "ClientRequestToken": token,
            "RotationToken": rotation_token,
        });
        let answer = env.sandbox.invoke(event.to_string()).await;
        assert_eq!(answer.result.err(), None);
        assert!(
            handed_on(&token).as_deref() == rotation_token,
            "another token, or none"
        );
        env.sandbox
            .move_label(SECRET, "AWSPENDING", Some(&token), None);
    }
}

/// The endpoint setting of one service precedes the general one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_endpoint_precedes_general_endpoint() {
    let env = TestEnvBuilder::default().start().await;
    let aws = env.sandbox.aws_url();
    let nowhere = ("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let secrets_manager = ("AWS_ENDPOINT_URL_SECRETS_MANAGER", aws.as_str());
    let api_gateway = ("AWS_ENDPOINT_URL_API_GATEWAY", aws.as_str());
    env.redeploy(&[nowhere, secrets_manager, api_gateway]).await;
    env.rotate().await;
    env.assert_agreement().await;
}
