//! What each memory size of Lambda buys: a cold start, to the first answer, with the share of a processor that it comes with.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sandbox::tls::Authority;

use crate::env::{BenchEnv, Variant};
use crate::figure::mebibytes;
use crate::process::Process;
use crate::table::table;

/// Lambda's least, its steps above that, and the one that comes with a whole processor (DOC, Lambda developer guide,
/// "Configure Lambda function memory").
const SIZES: [u32; 5] = [128, 192, 256, 512, WHOLE];
const WHOLE: u32 = 1769;

/// Cold starts of each.
const STARTS: usize = 15;

/// A share is given in slices of so long, in microseconds. (How long they are in Lambda is not known; assumed.)
const SLICE: u32 = 20_000;

/// What was measured of one cold start.
struct Start {
    /// Until the first answer.
    took: Duration,
    /// Of a processor.
    used: Duration,
    /// Kibibytes.
    peak: u32,
}

/// The table, or why there is none.
pub(crate) async fn compare(ours: &Path) -> anyhow::Result<String> {
    if let Err(reason) = Share::of(WHOLE) {
        return Ok(format!(
            "SKIPPED, what each memory size buys: that takes root and a cgroup for the processor's time ({reason:#})\n"
        ));
    }
    let mut starts = SIZES.map(|_| Vec::new());
    // In turn, so that a busy moment of the machine meets all.
    for _ in 0..STARTS {
        for (size, starts) in SIZES.into_iter().zip(&mut starts) {
            starts.push(cold_start(ours, size).await?);
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

/// `createSecret`, over https, by a process that is started for it.
async fn cold_start(ours: &Path, size: u32) -> anyhow::Result<Start> {
    let env = BenchEnv::rotated(ours, Variant::NoProbe).await?;
    let authority = Authority::new()?;
    let url = authority.stand_before(&env.sandbox.aws_url()).await?;
    let share = Share::of(size)?;
    let bundle = std::env::temp_dir().join(format!("{}.pem", share.name()));
    fs::write(&bundle, authority.pem())?;

    // Into the group before the function is there.
    let mut command = env.command("sh", &env.sandbox.runtime_api());
    command
        .args(["-c", "echo $$ >\"$0\" && exec \"$1\""])
        .arg(share.folder.join("cgroup.procs"))
        .arg(ours)
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

/// A control group with a share of one processor. It goes when it is dropped, after its processes.
struct Share {
    folder: PathBuf,
}

impl Share {
    /// That of a memory size.
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
        // One that is left is empty, and harms nobody.
        fs::remove_dir(&self.folder).ok();
    }
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| file.display().to_string())
}
