//! Memory, as Linux reports it.

use std::path::Path;

use anyhow::ensure;

use crate::env::{BenchEnv, Variant};
use crate::process::Memory;

/// Returns the memory of a new process after a whole rotation.
pub(crate) async fn after_rotation(function: &Path) -> anyhow::Result<Memory> {
    let env = BenchEnv::rotated(function, Variant::Ordinary).await?;
    let process = env.run(function)?;
    env.rotate().await?;
    process.wait_until_idle()?;
    process.memory()
}

/// Returns the memory of a new process after it has answered an empty event.
pub(crate) async fn after_reply(empty: &Path) -> anyhow::Result<Memory> {
    let env = BenchEnv::start(Variant::Ordinary).await?;
    let process = env.run(empty)?;
    let answer = env.sandbox.invoke("{}").await.result;
    ensure!(answer.is_ok(), "the empty function failed: {answer:?}");
    process.wait_until_idle()?;
    process.memory()
}
