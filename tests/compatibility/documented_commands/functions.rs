//! The functions of `docs/rotation.sh` in bash and zsh, and the blocks that need only `CloudFormation`'s answers.

use super::listed::Commands;
use super::shell::Shell;
use crate::support::role::TEMPLATE;
use crate::support::{SECRET, TOKEN_SECRET, TestEnv, TestEnvBuilder};
use serde_json::{Value, json};

/// Defines an `aws` that answers for `CloudFormation`, as for a stack of the template, and passes on other calls.
fn cloud_formation(env: &TestEnv) -> String {
    let parameters: Vec<_> = TEMPLATE.section("Parameters").keys().collect();
    format!(
        "aws() {{
           case \"$1 $2 $*\" in
             'cloudformation describe-stacks '*\"'SecretArn'\"*) printf '%s\\n' '{secret}' ;;
             'cloudformation describe-stacks '*\"'FunctionArn'\"*) printf '%s\\n' '{function}' ;;
             'cloudformation describe-stacks '*\"'DopplerTokenSecretArn'\"*) printf '%s\\n' '{token}' ;;
             'cloudformation describe-stacks '*'[].ParameterKey'*) printf '%s\\n' '{parameters}' ;;
             'cloudformation update-stack '* | 'cloudformation wait '*) printf '%s\\n' \"$*\" ;;
             'cloudformation '*) echo \"unexpected: $*\"; return 1 ;;
             *) command aws \"$@\" ;;
           esac
         }}",
        secret = env.sandbox.secret(SECRET).arn,
        function = function_arn(),
        token = env.sandbox.secret(TOKEN_SECRET).arn,
        parameters = json!(parameters),
    )
}

fn function_arn() -> String {
    format!(
        "arn:aws:lambda:{}:{}:function:{}",
        sandbox::REGION,
        sandbox::ACCOUNT,
        sandbox::FUNCTION_NAME
    )
}

/// Each function of `rotation.sh` works in both shells, and fails with a reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_functions_work_in_bash_and_zsh() {
    let env = TestEnvBuilder::plain().start().await;
    env.rotate().await;
    let arn = env.sandbox.secret(SECRET).arn;
    let stub = cloud_formation(&env);
    // Commands, whether they succeed, and what they print.
    let cases = [
        (
            "rotation_use rotation",
            true,
            format!("function rotation, secret {SECRET}\n"),
        ),
        (
            &format!("rotation_use rotation {arn}; echo \"$F $S\""),
            true,
            format!("function rotation, secret {SECRET}\nrotation {SECRET}\n"),
        ),
        (
            "aws() { :; }; rotation_use rotation",
            false,
            "stack rotation serves a fleet: rotation_use rotation SECRET\n".to_owned(),
        ),
        (
            "rotation_pending",
            false,
            "no version is pending: no rotation is under way\n".to_owned(),
        ),
        // The AWS CLI has said why: no traceback of Python follows.
        (
            "aws() { return 1; }; rotation_pending",
            false,
            String::new(),
        ),
        (
            "aws() { return 1; }; rotation_change GracePeriod=1h",
            false,
            String::new(),
        ),
        (
            "rotation_invoke reconcile GracePeriod",
            false,
            "GracePeriod: write FIELD=VALUE\n".to_owned(),
        ),
        (
            "rotation_change Nonsense=1",
            false,
            "there is no parameter Nonsense\n".to_owned(),
        ),
        (
            "rotation_change",
            false,
            "name a parameter: PARAMETER=VALUE\n".to_owned(),
        ),
        (
            "rotation_change GracePeriod",
            false,
            "GracePeriod: write PARAMETER=VALUE\n".to_owned(),
        ),
    ];
    for shell in ["bash", "zsh"] {
        let operator = Shell::of(&env, SECRET);
        for (commands, succeeds, expected) in &cases {
            let output = operator
                .enter_in(shell, &format!("{stub}\n{commands}"))
                .await;
            let printed = String::from_utf8_lossy(&output.stdout);
            assert_eq!(printed, *expected, "{shell}: {commands}");
            assert_eq!(output.status.success(), *succeeds, "{shell}: {commands}");
        }
        for (commands, words) in [
            (
                "rotation_invoke reconcile SecretId=",
                "done: nothing\nkey: ",
            ),
            ("rotation_invoke nonsense", "UnknownStep: "),
        ] {
            let printed = operator.enter_in(shell, commands).await.stdout;
            let printed = String::from_utf8_lossy(&printed);
            assert!(printed.contains(words), "{shell}: {commands}: {printed}");
        }

        let commands = format!("{stub}\nrotation_change 'GracePeriod=1d 12h' ScheduleExpression=");
        let output = operator.enter_in(shell, &commands).await;
        assert!(output.status.success(), "{shell}");
        let sent = std::fs::read(operator.home.path().join("rotation-parameters.json"));
        let sent: Value = serde_json::from_slice(&sent.expect("it is written")).expect("JSON");
        let sent = sent.as_array().expect("a list");
        assert_eq!(sent.len(), TEMPLATE.section("Parameters").len());
        for parameter in sent {
            let expected = match parameter["ParameterKey"].as_str() {
                Some("GracePeriod") => ("ParameterValue", json!("1d 12h")),
                Some("ScheduleExpression") => ("ParameterValue", json!("")),
                _ => ("UsePreviousValue", json!(true)),
            };
            assert_eq!(parameter[expected.0], expected.1, "{shell}");
        }
    }
}

