//! Names and ARNs of secrets.

/// Whether `text` can be a secret's name or ARN. (DOC, Secrets Manager API: names have up to 512 of
/// these characters; an ARN adds colons.)
#[must_use]
pub fn is_secret_id(text: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+=.@-!:".contains(&byte);
    (1..=2048).contains(&text.len()) && text.bytes().all(valid)
}

/// Returns an ARN, or the name in it, without the hyphen and the six random characters that Secrets
/// Manager adds to the name (DOC). Returns `None` if it does not end with them.
#[must_use]
pub fn without_random(text: &str) -> Option<&str> {
    let (rest, random) = text.rsplit_once('-')?;
    (random.len() == 6).then_some(rest)
}
