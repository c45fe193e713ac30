//! Access: tokens, scope and limits.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::Request;
use sandbox::doppler::{Access, operation};
use serde_json::json;

use crate::api::{Api, PRD, SECRET, SECRETS};

/// DOC and SRC.
#[tokio::test]
async fn token_is_accepted_as_bearer_or_basic() {
    let api = Api::start().await;
    let token = api.service_token();
    assert_eq!(api.get(&token, "/v3/me").await.status, 200);
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{token}:")));
    let request = Request::builder().header("authorization", basic);
    assert_eq!(api.send(request, "/v3/me", Bytes::new()).await.status, 200);
}

/// 3P for the message; the reply without a token is UNK.
#[tokio::test]
async fn unknown_revoked_or_missing_token_is_401() {
    let api = Api::start().await;
    let revoked = api.service_token();
    api.doppler.revoke(&revoked);
    let missing = api.send(Request::builder(), "/v3/me", Bytes::new()).await;
    for reply in [
        missing,
        api.get("dp.st.none", "/v3/me").await,
        api.get(&revoked, "/v3/me").await,
    ] {
        assert_eq!(reply.status, 401);
        assert_eq!(
            reply.json(),
            json!({"messages": ["Invalid Auth token"], "success": false})
        );
    }
}

/// DOC.
#[tokio::test]
async fn token_has_prefix_of_its_kind() {
    let api = Api::start().await;
    let tokens = [
        (api.service_token(), "dp.st.prd."),
        (api.doppler.service_account_token(), "dp.sa."),
        (api.doppler.personal_token(), "dp.pt."),
    ];
    for (token, kind) in tokens {
        let random = token
            .strip_prefix(kind)
            .expect("the token begins with its kind");
        assert!((40..=44).contains(&random.len()));
        assert!(random.chars().all(|c| c.is_ascii_alphanumeric()));
    }
}

/// DOC, and SRC for the request id.
#[tokio::test]
async fn every_reply_has_request_id_and_rate() {
    let api = Api::start().await;
    let token = api.service_token();
    for reply in [
        api.get(&token, SECRETS).await,
        api.get("dp.st.none", SECRETS).await,
    ] {
        assert_eq!(reply.header("x-request-id").len(), 36);
        assert_eq!(reply.header("x-ratelimit-limit"), "120");
        assert_eq!(reply.header("x-ratelimit-remaining"), "119");
        assert!(reply.header("x-ratelimit-reset").parse::<u64>().is_ok());
        assert!(!reply.headers.contains_key("retry-after"));
    }
}

/// DOC. A list of secrets counts as one read, whatever the number of its names.
#[tokio::test]
async fn list_counts_as_one_secret_read() {
    let api = Api::start().await;
    api.doppler.set_secret_read_limit(2);
    let token = api.service_token();
    let paths = [
        (format!("{SECRETS}?secrets=A%2CB%2CC"), 200, "1"),
        (format!("{SECRET}?name=A"), 200, "0"),
        (format!("{SECRETS}?secrets=A"), 429, "0"),
    ];
    for (path, status, remaining) in paths {
        let reply = api.get(&token, &path).await;
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.header("x-ratelimit-remaining"), remaining, "{path}");
    }
}

/// DOC.
#[tokio::test]
async fn write_limit_sends_retry_after() {
    let api = Api::start().await;
    api.doppler.set_rate_window(Duration::from_secs(1));
    api.doppler.set_write_limit(1);
    let token = api.service_token();
    let write = || api.post(&token, SECRETS, json!({"secrets": {"A": "1"}}));
    assert_eq!(write().await.status, 200);
    let refused = write().await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(refused.message(), "Rate limit exceeded");
    assert_eq!(
        api.get(&token, SECRETS).await.status,
        200,
        "reads count apart"
    );
    tokio::time::sleep(Duration::from_millis(1050)).await;
    assert_eq!(write().await.status, 200);
}

/// DOC and EMP.
#[tokio::test]
async fn service_token_implies_project_and_config() {
    let api = Api::start().await;
    let token = api.service_token();
    let body = json!({"project": null, "config": "", "secrets": {"A": "1"}});
    assert_eq!(api.post(&token, SECRETS, body).await.status, 200);
    for query in [
        "",
        "?project=&config=",
        "?project=acme",
        "?config=prd",
        &format!("?{PRD}"),
    ] {
        let reply = api.get(&token, &format!("{SECRETS}{query}")).await;
        assert_eq!(reply.json()["secrets"]["A"]["raw"], "1");
    }
}

/// 3P.
#[tokio::test]
async fn service_token_is_refused_other_configs() {
    let api = Api::start().await;
    api.doppler.create_branch_config("acme", "prd", "prd_aws");
    let token = api
        .doppler
        .service_token("acme", "prd_aws", Access::ReadWrite);
    let other_config = api.get(&token, &format!("{SECRETS}?{PRD}")).await;
    assert_eq!(other_config.status, 400);
    assert_eq!(
        other_config.message(),
        "This token does not have access to requested config 'prd'"
    );
    let other_project = api
        .get(&token, &format!("{SECRETS}?project=shop&config=prd"))
        .await;
    assert_eq!(
        other_project.message(),
        "This token does not have access to requested project 'shop'"
    );
}

