//! Secret values, in types that cannot be printed.

mod api_key_value;
mod secret_text;

pub use self::api_key_value::ApiKeyValue;
pub use self::secret_text::SecretText;
