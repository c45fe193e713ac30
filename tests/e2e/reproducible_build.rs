//! The release artefact, built twice. `make e2e` runs this.

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::support::programs::{output_within, stdout_of, successful};
use crate::support::{tool, tools};
use tempfile::TempDir;
use tokio::process::Command;

/// Each build can compile everything, and .ci/run gives it the lowest priority.
const BUILD_PATIENCE: Duration = Duration::from_hours(1);

/// The same source gives the same zip wherever, whenever and by any user it is built.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn same_source_gives_same_zip_anywhere() {
    const LIST: &str = "
import sys, zipfile
for entry in zipfile.ZipFile(sys.argv[1]).infolist():
    print(entry.filename, oct(entry.external_attr >> 16), *entry.date_time)
";
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let elsewhere = TempDir::new().expect("a temporary directory can be created");
    let there = elsewhere.path().join("another/place");
    copy_source(here, &there).await;
    // The first build is that of `make build`, but other tests may run the copy in target/lambda.
    let copied = elsewhere.path().join("lambda");
    let packaged = package(here, &[("LAMBDA", &copied)], "umask 022").await;

    eprintln!("make package, once more and from nothing");
    let home = elsewhere.path().join("home");
    std::fs::create_dir_all(there.join("target")).expect("a directory can be created");
    std::fs::create_dir(&home).expect("a directory can be created");
    symlink(tools(), there.join("target/tools")).expect("a link can be created");
    let registry = elsewhere.path().join("registry");
    symlink(home_of("CARGO_HOME", ".cargo"), &registry).expect("a link can be created");
    let other = [
        ("HOME", home.as_path()),
        ("CARGO_HOME", &registry),
        ("RUSTUP_HOME", &home_of("RUSTUP_HOME", ".rustup")),
        ("USER", Path::new("builder")),
        ("TZ", Path::new("Asia/Kolkata")),
        ("LC_ALL", Path::new("C")),
        ("SOURCE_DATE_EPOCH", Path::new("1")),
    ];
    let again = package(&there, &other, "umask 077").await;

    let sums = |folder: &Path| std::fs::read_to_string(folder.join("SHA256SUMS"));
    let [first, second] = [&packaged, &again].map(|folder| sums(folder).expect("the file exists"));
    assert_eq!(first, second, "the second zip is another");
    let zip = first
        .split_whitespace()
        .nth(1)
        .expect("the sums name the zip");
    let mut python = Command::new(tool("python"));
    python.args(["-c", LIST]).arg(again.join(zip));
    let listed = stdout_of(python, "python").await;
    assert_eq!(listed, "bootstrap 0o100755 1980 1 1 0 0 0\n");
    let mut check = Command::new("sha256sum");
    check
        .args(["--check", "--strict", "SHA256SUMS"])
        .current_dir(&again);
    stdout_of(check, "sha256sum").await;
}

/// Copies the source, committed or not, without build results.
async fn copy_source(from: &Path, to: &Path) {
    const COPY: &str = "git ls-files -z --cached --others --exclude-standard \
                        | tar --create --null --files-from - | tar --extract --directory \"$0\"";
    std::fs::create_dir_all(to).expect("a directory can be created");
    let mut copy = Command::new("bash");
    copy.args(["-o", "pipefail", "-c", COPY])
        .arg(to)
        .current_dir(from);
    stdout_of(copy, "the copy of the source").await;
    // Modes that git does not keep.
    std::fs::set_permissions(to, Permissions::from_mode(0o700)).expect("the mode can be set");
}

/// Runs `make package` for this machine's processor with a clean environment except for
/// `environment`. Returns the directory with the zip.
///
/// Only the function: `rotationctl` takes the same time again, and the release workflow builds both
/// on two machines.
async fn package(source: &Path, environment: &[(&str, &Path)], umask: &str) -> PathBuf {
    let mut bash = Command::new("bash");
    bash.args([
        "-c",
        &format!("{umask}; exec make package PROGRAMS=api-key-rotation ARCH=$(uname -m | sed s/aarch64/arm64/)"),
    ])
    .current_dir(source)
    .env_clear()
    .env("PATH", std::env::var_os("PATH").unwrap_or_default())
    .env("HOME", home_of("HOME", ""))
    .envs(environment.iter().copied())
    .stdin(Stdio::null())
    .kill_on_drop(true);
    for name in ["CARGO_HOME", "RUSTUP_HOME"] {
        let is_given = environment.iter().any(|(given, _)| *given == name);
        if let (Some(value), false) = (std::env::var_os(name), is_given) {
            bash.env(name, value);
        }
    }
    successful(
        output_within(BUILD_PATIENCE, bash, "make package").await,
        "make package",
    );
    source.join("target/package")
}

/// Returns the directory in which a tool keeps its files.
fn home_of(variable: &str, folder: &str) -> PathBuf {
    std::env::var_os(variable).map_or_else(
        || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(folder),
        PathBuf::from,
    )
}
