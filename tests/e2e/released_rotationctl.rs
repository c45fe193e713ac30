//! `rotationctl` as a release has it, in an image with nothing but the C library. `make e2e` runs
//! this.
//!
//! The image has this machine's C library: `tests/tools/glibc` checks that an older one is enough.
//! Without a Docker engine, the program runs on this machine.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::docker::{answers, host_address, printed};
use crate::served::Sandbox;
use crate::support::markdown::repository;
use crate::support::programs::{output_of, stdout_of, successful};
use crate::support::tools;
use serde_json::Value;
use tokio::process::Command;

const NAME: &str = "rotationctl-start";

/// The program starts where nothing else is installed, and reaches the function.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn released_rotationctl_starts_and_shows_status() {
    let function = std::env::var_os("FUNCTION").expect("make e2e names the function");
    let function = Path::new(&function);
    let program = program_beside(function);
    let image = image(&program).await;
    let address = match &image {
        Some(_) => host_address().await,
        None => "127.0.0.2".to_owned(),
    };
    let sandbox = Sandbox::start(&address, Some(function)).await;
    let run = async |arguments: &[&str]| {
        let settings = [
            format!("AWS_ENDPOINT_URL={}", sandbox.url),
            format!("AWS_REGION={}", sandbox::REGION),
            "AWS_ACCESS_KEY_ID=sandbox".to_owned(),
            "AWS_SECRET_ACCESS_KEY=sandbox".to_owned(),
            format!("ROTATION_FUNCTION={}", sandbox::FUNCTION_NAME),
        ];
        let mut command = match &image {
            Some(image) => in_container(&image.0, &program, &settings),
            None => on_machine(&program, &settings),
        };
        command.args(arguments).stdin(Stdio::null());
        output_of(command, "rotationctl").await
    };

    let version = successful(run(&["--version"]).await, "rotationctl");
    assert_eq!(
        version.trim(),
        concat!("rotationctl ", env!("CARGO_PKG_VERSION"))
    );
    let help = successful(run(&["--help"]).await, "rotationctl");
    assert!(help.contains("rollback"), "{help}");
    let status = successful(run(&["status", "--json"]).await, "rotationctl");
    let status: Value = serde_json::from_str(&status).expect("the status is JSON");
    let text = status.to_string();
    assert!(text.contains("partner-api-key"), "{text}");
    let unknown = run(&["status", "--function", "another"]).await;
    assert_eq!(unknown.status.code(), Some(1), "{unknown:?}");
}

/// Returns the program that `make buildcli` built, beside the function.
fn program_beside(function: &Path) -> PathBuf {
    let folder = function.parent().and_then(Path::parent);
    let folder = folder.expect("the function is in a folder of its own");
    let program = folder.join("rotationctl/bootstrap");
    assert!(
        program.exists(),
        "{} is missing; run make buildcli",
        program.display()
    );
    program
}

/// An image, which is removed when it is dropped.
struct Image(String);

impl Drop for Image {
    fn drop(&mut self) {
        let removed = std::process::Command::new("docker")
            .args(["rmi", &self.0])
            .output();
        assert!(
            std::thread::panicking() || removed.is_ok_and(|removed| removed.status.success()),
            "{} cannot be removed",
            self.0
        );
    }
}

/// Returns an image with the libraries of the program, or `None` without a Docker engine.
async fn image(program: &Path) -> Option<Image> {
    if let Err(reason) = answers().await {
        eprintln!("on this machine, as no Docker engine answers: {reason}");
        return None;
    }
    let name = format!("{NAME}-{}", std::process::id());
    let mut script = Command::new(repository().join("tests/tools/lambda-image"));
    script.arg(&name).arg(program).env("TOOLS", tools());
    stdout_of(script, "lambda-image").await;
    let listed = printed(&["images", "--format", "{{.Repository}}:{{.Tag}}", &name]).await;
    Some(Image(listed))
}

fn in_container(image: &str, program: &Path, settings: &[String]) -> Command {
    let mut docker = Command::new("docker");
    docker.args(["run", "--rm", "--volume"]);
    docker.arg(format!("{}:/rotationctl:ro", program.display()));
    for setting in settings {
        docker.args(["--env", setting]);
    }
    docker.args([image, "/rotationctl"]);
    docker
}

fn on_machine(program: &Path, settings: &[String]) -> Command {
    let mut command = Command::new(program);
    let settings = settings
        .iter()
        .filter_map(|setting| setting.split_once('='));
    command.env_clear().envs(settings);
    command
}
