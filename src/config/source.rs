//! Where the settings of a secret stand: in the environment or in a fleet's document.

use std::collections::BTreeSet;

/// The names of a setting.
#[derive(Debug)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The field of a fleet's document.
    pub field: &'static str,
    /// A valid value of the variable. A list has commas between its items.
    pub example: &'static str,
    /// The form of a value.
    pub form: Form,
    /// A regular expression that each text or item matches.
    pub pattern: &'static str,
    /// What it decides.
    pub meaning: &'static str,
}

/// The form of a setting's value in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A list of so many texts at most.
    List(usize),
    /// A duration such as `90s` or `7d`.
    Period,
    /// A URL.
    Url,
}

/// Reads settings and collects their faults.
pub(super) trait Source {
    /// Returns a text. `None` if the setting is not set.
    fn text(&mut self, setting: &Setting) -> Option<String>;

    /// Returns the items of a list. `None` if the setting is not set.
    fn items(&mut self, setting: &Setting) -> Option<Vec<String>>;

    /// Notes that a setting is wrong.
    fn fault(&mut self, setting: &Setting, fault: String);

    /// Returns the parsed value. `None` if it is not set or wrong.
    fn parsed<T>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        match parse(&self.text(setting)?) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.fault(setting, fault);
                None
            }
        }
    }

    /// Returns the parsed items without repetitions, as far as they are right. `None` if the
    /// setting is not set.
    ///
    /// A repeated item is accepted: it changes nothing, and the template's pattern cannot reject
    /// it.
    fn parsed_list<T: Ord + Clone>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Vec<T>> {
        let (mut values, mut seen) = (Vec::new(), BTreeSet::new());
        for (number, item) in (1..).zip(self.items(setting)?) {
            match parse(&item) {
                Ok(value) if seen.insert(value.clone()) => values.push(value),
                Ok(_) => {}
                Err(fault) => self.fault(setting, format!("item {number} {fault}")),
            }
        }
        if let Form::List(most) = setting.form
            && values.len() > most
        {
            let fault = format!("has {} items, but at most {most} are allowed", values.len());
            self.fault(setting, fault);
        }
        Some(values)
    }
}
