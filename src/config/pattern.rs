//! Patterns of what the documents of a fleet may name.

use reqwest::Url;

use crate::ids::Target;

/// A text in which `*` stands for any characters except `/` and `.`, at least one.
///
/// So `*.example.com` matches `api.example.com`, but neither `example.com` nor `a.b.example.com`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern(String);

impl Pattern {
    /// Parses `project/config` with wildcards.
    pub(super) fn parse_target(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte);
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(fits);
        match text.split_once('/') {
            Some((project, config)) if is_part(project) && is_part(config) => {
                Ok(Self(text.to_owned()))
            }
            _ => Err("does not have the form project/config, with * for any characters".to_owned()),
        }
    }

    /// Parses the name of a host with wildcards, with a port if it is not that of the scheme.
    pub(super) fn parse_host(text: &str) -> Result<Self, String> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_*".contains(&byte);
        let is_label = |label: &str| !label.is_empty() && label.bytes().all(fits);
        let (host, port) = text.split_once(':').unwrap_or((text, "443"));
        if host.split('.').all(is_label) && port.parse::<u16>().is_ok() {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("is not the name of a host, with * for any characters of a label".to_owned())
        }
    }

    pub(super) fn allows_target(&self, target: &Target) -> bool {
        self.matches(&format!("{}/{}", target.project, target.config))
    }

    pub(super) fn allows_url(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        match url.port() {
            Some(port) => self.matches(&format!("{host}:{port}")),
            None => self.matches(host),
        }
    }

    fn matches(&self, text: &str) -> bool {
        matches(self.0.as_bytes(), text.as_bytes())
    }
}

/// A pattern is an operator's own and short, so backtracking stays cheap.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let is_wild = |byte: &u8| !b"/.:".contains(byte);
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), Some((byte, others))) if is_wild(byte) => {
            matches(rest, others) || matches(pattern, others)
        }
        (Some((wanted, rest)), Some((byte, others))) if wanted == byte && *wanted != b'*' => {
            matches(rest, others)
        }
        _ => false,
    }
}
