//! Projects, environments, configs, service tokens and logs.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};

use crate::api::{Api, PRD, SECRETS, authorized};

const CONFIG: &str = "/v3/configs/config";
const LOGS: &str = "/v3/configs/config/logs";
const TOKENS: &str = "/v3/configs/config/tokens";

/// 3P.
#[tokio::test]
async fn new_project_has_three_environments_with_locked_roots() {
    let api = Api::start_empty().await;
    let token = api.doppler.service_account_token();
    let body = json!({"name": "acme", "description": "d"});
    let project = api.post(&token, "/v3/projects", body).await.json()["project"].take();
    for field in ["id", "slug", "name"] {
        assert_eq!(project[field], "acme");
    }
    assert_eq!(project["description"], "d");
    assert!(project["created_at"].is_string());

    let configs = api.get(&token, "/v3/configs?project=acme").await.json();
    let configs = configs["configs"].as_array().expect("configs are listed");
    assert_eq!(
        configs
            .iter()
            .map(|config| &config["name"])
            .collect::<Vec<_>>(),
        ["dev", "prd", "stg"]
    );
    for config in configs {
        assert_eq!(
            (&config["root"], &config["locked"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(
            (&config["inheritable"], &config["inherits"]),
            (&json!(false), &json!([]))
        );
        assert_eq!(
            (&config["environment"], &config["project"]),
            (&config["name"], &json!("acme"))
        );
    }
}

/// SRC.
#[tokio::test]
async fn project_can_be_created_without_environments() {
    let api = Api::start_empty().await;
    let token = api.doppler.service_account_token();
    let body = json!({"name": "acme", "create_default_environments": false});
    api.post(&token, "/v3/projects", body).await;
    let environments = api
        .get(&token, "/v3/environments?project=acme")
        .await
        .json();
    assert_eq!(environments["environments"], json!([]));
}

/// 3P.
#[tokio::test]
async fn duplicate_project_name_is_refused() {
    let api = Api::start().await;
    let token = api.doppler.service_account_token();
    let reply = api
        .post(&token, "/v3/projects", json!({"name": "acme"}))
        .await;
    assert_eq!(reply.status, 400);
    assert_eq!(
        reply.message(),
        "Project name already exists in this workplace."
    );
}

/// 3P: identifiers are names. That tokens survive is inferred.
#[tokio::test]
async fn renamed_project_keeps_its_tokens() {
    let api = Api::start().await;
    let service_token = api.service_token();
    let token = api.doppler.service_account_token();
    api.doppler.restrict_to_projects(&token, &["acme"]);
    let rename = json!({"project": "acme", "name": "shop", "description": "d"});
    let project = api
        .post(&token, "/v3/projects/project", rename)
        .await
        .json();
    assert_eq!(project["project"]["id"], "shop");
    assert_eq!(api.get(&service_token, SECRETS).await.status, 200);
    assert_eq!(
        api.get(&token, "/v3/projects/project?project=shop")
            .await
            .status,
        200
    );
}

/// EMP: 204 breaks the CLI.
#[tokio::test]
async fn deletions_except_of_secrets_return_json() {
    let api = Api::start().await;
    api.doppler.create_branch_config("acme", "prd", "prd_aws");
    let service_token = api.service_token();
    let token = api.doppler.service_account_token();
    let paths = [
        "/v3/configs/config?project=acme&config=prd_aws",
        "/v3/environments/environment?project=acme&environment=prd",
        "/v3/projects/project?project=acme",
    ];
    for path in paths {
        let reply = api.delete(&token, path).await;
        assert_eq!(
            (reply.status, reply.json()),
            (200, json!({"success": true}))
        );
    }
    assert_eq!(
        api.get(&service_token, SECRETS).await.status,
        401,
        "its config is gone"
    );
}

/// 3P and EMP.
#[tokio::test]
async fn new_environment_has_root_config() {
    let api = Api::start().await;
    let token = api.doppler.service_account_token();
    let body = json!({"project": "acme", "name": "Quality", "slug": "qa"});
    let environment = api.post(&token, "/v3/environments", body).await.json();
    assert_eq!(environment["environment"]["id"], "qa");
    let root = api
        .get(&token, &format!("{CONFIG}?project=acme&config=qa"))
        .await
        .json();
    assert_eq!(root["config"]["root"], true);
    let rename = json!({"project": "acme", "environment": "qa", "name": "QA"}).to_string();
    let request = authorized(&token).method("PUT");
    let path = "/v3/environments/environment";
    let renamed = api.send(request, path, Bytes::from(rename)).await.json();
    assert_eq!(renamed["environment"]["name"], "QA");
}

/// 3P.
#[tokio::test]
async fn branch_config_name_needs_known_environment() {
    let api = Api::start().await;
    let token = api.doppler.service_account_token();
    let create = async |environment: &str, name: &str| {
        let body = json!({"environment": environment, "name": name});
        api.post(&token, "/v3/configs?project=acme", body).await
    };
    let created = create("prd", "prd_aws").await.json();
    assert_eq!(created["config"]["root"], false);
    assert_eq!(created["config"]["locked"], false);
    for name in ["aws", "prdaws", "prd_", "dev_aws"] {
        assert_eq!(create("prd", name).await.status, 400);
    }
    assert_eq!(
        create("qa", "qa_aws").await.message(),
        "Invalid environment id"
    );
}

/// DOC.
#[tokio::test]
async fn locked_config_can_be_written_but_not_deleted() {
    let api = Api::start().await;
    api.doppler.create_branch_config("acme", "prd", "prd_aws");
    let token = api.doppler.service_account_token();
    let branch = "project=acme&config=prd_aws";
    let lock = api
        .post(&token, &format!("{CONFIG}/lock?{branch}"), json!({}))
        .await;
    assert_eq!(lock.json()["config"]["locked"], true);
    assert_eq!(
        api.delete(&token, &format!("{CONFIG}?{branch}"))
            .await
            .status,
        400
    );
    let path = format!("{SECRETS}?{branch}");
    let write = api.post(&token, &path, json!({"secrets": {"A": "1"}}));
    assert_eq!(write.await.status, 200);
    let unlock = api
        .post(&token, &format!("{CONFIG}/unlock?{branch}"), json!({}))
        .await;
    assert_eq!(unlock.json()["config"]["locked"], false);
    assert_eq!(
        api.delete(&token, &format!("{CONFIG}?{branch}"))
            .await
            .status,
        200
    );
}

/// DOC and EMP.
#[tokio::test]
async fn service_token_shows_key_once_and_is_deleted() {
    let api = Api::start().await;
    let token = api.doppler.service_account_token();
    let path = format!("{TOKENS}?{PRD}");
    for by_key in [false, true] {
        let created = api.post(&token, &path, json!({"name": "ci"})).await.json()["token"].take();
        assert_eq!(
            (&created["access"], &created["expires_at"]),
            (&json!("read"), &Value::Null)
        );
        let key = created["key"].as_str().expect("the key is shown");
        assert_eq!(api.get(key, SECRETS).await.status, 200);

        let listed = api.get(&token, &path).await.json()["tokens"][0].take();
        assert_eq!(
            (&listed["slug"], listed.get("key")),
            (&created["slug"], None)
        );
        let given = if by_key {
            &created["key"]
        } else {
            &created["slug"]
        };
        let body = json!({"project": "acme", "config": "prd", "token": given}).to_string();
        let delete = authorized(&token).method("DELETE");
        api.send(delete, &format!("{TOKENS}/token"), Bytes::from(body))
            .await;
        assert_eq!(api.get(key, SECRETS).await.status, 401);
    }
}

/// EMP: the CLI sends the expiry in seconds.
#[tokio::test]
async fn service_token_expires_at_requested_time() {
    let api = Api::start().await;
    let token = api.doppler.service_account_token();
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the time is after 1970")
        .as_secs();
    for (expire_at, status) in [(now + 600, 200), (now - 1, 401)] {
        let body = json!({"name": "ci", "access": "read/write", "expire_at": expire_at});
        let created = api
            .post(&token, &format!("{TOKENS}?{PRD}"), body)
            .await
            .json();
        assert!(created["token"]["expires_at"].is_string());
        let key = created["token"]["key"].as_str().expect("the key is shown");
        assert_eq!(api.get(key, SECRETS).await.status, status);
    }
}

/// DOC `auth-me`.
#[tokio::test]
async fn token_describes_itself_without_its_text() {
    let api = Api::start().await;
    let token = api.service_token();
    let reply = api.get(&token, "/v3/me").await;
    let me = reply.json();
    for field in ["slug", "name", "created_at", "type", "token_preview"] {
        assert!(me[field].is_string());
    }
    assert!(me["workplace"]["slug"].is_string() && me["workplace"]["name"].is_string());
    assert!(!reply.text.contains(&token));
}

/// DOC; that an equal write leaves no log is UNK.
#[tokio::test]
async fn write_adds_log_that_can_be_rolled_back() {
    let api = Api::start().await;
    let token = api.doppler.service_account_token();
    for value in ["1", "2", "2"] {
        let body = json!({"secrets": {"A": value}});
        api.post(&token, &format!("{SECRETS}?{PRD}"), body).await;
    }
    let logs = api.get(&token, &format!("{LOGS}?{PRD}")).await.json();
    let log = &logs["logs"][0];
    assert_eq!(
        (&logs["page"], logs["logs"].as_array().map(Vec::len)),
        (&json!(1), Some(2))
    );
    assert_eq!(
        (&log["rollback"], &log["user"]["name"]),
        (&json!(false), &json!("Service account"))
    );
    let second_page = api
        .get(&token, &format!("{LOGS}?{PRD}&page=2&per_page=1"))
        .await
        .json();
    assert_eq!(second_page["logs"][0]["id"], logs["logs"][1]["id"]);

    let id = log["id"].as_str().expect("a log has an id");
    let shown = api
        .get(&token, &format!("{LOGS}/log?{PRD}&log={id}"))
        .await
        .json();
    assert_eq!(
        shown["log"]["diff"],
        json!([{"name": "A", "added": "2", "removed": "1"}])
    );
    let path = format!("{LOGS}/log/rollback?{PRD}&log={id}");
    let rolled_back = api.post(&token, &path, json!({})).await.json();
    assert_eq!(rolled_back["log"]["rollback"], true);
    assert_eq!(api.doppler.value("acme", "prd", "A").as_deref(), Some("1"));
}
