//! `fleet import`: a document from stacks with one secret each.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;

use api_key_rotation::command::Command;
use api_key_rotation::config::{Form, SECRET_SETTINGS, Setting};
use serde_json::{Map, Value, json};

use super::check;
use super::stack::Stack;
use crate::failure::Failure;
use crate::fleet_arguments::Import;
use crate::operator::Operator;

/// Parameters that no document has, with what to do about each.
const NOT_CARRIED: [(&str, &str); 7] = [
    (
        "KmsKeyArn",
        "the secret keeps its key; a fleet has one key for all its secrets, in its own KmsKeyArn",
    ),
    (
        "DopplerAdoptTargets",
        "put these targets into the fleet's DopplerAdoptTargets",
    ),
    (
        "ScheduleDuration",
        "the window of the secret's schedule: set it with `aws secretsmanager rotate-secret --rotation-rules`",
    ),
    ("AlarmTopicArn", "the fleet's alarms have one topic"),
    ("NoticeTopicArn", "the fleet's notices have one topic"),
    ("EventBusName", "the fleet's notices have one bus"),
    ("DocumentationUrl", "the fleet has its own"),
];

/// Parameters that say how the function logs in to Doppler: with its role, or with a token.
const LOGIN: [&str; 4] = [
    "DopplerIdentity",
    "DopplerAudience",
    "DopplerTokenSecretArn",
    "DopplerTokenKmsKeyArn",
];

/// Prints the document, what it does not have, and the steps to move over.
///
/// # Errors
/// Returns an error if a stack cannot be read, or if the document would be faulty.
pub(super) async fn run(operator: &Operator<'_>, arguments: &Import) -> Result<(), Failure> {
    let console = operator.console;
    let mut stacks = Vec::new();
    for name in &arguments.stacks {
        console.progress(&format!("reading stack {name}…"));
        stacks.push(Stack::read(operator, name).await?);
    }
    console.end_progress();
    let members = stacks
        .iter()
        .map(|stack| (stack.secret_name(), member(stack)));
    let text = written(&members.collect::<Vec<_>>());
    check::without_limits("the new document", &text)?;
    let not_carried = not_carried(&stacks);
    let parameters = parameters(&stacks);
    let steps = steps(operator, &stacks, &parameters);
    match &arguments.output {
        Some(path) if !operator.options.dry_run => {
            let file = fs::File::create_new(path);
            let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
            written.map_err(|error| {
                Failure::not_started(
                    format!("the file cannot be written: {}", error.kind()),
                    "name a file that does not exist yet",
                )
            })?;
        }
        _ => console.line(text.trim_end()),
    }
    if !operator.options.json {
        for line in &not_carried {
            console.note(format!("not in the document: {line}"));
        }
        console.steps(&steps);
    }
    let document: Value = serde_json::from_str(&text).unwrap_or_default();
    console.document(&json!({
        "document": document, "notCarried": not_carried, "parameters": parameters, "steps": steps,
    }));
    Ok(())
}

/// Returns the name of a setting as a parameter of the template: `usagePlanIds` is `UsagePlanIds`.
pub(super) fn parameter_name(setting: &Setting) -> String {
    let (first, rest) = setting.field.split_at(1);
    first.to_uppercase() + rest
}

/// Returns the settings of a stack as those of a member.
fn member(stack: &Stack) -> Map<String, Value> {
    let settings = SECRET_SETTINGS.iter().filter_map(|setting| {
        let name = parameter_name(setting);
        let value = match setting.form {
            Form::List(_) => {
                let items = stack.list(&name);
                (!items.is_empty()).then(|| json!(items))
            }
            // Each of the template's defaults is also that of the fleet, whose parameter may differ.
            Form::Period | Form::Url => stack.parameter(&name).map(|text| json!(text)),
        };
        Some((setting.field.to_owned(), value?))
    });
    settings.collect()
}

/// Returns the document, with a member on each line.
fn written(members: &[(String, Map<String, Value>)]) -> String {
    let lines: Vec<_> = members
        .iter()
        .map(|(name, settings)| {
            let fields = settings.iter();
            let fields: Vec<_> = fields
                .map(|(field, value)| format!("\"{field}\": {value}"))
                .collect();
            format!("    {}: {{{}}}", json!(name), fields.join(", "))
        })
        .collect();
    format!("{{\n  \"members\": {{\n{}\n  }}\n}}\n", lines.join(",\n"))
}

/// Returns the stack whose login to Doppler the fleet gets: the first that has one.
fn login(stacks: &[Stack]) -> Option<&Stack> {
    let has_login = |stack: &&Stack| LOGIN.iter().any(|name| stack.parameter(name).is_some());
    stacks.iter().find(has_login)
}

