//! The effect of each memory size of Lambda: a cold start to the first answer, with its share of a processor.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sandbox::tls::Authority;

use crate::env::{BenchEnv, Variant};
use crate::figure::mebibytes;
use crate::process::Process;
use crate::table::table;

/// Lambda's smallest size, its next steps, and the one with a whole processor (DOC, Lambda developer guide,
/// "Configure Lambda function memory").
const SIZES: [u32; 5] = [128, 192, 256, 512, WHOLE];
const WHOLE: u32 = 1769;

/// Cold starts of each size.
const STARTS: usize = 15;

/// The period of a share, in microseconds. (An assumption: Lambda's own is not known.)
const SLICE: u32 = 20_000;

/// One measured cold start.
struct Start {
    /// The time until the first answer.
    took: Duration,
    /// Of a processor.
    used: Duration,
    /// Kibibytes.
    peak: u32,
}

/// Returns the table, or why there is none.
pub(crate) async fn compare(function: &Path) -> anyhow::Result<String> {
    if let Err(reason) = Share::of(WHOLE) {
        return Ok(format!(
            "SKIPPED, the effect of each memory size: it needs root and a cgroup for the processor's time ({reason:#})\n"
        ));
    }
    let mut starts = SIZES.map(|_| Vec::new());
    // In turn, so that the load of the machine affects all of them.
    for _ in 0..STARTS {
        for (size, starts) in SIZES.into_iter().zip(&mut starts) {
            starts.push(cold_start(function, size).await?);
        }
    }
    let medians = starts.map(|starts| {
        let took = median(starts.iter().map(|start| start.took).collect());
        let used = median(starts.iter().map(|start| start.used).collect());
        let peak = starts.iter().map(|start| start.peak).max();
        (took, used, peak.unwrap_or_default())
    });
    let [.., (whole, ..)] = medians;
    let rows = SIZES
        .into_iter()
        .zip(medians)
        .map(|(size, (took, used, peak))| {
            [
                format!("{size} MB"),
                format!("{:.2} x", took.div_duration_f64(whole)),
                format!("{:.0} ms", took.as_secs_f64() * 1e3),
                format!("{:.1} ms", used.as_secs_f64() * 1e3),
                mebibytes(peak),
            ]
        });
    Ok(table(
        [
            "memory size",
            "cold start to the first answer",
            "",
            "of a processor",
            "peak memory",
        ],
        &rows.collect::<Vec<_>>(),
    ))
}

/// Runs `createSecret` over HTTPS in a process that is started for it.
async fn cold_start(function: &Path, size: u32) -> anyhow::Result<Start> {
    let env = BenchEnv::rotated(function, Variant::NoProbe).await?;
    let authority = Authority::new()?;
    let url = authority.proxy(&env.sandbox.aws_url()).await?;
    let share = Share::of(size)?;
    let bundle = std::env::temp_dir().join(format!("{}.pem", share.name()));
    fs::write(&bundle, authority.pem())?;

    // Into the group before the function starts.
    let mut command = env.command("sh", &env.sandbox.runtime_api());
    command
        .args(["-c", "echo $$ >\"$0\" && exec \"$1\""])
        .arg(share.folder.join("cgroup.procs"))
        .arg(function)
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_CA_BUNDLE", &bundle);
    let began = Instant::now();
    let process = Process::spawn(&mut command)?;
    let answered = env.create_secret().await;
    let took = began.elapsed();
    fs::remove_file(bundle)?;
    answered?;
    Ok(Start {
        took,
        used: process.processor_time()?,
        peak: process.memory()?.peak,
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A control group with a share of one processor. It is removed when it is dropped, after its processes.
struct Share {
    folder: PathBuf,
}

impl Share {
    /// Returns the share of a memory size.
    fn of(size: u32) -> anyhow::Result<Share> {
        let groups = Path::new("/sys/fs/cgroup");
        // All controllers in one tree, or each in its own.
        let is_unified = groups.join("cgroup.controllers").exists();
        let parent = if is_unified {
            write(&groups.join("cgroup.subtree_control"), "+cpu")?;
            groups.to_owned()
        } else {
            groups.join("cpu")
        };
        let folder = parent.join(format!("bench-{}-{size}", std::process::id()));
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        let share = Share { folder };
        let quota = SLICE * size / WHOLE;
        if is_unified {
            write(&share.folder.join("cpu.max"), &format!("{quota} {SLICE}"))?;
        } else {
            write(&share.folder.join("cpu.cfs_period_us"), &SLICE.to_string())?;
            write(&share.folder.join("cpu.cfs_quota_us"), &quota.to_string())?;
        }
        Ok(share)
    }

    fn name(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        // A group that is left is empty and harmless.
        fs::remove_dir(&self.folder).ok();
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| file.display().to_string())
}
