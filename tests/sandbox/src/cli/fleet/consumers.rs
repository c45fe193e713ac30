//! The consumers of the fleet's keys in the demo: one for each member, which reads its key where it
//! is mirrored, and calls the gateway with it all the time.

use std::collections::BTreeMap;

use http::StatusCode;
use sandbox::{Sandbox, VersionSnapshot};

use super::fixture::MEMBERS;
use crate::cli::consumer::answer_to;
use crate::cli::fixture::CONFIG;

/// What the consumers have got so far.
#[derive(Default)]
pub(super) struct Consumers {
    pub(super) requests: usize,
    /// What the gateway answered instead of 200, by member.
    pub(super) errors: BTreeMap<&'static str, Vec<String>>,
}

impl Consumers {
    /// Makes one request with the key of each member that has one.
    pub(super) async fn use_keys(&mut self, sandbox: &Sandbox) {
        for member in &MEMBERS {
            let key = match member.project {
                Some(project) => sandbox.doppler().value(project, CONFIG, member.key_name),
                None => current_key(sandbox, member.name),
            };
            if let Some(key) = key {
                self.requests += 1;
                let answer = answer_to(sandbox, &key).await;
                if answer != Some(StatusCode::OK) {
                    let answer = answer.map_or("nothing".to_owned(), |status| status.to_string());
                    self.errors.entry(member.name).or_default().push(answer);
                }
            }
        }
    }
}

/// Returns the key that Secrets Manager has as current.
pub(super) fn current_key(sandbox: &Sandbox, name: &str) -> Option<String> {
    let secret = sandbox.secret(name);
    secret.current().and_then(VersionSnapshot::api_key)
}
