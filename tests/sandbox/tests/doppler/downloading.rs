//! The download of all secrets.

use bytes::Bytes;
use sandbox::doppler::Visibility;
use serde_json::json;

use crate::api::{Api, DOWNLOAD, PRD, authorized};

const ONLY_MINE: &str = "include_managed_secrets=false";

/// DOC and EMP.
#[tokio::test]
async fn json_file_is_flat_and_computed() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "A", "1");
    api.doppler.set_value("acme", "prd", "B", "${A}2");
    let query = "format=json&include_dynamic_secrets=true";
    let reply = api
        .get(
            &api.service_token(),
            &format!("{DOWNLOAD}?{query}&{ONLY_MINE}"),
        )
        .await;
    assert_eq!(reply.json(), json!({"A": "1", "B": "12"}));
    let only = api
        .get(
            &api.service_token(),
            &format!("{DOWNLOAD}?secrets=B%2CNOPE"),
        )
        .await;
    assert_eq!(only.json(), json!({"B": "12"}));
}

/// DOC for the formats; the quoting is UNK.
#[tokio::test]
async fn text_formats_have_one_secret_per_line() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "A", "say \"hi\"\n");
    let formats = [
        ("env", "A=\"say \\\"hi\\\"\\n\"\n"),
        ("env-no-quotes", "A=say \"hi\"\\n\n"),
        ("docker", "A=say \"hi\"\\n\n"),
        ("yaml", "A: \"say \\\"hi\\\"\\n\"\n"),
    ];
    for (format, expected) in formats {
        let path = format!("{DOWNLOAD}?format={format}&{ONLY_MINE}");
        assert_eq!(api.get(&api.service_token(), &path).await.text, expected);
    }
}

/// 3P.
#[tokio::test]
async fn accept_header_decides_format_or_415() {
    let api = Api::start().await;
    let token = api.service_token();
    let types = [
        ("application/json", 200),
        ("*/*", 200),
        ("text/plain", 200),
        ("image/png", 415),
    ];
    for (accepted, status) in types {
        let request = || authorized(&token).header("accept", accepted);
        assert_eq!(
            api.send(request(), DOWNLOAD, Bytes::new()).await.status,
            status
        );
        let path = format!("{DOWNLOAD}?format=json");
        assert_eq!(api.send(request(), &path, Bytes::new()).await.status, 200);
    }
}

/// SRC and EMP.
#[tokio::test]
async fn known_tag_of_same_config_returns_304() {
    let api = Api::start().await;
    let token = api.doppler.service_account_token();
    let download = async |config: &str, known: &str| {
        let request = authorized(&token).header("if-none-match", known);
        let path = format!("{DOWNLOAD}?project=acme&config={config}&{ONLY_MINE}");
        api.send(request, &path, Bytes::new()).await
    };
    let first = download("prd", "").await;
    let tag = first.header("etag");
    let again = download("prd", tag).await;
    assert_eq!(
        (again.status, again.text.as_str(), again.header("etag")),
        (304, "", tag)
    );
    assert_eq!(download("prd", &format!("W/{tag}")).await.status, 304);
    assert_eq!(
        download("stg", tag).await.status,
        200,
        "as empty, but another config"
    );
    api.doppler.set_value("acme", "prd", "A", "1");
    assert_eq!(download("prd", tag).await.status, 200);
}

/// UNK: a user's file omits restricted values.
#[tokio::test]
async fn file_of_user_omits_restricted_values() {
    let api = Api::start().await;
    api.doppler.set_value("acme", "prd", "A", "1");
    api.doppler
        .set_visibility("acme", "prd", "A", Visibility::Restricted);
    let path = format!("{DOWNLOAD}?{PRD}&{ONLY_MINE}");
    let user = api.get(&api.doppler.personal_token(), &path).await;
    let machine = api.get(&api.service_token(), &path).await;
    assert_eq!(
        (user.json(), machine.json()),
        (json!({}), json!({"A": "1"}))
    );
}

/// Own choice: an error rather than a wrong response.
#[tokio::test]
async fn unsupported_format_is_refused() {
    let api = Api::start().await;
    for query in ["format=dotnet-json", "name_transformer=camel"] {
        let reply = api
            .get(&api.service_token(), &format!("{DOWNLOAD}?{query}"))
            .await;
        assert_eq!(reply.status, 501);
        assert!(reply.message().starts_with("The sandbox does not know"));
    }
}
