//! Everything that the function has emitted, to be searched for values.

use sandbox::{FunctionError, STEPS};
use serde_json::json;

use super::{SECRET, TOKEN_SECRET, TestEnv};

/// A `RotationToken` that is known, unlike those that the sandbox makes.
pub(crate) const ROTATION_TOKEN: &str = "c0ffee00-c0ff-4eec-8fee-c0ffeec0ffee";

/// The answers of the function, errors among them. Its log is the sandbox's.
#[derive(Default)]
pub(crate) struct Emitted(pub(crate) String);

impl Emitted {
    /// The four steps as the service sends them: up to the first that fails.
    pub(crate) async fn steps(&mut self, env: &TestEnv, token: &str) -> Result<(), FunctionError> {
        for step in STEPS {
            let event = json!({
                "Step": step,
                "SecretId": env.sandbox.secret(SECRET).arn,
                "ClientRequestToken": token,
                "RotationToken": ROTATION_TOKEN,
            });
            self.invoke(env, event).await?;
        }
        Ok(())
    }

    /// A reconciliation, whatever comes of it.
    pub(crate) async fn reconcile(&mut self, env: &TestEnv) -> Result<(), FunctionError> {
        let event = json!({ "Step": "reconcile", "SecretId": SECRET });
        self.invoke(env, event).await
    }

    /// Any event.
    pub(crate) async fn invoke(
        &mut self,
        env: &TestEnv,
        event: serde_json::Value,
    ) -> Result<(), FunctionError> {
        let result = env.sandbox.invoke(event.to_string()).await.result;
        match &result {
            Ok(report) => self.0.push_str(&report.to_string()),
            Err(error) => self.0.push_str(&error.to_string()),
        }
        result.map(drop)
    }

    /// Forgets it all.
    pub(crate) fn forget(&mut self, env: &TestEnv) {
        self.0.clear();
        env.sandbox.clear_function_log();
    }

    /// Demands that neither an answer nor the log holds a value of this environment, or one of `strays`.
    pub(crate) fn assert_no_value(&self, env: &TestEnv, strays: &[&str], what: &str) {
        let log = env.sandbox.function_log();
        assert!(!log.is_empty(), "there is no log to search");
        let values = values(env).into_iter();
        for value in values.chain(strays.iter().map(ToString::to_string)) {
            assert_absent(&self.0, &value, &format!("{what}: an answer"));
            assert_absent(&log, &value, &format!("{what}: the log"));
        }
    }
}

/// Demands that `shown` holds neither the value nor a good part of it.
pub(crate) fn assert_absent(shown: &str, value: &str, what: &str) {
    assert!(!shown.contains(value), "{what} holds a value");
    let part = &value[value.len() / 2..];
    assert!(
        part.len() < 12 || !shown.contains(part),
        "{what} holds half a value"
    );
}

/// Every value that must stay secret here: of keys, of the secret and of the Doppler token, in all versions, and the
/// `RotationToken`.
pub(crate) fn values(env: &TestEnv) -> Vec<String> {
    let keys = env.sandbox.keys().into_iter().map(|key| key.value);
    let secrets = [SECRET, TOKEN_SECRET].map(|name| env.sandbox.secret(name).versions);
    let texts = secrets
        .into_iter()
        .flatten()
        .filter_map(|version| version.text);
    let texts: Vec<_> = texts.collect();
    // Also the single values in a JSON object.
    let parts = texts
        .iter()
        .flat_map(|text| text.split('"'))
        .filter(|part| part.len() > 8)
        .map(ToOwned::to_owned);
    let mut values: Vec<_> = keys.chain(parts).collect();
    values.extend(env.sandbox.rotation_tokens());
    values.push(ROTATION_TOKEN.to_owned());
    values.extend(texts);
    values.retain(|value| value.len() > 4);
    values
}
