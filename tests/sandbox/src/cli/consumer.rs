//! The consumers of the API in the demo: one with the old key, one with the new key, and one that
//! reads its key from Doppler. All of them call the gateway.

use std::fmt;

use bytes::Bytes;
use http::{Request, StatusCode};
use sandbox::{Call, Sandbox, VersionSnapshot, http_client};

use super::fixture::{CONFIG, DOPPLER_NAME, PROJECT, SECRET, probe_url};

/// The query of their requests, by which the call log shows them.
const OWN_QUERY: &str = "?client=demo";

/// What the consumers have got so far.
#[derive(Default)]
pub(crate) struct Consumer {
    /// The key that was current before the rotation.
    old: Option<String>,
    /// The version of the rotation.
    token: String,
    /// The requests with the key from Doppler.
    pub(crate) requests: usize,
    /// Those that the gateway did not answer with 200.
    pub(crate) errors: usize,
    /// Every look since the last rotation began.
    pub(crate) states: Vec<State>,
}

/// What the gateway answers to each key, and which one Doppler holds.
#[derive(Clone)]
pub(crate) struct State {
    /// When: after which step.
    pub(crate) when: String,
    /// `None` if there was no key before.
    pub(crate) old: Option<String>,
    pub(crate) new: String,
    pub(crate) doppler: &'static str,
}

impl fmt::Display for State {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.old {
            Some(old) => write!(out, "old key {old}")?,
            None => out.write_str("no old key")?,
        }
        write!(out, " · new key {} · Doppler: {}", self.new, self.doppler)
    }
}

impl Consumer {
    /// Begins to look at another rotation. `old` is the key that it replaces.
    pub(crate) fn follow(&mut self, old: Option<String>, token: &str) {
        self.old = old;
        token.clone_into(&mut self.token);
        self.states.clear();
    }

    /// Makes one request with the key that Doppler holds, if it holds one.
    pub(crate) async fn use_key(&mut self, sandbox: &Sandbox) {
        if let Some(key) = in_doppler(sandbox) {
            self.requests += 1;
            let is_accepted = answer_to(sandbox, &key).await == Some(StatusCode::OK);
            self.errors += usize::from(!is_accepted);
        }
    }

    /// Makes a request with each key.
    pub(crate) async fn look(&mut self, sandbox: &Sandbox, when: &str) -> State {
        // First and without a wait: the next step may write to Doppler.
        let doppler = in_doppler(sandbox);
        let new = sandbox
            .secret(SECRET)
            .version(&self.token)
            .and_then(VersionSnapshot::api_key);
        let holder = match &doppler {
            None => "no key",
            Some(key) if Some(key) == new.as_ref() => "new key",
            Some(key) if Some(key) == self.old.as_ref() => "old key",
            Some(_) => "another key",
        };
        let old = match &self.old {
            Some(key) => Some(state_of(sandbox, key, "deleted").await),
            None => None,
        };
        let new = state_of(sandbox, &new.unwrap_or_default(), "not created yet").await;
        let state = State {
            when: when.to_owned(),
            old,
            new,
            doppler: holder,
        };
        self.states.push(state.clone());
        state
    }
}

/// Whether the call is one of the demo's own.
pub(crate) fn is_own_call(call: &Call) -> bool {
    call.path_and_query.ends_with(OWN_QUERY)
}

/// What the gateway answers to a key; `None` without an answer.
pub(crate) async fn answer_to(sandbox: &Sandbox, key: &str) -> Option<StatusCode> {
    let url = format!("{}{OWN_QUERY}", probe_url(sandbox));
    let request = Request::get(url).header("x-api-key", key);
    let answer = http_client::send(request.body(Bytes::new()).ok()?).await;
    Some(answer.ok()?.status())
}

fn in_doppler(sandbox: &Sandbox) -> Option<String> {
    sandbox.doppler().value(PROJECT, CONFIG, DOPPLER_NAME)
}

/// What the gateway answers to a key, and why if it is not 200. `absent` says why there is no key.
async fn state_of(sandbox: &Sandbox, key: &str, absent: &str) -> String {
    let Some(status) = answer_to(sandbox, key).await else {
        return "without an answer".to_owned();
    };
    let why = match sandbox.key_with_value(key) {
        None => absent,
        Some(key) if !key.enabled => "disabled",
        Some(_) if status == StatusCode::OK => return status.as_str().to_owned(),
        Some(_) => "not in effect yet",
    };
    format!("{} ({why})", status.as_str())
}
