//! What has to hold at every instant, and at the end.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::scenario::{
    ABANDONED, DUE_TO_DELETE, DUE_TO_DISABLE, IN_GRACE, OLD, PASSWORD, REVOKED, Scenario,
};
use crate::support::emitted::assert_absent;
use crate::support::{SECRET, TestEnv, key_in};

/// Looks at the world after every effect that a call has. Everything that changes it is such a call, so nothing that is
/// between two looks can be missed; what only takes time, as a new key on the gateway's nodes, only gets better.
pub(crate) struct Watcher {
    scenario: Scenario,
    /// The plans that a key in use has at least.
    plans: Vec<String>,
    keys_at_start: usize,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    /// Every key that a version ever held.
    held: BTreeSet<String>,
    /// The versions that were ever AWSCURRENT, in that order.
    current: Vec<String>,
    looks: usize,
    violations: Vec<String>,
}

impl Watcher {
    pub(crate) fn new(scenario: Scenario, world: &TestEnv) -> Self {
        let plans = if scenario == Scenario::Reconciliation {
            &world.plans[..1]
        } else {
            &world.plans[..]
        };
        let watcher = Self {
            scenario,
            plans: plans.to_vec(),
            keys_at_start: world.sandbox.keys().len(),
            seen: Mutex::default(),
        };
        watcher.look(world);
        // Those that the keys in quarantine were minted for have no version any more.
        let keys = world.sandbox.keys().into_iter().map(|key| key.value);
        watcher.seen.lock().held.extend(keys);
        watcher.seen.lock().violations.clear();
        watcher
    }

    /// Notes what is wrong now.
    pub(crate) fn look(&self, world: &TestEnv) {
        let mut seen = self.seen.lock();
        seen.looks += 1;
        let secret = world.sandbox.secret(SECRET);
        for version in &secret.versions {
            seen.held.extend(version.text.as_deref().and_then(key_in));
        }
        let current = secret.current().map(|version| version.id.clone());
        match (&current, seen.current.last()) {
            (None, Some(_)) => seen.violations.push("AWSCURRENT is lost".to_owned()),
            (Some(current), last) if last != Some(current) => {
                seen.current.push(current.clone());
                let key = world.key_in("AWSCURRENT");
                let mirrors = |target: &&str| world.doppler_value(target) == key;
                if self.is_rotation() && !world.targets.iter().all(mirrors) {
                    seen.violations
                        .push("promoted before it was mirrored".to_owned());
                }
            }
            _ => {}
        }
        let keys = world.sandbox.keys();
        for key in &keys {
            if !seen.held.contains(&key.value) {
                let violation = format!("no version ever held the value of {key:?}");
                seen.violations.push(violation);
            }
        }
        if keys.len() > self.keys_at_start + 1 {
            seen.violations.push(format!("a key too many: {keys:?}"));
        }
        let targets = world.targets.iter();
        let mut in_use: Vec<_> = targets
            .filter_map(|target| world.doppler_value(target))
            .filter(|value| value != "drifted")
            .collect();
        in_use.extend(world.key_in("AWSCURRENT"));
        for value in &in_use {
            match keys.iter().find(|key| key.value == *value) {
                None => seen.violations.push("a key in use is gone".to_owned()),
                Some(key)
                    if !key.enabled || !self.plans.iter().all(|plan| key.plans.contains(plan)) =>
                {
                    seen.violations
                        .push(format!("a dead key is handed out: {key:?}"));
                }
                Some(_) if self.is_probed() && !world.sandbox.is_admitted(value) => {
                    let violation = "the gateway refuses a key that is handed out".to_owned();
                    seen.violations.push(violation);
                }
                Some(_) => {}
            }
        }
        for value in self.scenario.keeps_working() {
            if !world.sandbox.is_admitted(value) {
                seen.violations.push(format!("{value} was cut off"));
            }
        }
    }

    fn is_rotation(&self) -> bool {
        self.scenario != Scenario::Reconciliation
    }

    /// Whether it is known of a key that the gateway accepts it.
    fn is_probed(&self) -> bool {
        matches!(self.scenario, Scenario::First | Scenario::Second)
    }

    /// What was wrong at any instant, and the number of instants.
    pub(crate) fn verdict(&self) -> Result<usize, String> {
        let seen = self.seen.lock();
        match seen.violations.first() {
            None => Ok(seen.looks),
            Some(violation) => Err(violation.clone()),
        }
    }

    /// What has to hold once the job is done.
    pub(crate) async fn assert_done(&self, world: &TestEnv) {
        world.assert_agreement().await;
        let description = |value: &str| {
            let key = world.sandbox.key_with_value(value);
            key.map(|key| (key.enabled, key.description))
        };
        let unmarked = |keys: usize| {
            let all = world.sandbox.keys();
            assert_eq!(all.len(), keys, "{all:?}");
            let marked = |text: &str| text.starts_with("Superseded at ");
            assert_eq!(
                all.iter().filter(|key| !marked(&key.description)).count(),
                1
            );
        };
        match self.scenario {
            Scenario::First => unmarked(1),
            Scenario::Second | Scenario::Wide => unmarked(2),
            Scenario::Adoption => {
                assert_eq!(
                    description(OLD),
                    Some((true, String::new())),
                    "it is not ours"
                );
                assert_eq!(world.sandbox.keys().len(), 2);
            }
            Scenario::Reconciliation => {
                unmarked(5);
                assert_eq!(description(DUE_TO_DELETE), None);
                let (enabled, text) = description(DUE_TO_DISABLE).expect("it is in quarantine");
                assert!(!enabled && text.contains(" Disabled at "), "{text}");
                let (enabled, text) = description(REVOKED).expect("it is in quarantine");
                assert!(!enabled && text.contains(" Revoked at "), "{text}");
                for value in [IN_GRACE, ABANDONED] {
                    assert!(description(value).expect("it is in grace").0);
                }
            }
        }
        let moved = usize::from(self.is_rotation());
        let before = usize::from(self.scenario != Scenario::First);
        let current = self.seen.lock().current.len();
        assert_eq!(current, before + moved, "AWSCURRENT moved to and fro");
        let text = world
            .sandbox
            .secret(SECRET)
            .current()
            .and_then(|version| version.text.clone());
        let keeps = !matches!(self.scenario, Scenario::First | Scenario::Wide);
        let kept = text.is_some_and(|text| text.contains(PASSWORD));
        assert_eq!(kept, keeps, "another field of the secret was changed");
    }

    /// Nothing that the function has emitted holds a value.
    pub(crate) fn assert_no_leak(&self, world: &TestEnv, answers: &str) {
        let emitted = world.sandbox.function_log() + answers;
        assert!(emitted.contains("DEBUG"), "there is no log to search");
        let mut values = self.seen.lock().held.clone();
        values.extend(world.sandbox.rotation_tokens());
        values.extend([world.token.clone(), PASSWORD.to_owned()]);
        for value in values {
            assert_absent(&emitted, &value, "what was emitted");
        }
    }
}
