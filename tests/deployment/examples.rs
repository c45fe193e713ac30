//! The templates in `examples/notices`: they match events that are sent, and the page refers to them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::support::markdown::{page, repository};
use serde_json::Value;
use template::Template;

/// Returns the examples with their names.
fn examples() -> Vec<(String, Template)> {
    let folder = repository().join("examples/notices");
    let entries = std::fs::read_dir(folder).expect("it can be listed");
    let paths = entries.map(|entry| entry.expect("it can be listed").path());
    let read = |path: PathBuf| {
        let template = Template::read(&path).unwrap_or_else(|error| panic!("{error:#}"));
        let name = path.file_name().and_then(|name| name.to_str());
        (name.expect("a file has a name").to_owned(), template)
    };
    paths.map(read).collect()
}

fn of_type<'a>(template: &'a Template, kind: &str) -> Vec<&'a Value> {
    let resources = template.section("Resources").values();
    let of_type = resources.filter(|resource| resource["Type"] == kind);
    of_type.map(|resource| &resource["Properties"]).collect()
}

fn names(value: &Value) -> BTreeSet<&str> {
    let names = value.as_object().into_iter().flatten();
    names.map(|(name, _)| name.as_str()).collect()
}

/// Each rule matches notices by fields that all of them have, and reads such fields only.
#[test]
fn rules_use_fields_that_notices_have() {
    let schema = std::fs::read_to_string(repository().join("docs/notices.schema.json"));
    let schema: Value = serde_json::from_str(&schema.expect("it exists")).expect("it is JSON");
    let events = schema["$defs"].as_object().expect("a mapping");
    let examples = examples();
    assert_eq!(examples.len(), 2);
    for (name, template) in &examples {
        let rules = of_type(template, "AWS::Events::Rule");
        let [rule] = rules.as_slice() else {
            panic!("{name}: {} rules", rules.len());
        };
        let pattern = &rule["EventPattern"];
        assert_eq!(
            pattern["source"],
            schema["properties"]["source"]["const"]
                .as_str()
                .map_or(Value::Null, |source| [source].as_slice().into())
        );
        let types = pattern["detail-type"].as_array();
        let sent: Vec<_> = match types {
            Some(types) => types
                .iter()
                .map(|name| name.as_str().expect("a name"))
                .collect(),
            None => events
                .keys()
                .map(String::as_str)
                .filter(|name| *name != "Use")
                .collect(),
        };
        let target = &rule["Targets"][0];
        let paths = target["InputTransformer"]["InputPathsMap"].as_object();
        let paths = paths
            .into_iter()
            .flatten()
            .filter_map(|(_, path)| path.as_str());
        let read = paths.filter_map(|path| path.strip_prefix("$.detail."));
        let fields: BTreeSet<_> = names(&pattern["detail"]).into_iter().chain(read).collect();
        assert!(
            !fields.is_empty(),
            "{name}: it takes the notices of every function"
        );
        for event in sent {
            let required = events[event]["required"].as_array().expect("a list").iter();
            let required: BTreeSet<_> = required.filter_map(Value::as_str).collect();
            assert!(fields.is_subset(&required), "{name}: {event}: {fields:?}");
        }
    }
}

/// No statement of an example allows more than one action on one resource that the stack knows.
#[test]
fn roles_allow_one_action_on_one_resource() {
    for (name, template) in examples() {
        let roles = of_type(&template, "AWS::IAM::Role");
        assert!(!roles.is_empty(), "{name}");
        for role in roles {
            for policy in role["Policies"].as_array().expect("a list") {
                let statements = policy["PolicyDocument"]["Statement"].as_array();
                for statement in statements.expect("a list") {
                    assert!(statement["Action"].is_string(), "{name}: {statement}");
                    assert!(!statement.to_string().contains('*'), "{name}: {statement}");
                }
            }
        }
    }
}

#[test]
fn page_refers_to_every_example() {
    let page = page("notices");
    for (name, _) in examples() {
        let link = format!("../examples/notices/{name}");
        assert!(
            page.links().iter().any(|(_, target)| *target == link),
            "{name}"
        );
        let deployed = format!("--template-file examples/notices/{name} ");
        let command = page.block_with(&deployed);
        let given: BTreeSet<_> = command
            .split_whitespace()
            .filter_map(|word| Some(word.split_once('=')?.0))
            .collect();
        let template = examples().into_iter().find(|(other, _)| *other == name);
        let (_, template) = template.expect("it exists");
        for (parameter, declared) in template.section("Parameters") {
            let has_default = declared.get("Default").is_some();
            assert_eq!(
                given.contains(parameter.as_str()),
                !has_default,
                "{name}: {parameter}"
            );
        }
        assert_eq!(
            given
                .iter()
                .filter(|name| !template.has_parameter(name))
                .count(),
            0
        );
    }
}
