//! From raw to computed values: `${NAME}`, `${config.NAME}` and `${project.config.NAME}` (SRC).

use super::model::{ConfigId, State};
use super::value::{Secret, Visibility};

/// A value with its references followed. Its visibility is the least of all secrets in it.
///
/// That the visibility follows the references is a conservative guess (UNK).
pub(super) struct Computed {
    pub(super) value: String,
    pub(super) visibility: Visibility,
}

pub(super) fn compute(state: &State, id: &ConfigId, secret: &Secret) -> Computed {
    expand(state, id, secret, &mut Vec::new())
}

/// Expands a value. `trail` holds the secrets on the path, so that a cycle ends.
fn expand(
    state: &State,
    id: &ConfigId,
    secret: &Secret,
    trail: &mut Vec<(ConfigId, String)>,
) -> Computed {
    let mut value = String::new();
    let mut visibility = secret.visibility;
    let mut rest = secret.value.as_str();
    while let Some(start) = rest.find("${") {
        value.push_str(&rest[..start]);
        rest = &rest[start..];
        let target = rest.find('}').and_then(|end| {
            let at = locate(id, &rest[2..end])?;
            (!trail.contains(&at)).then_some((end, at))
        });
        let found = target.and_then(|(end, at)| Some((end, state.secret(&at.0, &at.1)?, at)));
        // A reference that cannot be resolved stays as it was written (UNK).
        let Some((end, secret, at)) = found else {
            value.push_str("${");
            rest = &rest[2..];
            continue;
        };
        trail.push(at.clone());
        let inner = expand(state, &at.0, &secret, trail);
        trail.pop();
        value.push_str(&inner.value);
        visibility = visibility.max(inner.visibility);
        rest = &rest[end + 1..];
    }
    value.push_str(rest);
    Computed { value, visibility }
}

/// Returns the secret that a reference in config `id` names. Hyphens are accepted because project
/// names contain them, although the one published matcher does not accept them (UNK).
fn locate(id: &ConfigId, reference: &str) -> Option<(ConfigId, String)> {
    let parts: Vec<_> = reference.split('.').collect();
    let well_formed = |part: &&str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    if !parts.iter().all(well_formed) {
        return None;
    }
    let (project, config, name) = match parts[..] {
        [name] => (id.project.as_str(), id.config.as_str(), name),
        [config, name] => (id.project.as_str(), config, name),
        [project, config, name] => (project, config, name),
        _ => return None,
    };
    Some((
        ConfigId {
            project: project.to_owned(),
            config: config.to_owned(),
        },
        name.to_owned(),
    ))
}
