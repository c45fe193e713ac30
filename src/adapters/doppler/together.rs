//! Reads the targets of many secrets: with one call for those in one config.
//!
//! A call names the secrets that it reads, so the function receives no values of others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use reqwest::Method;
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::classify::Cause;
use super::{Doppler, LOGIN, Value};
use crate::adapters::{AdapterError, CallErrorKind};
use crate::driver::{Call, Service, log_read};
use crate::ids::Target;

/// The most names in one call.
const MOST_NAMES: usize = 100;

/// The most bytes that the names take in a URL, with the three of each separator. Host, project and
/// config are not counted.
const MOST_BYTES: usize = 3_000;

/// Values by name, without the names that do not exist. Doppler omits those (EMP).
type Values = HashMap<String, Value>;

#[derive(Deserialize)]
struct ListReply {
    secrets: Values,
}

/// The targets of many secrets at one time.
///
/// A run over many secrets looks at them first, which costs one call for 100 targets in one config
/// instead of one for each. They may be minutes old. So nothing is changed by them: a secret that
/// needs a change is reconciled with reads of its own.
///
/// It has no `Debug`, as it holds the values, which are zeroed when it is dropped.
#[derive(Default)]
pub struct SharedTargets {
    batches: Vec<Batch>,
    /// The batch of each target. A target without one is read alone.
    places: BTreeMap<Target, usize>,
}

/// Targets in one config that are read with one call, when the first of them is needed.
struct Batch {
    project: String,
    config: String,
    names: Vec<String>,
    read: OnceCell<Result<(Values, Call), AdapterError>>,
}

impl SharedTargets {
    /// Plans the reads of these targets. Those that are close to each other are read together, so
    /// they should be in the order in which they are needed.
    #[must_use]
    pub fn new<'a>(targets: impl IntoIterator<Item = &'a Target>) -> Self {
        let mut configs = BTreeMap::<_, Vec<Vec<&Target>>>::new();
        let mut seen = BTreeSet::new();
        for target in targets {
            if !seen.insert(target) {
                continue;
            }
            let batches = configs
                .entry((&target.project, &target.config))
                .or_default();
            match batches.last_mut().filter(|batch| has_room(batch, target)) {
                Some(batch) => batch.push(target),
                None => batches.push(vec![target]),
            }
        }
        let mut shared = Self::default();
        // The read of a single target is as cheap.
        for ((project, config), batches) in configs {
            for targets in batches.into_iter().filter(|targets| targets.len() > 1) {
                let place = shared.batches.len();
                let places = targets.iter().map(|&target| (target.clone(), place));
                shared.places.extend(places);
                shared.batches.push(Batch {
                    project: project.clone(),
                    config: config.clone(),
                    names: targets.iter().map(|target| target.name.clone()).collect(),
                    read: OnceCell::new(),
                });
            }
        }
        shared
    }

    fn batch(&self, target: &Target) -> Option<&Batch> {
        self.batches.get(*self.places.get(target)?)
    }
}

/// Whether one more name fits into a call.
fn has_room(batch: &[&Target], target: &Target) -> bool {
    let bytes = |target: &&Target| target.name.len() + "%2C".len();
    let taken: usize = batch.iter().map(bytes).sum();
    batch.len() < MOST_NAMES && taken + bytes(&target) <= MOST_BYTES
}

impl Batch {
    /// Returns what the read of all says of one target, as if it had been read alone.
    ///
    /// Returns `None` if the call was not made, or if it failed for a reason that may concern
    /// another target.
    fn reply(&self, target: &Target) -> Option<Result<(Value, Call), AdapterError>> {
        match self.read.get()? {
            Ok((values, call)) => {
                let value = values.get(&target.name).cloned().unwrap_or_default();
                Some(Ok((value, call.clone())))
            }
            Err(failed) if may_concern_one(failed) => None,
            Err(failed) => Some(Err(failed.clone())),
        }
    }
}

/// Whether a single target may be the reason of the failure: a long value, a value that
/// spoils the reply, or something that only Doppler's message explains. A failed login concerns all.
fn may_concern_one(failed: &AdapterError) -> bool {
    let AdapterError::Call(failed) = failed else {
        return false;
    };
    if failed.call.service != Service::Doppler || failed.call.operation == LOGIN {
        return false;
    }
    match &failed.kind {
        CallErrorKind::ReplyTooLarge(_) | CallErrorKind::Malformed(_) => true,
        CallErrorKind::Declined(answer) => answer.cause() == Cause::Named,
        _ => false,
    }
}

impl Doppler<'_> {
    /// As [`read`](Doppler::read), but from the read of all targets in the config, which is made if
    /// it was not. Returns the call only if the target was read alone.
    pub(in crate::adapters) async fn read_shared(
        &self,
        shared: &SharedTargets,
        target: &Target,
    ) -> Result<(Option<SecretString>, Option<Call>), AdapterError> {
        if let Some(batch) = shared.batch(target) {
            batch.read.get_or_init(|| self.read_batch(batch)).await;
            if let Some(reply) = batch.reply(target) {
                let (value, _) = self.value_of(target, reply).await?;
                return Ok((value, None));
            }
        }
        let (value, call) = self.read(target).await?;
        Ok((value, Some(call)))
    }

    /// Returns the error of a target whose shared read failed. It would fail again.
    pub(in crate::adapters) async fn shared_failure(
        &self,
        shared: &SharedTargets,
        target: &Target,
    ) -> Result<(), AdapterError> {
        match shared.batch(target).and_then(|batch| batch.reply(target)) {
            // A target that may be created is not a failure.
            Some(Err(failed)) => self.value_of(target, Err(failed)).await.map(|_| ()),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    async fn read_batch(&self, batch: &Batch) -> Result<(Values, Call), AdapterError> {
        let Batch {
            project,
            config,
            names,
            ..
        } = batch;
        let started = Instant::now();
        let query = [
            ("project", project.as_str()),
            ("config", config),
            ("secrets", &names.join(",")),
            // Otherwise, Doppler would create credentials with a lease (DOC).
            ("include_dynamic_secrets", "false"),
            ("include_managed_secrets", "false"),
        ];
        let url = self.url("v3/configs/config/secrets", &query);
        let reply = self.call::<ListReply>("ListSecrets", Method::GET, url, None);
        let (reply, call) = reply.await?;
        let words = format!("read {} Doppler targets in {project}/{config}", names.len());
        log_read(&words, &call, started);
        let mut values = reply.secrets;
        values.retain(|name, _| names.contains(name));
        Ok((values, call))
    }
}
