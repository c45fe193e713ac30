//! Memory, as Linux sees it.

use std::path::Path;

use anyhow::ensure;

use crate::env::{BenchEnv, Variant};
use crate::process::Memory;

/// That of a new process after it has done a whole rotation.
pub(crate) async fn after_rotation(ours: &Path) -> anyhow::Result<Memory> {
    let env = BenchEnv::rotated(ours, Variant::Ordinary).await?;
    let process = env.run(ours)?;
    env.rotate().await?;
    process.wait_until_idle()?;
    process.memory()
}

/// That of a new process after it has answered an event of no meaning.
pub(crate) async fn after_reply(empty: &Path) -> anyhow::Result<Memory> {
    let env = BenchEnv::start(Variant::Ordinary).await?;
    let process = env.run(empty)?;
    let answer = env.sandbox.invoke("{}").await.result;
    ensure!(answer.is_ok(), "the empty function failed: {answer:?}");
    process.wait_until_idle()?;
    process.memory()
}
