//! How a word finds function, secret, stack and log.

use crate::program::{end, home, program, run, run_unchanged};
use crate::support::{SECRET, TestEnv, TestEnvBuilder, rotated};
use sandbox::{FUNCTION_ARN, FUNCTION_NAME};

/// Runs the program without a function's name in the environment.
async fn run_nameless(env: &TestEnv, arguments: &[&str]) -> crate::program::Ended {
    let home = home();
    let mut command = program(env, &home, arguments);
    command.env_remove("ROTATION_FUNCTION");
    end(command, None).await
}

/// A stack's name is enough for every word, whatever the function's name is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stack_names_function_and_secret() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    env.create_stack("partner-stack");
    let stack = ["--stack", "partner-stack"];
    let status = run_nameless(&env, &[&["status"][..], &stack].concat()).await;
    status.with(0).says(["superseded"]);
    let cancel = run_nameless(&env, &[&["cancel"][..], &stack].concat()).await;
    cancel.with(1).warns(["no rotation is under way"]);
    let why = run_nameless(&env, &[&["why"][..], &stack].concat()).await;
    why.with(0).says(["no error in the last 1 day"]);
    let config = run_nameless(&env, &[&["config"][..], &stack].concat()).await;
    config.with(0).says(["stack partner-stack"]);
    let missing = run_nameless(&env, &["status", "--stack", "other"])
        .await
        .with(1);
    missing.warns(["Stack with id other does not exist", "check --stack"]);
}

/// `config` finds the stack by the function's tag, from a name, an ARN or the secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn function_tag_names_stack() {
    let env = TestEnvBuilder::plain().start().await;
    let orphan = run_unchanged(&env, &["config"]).await.with(2);
    orphan.warns(["no stack deployed it", "--stack"]);
    env.create_stack("partner-stack");
    for named in [
        ["--function", FUNCTION_NAME],
        ["--function", FUNCTION_ARN],
        ["--secret", SECRET],
    ] {
        let arguments = [&["config", "GracePeriod"][..], &named].concat();
        let shown = run_nameless(&env, &arguments).await.with(0);
        assert!(shown.stdout.starts_with("24h\n"), "{shown:#?}");
    }
}

/// What the command line names precedes what the environment names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn option_precedes_variable() {
    let env = TestEnvBuilder::plain().start().await;
    env.create_stack("partner-stack");
    let home = home();
    // The variable names a function that does not exist.
    let mut command = program(&env, &home, &["status", "--stack", "partner-stack"]);
    command.env("ROTATION_FUNCTION", "other");
    end(command, None).await.with(0);
    let mut command = program(&env, &home, &["status", "--function", FUNCTION_NAME]);
    command.env("ROTATION_STACK", "other");
    end(command, None).await.with(0);
}

/// The secret is described once to find its function, however often the function is invoked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secret_names_function_once() {
    let env = TestEnvBuilder::plain().start().await;
    env.rotate().await;
    let stop = ["stop", "--yes", "--secret", SECRET];
    // It reads the status and stops: two invocations, each with reads of its own.
    env.sandbox.clear_calls();
    run(&env, &stop).await.with(0);
    let named = env.calls_of("DescribeSecret");
    env.sandbox.clear_calls();
    run_nameless(&env, &stop).await.with(0);
    assert_eq!(env.calls_of("DescribeSecret"), named + 1);
}
