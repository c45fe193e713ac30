//! The Query protocol of IAM, STS, `CloudWatch` and SNS: a form in, XML out.

use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::QueryService;
use crate::constants::random_uuid;
use crate::error_response::ErrorResponse;

/// A form as JSON: `A.member.1.B=c` becomes `{"A": {"member": {"1": {"B": "c"}}}}`, and then each
/// `member` a list.
pub(crate) fn form(body: &[u8]) -> Value {
    let mut input = Value::Object(Map::new());
    for pair in String::from_utf8_lossy(body).split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name), decode(value));
        let mut place = &mut input;
        for part in name.split('.') {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[part];
        }
        *place = Value::String(value);
    }
    lists(input)
}

fn lists(value: Value) -> Value {
    let Value::Object(mut fields) = value else {
        return value;
    };
    if let Some(Value::Object(members)) = fields.remove("member") {
        let mut members: Vec<_> = members.into_iter().collect();
        members.sort_by_key(|(number, _)| number.parse::<usize>().unwrap_or_default());
        return members
            .into_iter()
            .map(|(_, member)| lists(member))
            .collect();
    }
    let fields = fields.into_iter().map(|(name, value)| (name, lists(value)));
    Value::Object(fields.collect())
}

fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

/// Returns the reply to an operation: `<OperationResponse><OperationResult>…`.
pub(super) fn reply(service: QueryService, operation: &str, result: &Value) -> Response<Body> {
    let mut text = String::new();
    write(&mut text, &format!("{operation}Result"), result);
    let id = format!(
        "<ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata>",
        random_uuid()
    );
    let space = service.namespace();
    xml(
        StatusCode::OK,
        format!("<{operation}Response xmlns=\"{space}\">{text}{id}</{operation}Response>"),
    )
}

/// Returns an error of these services.
pub(super) fn error(service: QueryService, refusal: &ErrorResponse) -> Response<Body> {
    let ErrorResponse { code, message, .. } = refusal;
    let mut text = String::new();
    write(&mut text, "Code", &Value::String(code.clone()));
    write(&mut text, "Message", &Value::String(message.clone()));
    let (space, id) = (service.namespace(), random_uuid());
    xml(
        StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        format!(
            "<ErrorResponse xmlns=\"{space}\"><Error><Type>Sender</Type>{text}</Error>\
             <RequestId>{id}</RequestId></ErrorResponse>"
        ),
    )
}

/// Writes an element. The members of a list are `member`, those of SNS's attributes `entry`.
fn write(text: &mut String, name: &str, value: &Value) {
    text.extend(["<", name, ">"]);
    match value {
        Value::Object(fields) => fields
            .iter()
            .for_each(|(name, value)| write(text, name, value)),
        Value::Array(members) => {
            let member = if name == "Attributes" {
                "entry"
            } else {
                "member"
            };
            for value in members {
                write(text, member, value);
            }
        }
        Value::Null => {}
        Value::String(value) => text.push_str(&escape(value)),
        scalar => text.push_str(&scalar.to_string()),
    }
    text.extend(["</", name, ">"]);
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

fn xml(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response
}
