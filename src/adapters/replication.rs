//! The replication status of a secret.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::CallError;
use super::secrets_manager::{Secret, SecretsManager};
use crate::decision::{Replica, Replication};
use crate::driver::Call;
use crate::redact::Redacted;

impl Replica {
    /// Parses an entry of `ReplicationStatus`. The API reference documents three statuses (DOC),
    /// newer service models five (SRC, botocore 1.44).
    ///
    /// Any other status, or none, counts as `Failed`, and the message names it. As `Underway`, it
    /// would make every rotation wait and fail. As `Failed`, it appears in the report and the
    /// rotation succeeds.
    #[must_use]
    pub fn read(region: &str, status: Option<&str>, message: Option<&str>) -> Self {
        let known = match status {
            Some("InSync") => Some(Replication::InSync),
            Some("InProgress" | "Pending") => Some(Replication::Underway),
            Some("Failed") => Some(Replication::Failed),
            Some("Detached") => Some(Replication::Detached),
            _ => None,
        };
        let message = message.unwrap_or_default();
        let message = match (known, status) {
            (Some(_), _) => message.to_owned(),
            (None, Some(status)) => format!("unknown replication status {status}: {message}"),
            (None, None) => format!("no replication status: {message}"),
        };
        Self {
            region: Redacted::message(region),
            status: known.unwrap_or(Replication::Failed),
            message: Redacted::message(message.trim_end_matches([':', ' '])),
        }
    }
}

/// The pause between a change and the first `DescribeSecret`.
const REPLICAS_FIRST: Duration = Duration::from_secs(1);

/// The pause between two calls of `DescribeSecret`.
const REPLICAS_POLL: Duration = Duration::from_secs(2);

impl SecretsManager {
    /// Describes the secret until no replica is `Underway` or the next call would be past the
    /// deadline.
    ///
    /// The first call waits a second: right after a change, the service may not report yet that
    /// replicas are behind (UNK). At least one call is made, whatever the deadline.
    pub(super) async fn replicated(
        &self,
        secret: &Secret,
        deadline: Instant,
    ) -> Result<(Secret, Call), CallError> {
        if Instant::now() + REPLICAS_FIRST < deadline {
            sleep(REPLICAS_FIRST).await;
        }
        loop {
            let (now, call) = self.describe(&secret.arn).await?;
            let mut replicas = now.description.replicas.iter();
            let waits = replicas.any(|replica| replica.status == Replication::Underway);
            if !waits || Instant::now() + REPLICAS_POLL >= deadline {
                return Ok((now, call));
            }
            sleep(REPLICAS_POLL).await;
        }
    }
}
