//! `adopt --hand-over`: makes a key managed, by the two commands that the function reports.

use serde_json::json;

use crate::failure::Failure;
use crate::operator::Operator;
use crate::report::Report;

/// A command of the function, as a call.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    /// Tags a resource.
    Tag {
        resource: String,
        tags: Vec<(String, String)>,
    },
    /// Renames a key.
    Rename { key: String, name: String },
}

/// Runs the commands in `handOverCommands`.
///
/// # Errors
/// Returns an error if there is no key to hand over, if it is not confirmed, or if a call fails.
pub(super) async fn run(operator: &Operator<'_>) -> Result<(), Failure> {
    let console = operator.console;
    console.progress("reading the status…");
    let answer = operator.invoke_step("status").await?;
    console.end_progress();
    let report = Report::read(&answer)?;
    let commands = report.secrets.iter();
    let commands: Vec<_> = commands
        .flat_map(|secret| &secret.hand_over_commands)
        .collect();
    if commands.is_empty() {
        return Err(Failure::new(
            "the function reports no key to hand over",
            "a key can be handed over while AWSCURRENT or AWSPREVIOUS has its value: docs/migrate.md#a-key-that-another-tool-created",
        ));
    }
    let calls = commands.iter().map(|command| parse(command));
    let calls: Option<Vec<_>> = calls.collect();
    let calls = calls.ok_or_else(|| {
        Failure::new(
            "the function reports commands that this version does not know",
            "run the commands that `rotationctl status` shows",
        )
    })?;
    console.note("These calls make the key managed, so it is retired once it is superseded:");
    for command in &commands {
        console.note(format!("- {command}"));
    }
    console.note("Do this only after you took the key out of the tool that created it.");
    if operator.options.dry_run {
        console.line("would hand the key over");
        console.document(&json!({ "wouldRun": commands }));
        return Ok(());
    }
    console
        .confirm("Hand the key over?", operator.options.yes)
        .await?;
    for call in &calls {
        perform(operator, call).await?;
    }
    console.line("handed the key over; the next reconciliation marks it once it is superseded");
    console.document(&json!({ "done": commands }));
    Ok(())
}

async fn perform(operator: &Operator<'_>, call: &Call) -> Result<(), Failure> {
    let api_gateway = &operator.aws.api_gateway;
    match call {
        Call::Tag { resource, tags } => {
            let mut request = api_gateway.tag_resource().resource_arn(resource);
            for (name, value) in tags {
                request = request.tags(name, value);
            }
            let tagged = request.send().await;
            tagged.map_err(|error| Failure::of_call("apigateway:PUT", &error))?;
        }
        Call::Rename { key, name } => {
            let renaming = aws_sdk_apigateway::types::PatchOperation::builder()
                .op(aws_sdk_apigateway::types::Op::Replace)
                .path("/name")
                .value(name)
                .build();
            let request = api_gateway.update_api_key().api_key(key);
            let renamed = request.patch_operations(renaming).send().await;
            renamed.map_err(|error| Failure::of_call("apigateway:PATCH", &error))?;
        }
    }
    Ok(())
}

/// Reads a command of the function. `None` if it is another one.
fn parse(command: &str) -> Option<Call> {
    let words = words(command)?;
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [
            "aws",
            "apigateway",
            "tag-resource",
            "--resource-arn",
            resource,
            "--tags",
            tags,
        ] => {
            let tags = tags.split(',').map(|tag| {
                let (name, value) = tag.split_once('=')?;
                let is_own = name.starts_with("rotation:");
                is_own.then(|| (name.to_owned(), value.to_owned()))
            });
            Some(Call::Tag {
                resource: (*resource).to_owned(),
                tags: tags.collect::<Option<_>>()?,
            })
        }
        [
            "aws",
            "apigateway",
            "update-api-key",
            "--api-key",
            key,
            "--patch-operations",
            patch,
        ] => {
            let name = patch.strip_prefix("op=replace,path=/name,value=")?;
            Some(Call::Rename {
                key: (*key).to_owned(),
                name: name.to_owned(),
            })
        }
        _ => None,
    }
}

/// Splits a command as a shell does, as far as the function quotes: plain words, or words within
/// single quotes.
fn words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = command.trim();
    while !rest.is_empty() {
        let (word, left) = match rest.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'')?,
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        if !left.is_empty() && rest.starts_with('\'') && !left.starts_with(' ') {
            return None;
        }
        words.push(word.to_owned());
        rest = left.trim_start();
    }
    Some(words)
}
