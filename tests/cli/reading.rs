//! Words that change nothing: `status`, `whose` and `usage`.

use std::collections::BTreeSet;

use regex::Regex;

use crate::program::{home, in_terminal, program, run, run_unchanged, run_with};
use crate::support::emitted::assert_absent;
use crate::support::markdown::read;
use crate::support::{SECRET, TestEnvBuilder, create_managed_key, rotated};

/// The table has each key with its state and its next change, and each target.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_shows_keys_and_targets() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let id = |value: &str| env.sandbox.key_with_value(value).expect("it exists").id;
    let (current, superseded) = (id(&env.current_key()), id(&superseded));
    let shown = run_unchanged(&env, &["status"]).await.with(0);
    let line = |id: &str| {
        let mut lines = shown.stdout.lines();
        lines
            .find(|line| line.starts_with(id))
            .expect("it is shown")
    };
    assert!(line(&current).contains("current"), "{shown:#?}");
    assert!(line(&superseded).contains("superseded"), "{shown:#?}");
    assert!(line(&superseded).contains("disable at 20"), "{shown:#?}");
    assert!(
        line("acme/prd/PARTNER_API_KEY").ends_with("current"),
        "{shown:#?}"
    );
    assert!(!shown.stdout.contains('\x1b'), "colour without a terminal");
}

/// The page shows what the program prints, with other ids and times.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_is_as_on_page() {
    let (env, superseded) = rotated(TestEnvBuilder::quick()).await;
    let id = |value: &str| env.sandbox.key_with_value(value).expect("it exists").id;
    let shown = run(&env, &["status"]).await.with(0).stdout;
    let shown = shown
        .replace(&id(&env.current_key()), "u7g9e9o2es")
        .replace(&id(&superseded), "a1b2c3d4e5")
        .replace("acme/", "shop/");
    let blocks = read("docs/rotationctl.md").blocks();
    let mut texts = blocks.iter().filter(|block| block.language == "text");
    let page = &texts.next().expect("there is the output").text;
    let id_or_time = Regex::new(r"[^ ]*[0-9][^ ]*").expect("a valid pattern");
    let lines = |text: &str| -> BTreeSet<String> {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines = text
            .lines()
            .map(|line| id_or_time.replace_all(&words(line), "#").into_owned());
        lines.collect()
    };
    assert_eq!(lines(&shown), lines(page), "{shown}");
}

/// JSON is the function's own report, and nothing else is on standard output.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_json_is_the_report() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let shown = run_unchanged(&env, &["status", "--json", "--secret", SECRET])
        .await
        .with(0);
    let report = shown.json();
    assert_eq!(report["step"], "status");
    let keys = report["secrets"][0]["status"]["keys"].as_array();
    assert_eq!(keys.map(Vec::len), Some(2), "{report}");
}

/// The secret alone is enough, because it names its rotation function.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn status_needs_only_secret() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let home = home();
    let mut command = program(&env, &home, &["status", "--secret", SECRET]);
    command.env_remove("ROTATION_FUNCTION");
    crate::program::end(command, None)
        .await
        .with(0)
        .says(["superseded"]);
}

/// A key is found by its value, wherever it is in its life; the value is never shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_finds_key_by_value() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    let current = env.current_key();
    for (value, state) in [(&current, "AWSCURRENT"), (&superseded, "superseded at")] {
        let id = env.sandbox.key_with_value(value).expect("it exists").id;
        let input = format!("  {value}\n");
        let shown = run_with(&env, &["whose"], Some(&input)).await.with(0);
        let shown = shown.says([&id, SECRET, "enabled", state, "next: "]);
        let json = run_with(&env, &["whose", "--json"], Some(&input))
            .await
            .with(0)
            .json();
        assert_eq!(json["id"], *id, "{shown:?}");
    }
    let unknown = "UnknownUnknownUnknownUnknown";
    let missing = run_with(&env, &["whose"], Some(unknown)).await.with(1);
    assert_absent(&missing.stderr, unknown, "standard error");
    let missing = missing.warns(["no API key of this account and Region"]);
    assert_eq!(missing.stdout, "");
}

