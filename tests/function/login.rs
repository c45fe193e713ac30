//! Doppler without a stored token: the function logs in with the identity of its role.

use std::time::{Duration, Instant};

use crate::support::fleet::{deploy_for_fleet, with_targets};
use crate::support::{
    CONFIG, PROJECT, SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder, create_identity, is_enabled,
};
use sandbox::{Fault, FaultKind, Options, Service};
use serde_json::{Map, json};

const LOGIN: &str = "OidcLogin";
const PROOF: &str = "GetWebIdentityToken";

/// Returns how often the function requested a token of AWS, and how often one of Doppler.
fn logins(env: &TestEnv) -> (usize, usize) {
    (env.calls_of(PROOF), env.calls_of(LOGIN))
}

/// Fails if the secret with a token is read. It could be deleted.
fn assert_nothing_stored(env: &TestEnv) {
    assert!(!env.settings.contains_key("DOPPLER_TOKEN_SECRET_ID"));
    let secret = env.sandbox.secret(TOKEN_SECRET);
    let read = env.roles.current().needed().into_iter();
    let read: Vec<_> = read
        .filter(|part| part.statement == "DopplerToken")
        .collect();
    assert!(read.is_empty(), "{} was read: {read:?}", secret.arn);
}

/// All that the function does with Doppler needs the identity alone, and one login for each process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_login_serves_every_run() {
    let setup = TestEnvBuilder {
        targets: vec!["PARTNER_API_KEY", "PARTNER_KEY_AGAIN"],
        ..TestEnvBuilder::quick()
    };
    let env = setup.keyless().start().await;
    env.rotate().await;
    let leaked = env.current_key();
    env.rotate().await;
    env.assert_agreement().await;

    let doppler = env.sandbox.doppler();
    doppler.set_value(PROJECT, CONFIG, "PARTNER_API_KEY", "drifted");
    env.reconcile(json!({ "SecretId": SECRET })).await;
    env.assert_agreement().await;

    let stop = json!({ "Step": "emergencyStop", "SecretId": SECRET });
    let stopped = env.sandbox.invoke(stop.to_string()).await.result;
    stopped.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(is_enabled(&env, &leaked), Some(false));
    assert_eq!(logins(&env), (1, 1));
    assert_nothing_stored(&env);
}

/// A missing project, environment and config are created with the rights of the service account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_target_is_created_by_identity() {
    let target = format!("{PROJECT}/{CONFIG}/PARTNER_API_KEY,shop/stg/stg_eu/KEY");
    let setup = TestEnvBuilder::quick()
        .keyless()
        .env("DOPPLER_CREATE_MISSING", "true")
        .env("DOPPLER_TARGETS", &target);
    let env = setup.start().await;
    let doppler = env.sandbox.doppler();
    doppler.change_identity(&env.identity, |settings| {
        settings.projects = Some([PROJECT.to_owned()].into());
    });
    env.rotate().await;
    let created = doppler.value("shop", "stg_eu", "KEY");
    assert!(created == Some(env.current_key()), "another key");
    assert_eq!(logins(&env), (1, 1));
}

/// A token is replaced a minute before its end, and not earlier.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_is_replaced_before_its_end() {
    let env = TestEnvBuilder::quick().keyless().start().await;
    env.rotate().await;
    // It lives for ten minutes.
    env.sandbox.advance(Duration::from_mins(8));
    env.rotate().await;
    assert_eq!(logins(&env), (1, 1));
    env.sandbox.advance(Duration::from_secs(65));
    env.rotate().await;
    assert_eq!(logins(&env), (2, 2));
    assert!(!env.log().contains("Invalid Auth token"), "{}", env.log());
}

