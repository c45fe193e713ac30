//! Reads an object field by field, and refuses what is left.

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value};

/// The fields of an object that were not read yet.
pub(super) struct Fields {
    left: Map<String, Value>,
}

impl Fields {
    pub(super) fn of(value: &Value) -> anyhow::Result<Fields> {
        let left = value.as_object().context("it is not an object")?.clone();
        Ok(Fields { left })
    }

    /// Takes a field that may be missing.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name)
    }

    /// Takes a text.
    pub(super) fn text(&mut self, name: &str) -> anyhow::Result<String> {
        let value = self.take(name).with_context(|| format!("no {name}"))?;
        let text = value.as_str().with_context(|| format!("{name}: {value}"))?;
        Ok(text.to_owned())
    }

    /// Takes a number, which a parameter of the template makes a text.
    pub(super) fn number(&mut self, name: &str) -> anyhow::Result<f64> {
        let value = self.take(name).with_context(|| format!("no {name}"))?;
        number(&value).with_context(|| name.to_owned())
    }

    /// Takes a whole number of at least 1.
    pub(super) fn count(&mut self, name: &str) -> anyhow::Result<usize> {
        let value = self.take(name).with_context(|| format!("no {name}"))?;
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        let count: usize = text.parse().with_context(|| format!("{name}: {value}"))?;
        ensure!(count > 0, "{name} is 0");
        Ok(count)
    }

    /// Whether a field is left.
    pub(super) fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// Returns an error if a field was not read.
    pub(super) fn end(self) -> anyhow::Result<()> {
        let left: Vec<_> = self.left.keys().collect();
        ensure!(left.is_empty(), "not known: {left:?}");
        Ok(())
    }
}

pub(super) fn number(value: &Value) -> anyhow::Result<f64> {
    let number = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    };
    number
        .filter(|number: &f64| number.is_finite())
        .with_context(|| format!("{value} is not a number"))
}
