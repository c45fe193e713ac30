//! What `doctor` creates: keys of its own, which it removes, also after Ctrl-C and after a kill.

use std::process::Stdio;
use std::time::Duration;

use crate::account::{by_name, checks, healthy, with_result};
use crate::program::{end, home, in_terminal, program, run, run_unchanged};
use crate::support::{TestEnv, TestEnvBuilder};
use sandbox::{Fault, FaultKind, Service};
use serde_json::json;

/// Returns the names of the keys of `doctor`.
fn own_keys(env: &TestEnv) -> Vec<String> {
    let keys = env.sandbox.keys().into_iter();
    let names = keys.map(|key| key.name);
    names
        .filter(|name| name.starts_with("rotation:doctor/"))
        .collect()
}

/// The role's calls work, what it must not do is denied, and no key is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probed_role_may_what_it_needs() {
    let env = healthy(TestEnvBuilder::plain()).await;
    env.sandbox
        .change_account(|account| account.role_trusts_operator = true);
    let before = env.sandbox.keys();
    let found = checks(&env, &["--probe-role", "--questions", "--yes"]).await;
    assert_eq!(with_result(&found, "problem"), [""; 0], "{found:#?}");
    for name in [
        "probe.list",
        "probe.update",
        "probe.attach",
        "probe.plan-key",
        "probe.delete",
        "question.tags-at-creation",
        "question.other-owner",
        "question.stage-keys",
        "question.tag-existing",
        "question.patch-other",
        "question.delete-other",
        "question.listed-tags",
        "question.last-updated",
        "doctor.removed",
    ] {
        assert_eq!(found[name]["result"], "ok", "{name}: {found:#?}");
    }
    assert_eq!(env.sandbox.keys(), before);
    let stray = env.sandbox.calls();
    let created = stray.iter().filter(|call| call.operation == "CreateApiKey");
    assert!(created.count() >= 5, "it tried too little");
}

/// A role that trusts only Lambda is not assumed, and the statement to add names the operator.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn untrusted_operator_is_told_statement() {
    let env = healthy(TestEnvBuilder::plain()).await;
    let found = checks(&env, &["--probe-role", "--yes"]).await;
    assert_eq!(found["probe.role"]["result"], "unknown", "{found:#?}");
    let next = found["probe.role"]["next"].as_str().expect("there is one");
    assert!(next.contains(sandbox::OPERATOR_ARN), "{next}");
    assert!(next.contains("remove it afterwards"), "{next}");
    assert_eq!(own_keys(&env), [""; 0]);
}

/// A role that may change every key, and one that may not tag, are found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_rights_of_role_are_found() {
    let env = healthy(TestEnvBuilder::plain()).await;
    env.sandbox
        .change_account(|account| account.role_trusts_operator = true);
    let denied = FaultKind::refuse(
        403,
        "AccessDeniedException",
        "is not authorized to perform: apigateway:PUT on resource: x because no identity-based policy allows it",
    );
    env.sandbox
        .faults()
        .inject(Fault::new(denied).on(Service::ApiGateway, "CreateApiKey"));
    let found = checks(&env, &["--probe-role", "--yes"]).await;
    let question = &found["question.tags-at-creation"];
    assert_eq!(question["result"], "problem", "{found:#?}");
    assert!(
        question["next"]
            .to_string()
            .contains("WiderTagPermission=true")
    );
    deploy(&env, everything()).await;
    let found = checks(&env, &["--probe-role", "--yes"]).await;
    for name in [
        "question.tag-existing",
        "question.patch-other",
        "question.delete-other",
        "question.other-owner",
    ] {
        assert_eq!(found[name]["result"], "problem", "{name}: {found:#?}");
    }
    assert_eq!(own_keys(&env), [""; 0]);
}

async fn deploy(env: &TestEnv, role: sandbox::iam::Role) {
    let function = sandbox::Function {
        env: env.settings.clone(),
        ..sandbox::Function::new(crate::support::binary())
    };
    env.sandbox.deploy(function.role(role)).await;
}

fn everything() -> sandbox::iam::Role {
    let statement = json!({ "Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*" });
    let policy = json!({ "Version": "2012-10-17", "Statement": [statement] });
    sandbox::iam::Role::new(sandbox::iam::Policy::read([&policy]).expect("it is a policy"))
}

/// A role whose tag condition does not match its own keys is found, after IAM had time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_tag_of_own_key_is_found() {
    let env = healthy(TestEnvBuilder::plain()).await;
    env.sandbox
        .change_account(|account| account.role_trusts_operator = true);
    let denied = FaultKind::refuse(
        403,
        "AccessDeniedException",
        "is not authorized to perform: apigateway:PATCH",
    );
    let denied = Fault::new(denied).on(Service::ApiGateway, "UpdateApiKey");
    let first = env.sandbox.faults().inject(denied.clone());
    let found = checks(&env, &["--probe-role", "--yes"]).await;
    assert_eq!(first.fired(), 1);
    assert_eq!(
        found["probe.update"]["result"], "ok",
        "it was not tried again"
    );
    env.sandbox.faults().inject(denied.every());
    let found = checks(&env, &["--probe-role", "--yes"]).await;
    assert_eq!(found["probe.update"]["result"], "problem", "{found:#?}");
    let next = found["question.own-key"]["next"].to_string();
    assert!(next.contains("WiderKeyPermission=true"), "{next}");
    assert_eq!(own_keys(&env), [""; 0]);
}

