//! A role: a policy, what of it was needed, and what it denied.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use super::policy::{Check, Element, Policy};

/// What a function may do, and what came of it. A clone is another handle to the same one.
#[derive(Clone)]
pub struct Role {
    policy: Arc<Policy>,
    record: Arc<Mutex<Record>>,
}

#[derive(Default)]
struct Record {
    needed: BTreeSet<Element>,
    denials: Vec<Denial>,
}

/// A call that the role did not allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// What was asked, such as `PutSecretValue`.
    pub operation: String,
    /// What the policy would have had to allow.
    pub check: Check,
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} needs {}", self.operation, self.check)
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Role")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl Role {
    /// A role with this policy.
    #[must_use]
    pub fn new(policy: Policy) -> Role {
        Role {
            policy: Arc::new(policy),
            record: Arc::default(),
        }
    }

    /// Its policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether the policy allows this. Nothing is recorded.
    #[must_use]
    pub fn allows(&self, check: &Check) -> bool {
        self.policy.decide(check).0
    }

    /// The elements of the policy without which a call so far would have had another answer.
    #[must_use]
    pub fn needed(&self) -> BTreeSet<Element> {
        self.record.lock().needed.clone()
    }

    /// The calls that were denied since this was last asked.
    #[must_use]
    pub fn take_denials(&self) -> Vec<Denial> {
        std::mem::take(&mut self.record.lock().denials)
    }

    /// Passes a call, or says which check it fails. Records what it takes.
    pub(crate) fn admit(&self, operation: &str, checks: Vec<Check>) -> Result<(), Check> {
        for check in checks {
            let (allowed, needed) = self.policy.decide(&check);
            let mut record = self.record.lock();
            record.needed.extend(needed);
            if !allowed {
                record.denials.push(Denial {
                    operation: operation.to_owned(),
                    check: check.clone(),
                });
                return Err(check);
            }
        }
        Ok(())
    }
}