/// Says what the document does not have, for each stack.
fn not_carried(stacks: &[Stack]) -> Vec<String> {
    let mut lines = Vec::new();
    for stack in stacks {
        for name in LOGIN {
            let (value, kept) = (stack.parameter(name), login(stacks));
            if let (Some(value), Some(kept)) = (value, kept)
                && kept.parameter(name) != Some(value)
            {
                lines.push(format!(
                    "{}: {name}={value}: a fleet has one login to Doppler for all its targets, and that of {} is kept",
                    stack.name, kept.name
                ));
            }
        }
        for (parameter, what) in NOT_CARRIED {
            if let Some(value) = stack.parameter(parameter) {
                lines.push(format!("{}: {parameter}={value}: {what}", stack.name));
            }
        }
        for flag in ["AllowKeyWithoutPlan", "DopplerCreateMissing"] {
            if stack.parameter(flag) == Some("true") {
                lines.push(format!(
                    "{}: {flag}=true: set it for the whole fleet, if you want that",
                    stack.name
                ));
            }
        }
    }
    lines
}

/// Returns the parameters that the fleet needs for these members.
fn parameters(stacks: &[Stack]) -> Vec<String> {
    let of = |name: &str| {
        stacks
            .iter()
            .flat_map(|stack| stack.list(name))
            .collect::<BTreeSet<_>>()
    };
    let join = |items: BTreeSet<String>| items.into_iter().collect::<Vec<_>>().join(",");
    let configs = of("DopplerTargets").into_iter().filter_map(|target| {
        // The environment of a target in four parts is not in a pattern.
        let parts: Vec<_> = target.split('/').collect();
        let config = parts.get(parts.len().checked_sub(2)?)?;
        Some(format!("{}/{config}", parts[0]))
    });
    let hosts = of("ProbeUrl").into_iter().filter_map(|url| {
        let (_, rest) = url.split_once("://")?;
        Some(rest.split('/').next()?.to_owned())
    });
    let plans = of("UsagePlanIds").into_iter().map(ToOwned::to_owned);
    let plans: BTreeSet<_> = plans.collect();
    // The parameter takes ten; without it, the role may use every plan.
    let plans = if plans.len() > 10 {
        BTreeSet::new()
    } else {
        plans
    };
    let all = [
        ("DopplerAllowed", join(configs.collect())),
        ("ProbeAllowed", join(hosts.collect())),
        ("FleetUsagePlanIds", join(plans)),
    ];
    let login = LOGIN.map(|name| {
        let value = login(stacks).and_then(|stack| stack.parameter(name));
        (name, value.unwrap_or_default().to_owned())
    });
    let all = all.into_iter().chain(login);
    let all = all.filter(|(_, value)| !value.is_empty());
    all.map(|(name, value)| format!("{name}={value}")).collect()
}

/// Returns the steps, in an order in which every key keeps working.
fn steps(operator: &Operator<'_>, stacks: &[Stack], parameters: &[String]) -> Vec<String> {
    let fleet = operator.options.function.as_deref().unwrap_or("<fleet>");
    let mut steps = vec![
        "Store the document in a secret, and check it with `rotationctl fleet check`.".to_owned(),
        format!(
            "Deploy the fleet with Fleet=true, FleetConfigSecretArns=<its ARN> {}. No secret names its function yet, so nothing changes.",
            parameters.join(" ")
        ),
        "For each stack: if `rotationctl status` shows a rotation under way, wait for its end."
            .to_owned(),
    ];
    if login(stacks).is_some_and(|stack| stack.parameter("DopplerIdentity").is_some()) {
        steps.push(
            "Let the identity in Doppler accept the role of the fleet: docs/doppler-identity.md#name-the-role. Before that, the fleet cannot log in."
                .to_owned(),
        );
    }
    for stack in stacks {
        let delete = Command::new("aws").args([
            "cloudformation",
            "delete-stack",
            "--stack-name",
            &stack.name,
        ]);
        let name = stack.secret_name();
        let add = Command::new("rotationctl").args(["fleet", "add", &name, "--function", fleet]);
        let add = match stack.parameter("ScheduleExpression") {
            Some(schedule) => add.args(["--schedule", schedule]),
            None => add,
        };
        steps.push(format!(
            "`{delete}`, and wait until it is gone: its secret and keys stay, and CloudFormation cancels the rotation. Then `{add}`."
        ));
    }
    steps.push(format!(
        "Hand the keys over: for each secret, restore the tags of its keys with F={fleet}, see docs/manual-changes.md#a-key-tag-was-removed. Before that, the fleet can neither retire nor revoke keys of the stacks."
    ));
    steps.push("See that every member is ok: `rotationctl fleet list`.".to_owned());
    steps
}
