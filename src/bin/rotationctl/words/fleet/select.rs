//! Which secrets a word for many works on.

use api_key_rotation::config::{Fleet, FleetDefault};

use super::documents;
use super::secrets::{self, Secret};
use crate::failure::Failure;
use crate::fleet_arguments::Which;
use crate::function::Function;
use crate::operator::Operator;
use crate::pattern::is_match;

/// The secrets that were selected, and those that cannot be worked on.
pub(super) struct Selection {
    /// The function.
    pub(super) function: Function,
    /// The secrets by name.
    pub(super) secrets: Vec<Secret>,
    /// Names that match, but are left out, each with the reason.
    pub(super) left_out: Vec<(String, &'static str)>,
}

/// Selects the secrets whose rotation function it is.
///
/// # Errors
/// Returns an error if the function or the list cannot be read, or if nothing matches.
pub(super) async fn served(operator: &Operator<'_>, which: &Which) -> Result<Selection, Failure> {
    let function = Function::read(operator).await?;
    let all = secrets::list(operator).await?;
    let matches = |name: &str| {
        let pattern = which.matching.as_deref();
        which.all || pattern.is_some_and(|pattern| is_match(pattern, name))
    };
    let served = all
        .into_iter()
        .filter(|secret| secret.is_rotated_by(&function) && matches(&secret.name));
    let secrets: Vec<_> = served.collect();
    if secrets.is_empty() {
        return Err(Failure::new(
            "no secret matches: none of these names has the function as its rotation function",
            "see `rotationctl fleet list`",
        ));
    }
    Ok(Selection {
        function,
        secrets,
        left_out: Vec::new(),
    })
}

/// As [`served`], without what the function would refuse to rotate.
///
/// # Errors
/// Also returns an error if the documents cannot be read or are faulty: every rotation would fail.
pub(super) async fn rotatable(
    operator: &Operator<'_>,
    which: &Which,
) -> Result<Selection, Failure> {
    let mut selection = served(operator, which).await?;
    let config = documents::settings(&selection.function)?;
    let Some(settings) = &config.fleet else {
        return Ok(selection);
    };
    let stored = documents::read_all(operator, config).await?;
    let fleet = documents::parse(&stored, config);
    let fleet = fleet.map_err(|faults| {
        documents::faulty(
            &faults,
            "every rotation would fail: correct them first, see `rotationctl fleet check`",
        )
    })?;
    let is_wanted = |secret: &Secret| is_member(&fleet, settings.unlisted, secret);
    let (wanted, unwanted): (Vec<_>, Vec<_>) = std::mem::take(&mut selection.secrets)
        .into_iter()
        .partition(is_wanted);
    let reason = "it is not a member, so the function refuses it";
    selection.left_out = unwanted
        .into_iter()
        .map(|secret| (secret.name, reason))
        .collect();
    selection.secrets = wanted;
    let known: Vec<_> = selection
        .secrets
        .iter()
        .map(|secret| secret.name.clone())
        .collect();
    let reason = "it does not exist, or its rotation function is another one or none";
    let others = fleet.members().map(|(name, _)| name).filter(|name| {
        let pattern = which.matching.as_deref();
        (which.all || pattern.is_some_and(|pattern| is_match(pattern, name)))
            && known
                .binary_search_by(|other| other.as_str().cmp(name))
                .is_err()
    });
    let others = others.map(|name| (name.to_owned(), reason));
    selection.left_out.extend(others);
    Ok(selection)
}

fn is_member(fleet: &Fleet, unlisted: FleetDefault, secret: &Secret) -> bool {
    unlisted == FleetDefault::Inherit || fleet.member(&secret.name).is_some()
}
