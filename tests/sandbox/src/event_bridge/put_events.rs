//! `PutEvents` and `CreateEventBus`: what other callers send to the account's event buses.
//!
//! No rule of the sandbox matches these events. They are kept for the test to read.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::EventBridge;
use crate::constants::{ACCOUNT, REGION, random_uuid};
use crate::error_response::ErrorResponse;

/// The bus that every account has.
const DEFAULT_BUS: &str = "default";

/// The most entries of a call (service model).
const MOST_ENTRIES: usize = 10;

/// The most bytes of a call's entries (DOC; OBS: one byte more is refused).
const MOST_BYTES: usize = 1024 * 1024;

/// The most characters of a `DetailType` (DOC).
const LONGEST_DETAIL_TYPE: usize = 128;

/// An event that `PutEvents` has delivered to a bus.
#[derive(Debug, Clone, PartialEq)]
pub struct BusEvent {
    /// The event's id, as the response has it.
    pub id: String,
    /// The name of the bus.
    pub bus: String,
    /// The time in the entry, or else the time of the call.
    pub time: SystemTime,
    /// The event's source.
    pub source: String,
    /// The type of the detail.
    pub detail_type: String,
    /// The detail: a JSON object.
    pub detail: Value,
    /// The ARNs that the event is about.
    pub resources: Vec<String>,
}

/// The buses of the account, and what was put on them.
pub(super) struct Buses {
    names: BTreeSet<String>,
    events: Vec<BusEvent>,
    failure: Option<EntryFailure>,
}

/// An error that entries get that would otherwise be delivered.
struct EntryFailure {
    entries_left: usize,
    code: String,
    message: String,
}

/// The input of `PutEvents`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutEvents {
    entries: Vec<Entry>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    source: String,
    detail_type: String,
    detail: String,
    event_bus_name: Option<String>,
    resources: Vec<String>,
    /// Seconds since 1970, or a text of RFC 3339.
    time: Value,
}

/// The input of `CreateEventBus`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct NewBus {
    name: String,
}

/// The error of an entry: its code and message.
type EntryError = (String, String);

impl EventBridge {
    /// Performs an operation, named as in `X-Amz-Target` after the dot.
    pub(crate) fn perform(&self, operation: &str, input: Value) -> Result<Value, ErrorResponse> {
        match operation {
            "PutEvents" => self.put_events(parse(input)?),
            "CreateEventBus" => self.create_bus(&parse::<NewBus>(input)?.name),
            _ => Err(ErrorResponse::new(
                400,
                "UnknownOperationException",
                "The sandbox does not know this operation.",
            )),
        }
    }

    /// Delivers each valid entry, whether the others are valid or not.
    ///
    /// A call fails as a whole only if it has too many entries or bytes. DOC says that it also
    /// fails if no entry has all required fields; the responses that others recorded do not (AWSV:
    /// `LocalStack`), so the sandbox fails the entries.
    fn put_events(&self, input: PutEvents) -> Result<Value, ErrorResponse> {
        let number = input.entries.len();
        if number == 0 || number > MOST_ENTRIES {
            let bound = if number == 0 {
                "greater than or equal to 1".to_owned()
            } else {
                format!("less than or equal to {MOST_ENTRIES}")
            };
            return Err(invalid(format!(
                "1 validation error detected: Value at 'entries' failed to satisfy constraint: \
                 Member must have length {bound}"
            )));
        }
        if input.entries.iter().map(Entry::bytes).sum::<usize>() > MOST_BYTES {
            let message = "Total size of the entries in the request is over the limit.";
            return Err(invalid(message));
        }
        let now = self.shared.clock.now();
        let mut buses = self.shared.buses.lock();
        let results: Vec<Value> = input
            .entries
            .into_iter()
            .map(
                |entry| match entry.event(now).and_then(|event| buses.deliver(event)) {
                    Ok(id) => json!({ "EventId": id }),
                    Err((code, message)) => json!({ "ErrorCode": code, "ErrorMessage": message }),
                },
            )
            .collect();
        let failed = results
            .iter()
            .filter(|result| result.get("EventId").is_none());
        Ok(json!({ "FailedEntryCount": failed.count(), "Entries": results }))
    }

    /// Creates a bus.
    pub(crate) fn create_bus(&self, name: &str) -> Result<Value, ErrorResponse> {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        if name.is_empty() || name.len() > 256 || !name.chars().all(is_valid) {
            return Err(invalid("The name of an event bus is not valid."));
        }
        if !self.shared.buses.lock().names.insert(name.to_owned()) {
            return Err(ErrorResponse::new(
                400,
                "ResourceAlreadyExistsException",
                format!("Event bus {name} already exists."),
            ));
        }
        Ok(json!({ "EventBusArn": bus_arn(Some(name)) }))
    }

    /// Returns copies of all delivered events, oldest first.
    pub(crate) fn events(&self) -> Vec<BusEvent> {
        self.shared.buses.lock().events.clone()
    }