/// The blocks that read or change a stack name parameters that the template has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_for_stack_name_its_parameters() {
    let env = TestEnvBuilder::plain().start().await;
    env.rotate().await;
    let operator = Shell::of(&env, SECRET);
    let stub = cloud_formation(&env);
    for block in [
        Commands::AddMirror,
        Commands::ChangeParameter,
        Commands::TurnNoticesOn,
        Commands::NameTopic,
        Commands::NameToken,
        Commands::SwitchToIdentity,
        Commands::AdoptTarget,
    ] {
        let printed = operator.run_after(&stub, block).await;
        assert!(
            printed.contains("cloudformation update-stack "),
            "{printed}"
        );
    }
    let printed = operator.run_after(&stub, Commands::ShowSecretArn).await;
    assert_eq!(printed.trim(), env.sandbox.secret(SECRET).arn);
}

/// The account is switched on once, and the stored token is deleted after a reconciliation without it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn identity_replaces_stored_token() {
    let env = TestEnvBuilder::quick().keyless().start().await;
    env.rotate().await;
    env.sandbox.switch_federation(false);
    let operator = Shell::of(&env, SECRET);
    operator.run(Commands::EnableFederation).await;
    let issuer = operator.run(Commands::ShowIssuer).await;
    assert_eq!(issuer.trim(), env.sandbox.issuer_url());
    let subject = operator.run(Commands::PrintSubject).await;
    let role = "arn:aws:iam::123456789012:role/partner-api-key-Role-rotation";
    assert_eq!(subject.trim(), role);
    operator.run(Commands::CheckIdentity).await;
    env.sandbox
        .create_secret("shop/doppler-token", Some("dp.st.prd.old"));
    operator.run(Commands::DeleteTokenSecret).await;
    assert_eq!(env.calls_of("DeleteSecret"), 1);
}

/// A token is replaced in the secret that the stack names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn token_is_replaced_in_its_secret() {
    let env = TestEnvBuilder::plain().start().await;
    let operator = Shell::of(&env, SECRET);
    let before = format!("{}\nTOKEN=dp.st.prd.another", cloud_formation(&env));
    operator.run_after(&before, Commands::ReplaceToken).await;
    let secret = env.sandbox.secret(TOKEN_SECRET);
    let text = secret.current().and_then(|version| version.text.clone());
    assert_eq!(text.as_deref(), Some("dp.st.prd.another"));
}

/// A secret is put into a fleet with a test rotation, which creates no key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_is_added_to_fleet_without_rotation() {
    const NAME: &str = "shop/another-key";
    let fleet = TestEnvBuilder::plain().inheriting().env("SECRET_ID", "");
    let env = fleet.start().await;
    env.sandbox.create_secret(NAME, Some(super::MANUAL_KEY));
    env.sandbox
        .create_key("manual", super::MANUAL_KEY, &[&env.plans[0]]);
    let operator = Shell::of(&env, SECRET);
    let printed = operator
        .run_after(&cloud_formation(&env), Commands::AddToFleet)
        .await;
    let token = super::shell::last_version(&printed);
    let outcome = env.sandbox.rotation(&token).await;
    assert!(outcome.succeeded, "{:?}\n{}", outcome.error(), env.log());
    let secret = env.sandbox.secret(NAME);
    assert!(secret.rotation_enabled);
    assert_eq!(env.sandbox.keys().len(), 1, "a key was created");
}
