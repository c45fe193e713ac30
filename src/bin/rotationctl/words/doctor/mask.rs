//! Masks what a public issue must not show: accounts, ARNs, hosts, addresses, and names.

use super::facts::Facts;
use super::login::identity;

/// Endings of names with dots that are not hosts.
const NOT_HOSTS: [&str; 6] = ["md", "sh", "json", "yaml", "rs", "invalid"];

/// Replaces what identifies an account and what is in it.
#[derive(Debug, Default)]
pub(crate) struct Mask {
    /// Texts with what stands for them, the longest first.
    known: Vec<(String, &'static str)>,
}

impl Mask {
    /// Creates a mask of the names that the facts know.
    pub(crate) fn new(facts: &Facts) -> Self {
        let mut known = Vec::new();
        let mut add = |text: &str, stands_for| {
            // A name that is one common word is replaced only in backquotes, as checks print it.
            if text.len() > 2 && !text.bytes().all(|byte| byte.is_ascii_lowercase()) {
                known.push((text.to_owned(), stands_for));
            }
        };
        if let Some(Ok(secret)) = &facts.secret {
            add(&secret.name, "<secret>");
        }
        if let Ok(function) = &facts.function {
            add(&function.name, "<function>");
            add(
                function.variable("SECRET_ID").unwrap_or_default(),
                "<secret>",
            );
            add(
                function
                    .variable("DOPPLER_TOKEN_SECRET_ID")
                    .unwrap_or_default(),
                "<secret>",
            );
            if let Ok(config) = &function.config {
                if let Some(identity) = identity(function) {
                    add(&identity.id, "<identity>");
                    add(&identity.audience, "<audience>");
                }
                for plan in &config.secret.usage_plans {
                    add(plan, "<plan>");
                }
                for target in &config.secret.targets {
                    add(&target.to_string(), "<target>");
                    add(&target.name, "<name>");
                }
                for stage in &config.secret.stage_keys {
                    add(&stage.rest_api_id, "<api>");
                }
            }
        }
        known.sort_by_key(|(text, _)| std::cmp::Reverse(text.len()));
        Self { known }
    }

    /// Returns a text without them.
    pub(crate) fn apply(&self, text: &str) -> String {
        let mut text = self
            .known
            .iter()
            .fold(names(text), |text, (known, stands_for)| {
                text.replace(known, stands_for)
            });
        // The words of a service may hold more.
        let mut shown = String::new();
        text.push(' ');
        let mut token = String::new();
        for letter in text.chars() {
            if letter.is_whitespace() || "\"'`,;()[]{}<>|".contains(letter) {
                shown.push_str(&masked(&token));
                token.clear();
                shown.push(letter);
            } else {
                token.push(letter);
            }
        }
        shown.trim_end().to_owned()
    }
}

/// Replaces each name in backquotes. A command, which has spaces, stays.
fn names(text: &str) -> String {
    let parts = text.split('`').enumerate();
    let parts = parts.map(|(number, part)| match number % 2 {
        1 if !part.contains(' ') && part != "rotationctl" => "<name>".to_owned(),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("`")
}

fn masked(token: &str) -> String {
    let word = token.trim_end_matches(['.', ':', '?', '!']);
    let end = &token[word.len()..];
    let stands_for = if word.starts_with("arn:") {
        "<arn>"
    } else if word.contains("://") {
        "<url>"
    } else if word.contains('@') {
        "<address>"
    } else if is_host(word) {
        "<host>"
    } else if is_version(word) {
        "<version>"
    } else if is_id(word) {
        "<id>"
    } else {
        return digits(word) + end;
    };
    stands_for.to_owned() + end
}

/// Whether it is a name with dots, or an address, perhaps with a port and a path.
fn is_host(word: &str) -> bool {
    let host = word.split(['/', ':']).next().unwrap_or_default();
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_address = host.split('.').count() == 4
        && host
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_name =
        host.contains('.') && last.len() > 1 && last.bytes().all(|byte| byte.is_ascii_alphabetic());
    // The principals of services, such as events.amazonaws.com, are the same everywhere.
    let is_principal = host.ends_with(".amazonaws.com") && host.split('.').count() == 3;
    is_address || is_name && !is_principal && !NOT_HOSTS.contains(&last) || host == "localhost"
}

/// Whether it is a UUID.
fn is_version(word: &str) -> bool {
    word.len() == 36
        && word
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// Whether it has the form of an id of API Gateway.
fn is_id(word: &str) -> bool {
    let is_form = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    word.len() == 10 && word.bytes().all(is_form) && word.bytes().any(|byte| byte.is_ascii_digit())
}

/// Replaces each account id within a word.
fn digits(word: &str) -> String {
    let (mut shown, mut run) = (String::new(), String::new());
    for letter in word.chars().map(Some).chain([None]) {
        if let Some(digit) = letter.filter(char::is_ascii_digit) {
            run.push(digit);
            continue;
        }
        shown.push_str(if run.len() == 12 { "<account>" } else { &run });
        run.clear();
        shown.extend(letter);
    }
    shown
}
