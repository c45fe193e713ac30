//! The API keys of `doctor` itself: disabled, named and tagged, so that any later run finds them.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_apigateway::Client;
use aws_sdk_apigateway::types::ApiKey;
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::key_pages::KeyPages;
use crate::operator::Operator;

/// How the name of each key begins. A secret's name cannot have a colon, so no key of a secret has
/// such a name.
const PREFIX: &str = "rotation:doctor/";

/// The tag of each key.
pub(crate) const TAG: &str = "rotation:doctor";

/// After this time, a key of another operator's run is one that a killed run left.
const LONGEST_RUN: Duration = Duration::from_mins(15);

/// The keys of one run.
#[derive(Debug)]
pub(crate) struct OwnKeys<'a> {
    operator: &'a Operator<'a>,
    /// Distinguishes operators without naming them.
    owner: String,
    created: RefCell<Vec<String>>,
}

/// A key that a run left.
#[derive(Debug)]
pub(crate) struct Leftover {
    pub(crate) id: String,
    /// Whether a run of another operator may still use it.
    pub(crate) is_in_use: bool,
}

impl<'a> OwnKeys<'a> {
    /// Creates the list of the keys of this caller.
    pub(crate) fn new(operator: &'a Operator<'a>, caller: &str) -> Self {
        let mut owner = String::new();
        for byte in &Sha256::digest(caller.as_bytes())[..6] {
            write!(owner, "{byte:02x}").ok();
        }
        Self {
            operator,
            owner,
            created: RefCell::default(),
        }
    }

    /// Returns the value of the tag.
    pub(crate) fn owner(&self) -> &str {
        &self.owner
    }

    /// Creates a disabled key with these tags, with the rights of `client`. API Gateway chooses its
    /// value, which is dropped unread.
    ///
    /// # Errors
    /// Returns an error if API Gateway refuses.
    pub(crate) async fn create(
        &self,
        client: &Client,
        tags: &[(&str, &str)],
        stage: Option<&(String, String)>,
    ) -> Result<String, Failure> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_nanos();
        let mut request = client.create_api_key().enabled(false);
        request = request.name(format!("{PREFIX}{}/{now:x}", self.owner));
        for (name, value) in tags {
            request = request.tags(*name, *value);
        }
        if let Some((api, stage)) = stage {
            let stage = aws_sdk_apigateway::types::StageKey::builder()
                .rest_api_id(api)
                .stage_name(stage)
                .build();
            request = request.stage_keys(stage);
        }
        let created = request.send().await;
        let created = created.map_err(|error| Failure::of_call("apigateway:POST", &error))?;
        let id = created.id().unwrap_or_default().to_owned();
        self.created.borrow_mut().push(id.clone());
        Ok(id)
    }

    /// Removes every key of this caller, also one whose creation was not confirmed. One that cannot be
    /// removed does not keep the others.
    ///
    /// # Errors
    /// Returns the first error if a key remains.
    pub(crate) async fn remove_all(&self) -> Result<usize, Failure> {
        // First what is known, because the list may be denied, or late.
        let created = self.created.take();
        let mut removed = Vec::new();
        for id in &created {
            removed.push(self.remove(id).await);
        }
        match self.list(&format!("{PREFIX}{}/", self.owner)).await {
            Ok(listed) => {
                let ids = listed.iter().filter_map(ApiKey::id);
                for id in ids.filter(|id| !created.iter().any(|created| created == id)) {
                    removed.push(self.remove(id).await);
                }
            }
            Err(failed) => removed.push(Err(failed)),
        }
        let numbers = removed.into_iter().map(|removed| removed.map(usize::from));
        numbers.sum()
    }

    /// Removes one key. Returns `false` if it was gone.
    ///
    /// # Errors
    /// Returns an error if API Gateway refuses.
    pub(crate) async fn remove(&self, id: &str) -> Result<bool, Failure> {
        let client = &self.operator.aws.api_gateway;
        let removed = client.delete_api_key().api_key(id).send().await;
        match removed.map_err(|error| Failure::of_call("apigateway:DELETE", &error)) {
            Ok(_) => Ok(true),
            Err(failed) if failed.has_code("NotFoundException") => Ok(false),
            Err(failed) => Err(failed),
        }
    }

    /// Returns the keys that earlier runs left, also of other operators.
    ///
    /// # Errors
    /// Returns an error if keys cannot be listed.
    pub(crate) async fn leftovers(&self) -> Result<Vec<Leftover>, Failure> {
        let own = format!("{PREFIX}{}/", self.owner);
        let now = SystemTime::now();
        let keys = self.list(PREFIX).await?;
        let leftovers = keys.iter().filter_map(|key| {
            // A run creates only disabled keys.
            if key.enabled() {
                return None;
            }
            let is_own = key.name()?.starts_with(&own);
            let created = key.created_date()?;
            let created = SystemTime::try_from(*created).ok()?;
            let is_old = now
                .duration_since(created)
                .is_ok_and(|age| age > LONGEST_RUN);
            Some(Leftover {
                id: key.id()?.to_owned(),
                is_in_use: !is_own && !is_old,
            })
        });
        Ok(leftovers.collect())
    }

    /// Lists keys by the beginning of their names, without values.
    async fn list(&self, prefix: &str) -> Result<Vec<ApiKey>, Failure> {
        let client = &self.operator.aws.api_gateway;
        let mut pages = KeyPages::of(client.get_api_keys().name_query(prefix));
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await? {
            keys.extend(page);
        }
        Ok(keys)
    }
}
