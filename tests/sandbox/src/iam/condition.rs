//! The conditions of a statement. An operator or a key that is not known here is an error, never taken as met.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::pattern::{matches, matches_arn};

/// What is known of a call besides its action and resource: condition keys in lower case, each with its values. One that a
/// call does not have is not there.
pub(super) type Context = BTreeMap<String, Vec<String>>;

/// Every key that the sandbox gives a call where the call has it; of those with a slash or colon at their end, any.
const KEYS: [&str; 13] = [
    "secretsmanager:secretid",
    "secretsmanager:versionid",
    "secretsmanager:versionstage",
    "secretsmanager:resource/allowrotationlambdaarn",
    "secretsmanager:resourcetag/",
    "aws:resourcetag/",
    "aws:requesttag/",
    "aws:tagkeys",
    "aws:requestedregion",
    "kms:viaservice",
    "kms:calleraccount",
    "kms:encryptioncontextkeys",
    "kms:encryptioncontext:",
];

/// Those that have more than one value, which only an operator for sets can compare.
const SETS: [&str; 2] = ["aws:tagkeys", "kms:encryptioncontextkeys"];

/// One line of a condition block: an operator, a key and the values of which one has to fit.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    quantity: Quantity,
    operator: Operator,
    /// Whether a call without the key meets it.
    if_exists: bool,
    key: String,
    pub(super) values: Vec<String>,
}

/// How many of the call's values have to fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    /// The only one.
    One,
    /// All, and none is all (DOC).
    All,
    /// At least one.
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    StringEquals,
    StringLike,
    /// `ArnEquals` and `ArnLike` do the same (DOC).
    Arn,
    Bool,
    Null,
}

impl Condition {
    /// Reads the block `{"StringEquals": {"key": "value"}}` of a statement.
    pub(super) fn read(block: &Value) -> anyhow::Result<Vec<Condition>> {
        let mut conditions = Vec::new();
        for (name, tests) in block.as_object().context("a condition is no object")? {
            let tests = tests.as_object();
            for (key, values) in tests.with_context(|| format!("{name} has no keys"))? {
                let condition = Self::new(name, key, super::policy::texts(values)?);
                conditions
                    .push(condition.with_context(|| format!("the condition {name} of {key}"))?);
            }
        }
        Ok(conditions)
    }

    fn new(name: &str, key: &str, values: Vec<String>) -> anyhow::Result<Condition> {
        let (quantity, operator) = match name.split_once(':') {
            None => (Quantity::One, name),
            Some(("ForAllValues", operator)) => (Quantity::All, operator),
            Some(("ForAnyValue", operator)) => (Quantity::Any, operator),
            Some((other, _)) => bail!("{other} is not known"),
        };
        let (operator, if_exists) = match operator.strip_suffix("IfExists") {
            Some(operator) => (operator, true),
            None => (operator, false),
        };
        let operator = match operator {
            "StringEquals" => Operator::StringEquals,
            "StringLike" => Operator::StringLike,
            "ArnEquals" | "ArnLike" => Operator::Arn,
            "Bool" => Operator::Bool,
            "Null" if !if_exists && quantity == Quantity::One => Operator::Null,
            other => bail!("the operator {other} is not known"),
        };
        let key = key.to_lowercase();
        let known = KEYS.iter().any(|known| {
            if known.ends_with(['/', ':']) {
                key.len() > known.len() && key.starts_with(known)
            } else {
                key == *known
            }
        });
        ensure!(known, "the key is not known");
        let set = SETS.contains(&key.as_str());
        ensure!(
            operator == Operator::Null || set == (quantity != Quantity::One),
            "ForAllValues and ForAnyValue are for keys with more than one value, and for no other"
        );
        ensure!(
            values.iter().all(|value| !value.contains("${")),
            "policy variables are not known"
        );
        Ok(Condition {
            quantity,
            operator,
            if_exists,
            key,
            values,
        })
    }

    /// Whether a call meets it.
    pub(super) fn is_met(&self, context: &Context) -> bool {
        self.is_met_by(context, |_| true)
    }

    /// The same with only those of its values that `kept` says, by their places.
    pub(super) fn is_met_by(&self, context: &Context, kept: impl Fn(usize) -> bool) -> bool {
        let values = self.values.iter().enumerate();
        let wanted: Vec<&String> = values
            .filter(|(place, _)| kept(*place))
            .map(|(_, value)| value)
            .collect();
        let found = context.get(&self.key);
        if self.operator == Operator::Null {
            let absent = if found.is_none() { "true" } else { "false" };
            return wanted.iter().any(|wanted| *wanted == absent);
        }
        let fits = |found: &String| {
            wanted
                .iter()
                .any(|wanted| self.operator.fits(wanted, found))
        };
        match (found, self.quantity) {
            (None, _) if self.if_exists => true,
            (None, quantity) => quantity == Quantity::All,
            (Some(found), Quantity::Any) => found.iter().any(fits),
            (Some(found), Quantity::All | Quantity::One) => found.iter().all(fits),
        }
    }
}

impl Operator {
    fn fits(self, wanted: &str, found: &str) -> bool {
        match self {
            Operator::StringEquals => wanted == found,
            Operator::StringLike => matches(wanted, found),
            Operator::Arn => matches_arn(wanted, found),
            Operator::Bool | Operator::Null => wanted.eq_ignore_ascii_case(found),
        }
    }
}
