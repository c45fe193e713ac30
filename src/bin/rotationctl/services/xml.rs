//! Reads XML replies into JSON, so that every service's replies are read alike.

use roxmltree::{Document, Node};
use serde_json::{Map, Value};

/// Returns the element `…Result` of a reply. Null if the operation returns nothing.
pub(super) fn result(text: &str) -> Option<Value> {
    let document = Document::parse(text).ok()?;
    let mut children = document.root_element().children();
    let result = children.find(|child| child.tag_name().name().ends_with("Result"));
    Some(result.map_or(Value::Null, value))
}

/// Returns the code and the message of an error.
pub(super) fn error(text: &str) -> Option<(String, String)> {
    let document = Document::parse(text).ok()?;
    let text = |name: &str| {
        let mut nodes = document.descendants();
        let node = nodes.find(|node| node.has_tag_name((node_space(*node), name)))?;
        Some(node.text().unwrap_or_default().to_owned())
    };
    Some((text("Code")?, text("Message").unwrap_or_default()))
}

fn node_space<'a>(node: Node<'a, '_>) -> &'a str {
    node.tag_name().namespace().unwrap_or_default()
}

/// An element with `member` or `entry` elements is a list, one without elements is a text, and an
/// empty one is null.
fn value(node: Node<'_, '_>) -> Value {
    let mut elements = node.children().filter(Node::is_element).peekable();
    match elements.peek().map(|first| first.tag_name().name()) {
        None => match node.text().map(str::trim) {
            None | Some("") => Value::Null,
            Some(text) => text.into(),
        },
        Some("member" | "entry") => elements.map(value).collect(),
        Some(_) => {
            let fields = elements.map(|field| (field.tag_name().name().to_owned(), value(field)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
    }
}
