//! `doctor` checks the login to Doppler with the function's role, and prints what Doppler must know.

use crate::account::{assert_problem, checks, healthy, surround, with_result};
use crate::doctor_rights::{deploy_with, needs_exactly, on_page, statements};
use crate::program::{run, run_unchanged};
use crate::support::emitted::assert_absent;
use crate::support::{TOKEN_SECRET, TestEnv, TestEnvBuilder};
use sandbox::iam::{Policy, Role};
use sandbox::{ACCOUNT, FUNCTION_ROLE_ARN};
use serde_json::Value;

fn keyless() -> TestEnvBuilder {
    TestEnvBuilder::quick().keyless()
}

fn set_subject(env: &TestEnv, subject: &str) {
    let subject = vec![subject.to_owned()];
    let doppler = env.sandbox.doppler();
    doppler.change_identity(&env.identity, |settings| settings.claims[1].1 = subject);
}

fn found<'a>(check: &'a Value, field: &str) -> &'a str {
    check[field].as_str().unwrap_or_default()
}

/// A set-up that works has no problem, and the texts to paste are those with which it works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_that_works_has_no_problem() {
    let env = healthy(keyless()).await;
    let (issuer, audience) = (
        env.sandbox.issuer_url(),
        format!("`doppler/{}`", env.identity),
    );
    let ended = run_unchanged(&env, &["doctor"]).await.with(0).says([
        &format!("the identity's discovery URL must be {issuer}"),
        &format!("the identity's audience must be {audience}"),
        &format!("the identity's subject must be {FUNCTION_ROLE_ARN}"),
        "the function has logged in, and reads 1 of 1 targets",
        "0 problems, 0 unknown",
    ]);
    assert!(!ended.stdout.contains("role.token"), "{ended:#?}");
    let login = &checks(&env, &[]).await["role.login"];
    assert_eq!(found(login, "found"), "the one call is allowed");
}

/// A stack without an identity has none of these checks, and its operator needs no right for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_token_needs_no_federation() {
    let env = healthy(TestEnvBuilder::quick()).await;
    let found = checks(&env, &[]).await;
    for name in ["doppler.federation", "doppler.subject", "role.login"] {
        assert!(!found.contains_key(name), "{name}");
    }
    assert_eq!(found["role.token"]["result"], "ok", "{found:#?}");
}

/// The account's switch is checked, with the command that switches it on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disabled_federation_is_found() {
    let env = healthy(keyless()).await;
    env.sandbox.switch_federation(false);
    let command = "`aws iam enable-outbound-web-identity-federation`";
    let found = checks(&env, &[]).await;
    assert_problem(&found, "doppler.federation", "disabled", command);
    assert_eq!(with_result(&found, "problem"), ["doppler.federation"]);
}

/// A role without the right, or with that of another audience, is found before a login fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_right_to_login_is_named() {
    let mut env = healthy(keyless()).await;
    let all = statements(&env);
    let fewer = all
        .iter()
        .filter(|statement| statement["Sid"] != "DopplerLogin");
    deploy_with(&env, &fewer.cloned().collect::<Vec<_>>()).await;
    let (denied, remedy) = ("sts:GetWebIdentityToken", "deploy the stack again");
    assert_problem(&checks(&env, &[]).await, "role.login", denied, remedy);
    let audience = ("DOPPLER_AUDIENCE".to_owned(), "doppler/another".to_owned());
    env.settings.extend([audience]);
    deploy_with(&env, &all).await;
    let found = checks(&env, &[]).await;
    assert_problem(&found, "role.login", denied, remedy);
    deploy_with(&env, &statements(&env)).await;
    let found = checks(&env, &[]).await;
    assert_eq!(found["role.login"]["result"], "ok", "{found:#?}");
}

