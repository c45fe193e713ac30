//! Updates in both forms, their guards, uploads and deletions.

use sandbox::doppler::Visibility;
use serde_json::{Value, json};

use crate::api::{Api, PRD, Reply, SECRET, SECRETS};

impl Api {
    async fn change(&self, change: Value) -> Reply {
        self.post(
            &self.service_token(),
            SECRETS,
            json!({"change_requests": [change]}),
        )
        .await
    }

    fn prd(&self, name: &str) -> Option<String> {
        self.doppler.raw_value("acme", "prd", name)
    }
}

/// DOC and SRC.
#[tokio::test]
async fn map_form_merges_and_null_deletes() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "OLD", "1");
    api.doppler.set_value("acme", "prd", "KEPT", "2");
    let body =
        json!({"secrets": {"NEW": "3", "OLD": null, "NEVER": null}, "change_requests": null});
    assert_eq!(
        api.post(&api.service_token(), SECRETS, body).await.status,
        200
    );
    assert_eq!(api.prd("OLD"), None);
    assert_eq!(api.prd("KEPT").as_deref(), Some("2"));
    assert_eq!(api.prd("NEW").as_deref(), Some("3"));
}

/// EMP: what the Python SDK's own class for the map sends.
#[tokio::test]
async fn empty_map_changes_nothing() {
    let api = Api::start().await;
    let reply = api
        .post(&api.service_token(), SECRETS, json!({"secrets": {}}))
        .await;
    assert_eq!(reply.status, 200);
}

/// EMP and SRC.
#[tokio::test]
async fn change_updates_or_creates_by_original_name() {
    let api = Api::start().await;
    for value in ["first", "second"] {
        for change in [
            json!({"name": "A", "originalName": null, "value": value}),
            json!({"name": "B", "value": value}),
            json!({"name": "C", "originalName": "C", "value": value}),
        ] {
            assert_eq!(api.change(change).await.status, 200);
        }
    }
    assert!(
        ["A", "B", "C"]
            .iter()
            .all(|name| api.prd(name).as_deref() == Some("second"))
    );
}

/// DOC.
#[tokio::test]
async fn another_original_name_renames() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "OLD", "1");
    let rename = json!({"name": "NEW", "originalName": "OLD", "value": null});
    assert_eq!(api.change(rename.clone()).await.status, 200);
    assert_eq!(
        (api.prd("OLD"), api.prd("NEW").as_deref()),
        (None, Some("1"))
    );
    assert_eq!(
        api.change(rename).await.status,
        400,
        "the new name is taken"
    );
}

/// DOC for null; UNK for a name that has no value yet.
#[tokio::test]
async fn null_value_keeps_value_and_changes_rest() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "A", "1");
    let restrict = json!({"name": "A", "value": null, "visibility": "restricted"});
    assert_eq!(api.change(restrict).await.status, 200);
    assert_eq!(api.prd("A").as_deref(), Some("1"));
    assert_eq!(
        api.doppler.visibility("acme", "prd", "A"),
        Some(Visibility::Restricted)
    );
    assert_eq!(
        api.change(json!({"name": "B", "value": null})).await.status,
        400
    );
}

/// SRC for the default; that the map form keeps it is UNK.
#[tokio::test]
async fn visibility_starts_masked_and_is_kept() {
    let api = Api::start().await;
    api.change(json!({"name": "A", "value": "1"})).await;
    assert_eq!(
        api.doppler.visibility("acme", "prd", "A"),
        Some(Visibility::Masked)
    );
    api.doppler
        .set_visibility("acme", "prd", "A", Visibility::Restricted);
    api.change(json!({"name": "A", "value": "2"})).await;
    api.post(
        &api.service_token(),
        SECRETS,
        json!({"secrets": {"A": "3"}}),
    )
    .await;
    assert_eq!(
        api.doppler.visibility("acme", "prd", "A"),
        Some(Visibility::Restricted)
    );
}