/// The session may do what tags at a creation may take, so the role decides; a denial of the session
/// itself says nothing of the role.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn denial_of_session_is_unknown() {
    let env = healthy(TestEnvBuilder::plain()).await;
    env.sandbox
        .change_account(|account| account.role_trusts_operator = true);
    for operation in ["CreateApiKey", "UpdateApiKey", "DeleteApiKey"] {
        let denied = FaultKind::refuse(
            403,
            "AccessDeniedException",
            "is not authorized to perform: apigateway:PUT because no session policy allows the apigateway:PUT action",
        );
        let denied = Fault::new(denied).on(Service::ApiGateway, operation);
        env.sandbox.faults().inject(denied);
        let found = checks(&env, &["--probe-role", "--yes"]).await;
        assert_eq!(with_result(&found, "problem"), [""; 0], "{found:#?}");
        assert!(!with_result(&found, "unknown").is_empty(), "{operation}");
        env.sandbox.faults().clear();
    }
    assert_eq!(own_keys(&env), [""; 0]);
}

/// Once the role may do what tags at a creation take, `doctor` does not ask for it again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wider_tag_permission_settles_question() {
    let env = healthy(TestEnvBuilder::plain()).await;
    env.sandbox.change_account(|account| {
        account.role_trusts_operator = true;
        account.tags_take_put_on_keys = true;
    });
    let question = async || {
        let found = checks(&env, &["--probe-role", "--yes"]).await;
        found["question.tags-at-creation"].clone()
    };
    let narrow = question().await;
    assert_eq!(narrow["result"], "problem", "{narrow}");
    assert!(narrow["next"].to_string().contains("WiderTagPermission"));
    deploy(&env, everything()).await;
    let wide = question().await;
    assert_eq!(wide["result"], "ok", "{wide}");
    assert_eq!(own_keys(&env), [""; 0]);
}

/// A key that cannot be removed keeps no other, and what was found is shown first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_that_stays_is_reported_after_checks() {
    let env = healthy(TestEnvBuilder::plain()).await;
    env.sandbox
        .change_account(|account| account.role_trusts_operator = true);
    let refused = FaultKind::refuse(400, "BadRequestException", "it stays");
    let refused = Fault::new(refused).on(Service::ApiGateway, "DeleteApiKey");
    // The role deletes its key; then three are removed, the first of which is gone.
    let faults = env.sandbox.faults();
    let handle = faults.inject(refused.nth(3));
    let ended = run(&env, &["doctor", "--probe-role", "--yes", "--json"]).await;
    let found = by_name(&ended.with(1));
    assert_eq!(with_result(&found, "problem"), ["doctor.removed"]);
    assert_eq!((handle.seen(), handle.fired()), (4, 1));
    assert_eq!(own_keys(&env).len(), 1);
    run(&env, &["doctor"]).await.with(0);
    assert_eq!(own_keys(&env), [""; 0]);
}

/// A list of keys without end ends the removal of what is left, and not the program's memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_list_of_keys_is_unknown() {
    let env = healthy(TestEnvBuilder::plain()).await;
    let page = json!({ "item": [], "position": "again" }).to_string();
    let page = FaultKind::answer(200, "application/json", page);
    let page = Fault::new(page).on(Service::ApiGateway, "GetApiKeys");
    env.sandbox.faults().inject(page.every());
    let found = checks(&env, &[]).await;
    let left = &found["doctor.leftovers"];
    assert_eq!(left["result"], "unknown", "{left}");
    assert!(left["found"].to_string().contains("has no end"), "{left}");
}

/// Wrong answers to the questions about keys are problems with their page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unexpected_answers_are_problems() {
    let env = healthy(TestEnvBuilder::plain()).await;
    let sandbox = &env.sandbox;
    let recorded = |value: &str| json!({ "eventName": "CreateApiKey", "responseElements": { "value": value } });
    sandbox.change_account(|account| {
        let masked = recorded("HIDDEN_DUE_TO_SECURITY_REASONS");
        account.recorded.push(("CreateApiKey".to_owned(), masked));
    });
    let found = checks(&env, &["--questions", "--yes"]).await;
    assert_eq!(
        found["question.recorded-value"]["result"], "ok",
        "{found:#?}"
    );
    assert_eq!(found["question.usage-without-quota"]["result"], "unknown");
    let by_value = json!({ "usagePlanId": env.plans[0], "values": { "a1b2c3d4e5": [[7, 0]] } });
    let by_value = FaultKind::answer(200, "application/json", by_value.to_string());
    sandbox
        .faults()
        .inject(Fault::new(by_value).on(Service::ApiGateway, "GetUsage"));
    sandbox.change_account(|account| {
        let shown = recorded("RecordedRecordedRecordedRecordedRecorded");
        account.recorded.push(("CreateApiKey".to_owned(), shown));
    });
    let no_date = FaultKind::answer(
        200,
        "application/json",
        json!({ "id": "a1b2c3d4e5" }).to_string(),
    );
    sandbox
        .faults()
        .inject(Fault::new(no_date).on(Service::ApiGateway, "GetApiKey"));
    let found = checks(&env, &["--questions", "--yes"]).await;
    assert_eq!(
        found["question.recorded-value"]["result"], "problem",
        "{found:#?}"
    );
    assert!(
        !found["question.recorded-value"]
            .to_string()
            .contains("Recorded")
    );
    assert_eq!(found["question.usage-without-quota"]["result"], "problem");
    assert_eq!(
        found["question.last-updated"]["result"], "problem",
        "{found:#?}"
    );
    assert_eq!(own_keys(&env), [""; 0]);
}

