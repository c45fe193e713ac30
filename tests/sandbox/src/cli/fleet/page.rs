//! What the page of `sandbox serve --fleet` shows, and what its buttons break.

use std::sync::Arc;

use sandbox::{Hook, PageBreakage, PageContent};

use super::causes::Cause;
use super::fixture::DOCUMENT;
use crate::cli::serve::Running;

/// Returns the content: the members of the document, and a button for each cause.
pub(crate) fn page(running: &Running) -> PageContent {
    let breakages = Cause::ALL.map(|cause| {
        let (name, label) = cause.names();
        PageBreakage {
            name,
            label,
            text: cause.said(),
            begin: hook(running, cause, true),
            end: hook(running, cause, false),
        }
    });
    PageContent {
        document: Some(DOCUMENT.to_owned()),
        breakages: breakages.to_vec(),
        ..PageContent::default()
    }
}

/// Lets a cause begin or end in the sandbox that runs.
fn hook(running: &Running, cause: Cause, begins: bool) -> Hook {
    let running = Arc::clone(running);
    Arc::new(move || {
        let sandbox = running.get().and_then(std::sync::Weak::upgrade);
        Box::pin(async move {
            match sandbox {
                Some(sandbox) if begins => cause.begin(&sandbox).await,
                Some(sandbox) => cause.end(&sandbox).await,
                None => {}
            }
        })
    })
}
