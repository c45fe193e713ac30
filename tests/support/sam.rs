//! The function as the SAM CLI builds it.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::sync::OnceCell;

use super::programs::{output_within, successful};
use super::{e2e_tool, tool};

/// The first build compiles everything.
const BUILD_PATIENCE: Duration = Duration::from_mins(20);

/// Returns the directory that `sam build` created, built once for all tests.
pub(crate) async fn built() -> &'static Path {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let build = async || {
        eprintln!("sam build");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sam");
        let cargo_lambda = e2e_tool("build", "cargo-lambda");
        let programs = cargo_lambda
            .parent()
            .expect("the path has a parent")
            .display();
        let path = std::env::var("PATH").expect("PATH is set");
        let mut sam = Command::new(tool("sam"));
        sam.arg("build")
            .arg("--build-dir")
            .arg(&folder)
            .args(["--parameter-overrides", &architecture()])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("PATH", format!("{programs}:{path}"))
            .env("SAM_CLI_TELEMETRY", "0")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        // Build scripts read what cargo tells a test about its package, and would run again.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["CARGO_MANIFEST_", "CARGO_PKG_"]
                .iter()
                .any(|start| name.starts_with(start))
            {
                sam.env_remove(name);
            }
        }
        successful(
            output_within(BUILD_PATIENCE, sam, "sam build").await,
            "sam build",
        );
        folder
    };
    BUILT.get_or_init(build).await
}

/// Returns the parameter for this machine's processor architecture.
pub(crate) fn architecture() -> String {
    let name = std::env::consts::ARCH;
    format!("Architecture={}", name.replace("aarch64", "arm64"))
}
