//! The blocks for many secrets: fleet-and-regions.

use sandbox::Sandbox;
use tokio::time::timeout;

use super::MANUAL_KEY;
use super::listed::Commands;
use super::shell::{PATIENCE, Shell};
use crate::support::{SECRET, TestEnvBuilder, is_enabled, key_in};

fn current_key(sandbox: &Sandbox, name: &str) -> String {
    let secret = sandbox.secret(name);
    let text = secret.current().and_then(|version| version.text.clone());
    key_in(&text.expect("a value")).expect("a key")
}

/// After a leak, every secret of a fleet is rotated and its superseded keys are disabled, but no other secret's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_fleet_is_rotated_and_stopped_alone() {
    let fleet = TestEnvBuilder::plain().inheriting().env("SECRET_ID", "");
    let fleet = fleet.env("ALLOW_KEY_WITHOUT_PLAN", "true");
    let env = fleet.start().await;
    let sandbox = &env.sandbox;
    sandbox.create_secret("demo/second", None);
    sandbox.enable_rotation("demo/second");
    let names = [SECRET, "demo/second"];
    for name in names {
        let token = sandbox.rotate(name);
        let outcome = sandbox.rotation(&token).await;
        assert!(outcome.succeeded, "{:?}", outcome.error());
    }
    let leaked = names.map(|name| current_key(sandbox, name));
    for key in sandbox.keys() {
        sandbox.attach_key(&key.id, &env.plans[0]);
    }
    sandbox.create_secret("demo/another", Some(MANUAL_KEY));
    sandbox.clear_calls();

    let operator = Shell::of(&env, SECRET);
    let printed = operator.run(Commands::ListFleet).await;
    assert_eq!(printed.lines().count(), names.len(), "{printed}");
    let printed = operator.run(Commands::RotateFleet).await;
    let calls = sandbox.calls().into_iter();
    let rotations = calls.filter(|call| call.operation == "RotateSecret");
    assert_eq!(rotations.count(), names.len(), "{printed}");
    for (name, leaked) in names.iter().zip(&leaked) {
        assert!(printed.contains(name), "{printed}");
        let mut events = sandbox.watch();
        while sandbox.secret(name).pending().is_some() {
            let event = timeout(PATIENCE, events.recv()).await;
            assert!(event.is_ok(), "the rotation of {name} does not end");
        }
        let current = current_key(sandbox, name);
        assert!(current != *leaked, "{name} was not rotated");
    }
    let printed = operator.run(Commands::ListUnfinished).await;
    assert_eq!(printed.trim(), "");
    operator.run(Commands::StopFleet).await;
    for leaked in &leaked {
        assert_eq!(is_enabled(&env, leaked), Some(false));
    }
    for name in names {
        assert_eq!(is_enabled(&env, &current_key(sandbox, name)), Some(true));
    }
}

/// The list of stacks becomes the list that the other blocks read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_of_stacks_names_functions_and_secrets() {
    let env = TestEnvBuilder::plain().start().await;
    let operator = Shell::of(&env, SECRET);
    operator.run(Commands::ListStacks).await;
    let page = crate::support::markdown::page("fleet-and-regions");
    let command = "awk '{print $1, $2}' stacks.txt >rotation-secrets.txt";
    assert!(page.text.contains(command), "the page has another command");
    let read =
        "while read -r FUNCTION SECRET; do echo \"$FUNCTION|$SECRET\"; done <rotation-secrets.txt";
    let printed = operator.enter(&format!("{command}\n{read}")).await.stdout;
    assert_eq!(
        String::from_utf8_lossy(&printed),
        "partner-a|shop/partner-a\npartner-b|shop/partner-b\n"
    );
}
