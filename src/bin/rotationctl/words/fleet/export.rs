//! `fleet export`: a member as the parameters of a stack.

use std::time::Duration;

use api_key_rotation::command::Command;
use api_key_rotation::config::SecretConfig;
use serde_json::json;

use super::change::Documents;
use super::documents;
use super::secrets;
use crate::failure::Failure;
use crate::fleet_arguments::Export;
use crate::operator::Operator;

/// Parameters that say how the function logs in to Doppler, with their variables.
const LOGIN: [(&str, &str); 3] = [
    ("DopplerIdentity", "DOPPLER_IDENTITY"),
    ("DopplerAudience", "DOPPLER_AUDIENCE"),
    ("DopplerTokenSecretArn", "DOPPLER_TOKEN_SECRET_ID"),
];

/// Prints the parameters and the steps.
///
/// # Errors
/// Returns an error if it is not a member, or if the documents are faulty.
pub(super) async fn run(operator: &Operator<'_>, arguments: &Export) -> Result<(), Failure> {
    let console = operator.console;
    let name = &arguments.name;
    let documents = Documents::read(operator).await?;
    let fleet = documents::parse(&documents.stored, documents.config()?);
    let next = "correct them, see `rotationctl fleet check`";
    let fleet = fleet.map_err(|faults| documents::faulty(&faults, next))?;
    let member = fleet.member(name).ok_or_else(|| {
        Failure::new(
            "no document has a member of this name",
            "see `rotationctl fleet list`",
        )
    })?;
    let secret = secrets::describe(operator, name).await?;
    let login = LOGIN.map(|(parameter, variable)| {
        let value = documents.function.variable(variable);
        let value = value.filter(|_| !member.targets.is_empty());
        (parameter, value.unwrap_or_default().to_owned())
    });
    let has_identity = login
        .iter()
        .any(|(name, value)| *name == "DopplerIdentity" && !value.is_empty());
    let parameters = parameters(&secret.arn, member, &login);
    let command = parameters.iter().fold(
        Command::new("sam").args([
            "deploy",
            "--stack-name",
            "<stack>",
            "--resolve-s3",
            "--capabilities",
            "CAPABILITY_NAMED_IAM",
            "--parameter-overrides",
        ]),
        |command, (name, value)| command.arg(format!("{name}={value}")),
    );
    console.line(command.to_string());
    let remove = Command::new("rotationctl").args(["fleet", "remove", name, "--keep-keys"]);
    let mut steps = vec![
        format!("`{remove}`: a secret has one schedule, so its rotation in the fleet ends first. Its keys keep working."),
        "Deploy the stack with the command above, in place of <stack> its name. It runs a test rotation only.".to_owned(),
        "Hand the keys over: restore the tags of its keys with F=<stack>, see docs/manual-changes.md#a-key-tag-was-removed. Before that, the stack can neither retire nor revoke keys of the fleet.".to_owned(),
        "Remove what the fleet no longer needs from DopplerAllowed, ProbeAllowed and FleetUsagePlanIds.".to_owned(),
    ];
    if has_identity {
        steps.insert(
            1,
            "Let the identity in Doppler accept the role of the stack: docs/doppler-identity.md#name-the-role. Before that, the stack cannot log in.".to_owned(),
        );
    }
    if !operator.options.json {
        console.steps(&steps);
    }
    console.document(&json!({ "member": name, "parameters": parameters, "steps": steps }));
    Ok(())
}

fn parameters(arn: &str, member: &SecretConfig, login: &[(&str, String)]) -> Vec<(String, String)> {
    let stages = member.stage_keys.iter();
    let stages = stages.map(|stage| format!("{}/{}", stage.rest_api_id, stage.stage_name));
    let targets = member.targets.iter().map(ToString::to_string);
    let join = |items: &mut dyn Iterator<Item = String>| items.collect::<Vec<_>>().join(",");
    let all = [
        ("ExistingSecretArn", arn.to_owned()),
        ("UsagePlanIds", member.usage_plans.join(",")),
        ("StageKeys", join(&mut stages.into_iter())),
        (
            "ProbeUrl",
            member
                .probe_url
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        ),
        ("DopplerTargets", join(&mut targets.into_iter())),
        ("PropagationDelay", period(member.propagation_delay)),
        ("GracePeriod", period(member.grace_period)),
        ("HoldWhileUsed", period(member.hold_while_used)),
        ("QuarantinePeriod", period(member.quarantine_period)),
        ("RotateImmediately", "false".to_owned()),
    ];
    let all = all.into_iter().chain(login.iter().cloned());
    let all = all.filter(|(_, value)| !value.is_empty());
    all.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Writes a period as the parameters take it.
fn period(period: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let seconds = period.as_secs();
    let fits = |(length, _): &(u64, &str)| seconds >= *length && seconds.is_multiple_of(*length);
    let (length, unit) = UNITS.into_iter().find(fits).unwrap_or((1, "s"));
    format!("{}{unit}", seconds / length)
}
