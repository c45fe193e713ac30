//! A policy, and its decision about a call.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::condition::{Condition, Context};
use super::pattern::{matches, matches_resource};

/// One action on one resource that IAM checks for a call. A call may need several, all of which
/// must be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    action: String,
    resource: String,
    context: Context,
}

impl Check {
    /// Creates the check of `action` on the resource with this ARN, or on `*` if the action has no
    /// resource.
    pub fn new(action: impl Into<String>, resource: impl Into<String>) -> Check {
        Check {
            action: action.into(),
            resource: resource.into(),
            context: Context::new(),
        }
    }

    /// Adds a condition key.
    #[must_use]
    pub fn with(self, key: &str, value: impl Into<String>) -> Check {
        self.with_all(key, [value.into()])
    }

    /// Adds a condition key with several values. Without values the key is not added, because IAM
    /// has no empty keys.
    #[must_use]
    pub fn with_all(mut self, key: &str, values: impl IntoIterator<Item = String>) -> Check {
        let values: Vec<_> = values.into_iter().collect();
        if !values.is_empty() {
            self.context.insert(key.to_lowercase(), values);
        }
        self
    }

    /// Returns the action, such as `apigateway:GET`.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.action
    }

    /// Returns the resource's ARN.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.resource
    }
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} on {}", self.action, self.resource)
    }
}

/// A part of a policy that can be removed from it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element {
    /// The statement's `Sid`.
    pub statement: String,
    /// `Action`, `Resource`, or the number of the condition.
    part: String,
    /// The index of the entry.
    place: usize,
}

impl fmt::Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Element {
            statement,
            part,
            place,
        } = self;
        write!(formatter, "{statement}: {part} {}", place + 1)
    }
}

/// A role's policy. An unknown element, operator or key is an error and is never ignored.
#[derive(Debug, Clone)]
pub struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone)]
struct Statement {
    sid: String,
    allows: bool,
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

impl Policy {
    /// Reads policy documents as one policy. Every statement must have its own `Sid`, which
    /// identifies it.
    ///
    /// # Errors
    ///
    /// Returns an error if a document contains something unknown.
    pub fn read<'a>(documents: impl IntoIterator<Item = &'a Value>) -> anyhow::Result<Policy> {
        let mut statements = Vec::new();
        for document in documents {
            let fields = document.as_object().context("a policy is not an object")?;
            for name in fields.keys() {
                ensure!(
                    ["Version", "Statement"].contains(&name.as_str()),
                    "a policy has the element {name}, which is not known"
                );
            }
            ensure!(
                fields.get("Version").and_then(Value::as_str) == Some("2012-10-17"),
                "a policy is not of the version 2012-10-17"
            );
            let list = fields.get("Statement").and_then(Value::as_array);
            for statement in list.context("a policy has no list of statements")? {
                statements.push(Statement::read(statement)?);
            }
        }
        let sids: BTreeSet<_> = statements.iter().map(|statement| &statement.sid).collect();
        ensure!(sids.len() == statements.len(), "two statements share a Sid");
        Ok(Policy { statements })
    }

    /// Returns every part that can be removed, each with its text.
    #[must_use]
    pub fn elements(&self) -> BTreeMap<Element, String> {
        let mut elements = BTreeMap::new();
        for statement in &self.statements {
            let mut add = |part: &str, entries: &[String]| {
                elements.extend(
                    entries
                        .iter()
                        .enumerate()
                        .map(|(place, entry)| (statement.element(part, place), entry.clone())),
                );
            };
            add(ACTION, &statement.actions);
            add(RESOURCE, &statement.resources);
            for (number, condition) in statement.conditions.iter().enumerate() {
                add(&condition_part(number), &condition.values);
            }
        }
        elements
    }

    /// Whether the policy allows a check.
    pub(crate) fn allows(&self, check: &Check) -> bool {
        self.decide(check).0
    }

    /// Returns the decision about a check, as IAM's simulator names it.
    pub(crate) fn decision(&self, check: &Check) -> Decision {
        if self.decide(check).0 {
            return Decision::Allowed;
        }
        let mut denials = self.statements.iter().filter(|statement| !statement.allows);
        if denials.any(|statement| !statement.ways(check).is_empty()) {
            Decision::ExplicitlyDenied
        } else {
            Decision::ImplicitlyDenied
        }
    }

    /// Returns the condition keys that statements for the check's action and resource have, and the
    /// check does not.
    pub(crate) fn missing_keys(&self, check: &Check) -> BTreeSet<String> {
        let action = check.action.to_lowercase();
        let statements = self.statements.iter().filter(|statement| {
            let is_action = |pattern: &String| matches(&pattern.to_lowercase(), &action);
            let is_resource = |pattern: &String| matches_resource(pattern, &check.resource);
            statement.actions.iter().any(is_action) && statement.resources.iter().any(is_resource)
        });
        let keys = statements.flat_map(|statement| &statement.conditions);
        let keys = keys.map(|condition| condition.key.clone());
        keys.filter(|key| !check.context.contains_key(key))
            .collect()
    }

