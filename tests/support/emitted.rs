//! Collects everything that the function emits, to search it for values.

use sandbox::{FunctionError, STEPS};
use serde_json::json;

use super::{SECRET, TOKEN_SECRET, TestEnv};

/// A known `RotationToken`, unlike those that the sandbox generates.
pub(crate) const ROTATION_TOKEN: &str = "c0ffee00-c0ff-4eec-8fee-c0ffeec0ffee";

impl TestEnv {
    /// Invokes the four steps as Secrets Manager does, up to the first that fails.
    pub(crate) async fn try_steps(&self, token: &str) -> Result<(), FunctionError> {
        for step in STEPS {
            let event = json!({
                "Step": step,
                "SecretId": self.sandbox.secret(SECRET).arn,
                "ClientRequestToken": token,
                "RotationToken": ROTATION_TOKEN,
            });
            self.try_invoke(event).await?;
        }
        Ok(())
    }

    /// Invokes a reconciliation of the secret, which may fail.
    pub(crate) async fn try_reconcile(&self) -> Result<(), FunctionError> {
        let event = json!({ "Step": "reconcile", "SecretId": SECRET });
        self.try_invoke(event).await
    }

    /// Invokes the function with any event.
    pub(crate) async fn try_invoke(&self, event: serde_json::Value) -> Result<(), FunctionError> {
        let invocation = self.sandbox.invoke(event.to_string()).await;
        invocation.result.map(drop)
    }

    /// Searches all that the function has emitted for values, and forgets it.
    pub(crate) fn clear_emitted(&self) {
        self.search_emitted(&[], "before it was cleared");
        self.sandbox.clear_function_log();
    }

    /// Demands that neither an answer nor the log holds a value of this environment, or one of `strays`.
    ///
    /// Dropping the environment demands it without strays.
    pub(crate) fn assert_no_value(&self, strays: &[&str], what: &str) {
        let log = self.sandbox.function_log();
        assert!(!log.is_empty(), "there is no log to search");
        self.search_emitted(strays, what);
    }

    fn search_emitted(&self, strays: &[&str], what: &str) {
        let (answers, log) = (self.sandbox.function_answers(), self.sandbox.function_log());
        let strays = strays.iter().map(ToString::to_string);
        for value in values(self).into_iter().chain(strays) {
            assert_absent(&answers, &value, &format!("{what}: an answer"));
            assert_absent(&log, &value, &format!("{what}: the log"));
        }
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        // A test that fails already shows what matters.
        if !std::thread::panicking() {
            self.search_emitted(&[], "at the end");
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

/// Returns every value that must stay secret in this environment: those of keys, of the secret and
/// of the Doppler token, in all versions, the `RotationToken`, and the tokens of every login.
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
    values.extend(env.sandbox.web_identity_tokens());
    values.extend(env.sandbox.doppler().login_tokens());
    values.push(ROTATION_TOKEN.to_owned());
    values.extend(texts);
    values.retain(|value| value.len() > 4);
    values
}