/// DOC for the guards; the status is UNK.
#[tokio::test]
async fn failed_guard_refuses_whole_update() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "A", "1");
    let guards = [
        ("originalValue", json!("stale"), json!("1")),
        ("originalVisibility", json!("unmasked"), json!("masked")),
        (
            "originalValueType",
            json!({"type": "json"}),
            json!({"type": "string"}),
        ),
    ];
    for (guard, wrong, right) in guards {
        let update = |expected: Value| {
            let mut change = json!({"name": "A", "value": "1"});
            change[guard] = expected;
            let changes = [json!({"name": "BEFORE", "value": "1"}), change];
            json!({"change_requests": changes})
        };
        let refused = api.post(&api.service_token(), SECRETS, update(wrong)).await;
        assert_eq!(refused.status, 409);
        assert_eq!(api.prd("BEFORE"), None);
        for expected in [right, Value::Null] {
            let done = api
                .post(&api.service_token(), SECRETS, update(expected))
                .await;
            assert_eq!(done.status, 200);
        }
        assert_eq!(
            api.change(json!({"name": "BEFORE", "shouldDelete": true}))
                .await
                .status,
            200
        );
    }
    let absent = json!({"name": "NOPE", "value": "1", "originalValue": ""});
    assert_eq!(
        api.change(absent).await.status,
        409,
        "an absent secret has no value to expect"
    );
}

/// DOC; the refusal's status is UNK.
#[tokio::test]
async fn update_needs_exactly_one_form() {
    let api = Api::start().await;
    let both = json!({"secrets": {}, "change_requests": []});
    let neither = json!({"secrets": null, "change_requests": null});
    for body in [both, neither, json!({}), json!({"secrets": {"A": 1}})] {
        assert_eq!(
            api.post(&api.service_token(), SECRETS, body).await.status,
            400
        );
    }
}

/// Clients accept either; the whole config is the safer assumption (EMP).
#[tokio::test]
async fn reply_to_update_shows_whole_config() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "OTHER", "1");
    let body = api.change(json!({"name": "A", "value": "2"})).await.json();
    assert_eq!(body["success"], true);
    assert_eq!(body["secrets"]["OTHER"]["raw"], "1");
    let expected = json!({
        "raw": "2", "computed": "2", "note": "",
        "rawVisibility": "masked", "computedVisibility": "masked",
        "rawValueType": {"type": "string"}, "computedValueType": {"type": "string"},
    });
    assert_eq!(body["secrets"]["A"], expected);
}

/// EMP and 3P for the message; the status is assumed.
#[tokio::test]
async fn bad_name_is_refused_for_reads_and_writes() {
    let api = Api::start().await;
    let token = api.service_token();
    let text = |name| {
        format!(
            "Secret name \"{name}\" may only contain uppercase letters, numbers, and underscores."
        )
    };
    for name in ["lower", "1A", "A-B"] {
        let replies = [
            api.change(json!({"name": name, "value": "1"})).await,
            api.post(&token, SECRETS, json!({"secrets": {name: "1"}}))
                .await,
            api.get(&token, &format!("{SECRET}?name={name}")).await,
            api.get(&token, &format!("{SECRETS}?secrets=A%2C{name}"))
                .await,
        ];
        for reply in replies {
            assert_eq!((reply.status, reply.message()), (400, text(name)));
        }
    }
}

/// 3P that they always exist; the refusal is UNK.
#[tokio::test]
async fn doppler_secrets_cannot_be_written() {
    let api = Api::start().await;
    for name in ["DOPPLER_PROJECT", "DOPPLER_ENVIRONMENT", "DOPPLER_CONFIG"] {
        assert_eq!(
            api.change(json!({"name": name, "value": "1"})).await.status,
            400
        );
    }
    assert_eq!(api.prd("DOPPLER_CONFIG").as_deref(), Some("prd"));
}

/// 3P for the length, DOC for the types; the refusals are UNK.
#[tokio::test]
async fn long_or_mistyped_value_is_refused() {
    let api = Api::start().await;
    let long = "x".repeat(50 * 1024 + 1);
    assert_eq!(
        api.change(json!({"name": "A", "value": long})).await.status,
        400
    );
    let number = json!({"name": "A", "value": "12", "valueType": {"type": "integer"}});
    assert_eq!(api.change(number).await.status, 200);
    assert_eq!(
        api.change(json!({"name": "A", "value": "twelve"}))
            .await
            .status,
        400
    );
    assert_eq!(api.prd("A").as_deref(), Some("12"));
}

