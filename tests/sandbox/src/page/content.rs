//! What the page shows, and what its buttons can break besides the services.

use std::fmt;

use serde_json::Value;

use crate::faults::Hook;

/// What the page shows.
#[derive(Debug, Clone, Default)]
pub struct PageContent {
    /// The secrets that the buttons rotate.
    pub secrets: Vec<PageSecret>,
    /// The name of a secret with the document of a fleet, whose members are shown too.
    pub document: Option<String>,
    /// What buttons can break besides the services.
    pub breakages: Vec<PageBreakage>,
}

/// A secret that holds a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageSecret {
    /// Its name.
    pub name: String,
    /// The Doppler secrets that are to hold its key.
    pub targets: Vec<DopplerTarget>,
}

/// A Doppler secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DopplerTarget {
    /// Its project.
    pub project: String,
    /// Its config.
    pub config: String,
    /// Its name.
    pub name: String,
}

/// Something that a button breaks until it is fixed.
#[derive(Clone)]
pub struct PageBreakage {
    /// Its name in a query.
    pub name: &'static str,
    /// The text of its button.
    pub label: &'static str,
    /// What is said of it once it is broken.
    pub text: &'static str,
    /// Breaks it.
    pub begin: Hook,
    /// Fixes it.
    pub end: Hook,
}

impl fmt::Debug for PageBreakage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl PageSecret {
    /// Returns the members of a fleet's document, or `None` if the text is not one.
    pub(super) fn of_document(text: &str) -> Option<Vec<PageSecret>> {
        let document: Value = serde_json::from_str(text).ok()?;
        let members = document["members"].as_object()?.iter();
        let members = members.map(|(name, settings)| {
            let targets = settings["dopplerTargets"].as_array().into_iter().flatten();
            let targets = targets.filter_map(|target| DopplerTarget::parse(target.as_str()?));
            PageSecret {
                name: name.clone(),
                targets: targets.collect(),
            }
        });
        Some(members.collect())
    }
}

impl DopplerTarget {
    /// Reads `project/config/NAME` or `project/environment/config/NAME`. Returns `None` for another
    /// form.
    #[must_use]
    pub fn parse(text: &str) -> Option<DopplerTarget> {
        let parts: Vec<&str> = text.split('/').collect();
        let (&[project, config, name] | &[project, _, config, name]) = &parts[..] else {
            return None;
        };
        Some(DopplerTarget {
            project: project.to_owned(),
            config: config.to_owned(),
            name: name.to_owned(),
        })
    }
}