/// A token that ends between two calls is replaced once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_that_ends_early_is_replaced() {
    for operation in ["GetSecret", "UpdateSecrets"] {
        let env = TestEnvBuilder::quick().keyless().start().await;
        env.rotate().await;
        let (doppler, id) = (env.sandbox.doppler().clone(), env.identity.clone());
        let end = FaultKind::before(move || {
            doppler.end_tokens(&id);
            std::future::ready(())
        });
        let end = Fault::new(end).on(Service::Doppler, operation);
        let handle = env.sandbox.faults().inject(end);
        env.rotate().await;
        assert_eq!(handle.fired(), 1, "{operation}");
        assert_eq!(logins(&env), (2, 2), "{operation}");
        env.assert_agreement().await;
    }
}

/// Two processes log in separately, and agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_log_in_once_each() {
    let setup = TestEnvBuilder {
        options: Options {
            function_concurrency: 2,
            ..Options::default()
        },
        ..TestEnvBuilder::quick()
    };
    let env = setup.keyless().start().await;
    env.rotate().await;
    env.sandbox.kill_function().await;
    env.sandbox.clear_calls();
    let doppler = env.sandbox.doppler();
    doppler.set_value(PROJECT, CONFIG, "PARTNER_API_KEY", "drifted");
    let wait = Fault::new(FaultKind::Delay(Duration::from_millis(500)));
    env.sandbox
        .faults()
        .inject(wait.on(Service::Doppler, LOGIN).every());
    let run = || env.reconcile(json!({ "SecretId": SECRET }));
    tokio::join!(run(), run());
    env.assert_agreement().await;
    assert_eq!(logins(&env), (2, 2));
    assert_eq!(env.sandbox.function_pids().len(), 2);
}

/// A token from the near future by Doppler's clock is sent once more, after two seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unverified_login_is_repeated_once() {
    let env = TestEnvBuilder::quick().keyless().start().await;
    let refusal = FaultKind::refuse(401, "", "Unable to verify OIDC JWT token");
    let refusal = Fault::new(refusal).on(Service::Doppler, LOGIN);
    env.sandbox.faults().inject(refusal);
    let began = Instant::now();
    env.rotate().await;
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(logins(&env), (1, 2));

    let doppler = env.sandbox.doppler();
    doppler.set_login_clock_lag(Duration::from_mins(10));
    env.redeploy(&[]).await;
    env.sandbox.clear_calls();
    let (error, _) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "DopplerLoginRefused", "{error}");
    assert_eq!(logins(&env), (1, 2));
}

/// In a run over many secrets, a refused login is the failure of every target, and is not repeated.
/// The next run logs in again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_login_is_shared_by_all_members() {
    let env = keyless_fleet(&["ONE", "TWO", "THREE"]).await;
    // The words about a name concern one target, if Doppler refuses a read.
    for (status, words, exchanges) in [
        (401, "The account has expired", 1),
        (400, "No such name", 1),
        (401, "Unable to verify OIDC JWT token", 2),
    ] {
        env.redeploy(&[]).await;
        env.sandbox.clear_calls();
        let refusal = FaultKind::refuse(status, "", words);
        let refusal = Fault::new(refusal).on(Service::Doppler, LOGIN).every();
        let handle = env.sandbox.faults().inject(refusal);
        let report = env.reconcile(json!({})).await;
        assert_eq!(logins(&env), (1, exchanges), "{words}: {report}");
        assert_eq!(report["totals"]["failures"], 3, "{words}: {report}");
        let named = report.to_string().matches(words).count();
        assert!(named >= 3, "{words}: {report}");

        handle.remove();
        let report = env.reconcile(json!({})).await;
        assert_eq!(report["totals"]["failures"], 0, "{words}: {report}");
        assert_eq!(logins(&env), (2, exchanges + 1), "{words}: {report}");
    }
}

