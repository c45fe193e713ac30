//! Operations that write secrets: the two forms of an update, and the upload of a file.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::call::Call;
use super::model::{ConfigId, State};
use super::reply::{Answer, ErrorResponse, success};
use super::secrets::{entries, own_secrets, writable_name};
use super::upload;
use super::value::{Secret, Secrets, ValueType, Visibility};

/// The maximum size of a value that was observed (3P).
const MAX_VALUE_BYTES: usize = 50 * 1024;

/// An entry of `change_requests`. Null means absent (EMP).
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    name: String,
    original_name: Option<String>,
    value: Option<String>,
    original_value: Option<String>,
    visibility: Option<Visibility>,
    original_visibility: Option<Visibility>,
    value_type: Option<TypeOf>,
    original_value_type: Option<TypeOf>,
    should_promote: Option<bool>,
    should_delete: Option<bool>,
    should_converge: Option<bool>,
}

#[derive(Deserialize)]
struct TypeOf {
    r#type: ValueType,
}

/// Handles `POST /v3/configs/config/secrets`: applies all changes or none.
pub(super) fn update(state: &mut State, call: &Call) -> Answer {
    let id = call.writable_config(state)?;
    let map = call.structure::<BTreeMap<String, Option<String>>>("secrets")?;
    let changes = match (map, call.structure::<Vec<Change>>("change_requests")?) {
        (Some(map), None) => map.into_iter().map(Change::from_entry).collect(),
        (None, Some(changes)) => changes,
        _ => {
            return Err(ErrorResponse::bad_request(
                "You must specify either secrets or change_requests",
            ));
        }
    };
    apply(state, call, &id, changes)
}

/// Handles `POST /v3/configs/config/secrets/upload`: adds the secrets of a file and keeps the rest
/// (UNK).
pub(super) fn upload(state: &mut State, call: &Call) -> Answer {
    let id = call.writable_config(state)?;
    let secrets = upload::parse(call.required("file")?)?.into_iter();
    let changes = secrets
        .map(|(name, value)| Change::from_entry((name, Some(value))))
        .collect();
    apply(state, call, &id, changes)
}

fn apply(state: &mut State, call: &Call, id: &ConfigId, changes: Vec<Change>) -> Answer {
    let mut draft = Draft::of(state, id);
    for change in changes {
        draft.apply(change)?;
    }
    let Draft { own, root, .. } = draft;
    state.commit(id, own, &call.token.name, false);
    if let Some((root, secrets)) = root {
        state.commit(&root, secrets, &call.token.name, false);
    }
    // The whole config: the documentation's example shows less, but clients print all of it.
    let secrets = state.secrets(id);
    success(serde_json::json!({"secrets": entries(state, call, id, &secrets)}))
}

impl Change {
    /// Converts an entry of the map form: null deletes (SRC). Visibility and type stay (UNK).
    fn from_entry((name, value): (String, Option<String>)) -> Self {
        Self {
            name,
            should_delete: Some(value.is_none()),
            value,
            ..Self::default()
        }
    }
}

/// The secrets of a config, and of its root if it is a branch, with changes applied.
struct Draft<'a> {
    state: &'a State,
    id: &'a ConfigId,
    own: Secrets,
    root: Option<(ConfigId, Secrets)>,
    /// The secrets that both inherit from other configs.
    inherited: Secrets,
}

impl<'a> Draft<'a> {
    fn of(state: &'a State, id: &'a ConfigId) -> Self {
        let root = state.root_of(id);
        let mut layers = state.layers(id);
        layers.retain(|layer| layer != id && Some(layer) != root.as_ref());
        Self {
            state,
            id,
            own: own_secrets(state, id),
            inherited: state.kept_secrets(&layers),
            root: root.map(|root| (root.clone(), own_secrets(state, &root))),
        }
    }

    fn current(&self, name: &str) -> Option<&Secret> {
        let in_root = || {
            self.root
                .as_ref()
                .and_then(|(_, secrets)| secrets.get(name))
        };
        self.own
            .get(name)
            .or_else(in_root)
            .or_else(|| self.inherited.get(name))
    }