/// 3P.
#[tokio::test]
async fn other_tokens_must_name_project_and_config() {
    let api = Api::start().await;
    for token in [
        api.doppler.service_account_token(),
        api.doppler.personal_token(),
    ] {
        let nothing = api.get(&token, SECRETS).await;
        assert_eq!(nothing.message(), "You must specify a project");
        let no_config = api
            .get(&token, &format!("{SECRETS}?project=acme&config="))
            .await;
        assert_eq!(no_config.message(), "Please provide a valid config.");
        assert_eq!(
            api.get(&token, &format!("{SECRETS}?{PRD}")).await.status,
            200
        );
    }
}

/// 3P (58 requests).
#[tokio::test]
async fn hidden_project_is_refused_with_404_or_400() {
    let api = Api::start().await;
    let token = api.doppler.service_account_token();
    let path = format!("{SECRETS}?project=shop&config=prd");
    let sees_another = api.get(&token, &path).await;
    assert_eq!(sees_another.status, 400);
    assert_eq!(
        sees_another.message(),
        "This token does not have access to requested project 'shop'"
    );
    api.doppler.create_project("shop");
    api.doppler.restrict_to_projects(&token, &[]);
    let sees_none = api.get(&token, &path).await;
    assert_eq!(sees_none.status, 404);
    assert_eq!(
        sees_none.message(),
        "Could not find requested project 'shop'"
    );
}

/// 3P; another observation has 400.
#[tokio::test]
async fn unknown_config_of_visible_project_is_not_found() {
    let api = Api::start().await;
    let token = api.doppler.service_account_token();
    let reply = api
        .get(&token, &format!("{SECRETS}?project=acme&config=qa"))
        .await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.message(), "Could not find requested config 'qa'");
}

/// EMP and SRC.
#[tokio::test]
async fn body_precedes_query_for_project_and_config() {
    let api = Api::start().await;
    let token = api.doppler.service_account_token();
    let body = json!({"project": "acme", "config": "prd", "secrets": {"A": "1"}});
    let path = format!("{SECRETS}?project=acme&config=dev");
    assert_eq!(api.post(&token, &path, body).await.status, 200);
    assert_eq!(api.doppler.value("acme", "prd", "A").as_deref(), Some("1"));
    assert_eq!(api.doppler.value("acme", "dev", "A"), None);
}

/// DOC for the rule; status and message are UNK.
#[tokio::test]
async fn read_only_token_cannot_write() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "A", "1");
    let token = api.doppler.service_token("acme", "prd", Access::ReadOnly);
    assert_eq!(api.get(&token, SECRETS).await.status, 200);
    let written = api
        .post(&token, SECRETS, json!({"secrets": {"A": "2"}}))
        .await;
    let deleted = api.delete(&token, &format!("{SECRET}?name=A")).await;
    assert_eq!((written.status, deleted.status), (403, 403));
    assert_eq!(api.doppler.value("acme", "prd", "A").as_deref(), Some("1"));
}

/// DOC for the rule; status and message are UNK.
#[tokio::test]
async fn service_token_has_access_to_secrets_only() {
    let api = Api::start().await;
    let token = api.service_token();
    for path in [
        "/v3/projects",
        "/v3/environments",
        "/v3/configs",
        "/v3/configs/config/logs",
    ] {
        assert_eq!(api.get(&token, path).await.status, 403);
    }
    let note = json!({"secret": "A", "note": "text"});
    assert_eq!(
        api.post(&token, "/v3/projects/project/note", note)
            .await
            .status,
        403
    );
}

/// Own choice: the call log uses these names.
#[test]
fn operations_have_names() {
    assert_eq!(operation(&http::Method::GET, SECRET), "GetSecret");
    assert_eq!(operation(&http::Method::POST, SECRETS), "UpdateSecrets");
    assert_eq!(operation(&http::Method::PATCH, SECRETS), "Unknown");
}

/// UNK.
#[tokio::test]
async fn stopped_project_answers_503_without_effect() {
    let api = Api::start().await;
    api.doppler.create_project("other");
    api.doppler.set_value("acme", "prd", "A", "1");
    let (of_config, of_all) = (api.service_token(), api.doppler.service_account_token());
    let change =
        |project: &str| json!({"project": project, "config": "prd", "secrets": {"A": "2"}});
    api.doppler.stop_project("acme");
    let read = api.get(&of_config, SECRETS).await;
    assert_eq!(read.status, 503);
    assert_eq!(read.json()["success"], false);
    let written = api.post(&of_all, SECRETS, change("acme")).await;
    assert_eq!(written.status, 503);
    assert_eq!(api.doppler.value("acme", "prd", "A").as_deref(), Some("1"));
    let elsewhere = api.post(&of_all, SECRETS, change("other")).await;
    assert_eq!(elsewhere.status, 200);
    api.doppler.resume_project("acme");
    let written = api.post(&of_all, SECRETS, change("acme")).await;
    assert_eq!(written.status, 200);
    api.doppler.remove_value("acme", "prd", "A");
    assert_eq!(api.doppler.value("acme", "prd", "A"), None);
}