/// A hidden value costs no login: another token of the same service account does not see it either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hidden_value_keeps_token_of_login() {
    let env = TestEnvBuilder::quick().keyless().start().await;
    env.rotate().await;
    let hidden = json!({ "value": {
        "raw": null, "computed": null, "rawVisibility": "restricted",
    } });
    let hidden = FaultKind::answer(200, "application/json", hidden.to_string());
    let hidden = Fault::new(hidden).on(Service::Doppler, "GetSecret").every();
    let handle = env.sandbox.faults().inject(hidden);
    for _ in 0..2 {
        let report = env.reconcile(json!({ "SecretId": SECRET })).await;
        let issues = report["secrets"][0]["issues"].to_string();
        assert!(issues.contains("does not show the value"), "{report}");
    }
    assert!(handle.fired() >= 2);
    assert_eq!(logins(&env), (1, 1));
}

/// Starts a fleet without a stored token: for each target, a rotated secret in a config of its own.
async fn keyless_fleet(names: &[&str]) -> TestEnv {
    let env = TestEnvBuilder::quick().inheriting().keyless();
    let mut env = env.start().await;
    let member = |name: &str| (name.to_owned(), with_targets(&[name]));
    let mut members: Map<_, _> = names.iter().copied().map(member).collect();
    members.insert(SECRET.to_owned(), json!({}));
    deploy_for_fleet(&mut env, members).await;
    for name in names {
        env.sandbox.create_secret(name, None);
        env.sandbox.enable_rotation(name);
        let token = env.sandbox.rotate(name);
        let outcome = env.sandbox.rotation(&token).await;
        assert!(outcome.succeeded, "{name}: {:?}", outcome.error());
    }
    env
}

/// Faults of an exchange that pass are retried, since an exchange may be repeated.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passing_faults_of_exchange_are_retried() {
    let env = TestEnvBuilder::quick().keyless().start().await;
    for (service, operation) in [(Service::Sts, PROOF), (Service::Doppler, LOGIN)] {
        for kind in [
            FaultKind::Throttle {
                retry_after: Some(1),
            },
            FaultKind::refuse(503, "ServiceUnavailable", "try again"),
            FaultKind::LostReply,
            FaultKind::CutReply,
            FaultKind::answer(200, "text/xml", ""),
            FaultKind::answer(200, "text/html", "<html>"),
        ] {
            env.redeploy(&[]).await;
            let what = format!("{operation}: {kind:?}");
            let handle = env
                .sandbox
                .faults()
                .inject(Fault::new(kind).on(service, operation));
            env.rotate().await;
            assert_eq!((handle.fired(), handle.seen()), (1, 2), "{what}");
            env.sandbox.faults().clear();
        }
    }
}

/// A change to the set-up that makes a login fail.
type Break = fn(&TestEnv);

/// Each cause of a refused exchange has its own message, with what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refused_exchange_names_its_remedy() {
    let cases: [(Break, &str, &str); 6] = [
        (
            |env| env.sandbox.switch_federation(false),
            "StsFailed",
            "`aws iam enable-outbound-web-identity-federation`",
        ),
        (
            |env| set_claim(env, 0, "doppler/another"),
            "DopplerLoginRefused",
            "identity's audience in Doppler to DOPPLER_AUDIENCE",
        ),
        (
            |env| set_claim(env, 1, "arn:aws:iam::123456789012:role/another"),
            "DopplerLoginRefused",
            "identity's subject in Doppler to the ARN of the function's role",
        ),
        (
            |env| env.sandbox.doppler().expire_service_account(&env.identity),
            "DopplerLoginRefused",
            "service account of DOPPLER_IDENTITY has expired",
        ),
        (
            |env| {
                let doppler = env.sandbox.doppler();
                doppler.change_identity(&env.identity, |settings| {
                    settings.projects = Some(["another".to_owned()].into());
                });
            },
            "DopplerTargetNotFound",
            "give the service account of DOPPLER_IDENTITY read/write access to the project",
        ),
        (
            |env| {
                let doppler = env.sandbox.doppler();
                doppler.change_identity(&env.identity, |settings| {
                    settings.discovery_url = "http://127.0.0.1:9".to_owned();
                });
            },
            "DopplerLoginRefused",
            "`aws iam get-outbound-web-identity-federation-info`",
        ),
    ];
    for (break_it, error_type, words) in cases {
        let env = TestEnvBuilder::quick().keyless().start().await;
        break_it(&env);
        let (error, _) = env.rotate_and_fail("testSecret").await;
        assert_eq!(error.error_type, error_type, "{error}");
        assert!(error.error_message.contains(words), "{error}");
        let (proofs, logins) = logins(&env);
        assert!(proofs <= 1 && logins <= 2, "{proofs} {logins}");
    }
}

