//! Instructions, as callgrind counts them. Unlike time, they are the same in every run, and nearly so on every machine.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::env::{BenchEnv, Variant};
use crate::process::Process;
use crate::runtime::Runtime;

/// Checks that callgrind is installed.
pub(crate) fn check_tool() -> anyhow::Result<()> {
    let version = Command::new("valgrind").arg("--version").output();
    ensure!(
        version.is_ok_and(|output| output.status.success()),
        "valgrind, which counts the instructions, is missing; on Debian or Ubuntu: sudo apt-get install valgrind"
    );
    Ok(())
}

/// Counts from the start of the process until it waits for its first event.
pub(crate) async fn to_first_request(binary: &Path) -> anyhow::Result<u32> {
    let env = BenchEnv::start(Variant::Ordinary).await?;
    let runtime = Runtime::start()?;
    let process = spawn(&env, binary, &runtime.address())?;
    let _request = runtime.first_request()?;
    total(process)
}

/// Counts from the start of the process until it has answered `createSecret` and waits for its second event.
///
/// This includes the request for that event: no signal comes just before it.
pub(crate) async fn to_first_reply(function: &Path) -> anyhow::Result<u32> {
    let env = BenchEnv::rotated(function, Variant::Ordinary).await?;
    let process = spawn(&env, function, &env.sandbox.runtime_api())?;
    env.create_secret().await?;
    total(process)
}

fn spawn(env: &BenchEnv, binary: &Path, runtime_api: &str) -> anyhow::Result<Process> {
    let mut command = env.command("valgrind", runtime_api);
    command
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(binary)
        .stderr(Stdio::piped());
    Process::spawn(&mut command)
}

/// Ends the process as soon as it waits. Callgrind then prints its count.
fn total(process: Process) -> anyhow::Result<u32> {
    process.wait_until_idle()?;
    let report = process.terminate()?;
    let number = report.lines().find_map(|line| {
        let (_, number) = line.split_once(" Collected : ")?;
        number.trim().parse().ok()
    });
    number.with_context(|| format!("callgrind did not count:\n{report}"))
}