    /// Removes all delivered events.
    pub(crate) fn clear_events(&self) {
        self.shared.buses.lock().events.clear();
    }

    /// Fails the next entries that would be delivered, with this error.
    pub(crate) fn fail_entries(&self, entries: usize, code: &str, message: &str) {
        self.shared.buses.lock().failure = Some(EntryFailure {
            entries_left: entries,
            code: code.to_owned(),
            message: message.to_owned(),
        });
    }
}

impl Default for Buses {
    fn default() -> Buses {
        Buses {
            names: BTreeSet::from([DEFAULT_BUS.to_owned()]),
            events: Vec::new(),
            failure: None,
        }
    }
}

impl Buses {
    /// Returns the id of a delivered event, or its error.
    ///
    /// An event for a bus that does not exist gets an id and is lost (AWSV: `LocalStack`; OBS:
    /// aws/aws-cli#9186, aws/aws-sdk#186). A policy that names the bus denies it before.
    fn deliver(&mut self, event: BusEvent) -> Result<String, EntryError> {
        if let Some(failure) = &mut self.failure
            && failure.entries_left > 0
        {
            failure.entries_left -= 1;
            return Err((failure.code.clone(), failure.message.clone()));
        }
        let id = event.id.clone();
        if self.names.contains(&event.bus) {
            self.events.push(event);
        }
        Ok(id)
    }
}

impl Entry {
    /// Returns the size that AWS counts (DOC: user guide, "Calculating `PutEvents` event entry
    /// size").
    fn bytes(&self) -> usize {
        let time = if self.time.is_null() { 0 } else { 14 };
        let resources = self.resources.iter().map(String::len);
        let texts = [&self.source, &self.detail_type, &self.detail];
        time + texts.map(String::len).iter().sum::<usize>() + resources.sum::<usize>()
    }

    /// Returns the event, or the entry's error (AWSV for a missing field; OBS for the others, except
    /// for a long `DetailType`, of which AWS's error is not known).
    fn event(self, now: SystemTime) -> Result<BusEvent, EntryError> {
        let required = [
            ("Source", &self.source),
            ("DetailType", &self.detail_type),
            ("Detail", &self.detail),
        ];
        if let Some((name, _)) = required.iter().find(|(_, text)| text.is_empty()) {
            let reason = format!("{name} is a required argument.");
            return Err(invalid_argument(name, &reason));
        }
        if self.detail_type.chars().count() > LONGEST_DETAIL_TYPE {
            let reason = format!("DetailType has more than {LONGEST_DETAIL_TYPE} characters.");
            return Err(invalid_argument("DetailType", &reason));
        }
        let detail: Value = serde_json::from_str(&self.detail).unwrap_or_default();
        if !detail.is_object() {
            return Err(error("MalformedDetail", "Detail is malformed."));
        }
        if self.source.starts_with("aws.") {
            return Err(error(
                "NotAuthorizedForSourceException",
                "Not authorized for the source.",
            ));
        }
        Ok(BusEvent {
            id: random_uuid(),
            bus: bus_name(self.event_bus_name.as_deref()),
            time: time_of(&self.time).unwrap_or(now),
            source: self.source,
            detail_type: self.detail_type,
            detail,
            resources: self.resources,
        })
    }
}

/// Returns the ARN of a bus that is named by its name or ARN, or of the default bus.
pub(crate) fn bus_arn(bus: Option<&str>) -> String {
    match bus.unwrap_or(DEFAULT_BUS) {
        arn if arn.starts_with("arn:") => arn.to_owned(),
        name => format!("arn:aws:events:{REGION}:{ACCOUNT}:event-bus/{name}"),
    }
}

/// Returns the name of a bus of this account and Region. Another bus keeps its ARN, and so is not
/// found.
fn bus_name(bus: Option<&str>) -> String {
    let prefix = bus_arn(Some(""));
    let bus = bus.unwrap_or(DEFAULT_BUS);
    bus.strip_prefix(&prefix).unwrap_or(bus).to_owned()
}

fn time_of(time: &Value) -> Option<SystemTime> {
    match time {
        Value::String(text) => humantime::parse_rfc3339_weak(text).ok(),
        number => {
            let since = Duration::try_from_secs_f64(number.as_f64()?).ok()?;
            UNIX_EPOCH.checked_add(since)
        }
    }
}

/// Parses an operation's input.
fn parse<T: DeserializeOwned>(input: Value) -> Result<T, ErrorResponse> {
    serde_json::from_value(input).map_err(|_| {
        let message = "The request does not have the operation's form.";
        ErrorResponse::new(400, "SerializationException", message)
    })
}

fn invalid(message: impl Into<String>) -> ErrorResponse {
    ErrorResponse::new(400, "ValidationException", message)
}

fn invalid_argument(name: &str, reason: &str) -> EntryError {
    let message = format!("Parameter {name} is not valid. Reason: {reason}");
    error("InvalidArgument", &message)
}

fn error(code: &str, message: &str) -> EntryError {
    (code.to_owned(), message.to_owned())
}
