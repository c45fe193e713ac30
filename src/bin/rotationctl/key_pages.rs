//! The pages of API Gateway's list of keys.

use aws_sdk_apigateway::operation::get_api_keys::builders::GetApiKeysFluentBuilder;
use aws_sdk_apigateway::types::ApiKey;

use crate::failure::Failure;

/// Keys per page: the maximum of API Gateway.
const PAGE: i32 = 500;

/// The most keys that are listed: twice as many as an account can have.
const MOST_LISTED: usize = 20_000;

/// A list of keys, page after page.
///
/// The SDK's types print values with `{:?}`, so a list with values must not be printed.
pub(crate) struct KeyPages {
    request: GetApiKeysFluentBuilder,
    next: Next,
    /// How many keys the pages so far had. An empty page counts as one.
    pub(crate) listed: usize,
}

/// Where the list continues.
enum Next {
    /// At this position. `None` is its beginning.
    Page(Option<String>),
    /// Nowhere.
    End,
    /// At a page that was read, or after more keys than an account can have.
    NoEnd,
}

impl KeyPages {
    pub(crate) fn of(request: GetApiKeysFluentBuilder) -> Self {
        Self {
            request: request.limit(PAGE),
            next: Next::Page(None),
            listed: 0,
        }
    }

    /// Returns the keys of the next page. `None` after the last one.
    ///
    /// # Errors
    /// Returns an error if keys cannot be listed, or if the list has no end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<ApiKey>>, Failure> {
        let position = match &self.next {
            Next::Page(position) => position.clone(),
            Next::End => return Ok(None),
            Next::NoEnd => {
                let what = "API Gateway's list of keys has no end";
                return Err(Failure::new(what, "run it again"));
            }
        };
        let request = self.request.clone().set_position(position.clone());
        let page = request.send().await;
        let page = page.map_err(|error| Failure::of_call("apigateway:GET", &error))?;
        let keys = page.items.unwrap_or_default();
        self.listed += keys.len().max(1);
        let next = page.position.filter(|next| !next.is_empty());
        self.next = match next {
            None => Next::End,
            Some(_) if next == position || self.listed > MOST_LISTED => Next::NoEnd,
            Some(_) => Next::Page(next),
        };
        Ok(Some(keys))
    }
}
