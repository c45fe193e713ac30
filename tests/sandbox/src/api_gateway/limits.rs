//! The request limits of an account's control plane.

use std::time::Instant;

use crate::call_log::Service;
use crate::error_response::ErrorResponse;

/// The `Retry-After` of a throttled call, in seconds.
const RETRY_AFTER: u64 = 1;

/// A token bucket that fills by `rate` tokens a second up to `burst`.
struct Bucket {
    rate: f64,
    burst: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: f64, burst: f64, now: Instant) -> Bucket {
        Bucket {
            rate,
            burst,
            tokens: burst,
            at: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        let filled = now.saturating_duration_since(self.at).as_secs_f64() * self.rate;
        self.tokens = (self.tokens + filled).min(self.burst);
        self.at = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

/// The limits for all operations together and for `CreateApiKey`.
pub(super) struct Limits {
    all: Bucket,
    create_key: Bucket,
}

impl Limits {
    pub(super) fn new(now: Instant) -> Limits {
        Limits {
            all: Bucket::new(10.0, 40.0, now),
            create_key: Bucket::new(5.0, 5.0, now),
        }
    }

    /// Counts a call, or returns the throttling error.
    pub(super) fn take(&mut self, operation: &str, now: Instant) -> Result<(), ErrorResponse> {
        let allowed =
            self.all.take(now) && (operation != "CreateApiKey" || self.create_key.take(now));
        if allowed {
            Ok(())
        } else {
            Err(ErrorResponse::throttle(
                Service::ApiGateway,
                Some(RETRY_AFTER),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn limit_allows_five_new_keys_per_second() {
        let start = Instant::now();
        let mut limits = Limits::new(start);
        let mut created = |after: Duration| limits.take("CreateApiKey", start + after).is_ok();
        assert!((0..5).all(|_| created(Duration::ZERO)));
        assert!(!created(Duration::ZERO));
        assert!(!created(Duration::from_millis(199)));
        assert!(created(Duration::from_millis(400)));
    }

    #[test]
    fn limit_allows_burst_of_forty_operations() {
        let start = Instant::now();
        let mut limits = Limits::new(start);
        assert!((0..40).all(|_| limits.take("GetApiKeys", start).is_ok()));
        let refusal = limits
            .take("GetApiKeys", start)
            .expect_err("the burst is used up");
        assert_eq!(
            (refusal.status, refusal.retry_after),
            (429, Some(RETRY_AFTER))
        );
        let later = start + Duration::from_secs(1);
        assert_eq!(
            (0..20)
                .filter(|_| limits.take("GetApiKeys", later).is_ok())
                .count(),
            10
        );
    }
}
