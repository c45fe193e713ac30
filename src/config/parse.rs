//! Parsers for single settings.

use reqwest::Url;

use crate::ids::{is_secret_id, without_random};

pub(super) fn parse_secret_id(text: &str) -> Result<String, String> {
    if !is_secret_id(text) {
        return Err(
            "contains characters that are not allowed in a secret's name or ARN".to_owned(),
        );
    }
    if text.contains(':') && !(text.starts_with("arn:") && text.contains(":secretsmanager:")) {
        return Err("contains a colon but is not the ARN of a secret".to_owned());
    }
    if text.starts_with("dp.") {
        return Err(
            "looks like a Doppler token; store the token in a secret and set the name of that secret"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// Whether `id`, a name or an ARN, is that of the secret with this name.
///
/// An ARN ends with a hyphen and six random characters, which a partial ARN leaves out.
pub(super) fn is_name_of_secret(name: &str, id: &str) -> bool {
    let Some((_, in_arn)) = id.split_once(":secret:") else {
        return id == name;
    };
    in_arn == name || without_random(in_arn) == Some(name)
}

pub(super) fn parse_flag(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| "is neither true nor false".to_owned())
}

/// Parses the name of an event bus. (DOC: 1 to 256 of these characters.)
pub(super) fn parse_event_bus(text: &str) -> Result<String, String> {
    if text.starts_with("arn:") {
        return Err("is an ARN; use the name of a bus in this account and Region".to_owned());
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte);
    if text.len() > 256 || !text.bytes().all(fits) {
        return Err("is not the name of an event bus".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

pub(super) fn parse_url(text: &str, http_anywhere: bool) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "is not a URL".to_owned())?;
    if !text.is_ascii() {
        return Err("contains characters that are not allowed in a URL".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("contains a user name or password; remove it".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if http_anywhere || is_loopback(&url) => Ok(url),
        "http" => Err(
            "is an http URL of another host, which would send the key unencrypted; use https"
                .to_owned(),
        ),
        _ => Err("is not an https URL".to_owned()),
    }
}

/// Where pages are: a URL, or a path in the project. A `/` at its end is dropped, as the name of a page follows.
pub(super) fn parse_documentation_url(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    if text.contains(':') {
        let url = parse_url(text, false)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("has a query or fragment".to_owned());
        }
        return Ok(text.to_owned());
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._~-".contains(&byte);
    if text.is_empty() || text.starts_with('/') || !text.bytes().all(is_plain) {
        return Err("is neither an https URL nor a relative path".to_owned());
    }
    Ok(text.to_owned())
}

fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        // IPv6 addresses are in brackets.
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}
