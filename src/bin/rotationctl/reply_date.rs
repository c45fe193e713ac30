//! The time of AWS, as its replies show it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::date_time::{DateTime, Format};

/// Reads the `Date` of a reply, by which the SDK corrects its own time without a word.
#[derive(Debug, Clone, Default)]
pub(crate) struct ReplyDate(Arc<Mutex<Option<i64>>>);

impl ReplyDate {
    /// Returns the time of this machine minus that of AWS, in seconds.
    pub(crate) fn skew(&self) -> Option<i64> {
        self.0.lock().ok().and_then(|skew| *skew)
    }

    /// Returns the time of AWS now, in whole seconds: times of secrets count from the same clock.
    pub(crate) fn now(&self) -> SystemTime {
        let here = DateTime::from(SystemTime::now()).secs();
        let there = here - self.skew().unwrap_or_default();
        UNIX_EPOCH + Duration::from_secs(there.try_into().unwrap_or_default())
    }
}

impl Intercept for ReplyDate {
    fn name(&self) -> &'static str {
        "ReplyDate"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok());
        let here = DateTime::from(SystemTime::now());
        if let (Some(date), Ok(mut skew)) = (date, self.0.lock()) {
            *skew = Some(here.secs() - date.secs());
        }
        Ok(())
    }
}
