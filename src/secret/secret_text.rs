//! The text of a secret version: finds the key in it, and replaces the key.
//!
//! | text | form | key |
//! |---|---|---|
//! | a JSON object | JSON | the field `apiKey`, if it can be a key |
//! | one word that can be a key, even if it parses as a JSON number | text | the whole text |
//! | any other word (a generated placeholder) | text | none |
//! | white space inside, another JSON type, a broken object, an `apiKey` that is not a string | rejected | |
//!
//! A word can be a key if API Gateway accepts such a value: 20 to 128 characters of any kind. A
//! placeholder of that length looks the same. Only a search among the API keys shows whether the
//! word is a key.

use std::fmt;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde_json::value::RawValue;

use crate::decision::InvalidSecret;
use crate::json;

use super::api_key_value::{ApiKeyValue, is_gap};

/// The field of a JSON secret that holds the key.
const FIELD: &str = "apiKey";

/// The parsed text of one version of the secret. It cannot be printed.
pub struct SecretText {
    text: SecretString,
    form: Form,
    /// The text in place of the key, whether it can be a key or not.
    word: Option<ApiKeyValue>,
}

impl fmt::Debug for SecretText {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SecretText").finish_non_exhaustive()
    }
}

enum Form {
    Text,
    Json(Fields),
}

impl SecretText {
    /// Returns the text of a secret that has no value yet.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            text: "{}".into(),
            form: Form::Json(Fields(Vec::new())),
            word: None,
        }
    }

    /// Parses the text of a secret.
    ///
    /// # Errors
    /// Returns [`InvalidSecret`] if the text has none of the accepted forms.
    pub fn parse(text: SecretString) -> Result<Self, InvalidSecret> {
        let (form, word) = parse_form(text.expose_secret())?;
        Ok(Self { text, form, word })
    }

    /// Returns the key, or `None` if the text holds nothing that can be a key.
    ///
    /// API Gateway may not have a key with this value.
    #[must_use]
    pub fn key(&self) -> Option<&ApiKeyValue> {
        self.word.as_ref().filter(|word| word.can_be_a_key())
    }

    /// Whether `value` is the placeholder or the key in this text.
    #[must_use]
    pub fn shows(&self, value: &str) -> bool {
        self.word.as_ref().is_some_and(|word| word.is(value))
    }

    /// Returns the same text with another key. Every other field keeps its bytes and its position.
    #[must_use]
    pub fn with_key(&self, key: &ApiKeyValue) -> SecretString {
        match &self.form {
            Form::Text => key.expose().into(),
            Form::Json(fields) => fields.with_key(key.expose(), self.text.expose_secret().len()),
        }
    }

    /// Whether both texts are identical byte for byte.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.text.expose_secret() == other.text.expose_secret()
    }

    /// Whether both texts are equal except for the key and the order of their fields.
    #[must_use]
    pub fn equals_except_key(&self, other: &Self) -> bool {
        match (&self.form, &other.form) {
            (Form::Text, Form::Text) => true,
            (Form::Json(mine), Form::Json(others)) => {
                mine.fields_except_key() == others.fields_except_key()
            }
            (Form::Text, Form::Json(_)) | (Form::Json(_), Form::Text) => false,
        }
    }
}

fn parse_form(text: &str) -> Result<(Form, Option<ApiKeyValue>), InvalidSecret> {
    let word = ApiKeyValue::from(text);
    match serde_json::from_str::<&RawValue>(text) {
        Ok(json) if json.get().starts_with('{') => {
            let fields: json::Fields<'_> =
                serde_json::from_str(text).map_err(|fault| broken(&fault))?;
            let fields = Fields::from(fields);
            let key = fields.key()?;
            Ok((Form::Json(fields), key))
        }
        Ok(json) if json.get().starts_with(['[', '"']) || !word.can_be_a_key() => {
            Err(InvalidSecret::NotAnObject)
        }
        // A generated placeholder may begin with any character. So only a text that looks like an
        // object counts as a broken object: overwriting it as text would lose its other fields.
        Err(fault) if looks_like_an_object(text) => Err(broken(&fault)),
        _ if word.expose().contains(is_gap) => Err(InvalidSecret::WhiteSpace),
        _ => Ok((Form::Text, Some(word))),
    }
}

fn looks_like_an_object(text: &str) -> bool {
    // Some editors begin a file with a byte order mark, which JSON does not allow.
    let text = text.trim_start_matches('\u{feff}').trim();
    let inside = text.strip_prefix('{').map(str::trim_start);
    inside.is_some_and(|inside| inside.starts_with('"') || inside.ends_with('}'))
}

fn broken(fault: &serde_json::Error) -> InvalidSecret {
    InvalidSecret::BrokenJson {
        line: fault.line(),
        column: fault.column(),
    }
}

/// The fields of a JSON object, with values that cannot be printed.
struct Fields(Vec<(String, SecretString)>);

impl From<json::Fields<'_>> for Fields {
    fn from(json::Fields(fields): json::Fields<'_>) -> Self {
        let fields = fields.into_iter();
        Self(fields.map(|(name, raw)| (name, raw.get().into())).collect())
    }
}

impl Fields {
    fn key(&self) -> Result<Option<ApiKeyValue>, InvalidSecret> {
        let mut found = self.0.iter().filter(|(name, _)| name == FIELD);
        let Some((_, raw)) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(InvalidSecret::KeyTwice);
        }
        let value: SecretString = serde_json::from_str::<String>(raw.expose_secret())
            .map_err(|_| InvalidSecret::KeyIsNotString)?
            .into();
        Ok(Some(ApiKeyValue::from(value.expose_secret())))
    }

    /// Returns all fields except the key, sorted by name.
    fn fields_except_key(&self) -> Vec<(&str, &str)> {
        let fields = self.0.iter().filter(|(name, _)| name != FIELD);
        let mut fields: Vec<_> = fields
            .map(|(name, raw)| (name.as_str(), raw.expose_secret()))
            .collect();
        fields.sort_unstable();
        fields
    }

    /// Returns the object with `FIELD` set to `key`. `length` is the length of the current text.
    fn with_key(&self, key: &str, length: usize) -> SecretString {
        // Reserves the full length first, because growing would leave a copy of the value in
        // memory.
        let length = length + key.len() + FIELD.len() + 8;
        let mut out = Zeroizing::new(String::with_capacity(length));
        let mut write = |name: &str, value: [&str; 3]| {
            let begins = if out.is_empty() { '{' } else { ',' };
            out.push(begins);
            out.push_str(&serde_json::Value::from(name).to_string());
            out.push(':');
            out.extend(value);
        };
        // Every key that this function writes is alphanumeric, so it needs no escapes.
        let quoted = ["\"", key, "\""];
        for (name, value) in &self.0 {
            write(
                name,
                if name == FIELD {
                    quoted
                } else {
                    ["", value.expose_secret(), ""]
                },
            );
        }
        if !self.0.iter().any(|(name, _)| name == FIELD) {
            write(FIELD, quoted);
        }
        out.push('}');
        out.as_str().into()
    }
}