/// Keys are searched page by page, and texts that others chose may hold the value.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_searches_pages_and_masks_texts() {
    let env = TestEnvBuilder::plain().start().await;
    env.rotate().await;
    for number in 0..510 {
        env.sandbox.create_key(
            &format!("other-{number}"),
            &format!("Other-Other-Other-{number:04}"),
            &[],
        );
    }
    let value = "Leaked-Leaked-Leaked-Leaked";
    let id = env
        .sandbox
        .create_key_with_id_of_value(&format!("named {value}"), value, &[]);
    env.sandbox.tag_key(&id, "rotation:secret", value);
    let shown = run_with(&env, &["whose"], Some(value)).await.with(0);
    shown.says(["[masked]"]);
    // A value that no key has is looked for on every page.
    env.sandbox.clear_calls();
    run_with(&env, &["whose"], Some("Unused-Unused-Unused-Unused"))
        .await
        .with(1);
    let pages = env.sandbox.calls();
    let pages = pages.iter().filter(|call| call.operation == "GetApiKeys");
    assert_eq!(pages.count(), 2);
    let managed = "Managed-Managed-Managed-1234";
    create_managed_key(
        &env.sandbox,
        SECRET,
        "0123456789abcdef0123456789abcdef",
        managed,
        &[],
    );
    let shown = run_with(&env, &["whose"], Some(managed)).await.with(0);
    shown.says([SECRET]);
}

/// A text that cannot be a value is refused without quoting it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_refuses_what_is_not_value() {
    let env = TestEnvBuilder::plain().start().await;
    for text in [
        "",
        "short",
        "two words of more than twenty letters",
        "PassPassPass!?",
    ] {
        let refused = run_with(&env, &["whose"], Some(text)).await.with(2);
        let refused = refused.warns(["not the value of an API key"]);
        assert!(text.is_empty() || !refused.stderr.contains(text), "{text}");
    }
}

/// The prompt of a terminal does not show what is typed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whose_prompt_hides_value() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let value = env.current_key();
    let id = env.sandbox.key_with_value(&value).expect("it exists").id;
    let prompt = ("Value of the key", value.as_str());
    let (status, shown) = in_terminal(&env, "whose", Some(prompt), &[]).await;
    assert_absent(&shown, &value, "the terminal");
    assert!(shown.contains(&id), "{shown}");
    assert_eq!(status, 0, "{shown}");
}

/// Colour is only on a terminal, and not if `NO_COLOR` is set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colour_is_only_on_terminal() {
    let (env, _) = rotated(TestEnvBuilder::plain()).await;
    let (_, coloured) = in_terminal(&env, "status", None, &[]).await;
    assert!(coloured.contains("\x1b[32mcurrent"), "{coloured}");
    let (_, plain) = in_terminal(&env, "status", None, &[("NO_COLOR", "1")]).await;
    assert!(
        plain.contains("current") && !plain.contains("\x1b[3"),
        "{plain}"
    );
}

/// Only counts of superseded keys are shown, and none proves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn usage_counts_superseded_keys() {
    let (env, superseded) = rotated(TestEnvBuilder::plain()).await;
    let id = env
        .sandbox
        .key_with_value(&superseded)
        .expect("it exists")
        .id;
    let plan = &env.plans[0];
    env.sandbox.set_quota(plan, 1_000, "DAY");
    run_unchanged(&env, &["usage"])
        .await
        .with(0)
        .says([&id, "does not prove"]);
    // The current key is meant to be used.
    let current = env.sandbox.key_with_value(&env.current_key());
    env.sandbox
        .add_usage(plan, &current.expect("it exists").id, 0, 99);
    env.sandbox.add_usage(plan, &id, 0, 41);
    env.sandbox.add_usage(plan, &id, 1, 7);
    let shown = run_unchanged(&env, &["usage", "--days", "3"]).await.with(0);
    let shown = shown.says([&id, plan, "41", "7"]);
    let json = run(&env, &["usage", "--days", "3", "--json"])
        .await
        .with(0)
        .json();
    let uses = json["uses"].as_array().map(Vec::len);
    assert_eq!(uses, Some(2), "{shown:#?}{json}");
}