/// DOC.
#[tokio::test]
async fn branch_can_promote_and_converge() {
    let api = Api::start().await;
    api.doppler.create_branch_config("acme", "prd", "prd_aws");
    let token = api.doppler.service_account_token();
    let change = async |config: &str, change: Value| {
        let path = format!("{SECRETS}?project=acme&config={config}");
        api.post(&token, &path, json!({"change_requests": [change]}))
            .await
            .status
    };
    let promote = json!({"name": "A", "value": "1", "shouldPromote": true});
    assert_eq!(change("prd_aws", promote.clone()).await, 200);
    assert_eq!(api.prd("A").as_deref(), Some("1"));
    assert_eq!(
        change("prd_aws", json!({"name": "A", "value": "2"})).await,
        200
    );
    assert_eq!(api.prd("A").as_deref(), Some("1"));
    let converge = json!({"name": "A", "shouldConverge": true});
    assert_eq!(change("prd_aws", converge.clone()).await, 200);
    assert_eq!(
        api.doppler.value("acme", "prd_aws", "A").as_deref(),
        Some("1")
    );
    assert_eq!(
        (change("prd", promote).await, change("prd", converge).await),
        (400, 400)
    );
}

/// EMP.
#[tokio::test]
async fn values_are_returned_as_written() {
    let api = Api::start().await;
    for value in [
        "",
        "two\nlines\n",
        "\u{e9}\u{1f511}",
        "<>&\"'\\",
        "$ and } and ${",
    ] {
        assert_eq!(
            api.change(json!({"name": "A", "value": value}))
                .await
                .status,
            200
        );
        let secret = api.secret("A").await;
        assert_eq!(
            (&secret["raw"], &secret["computed"]),
            (&json!(value), &json!(value))
        );
    }
}

/// Own choice: the sandbox can store something other than the written value.
#[tokio::test]
async fn altered_write_is_returned_changed() {
    let api = Api::start().await;
    api.doppler
        .alter_writes("acme", "prd", "A", |value| format!("{value} "));
    let body = api.change(json!({"name": "A", "value": "1"})).await.json();
    assert_eq!(body["secrets"]["A"]["raw"], "1 ");
    api.doppler.set_value("acme", "prd", "A", "1");
    assert_eq!(
        api.prd("A").as_deref(),
        Some("1"),
        "an edit in the dashboard stays unaltered"
    );
}

/// DOC; that a missing name is not an error is UNK.
#[tokio::test]
async fn deleted_secret_returns_204_without_body() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "A", "1");
    for _ in 0..2 {
        let path = format!("{SECRET}?{PRD}&name=A");
        let reply = api.delete(&api.service_token(), &path).await;
        assert_eq!((reply.status, reply.text.as_str()), (204, ""));
        assert_eq!(api.prd("A"), None);
    }
}

/// EMP and SRC.
#[tokio::test]
async fn lines_or_json_can_be_uploaded() {
    let api = Api::start().await;
    let path = format!("{SECRETS}/upload");
    let lines = "# comment\n\nA=plain\nexport B=\"two\\nlines\"\nC='as $is\\n'\n";
    for file in [
        lines,
        r#"{"A": "plain", "B": "two\nlines", "C": "as $is\\n"}"#,
    ] {
        let reply = api
            .post(&api.service_token(), &path, json!({"file": file}))
            .await;
        let secrets = &reply.json()["secrets"];
        assert_eq!(secrets["A"]["raw"], "plain");
        assert_eq!(secrets["B"]["raw"], "two\nlines");
        assert_eq!(secrets["C"]["raw"], "as $is\\n");
    }
    let malformed = api
        .post(
            &api.service_token(),
            &path,
            json!({"file": "no equals sign"}),
        )
        .await;
    assert_eq!(malformed.status, 400);
}
