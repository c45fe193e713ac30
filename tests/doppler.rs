//! Doppler beyond the ordinary: targets whose project, environment or config is missing, rate limits, and what a write
//! leaves as it was.

mod support;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sandbox::doppler::Visibility;
use sandbox::{Event, Fault, FaultKind, Options, STEPS, Service};
use serde_json::json;
use support::{CONFIG, PROJECT, SECRET, Setup, TOKEN_SECRET, World};

const DOPPLER: Service = Service::Doppler;
const KEY: &str = "PARTNER_API_KEY";

/// With this target besides `acme/prd/PARTNER_API_KEY`, and a service account's token.
async fn with_target(setup: Setup, target: &str) -> World {
    let targets = format!("{PROJECT}/{CONFIG}/{KEY},{target}");
    let world = setup.env("DOPPLER_TARGETS", &targets).start().await;
    store_token(&world, &world.sandbox.doppler().service_account_token());
    world
}

/// As `with_target`, and what is missing is created.
async fn creating(setup: Setup, target: &str) -> World {
    with_target(setup.env("DOPPLER_CREATE_MISSING", "true"), target).await
}

fn store_token(world: &World, token: &str) {
    world.sandbox.put_secret(TOKEN_SECRET, token);
}

/// What Doppler was asked, in order.
fn asked(world: &World) -> Vec<String> {
    let calls = world.sandbox.calls().into_iter();
    calls
        .filter(|call| call.service == DOPPLER)
        .map(|call| call.operation)
        .collect()
}

/// When each call of `operation` arrived, and the status that it got.
fn answers(world: &World, operation: &str) -> Vec<(SystemTime, u16)> {
    let calls = world.sandbox.calls().into_iter();
    calls
        .filter(|call| call.operation == operation)
        .map(|call| (call.at, call.status))
        .collect()
}

fn statuses(world: &World, operation: &str) -> Vec<u16> {
    let answers = answers(world, operation).into_iter();
    answers.map(|(_, status)| status).collect()
}

/// Demands that `project/config/NAME` holds the current key, in a project of just these configs.
fn assert_mirrored(world: &World, target: &str, configs: &[&str]) {
    let [project, config, name] = target.split('/').collect::<Vec<_>>()[..] else {
        panic!("{target} is no target")
    };
    let doppler = world.sandbox.doppler();
    assert_eq!(
        doppler.configs(project),
        Some(configs.iter().map(ToString::to_string).collect())
    );
    assert!(
        doppler.value(project, config, name).as_ref() == Some(&world.current_key()),
        "{target} is another key"
    );
}