/// `--dry-run` says what would be created, and creates nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dry_run_creates_nothing() {
    let env = healthy(TestEnvBuilder::plain()).await;
    env.sandbox.clear_calls();
    let all = [
        "doctor",
        "--probe-role",
        "--questions",
        "--test-rotation",
        "--dry-run",
    ];
    let ended = run_unchanged(&env, &all).await.with(0);
    ended.says([
        "test rotation",
        "disabled API key",
        "assumes the function's role",
    ]);
    assert_eq!(env.sandbox.calls(), []);
}

/// Without `--yes` and without a terminal, nothing is created; on a terminal, only the word yes does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creation_asks_first() {
    let env = healthy(TestEnvBuilder::plain()).await;
    let ended = run_unchanged(&env, &["doctor", "--questions"])
        .await
        .with(2);
    ended.warns(["not confirmed", "--yes"]);
    let question = "Type yes to continue:";
    let (status, shown) =
        in_terminal(&env, "doctor --questions", Some((question, "no")), &[]).await;
    assert_eq!(status, 2, "{shown}");
    assert_eq!(env.calls_of("CreateApiKey"), 1, "more than the rotation's");
    let (status, shown) =
        in_terminal(&env, "doctor --questions", Some((question, "yes")), &[]).await;
    assert_eq!(status, 0, "{shown}");
    assert_eq!(env.calls_of("CreateApiKey"), 2);
    assert_eq!(own_keys(&env), [""; 0]);
}

/// A killed run leaves its key, which any later run removes and names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_run_is_cleaned_up() {
    let env = healthy(TestEnvBuilder::plain()).await;
    interrupt(&env, "KILL").await;
    assert_eq!(own_keys(&env).len(), 1, "it left no key");
    let ended = run(&env, &["doctor"]).await.with(0);
    ended.warns(["a run of doctor that was killed left"]);
    assert_eq!(own_keys(&env), [""; 0]);
}

/// Ctrl-C and SIGTERM end a run after it has removed its key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_run_removes_its_key() {
    let env = healthy(TestEnvBuilder::plain()).await;
    for signal in ["INT", "TERM"] {
        let status = interrupt(&env, signal).await;
        assert_eq!(status, Some(130), "{signal}");
        assert_eq!(own_keys(&env), [""; 0], "{signal}");
    }
}

/// Sends a signal to a run once it has created its key. Returns its exit status.
async fn interrupt(env: &TestEnv, signal: &str) -> Option<i32> {
    let home = home();
    let mut command = program(env, &home, &["doctor", "--questions", "--yes"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let (created, mut arrived) = tokio::sync::mpsc::unbounded_channel();
    let hook = FaultKind::after(move || {
        created.send(()).ok();
        async {}
    });
    env.sandbox
        .faults()
        .inject(Fault::new(hook).on(Service::ApiGateway, "CreateApiKey"));
    let mut child = command.spawn().expect("it starts");
    arrived.recv().await.expect("it creates a key");
    let pid = child.id().expect("it runs").to_string();
    let killed = tokio::process::Command::new("kill")
        .args(["-s", signal, &pid])
        .status()
        .await;
    assert!(killed.expect("kill runs").success());
    let ended = tokio::time::timeout(Duration::from_mins(1), child.wait()).await;
    ended.expect("it ends").expect("it ends").code()
}

/// A key of another operator's run is left alone while that run may use it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_of_other_operator_is_left_until_old() {
    let env = healthy(TestEnvBuilder::plain()).await;
    let id = env.sandbox.create_key(
        "rotation:doctor/000000000000/1",
        "OtherOtherOtherOtherOther",
        &[],
    );
    env.sandbox.set_key_enabled(&id, false);
    let home = home();
    let ended = end(program(&env, &home, &["doctor", "--json"]), None)
        .await
        .with(0);
    assert_eq!(by_name(&ended)["doctor.leftovers"]["result"], "unknown");
    env.sandbox.age_key(&id, Duration::from_mins(20));
    run(&env, &["doctor"])
        .await
        .with(0)
        .says(["removed 1 keys"]);
    assert_eq!(own_keys(&env), [""; 0]);
}
