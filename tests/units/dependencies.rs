//! The dependencies of the function, which those of `rotationctl` must not join.

use std::collections::BTreeSet;
use std::process::Command;

/// Crates that only `rotationctl` needs.
const ONLY_CLI: [&str; 6] = [
    "aws-sdk-lambda",
    "aws-sdk-sso",
    "clap",
    "clap_complete",
    "clap_mangen",
    "rustix",
];

/// Returns the names of all crates in the function's program, with these options of cargo.
fn crates(options: &[&str]) -> BTreeSet<String> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args([
        "tree",
        "--package",
        env!("CARGO_PKG_NAME"),
        "--edges",
        "normal",
    ]);
    tree.args([
        "--prefix",
        "none",
        "--format",
        "{p}",
        "--offline",
        "--locked",
    ]);
    tree.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = tree.args(options).output().expect("cargo runs");
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}");
    let lines = String::from_utf8(output.stdout).expect("cargo prints text");
    let names = lines.lines().filter_map(|line| line.split(' ').next());
    names.map(ToOwned::to_owned).collect()
}

/// The function is built without the feature `cli`, and so without its crates.
#[test]
fn function_has_no_crates_of_rotationctl() {
    let function = crates(&[]);
    let cli = crates(&["--features", "cli"]);
    for name in ONLY_CLI {
        assert!(!function.contains(name), "{name}");
        assert!(cli.contains(name), "{name} is not of rotationctl");
    }
    assert!(function.len() > 100, "only {} crates", function.len());
}