// Targets that cannot be seen.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_missing_or_hidden_is_named_with_what_to_do() {
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
        let world = with_target(Setup::quick(), target).await;
        let doppler = world.sandbox.doppler();
        let token = doppler.service_account_token();
        doppler.restrict_to_projects(&token, seen);
        store_token(&world, &token);

        let (error, rotation) = world.rotate_and_fail("testSecret").await;
        assert_eq!(error.error_type, "DopplerTargetHidden");
        // A token that sees nothing does not see the first target either.
        let named = if seen.is_empty() {
            "acme/prd/KEY"
        } else {
            target
        };
        let (project, rest) = named.split_once('/').expect("it is a target");
        let config = rest.trim_end_matches("/KEY");
        let place = format!(
            "project {project}, its environment prd or its config {config} is missing in Doppler"
        );
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
        let created = asked(&world)
            .into_iter()
            .find(|call| call.starts_with("Create"));
        assert_eq!(created, None);

        // Once it is there and seen, the same version completes.
        if doppler.configs("shop").is_none() {
            doppler.create_project("shop");
        }
        doppler.create_branch_config(PROJECT, "prd", "prd_eu");
        store_token(&world, &doppler.service_account_token());
        world.retry(&rotation).await;
        world.assert_agreement().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_project_is_created_with_the_one_environment_and_its_root_config() {
    let world = creating(Setup::quick(), "shop/prd/KEY").await;
    let token = world.sandbox.begin_rotation(SECRET);
    for step in ["createSecret", "setSecret", "testSecret"] {
        world.step(&token, step).await;
    }
    assert_eq!(
        world.sandbox.doppler().configs("shop"),
        None,
        "a read created something"
    );
    world.sandbox.clear_calls();
    world.step(&token, "finishSecret").await;
    world.assert_agreement().await;
    assert_mirrored(&world, "shop/prd/KEY", &["prd"]);
    assert_eq!(
        asked(&world),
        [
            "UpdateSecrets",
            "UpdateSecrets",
            "GetProject",
            "CreateProject",
            "CreateEnvironment",
            "UpdateSecrets",
            "GetSecret",
            "GetSecret",
        ]
    );

    // From then on it is a target like any other.
    world.sandbox.clear_calls();
    world.rotate().await;
    assert_mirrored(&world, "shop/prd/KEY", &["prd"]);
    assert_eq!(
        asked(&world),
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_missing_of_a_branch_config_is_created_and_the_rest_stays_as_it_is() {
    for (target, configs, created) in [
        (
            "acme/prd_eu/KEY",
            &["dev", "prd", "prd_eu", "stg"][..],
            &["GetEnvironment", "CreateConfig"][..],
        ),
        (
            "acme/qa_eu_1/KEY",
            &["dev", "prd", "qa", "qa_eu_1", "stg"],
            &[
                "GetEnvironment",
                "GetProject",
                "CreateEnvironment",
                "CreateConfig",
            ],
        ),
        (
            "shop/qa_eu_1/KEY",
            &["qa", "qa_eu_1"],
            &[
                "GetEnvironment",
                "GetProject",
                "CreateProject",
                "CreateEnvironment",
                "CreateConfig",
            ],
        ),
    ] {
        let world = creating(Setup::quick(), target).await;
        let doppler = world.sandbox.doppler();
        doppler.set_value(PROJECT, CONFIG, "OTHER", "kept");
        world.rotate().await;
        world.assert_agreement().await;
        assert_mirrored(&world, target, configs);
        assert_eq!(
            doppler.value(PROJECT, CONFIG, "OTHER").as_deref(),
            Some("kept")
        );
        let mut calls = asked(&world);
        calls.retain(|call| !call.ends_with("Secret") && !call.ends_with("Secrets"));
        assert_eq!(calls, created);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creating_survives_a_lost_reply_and_a_death_at_any_call() {
    let target = "shop/prd_eu/KEY";
    for operation in [
        "GetEnvironment",
        "GetProject",
        "CreateProject",
        "CreateEnvironment",
        "CreateConfig",
    ] {
        for kind in [FaultKind::LostReply, FaultKind::KillAfter] {
            let world = creating(Setup::quick(), target).await;
            let fault = Fault::new(kind.clone()).on(DOPPLER, operation);
            let handle = world.sandbox.faults().inject(fault);
            let token = world.sandbox.rotate(SECRET);
            let outcome = world.sandbox.rotation(&token).await;
            assert_eq!(handle.fired(), 1, "{kind:?} at {operation} never struck");
            let killed = matches!(kind, FaultKind::KillAfter);
            assert_eq!(
                outcome.succeeded,
                !killed,
                "{kind:?} at {operation}: {:?}",
                outcome.error()
            );
            if killed {
                world.retry(&token).await;
            }
            world.assert_agreement().await;
            assert_mirrored(&world, target, &["prd", "prd_eu"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runs_that_create_the_same_at_once_both_succeed() {
    let options = Options {
        function_concurrency: 2,
        ..Options::default()
    };
    let target = "shop/prd_eu/KEY";
    let world = creating(
        Setup {
            options,
            ..Setup::quick()
        },
        target,
    )
    .await;
    let token = world.sandbox.begin_rotation(SECRET);
    for step in &STEPS[..3] {
        world.step(&token, step).await;
    }
    // Neither run's call has its effect before the other's has arrived.
    let handles = ["CreateProject", "CreateEnvironment", "CreateConfig"].map(|operation| {
        let both = Arc::new(tokio::sync::Barrier::new(2));
        let hook = FaultKind::before(move || {
            let both = Arc::clone(&both);
            async move {
                both.wait().await;
            }
        });
        let fault = Fault::new(hook).on(DOPPLER, operation).every();
        world.sandbox.faults().inject(fault)
    });
    let runs = tokio::join!(
        world.sandbox.step(SECRET, &token, "finishSecret"),
        world.sandbox.step(SECRET, &token, "finishSecret")
    );
    for run in [runs.0, runs.1] {
        run.result.expect("both runs succeed");
    }
    assert_eq!(handles.map(|handle| handle.fired()), [2, 2, 2]);
    world.assert_agreement().await;
    assert_mirrored(&world, target, &["prd", "prd_eu"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_service_token_it_is_said_that_a_service_account_token_is_needed() {
    for target in ["shop/prd/KEY", "acme/prd_eu/KEY"] {
        let world = creating(Setup::quick(), target).await;
        store_token(&world, &world.token);
        let (error, token) = world.rotate_and_fail("testSecret").await;
        assert_eq!(error.error_type, "DopplerTargetHidden");
        assert!(
            error
                .error_message
                .contains("a service account token is needed"),
            "{error}"
        );
        assert!(!asked(&world).iter().any(|call| call.starts_with("Create")));
        // The process keeps running: the better token is read without a new deployment.
        store_token(&world, &world.sandbox.doppler().service_account_token());
        world.retry(&token).await;
        world.assert_agreement().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_account_that_may_not_create_fails_before_promotion_with_dopplers_words() {
    let world = creating(Setup::quick(), "shop/prd/KEY").await;
    let denied = FaultKind::refuse(403, "", "no permission to create projects");
    let handle = world
        .sandbox
        .faults()
        .inject(Fault::new(denied).on(DOPPLER, "CreateProject").every());
    let (error, token) = world.rotate_and_fail("finishSecret").await;
    assert_eq!(handle.fired(), 1);
    assert_eq!(error.error_type, "DopplerTargetHidden");
    for part in [
        "project shop, its environment prd or its config prd",
        "CreateProject was refused with 403 Forbidden (no permission to create projects)",
        "create it yourself",
    ] {
        assert!(error.error_message.contains(part), "{error}");
    }
    assert_eq!(world.key_in("AWSCURRENT"), None, "it was promoted");
    handle.remove();
    world.retry(&token).await;
    assert_mirrored(&world, "shop/prd/KEY", &["prd"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exists_and_is_hidden_is_neither_created_nor_taken_for_written() {
    let world = creating(Setup::quick(), "shop/prd/KEY").await;
    let doppler = world.sandbox.doppler();
    doppler.create_project("shop");
    let token = doppler.service_account_token();
    doppler.restrict_to_projects(&token, &[PROJECT]);
    store_token(&world, &token);
    let (error, _) = world.rotate_and_fail("finishSecret").await;
    assert_eq!(error.error_type, "DopplerTargetHidden");
    assert!(
        error
            .error_message
            .contains("Project name already exists in this workplace."),
        "{error}"
    );
    assert_eq!(doppler.value("shop", "prd", "KEY"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trial_run_over_missing_targets_succeeds_and_creates_nothing() {
    let world = Setup::quick().start().await;
    world.rotate().await;
    store_token(&world, &world.sandbox.doppler().service_account_token());
    let targets = "acme/prd/PARTNER_API_KEY,shop/prd/KEY,acme/prd_eu/KEY,acme/qa/KEY";
    world
        .redeploy(&[
            ("DOPPLER_TARGETS", targets),
            ("DOPPLER_CREATE_MISSING", "true"),
        ])
        .await;
    world.sandbox.clear_calls();
    let outcome = world.sandbox.trial(SECRET).await;
    assert!(outcome.succeeded, "{:?}", outcome.error());
    assert_eq!(asked(&world), ["GetSecret"; 4]);
    let doppler = world.sandbox.doppler();
    assert_eq!(doppler.configs("shop"), None);
    assert_eq!(
        doppler.configs(PROJECT),
        Some(["dev", "prd", "stg"].map(ToOwned::to_owned).to_vec())
    );
}

// Rate limits.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_waits_until_writes_are_counted_anew_within_a_run_and_across_runs() {
    let world = Setup {
        targets: vec!["KEY1", "KEY2", "KEY3"],
        ..Setup::quick()
    }
    .start()
    .await;
    let doppler = world.sandbox.doppler();
    doppler.set_rate_window(Duration::from_secs(3));
    doppler.set_write_limit(2);
    // Three writes, and then three more by the same process: without waiting, the third would be one too many.
    for _ in 0..2 {
        world.rotate().await;
        world.assert_agreement().await;
    }
    assert_eq!(statuses(&world, "UpdateSecrets"), [200; 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_would_have_to_wait_past_the_deadline_fails_at_once_and_is_not_sent() {
    let world = Setup {
        targets: vec!["KEY1", "KEY2"],
        options: Options {
            function_timeout: Duration::from_secs(20),
            ..Options::default()
        },
        ..Setup::quick()
    }
    .start()
    .await;
    let doppler = world.sandbox.doppler();
    doppler.set_write_limit(1);
    let token = world.sandbox.rotate(SECRET);
    let outcome = world.sandbox.rotation(&token).await;
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
            .contains("rate limit leaves no UpdateSecrets for another"),
        "{error}"
    );
    assert!(last.took < Duration::from_secs(10), "{:?}", last.took);
    assert_eq!(statuses(&world, "UpdateSecrets"), [200]);
    assert_eq!(world.key_in("AWSCURRENT"), None, "it was promoted");

    doppler.set_write_limit(60);
    world.redeploy(&[]).await;
    world.retry(&token).await;
    world.assert_agreement().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_429_without_retry_after_is_followed_by_one_more_try_after_the_reset() {
    let world = Setup::quick().start().await;
    let doppler = world.sandbox.doppler();
    doppler.set_rate_window(Duration::from_secs(5));
    doppler.set_write_limit(1);
    let bare = FaultKind::no_header("retry-after");
    world
        .sandbox
        .faults()
        .inject(Fault::new(bare).on(DOPPLER, "UpdateSecrets").every());
    let token = world.sandbox.begin_rotation(SECRET);
    for step in &STEPS[..3] {
        world.step(&token, step).await;
    }
    // Somebody else uses up the token's writes.
    let body = json!({ "project": PROJECT, "config": CONFIG, "secrets": { "OTHER": "x" } });
    let url = format!("{}/v3/configs/config/secrets", world.sandbox.doppler_url());
    let request = http::Request::post(url)
        .header("authorization", format!("Bearer {}", world.token))
        .body(body.to_string())
        .expect("a valid request");
    let answer = sandbox::http_client::send(request).await;
    assert_eq!(answer.expect("an answer").status(), 200);

    world.step(&token, "finishSecret").await;
    world.assert_agreement().await;
    assert_eq!(statuses(&world, "UpdateSecrets"), [200, 429, 200]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_time_of_the_reset_is_taken_by_dopplers_clock() {
    for (date, at) in [
        ("Wed, 01 Jan 2020 00:00:00 GMT", 1_577_836_800),
        ("Sat, 01 Jan 2050 00:00:00 GMT", 2_524_608_000_u64),
    ] {
        let world = Setup {
            targets: vec!["KEY1", "KEY2"],
            ..Setup::quick()
        }
        .start()
        .await;
        used_up(&world, "UpdateSecrets", date, at + 2);
        let started = SystemTime::now();
        world.rotate().await;
        world.assert_agreement().await;
        let [(first, _), (second, _)] = answers(&world, "UpdateSecrets")[..] else {
            panic!("each target is written once")
        };
        let waited = second.duration_since(first).expect("they are in order");
        // Whole seconds are told: what looks like two may be nearly three.
        assert!(waited >= Duration::from_secs(3), "it waited {waited:?}");
        let took = started.elapsed().expect("time goes on");
        assert!(took < Duration::from_mins(1), "it took {took:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_that_is_said_to_be_far_away_is_believed_for_two_minutes_at_most() {
    let world = Setup {
        targets: vec!["KEY1", "KEY2"],
        options: Options {
            function_timeout: Duration::from_secs(20),
            ..Options::default()
        },
        ..Setup::quick()
    }
    .start()
    .await;
    let (date, at) = ("Wed, 01 Jan 2020 00:00:00 GMT", 1_577_836_800);
    used_up(&world, "UpdateSecrets", date, at + 86_400);
    let (error, _) = world.rotate_and_fail("finishSecret").await;
    assert!(error.error_message.contains("for another 2m,"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_far_reset_in_a_429_without_retry_after_is_waited_for_two_minutes_at_most() {
    let world = Setup::quick()
        .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
        .start()
        .await;
    world.sandbox.doppler().set_write_limit(0);
    let bare = FaultKind::no_header("retry-after");
    world
        .sandbox
        .faults()
        .inject(Fault::new(bare).on(DOPPLER, "UpdateSecrets"));
    let (date, at) = ("Wed, 01 Jan 2020 00:00:00 GMT", 1_577_836_800);
    used_up(&world, "UpdateSecrets", date, at + 86_400);
    let mut events = world.sandbox.watch();
    world.sandbox.rotate(SECRET);
    // The wait itself is not waited for.
    let announced = loop {
        match events.recv().await.expect("the sandbox runs") {
            Event::Log(line) if line.contains("trying again") => break line,
            Event::StepEnded(run) => assert_eq!(run.error, None),
            _ => {}
        }
    };
    assert!(announced.contains(r#""pause_ms":120000"#), "{announced}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_are_used_up_hold_up_no_write_and_fail_no_promoted_version() {
    let world = Setup {
        options: Options {
            function_timeout: Duration::from_secs(20),
            ..Options::default()
        },
        ..Setup::quick()
    }
    .start()
    .await;
    let (date, at) = ("Wed, 01 Jan 2020 00:00:00 GMT", 1_577_836_800);
    used_up(&world, "GetSecret", date, at + 60);
    world.rotate().await;
    world.assert_agreement().await;
    // What is left out is the look at the target after promotion.
    assert_eq!(asked(&world), ["GetSecret", "UpdateSecrets"]);
}

/// Lets Doppler's next answer to `operation` say that none remains until `reset`, at the time `date`.
fn used_up(world: &World, operation: &str, date: &str, reset: u64) {
    for kind in [
        FaultKind::header("x-ratelimit-remaining", "0"),
        FaultKind::header("x-ratelimit-reset", reset.to_string()),
        FaultKind::header("date", date),
    ] {
        let fault = Fault::new(kind).on(DOPPLER, operation);
        world.sandbox.faults().inject(fault);
    }
}

// What a write leaves as it was.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_visibility_that_a_person_chose_is_kept_and_a_new_target_gets_dopplers_own() {
    let world = Setup {
        targets: vec!["SHOWN", "RESTRICTED", "NEW"],
        ..Setup::quick()
    }
    .env(
        "DOPPLER_ADOPT_TARGETS",
        "acme/prd/SHOWN,acme/prd/RESTRICTED",
    )
    .start()
    .await;
    let doppler = world.sandbox.doppler();
    let chosen = [
        ("SHOWN", Visibility::Unmasked),
        ("RESTRICTED", Visibility::Restricted),
    ];
    for (name, visibility) in chosen {
        doppler.set_value(PROJECT, CONFIG, name, "before");
        doppler.set_visibility(PROJECT, CONFIG, name, visibility);
    }
    for _ in 0..2 {
        world.rotate().await;
        world.assert_agreement().await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_of_another_form_than_ours_is_not_shown_where_doppler_quotes_it() {
    const BY_HAND: &str = "partner_key_by_hand_2024";
    let text = json!({ "apiKey": BY_HAND }).to_string();
    let world = Setup::holding(&text).start().await;
    let sandbox = &world.sandbox;
    sandbox.create_key("by hand", BY_HAND, &[&world.plans[0]]);
    let quoting = format!("The value {BY_HAND} is not one that this config takes");
    let quoting = Fault::new(FaultKind::refuse(400, "", quoting));
    sandbox
        .faults()
        .inject(quoting.on(Service::Doppler, "UpdateSecrets").every());
    let report = world.reconcile(json!({})).await.to_string();
    assert!(report.contains("The value [masked] is not one"), "{report}");
    for shown in [report, world.log()] {
        assert!(!shown.contains(BY_HAND), "it is shown");
    }
}
