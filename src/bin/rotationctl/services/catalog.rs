//! The services: their names, protocols and endpoints.
//!
//! Source of the names, versions and targets: the service models of botocore 1.43.

use aws_config::SdkConfig;
use aws_types::service_config::ServiceConfigKey;
use reqwest::Method;

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// AWS `CloudFormation`.
    CloudFormation,
    /// AWS `CloudTrail`.
    CloudTrail,
    /// Amazon `CloudWatch`, without its logs.
    CloudWatch,
    /// Amazon `CloudWatch` Logs.
    CloudWatchLogs,
    /// Amazon `EventBridge`.
    EventBridge,
    /// AWS Identity and Access Management, which has one endpoint for all Regions.
    Iam,
    /// AWS Lambda.
    Lambda,
    /// Amazon Simple Notification Service.
    Sns,
    /// AWS Security Token Service.
    Sts,
}

/// How a service takes an operation and its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// JSON, with the operation in the header `X-Amz-Target` after this prefix.
    Json(&'static str),
    /// A form with the operation and this version; the reply is XML.
    Query(&'static str),
    /// JSON, with the operation in the method and the path.
    Rest,
}

/// The names of a service.
pub(super) struct Names {
    /// In a signature, and in the names of hosts.
    pub(super) signing: &'static str,
    /// In an action of IAM.
    pub(super) action: &'static str,
    /// In the AWS configuration: `endpoint_url` below this name, or a variable with it.
    id: &'static str,
    /// How it takes an operation.
    pub(super) protocol: Protocol,
}

impl Service {
    /// Returns the names of the service.
    pub(super) fn names(self) -> Names {
        let (signing, action, id, protocol) = match self {
            Self::CloudFormation => (
                "cloudformation",
                "cloudformation",
                "CloudFormation",
                Protocol::Query("2010-05-15"),
            ),
            Self::CloudTrail => (
                "cloudtrail",
                "cloudtrail",
                "CloudTrail",
                Protocol::Json("com.amazonaws.cloudtrail.v20131101.CloudTrail_20131101"),
            ),
            Self::CloudWatch => (
                "monitoring",
                "cloudwatch",
                "CloudWatch",
                Protocol::Query("2010-08-01"),
            ),
            Self::CloudWatchLogs => (
                "logs",
                "logs",
                "CloudWatch Logs",
                Protocol::Json("Logs_20140328"),
            ),
            Self::EventBridge => (
                "events",
                "events",
                "EventBridge",
                Protocol::Json("AWSEvents"),
            ),
            Self::Iam => ("iam", "iam", "IAM", Protocol::Query("2010-05-08")),
            Self::Lambda => ("lambda", "lambda", "Lambda", Protocol::Rest),
            Self::Sns => ("sns", "sns", "SNS", Protocol::Query("2010-03-31")),
            Self::Sts => ("sts", "sts", "STS", Protocol::Query("2011-06-15")),
        };
        Names {
            signing,
            action,
            id,
            protocol,
        }
    }

    /// Returns the URL of the service and the Region of its signatures.
    pub(super) fn endpoint(self, sdk: &SdkConfig) -> (String, String) {
        let names = self.names();
        let region = sdk.region().map_or("us-east-1", AsRef::as_ref);
        let partition = Partition::of(region);
        let signed = match self {
            Self::Iam => partition.iam_region,
            _ => region,
        };
        let host = || {
            let fips = if sdk.use_fips() == Some(true) {
                "-fips"
            } else {
                ""
            };
            match (self, partition.iam_host) {
                (Self::Iam, "iam") => format!("iam{fips}.{}", partition.suffix),
                (Self::Iam, host) => format!("{host}.{}", partition.suffix),
                _ if sdk.use_dual_stack() == Some(true) => {
                    format!("{}{fips}.{region}.{}", names.signing, partition.dual_stack)
                }
                _ => format!("{}{fips}.{region}.{}", names.signing, partition.suffix),
            }
        };
        let url = configured(sdk, names.id).unwrap_or_else(|| format!("https://{}", host()));
        (url.trim_end_matches('/').to_owned(), signed.to_owned())
    }
}

/// Returns the endpoint of the configuration: the service's own, or that of all services.
fn configured(sdk: &SdkConfig, id: &'static str) -> Option<String> {
    let key = ServiceConfigKey::builder()
        .service_id(id)
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build()
        .ok()?;
    let own = sdk
        .service_config()
        .and_then(|found| found.load_config(key));
    own.or_else(|| sdk.endpoint_url().map(ToOwned::to_owned))
}

/// The domains of a partition. Others than these three need `AWS_ENDPOINT_URL`.
struct Partition {
    suffix: &'static str,
    dual_stack: &'static str,
    iam_host: &'static str,
    iam_region: &'static str,
}

impl Partition {
    fn of(region: &str) -> Self {
        let (suffix, dual_stack, iam_host, iam_region) = if region.starts_with("cn-") {
            (
                "amazonaws.com.cn",
                "api.amazonwebservices.com.cn",
                "iam.cn-north-1",
                "cn-north-1",
            )
        } else if region.starts_with("us-gov-") {
            ("amazonaws.com", "api.aws", "iam.us-gov", "us-gov-west-1")
        } else {
            ("amazonaws.com", "api.aws", "iam", "us-east-1")
        };
        Self {
            suffix,
            dual_stack,
            iam_host,
            iam_region,
        }
    }
}

/// Returns the method and the path of an operation of Lambda. `{}` stands for the function or the
/// resource.
pub(super) fn rest(operation: &str) -> (Method, &'static str) {
    match operation {
        "InvokeFunction" => (Method::POST, "/2015-03-31/functions/{}/invocations"),
        "GetPolicy" => (Method::GET, "/2015-03-31/functions/{}/policy"),
        "GetFunctionConcurrency" => (Method::GET, "/2019-09-30/functions/{}/concurrency"),
        "ListTags" => (Method::GET, "/2017-03-31/tags/{}"),
        _ => (Method::GET, "/2015-03-31/functions/{}/configuration"),
    }
}
