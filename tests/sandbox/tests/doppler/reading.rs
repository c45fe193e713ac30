//! One secret, lists, names, references, inheritance and who sees a restricted value.

use sandbox::doppler::Visibility;
use serde_json::{Value, json};

use crate::api::{Api, PRD, SECRET, SECRETS};

/// 3P and SRC.
#[tokio::test]
async fn absent_secret_is_200_full_of_nulls() {
    let api = Api::start().await;
    let reply = api
        .get(&api.service_token(), &format!("{SECRET}?name=NOPE"))
        .await;
    assert_eq!(reply.status, 200);
    let absent = json!({"raw": null, "computed": null, "note": ""});
    assert_eq!(
        reply.json(),
        json!({"name": "NOPE", "value": absent, "success": true})
    );
}

/// EMP.
#[tokio::test]
async fn filtered_list_omits_unknown_names() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "A", "1");
    api.doppler.set_value("acme", "prd", "B", "2");
    let reply = api
        .get(&api.service_token(), &format!("{SECRETS}?secrets=A%2CNOPE"))
        .await;
    let secrets = reply.json()["secrets"].take();
    assert_eq!(
        secrets
            .as_object()
            .map(|secrets| secrets.keys().cloned().collect()),
        Some(vec!["A".to_owned()])
    );
}

/// DOC: the entries of a list have the form of a single read, also those of restricted values and
/// of references.
#[tokio::test]
async fn filtered_list_shows_what_single_read_shows() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "PLAIN", "1");
    api.doppler.set_value("acme", "prd", "HIDDEN", "2");
    api.doppler
        .set_visibility("acme", "prd", "HIDDEN", Visibility::Restricted);
    api.doppler
        .set_value("acme", "prd", "REFERENCE", "${PLAIN}");
    api.doppler.set_value("acme", "prd", "OTHER", "3");
    let names = ["PLAIN", "HIDDEN", "REFERENCE"];
    let options = "include_dynamic_secrets=false&include_managed_secrets=false";
    for token in [api.service_token(), api.doppler.personal_token()] {
        let list = format!("{SECRETS}?{PRD}&secrets={}&{options}", names.join("%2C"));
        let mut list = api.get(&token, &list).await.json();
        let listed = list["secrets"].as_object_mut().expect("an object");
        assert_eq!(listed.len(), names.len());
        for name in names {
            let path = format!("{SECRET}?{PRD}&name={name}");
            let single = api.get(&token, &path).await.json()["value"].take();
            assert_eq!(listed[name], single, "{name}");
        }
    }
}

/// 3P: the same refusals as for a single read.
#[tokio::test]
async fn filtered_list_of_missing_config_is_refused() {
    let api = Api::start().await;
    let token = api.doppler.service_account_token();
    for (place, name) in [
        ("project=shop&config=prd", "A"),
        ("project=acme&config=none", "A"),
        (PRD, "lower"),
    ] {
        let list = format!("{SECRETS}?{place}&secrets={name}");
        let list = api.get(&token, &list).await;
        let single = format!("{SECRET}?{place}&name={name}");
        let single = api.get(&token, &single).await;
        assert_eq!((list.status, list.text), (single.status, single.text));
        assert!(list.status >= 400, "{place}");
    }
}

/// 3P; the parameter is DOC, and the SDK capitalises it (EMP).
///).
#[tokio::test]
async fn doppler_secrets_are_listed_unless_excluded() {
    let api = Api::start().await;
    let token = api.service_token();
    api.doppler.set_value("acme", "prd", "A", "1");
    let all = json!([
        "A",
        "DOPPLER_CONFIG",
        "DOPPLER_ENVIRONMENT",
        "DOPPLER_PROJECT"
    ]);
    for (query, expected) in [("", all), ("?include_managed_secrets=False", json!(["A"]))] {
        let names = api.get(&token, &format!("{SECRETS}/names{query}")).await;
        assert_eq!(names.json()["names"], expected);
        let list = api.get(&token, &format!("{SECRETS}{query}")).await.json();
        let listed = list["secrets"]
            .as_object()
            .map(|secrets| secrets.keys().cloned().collect());
        assert_eq!(
            listed.map(|names: Vec<String>| json!(names)),
            Some(expected)
        );
    }
    assert_eq!(api.secret("DOPPLER_PROJECT").await["raw"], "acme");
}

/// DOC `secret-visibility`.
#[tokio::test]
async fn restricted_value_is_null_for_user() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "A", "1");
    api.doppler
        .set_visibility("acme", "prd", "A", Visibility::Restricted);
    let path = format!("{SECRET}?{PRD}&name=A");
    let seen = [
        (api.service_token(), json!("1")),
        (api.doppler.service_account_token(), json!("1")),
        (api.doppler.personal_token(), Value::Null),
    ];
    for (token, value) in seen {
        let secret = api.get(&token, &path).await.json()["value"].take();
        assert_eq!((&secret["raw"], &secret["computed"]), (&value, &value));
        assert_eq!(secret["rawVisibility"], "restricted");
        assert_eq!(secret["computedVisibility"], "restricted");
    }
}