    fn apply(&mut self, change: Change) -> Result<(), ErrorResponse> {
        let name = writable_name(&change.name)?;
        let original = change
            .original_name
            .as_deref()
            .map_or(Ok(name), writable_name)?;
        self.check_guards(&change, original)?;
        if change.should_delete == Some(true) {
            self.own.remove(name);
            return Ok(());
        }
        if change.should_converge == Some(true) {
            return self.converge(name);
        }
        // Null, omitted and equal names all update or create (EMP, SRC).
        if original != name {
            self.rename(original, name)?;
        }
        self.set(change)
    }

    /// Checks the compare-and-set guards (DOC).
    fn check_guards(&self, change: &Change, original: &str) -> Result<(), ErrorResponse> {
        let is = |matches: &dyn Fn(&Secret) -> bool| self.current(original).is_some_and(matches);
        let Change {
            original_value,
            original_visibility,
            original_value_type,
            ..
        } = change;
        let holds = original_value
            .as_ref()
            .is_none_or(|value| is(&|it| it.value == *value))
            && original_visibility.is_none_or(|visibility| is(&|it| it.visibility == visibility))
            && original_value_type
                .as_ref()
                .is_none_or(|of| is(&|it| it.value_type == of.r#type));
        if holds {
            Ok(())
        } else {
            Err(ErrorResponse::guard_mismatch(original))
        }
    }

    /// Removes a branch's own value, so that it inherits its root's again (DOC).
    fn converge(&mut self, name: &str) -> Result<(), ErrorResponse> {
        if self
            .root
            .as_ref()
            .is_none_or(|(_, secrets)| !secrets.contains_key(name))
        {
            return Err(ErrorResponse::bad_request(format!(
                "There is no root secret \"{name}\" to converge to"
            )));
        }
        self.own.remove(name);
        Ok(())
    }

    /// Renames a config's own secret. Another existing name is refused (UNK).
    fn rename(&mut self, original: &str, name: &str) -> Result<(), ErrorResponse> {
        if self.current(name).is_some() {
            return Err(ErrorResponse::bad_request(format!(
                "Secret \"{name}\" already exists"
            )));
        }
        let secret = self
            .own
            .remove(original)
            .ok_or_else(|| ErrorResponse::not_found("secret", original))?;
        self.own.insert(name.to_owned(), secret);
        Ok(())
    }

    fn set(&mut self, change: Change) -> Result<(), ErrorResponse> {
        let name = change.name;
        let current = self.current(&name);
        let altered =
            |value: String| match self.state.alterations.get(&(self.id.clone(), name.clone())) {
                Some(alter) => alter(&value),
                None => value,
            };
        let secret = Secret {
            // Without a new value the existing one stays. Without either there is nothing to create
            // (UNK).
            value: (change.value.map(altered))
                .or_else(|| current.map(|secret| secret.value.clone()))
                .ok_or_else(|| {
                    ErrorResponse::bad_request(format!("Secret \"{name}\" has no value"))
                })?,
            visibility: (change.visibility)
                .or_else(|| current.map(|secret| secret.visibility))
                .unwrap_or(Visibility::Masked),
            value_type: (change.value_type.map(|of| of.r#type))
                .or_else(|| current.map(|secret| secret.value_type))
                .unwrap_or(ValueType::String),
        };
        if secret.value.len() > MAX_VALUE_BYTES {
            return Err(ErrorResponse::bad_request(format!(
                "The value of \"{name}\" is too long"
            )));
        }
        if !secret.value_type.admits(&secret.value) {
            return Err(ErrorResponse::bad_request(format!(
                "The value of \"{name}\" is not of its type"
            )));
        }
        if change.should_promote == Some(true) {
            let Some((_, root)) = &mut self.root else {
                return Err(ErrorResponse::bad_request(
                    "Only a branch config can promote",
                ));
            };
            root.insert(name.clone(), secret.clone());
        }
        self.own.insert(name, secret);
        Ok(())
    }
}
