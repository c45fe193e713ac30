//! Writes the input of an operation as a form, as the Query protocol has it.

use form_urlencoded::Serializer;
use serde_json::Value;

/// Returns the form: lists as `Name.member.1`, fields of an element as `Name.member.1.Field`.
pub(super) fn form(operation: &str, version: &str, input: &Value) -> String {
    let mut form = Serializer::new(String::new());
    form.append_pair("Action", operation);
    form.append_pair("Version", version);
    append(&mut form, "", input);
    form.finish()
}

fn append(form: &mut Serializer<'_, String>, name: &str, value: &Value) {
    let below = |field: &str| match name {
        "" => field.to_owned(),
        name => format!("{name}.{field}"),
    };
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (field, value) in fields {
                append(form, &below(field), value);
            }
        }
        Value::Array(members) => {
            for (number, member) in members.iter().enumerate() {
                append(form, &below(&format!("member.{}", number + 1)), member);
            }
        }
        Value::String(text) => {
            form.append_pair(name, text);
        }
        scalar => {
            form.append_pair(name, &scalar.to_string());
        }
    }
}
