//! The dependencies of the function, which those of `rotationctl` must not join.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use regex::Regex;

/// Crates that only `rotationctl` needs.
const ONLY_CLI: [&str; 6] = [
    "aws-sdk-sso",
    "clap",
    "clap_complete",
    "clap_mangen",
    "roxmltree",
    "rustix",
];

/// The function is built without the feature `cli`, and so without its crates.
#[test]
fn function_has_no_crates_of_rotationctl() {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--package", env!("CARGO_PKG_NAME"), "--edges"]);
    tree.args(["normal", "--prefix", "none", "--format", "{p}", "--locked"]);
    tree.current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = tree.output().expect("cargo runs");
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}");
    let lines = String::from_utf8(output.stdout).expect("cargo prints text");
    let names = lines.lines().filter_map(|line| line.split(' ').next());
    let names: BTreeSet<_> = names.collect();
    let locked = include_str!("../../Cargo.lock");
    for name in ONLY_CLI {
        assert!(!names.contains(name), "{name}");
        let is_locked = locked.contains(&format!("name = \"{name}\"\n"));
        assert!(is_locked, "{name} is not a dependency");
    }
    assert!(names.contains("aws-sdk-apigateway"), "{names:?}");
}

/// No source depends on the feature `cli`, so Clippy with the feature sees all that it sees without.
#[test]
fn sources_depend_on_no_feature() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let condition =
        Regex::new(r"cfg(_attr)?!? *\([^\]]*(?-u:\b)feature *=").expect("it is a pattern");
    let mut folders = vec![root.join("src"), root.join("tests")];
    let mut searched = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).expect("the file can be read");
                assert!(!condition.is_match(&text), "{}", path.display());
                searched += 1;
            }
        }
    }
    assert!(searched > 100, "only {searched} files");
}
