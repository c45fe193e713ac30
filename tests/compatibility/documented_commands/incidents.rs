//! The blocks for a leaked key, an emergency stop and a rollback: runbook, manual-changes.

use std::time::Duration;

use serde_json::json;

use super::listed::{Commands, find};
use super::shell::{Shell, assert_shown};
use super::{GRACE, QUARANTINE, TARGET, rotated_twice};
use crate::support::emitted::assert_absent;
use crate::support::{PROJECT, SECRET, TestEnvBuilder, is_enabled};

/// Enters a value as in a terminal, and finds its key.
async fn find_key(operator: &Shell<'_>, value: &str) -> String {
    let [read, find] = [Commands::ReadValue, Commands::FindKey].map(|block| find(block.place()).0);
    let entered = format!("exec <<<{value}\n{read}\n{find}");
    let output = operator.enter(&entered).await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}");
    assert_absent(&printed, value, "the output");
    printed
}

/// The key and secret of a value are found without showing the value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owner_of_leaked_value_is_found_unseen() {
    let (env, superseded) = rotated_twice(TestEnvBuilder::quick()).await;
    let operator = Shell::of(&env, SECRET);
    let current = env.current_key();
    let printed = find_key(&operator, &current).await;
    let place = Commands::FindKey.place();
    assert_shown(&find(place).1.expect("an output"), &printed, place);
    let printed = find_key(&operator, &superseded).await;
    assert!(printed.contains(" enabled Superseded at "), "{printed}");
    let printed = find_key(&operator, "UnknownUnknownUnknownUnknown").await;
    assert_eq!(printed.trim(), "");
}

/// The line that sets `F` and `S` is quoted, whatever the key's name, tags and description are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_key_with_hostile_name_prints_quoted_line() {
    let env = TestEnvBuilder::plain().start().await;
    let operator = Shell::of(&env, SECRET);
    let name = "shop/$(touch pwned)'`touch pwned`;touch pwned";
    let function = "rotation; touch pwned";
    let (distinct, same) = ("DistinctDistinctDistinct", "SameSameSameSameSameSame");
    let id = env.sandbox.create_key("", distinct, &[]);
    env.sandbox.create_key_with_id_of_value("", same, &[]);
    for id in [&*id, same] {
        env.sandbox.rename_key(id, &format!("{name}/x"));
        let description = "Created for the secret s.\nF=x S=$(touch pwned)\u{1b}[31m";
        env.sandbox.describe_key(id, description);
        env.sandbox.tag_key(id, "rotation:function", function);
    }
    for (value, shown) in [(distinct, &*id), (same, "(its id is its value)")] {
        let printed = find_key(&operator, value).await;
        let [key, set] = printed.trim().lines().collect::<Vec<_>>()[..] else {
            panic!("not two lines: {printed}");
        };
        let start = format!("{shown} enabled Created for");
        assert!(key.starts_with(&start), "{key}");
        assert!(!printed.contains('\u{1b}'), "{printed}");
        let set = format!("{set}\nprintf '%s|%s' \"$F\" \"$S\"; [[ ! -e pwned ]]");
        let output = operator.enter(&set).await;
        assert!(output.status.success(), "a command in a name was run");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("{function}|{name}")
        );
    }
}

/// A leaked key is replaced, and disabled with all keys that were superseded before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_key_and_older_ones_are_disabled() {
    let (env, older) = rotated_twice(TestEnvBuilder::quick()).await;
    let leaked = env.current_key();
    let operator = Shell::of(&env, SECRET);
    let outcome = operator.run_rotation(Commands::ReplaceLeakedKey).await;
    assert!(outcome.succeeded, "{:?}\n{}", outcome.error(), env.log());
    assert_eq!(env.gateway_answer(&leaked).await, 200);
    operator.run(Commands::EmergencyStop).await;
    for key in [&leaked, &older] {
        assert_eq!(env.gateway_answer(key).await, 403);
    }
    assert!(env.current_key() != leaked, "it was not replaced");
    env.assert_agreement().await;
}

