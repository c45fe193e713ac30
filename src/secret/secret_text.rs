//! The text of the secret: which part of it is the key, and the same text with another key.
//!
//! | the text | its form | its key |
//! |---|---|---|
//! | a JSON object | JSON | the field `apiKey`, if it can be a key |
//! | one word that can be a key, also where it would parse as a JSON number | text | the whole |
//! | any other word (a generated placeholder) | text | none |
//! | white space inside, another JSON type, a broken object, an `apiKey` that is not a string | refused | |
//!
//! A word can be a key if API Gateway could have such a value: 20 to 128 characters of any kind. Whether it is a key, only a
//! search among the keys tells; a placeholder of that length looks the same.

use std::fmt;

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::decision::InvalidSecret;

use super::api_key_value::{ApiKeyValue, is_gap};

/// The field of a JSON secret that holds the key.
const FIELD: &str = "apiKey";

/// The text of one version of the secret, read and understood. It cannot be printed.
pub struct SecretText {
    text: SecretString,
    form: Form,
    /// What stands where the key belongs, whether it can be a key or not.
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
    /// The text of a secret that has no value yet.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            text: "{}".into(),
            form: Form::Json(Fields(Vec::new())),
            word: None,
        }
    }

    /// Understands the text of a secret.
    ///
    /// # Errors
    /// See [`InvalidSecret`].
    pub fn parse(text: SecretString) -> Result<Self, InvalidSecret> {
        let (form, word) = understand(text.expose_secret())?;
        Ok(Self { text, form, word })
    }

    /// The key, if the text holds something that can be one. Whether API Gateway knows it is another question.
    #[must_use]
    pub fn key(&self) -> Option<&ApiKeyValue> {
        self.word.as_ref().filter(|word| word.can_be_a_key())
    }

    /// Whether `value` is what stands in place of a key: a placeholder, or the key itself.
    #[must_use]
    pub fn shows(&self, value: &str) -> bool {
        self.word.as_ref().is_some_and(|word| word.is(value))
    }

    /// The same text with another key: every other field stays, byte for byte and in its place.
    #[must_use]
    pub fn with_key(&self, key: &ApiKeyValue) -> SecretString {
        match &self.form {
            Form::Text => key.expose().into(),
            Form::Json(fields) => fields.with_key(key.expose(), self.text.expose_secret().len()),
        }
    }

    /// Whether both texts are the same to the byte.
    #[must_use]
    pub fn equals(&self, other: &Self) -> bool {
        self.text.expose_secret() == other.text.expose_secret()
    }

    /// Whether both texts are the same but for the key, and for the order of their fields.
    #[must_use]
    pub fn equals_but_for_the_key(&self, other: &Self) -> bool {
        match (&self.form, &other.form) {
            (Form::Text, Form::Text) => true,
            (Form::Json(mine), Form::Json(others)) => {
                mine.but_for_the_key() == others.but_for_the_key()
            }
            (Form::Text, Form::Json(_)) | (Form::Json(_), Form::Text) => false,
        }
    }
}

fn understand(text: &str) -> Result<(Form, Option<ApiKeyValue>), InvalidSecret> {
    let word = ApiKeyValue::from(text);
    match serde_json::from_str::<&RawValue>(text) {
        Ok(json) if json.get().starts_with('{') => {
            let fields: Fields = serde_json::from_str(text).map_err(|fault| broken(&fault))?;
            let key = fields.key()?;
            Ok((Form::Json(fields), key))
        }
        Ok(json) if json.get().starts_with(['[', '"']) || !word.can_be_a_key() => {
            Err(InvalidSecret::NotAnObject)
        }
        // A generated placeholder may begin with any character, so only what looks like an object is taken for a broken
        // one: overwriting that as text would lose its other fields.
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

/// The fields of a JSON object in their order, values as they are written (a map would lose both).
struct Fields(Vec<(String, SecretString)>);

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
            .map_err(|_| InvalidSecret::KeyIsNoString)?
            .into();
        Ok(Some(ApiKeyValue::from(value.expose_secret())))
    }

    /// All fields but the key's, by name.
    fn but_for_the_key(&self) -> Vec<(&str, &str)> {
        let fields = self.0.iter().filter(|(name, _)| name != FIELD);
        let mut fields: Vec<_> = fields
            .map(|(name, raw)| (name.as_str(), raw.expose_secret()))
            .collect();
        fields.sort_unstable();
        fields
    }

    /// The object of these fields with `FIELD` set to `key`. Its text had this `length` before.
    fn with_key(&self, key: &str, length: usize) -> SecretString {
        // The full length is reserved first, so that growing leaves no copy behind.
        let length = length + key.len() + FIELD.len() + 8;
        let mut out = Zeroizing::new(String::with_capacity(length));
        let mut write = |name: &str, value: [&str; 3]| {
            let begins = if out.is_empty() { '{' } else { ',' };
            out.push(begins);
            out.push_str(&serde_json::Value::from(name).to_string());
            out.push(':');
            out.extend(value);
        };
        // The key is alphanumeric wherever we write one, so quotes around it are all it needs.
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

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, SecretString)>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some((name, raw)) = map.next_entry::<_, &RawValue>()? {
                    fields.push((name, raw.get().into()));
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(InOrder).map(Fields)
    }
}
