//! The smallest Lambda function in Rust: accepts any event and answers `null`.

use lambda_runtime::{Error, LambdaEvent, Runtime, service_fn};
use serde::de::IgnoredAny;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let handler = service_fn(async |_: LambdaEvent<IgnoredAny>| Ok::<(), Error>(()));
    Runtime::new(handler).run().await
}
