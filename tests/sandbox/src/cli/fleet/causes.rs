//! What goes wrong in the fleet, and who ends it.

use sandbox::Sandbox;
use serde_json::json;

use super::fixture::{ALONE, MEMBERS, SHARING, change_member, settings, target};
use crate::cli::fixture::CONFIG;

/// The Doppler project that does not answer.
const STOPPED: &str = "pay";
/// The project of the target that another team uses.
const SHARED_PROJECT: &str = "app";
/// The name of that target, and the name to which the other team moves its value.
const SHARED_NAMES: [&str; 2] = ["SHARED_KEY", "OTHER_TEAM_KEY"];
const OTHER_VALUE: &str = "the-value-of-another-team";

/// A reason for which rotations of some members fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A Doppler project answers every call with status 503.
    ProjectDown,
    /// Another team uses a target that a document names.
    TargetTaken,
    /// The usage plan of a member was deleted.
    PlanDeleted,
}

impl Cause {
    pub(crate) const ALL: [Cause; 3] = [Cause::ProjectDown, Cause::TargetTaken, Cause::PlanDeleted];

    /// Returns its name in a query of the page, and the text of its button.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Cause::ProjectDown => ("project-down", "Doppler project pay down"),
            Cause::TargetTaken => ("target-taken", "Target of partner-h taken"),
            Cause::PlanDeleted => ("plan-deleted", "Plan of partner-l deleted"),
        }
    }

    /// Says on the page what has happened.
    pub(super) fn said(self) -> &'static str {
        match self {
            Cause::ProjectDown => "Doppler now answers every call for the project pay with 503.",
            Cause::TargetTaken => {
                "The document now gives app/partner-h a second target, which another team uses."
            }
            Cause::PlanDeleted => "The usage plan of other/partner-l was deleted.",
        }
    }

    /// Says what happens.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Cause::ProjectDown => "Doppler answers every call for the project pay with 503",
            Cause::TargetTaken => {
                "the document gives app/partner-h a second target, which another team uses"
            }
            Cause::PlanDeleted => "the usage plan of other/partner-l is deleted",
        }
    }

    /// Says who ends it, and how.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Cause::ProjectDown => "Doppler answers for the project pay again",
            Cause::TargetTaken => "the other team moves its value to a name of its own",
            Cause::PlanDeleted => "the document names another usage plan for other/partner-l",
        }
    }

    /// Returns the type of the error with which rotations fail.
    pub(crate) fn error_type(self) -> &'static str {
        match self {
            Cause::ProjectDown => "DopplerFailed",
            Cause::TargetTaken => "DopplerTargetTaken",
            Cause::PlanDeleted => "ApiGatewayFailed",
        }
    }

    /// Returns the cause for which the rotation of a member fails, if all causes are there.
    pub(crate) fn of(name: &str) -> Option<Cause> {
        let member = MEMBERS.iter().find(|member| member.name == name)?;
        match member.project {
            Some(STOPPED) => Some(Cause::ProjectDown),
            _ if name == SHARING => Some(Cause::TargetTaken),
            _ if name == ALONE => Some(Cause::PlanDeleted),
            _ => None,
        }
    }

    /// Lets it happen.
    pub(crate) async fn begin(self, sandbox: &Sandbox) {
        let doppler = sandbox.doppler();
        match self {
            Cause::ProjectDown => doppler.stop_project(STOPPED),
            Cause::TargetTaken => {
                let shared = SHARED_NAMES[0];
                doppler.set_value(SHARED_PROJECT, CONFIG, shared, OTHER_VALUE);
                let shared = json!(target(SHARED_PROJECT, shared));
                change_member(sandbox, SHARING, |member| {
                    if let Some(targets) = member["dopplerTargets"].as_array_mut()
                        && !targets.contains(&shared)
                    {
                        targets.push(shared);
                    }
                })
                .await;
            }
            Cause::PlanDeleted => {
                let plans = settings(sandbox, ALONE)["usagePlanIds"].clone();
                let plan = plans[0].as_str().unwrap_or_default();
                sandbox.delete_usage_plan(plan);
            }
        }
    }

    /// Ends it.
    pub(crate) async fn end(self, sandbox: &Sandbox) {
        let doppler = sandbox.doppler();
        match self {
            Cause::ProjectDown => doppler.resume_project(STOPPED),
            Cause::TargetTaken => {
                let [shared, own] = SHARED_NAMES;
                doppler.set_value(SHARED_PROJECT, CONFIG, own, OTHER_VALUE);
                doppler.remove_value(SHARED_PROJECT, CONFIG, shared);
            }
            Cause::PlanDeleted => {
                let plan = sandbox.create_usage_plan("partner-l");
                change_member(sandbox, ALONE, |member| {
                    member["usagePlanIds"] = json!([plan]);
                })
                .await;
            }
        }
    }
}