    /// Returns whether the policy allows the check, and the elements without any one of which the
    /// answer would differ.
    pub(super) fn decide(&self, check: &Check) -> (bool, BTreeSet<Element>) {
        let of = |allows: bool| {
            let statements = self.statements.iter();
            let statements = statements.filter(move |statement| statement.allows == allows);
            statements
                .flat_map(|statement| statement.ways(check))
                .collect::<Vec<_>>()
        };
        let denials = of(false);
        let is_denied = !denials.is_empty();
        let ways = if is_denied { denials } else { of(true) };
        let allowed = !is_denied && !ways.is_empty();
        let needed = ways.into_iter().reduce(|one, other| &one & &other);
        (allowed, needed.unwrap_or_default())
    }
}

/// A decision, from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Decision {
    /// A statement allows it, and none denies it.
    Allowed,
    /// No statement allows it.
    ImplicitlyDenied,
    /// A statement denies it.
    ExplicitlyDenied,
}

impl Decision {
    /// Returns the word of the API (`PolicyEvaluationDecisionType`).
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Decision::Allowed => "allowed",
            Decision::ImplicitlyDenied => "implicitDeny",
            Decision::ExplicitlyDenied => "explicitDeny",
        }
    }
}

const ACTION: &str = "Action";
const RESOURCE: &str = "Resource";

fn condition_part(number: usize) -> String {
    format!("Condition {} value", number + 1)
}

impl Statement {
    fn read(statement: &Value) -> anyhow::Result<Statement> {
        let fields = statement
            .as_object()
            .context("a statement is not an object")?;
        let sid = fields.get("Sid").and_then(Value::as_str);
        let sid = sid
            .with_context(|| format!("a statement has no Sid: {statement}"))?
            .to_owned();
        let read = || {
            for name in fields.keys() {
                ensure!(
                    ["Sid", "Effect", "Action", "Resource", "Condition"].contains(&name.as_str()),
                    "the element {name} is not known"
                );
            }
            let allows = match fields.get("Effect").and_then(Value::as_str) {
                Some("Allow") => true,
                Some("Deny") => false,
                _ => bail!("the effect is neither Allow nor Deny"),
            };
            let entries = |name: &str| {
                let entries = texts(fields.get(name).context("it is missing")?)?;
                ensure!(!entries.is_empty(), "it is empty");
                ensure!(
                    entries.iter().all(|entry| !entry.contains("${")),
                    "policy variables are not known"
                );
                Ok(entries)
            };
            let conditions = fields.get("Condition").map(Condition::read).transpose()?;
            Ok(Statement {
                sid: sid.clone(),
                allows,
                actions: entries(ACTION).context(ACTION)?,
                resources: entries(RESOURCE).context(RESOURCE)?,
                conditions: conditions.unwrap_or_default(),
            })
        };
        read().with_context(|| format!("the statement {sid}"))
    }

    fn element(&self, part: &str, place: usize) -> Element {
        Element {
            statement: self.sid.clone(),
            part: part.to_owned(),
            place,
        }
    }

    /// Returns every way in which the statement applies to the check: one action, one resource, and
    /// the values that its conditions need.
    fn ways(&self, check: &Check) -> Vec<BTreeSet<Element>> {
        let Check {
            action,
            resource,
            context,
        } = check;
        let met = |condition: &Condition| condition.is_met(context);
        if !self.conditions.iter().all(met) {
            return Vec::new();
        }
        let mut values = BTreeSet::new();
        for (number, condition) in self.conditions.iter().enumerate() {
            let needed = (0..condition.values.len())
                .filter(|value| !condition.is_met_by(context, |other| other != *value));
            values.extend(needed.map(|value| self.element(&condition_part(number), value)));
        }
        let action = action.to_lowercase();
        let actions = places(&self.actions, |pattern| {
            matches(&pattern.to_lowercase(), &action)
        });
        let resources = places(&self.resources, |pattern| {
            matches_resource(pattern, resource)
        });
        let mut ways = Vec::new();
        for action in actions {
            for resource in &resources {
                let mut way = values.clone();
                way.insert(self.element(ACTION, action));
                way.insert(self.element(RESOURCE, *resource));
                ways.push(way);
            }
        }
        ways
    }
}

fn places(entries: &[String], fits: impl Fn(&str) -> bool) -> Vec<usize> {
    let entries = entries.iter().enumerate();
    entries
        .filter(|(_, entry)| fits(entry))
        .map(|(place, _)| place)
        .collect()
}

/// Returns the strings of a string or of a list of strings.
pub(super) fn texts(value: &Value) -> anyhow::Result<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Bool(bool) => Ok(bool.to_string()),
        Value::Number(number) => Ok(number.to_string()),
        other => bail!("{other} is not a string"),
    };
    match value {
        Value::Array(list) => list.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}
