//! `fleet check`: what is wrong with documents, offline and against the account.

use std::fs;

use crate::fleet_account::{DOCUMENT, Fleet, MORE, SECOND, THIRD, target};
use crate::program::{bare, end, home, program};
use crate::support::SECRET;
use sandbox::{Fault, FaultKind, REST_API_ID, Service};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Writes a file, and returns its path.
fn file(folder: &TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    fs::write(&path, text).expect("it can be written");
    path.to_str().expect("it is Unicode").to_owned()
}

/// Without a Region, credentials and a function, every fault of all files is listed, each with its
/// place; the limits count only if they are given.
#[tokio::test]
async fn check_offline_lists_every_fault() {
    let home = home();
    let first = json!({ "members": {
        "shop/a": { "dopplerTargets": ["shop/prd/A"], "gracePeriod": "soon" },
        "shop/b": { "colour": "red", "probeUrl": "https://probe.example.com/x" },
    }});
    let second = json!({ "members": { "shop/b": { "dopplerTargets": ["shop/prd/A"] } } });
    let first = file(&home, "one.json", &first.to_string());
    let second = file(&home, "two.json", &second.to_string());
    let check = ["fleet", "check", &first, &second];
    let ended = end(bare(&home, &check), None).await.with(1);
    let ended = ended.says([
        "members[\"shop/a\"].gracePeriod is not a duration",
        "members[\"shop/b\"].colour is not a setting",
        "members[\"shop/b\"] is already in",
        "item 1 is also a target of shop/a",
        "DOPPLER_ALLOWED, PROBE_ALLOWED, DOPPLER_TOKEN_SECRET_ID of the function were not known",
    ]);
    let ended = ended.warns(["4 problems"]);
    assert!(!ended.stdout.contains("outside"), "{ended:#?}");
    let limits = [
        "--doppler-allowed=other/*",
        "--probe-allowed=*.example.org",
        "--doppler-token-secret-id=token",
    ];
    let check = [&check[..3], &limits[..]].concat();
    let ended = end(bare(&home, &check), None).await.with(1);
    ended.says([
        "members[\"shop/a\"].dopplerTargets item 1 is outside DOPPLER_ALLOWED",
        "members[\"shop/b\"].probeUrl has a host outside PROBE_ALLOWED",
    ]);
}

/// A document without a fault ends with 0, also if a function is set that cannot be reached.
#[tokio::test]
async fn check_offline_accepts_valid_document() {
    let home = home();
    let members: serde_json::Map<_, _> = (0..1000)
        .map(|number| (format!("shop/partner-{number}"), json!({})))
        .collect();
    let valid = file(&home, "f.json", &json!({ "members": members }).to_string());
    let mut command = bare(&home, &["fleet", "check", "--offline", "--json", &valid]);
    command.env("ROTATION_FUNCTION", "nowhere");
    let ended = end(command, None).await.with(0).json();
    assert_eq!(ended["problems"], json!([]));
    assert_eq!(ended["documents"][0]["members"], 1000);
    let members: serde_json::Map<_, _> = (0..2000)
        .map(|number| {
            (
                format!("shop/partner-with-a-name-{number}"),
                json!({"gracePeriod": "1h"}),
            )
        })
        .collect();
    let large = file(&home, "g.json", &json!({ "members": members }).to_string());
    let ended = end(bare(&home, &["fleet", "check", &large]), None).await;
    ended.with(1).says(["a secret holds 65536"]);
    let missing = bare(&home, &["fleet", "check", "missing.json"]);
    end(missing, None).await.with(2).warns(["cannot be read"]);
    end(bare(&home, &["fleet", "check"]), None)
        .await
        .with(2)
        .warns(["no file is given"]);
}

/// No fault and no error repeats a token that is in the wrong place.
#[tokio::test]
async fn check_repeats_no_value_of_document() {
    let home = home();
    let token = "dp.st.prd.notforyoureyes0000000000000000000";
    let document = json!({ "members": { "shop/a": { "gracePeriod": token, token: "x", "probeUrl": token } }, token: 1 });
    let path = file(&home, "f.json", &document.to_string());
    let ended = end(bare(&home, &["fleet", "check", &path]), None)
        .await
        .with(1);
    let shown = ended.stdout + &ended.stderr;
    assert!(!shown.contains("notforyoureyes"), "{shown}");
}

async fn problems(fleet: &Fleet, arguments: &[&str]) -> String {
    let ended = fleet
        .run_unchanged(&[&["check", "--json"], arguments].concat())
        .await;
    let document = ended.json();
    assert_eq!(
        ended.status == 0,
        document["problems"] == json!([]),
        "{ended:#?}"
    );
    document["problems"].to_string()
}

/// Against the account, a fleet in order has no problem.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_finds_nothing_in_good_fleet() {
    let fleet = Fleet::rotated().await;
    assert_eq!(problems(&fleet, &[]).await, "[]");
}

