//! The key to take over.

use api_key_rotation::redact::Redacted;
use api_key_rotation::secret::ApiKeyValue;
use aws_sdk_apigateway::types::ApiKey;

use crate::failure::Failure;
use crate::operator::Operator;
use crate::words::{value, whose};

/// A key with its value, which is never shown.
pub(super) struct Candidate {
    pub(super) id: String,
    pub(super) name: String,
    /// The secret in its tag, if it is managed.
    pub(super) secret: Option<String>,
    /// Whether it has a stage without a usage plan.
    pub(super) has_stage: bool,
    pub(super) value: ApiKeyValue,
}

impl Candidate {
    /// Reads the key with this id, or the one whose value is on standard input.
    ///
    /// # Errors
    /// Returns an error if there is no such key, or if it cannot be taken over.
    pub(super) async fn find(operator: &Operator<'_>, id: Option<&str>) -> Result<Self, Failure> {
        let id = if let Some(id) = id {
            id.to_owned()
        } else {
            let value = value::read(operator.console).await?;
            let found = whose::search(operator, &value).await?;
            operator.console.end_progress();
            let found = found.ok_or_else(whose::not_found)?;
            // Such an id is shown as another text.
            if !found.id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(id_is_value());
            }
            found.id
        };
        let request = operator.aws.api_gateway.get_api_key();
        let key = request.api_key(&id).include_value(true).send().await;
        let next = "check --key, the account and the Region: a key of another account or Region cannot be taken over";
        let key = key.map_err(|error| {
            Failure::of_call("apigateway:GET", &error).next_if("NotFoundException", next)
        })?;
        let (value, is_enabled) = (key.value().unwrap_or_default(), key.enabled());
        if value == id || value.is_empty() {
            return Err(id_is_value());
        }
        if !is_enabled {
            return Err(Failure::new(
                format!("API key {} is disabled", Redacted::id(&id)),
                "enable it first, or let the first rotation create a key",
            ));
        }
        let key = ApiKey::builder()
            .set_name(key.name().map(ToOwned::to_owned))
            .set_tags(key.tags().cloned())
            .set_stage_keys(Some(key.stage_keys().to_vec()))
            .value(value)
            .build();
        Ok(Self::of(&id, &key))
    }

    fn of(id: &str, key: &ApiKey) -> Self {
        let value = ApiKeyValue::from(key.value().unwrap_or_default());
        // Names and tags are anyone's text, and may hold the value.
        let masked =
            |text: &str| Redacted::id(&text.replace(value.expose(), "[masked]")).to_string();
        let tags = key.tags();
        let secret = tags.and_then(|tags| tags.get("rotation:secret"));
        Self {
            id: masked(id),
            name: masked(key.name().unwrap_or("without a name")),
            secret: secret.map(|secret| Redacted::secret_id(secret).to_string()),
            has_stage: !key.stage_keys().is_empty(),
            value,
        }
    }
}

/// Older tools created such keys.
fn id_is_value() -> Failure {
    Failure::new(
        "the id of this API key may be its value: it cannot be handed over",
        "let the function rotate it as it is, and disable it yourself once no consumer uses it: docs/migrate.md#a-key-that-another-tool-created",
    )
}
