//! `fleet add`: adds a member to a document, and sets its rotation function and schedule.

use api_key_rotation::config::SECRET_SETTINGS;
use aws_sdk_secretsmanager::types::RotationRulesType;
use humantime::format_duration;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::change::{self, Documents};
use super::secrets::{self, Secret};
use crate::failure::Failure;
use crate::fleet_arguments::{Add, Settings};
use crate::operator::Operator;

/// The schedule of a secret that has none, as in the template.
const SCHEDULE: &str = "rate(30 days)";

/// What is to do with the secret's rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rotation {
    /// It is as it should be.
    Unchanged,
    /// Function and schedule are set; a test rotation runs.
    Set,
    /// Function and schedule are set, and the secret is rotated.
    SetAndRotate,
}

/// Adds a member.
///
/// # Errors
/// Returns an error if the documents would be faulty, if it is not confirmed, or if a call fails.
pub(super) async fn run(operator: &Operator<'_>, arguments: &Add) -> Result<(), Failure> {
    let console = operator.console;
    let secret = secrets::describe(operator, &arguments.name).await?;
    let documents = Documents::read(operator).await?;
    if let Some(pending) = secret.pending() {
        return Err(Failure::new(
            format!("a rotation to version {pending} is pending"),
            "wait until it has ended, or run `rotationctl cancel` first",
        ));
    }
    let settings = written(&arguments.settings);
    let edited = edit(&documents, &secret, arguments.to.as_deref(), &settings)?;
    let rotation = rotation(&documents, &secret, arguments);
    if let Some((document, text)) = &edited {
        documents.check(&[(document, text)])?;
        change::show(console, document, true, &secret.name, &settings);
    } else {
        console.note(format!("{} is a member already", secret.name));
    }
    let words = words(&documents, &secret, rotation, arguments);
    console.note(&words);
    let mut document = json!({
        "member": secret.name, "settings": serde_json::from_str::<Value>(&settings).ok(),
        "document": edited.as_ref().map(|(document, _)| &document.name),
    });
    if operator.options.dry_run {
        console.line(format!("would add {}", secret.name));
        document["wouldSetRotation"] = json!(rotation != Rotation::Unchanged);
        console.document(&document);
        return Ok(());
    }
    if edited.is_some() || rotation != Rotation::Unchanged {
        let question = format!("Add {}?", secret.name);
        console.confirm(&question, operator.options.yes).await?;
    }
    if let Some((stored, text)) = &edited {
        document["version"] = json!(change::store(operator, stored, text).await?);
        if rotation != Rotation::Unchanged {
            let wait = arguments.reread.reread_after;
            console.progress(&format!(
                "waiting {} until the function no longer uses the document from before…",
                format_duration(wait)
            ));
            sleep(wait).await;
        }
    }
    if rotation != Rotation::Unchanged {
        let next = "the member is in the document; run the same command again to set its rotation";
        let set = set_rotation(operator, &documents, &secret, rotation, arguments).await;
        set.map_err(|failed| failed.next(next))?;
        console.line(format!(
            "set the rotation function and schedule of {}",
            secret.name
        ));
    }
    document["rotationSet"] = json!(rotation != Rotation::Unchanged);
    console.document(&document);
    Ok(())
}

/// Returns the document with the member, and its text. `None` if it has the member already.
fn edit<'a>(
    documents: &'a Documents,
    secret: &Secret,
    to: Option<&str>,
    settings: &str,
) -> Result<Option<(&'a super::documents::Stored, String)>, Failure> {
    let same = |one: &str| serde_json::from_str::<Value>(one).ok();
    match documents.with_member(&secret.name).as_slice() {
        [] => {
            let document = documents.named(to)?;
            let text = change::outline(document)?.with(&secret.name, settings);
            Ok(Some((document, text)))
        }
        // Without settings, only its rotation is set.
        [(_, existing)] if settings == "{}" || same(existing) == same(settings) => Ok(None),
        [(document, _), ..] => Err(Failure::new(
            format!(
                "{} is a member already, in {}, with other settings",
                secret.name, document.name
            ),
            "edit the document, and check it with `rotationctl fleet check`",
        )),
    }
}

/// Returns the settings as they stand in a document.
fn written(settings: &Settings) -> String {
    let list = |items: &[String]| (!items.is_empty()).then(|| json!(items));
    let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
    let value = |field: &str| match field {
        "usagePlanIds" => list(&settings.plans),
        "stageKeys" => list(&settings.stage_keys),
        "dopplerTargets" => list(&settings.targets),
        "probeUrl" => text(&settings.probe_url),
        "propagationDelay" => text(&settings.propagation_delay),
        "gracePeriod" => text(&settings.grace_period),
        "holdWhileUsed" => text(&settings.hold_while_used),
        _ => text(&settings.quarantine_period),
    };
    let fields = SECRET_SETTINGS.iter();
    let fields = fields.filter_map(|setting| {
        let value = value(setting.field)?;
        Some(format!("\"{}\": {value}", setting.field))
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

fn rotation(documents: &Documents, secret: &Secret, arguments: &Add) -> Rotation {
    let is_set = secret.is_rotated_by(&documents.function) && secret.is_rotating;
    if arguments.rotate || !secret.has_value() {
        // Without a value there is nothing that a test could look at.
        Rotation::SetAndRotate
    } else if is_set && arguments.schedule.is_none() {
        Rotation::Unchanged
    } else {
        Rotation::Set
    }
}

/// Says what happens to the secret's rotation.
fn words(documents: &Documents, secret: &Secret, rotation: Rotation, arguments: &Add) -> String {
    let then = match rotation {
        Rotation::Unchanged => return "Its rotation is set already.".to_owned(),
        Rotation::Set => "a test rotation runs",
        Rotation::SetAndRotate => "it is rotated at once",
    };
    let (before, after) = (&secret.rotation_function, &documents.function.arn.text);
    let function = match before {
        Some(before) if !secret.is_rotated_by(&documents.function) => {
            format!("Its rotation function changes from {before} to {after}")
        }
        _ => format!("Its rotation function is {after}"),
    };
    let schedule = schedule(secret, arguments);
    let schedule = schedule.map_or("its schedule stays".to_owned(), |schedule| {
        format!("its schedule is {schedule}")
    });
    format!("{function}, {schedule}, and {then}.")
}

/// Returns the schedule to set. `None`: the secret keeps its own.
fn schedule<'a>(secret: &Secret, arguments: &'a Add) -> Option<&'a str> {
    let given = arguments.schedule.as_deref();
    given.or((!secret.has_schedule).then_some(SCHEDULE))
}

async fn set_rotation(
    operator: &Operator<'_>,
    documents: &Documents,
    secret: &Secret,
    rotation: Rotation,
    arguments: &Add,
) -> Result<(), Failure> {
    let request = operator.aws.secrets_manager.rotate_secret();
    let mut request = request
        .secret_id(&secret.arn)
        .rotation_lambda_arn(&documents.function.arn.text)
        .rotate_immediately(rotation == Rotation::SetAndRotate);
    if let Some(schedule) = schedule(secret, arguments) {
        let rules = RotationRulesType::builder().schedule_expression(schedule);
        request = request.rotation_rules(rules.build());
    }
    let set = request.send().await;
    set.map(drop)
        .map_err(|error| Failure::of_call("secretsmanager:RotateSecret", &error))
}
