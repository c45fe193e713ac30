//! Lists, newest first \[AWSV\], with pagination.

use serde_json::{Value, json};

use super::route::Request;
use super::{Outcome, bad_request, ok};
use crate::error_response::ErrorResponse;

/// The default and maximum number of entries on a page (service model).
const DEFAULT: usize = 25;
const MOST: usize = 500;

/// Returns a page of `entries`. They come oldest first, each with its number in the order of
/// creation.
pub(super) fn page(request: &Request, entries: Vec<(u64, Value)>) -> Outcome {
    let (items, position) = page_of(request, entries)?;
    let mut body = json!({ "item": items });
    if let Some(position) = position {
        body["position"] = json!(position);
    }
    ok(body)
}

/// Returns the entries of a page, and the position of the next page if there is one.
pub(super) fn page_of<T>(
    request: &Request,
    entries: Vec<(u64, T)>,
) -> Result<(Vec<T>, Option<String>), ErrorResponse> {
    // A limit below one is ignored [AWSV for -1].
    let limit = match request.parameter("limit").map(str::parse::<i64>) {
        None => DEFAULT,
        Some(Ok(limit)) => usize::try_from(limit)
            .ok()
            .filter(|limit| *limit > 0)
            .unwrap_or(DEFAULT)
            .min(MOST),
        Some(Err(_)) => return Err(bad_request("Invalid limit specified")),
    };
    // A position is the number of the last entry shown, so that added or removed keys shift
    // nothing.
    let before = match request.parameter("position").map(str::parse::<u64>) {
        None => u64::MAX,
        Some(Ok(place)) => place,
        Some(Err(_)) => return Err(bad_request("Invalid position parameter specified")),
    };
    let mut rest = entries
        .into_iter()
        .rev()
        .filter(|(place, _)| *place < before)
        .peekable();
    let mut items = Vec::new();
    let mut last = None;
    while items.len() < limit
        && let Some((place, entry)) = rest.next()
    {
        items.push(entry);
        last = Some(place);
    }
    let has_more = rest.peek().is_some();
    let position = last.filter(|_| has_more).map(|last| last.to_string());
    Ok((items, position))
}
