//! The documents in Secrets Manager: reads them, and stores one without losing an update of another
//! operator.

use api_key_rotation::config::{Config, Document, Fleet, FleetError};
use api_key_rotation::decision::CURRENT;

use crate::failure::Failure;
use crate::function::Function;
use crate::operator::Operator;
use crate::words::label;

/// The largest value of a secret in bytes (DOC, quotas of Secrets Manager).
pub(super) const LARGEST: usize = 65_536;

/// A document as it is stored.
///
/// It has no `Debug`: an operator may have put a token into the wrong place of its text.
#[derive(Clone)]
pub(super) struct Stored {
    /// The secret that holds it, as the function's setting names it.
    pub(super) id: String,
    /// The name of that secret.
    pub(super) name: String,
    /// Its ARN.
    pub(super) arn: String,
    /// The version that was read.
    pub(super) version: String,
    /// The text.
    pub(super) text: String,
}

impl Stored {
    /// Creates a document that is not stored.
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self {
            id: name.to_owned(),
            name: name.to_owned(),
            arn: String::new(),
            version: String::new(),
            text: text.to_owned(),
        }
    }

    /// Whether this names it.
    pub(super) fn is(&self, named: &str) -> bool {
        [&self.id, &self.name, &self.arn].contains(&&named.to_owned())
    }
}

/// Parses documents as the function does.
pub(super) fn parse(documents: &[Stored], config: &Config) -> Result<Fleet, FleetError> {
    let documents: Vec<_> = documents
        .iter()
        .map(|document| Document {
            id: &document.name,
            text: &document.text,
        })
        .collect();
    Fleet::parse(&documents, config)
}

/// Returns the error of faulty documents, with every fault.
pub(super) fn faulty(faults: &FleetError, next: &str) -> Failure {
    Failure::new(format!("the documents are faulty:\n{faults}\n"), next)
}

/// Returns the function's settings.
///
/// # Errors
/// Returns an error if they are invalid, as the function would answer to every event.
pub(super) fn settings(function: &Function) -> Result<&Config, Failure> {
    function.config.as_ref().map_err(|problems| {
        Failure::new(
            format!("the function's settings are invalid:\n{problems}\n"),
            "correct them: docs/configuration.md#settings",
        )
    })
}

/// Reads every document of a function. Empty if it has none.
///
/// # Errors
/// Returns an error if one cannot be read.
pub(super) async fn read_all(
    operator: &Operator<'_>,
    config: &Config,
) -> Result<Vec<Stored>, Failure> {
    let mut documents = Vec::new();
    let ids = config.fleet.iter().flat_map(|fleet| &fleet.document_ids);
    for id in ids {
        operator
            .console
            .progress(&format!("reading document {id}…"));
        documents.push(read(operator, id).await?);
    }
    operator.console.end_progress();
    Ok(documents)
}

/// As [`read_all`], for words that need a fleet with documents.
///
/// # Errors
/// Also returns an error if the function has no documents.
pub(super) async fn required(
    operator: &Operator<'_>,
    config: &Config,
) -> Result<Vec<Stored>, Failure> {
    if config.fleet.is_none() {
        return Err(Failure::not_started(
            "the function has no documents: FLEET_CONFIG_SECRET_IDS is not set",
            "check --function, or deploy with FleetConfigSecretArns: docs/fleet-documents.md#deploy-it",
        ));
    }
    read_all(operator, config).await
}

async fn read(operator: &Operator<'_>, id: &str) -> Result<Stored, Failure> {
    let request = operator.aws.secrets_manager.get_secret_value();
    let reply = request.secret_id(id).send().await;
    let reply = reply.map_err(|error| Failure::of_call("secretsmanager:GetSecretValue", &error))?;
    let text = reply.secret_string().ok_or_else(|| {
        Failure::new(
            format!("document {id} is binary"),
            "store it as text: docs/fleet-documents.md#change-a-member",
        )
    })?;
    Ok(Stored {
        id: id.to_owned(),
        name: reply.name().unwrap_or(id).to_owned(),
        arn: reply.arn().unwrap_or(id).to_owned(),
        version: reply.version_id().unwrap_or_default().to_owned(),
        text: text.to_owned(),
    })
}

/// A new version that is stored and that no run reads yet.
pub(super) struct Prepared<'a> {
    document: &'a Stored,
    version: String,
    label: String,
}

/// Stores a new text under a label of its own. No run reads it before [`publish`].
///
/// # Errors
/// Returns an error if Secrets Manager refuses.
pub(super) async fn prepare<'a>(
    operator: &Operator<'_>,
    document: &'a Stored,
    text: &str,
) -> Result<Prepared<'a>, Failure> {
    let label = label::own();
    let request = operator.aws.secrets_manager.put_secret_value();
    // The SDK adds a ClientRequestToken, which stays the same when it repeats the call.
    let reply = request
        .secret_id(&document.arn)
        .secret_string(text)
        .version_stages(&label)
        .send()
        .await;
    let reply = reply.map_err(|error| Failure::of_call("secretsmanager:PutSecretValue", &error))?;
    Ok(Prepared {
        document,
        version: reply.version_id().unwrap_or_default().to_owned(),
        label,
    })
}

/// Makes a prepared version current, if the version that was read still is.
///
/// # Errors
/// Returns an error if the document was changed in the meantime, or if Secrets Manager refuses.
pub(super) async fn publish_only(
    operator: &Operator<'_>,
    prepared: &Prepared<'_>,
) -> Result<(), Failure> {
    let Stored {
        arn, version, name, ..
    } = prepared.document;
    let changed = |failed: Failure| {
        failed
            .saying(format!("document {name} was changed after it was read"))
            .next("nothing was changed; run it again: it then edits the new version")
    };
    let made = operator.make_current(arn, version, &prepared.version, changed);
    made.await
}

/// As [`publish_only`], and removes the label of its own. Returns the id of the version.
///
/// # Errors
/// As for [`publish_only`].
pub(super) async fn publish(
    operator: &Operator<'_>,
    prepared: Prepared<'_>,
) -> Result<String, Failure> {
    let published = publish_only(operator, &prepared).await;
    discard(operator, &prepared).await;
    published.map(|()| prepared.version)
}

/// Makes the version that was read current again.
///
/// # Errors
/// Returns an error if Secrets Manager refuses.
pub(super) async fn revert(
    operator: &Operator<'_>,
    published: &Prepared<'_>,
) -> Result<(), Failure> {
    let Stored { arn, version, .. } = published.document;
    let moved = operator.move_label(arn, CURRENT, &published.version, Some(version));
    moved.await
}

/// Removes the label of a prepared version. A label that stays does no harm.
pub(super) async fn discard(operator: &Operator<'_>, prepared: &Prepared<'_>) {
    let arn = &prepared.document.arn;
    let removed = operator.move_label(arn, &prepared.label, &prepared.version, None);
    removed.await.ok();
}