fn set_claim(env: &TestEnv, index: usize, value: &str) {
    let value = vec![value.to_owned()];
    let doppler = env.sandbox.doppler();
    doppler.change_identity(&env.identity, |settings| settings.claims[index].1 = value);
}

/// An identity that Doppler does not know, and a role that may not prove itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_identity_and_denied_role_are_named() {
    let env = TestEnvBuilder::quick().keyless().start().await;
    let unknown = "11111111-2222-4333-8444-555555555555";
    env.redeploy(&[("DOPPLER_IDENTITY", unknown)]).await;
    let (error, _) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "DopplerLoginRefused", "{error}");
    let words = "DOPPLER_IDENTITY names no identity";
    assert!(error.error_message.contains(words), "{error}");

    // The role of the template allows another audience.
    let env = TestEnvBuilder::quick().keyless().start().await;
    let mut function = env.function(&[]);
    let audience = "doppler/another".to_owned();
    function.env.insert("DOPPLER_AUDIENCE".to_owned(), audience);
    env.sandbox.deploy(function).await;
    let (error, _) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "StsFailed", "{error}");
    let words = "allow sts:GetWebIdentityToken for the audience DOPPLER_AUDIENCE";
    assert!(error.error_message.contains(words), "{error}");
    assert_eq!(env.roles.take_denials().len(), env.calls_of(PROOF));
    assert_eq!(env.calls_of(PROOF), 1, "a denied call is not repeated");
}

/// The message of STS is shown as its text, and not as its XML.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn message_of_sts_is_shown_unescaped() {
    const MESSAGE: &str = r#"1 < 2 & "&lt;" is > text"#;
    let env = TestEnvBuilder::quick().keyless().start().await;
    let refusal = FaultKind::refuse(400, "ValidationError", MESSAGE);
    let refusal = Fault::new(refusal).on(Service::Sts, PROOF);
    env.sandbox.faults().inject(refusal);
    let (error, _) = env.rotate_and_fail("testSecret").await;
    let refused = format!("GetWebIdentityToken: 400 ValidationError ({MESSAGE})");
    assert!(error.error_message.contains(&refused), "{error}");
    assert_eq!(env.calls_of(PROOF), 1);
}

/// A session that ends before the token would is not a reason to repeat the call: only another
/// invocation gets other credentials.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_that_ends_soon_is_not_repeated() {
    let env = TestEnvBuilder::quick().keyless().start().await;
    let refusal = FaultKind::refuse(403, "SessionDurationEscalationException", "too long");
    let refusal = Fault::new(refusal).on(Service::Sts, PROOF);
    env.sandbox.faults().inject(refusal);
    let (error, _) = env.rotate_and_fail("testSecret").await;
    assert_eq!(error.error_type, "StsFailed", "{error}");
    let words = "invoke the function again";
    assert!(error.error_message.contains(words), "{error}");
    assert_eq!(env.calls_of(PROOF), 1);
}

/// The deployment switches from the stored token to the identity, and back, between two runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_token_and_identity_replace_each_other() {
    let env = TestEnvBuilder::quick().start().await;
    env.rotate().await;
    let identity = create_identity(&env.sandbox);
    env.redeploy(&[
        ("DOPPLER_TOKEN_SECRET_ID", ""),
        ("DOPPLER_IDENTITY", &identity),
    ])
    .await;
    env.rotate().await;
    env.assert_agreement().await;
    assert_eq!(logins(&env), (1, 1));
    env.redeploy(&[]).await;
    env.rotate().await;
    env.assert_agreement().await;
    assert_eq!(logins(&env), (1, 1));
}
