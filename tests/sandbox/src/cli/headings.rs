//! What an invocation is for: its heading, and why the step exists.

/// The heading of an invocation, and why it is made if that is known.
pub(crate) fn of(step: &str) -> (String, Option<&'static str>) {
    let (number, purpose, why) = match step {
        "createSecret" => (
            1,
            "store a new value in Secrets Manager",
            "A retry reads the stored value, so one rotation never creates two keys.",
        ),
        "setSecret" => (
            2,
            "create the key in API Gateway",
            "Consumers still use the current key, so a failure here does not affect them.",
        ),
        "testSecret" => (
            3,
            "wait until the gateway accepts the key",
            "A new key takes time to take effect. No consumer gets it before it works.",
        ),
        "finishSecret" => (
            4,
            "publish the key: Doppler first, then AWSCURRENT",
            "If Doppler fails, AWSCURRENT does not move, and a retry writes Doppler again.",
        ),
        // The types of EventBridge's events, as they are in `detail-type`.
        "Secret Label Updated" | "Scheduled Event" => {
            return (format!("reconcile (EventBridge: {step})"), None);
        }
        _ => return (step.to_owned(), None),
    };
    (format!("[{number}/4] {step}: {purpose}"), Some(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_has_a_number_and_reason() {
        for (index, step) in sandbox::STEPS.iter().enumerate() {
            let (heading, why) = of(step);
            let expected = format!("[{}/4] {step}: ", index + 1);
            assert!(heading.starts_with(&expected), "{heading}");
            assert!(why.is_some(), "{step}");
        }
    }

    #[test]
    fn event_says_what_it_is_for() {
        let (heading, _) = of("Secret Label Updated");
        assert_eq!(heading, "reconcile (EventBridge: Secret Label Updated)");
        assert_eq!(of("reconcile"), ("reconcile".to_owned(), None));
    }
}
