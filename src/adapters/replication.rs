//! How far the replicas of a secret are.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::CallError;
use super::secrets_manager::{Secret, SecretsManager};
use crate::decision::{Replica, Replication};
use crate::driver::Call;
use crate::redact::Redacted;

impl Replica {
    /// Reads an entry of `ReplicationStatus`. The API reference documents three statuses (DOC), newer service models
    /// five (SRC, botocore 1.44).
    ///
    /// Any other status, or none, counts as `Failed`, and the message names it. Counted as `Underway` it would make
    /// every rotation wait and fail; so the rotation succeeds, and the report shows what was not understood.
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

/// When the replicas are first looked at after a change, and how long after that again.
const REPLICAS_FIRST: Duration = Duration::from_secs(1);

const REPLICAS_POLL: Duration = Duration::from_secs(2);

impl SecretsManager {
    /// Describes the secret until no replica is `Underway`, or the next look would be after the deadline.
    ///
    /// The first look is a second after the call: right after a change the service may not have noticed yet that replicas
    /// are behind (UNK). At least one look is made, whatever the deadline.
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