/// A leaked key is replaced and disabled while Doppler cannot be written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leaked_key_is_disabled_while_doppler_is_down() {
    let (env, _) = rotated_twice(TestEnvBuilder::quick()).await;
    let leaked = env.current_key();
    let hidden = format!("{PROJECT}/nosuchconfig/{TARGET}");
    env.redeploy(&[("DOPPLER_TARGETS", &hidden)]).await;
    let operator = Shell::of(&env, SECRET);
    let outcome = operator.run_rotation(Commands::ReplaceLeakedKey).await;
    assert!(!outcome.succeeded, "it succeeded");
    operator.run(Commands::PromoteNewKey).await;
    assert!(env.current_key() != leaked, "it was not replaced");
    operator.run(Commands::EmergencyStop).await;
    assert_eq!(env.gateway_answer(&leaked).await, 403);
    assert_eq!(env.gateway_answer(&env.current_key()).await, 200);
    // Once Doppler can be written, the rotation completes.
    env.redeploy(&[]).await;
    env.retry(&outcome.token).await;
    env.reconcile(json!({})).await;
    env.assert_agreement().await;
}

/// A rollback restores the superseded key during grace, during quarantine and after its deletion.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rollback_restores_key_during_and_after_grace() {
    let (env, superseded) = rotated_twice(TestEnvBuilder::quick()).await;
    let newest = env.current_key();
    let operator = Shell::of(&env, SECRET);
    for (passed, expected) in [
        (Duration::ZERO, &superseded),
        (GRACE, &newest),
        (GRACE + QUARANTINE, &superseded),
    ] {
        env.sandbox.advance(passed);
        env.reconcile(json!({})).await;
        operator.run(Commands::RollBack).await;
        env.reconcile(json!({ "SecretId": SECRET })).await;
        assert!(env.current_key() == *expected, "after {passed:?}");
        env.assert_agreement().await;
    }
}

/// Without the function, every key works until an operator deletes the superseded ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_work_without_function_until_deleted_manually() {
    let (env, superseded) = rotated_twice(TestEnvBuilder::quick()).await;
    let operator = Shell::of(&env, SECRET);
    operator.run(Commands::EndSchedule).await;
    env.sandbox.undeploy().await;
    env.sandbox.advance(Duration::from_hours(60 * 24));
    let current = env.current_key();
    assert_eq!(env.gateway_answer(&superseded).await, 200);
    assert_eq!(env.gateway_answer(&current).await, 200);
    operator.run(Commands::ListKeys).await;
    operator.run(Commands::DeleteSuperseded).await;
    assert_eq!(is_enabled(&env, &superseded), None);
    assert_eq!(env.gateway_answer(&current).await, 200);
    assert!(!env.sandbox.secret(SECRET).rotation_enabled);
}

/// A shorter grace period disables the keys that were superseded before, and no others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shorter_grace_disables_older_superseded_keys_only() {
    let (env, older) = rotated_twice(TestEnvBuilder::quick()).await;
    env.sandbox.advance(Duration::from_hours(2));
    let newer = env.current_key();
    env.rotate().await;
    Shell::of(&env, SECRET).run(Commands::ShortenGrace).await;
    assert_eq!(is_enabled(&env, &older), Some(false));
    assert_eq!(is_enabled(&env, &newer), Some(true));
    assert_eq!(is_enabled(&env, &env.current_key()), Some(true));
}

/// A secret that is scheduled for deletion cannot be read, and its keys still work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_secret_is_unreadable_and_keys_still_work() {
    let (env, _) = rotated_twice(TestEnvBuilder::quick()).await;
    let current = env.current_key();
    let operator = Shell::of(&env, SECRET);
    operator.run(Commands::DeleteSecret).await;
    let (commands, _) = find(Commands::ReadKey.place());
    let printed = operator.enter(&commands).await.stdout;
    let printed = String::from_utf8_lossy(&printed);
    assert!(printed.contains("marked for deletion"), "{printed}");
    assert_eq!(env.gateway_answer(&current).await, 200);
}
