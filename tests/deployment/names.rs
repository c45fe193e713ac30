//! The names in the template: other tools than SAM find each one in it, and an update replaces no rule.

use std::collections::BTreeSet;

use crate::support::role::TEMPLATE;
use serde_json::{Value, json};

/// The rules that invoke the function. SAM made them before 0.2.0, with these ids.
const RULES: [&str; 3] = [
    "RotationFunctionCurrentVersionMoved",
    "RotationFunctionReconciliation",
    "RotationFunctionRotationFailed",
];

/// Adds the names that a value refers to: by `Ref`, `GetAtt`, `Sub` and `DependsOn`.
fn collect(value: &Value, local: &BTreeSet<&str>, names: &mut BTreeSet<String>) {
    match value {
        Value::Array(list) => {
            for entry in list {
                collect(entry, local, names);
            }
        }
        Value::Object(fields) => {
            for (key, field) in fields {
                match (key.as_str(), field) {
                    ("Ref" | "Condition" | "DependsOn", Value::String(name)) => {
                        names.insert(name.clone());
                    }
                    ("Fn::GetAtt", field) => {
                        names.extend(field[0].as_str().map(ToOwned::to_owned));
                    }
                    ("Fn::Sub", Value::String(text)) => substituted(text, local, names),
                    ("Fn::Sub", Value::Array(both)) => {
                        let given = both[1].as_object().expect("names for the text");
                        let mut local = local.clone();
                        local.extend(given.keys().map(String::as_str));
                        substituted(both[0].as_str().expect("a text"), &local, names);
                        collect(&both[1], &local, names);
                    }
                    ("DependsOn", Value::Array(list)) => {
                        let list = list.iter().filter_map(Value::as_str);
                        names.extend(list.map(ToOwned::to_owned));
                    }
                    (_, field) => collect(field, local, names),
                }
            }
        }
        _ => {}
    }
}

fn substituted(text: &str, local: &BTreeSet<&str>, names: &mut BTreeSet<String>) {
    for part in text.split("${").skip(1) {
        let name = part.split('}').next().unwrap_or_default();
        let name = name.split('.').next().unwrap_or_default();
        if !name.starts_with('!') && !local.contains(name) {
            names.insert(name.to_owned());
        }
    }
}

/// Tools that read the template as it is, such as CDK's `CfnInclude`, refuse a name that only SAM's expansion makes.
#[test]
fn every_name_is_in_template_literally() {
    let mut names = BTreeSet::new();
    for section in ["Resources", "Outputs"] {
        let section = Value::Object(TEMPLATE.section(section).clone());
        collect(&section, &BTreeSet::new(), &mut names);
    }
    assert!(names.len() > 60, "{}", names.len());
    for name in names {
        let is_declared = ["Resources", "Parameters", "Conditions"]
            .iter()
            .any(|section| TEMPLATE.section(section).contains_key(&name));
        assert!(is_declared || name.starts_with("AWS::"), "{name}");
    }
}

/// SAM expands the function alone: an event or policy of it would become a resource with a name of SAM's.
#[test]
fn function_has_nothing_that_sam_expands() {
    let resources = TEMPLATE.section("Resources");
    let of_sam: Vec<_> = resources
        .iter()
        .filter(|(_, resource)| {
            let kind = resource["Type"].as_str().unwrap_or_default();
            kind.starts_with("AWS::Serverless::")
        })
        .collect();
    let [(name, function)] = of_sam.as_slice() else {
        panic!("{} resources of SAM", of_sam.len());
    };
    assert_eq!(*name, "RotationFunction");
    for property in [
        "Events",
        "Policies",
        "AutoPublishAlias",
        "FunctionUrlConfig",
        "EventInvokeConfig",
        "DeploymentPreference",
        "DeadLetterQueue",
    ] {
        assert_eq!(function["Properties"].get(property), None, "{property}");
    }
}

/// An update of a stack whose rules SAM made keeps them, because the ids of rule, target and permission are the same.
/// With another id, `CloudFormation` would create a second rule of the same name first, which fails.
#[test]
fn rules_keep_ids_that_sam_gave() {
    let resources = TEMPLATE.section("Resources");
    let invoking: Vec<_> = resources
        .iter()
        .filter(|(_, resource)| {
            resource["Type"] == "AWS::Events::Rule"
                && resource["Properties"]["Targets"][0]["Arn"]
                    == json!({ "Fn::GetAtt": ["RotationFunction", "Arn"] })
        })
        .map(|(name, _)| name.as_str())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!(invoking, RULES);
    for rule in RULES {
        let targets = &resources[rule]["Properties"]["Targets"];
        assert_eq!(targets.as_array().map(Vec::len), Some(1), "{rule}");
        assert_eq!(targets[0]["Id"], format!("{rule}LambdaTarget"));
        // Any other property, or another value, replaces the permission.
        assert_eq!(
            resources[&format!("{rule}Permission")],
            json!({
                "Type": "AWS::Lambda::Permission",
                "Properties": {
                    "Action": "lambda:InvokeFunction",
                    "FunctionName": { "Ref": "RotationFunction" },
                    "Principal": "events.amazonaws.com",
                    "SourceArn": { "Fn::GetAtt": [rule, "Arn"] },
                },
            })
        );
    }
    // Only these have names of their own: a rule's name cannot change without a replacement.
    let named = |rule: &&&str| resources[**rule]["Properties"].get("Name").is_some();
    let named: Vec<_> = RULES.iter().filter(named).collect();
    assert_eq!(named, [&"RotationFunctionRotationFailed"]);
}