/// UNK: a conservative guess.
#[tokio::test]
async fn reference_to_restricted_value_is_restricted() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "A", "1");
    api.doppler
        .set_visibility("acme", "prd", "A", Visibility::Restricted);
    api.doppler.set_value("acme", "prd", "B", "${A}");
    let reply = api
        .get(
            &api.doppler.personal_token(),
            &format!("{SECRET}?{PRD}&name=B"),
        )
        .await;
    let secret = reply.json()["value"].take();
    assert_eq!(
        (&secret["raw"], &secret["computed"]),
        (&json!("${A}"), &Value::Null)
    );
}

/// SRC; that unresolvable text stays is UNK.
#[tokio::test]
async fn only_computed_value_follows_references() {
    let api = Api::start().await;
    api.doppler.create_project("my-shop");
    api.doppler.set_value("acme", "prd", "USER_NAME", "ada");
    api.doppler
        .set_value("acme", "dev", "HOST", "dev.${DOPPLER_CONFIG}");
    api.doppler.set_value("my-shop", "stg", "PORT", "81");
    let cases = [
        ("${USER_NAME}@x", "ada@x"),
        ("${dev.HOST}", "dev.dev"),
        ("${my-shop.stg.PORT}${USER_NAME}", "81ada"),
        ("a $ and a ${ and a ${}", "a $ and a ${ and a ${}"),
        (
            "${NOPE} ${no.PORT} ${a.b.c.D}",
            "${NOPE} ${no.PORT} ${a.b.c.D}",
        ),
    ];
    for (raw, computed) in cases {
        api.doppler.set_value("acme", "prd", "A", raw);
        let secret = api.secret("A").await;
        assert_eq!(
            (&secret["raw"], &secret["computed"]),
            (&json!(raw), &json!(computed))
        );
        assert_eq!(
            api.doppler.value("acme", "prd", "A").as_deref(),
            Some(computed)
        );
    }
}

/// UNK.
#[tokio::test]
async fn cyclic_references_terminate() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "A", "${B}");
    api.doppler.set_value("acme", "prd", "B", "${A}");
    assert_eq!(api.get(&api.service_token(), SECRETS).await.status, 200);
}

/// DOC.
#[tokio::test]
async fn branch_inherits_from_its_root_until_it_overrides() {
    let api = Api::start().await;
    api.doppler.create_branch_config("acme", "prd", "prd_aws");
    api.doppler.set_value("acme", "prd", "A", "root");
    let in_branch = || api.doppler.value("acme", "prd_aws", "A");
    assert_eq!(in_branch().as_deref(), Some("root"));
    api.doppler.set_value("acme", "prd_aws", "A", "branch");
    api.doppler.set_value("acme", "prd", "A", "newer root");
    assert_eq!(in_branch().as_deref(), Some("branch"));
    assert_eq!(
        api.doppler.value("acme", "prd", "A").as_deref(),
        Some("newer root")
    );
}

/// SRC, and 3P for the names.
#[tokio::test]
async fn config_inherits_from_inheritable_config() {
    let api = Api::start().await;
    api.doppler.create_project("base");
    api.doppler.set_value("base", "prd", "SHARED", "1");
    let token = api.doppler.service_account_token();
    let inherit = json!({
        "project": "acme", "config": "prd", "inherits": [{"project": "base", "config": "prd"}],
    });
    let path = "/v3/configs/config/inherits";
    assert_eq!(
        api.post(&token, path, inherit.clone()).await.status,
        404,
        "not inheritable yet"
    );
    let inheritable = json!({"project": "base", "config": "prd", "inheritable": true});
    api.post(&token, "/v3/configs/config/inheritable", inheritable)
        .await;
    let config = api.post(&token, path, inherit).await.json()["config"].take();
    assert_eq!(config["inheriting"], true);
    assert_eq!(api.secret("SHARED").await["computed"], "1");
    let base = api
        .get(&token, "/v3/configs/config?project=base&config=prd")
        .await
        .json();
    assert_eq!(
        base["config"]["inheritedBy"],
        json!([{"project": "acme", "config": "prd"}])
    );
}

/// DOC; the older path is EMP.
#[tokio::test]
async fn note_is_shared_by_project() {
    let api = Api::start().await;
    let token = api.doppler.service_account_token();
    api.doppler.set_value("acme", "prd", "A", "1");
    let notes = [
        ("/v3/projects/project/note?project=acme", "one"),
        (
            "/v3/configs/config/secrets/note?project=acme&config=dev",
            "two",
        ),
    ];
    for (path, text) in notes {
        let note = api
            .post(&token, path, json!({"secret": "A", "note": text}))
            .await;
        assert_eq!(
            note.json(),
            json!({"secret": "A", "note": text, "success": true})
        );
        assert_eq!(api.secret("A").await["note"], text);
    }
}
