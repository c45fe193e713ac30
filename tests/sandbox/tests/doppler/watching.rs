//! The events of `doppler run --watch`.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sandbox::doppler::Access;
use serde_json::json;
use tokio::time::timeout;

use crate::api::{Api, SECRETS, authorized};

const CONNECTED: &str = "event: message\ndata: {\"type\":\"connected\"}\n\n";
const UPDATED: &str = "event: message\ndata: {\"type\":\"secrets.update\"}\n\n";

/// A watch. Each piece of its body must be one whole event.
struct Watch(Incoming);

impl Watch {
    async fn open(api: &Api, token: &str) -> Self {
        let path = format!("{SECRETS}/watch");
        let reply = api.open(authorized(token), &path, Bytes::new()).await;
        assert_eq!(reply.headers()["content-type"], "text/event-stream");
        let mut watch = Self(reply.into_body());
        assert_eq!(watch.next().await, CONNECTED);
        watch
    }

    async fn next(&mut self) -> String {
        let frame = timeout(Duration::from_secs(10), self.0.frame()).await;
        let frame = frame
            .expect("an event arrives")
            .expect("the watch continues");
        let data = frame
            .expect("the watch continues")
            .into_data()
            .expect("a watch sends data");
        String::from_utf8(data.to_vec()).expect("an event is text")
    }

    async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(200), self.0.frame())
            .await
            .is_err()
    }
}

/// EMP; that an equal write sends nothing is UNK.
#[tokio::test]
async fn watch_sends_connected_and_each_update() {
    let api = Api::start().await;
    let token = api.service_token();
    let mut watch = Watch::open(&api, &token).await;
    let write = async |value: &str| {
        api.post(&token, SECRETS, json!({"secrets": {"A": value}}))
            .await;
    };
    write("1").await;
    assert_eq!(watch.next().await, UPDATED);
    write("1").await;
    assert!(watch.is_silent().await);
    write("2").await;
    assert_eq!(watch.next().await, UPDATED);
    api.doppler.set_value("acme", "prd", "A", "3");
    assert_eq!(watch.next().await, UPDATED);
}

/// DOC for the inheritance; that watches follow it is inferred.
#[tokio::test]
async fn root_change_notifies_branch_watchers() {
    let api = Api::start().await;
    api.doppler.create_branch_config("acme", "prd", "prd_aws");
    let token = |config| api.doppler.service_token("acme", config, Access::ReadOnly);
    let mut branch = Watch::open(&api, &token("prd_aws")).await;
    let mut other = Watch::open(&api, &token("dev")).await;
    api.doppler.set_value("acme", "prd", "A", "1");
    assert_eq!(branch.next().await, UPDATED);
    assert!(other.is_silent().await);
}

/// SRC.
#[tokio::test]
async fn ping_succeeds() {
    let api = Api::start().await;
    let reply = api
        .get(&api.service_token(), "/v3/configs/config/ping")
        .await;
    assert_eq!(reply.json(), json!({"success": true}));
}
