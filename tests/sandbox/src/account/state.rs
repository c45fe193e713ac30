//! What a test can set: the account around the function. The default is a healthy one, except that
//! the template's alarms and rules are those that a test adds.

use serde_json::{Value, json};

use crate::constants::{ACCOUNT, FUNCTION_ARN, REGION};

/// The account around the function.
#[derive(Debug, Clone)]
pub struct AccountState {
    /// Whether the trust policy of the function's role names the operator. The template's does not.
    pub role_trusts_operator: bool,
    /// Whether a key with tags also takes PUT on `/apikeys/*`, which the template allows if
    /// `WiderTagPermission` is set. It is not known whether AWS wants it.
    pub tags_take_put_on_keys: bool,
    /// Whether a policy of the organization denies everything to the role in a simulation.
    pub organization_denies: bool,
    /// The trails of `CloudTrail`.
    pub trails: Vec<Trail>,
    /// The events that `LookupEvents` finds: their names and the JSON of each.
    pub recorded: Vec<(String, Value)>,
    /// The metric alarms, as `DescribeAlarms` shows them.
    pub alarms: Vec<Value>,
    /// The topics of SNS.
    pub topics: Vec<Topic>,
    /// The rules of the default event bus.
    pub rules: Vec<Rule>,
    /// The statements of the function's resource policy. Empty: it has no policy.
    pub function_policy: Vec<Value>,
    /// The function's reserved concurrency.
    pub reserved_concurrency: Option<u32>,
    /// Fields of `GetFunctionConfiguration` that differ, such as `State`.
    pub function: Vec<(&'static str, Value)>,
}

/// A trail.
#[derive(Debug, Clone)]
pub struct Trail {
    /// Its name.
    pub name: String,
    /// Whether it records.
    pub is_logging: bool,
    /// Whether it records every Region, or only its own.
    pub is_multi_region: bool,
    /// Its Region.
    pub home_region: String,
    /// Why it could not deliver, such as `AccessDenied`.
    pub delivery_error: Option<String>,
}

impl Trail {
    /// Returns its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        let (region, name) = (&self.home_region, &self.name);
        format!("arn:aws:cloudtrail:{region}:{ACCOUNT}:trail/{name}")
    }
}

/// A topic.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Its ARN.
    pub arn: String,
    /// Its access policy.
    pub policy: Value,
    /// The key that encrypts it.
    pub kms_key: Option<String>,
    /// The subscriptions: protocol, endpoint, and whether it is confirmed.
    pub subscriptions: Vec<(String, String, bool)>,
}

impl Topic {
    /// Creates a topic with one confirmed subscription, to which every service of the account may
    /// publish.
    #[must_use]
    pub fn new(arn: &str) -> Topic {
        // The policy of a new topic (DOC: SNS developer guide, "Example cases").
        let policy = json!({ "Version": "2008-10-17", "Id": "__default_policy_ID", "Statement": [{
            "Sid": "__default_statement_ID", "Effect": "Allow", "Principal": { "AWS": "*" },
            "Action": ["SNS:Publish"], "Resource": arn,
            "Condition": { "StringEquals": { "AWS:SourceOwner": ACCOUNT } },
        }]});
        Topic {
            arn: arn.to_owned(),
            policy,
            kms_key: None,
            subscriptions: vec![("email".to_owned(), "oncall@example.com".to_owned(), true)],
        }
    }
}

/// A rule that has the function as its target.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Whether it is enabled.
    pub is_enabled: bool,
    /// Its schedule, or none.
    pub schedule: Option<String>,
    /// Its pattern, or none.
    pub pattern: Option<Value>,
}

impl Rule {
    /// Returns its ARN.
    #[must_use]
    pub fn arn(&self) -> String {
        format!("arn:aws:events:{REGION}:{ACCOUNT}:rule/{}", self.name)
    }
}

impl Default for AccountState {
    fn default() -> AccountState {
        let trail = Trail {
            name: "management".to_owned(),
            is_logging: true,
            is_multi_region: true,
            home_region: REGION.to_owned(),
            delivery_error: None,
        };
        AccountState {
            role_trusts_operator: false,
            tags_take_put_on_keys: false,
            organization_denies: false,
            trails: vec![trail],
            recorded: Vec::new(),
            alarms: Vec::new(),
            topics: Vec::new(),
            rules: Vec::new(),
            function_policy: Vec::new(),
            reserved_concurrency: None,
            function: Vec::new(),
        }
    }
}

impl AccountState {
    /// Lets a service invoke the function for this source, as `AWS::Lambda::Permission` does.
    pub fn permit(&mut self, sid: &str, principal: &str, source_arn: &str, account: Option<&str>) {
        let mut condition = json!({ "ArnLike": { "AWS:SourceArn": source_arn } });
        if let Some(account) = account {
            condition["StringEquals"] = json!({ "AWS:SourceAccount": account });
        }
        self.function_policy.push(json!({
            "Sid": sid, "Effect": "Allow", "Principal": { "Service": principal },
            "Action": "lambda:InvokeFunction", "Resource": FUNCTION_ARN, "Condition": condition,
        }));
    }
}
