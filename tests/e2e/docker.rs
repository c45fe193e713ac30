//! The Docker engine, if there is one.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::process::Output;

use crate::support::programs::{PATIENCE, successful};
use tokio::process::Command;
use tokio::time::timeout;

/// Returns why no engine responds, as an error.
pub(crate) async fn answers() -> Result<(), String> {
    let answer = docker(&["version", "--format", "{{.Server.Version}}"]).await;
    match answer {
        Ok(answer) if answer.status.success() => Ok(()),
        Ok(answer) => Err(String::from_utf8_lossy(&answer.stderr).trim().to_owned()),
        Err(error) => Err(format!("docker: {error}")),
    }
}

/// Returns the containers of an image.
pub(crate) async fn containers(image: &str) -> BTreeSet<String> {
    let filter = format!("ancestor={image}");
    let containers = printed(&["ps", "--all", "--quiet", "--filter", &filter]).await;
    containers.lines().map(str::to_owned).collect()
}

/// Returns this machine's address in the network of the containers.
pub(crate) async fn host_address() -> String {
    // Docker names the gateway only after the first container. It is the first address.
    let network = "{{with index .IPAM.Config 0}}{{or .Gateway .Subnet}}{{end}}";
    let network = printed(&["network", "inspect", "bridge", "--format", network]).await;
    match network.split_once('/') {
        None => network,
        Some((first, _)) => {
            let first: Ipv4Addr = first.parse().expect("the text is an address");
            Ipv4Addr::from_bits(first.to_bits() + 1).to_string()
        }
    }
}

/// Runs `docker`.
pub(crate) async fn docker(arguments: &[&str]) -> std::io::Result<Output> {
    let mut docker = Command::new("docker");
    docker.args(arguments).kill_on_drop(true);
    // An engine that hangs counts as not responding.
    timeout(PATIENCE, docker.output()).await?
}

/// Returns the output of `docker`.
pub(crate) async fn printed(arguments: &[&str]) -> String {
    let output = docker(arguments).await.expect("docker can be run");
    successful(output, "docker").trim().to_owned()
}
