//! The extent of a test.

/// Whether the tests try everything (`make prove`), and not only the fixed share of an ordinary
/// run.
pub(crate) fn is_exhaustive() -> bool {
    std::env::var_os("PROOF").is_some_and(|what| what == "exhaustive")
}
