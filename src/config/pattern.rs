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
        if !host.split('.').all(is_label) || port.parse::<u16>().is_err() {
            return Err(
                "is not the name of a host, with * for any characters of a label".to_owned(),
            );
        }
        let text = text.to_ascii_lowercase();
        if allows_any_api(&text) {
            return Err(
                "has a * before execute-api or in two labels in a row, which allows APIs of other AWS accounts; use the API's own host, as in a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com"
                    .to_owned(),
            );
        }
        Ok(Self(text))
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

/// Whether a pattern leaves open which API of API Gateway a host belongs to. Anyone with an AWS
/// account can create an API, and the probe sends it a new key.
fn allows_any_api(host: &str) -> bool {
    let labels: Vec<_> = host.split('.').collect();
    let is_open = |label: &str| label.contains('*');
    labels
        .windows(2)
        .any(|labels| is_open(labels[0]) && (labels[1] == "execute-api" || is_open(labels[1])))
}

/// Whether a text matches a pattern.
///
/// It goes back to the last `*` only. That suffices: each `*` before it took the fewest characters,
/// and more of them would only leave fewer to the last one. So the time is at most the product of
/// both lengths, whatever a document names.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let is_wild = |place: usize| text.get(place).is_some_and(|byte| !b"/.:".contains(byte));
    let (mut wanted, mut place) = (0, 0);
    // The place in the pattern after the last `*`, and in the text after what it stands for.
    let mut last_wildcard = None;
    loop {
        let is_equal = match (pattern.get(wanted), text.get(place)) {
            (None, None) => return true,
            (Some(b'*'), _) if is_wild(place) => {
                last_wildcard = Some((wanted + 1, place + 1));
                true
            }
            (Some(wanted), Some(byte)) => wanted == byte && *wanted != b'*',
            _ => false,
        };
        if is_equal {
            (wanted, place) = (wanted + 1, place + 1);
            continue;
        }
        match last_wildcard {
            Some((after, end)) if is_wild(end) => {
                last_wildcard = Some((after, end + 1));
                (wanted, place) = (after, end + 1);
            }
            _ => return false,
        }
    }
}
