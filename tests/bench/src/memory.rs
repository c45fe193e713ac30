//! Memory, as Linux sees it.

use std::path::Path;

use anyhow::ensure;

use crate::process::Memory;
use crate::world::{BenchEnv, Variant};

/// That of a new process after it has done a whole rotation.
pub(crate) async fn after_rotation(ours: &Path) -> anyhow::Result<Memory> {
    let world = BenchEnv::rotated(ours, Variant::Ordinary).await?;
    let process = world.run(ours)?;
    world.rotate().await?;
    process.wait_until_idle()?;
    process.memory()
}

/// That of a new process after it has answered an event of no meaning.
pub(crate) async fn after_reply(empty: &Path) -> anyhow::Result<Memory> {
    let world = BenchEnv::start(Variant::Ordinary).await?;
    let process = world.run(empty)?;
    let answer = world.sandbox.invoke("{}").await.result;
    ensure!(answer.is_ok(), "the empty function failed: {answer:?}");
    process.wait_until_idle()?;
    process.memory()
}