/// A token and an identity at once are a problem of their own, besides the refused settings.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_beside_identity_is_found() {
    let env = healthy(keyless()).await;
    env.redeploy_unrestricted(&[("DOPPLER_TOKEN_SECRET_ID", TOKEN_SECRET)])
        .await;
    let found = checks(&env, &[]).await;
    assert_problem(&found, "doppler.login", "both set", "remove one of them");
    assert_problem(&found, "function.settings", "DOPPLER_IDENTITY", "docs/");
}

/// Before the first rotation, only a test rotation logs in; `doctor` says so, and names no token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn test_rotation_shows_first_login() {
    let setup = keyless().env("AWS_LAMBDA_LOG_FORMAT", "JSON");
    let env = setup.start().await;
    surround(&env);
    let before = checks(&env, &[]).await;
    assert_eq!(with_result(&before, "problem"), [""; 0], "{before:#?}");
    let targets = &before["doppler.targets"];
    assert_eq!(found(targets, "result"), "unknown", "{targets}");
    let next = found(targets, "next");
    assert!(next.contains("--test-rotation` logs in"), "{next}");
    assert!(!targets.to_string().contains("token"), "{targets}");
    assert_eq!(env.calls_of("OidcLogin"), 0);

    let (test, arguments) = ("function.test-rotation", ["--test-rotation", "--yes"]);
    let passed = checks(&env, &arguments).await;
    assert_eq!(found(&passed[test], "result"), "ok", "{passed:#?}");
    assert_eq!(env.calls_of("OidcLogin"), 1);

    set_subject(&env, "arn:aws:iam::123456789012:role/another");
    env.redeploy(&[]).await;
    let refused = checks(&env, &arguments).await;
    let page = "errors.md#dopplerloginrefused";
    assert_problem(&refused, test, "DopplerLoginRefused", page);
}

/// A login that Doppler refuses is a problem of the targets, with the page of identities.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_login_names_page_of_identities() {
    let env = healthy(keyless()).await;
    set_subject(&env, "arn:aws:iam::123456789012:role/another");
    env.redeploy(&[]).await;
    let found = checks(&env, &[]).await;
    let page = "docs/doppler-identity.md#set-it-up";
    assert_problem(&found, "doppler.targets", "subject", page);
}

/// The report for a public issue has the checks, and nothing of the identity.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn report_masks_identity() {
    for audience in ["", "doppler/partner-api-key", "doppler"] {
        let setup = keyless().env("DOPPLER_AUDIENCE", audience);
        let env = setup.start().await;
        surround(&env);
        let report = run(&env, &["doctor", "--report"]).await.with(0).says([
            "| doppler.federation | ok |",
            "| doppler.audience | ok | the identity's audience must be `<name>` |",
            "| doppler.subject | ok |",
        ]);
        let issuer = env.sandbox.issuer_url();
        for part in [ACCOUNT, "arn:aws", &issuer, &env.identity, audience] {
            if !part.is_empty() && part != "doppler" {
                assert_absent(&report.stdout, part, "the report");
            }
        }
    }
}

/// Without the right to read the switch, it is unknown, and the line names the right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denied_switch_is_unknown() {
    let env = healthy(keyless()).await;
    let policy = Policy::read([&on_page(&env, "## Least rights")]).expect("it is a policy");
    env.sandbox.limit_operator(Some(Role::new(policy)));
    let found = checks(&env, &[]).await;
    env.sandbox.limit_operator(None);
    assert_eq!(with_result(&found, "unknown"), ["doppler.federation"]);
    let next = found["doppler.federation"]["next"].to_string();
    let right = "allow iam:GetOutboundWebIdentityFederationInfo for your identity";
    assert!(next.contains(right), "{next}");
}

/// With an identity, exactly the page's policy and its addition are needed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_needs_exactly_policy_on_page() {
    let env = healthy(TestEnvBuilder::default().keyless()).await;
    let policies = [
        "## Least rights",
        "an identity](doppler-identity.md) instead",
    ]
    .map(|part| on_page(&env, part));
    needs_exactly(&env, &policies, &["doctor"]).await;
}
