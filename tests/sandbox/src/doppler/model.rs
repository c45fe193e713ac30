//! The data model: projects, environments, configs and their secrets, and the inheritance between
//! configs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use uuid::Uuid;

use super::identity::Identity;
use super::limits::Limits;
use super::logs::{Change, Log};
use super::token::{Holder, Token};
use super::value::{Secret, Secrets, ValueType, Visibility};
use crate::clock::Clock;

/// A function between a written value and its stored form.
pub(super) type Alteration = Box<dyn Fn(&str) -> String + Send + Sync>;

/// The state of the whole workplace.
pub(super) struct State {
    pub(super) projects: BTreeMap<String, Project>,
    /// The tokens by their text.
    pub(super) tokens: HashMap<String, Token>,
    /// The identities of service accounts by their id.
    pub(super) identities: HashMap<String, Identity>,
    /// Every token that a login has returned.
    pub(super) login_tokens: Vec<String>,
    /// How far the clock that verifies logins is behind.
    pub(super) login_clock_lag: Duration,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    pub(super) alterations: HashMap<(ConfigId, String), Alteration>,
    /// The projects whose calls fail.
    pub(super) stopped: BTreeSet<String>,
    /// Receives the id of each config whose secrets changed, for watchers.
    pub(super) updates: broadcast::Sender<ConfigId>,
}

/// The id of a config. In the live service a project's identifier is its name (3P).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct ConfigId {
    pub(super) project: String,
    pub(super) config: String,
}

pub(super) struct Project {
    pub(super) description: String,
    pub(super) created_at: SystemTime,
    pub(super) environments: BTreeMap<String, Environment>,
    pub(super) configs: BTreeMap<String, Config>,
    /// The notes. A note belongs to a name in the whole project (DOC).
    pub(super) notes: BTreeMap<String, String>,
}

pub(super) struct Environment {
    pub(super) name: String,
    pub(super) personal_configs: bool,
    pub(super) created_at: SystemTime,
}

pub(super) struct Config {
    pub(super) slug: String,
    pub(super) environment: String,
    pub(super) root: bool,
    pub(super) locked: bool,
    pub(super) inheritable: bool,
    pub(super) inherits: Vec<ConfigId>,
    pub(super) created_at: SystemTime,
    pub(super) initial_fetch_at: Option<SystemTime>,
    pub(super) last_fetch_at: Option<SystemTime>,
    pub(super) secrets: Secrets,
    /// The logs, newest first.
    pub(super) logs: Vec<Log>,
}

