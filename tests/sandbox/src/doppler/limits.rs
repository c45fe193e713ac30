//! Rate limits: counted for each token and shown on every reply. They are enforced only if a test
//! enables it.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;

/// The kinds of requests that Doppler counts separately (DOC).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Read,
    SecretRead,
    Write,
}

pub(super) struct Limits {
    write_limit: Option<u32>,
    secret_read_limit: Option<u32>,
    window: Duration,
    /// The counts by the token's text. The empty text stands for callers without a valid token,
    /// which Doppler counts by address.
    used: HashMap<(String, Class), Window>,
}

struct Window {
    ends_at: SystemTime,
    requests: u32,
}

/// A request's count against its limit.
pub(super) struct Rate {
    limit: u32,
    requests: u32,
    ends_at: SystemTime,
    enforced: bool,
}

impl Limits {
    pub(super) fn new() -> Self {
        Self {
            write_limit: None,
            secret_read_limit: None,
            window: Duration::from_mins(1),
            used: HashMap::new(),
        }
    }

    pub(super) fn set_write_limit(&mut self, limit: u32) {
        self.write_limit = Some(limit);
        self.used.clear();
    }

    pub(super) fn set_secret_read_limit(&mut self, limit: u32) {
        self.secret_read_limit = Some(limit);
        self.used.clear();
    }

    pub(super) fn set_window(&mut self, window: Duration) {
        self.window = window;
        self.used.clear();
    }

    /// Counts one request and returns its rate.
    pub(super) fn count(&mut self, token: &str, class: Class, now: SystemTime) -> Rate {
        let window = self
            .used
            .entry((token.to_owned(), class))
            .or_insert(Window {
                ends_at: now,
                requests: 0,
            });
        if window.ends_at <= now {
            *window = Window {
                ends_at: now + self.window,
                requests: 0,
            };
        }
        window.requests += 1;
        // The limits of the Developer plan (DOC).
        let (usual, set) = match class {
            Class::Read => (240, None),
            Class::SecretRead => (120, self.secret_read_limit),
            Class::Write => (60, self.write_limit),
        };
        let (limit, enforced) = (set.unwrap_or(usual), set.is_some());
        Rate {
            limit,
            requests: window.requests,
            ends_at: window.ends_at,
            enforced,
        }
    }
}

impl Rate {
    /// Returns the whole seconds to wait if this request exceeds the limit.
    pub(super) fn retry_after(&self, now: SystemTime) -> Option<u64> {
        let wait = self.ends_at.duration_since(now).unwrap_or_default();
        (self.enforced && self.requests > self.limit).then(|| wait.as_secs() + 1)
    }

    pub(super) fn write_to(&self, headers: &mut HeaderMap) {
        let reset = self.ends_at.duration_since(UNIX_EPOCH).unwrap_or_default();
        headers.insert("x-ratelimit-limit", self.limit.into());
        headers.insert(
            "x-ratelimit-remaining",
            self.limit.saturating_sub(self.requests).into(),
        );
        headers.insert("x-ratelimit-reset", reset.as_secs().into());
    }
}
