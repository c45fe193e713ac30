//! What a release has beside the programs: licences, and what `make publish` uploads.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::markdown::repository;
use crate::support::programs::{output_of, stdout_of};
use crate::support::tool;
use tempfile::TempDir;
use template::Template;
use tokio::process::Command;

/// Types of which no source says that the Serverless Application Repository accepts them.
const UNCERTAIN: [&str; 3] = [
    "AWS::Logs::QueryDefinition",
    "AWS::SecretsManager::RotationSchedule",
    "AWS::SecretsManager::Secret",
];
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What `make package` writes, with a zip that is not one.
struct Package(TempDir);

impl Package {
    async fn new() -> Self {
        let folder = TempDir::new().expect("a temporary directory can be created");
        let mut make = Command::new("bash");
        make.args(["-euc", "cp template.yaml \"$0/$1.yaml\"; echo code >\"$0/$1-x86_64.zip\"; cd \"$0\"; sha256sum *.* >SHA256SUMS"])
            .arg(folder.path())
            .arg(format!("api-key-rotation-{VERSION}"))
            .current_dir(repository());
        stdout_of(make, "bash").await;
        // A SAM CLI that notes how it is called, and keeps the template.
        let sam = folder.path().join("bin/sam");
        let words = "#!/bin/sh\necho \"$@\" >>\"$NOTES/calls\"\ncp template.yaml LICENSE README.md ./*.zip \"$NOTES\"\n";
        std::fs::create_dir(folder.path().join("bin")).expect("a directory can be created");
        std::fs::create_dir(folder.path().join("notes")).expect("a directory can be created");
        std::fs::write(&sam, words).expect("the file can be written");
        let mut executable = Command::new("chmod");
        executable.arg("+x").arg(sam);
        stdout_of(executable, "chmod").await;
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Returns `make publish` with these variables.
    fn publish(&self, variables: &[(&str, &str)]) -> Command {
        let path = std::env::var("PATH").expect("PATH is set");
        let mut publish = Command::new(tool("python"));
        publish
            .arg(repository().join("tests/tools/publish.py"))
            .arg(self.0.path())
            .arg("x86_64")
            .env("PATH", format!("{}:{path}", self.file("bin").display()))
            .env("NOTES", self.file("notes"))
            .envs(variables.iter().copied())
            .stdin(Stdio::null());
        publish
    }

    fn calls(&self) -> Vec<String> {
        let calls = std::fs::read_to_string(self.file("notes/calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }
}

/// Without `PUBLISH=yes`, `make publish` shows each file with its checksum, and calls nothing.
#[tokio::test]
async fn publish_without_yes_only_lists() {
    let package = Package::new().await;
    let listed = stdout_of(package.publish(&[("BUCKET", "b")]), "publish.py").await;
    for part in [
        format!("version {VERSION}, Apache-2.0"),
        format!("api-key-rotation-{VERSION}-x86_64.zip: 5 bytes"),
        "README.md: ".to_owned(),
        "CAPABILITY_NAMED_IAM, CAPABILITY_RESOURCE_POLICY".to_owned(),
        "Nothing was uploaded".to_owned(),
    ]
    .into_iter()
    .chain(UNCERTAIN.map(str::to_owned))
    {
        assert!(listed.contains(&part), "{part} is not in {listed}");
    }
    assert_eq!(package.calls(), [""; 0]);
}

/// With `PUBLISH=yes`, SAM gets the zip, the licence and the README, and a template for one processor.
#[tokio::test]
async fn publish_with_yes_uploads_one_processor() {
    let package = Package::new().await;
    let address = "https://git.example.com/team/api-key-rotation";
    let variables = [
        ("PUBLISH", "yes"),
        ("BUCKET", "shelf"),
        ("REPOSITORY", address),
    ];
    stdout_of(package.publish(&variables), "publish.py").await;
    let calls = package.calls();
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert!(calls[0].starts_with("package ") && calls[0].contains("--s3-bucket shelf"));
    assert!(calls[1].starts_with("publish "), "{calls:?}");

    let uploaded = Template::read(&package.file("notes/template.yaml")).expect("it is a template");
    let zip = format!("api-key-rotation-{VERSION}-x86_64.zip");
    let function = &uploaded.section("Resources")["RotationFunction"]["Properties"];
    assert_eq!(function["CodeUri"], zip.as_str());
    let processors = &uploaded.section("Parameters")["Architecture"]["AllowedValues"];
    assert_eq!(processors, &serde_json::json!(["x86_64"]));
    let application = &uploaded.section("Metadata")["AWS::ServerlessRepo::Application"];
    for (field, file) in [("LicenseUrl", "LICENSE"), ("ReadmeUrl", "README.md")] {
        assert_eq!(application[field], file);
        assert!(package.file("notes").join(file).exists(), "{file}");
    }
    assert_eq!(application["SourceCodeUrl"], address);
    assert!(package.file("notes").join(zip).exists());
}

/// A zip that is not the one of the checksums is not published, nor anything without a bucket.
#[tokio::test]
async fn publish_refuses_changed_zip_and_no_bucket() {
    let package = Package::new().await;
    let refused = async |variables: &[(&str, &str)], reason: &str| {
        let output = output_of(package.publish(variables), "publish.py").await;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && error.contains(reason),
            "{error}"
        );
    };
    refused(&[("PUBLISH", "yes")], "BUCKET is empty").await;
    let zip = package.file(&format!("api-key-rotation-{VERSION}-x86_64.zip"));
    std::fs::write(zip, "other code").expect("the file can be written");
    refused(
        &[("PUBLISH", "yes"), ("BUCKET", "b")],
        "is not the file of SHA256SUMS",
    )
    .await;
    assert_eq!(package.calls(), [""; 0]);
}

/// The application has the version of the source, and no type that the page does not name.
#[test]
fn application_has_version_and_known_types() {
    let template = Template::read(&repository().join("template.yaml")).expect("it is a template");
    let application = &template.section("Metadata")["AWS::ServerlessRepo::Application"];
    assert_eq!(application["SemanticVersion"], VERSION);
    let output = &template.section("Outputs")["Version"]["Value"];
    assert_eq!(output, format!("v{VERSION}").as_str());
    let tool = std::fs::read_to_string(repository().join("tests/tools/publish.py"));
    let tool = tool.expect("the file can be read");
    let resources = template.section("Resources").values();
    let types: BTreeSet<_> = resources.filter_map(|one| one["Type"].as_str()).collect();
    let unknown: BTreeSet<_> = types
        .into_iter()
        .filter(|name| !tool.contains(&format!("\"{name}\"")))
        .collect();
    assert_eq!(unknown, UNCERTAIN.into());
    let page = std::fs::read_to_string(repository().join("docs/releases.md"));
    let page = page.expect("the page exists");
    for name in UNCERTAIN {
        assert!(page.contains(name), "{name}");
    }
}

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
    let text = std::fs::read_to_string(Path::new(&path)).expect("the file exists");
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
