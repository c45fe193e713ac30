//! Converts YAML with `CloudFormation`'s short tags to JSON with the functions' long names.

use anyhow::{Context as _, bail, ensure};
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The functions that can be written as a tag.
const FUNCTIONS: [&str; 13] = [
    "And",
    "Base64",
    "Cidr",
    "Contains",
    "Equals",
    "FindInMap",
    "GetAtt",
    "If",
    "Join",
    "Not",
    "Or",
    "Select",
    "Split",
];

pub(super) fn read(text: &str) -> anyhow::Result<Value> {
    let documents = Yaml::load_from_str(text)?;
    let [document] = documents.as_slice() else {
        bail!("{} documents instead of one", documents.len());
    };
    value(document)
}

fn value(yaml: &Yaml<'_>) -> anyhow::Result<Value> {
    Ok(match yaml {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(bool) => json!(bool),
            Scalar::Integer(number) => json!(number),
            Scalar::FloatingPoint(number) => json!(number.0),
            Scalar::String(text) => json!(text),
        },
        Yaml::Sequence(list) => list.iter().map(value).collect::<anyhow::Result<_>>()?,
        Yaml::Mapping(mapping) => {
            let mut fields = Map::new();
            for (key, field) in mapping {
                let key = key.as_str().context("a key is a text")?;
                let field = value(field).with_context(|| key.to_owned())?;
                ensure!(
                    fields.insert(key.to_owned(), field).is_none(),
                    "{key} occurs twice"
                );
            }
            Value::Object(fields)
        }
        Yaml::Tagged(tag, tagged) => {
            ensure!(tag.handle == "!", "the tag {tag} is unknown");
            function(&tag.suffix, &value(tagged)?)?
        }
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => bail!("a value is unknown"),
    })
}

fn function(name: &str, argument: &Value) -> anyhow::Result<Value> {
    Ok(match (name, argument) {
        ("Ref" | "Condition", _) => json!({ name: argument }),
        // `!GetAtt Name.Attribute`, whose long form has two texts.
        ("GetAtt", Value::String(both)) => {
            let (name, attribute) = both.split_once('.').context("!GetAtt without a dot")?;
            json!({ "Fn::GetAtt": [name, attribute] })
        }
        _ => {
            ensure!(
                name == "Sub" || FUNCTIONS.contains(&name),
                "the tag !{name} is unknown"
            );
            json!({ format!("Fn::{name}"): argument })
        }
    })
}
