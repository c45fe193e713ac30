//! Asynchronous invocations: nobody waits for them, and one that fails is tried again.

use bytes::Bytes;
use serde_json::Value;

use super::runtime::response_value;
use super::{FunctionError, Lambda};

/// How often an event is handed over at most: once, and twice more after errors \[DOC\]. Lambda
/// pauses for one and two minutes before that; here there is nothing to wait for.
const MOST_ATTEMPTS: u32 = 3;

/// An asynchronous invocation that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The event.
    pub payload: Value,
    /// How often the function was given it, from 1 to 3.
    pub attempts: u32,
    /// What the function answered the last time.
    pub result: Result<Value, FunctionError>,
}

impl Lambda {
    /// Has the function take the event when its turn comes, and returns at once.
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
        let mut result = self.invoke_aloud(payload.clone(), attempts).await.result;
        while result.is_err() && attempts < MOST_ATTEMPTS {
            attempts += 1;
            result = self.invoke_aloud(payload.clone(), attempts).await.result;
        }
        Delivery {
            payload: response_value(&payload),
            attempts,
            result,
        }
    }

    /// Waits until no asynchronous invocation is to come or under way.
    pub(crate) async fn deliveries_done(&self) {
        let mut deliveries = self.shared.deliveries.subscribe();
        deliveries
            .wait_for(|all| all.iter().all(Option::is_some))
            .await
            .expect("its sender is in self");
    }

    /// The asynchronous invocations that are over, in the order in which they were asked for.
    pub(crate) fn deliveries(&self) -> Vec<Delivery> {
        let deliveries = self.shared.deliveries.borrow();
        deliveries.iter().flatten().cloned().collect()
    }
}