impl State {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            projects: BTreeMap::new(),
            tokens: HashMap::new(),
            identities: HashMap::new(),
            login_tokens: Vec::new(),
            login_clock_lag: Duration::ZERO,
            clock,
            limits: Limits::new(),
            alterations: HashMap::new(),
            stopped: BTreeSet::new(),
            updates: broadcast::channel(256).0,
        }
    }

    pub(super) fn config(&self, id: &ConfigId) -> Option<&Config> {
        self.projects.get(&id.project)?.configs.get(&id.config)
    }

    pub(super) fn config_mut(&mut self, id: &ConfigId) -> Option<&mut Config> {
        self.projects
            .get_mut(&id.project)?
            .configs
            .get_mut(&id.config)
    }

    /// Returns the root config that a branch config builds on, or `None` for a root config.
    pub(super) fn root_of(&self, id: &ConfigId) -> Option<ConfigId> {
        let config = self.config(id)?;
        (!config.root).then(|| ConfigId {
            project: id.project.clone(),
            config: config.environment.clone(),
        })
    }

    /// Returns the configs whose secrets make up `id`'s: the inherited ones, its root and itself.
    /// Later ones override earlier ones.
    pub(super) fn layers(&self, id: &ConfigId) -> Vec<ConfigId> {
        let with_root = |id: &ConfigId| {
            self.root_of(id)
                .into_iter()
                .chain([id.clone()])
                .collect::<Vec<_>>()
        };
        let own = with_root(id);
        let inherited = own
            .iter()
            .filter_map(|id| self.config(id))
            .flat_map(|config| &config.inherits);
        // An inherited config cannot inherit itself (SRC).
        inherited
            .flat_map(with_root)
            .chain(own.iter().cloned())
            .collect()
    }

    /// Returns every secret of a config, with the inherited ones and the three that Doppler sets.
    pub(super) fn secrets(&self, id: &ConfigId) -> Secrets {
        let mut secrets = self.kept_secrets(&self.layers(id));
        secrets.extend(self.managed(id).into_iter().flatten());
        secrets
    }

    /// Returns the secrets of these configs; later ones override earlier ones.
    pub(super) fn kept_secrets(&self, layers: &[ConfigId]) -> Secrets {
        layers
            .iter()
            .filter_map(|id| self.config(id))
            .flat_map(|config| config.secrets.clone())
            .collect()
    }

    pub(super) fn secret(&self, id: &ConfigId, name: &str) -> Option<Secret> {
        self.secrets(id).remove(name)
    }

    /// Returns the three secrets that Doppler adds to every config (3P). That they are unmasked is
    /// a guess (UNK).
    fn managed(&self, id: &ConfigId) -> Option<[(String, Secret); 3]> {
        let environment = &self.config(id)?.environment;
        let values = [
            ("DOPPLER_PROJECT", &id.project),
            ("DOPPLER_ENVIRONMENT", environment),
            ("DOPPLER_CONFIG", &id.config),
        ];
        Some(values.map(|(name, value)| {
            let secret = Secret {
                value: value.clone(),
                visibility: Visibility::Unmasked,
                value_type: ValueType::String,
            };
            (name.to_owned(), secret)
        }))
    }

    /// Replaces a config's own secrets, writes its log and notifies watchers.
    ///
    /// A write that changes nothing adds no log and notifies no watcher (UNK).
    pub(super) fn commit(&mut self, id: &ConfigId, secrets: Secrets, author: &str, rollback: bool) {
        let now = self.clock.now();
        let Some(config) = self.config_mut(id) else {
            return;
        };
        let changes = Change::between(&config.secrets, &secrets);
        if changes.is_empty() {
            return;
        }
        config.secrets = secrets;
        config
            .logs
            .insert(0, Log::new(changes, author, rollback, now));

        let affected = self
            .config_ids()
            .into_iter()
            .filter(|other| self.layers(other).contains(id));
        for other in affected {
            // An error means that there are no watchers.
            let _ = self.updates.send(other);
        }
    }

    pub(super) fn config_ids(&self) -> BTreeSet<ConfigId> {
        let projects = self.projects.iter();
        projects
            .flat_map(|(project, Project { configs, .. })| {
                configs.keys().map(|config| ConfigId {
                    project: project.clone(),
                    config: config.clone(),
                })
            })
            .collect()
    }

    /// Removes the tokens of deleted configs and the inheritance from them.
    pub(super) fn forget_deleted_configs(&mut self) {
        let ids = self.config_ids();
        self.tokens.retain(|_, token| match &token.holder {
            Holder::Config { id, .. } => ids.contains(id),
            Holder::ServiceAccount { .. } | Holder::User => true,
        });
        for config in self
            .projects
            .values_mut()
            .flat_map(|project| project.configs.values_mut())
        {
            config.inherits.retain(|id| ids.contains(id));
        }
    }
}

impl Project {
    /// Creates a project, with the three default environments if requested (3P).
    pub(super) fn new(description: &str, default_environments: bool, now: SystemTime) -> Self {
        let mut project = Self {
            description: description.to_owned(),
            created_at: now,
            environments: BTreeMap::new(),
            configs: BTreeMap::new(),
            notes: BTreeMap::new(),
        };
        if default_environments {
            for (slug, name) in [
                ("dev", "Development"),
                ("stg", "Staging"),
                ("prd", "Production"),
            ] {
                project.add_environment(slug, name, false, now);
            }
        }
        project
    }

    /// Adds an environment with its locked root config, which has the slug as its name (3P).
    pub(super) fn add_environment(
        &mut self,
        slug: &str,
        name: &str,
        personal_configs: bool,
        now: SystemTime,
    ) {
        self.environments.insert(
            slug.to_owned(),
            Environment {
                name: name.to_owned(),
                personal_configs,
                created_at: now,
            },
        );
        self.configs
            .insert(slug.to_owned(), Config::new(slug, true, now));
    }
}

impl Config {
    pub(super) fn new(environment: &str, root: bool, now: SystemTime) -> Self {
        Self {
            slug: Uuid::new_v4().to_string(),
            environment: environment.to_owned(),
            root,
            locked: root,
            inheritable: false,
            inherits: Vec::new(),
            created_at: now,
            initial_fetch_at: None,
            last_fetch_at: None,
            secrets: Secrets::new(),
            logs: Vec::new(),
        }
    }

    /// Records that the secrets were read.
    pub(super) fn fetched(&mut self, now: SystemTime) {
        self.initial_fetch_at.get_or_insert(now);
        self.last_fetch_at = Some(now);
    }
}
