//! Parses the sentences of a description, one after the other.

use std::collections::BTreeSet;
use std::time::SystemTime;

use super::description::{HASH, MIRRORED};
use crate::ids::is_hex;
use crate::time::parse_rfc3339_seconds;

/// The part of a description that is not parsed yet.
pub(super) struct Rest<'a>(pub(super) &'a str);

impl<'a> Rest<'a> {
    /// Consumes `words` if they come next. Returns whether they did.
    pub(super) fn skip(&mut self, words: &str) -> bool {
        let rest = self.0.strip_prefix(words);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Consumes the text up to and including `words`. Returns the text before them.
    pub(super) fn until(&mut self, words: &str) -> Option<&'a str> {
        let (before, rest) = self.0.split_once(words)?;
        self.0 = rest;
        Some(before)
    }

    /// Consumes the last word of a sentence, up to white space or the end. Returns it without its
    /// full stop.
    pub(super) fn word(&mut self) -> Option<&'a str> {
        let end = self.0.find(char::is_whitespace).unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word.strip_suffix('.')
    }

    /// Parses the targets, which end a description. Returns `None` if anything else follows.
    pub(super) fn targets(self) -> Option<BTreeSet<String>> {
        if self.0.is_empty() {
            return Some(BTreeSet::new());
        }
        let hashes = self.0.strip_prefix(MIRRORED)?.strip_suffix('.')?;
        let mut targets = BTreeSet::new();
        for hash in hashes.split(", ") {
            let is_hash = hash.len() == HASH && is_hex(hash);
            // Hashes must be in order, so that each set has only one text.
            let ascends = targets
                .last()
                .is_none_or(|last: &String| last.as_str() < hash);
            if !is_hash || !ascends {
                return None;
            }
            targets.insert(hash.to_owned());
        }
        Some(targets)
    }

    /// Parses a sentence that ends with a time into `at`, if it comes next. Returns `None` if the
    /// time is invalid.
    pub(super) fn time_after(&mut self, words: &str, at: &mut Option<SystemTime>) -> Option<()> {
        if self.skip(words) {
            *at = Some(parse_rfc3339_seconds(self.word()?)?);
        }
        Some(())
    }
}
