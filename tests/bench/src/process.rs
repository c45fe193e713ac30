//! A process of a function, observed through `/proc`.

use std::fs;
use std::io::Read as _;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// The pause between two looks: at least one tick of the clock in `/proc`.
const GLANCE: Duration = Duration::from_millis(20);

/// How often in a row a process must be seen waiting.
const GLANCES: u32 = 5;

/// Under callgrind a start takes a second or two.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running process, killed when dropped.
pub(crate) struct Process(Child);

/// Kibibytes of memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// What is resident now.
    pub(crate) now: u32,
    /// The peak.
    pub(crate) peak: u32,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Process> {
        let child = command.spawn();
        let program = command.get_program().display();
        Ok(Process(
            child.with_context(|| format!("cannot run {program}"))?,
        ))
    }

    /// Waits until the process is idle: everything that it does before the next event is then done and counted.
    pub(crate) fn wait_until_idle(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut idle = 0;
        let mut before = None;
        while idle < GLANCES {
            ensure!(
                started.elapsed() < PATIENCE,
                "the function does not become idle"
            );
            let (asleep, used) = self.activity()?;
            let rests = asleep && before == Some(used.clone());
            idle = if rests { idle + 1 } else { 0 };
            before = Some(used);
            sleep(GLANCE);
        }
        Ok(())
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = self.read("status")?;
        let kibibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line?.trim_start_matches(':').split_whitespace().next()?;
            number.parse().ok()
        };
        Ok(Memory {
            now: kibibytes("VmRSS").context("no VmRSS in /proc")?,
            peak: kibibytes("VmHWM").context("no VmHWM in /proc")?,
        })
    }

    /// Returns the processor time that its threads have used.
    pub(crate) fn processor_time(&self) -> anyhow::Result<Duration> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id()))?;
        let mut used = 0;
        for thread in threads {
            // The first number, in nanoseconds; the clock of `stat` is too coarse.
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let number = text.split_whitespace().next();
            used += number.context("unreadable /proc")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(used))
    }

    /// Ends the process by SIGTERM and returns what it has written to its standard error, which must be a pipe.
    pub(crate) fn terminate(mut self) -> anyhow::Result<String> {
        // By the shell, because the standard library can only kill.
        let kill = format!("kill -TERM {}", self.0.id());
        let status = Command::new("sh").args(["-c", &kill]).status()?;
        ensure!(status.success(), "cannot end the function");
        let Some(mut stderr) = self.0.stderr.take() else {
            bail!("the standard error is not a pipe");
        };
        let mut text = String::new();
        stderr.read_to_string(&mut text)?;
        Ok(text)
    }

    /// Returns whether the process waits, and the processor time that it has used.
    fn activity(&self) -> anyhow::Result<(bool, String)> {
        let stat = self.read("stat")?;
        // proc(5): the name is in parentheses and may contain anything. The state follows as field 3, and the
        // times as fields 14 and 15.
        let (_, fields) = stat.rsplit_once(") ").context("unreadable /proc")?;
        let fields: Vec<&str> = fields.split(' ').collect();
        ensure!(fields.len() > 12, "unreadable /proc");
        Ok((fields[0] == "S", fields[11..=12].join(" ")))
    }

    fn read(&self, name: &str) -> anyhow::Result<String> {
        let text = fs::read_to_string(format!("/proc/{}/{name}", self.0.id()));
        text.context("the function has ended")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}
