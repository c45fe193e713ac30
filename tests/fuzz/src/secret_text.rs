//! No text of a secret makes the function panic, and a new key changes only the key.
#![no_main]

use api_key_rotation::secret::{ApiKeyValue, SecretText};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(before) = SecretText::parse(text.into()) else {
        return;
    };
    let key = ApiKeyValue::from("0123456789abcdefghijklmnopqrstuvwxyzABCD");
    let after = SecretText::parse(before.with_key(&key)).expect("the changed text is valid");
    assert!(after.key().is_some_and(|found| found.is(key.expose())));
    assert!(before.equals_except_key(&after));
});
