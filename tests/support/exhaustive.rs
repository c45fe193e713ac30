//! How much a test tries.

/// Whether everything is to be tried (`make prove`), and not the fixed share of it that every run of the tests tries.
pub(crate) fn is_exhaustive() -> bool {
    std::env::var_os("PROOF").is_some_and(|what| what == "exhaustive")
}
