//! Lists keys.

use std::ops::ControlFlow;

use super::super::secrets_manager::Secret;
use super::account::{AccountKey, AccountKeys};
use super::observer::{KnownValues, ListedKey, Observer, identity, key_id};
use super::{ApiGateway, ENDLESS, PAGE, SERVICE, TAG_FUNCTION, TAG_SECRET, TAG_VERSION};
use crate::adapters::{CallError, CallErrorKind, aws};
use crate::command::Command;
use crate::driver::Call;
use crate::ids::{KeyId, VersionId};

/// The most keys of one secret that the function supports.
///
/// By default, a secret has the keys of eight days: 48 if it is rotated every four hours, the
/// shortest interval (DOC). With more keys than this limit, retirement does not keep up, or another
/// process creates keys with the names and tags of this function. Reading each would exceed the
/// deadline.
const MOST_KEYS: usize = 1_000;

/// The most keys that are listed: twice as many as an account can have (DOC: 10,000, not
/// adjustable).
const MOST_LISTED: usize = 20_000;

/// Returns the commands that tag and rename a key so that it is managed. Returns none if they would
/// need a hidden ID.
pub(in crate::adapters) fn hand_over(
    key: &KeyId,
    version: &VersionId,
    secret: &Secret,
    function: &str,
) -> Vec<String> {
    if key.is_hidden() {
        return Vec::new();
    }
    // arn:<partition>:secretsmanager:<region>:…
    let mut arn = secret.arn.split(':').skip(1);
    let (partition, region) = (arn.next().unwrap_or("aws"), arn.nth(1).unwrap_or_default());
    let (identity, name) = (identity(&secret.arn), &secret.name);
    let resource = format!("arn:{partition}:apigateway:{region}::/apikeys/{key}");
    let tags = format!("{TAG_SECRET}={identity},{TAG_VERSION}={version},{TAG_FUNCTION}={function}");
    let renaming = format!("op=replace,path=/name,value={name}/{version}");
    let aws = |operation: &str| Command::new("aws").args(["apigateway", operation]);
    let commands = [
        aws("tag-resource").args(["--resource-arn", &resource, "--tags", &tags]),
        aws("update-api-key").args(["--api-key", key.as_str(), "--patch-operations", &renaming]),
    ];
    commands.iter().map(ToString::to_string).collect()
}

impl ApiGateway {
    /// Lists keys page by page until a key satisfies `enough`.
    pub(super) async fn list(
        &self,
        prefix: Option<String>,
        secret: &Secret,
        values: &KnownValues<'_>,
        enough: impl Fn(&ListedKey) -> bool,
    ) -> Result<(Vec<ListedKey>, Call), CallError> {
        let has_prefix = prefix.is_some();
        let observer = self.observer(secret, values);
        let mut keys = Vec::new();
        let call = self
            .each_page(prefix, |page, call| {
                keys.extend(page.iter().filter_map(|key| observer.observe(key)));
                // An emergency stop lists without a prefix and continues with any number of keys.
                if has_prefix && keys.len() > MOST_KEYS {
                    return Err(CallError::from_aws(
                        call.clone(),
                        CallErrorKind::TooManyKeys(MOST_KEYS),
                    ));
                }
                Ok(if keys.iter().any(&enough) {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })
            .await?;
        Ok((keys, call))
    }

    /// Lists all keys of the account, in at most this number of pages. Returns `None` if there are
    /// more.
    pub(in crate::adapters) async fn account_keys(
        &self,
        most_pages: usize,
    ) -> Result<(Option<AccountKeys>, Call), CallError> {
        let (mut all, mut pages) = (AccountKeys::default(), 0);
        let call = self
            .each_page(None, |page, _| {
                pages += 1;
                all.0.extend(page);
                Ok(if pages > most_pages {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                })
            })
            .await?;
        Ok(((pages <= most_pages).then_some(all), call))
    }

    pub(super) fn observer<'a>(
        &'a self,
        secret: &'a Secret,
        values: &'a KnownValues<'a>,
    ) -> Observer<'a> {
        Observer {
            secret,
            identity: identity(&secret.arn),
            function_name: &self.function_name,
            values,
        }
    }

    /// Reads pages of keys until `visit` breaks, or until the end.
    async fn each_page(
        &self,
        prefix: Option<String>,
        mut visit: impl FnMut(Vec<AccountKey>, &Call) -> Result<ControlFlow<()>, CallError>,
    ) -> Result<Call, CallError> {
        const OPERATION: &str = "GetApiKeys";
        let request = self
            .client
            .get_api_keys()
            .set_name_query(prefix)
            .include_values(true);
        let (mut limit, mut position, mut last, mut listed) = (PAGE, None, None, 0);
        loop {
            let page = request.clone().limit(limit).set_position(position.clone());
            let page = match page.send().await {
                Ok(page) => page,
                Err(error) => match aws::call_error(SERVICE, OPERATION, &error) {
                    CallError {
                        kind: CallErrorKind::ReplyTooLarge(_),
                        ..
                    } if limit > 1 => {
                        // In large steps, because each costs a request of the rate limit.
                        limit = (limit / 8).max(1);
                        continue;
                    }
                    CallError {
                        kind: CallErrorKind::ReplyTooLarge(most),
                        call,
                        ..
                    } => {
                        let kind = CallErrorKind::KeyTooLarge(most, last);
                        return Err(CallError::from_aws(call, kind));
                    }
                    failed => return Err(failed),
                },
            };
            let call = aws::call(SERVICE, OPERATION, &page);
            // Read after the reply: another run may have marked a key concurrently, and a mark in
            // the future is ignored.
            let now = self.clock.now();
            let keys = page.items.unwrap_or_default().into_iter();
            let keys: Vec<_> = keys.map(|key| AccountKey::new(key, now)).collect();
            last = keys
                .iter()
                .rev()
                .find_map(|key| Some(key_id(key.id.as_deref()?, [key.value.expose()].into_iter())))
                .or(last);
            listed += keys.len().max(1);
            if visit(keys, &call)?.is_break() {
                return Ok(call);
            }
            let next = page.position.filter(|next| !next.is_empty());
            if next.is_none() {
                return Ok(call);
            }
            if next == position || listed > MOST_LISTED {
                return Err(CallError::from_aws(call, CallErrorKind::Malformed(ENDLESS)));
            }
            position = next;
        }
    }
}
