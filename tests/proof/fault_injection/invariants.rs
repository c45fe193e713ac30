//! The invariants at every instant, and at the end.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use super::scenario::{
    ABANDONED, DUE_TO_DELETE, DUE_TO_DISABLE, IN_GRACE, OLD, PASSWORD, REVOKED, STILL_USED,
    Scenario,
};
use crate::support::emitted::assert_absent;
use crate::support::fleet::{PEER, PEER_KEY, PEER_TARGET};
use crate::support::{SECRET, TestEnv, key_in};

/// Checks the invariants after every effect of a call.
///
/// Everything that changes the environment is such a call, so no state between two checks is missed. Changes
/// by time alone, such as a new key reaching the gateway's nodes, only improve the state.
pub(crate) struct InvariantMonitor {
    scenario: Scenario,
    /// The plans that a key in use must have.
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
    checks: usize,
    violations: Vec<String>,
}

impl InvariantMonitor {
    pub(crate) fn new(scenario: Scenario, env: &TestEnv) -> Self {
        let plans = if scenario == Scenario::Reconciliation {
            &env.plans[..1]
        } else {
            &env.plans[..]
        };
        let monitor = Self {
            scenario,
            plans: plans.to_vec(),
            keys_at_start: env.sandbox.keys().len(),
            seen: Mutex::default(),
        };
        monitor.check(env);
        // The versions of the keys in quarantine were deleted.
        let keys = env.sandbox.keys().into_iter().map(|key| key.value);
        monitor.seen.lock().held.extend(keys);
        monitor.seen.lock().violations.clear();
        monitor
    }

    /// Records what violates an invariant now.
    pub(crate) fn check(&self, env: &TestEnv) {
        let mut seen = self.seen.lock();
        seen.checks += 1;
        let secret = env.sandbox.secret(SECRET);
        for version in &secret.versions {
            seen.held.extend(version.text.as_deref().and_then(key_in));
        }
        let current = secret.current().map(|version| version.id.clone());
        match (&current, seen.current.last()) {
            (None, Some(_)) => seen.violations.push("AWSCURRENT is lost".to_owned()),
            (Some(current), last) if last != Some(current) => {
                seen.current.push(current.clone());
                let key = env.key_in("AWSCURRENT");
                let mirrors = |target: &&str| env.doppler_value(target) == key;
                if self.scenario.is_rotation() && !env.targets.iter().all(mirrors) {
                    seen.violations
                        .push("promoted before it was mirrored".to_owned());
                }
            }
            _ => {}
        }
        let keys = env.sandbox.keys();
        for key in &keys {
            if !seen.held.contains(&key.value) {
                let violation = format!("no version ever held the value of {key:?}");
                seen.violations.push(violation);
            }
        }
        if keys.len() > self.keys_at_start + 1 {
            seen.violations.push(format!("a key too many: {keys:?}"));
        }
        let targets = env.targets.iter();
        let mut in_use: Vec<_> = targets
            .filter_map(|target| env.doppler_value(target))
            .filter(|value| value != "drifted")
            .collect();
        in_use.extend(env.key_in("AWSCURRENT"));
        if self.scenario == Scenario::Fleet {
            in_use.extend(key_of_peer(env));
            in_use.extend(env.doppler_value(PEER_TARGET).filter(|it| it != "drifted"));
        }
        for value in &in_use {
            match keys.iter().find(|key| key.value == *value) {
                None => seen.violations.push("a key in use was deleted".to_owned()),
                Some(key)
                    if !key.enabled || !self.plans.iter().all(|plan| key.plans.contains(plan)) =>
                {
                    seen.violations
                        .push(format!("a dead key is handed out: {key:?}"));
                }
                Some(_) if self.is_probed() && !env.sandbox.is_admitted(value) => {
                    let violation = "the gateway refuses a key that is handed out".to_owned();
                    seen.violations.push(violation);
                }
                Some(_) => {}
            }
        }
        for value in self.scenario.keeps_working() {
            if !env.sandbox.is_admitted(value) {
                seen.violations.push(format!("{value} was cut off"));
            }
        }
    }

    /// Whether the gateway is known to accept a key.
    fn is_probed(&self) -> bool {
        matches!(self.scenario, Scenario::First | Scenario::Second)
    }

    /// Returns the number of instants, or what was wrong at any of them.
    pub(crate) fn verdict(&self) -> Result<usize, String> {
        let seen = self.seen.lock();
        match seen.violations.first() {
            None => Ok(seen.checks),
            Some(violation) => Err(violation.clone()),
        }
    }

