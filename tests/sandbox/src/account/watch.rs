//! What watches the function: alarms, topics, trails and rules.

use serde_json::{Value, json};

use super::Account;
use crate::constants::{ACCOUNT, FUNCTION_ARN};
use crate::error_response::ErrorResponse;

impl Account {
    pub(super) fn describe_alarms(&self, input: &Value) -> Value {
        let prefix = input["AlarmNamePrefix"].as_str().unwrap_or_default();
        let named = input["AlarmNames"].as_array();
        let state = self.state.lock();
        let alarms = state.alarms.iter().filter(|alarm| {
            let name = alarm["AlarmName"].as_str().unwrap_or_default();
            name.starts_with(prefix)
                && named.is_none_or(|named| named.iter().any(|wanted| wanted == name))
        });
        let alarms: Vec<_> = alarms.cloned().collect();
        json!({ "MetricAlarms": alarms, "CompositeAlarms": [] })
    }

    pub(super) fn topic_attributes(&self, input: &Value) -> Result<Value, ErrorResponse> {
        let state = self.state.lock();
        let mut topics = state.topics.iter();
        let topic = topics.find(|topic| input["TopicArn"] == topic.arn.as_str());
        let topic = topic.ok_or_else(no_topic)?;
        let count = |confirmed: bool| {
            let found = topic.subscriptions.iter();
            found.filter(|one| one.2 == confirmed).count().to_string()
        };
        let mut attributes = vec![
            ("TopicArn", topic.arn.clone()),
            ("Owner", ACCOUNT.to_owned()),
            ("Policy", topic.policy.to_string()),
            ("SubscriptionsConfirmed", count(true)),
            ("SubscriptionsPending", count(false)),
            ("SubscriptionsDeleted", "0".to_owned()),
        ];
        if let Some(key) = &topic.kms_key {
            attributes.push(("KmsMasterKeyId", key.clone()));
        }
        let attributes = attributes.into_iter();
        let attributes: Vec<_> = attributes
            .map(|(key, value)| json!({ "key": key, "value": value }))
            .collect();
        Ok(json!({ "Attributes": attributes }))
    }

    /// A subscription that is not confirmed shows `PendingConfirmation` as its ARN (DOC).
    pub(super) fn subscriptions(&self, input: &Value) -> Result<Value, ErrorResponse> {
        let state = self.state.lock();
        let mut topics = state.topics.iter();
        let topic = topics.find(|topic| input["TopicArn"] == topic.arn.as_str());
        let topic = topic.ok_or_else(no_topic)?;
        let subscriptions = topic.subscriptions.iter().enumerate();
        let subscriptions: Vec<_> = subscriptions
            .map(|(number, (protocol, endpoint, is_confirmed))| {
                let arn = if *is_confirmed {
                    format!("{}:00000000-0000-4000-8000-{number:012}", topic.arn)
                } else {
                    "PendingConfirmation".to_owned()
                };
                json!({
                    "SubscriptionArn": arn, "Owner": ACCOUNT, "Protocol": protocol,
                    "Endpoint": endpoint, "TopicArn": topic.arn,
                })
            })
            .collect();
        Ok(json!({ "Subscriptions": subscriptions }))
    }

    pub(super) fn describe_trails(&self) -> Value {
        let state = self.state.lock();
        let trails = state.trails.iter().map(|trail| {
            json!({
                "Name": trail.name, "S3BucketName": "trail-bucket", "TrailARN": trail.arn(),
                "IsMultiRegionTrail": trail.is_multi_region, "HomeRegion": trail.home_region,
                "IncludeGlobalServiceEvents": true, "HasCustomEventSelectors": false,
                "IsOrganizationTrail": false, "LogFileValidationEnabled": true,
            })
        });
        json!({ "trailList": trails.collect::<Vec<_>>() })
    }

    pub(super) fn trail_status(&self, input: &Value) -> Result<Value, ErrorResponse> {
        let name = input["Name"].as_str().unwrap_or_default();
        let state = self.state.lock();
        let mut trails = state.trails.iter();
        let trail = trails.find(|trail| trail.arn() == name || trail.name == name);
        let trail = trail.ok_or_else(|| {
            let message = format!("Unknown trail: {name} for the user: {ACCOUNT}");
            ErrorResponse::new(400, "TrailNotFoundException", message)
        })?;
        let mut status = json!({ "IsLogging": trail.is_logging });
        if let Some(error) = &trail.delivery_error {
            status["LatestDeliveryError"] = json!(error);
        }
        Ok(status)
    }

    pub(super) fn lookup_events(&self, input: &Value) -> Value {
        let wanted = &input["LookupAttributes"][0];
        let is_wanted =
            |name: &str| wanted["AttributeKey"] == "EventName" && wanted["AttributeValue"] == name;
        let state = self.state.lock();
        let events = state.recorded.iter().rev();
        let events = events.filter(|(name, _)| is_wanted(name));
        let events = events.map(
            |(name, event)| json!({ "EventName": name, "CloudTrailEvent": event.to_string() }),
        );
        json!({ "Events": events.collect::<Vec<_>>() })
    }

    pub(super) fn rules_of_target(&self, input: &Value) -> Value {
        let state = self.state.lock();
        let is_function = input["TargetArn"] == FUNCTION_ARN;
        let names = state.rules.iter().filter(|_| is_function);
        json!({ "RuleNames": names.map(|rule| rule.name.clone()).collect::<Vec<_>>() })
    }

    pub(super) fn describe_rule(&self, input: &Value) -> Result<Value, ErrorResponse> {
        let name = input["Name"].as_str().unwrap_or_default();
        let state = self.state.lock();
        let rule = state.rules.iter().find(|rule| rule.name == name);
        let rule = rule.ok_or_else(|| {
            let message = format!("Rule {name} does not exist on EventBus default.");
            ErrorResponse::new(400, "ResourceNotFoundException", message)
        })?;
        let mut output = json!({
            "Name": rule.name, "Arn": rule.arn(), "EventBusName": "default",
            "State": if rule.is_enabled { "ENABLED" } else { "DISABLED" },
        });
        if let Some(schedule) = &rule.schedule {
            output["ScheduleExpression"] = json!(schedule);
        }
        if let Some(pattern) = &rule.pattern {
            output["EventPattern"] = json!(pattern.to_string());
        }
        Ok(output)
    }
}

fn no_topic() -> ErrorResponse {
    ErrorResponse::new(404, "NotFound", "Topic does not exist")
}
