//! Asynchronous invocations: the caller does not wait, and Lambda retries a failed one.

use bytes::Bytes;
use serde_json::Value;

use super::runtime::response_value;
use super::{FunctionError, Lambda};

/// The maximum number of attempts for an event: one, and two more after errors \[DOC\]. Lambda
/// waits one and two minutes before the retries; the sandbox does not wait.
const MOST_ATTEMPTS: u32 = 3;

/// A finished asynchronous invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The event.
    pub payload: Value,
    /// How often the function received the event, from 1 to 3.
    pub attempts: u32,
    /// The result of the last attempt.
    pub result: Result<Value, FunctionError>,
}

impl Lambda {
    /// Queues the event for the function and returns at once.
    pub(crate) fn invoke_asynchronously(&self, payload: Bytes) {
        let deliveries = &self.shared.deliveries;
        let mut place = 0;
        deliveries.send_modify(|all| {
            place = all.len();
            all.push(None);
        });
        let lambda = self.clone();
        let mut tasks = self.shared.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let delivery = lambda.deliver(payload).await;
            lambda
                .shared
                .deliveries
                .send_modify(|all| all[place] = Some(delivery));
        });
    }

    async fn deliver(&self, payload: Bytes) -> Delivery {
        let mut attempts = 1;
        let mut result = self
            .invoke_and_publish(payload.clone(), attempts)
            .await
            .result;
        while result.is_err() && attempts < MOST_ATTEMPTS {
            attempts += 1;
            result = self
                .invoke_and_publish(payload.clone(), attempts)
                .await
                .result;
        }
        Delivery {
            payload: response_value(&payload),
            attempts,
            result,
        }
    }

    /// Waits until all asynchronous invocations have ended.
    pub(crate) async fn deliveries_done(&self) {
        let mut deliveries = self.shared.deliveries.subscribe();
        deliveries
            .wait_for(|all| all.iter().all(Option::is_some))
            .await
            .expect("self holds the sender");
    }

    /// Returns the finished asynchronous invocations in the order of the requests.
    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        let deliveries = self.shared.deliveries.borrow();
        deliveries.iter().flatten().cloned().collect()
    }
}