    /// Asserts what must hold once the job is done.
    pub(crate) async fn assert_done(&self, env: &TestEnv) {
        env.assert_agreement().await;
        let description = |value: &str| {
            let key = env.sandbox.key_with_value(value);
            key.map(|key| (key.enabled, key.description))
        };
        let counted = |keys: usize, unmarked: usize| {
            let all = env.sandbox.keys();
            assert_eq!(all.len(), keys, "{all:?}");
            let marked = |text: &str| text.starts_with("Superseded at ");
            let others = all.iter().filter(|key| !marked(&key.description));
            assert_eq!(others.count(), unmarked, "{all:?}");
        };
        match self.scenario {
            Scenario::First => counted(1, 1),
            Scenario::Second | Scenario::Wide | Scenario::Keyless => counted(2, 1),
            Scenario::Adoption => {
                assert_eq!(
                    description(OLD),
                    Some((true, String::new())),
                    "it is not managed"
                );
                assert_eq!(env.sandbox.keys().len(), 2);
            }
            Scenario::Reconciliation => {
                counted(5, 1);
                assert_eq!(description(DUE_TO_DELETE), None);
                let (enabled, text) = description(DUE_TO_DISABLE).expect("it is in quarantine");
                assert!(!enabled && text.contains(" Disabled at "), "{text}");
                let (enabled, text) = description(REVOKED).expect("it is in quarantine");
                assert!(!enabled && text.contains(" Revoked at "), "{text}");
                for value in [IN_GRACE, ABANDONED] {
                    assert!(description(value).expect("it is in grace").0);
                }
            }
            Scenario::Notices => {
                counted(3, 1);
                let (enabled, _) = description(DUE_TO_DISABLE).expect("it is in quarantine");
                assert!(!enabled);
                assert_announced(env);
            }
            Scenario::Fleet => {
                counted(4, 2);
                let (enabled, _) = description(DUE_TO_DISABLE).expect("it is in quarantine");
                assert!(!enabled);
                assert_eq!(key_of_peer(env).as_deref(), Some(PEER_KEY));
                assert_eq!(env.doppler_value(PEER_TARGET).as_deref(), Some(PEER_KEY));
            }
        }
        let moved = usize::from(self.scenario.is_rotation());
        let before = usize::from(self.scenario != Scenario::First);
        let current = self.seen.lock().current.len();
        assert_eq!(current, before + moved, "AWSCURRENT moved more than once");
        let text = env
            .sandbox
            .secret(SECRET)
            .current()
            .and_then(|version| version.text.clone());
        let keeps = !matches!(self.scenario, Scenario::First | Scenario::Wide);
        let kept = text.is_some_and(|text| text.contains(PASSWORD));
        assert_eq!(kept, keeps, "another field of the secret was changed");
    }

    /// Asserts that nothing that the function has emitted holds a value that the secret ever held.
    pub(crate) fn assert_no_leak(&self, env: &TestEnv) {
        let emitted = env.sandbox.function_log() + &env.sandbox.function_answers();
        assert!(emitted.contains("DEBUG"), "there is no log to search");
        let mut values = self.seen.lock().held.clone();
        values.extend(env.sandbox.rotation_tokens());
        values.extend(env.sandbox.web_identity_tokens());
        values.extend(env.sandbox.doppler().login_tokens());
        values.extend([env.token.clone(), PASSWORD.to_owned()]);
        for value in values {
            assert_absent(&emitted, &value, "what was emitted");
        }
    }
}

/// Returns the key in AWSCURRENT of the second secret of a fleet.
fn key_of_peer(env: &TestEnv) -> Option<String> {
    let secret = env.sandbox.secret(PEER);
    key_in(secret.current()?.text.as_ref()?)
}

/// Asserts that each transition of a key was announced at least once, always with the same id.
///
/// A key that is used is kept, unless its usage could not be read. A repair leaves no trace, so its
/// notice may be lost.
fn assert_announced(env: &TestEnv) {
    let events = env.sandbox.bus_events();
    for value in [DUE_TO_DISABLE, STILL_USED] {
        let key = env.sandbox.key_with_value(value).expect("it exists");
        let expected = if key.enabled {
            "KeyHeld"
        } else {
            "KeyDisabled"
        };
        let about = events
            .iter()
            .filter(|event| event.detail["keyId"] == *key.id);
        let last = about.clone().next_back().map(|event| &*event.detail_type);
        assert_eq!(last, Some(expected), "{events:?}");
        for name in ["KeyHeld", "KeyDisabled"] {
            let same = about.clone().filter(|event| event.detail_type == name);
            let ids: BTreeSet<_> = same.map(|event| event.detail["id"].to_string()).collect();
            assert!(ids.len() <= 1, "{events:?}");
        }
    }
}
