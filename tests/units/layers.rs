//! The layout of `src`: which folder may name which, how pure the decisions are, and how long a file may be.
//!
//! Also that the pages name tests that exist, and that `tests/README.md` names every file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

/// What each part of the crate may name. Each part names only parts above its own line, so there is no cycle.
const LAYERS: [(&str, &[&str]); 12] = [
    ("ids", &[]),
    ("time", &[]),
    ("redact", &["ids"]),
    ("command", &[]),
    ("json", &[]),
    ("logging", &[]),
    ("decision", &["ids", "time", "redact"]),
    ("driver", &["ids", "time", "redact", "decision"]),
    ("secret", &["ids", "json", "decision"]),
    ("config", &["ids", "json", "redact", "time"]),
    (
        "adapters",
        &[
            "ids", "time", "redact", "command", "decision", "driver", "secret", "config",
        ],
    ),
    (
        "handler",
        &[
            "ids", "time", "redact", "command", "decision", "driver", "secret", "config",
            "adapters",
        ],
    ),
];

/// The largest number of lines of a file, so that a reader can take in a file at once.
const LONGEST: usize = 300;

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .collect()
}

/// Returns each file of the crate: its path below `src`, its part, and its text without comments.
fn sources() -> Vec<(String, String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let comment = Regex::new(r"//.*").expect("it is a pattern");
    files(&root)
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("the file can be read");
            let path = path.strip_prefix(&root).expect("it is below the root");
            let path = path.to_str().expect("it is Unicode").to_owned();
            let part = path
                .split(['/', '.'])
                .next()
                .expect("a path has a first part")
                .to_owned();
            (path, part, comment.replace_all(&text, "").into_owned())
        })
        .collect()
}

#[test]
fn each_part_names_only_those_below_it() {
    let names = Regex::new(r"(?-u:\b)crate::\{?([a-z_]+)").expect("it is a pattern");
    let mut found = BTreeSet::new();
    for (path, part, text) in sources() {
        let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == part) else {
            let is_above = ["main", "lib", "bin"].contains(&part.as_str());
            assert!(is_above, "{path}: no layer");
            continue;
        };
        for import in names.captures_iter(&text) {
            let other = &import[1];
            let is_fine = other == part || allowed.contains(&other);
            assert!(is_fine, "{path} names {other}");
        }
        found.insert(part);
    }
    assert_eq!(found.len(), LAYERS.len(), "{found:?}");
}

#[test]
fn decisions_are_pure() {
    let impure = Regex::new(r"async |\.await(?-u:\b)|::now\(\)|tokio|std::env|reqwest");
    let impure = impure.expect("it is a pattern");
    let mut count = 0;
    for (path, part, text) in sources() {
        if part == "decision" {
            count += 1;
            let found = impure.find(&text).map(|found| found.as_str());
            assert_eq!(found, None, "{path}");
        }
    }
    assert!(count > 10, "only {count} files");
}

#[test]
fn no_source_file_is_longer_than_300_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for path in files(&root) {
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        let lines = text.lines().count();
        assert!(lines <= LONGEST, "{}: {lines} lines", path.display());
    }
}

#[test]
fn each_guarantee_names_tests_that_exist() {
    let page = include_str!("../../docs/proof.md");
    let table = page.split("| guarantee | test |").nth(1);
    let table = table.and_then(|rest| rest.split("\n\n").next());
    let rows = table.expect("there is a table").lines().skip(2);
    let name = Regex::new("`([a-z0-9_]+)`").expect("it is a pattern");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let tests: String = files(&folder)
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("the file can be read"))
        .collect();
    let mut count = 0;
    for row in rows {
        let cells = row.rsplit(" | ").next().expect("the last cell");
        for found in name.captures_iter(cells) {
            count += 1;
            let declared = format!("fn {}(", &found[1]);
            assert!(tests.contains(&declared), "{}", &found[1]);
        }
    }
    assert!(count > 25, "only {count} tests are named");
}

/// The files of the tests themselves; `main.rs` only lists them.
#[test]
fn each_test_file_is_in_the_tests_readme() {
    let page = include_str!("../README.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let helpers = ["sandbox", "template", "bench", "fuzz", "tools"];
    let mut count = 0;
    for path in files(&folder) {
        let path = path.strip_prefix(&folder).expect("it is below the folder");
        let is_helper = helpers.iter().any(|helper| path.starts_with(helper));
        let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
        let name = match parts[..] {
            _ if is_helper => continue,
            [.., "main.rs"] | ["support", ..] => continue,
            [file] | [_, file] => file.to_owned(),
            [_, folder, ..] => folder.to_owned(),
            [] => panic!("a path has parts"),
        };
        count += 1;
        assert!(page.contains(&format!("| `{name}` |")), "{name}");
    }
    assert!(count > 30, "only {count} files");
}

/// A name has unit, condition and expectation. Everything else belongs in the doc comment.
#[test]
fn test_names_have_at_most_eight_words() {
    let declared = r"#\[(?:tokio::)?test[^\]]*\]\n(?:#\[[^\n]*\n)*(?:async )?fn ([a-z0-9_]+)\(";
    let declared = Regex::new(declared).expect("it is a pattern");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut count = 0;
    for path in files(&folder) {
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        for found in declared.captures_iter(&text) {
            count += 1;
            assert!(found[1].split('_').count() <= 8, "{}", &found[1]);
        }
    }
    assert!(count > 700, "only {count} tests");
}

/// Follows what files of a folder name in the same folder, from file to file.
#[test]
fn no_folder_has_circle_of_files() {
    let names = Regex::new(r"super::([a-z_]+)").expect("it is a pattern");
    let folders = ["config", "decision", "driver", "handler", "secret"];
    for folder in folders {
        let files: Vec<_> = sources()
            .into_iter()
            .filter_map(|(path, part, text)| {
                let file = path.strip_prefix(folder)?.strip_prefix('/')?;
                let module = file.strip_suffix(".rs")?.to_owned();
                (part == folder && module != "mod").then_some((module, text))
            })
            .collect();
        assert!(files.len() > 1, "{folder}");
        let imports = |text: &str| -> Vec<String> {
            let found = names.captures_iter(text).map(|found| found[1].to_owned());
            found
                .filter(|name| files.iter().any(|(module, _)| module == name))
                .collect()
        };
        for (module, text) in &files {
            let (mut seen, mut open) = (BTreeSet::new(), imports(text));
            while let Some(next) = open.pop() {
                assert_ne!(
                    next, *module,
                    "{folder}/{module}.rs names itself through other files"
                );
                if seen.insert(next.clone())
                    && let Some((_, text)) = files.iter().find(|(module, _)| *module == next)
                {
                    open.extend(imports(text));
                }
            }
        }
    }
}
