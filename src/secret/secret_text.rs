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
#[derive(Debug)]
pub struct SecretText {
    text: SecretString,
    form: Form,
    /// What stands where the key belongs, whether it can be a key or not.
    word: Option<ApiKeyValue>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

impl SecretText {
    /// The text of a secret that has no value yet.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            text: "{}".into(),
            form: Form::Json,
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
        match self.form {
            Form::Text => key.expose().into(),
            Form::Json => replace_field(self.text.expose_secret(), key.expose()),
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
        self.form == other.form && self.other_fields() == other.other_fields()
    }

    fn other_fields(&self) -> Vec<(String, &str)> {
        if self.form == Form::Text {
            return Vec::new();
        }
        let Fields(fields) = fields(self.text.expose_secret());
        let fields = fields.into_iter().filter(|(name, _)| name != FIELD);
        let mut fields: Vec<_> = fields.map(|(name, raw)| (name, raw.get())).collect();
        fields.sort();
        fields
    }
}

fn understand(text: &str) -> Result<(Form, Option<ApiKeyValue>), InvalidSecret> {
    let word = ApiKeyValue::from(text);
    match serde_json::from_str::<&RawValue>(text) {
        Ok(json) if json.get().starts_with('{') => Ok((Form::Json, key_field(text)?)),
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

fn key_field(text: &str) -> Result<Option<ApiKeyValue>, InvalidSecret> {
    let Fields(fields) = serde_json::from_str(text).map_err(|fault| broken(&fault))?;
    let mut found = fields.iter().filter(|(name, _)| name == FIELD);
    let Some((_, raw)) = found.next() else {
        return Ok(None);
    };
    if found.next().is_some() {
        return Err(InvalidSecret::KeyTwice);
    }
    let value: SecretString = serde_json::from_str::<String>(raw.get())
        .map_err(|_| InvalidSecret::KeyIsNoString)?
        .into();
    Ok(Some(ApiKeyValue::from(value.expose_secret())))
}

/// The fields of `text`, which parsed as an object.
fn fields(text: &str) -> Fields<'_> {
    serde_json::from_str(text).expect("it parsed before")
}

/// `text`, which parsed as an object, with `FIELD` set to `key`.
fn replace_field(text: &str, key: &str) -> SecretString {
    let Fields(fields) = fields(text);
    // The full length is reserved first, so that growing leaves no copy behind.
    let length = text.len() + key.len() + FIELD.len() + 8;
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
    for (name, value) in &fields {
        write(
            name,
            if name == FIELD {
                quoted
            } else {
                ["", value.get(), ""]
            },
        );
    }
    if !fields.iter().any(|(name, _)| name == FIELD) {
        write(FIELD, quoted);
    }
    out.push('}');
    out.as_str().into()
}

/// The fields of a JSON object in their order, values as they are written (a map would lose both).
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(InOrder).map(Fields)
    }
}
