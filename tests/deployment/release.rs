//! What a release has beside the programs: licences.

use std::collections::BTreeSet;

use crate::support::markdown::repository;
use crate::support::programs::stdout_of;
use crate::support::tool;
use tempfile::TempDir;
use tokio::process::Command;

/// The file of licences has each crate of both programs with its text, and none that only rotationctl
/// has under the function.
#[tokio::test]
async fn licenses_name_each_crate_with_text() {
    let folder = TempDir::new().expect("a temporary directory can be created");
    let path = folder.path().join("licenses.txt");
    let mut script = Command::new(tool("python"));
    script
        .arg(repository().join("tests/tools/licenses.py"))
        .arg(std::env::consts::ARCH.replace("aarch64", "arm64"))
        .arg(&path);
    stdout_of(script, "licenses.py").await;
    let text = std::fs::read_to_string(&path).expect("the file exists");
    let (list, texts) = text.split_once("\n====").expect("a rule follows the list");
    let names = |feature: &str| {
        let lines = list
            .lines()
            .filter(|line| line.contains(feature) && line.contains(": "));
        let names = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, _)| name);
        names.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let (function, program) = (
        names("(api-key-rotation, rotationctl)"),
        names("rotationctl)"),
    );
    assert!(
        function.iter().any(|name| name.starts_with("rustls ")),
        "{function:?}"
    );
    assert!(
        !function.iter().any(|name| name.starts_with("clap ")),
        "{function:?}"
    );
    assert!(
        program.iter().any(|name| name.starts_with("clap ")),
        "{program:?}"
    );
    for name in &program {
        assert!(texts.contains(name), "{name} has no text");
    }
    for words in [
        "Permission is hereby granted",
        "Apache License",
        "Rust's standard library",
        "Mozilla",
    ] {
        assert!(texts.contains(words), "{words}");
    }
}
