//! The conditions of a statement. An unknown operator or key is an error, so that it never counts
//! as met.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::pattern::{matches, matches_arn};

/// The condition keys of a call in lower case, each with its values. A key that the call does not
/// have is missing.
pub(super) type Context = BTreeMap<String, Vec<String>>;

/// Every key that the sandbox can set for a call. One that ends with a slash or colon is a prefix.
const KEYS: [&str; 21] = [
    "secretsmanager:secretid",
    "secretsmanager:versionid",
    "secretsmanager:versionstage",
    "secretsmanager:resource/allowrotationlambdaarn",
    "secretsmanager:resourcetag/",
    "aws:resourcetag/",
    "aws:requesttag/",
    "aws:tagkeys",
    "aws:requestedregion",
    "events:source",
    "events:detail-type",
    "events:eventbusinvocation",
    "sts:identitytokenaudience",
    "sts:signingalgorithm",
    "sts:durationseconds",
    "kms:viaservice",
    "kms:calleraccount",
    "kms:encryptioncontextkeys",
    "kms:encryptioncontext:",
    // Every call has it. The calls of the sandbox do not, so only tests of policies set it.
    "aws:principalarn",
    // Lambda sets it for calls of a function's code, and not for its own with the function's role.
    "lambda:sourcefunctionarn",
];

/// The keys with more than one value, which only set operators can compare.
const SETS: [&str; 3] = [
    "aws:tagkeys",
    "kms:encryptioncontextkeys",
    "sts:identitytokenaudience",
];

/// Whether a key has more than one value.
pub(crate) fn is_set(key: &str) -> bool {
    SETS.contains(&key.to_lowercase().as_str())
}

/// The keys that both kinds of operators can compare (DOC: `EventBridge` user guide, "Using IAM
/// policy conditions", whose examples use both).
const EITHER: [&str; 2] = ["events:source", "events:detail-type"];

/// One line of a condition block: an operator, a key and the values, one of which must match.
#[derive(Debug, Clone)]
pub(super) struct Condition {
    quantity: Quantity,
    operator: Operator,
    /// Whether no value may match. A call without the key then meets the condition (DOC).
    negated: bool,
    /// Whether a call without the key meets the condition.
    if_exists: bool,
    pub(super) key: String,
    pub(super) values: Vec<String>,
}

/// How many of the call's values must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantity {
    /// The only value.
    One,
    /// All values. A call without values meets it (DOC).
    All,
    /// At least one value.
    Any,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    StringEquals,
    StringLike,
    /// `ArnEquals` and `ArnLike` are equivalent (DOC).
    Arn,
    NumericLessThanEquals,
    Bool,
    Null,
}

impl Condition {
    /// Reads the block `{"StringEquals": {"key": "value"}}` of a statement.
    pub(super) fn read(block: &Value) -> anyhow::Result<Vec<Condition>> {
        let mut conditions = Vec::new();
        for (name, tests) in block.as_object().context("a condition is not an object")? {
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
        let negated = [
            "StringNotEquals",
            "StringNotLike",
            "ArnNotEquals",
            "ArnNotLike",
        ]
        .contains(&operator);
        ensure!(
            !negated || quantity == Quantity::One,
            "a negated operator with a set is not known"
        );
        let operator = match operator {
            "StringEquals" | "StringNotEquals" => Operator::StringEquals,
            "StringLike" | "StringNotLike" => Operator::StringLike,
            "ArnEquals" | "ArnLike" | "ArnNotEquals" | "ArnNotLike" => Operator::Arn,
            "NumericLessThanEquals" => Operator::NumericLessThanEquals,
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
        let set = is_set(&key);
        ensure!(
            operator == Operator::Null
                || EITHER.contains(&key.as_str())
                || set == (quantity != Quantity::One),
            "ForAllValues and ForAnyValue are for keys with more than one value, and for no other"
        );
        ensure!(
            values.iter().all(|value| !value.contains("${")),
            "policy variables are not known"
        );
        Ok(Condition {
            quantity,
            operator,
            negated,
            if_exists,
            key,
            values,
        })
    }

    /// Whether a call meets the condition.
    pub(super) fn is_met(&self, context: &Context) -> bool {
        self.is_met_by(context, |_| true)
    }

    /// As `is_met`, using only the values at the indices that `kept` accepts.
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
        if self.negated {
            return found.is_none_or(|found| !found.iter().any(fits));
        }
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
            // A value that is not a number does not meet it (DOC).
            Operator::NumericLessThanEquals => {
                let number = |text: &str| text.parse::<f64>().ok();
                matches!((number(found), number(wanted)), (Some(found), Some(most)) if found <= most)
            }
            Operator::Bool | Operator::Null => wanted.eq_ignore_ascii_case(found),
        }
    }
}