/// Each thing that is wrong in the account is a problem that names the member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_finds_what_is_wrong_in_account() {
    let fleet = Fleet::start().await;
    let sandbox = &fleet.env.sandbox;
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut document: Value = serde_json::from_str(&fleet.document()).expect("it is JSON");
        change(&mut document);
        document.to_string()
    };
    let missing = changed(&|document| document["members"]["shop/none"] = json!({}));
    let other = changed(&|document| document["members"][THIRD] = json!({}));
    let planless = changed(&|document| document["defaults"] = json!({}));
    let unlisted = changed(&|document| {
        document["members"]
            .as_object_mut()
            .expect("an object")
            .remove(SECRET);
    });
    let deleted =
        changed(&|document| document["members"][SECRET] = json!({"usagePlanIds": ["gone"]}));
    let stageless = changed(&|document| {
        document["members"][SECRET]["stageKeys"] = json!([format!("{REST_API_ID}/gone")]);
    });
    let stage_problem = format!("demo/partner-api-key: stage {REST_API_ID}/gone does not exist");
    let home = home();
    for (text, problem) in [
        (missing, "shop/none: there is no such secret"),
        (other, "fleet/third: its rotation function is none"),
        (
            planless,
            "demo/partner-api-key: it has neither usagePlanIds nor stageKeys",
        ),
        (
            unlisted,
            "demo/partner-api-key: the function is its rotation function, but it is not a member",
        ),
        (
            deleted,
            "demo/partner-api-key: usage plan gone does not exist",
        ),
        (stageless, &stage_problem),
    ] {
        let path = file(&home, "fleet-1.json", &text);
        let found = problems(&fleet, &[&path]).await;
        assert!(found.contains(problem), "{problem:?} is not in {found}");
        assert_eq!(found.matches("\"problem\"").count(), 1, "{found}");
    }
    // Documents of the account count too.
    sandbox.put_secret(MORE, &json!({ "members": { SECOND: {} } }).to_string());
    let found = problems(&fleet, &[]).await;
    assert!(found.contains("is already in rotation/fleet-1"), "{found}");
}

/// The list of usage plans is read to its end, which may be an empty position.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_of_plans_ends_at_empty_position() {
    let fleet = Fleet::rotated().await;
    let env = &fleet.env;
    for (number, plan, position) in [(1, &env.plans[0], "next"), (2, &fleet.plan, "")] {
        let page = json!({ "item": [{ "id": plan }], "position": position });
        let page = FaultKind::answer(200, "application/json", page.to_string());
        let page = Fault::new(page).on(Service::ApiGateway, "GetUsagePlans");
        env.sandbox.faults().inject(page.nth(number));
    }
    env.sandbox.clear_calls();
    assert_eq!(problems(&fleet, &[]).await, "[]");
    assert_eq!(env.calls_of("GetUsagePlans"), 2);
}

/// A file takes the place of the document with its name, and the difference is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_compares_file_with_account() {
    let fleet = Fleet::rotated().await;
    let home = home();
    let same = file(&home, "fleet-1.json", &fleet.document());
    let ended = fleet.run_unchanged(&["check", &same]).await.with(0);
    ended.says([
        "rotation/fleet-1: the file is what the function reads",
        "no problems",
    ]);
    let changed = fleet.document().replace("SECOND_KEY", "RENAMED_KEY");
    let changed = file(&home, "other.json", &changed);
    let ended = fleet.run_unchanged(&["check", &changed]).await.with(2);
    ended.warns(["which document", "rotation/fleet-1, rotation/fleet-2"]);
    let named = format!("{DOCUMENT}={changed}");
    let ended = fleet.run_unchanged(&["check", &named]).await.with(0);
    ended.says(["0 members more, 0 less, 1 changed"]);
    let spaced = fleet.document().replace("\":", "\": ");
    let spaced = file(&home, "fleet-1.json", &spaced);
    let ended = fleet.run_unchanged(&["check", &spaced]).await.with(0);
    ended.says(["the file has the same members and settings; only its spelling differs"]);
    let outside = fleet
        .document()
        .replace(&target("SECOND_KEY"), "other/prd/KEY");
    let outside = file(&home, "fleet-1.json", &outside);
    let ended = fleet.run_unchanged(&["check", &outside]).await.with(1);
    ended.says(["members[\"fleet/second\"].dopplerTargets item 1 is outside DOPPLER_ALLOWED"]);
}

/// A function without documents, or with invalid settings, is named as such.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_needs_function_with_documents() {
    let env = crate::support::TestEnvBuilder::plain().start().await;
    let home = home();
    let ended = end(program(&env, &home, &["fleet", "check"]), None).await;
    ended.with(2).warns(["FLEET_CONFIG_SECRET_IDS is not set"]);
    env.redeploy_unrestricted(&[("GRACE_PERIOD", "soon")]).await;
    let ended = end(program(&env, &home, &["fleet", "check"]), None).await;
    ended.with(1).warns(["GRACE_PERIOD is not a duration"]);
}
