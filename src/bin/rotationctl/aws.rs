//! The AWS clients, with the operator's credentials as the AWS CLI takes them.

use std::time::Duration;

use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use crate::arguments::Options;
use crate::connector;
use crate::failure::Failure;
use crate::reply_date::ReplyDate;
use crate::services::Services;

/// The timeout of one attempt of a call.
const ATTEMPT: Duration = Duration::from_secs(30);

/// The clients of the services.
#[derive(Debug)]
pub(crate) struct Clients {
    /// Lambda and the other services without an SDK here.
    pub(crate) services: Services,
    /// Secrets Manager.
    pub(crate) secrets_manager: aws_sdk_secretsmanager::Client,
    /// API Gateway.
    pub(crate) api_gateway: aws_sdk_apigateway::Client,
    /// The time of AWS, by the last reply of Secrets Manager.
    pub(crate) date: ReplyDate,
}

impl Clients {
    /// Creates the clients from the options, the environment and the AWS configuration.
    ///
    /// # Errors
    /// Returns an error if there is no Region, or if the HTTP client cannot be created.
    pub(crate) async fn new(options: &Options) -> Result<Self, Failure> {
        let http = connector::client()?;
        let sdk = config(options, connector::sdk_client(http.clone())).await?;
        let date = ReplyDate::default();
        let secrets_manager = aws_sdk_secretsmanager::config::Builder::from(&sdk);
        let secrets_manager = secrets_manager.interceptor(date.clone()).build();
        Ok(Self {
            secrets_manager: aws_sdk_secretsmanager::Client::from_conf(secrets_manager),
            api_gateway: aws_sdk_apigateway::Client::new(&sdk),
            services: Services::new(http, sdk),
            date,
        })
    }
}

async fn config(options: &Options, http: SharedHttpClient) -> Result<SdkConfig, Failure> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http.clone())
        // CloudTrail shows it in `userAgent`.
        .app_name(AppName::new(env!("CARGO_BIN_NAME")).expect("a program's name is valid"))
        .retry_config(RetryConfig::standard().with_max_attempts(5))
        .timeout_config(
            TimeoutConfig::builder()
                .operation_attempt_timeout(ATTEMPT)
                .build(),
        )
        // Replies are read completely.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = &options.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &options.profile {
        loader = loader.profile_name(profile);
    }
    let mut sdk = loader.load().await;
    if sdk.region().is_none() {
        return Err(Failure::not_started(
            "no Region is set",
            "add --region, or set AWS_REGION or the profile's region",
        ));
    }
    // As in the AWS CLI, a profile that is named precedes the credentials in the environment.
    if let Some(profile) = &options.profile {
        let provider = ProviderConfig::without_region()
            .with_region(sdk.region().cloned())
            .with_http_client(http);
        let credentials = ProfileFileCredentialsProvider::builder()
            .configure(&provider)
            .profile_name(profile)
            .build();
        let credentials = SharedCredentialsProvider::new(credentials);
        sdk = sdk.into_builder().credentials_provider(credentials).build();
    }
    Ok(sdk)
}
